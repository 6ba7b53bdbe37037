//! The built-in application: input topic → consumer group of member processes → handler → output or dead-letter
//! topic, wired from the resilience components. [`PipelineSubject`] is the harness's side, [`member`] the process's.

mod handler;
pub mod member;
mod subject;

pub use member::{MEMBER_ENV, MemberConfig, dead_letter_headers};
pub use subject::PipelineSubject;
