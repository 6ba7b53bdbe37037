//! Seaworthy proves, before production does, that a Kafka application survives the storm: no acknowledged record is lost,
//! and service is back within its recovery-time budget.
//!
//! # The map of the house
//! The folders are the data flow; arrows point down only (`tests/layering.rs` holds the table).
//!
//! | module | what it is |
//! |---|---|
//! | [`resilience`] | the components that a production service uses; knows nothing of the harness |
//! | [`scenario`], [`plan`] | a file of people → every mistake at once, or a validated plan and its timeline |
//! | [`cluster`], [`proxy`] | real brokers behind fault proxies, seen by the subject's and by the direct path |
//! | [`workload`], [`subject`] | the instrument's load and final read; the application under test |
//! | [`fault`], [`nemesis`] | each harm as a held resource; who walks the timeline |
//! | [`history`] | what happened, on disk before anything is judged |
//! | [`ledger`], [`recovery`], [`checker`], [`budget`], [`judge`](mod@judge) | pure functions from the history to the verdict |
//! | [`report`], [`runner`] | results for machines and people; one scenario from set-up to verdict |
//! | [`testing`] | entry points for `cargo test` |
//!
//! # Features
//! `harness`, `containers`, `cli` and `metrics-server` are on by default. With `default-features = false` the crate is
//! [`resilience`] alone: no containers, no command line; `metrics-server` adds the metrics' HTTP endpoint.
//!
//! # The components in a service
//! Each works alone; `docs/components.md` has a screen for each, `examples/service.rs` a whole service.
//!
//! ```
//! use seaworthy::resilience::{CircuitBreaker, HandlerError, Profile, Retry, Settings};
//! use seaworthy::rng::Rng;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let settings = Settings::for_profile(Profile::Production);
//! let breaker = CircuitBreaker::new("payments", settings.breaker);
//! let mut retry = Retry::new(settings.retry, Rng::from_entropy());
//!
//! // Retry outside, breaker inside: a refusal is waited for and uses up no attempt.
//! let paid = retry.call(|attempt| breaker.call(move || async move {
//!     if attempt == 0 { Err(HandlerError::retriable("busy")) } else { Ok("paid") }
//! })).await;
//! assert_eq!(paid.ok(), Some("paid"));
//! # }
//! ```

/// The page's examples are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../docs/components.md")]
pub struct ComponentsPage;

pub mod clock;
pub mod resilience;
pub mod rng;

#[cfg(feature = "harness")]
pub mod budget;
#[cfg(feature = "harness")]
pub mod checker;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "harness")]
pub mod cluster;
#[cfg(feature = "harness")]
pub mod compare;
#[cfg(feature = "harness")]
pub mod diagnostic;
#[cfg(feature = "harness")]
pub mod exit_code;
#[cfg(feature = "harness")]
pub mod fault;
#[cfg(feature = "harness")]
pub mod history;
#[cfg(feature = "harness")]
pub mod judge;
#[cfg(feature = "harness")]
pub mod ledger;
#[cfg(feature = "harness")]
pub mod nemesis;
#[cfg(feature = "harness")]
pub mod plan;
#[cfg(feature = "harness")]
pub mod proxy;
#[cfg(feature = "harness")]
pub mod recheck;
#[cfg(feature = "harness")]
pub mod recovery;
#[cfg(feature = "harness")]
pub mod report;
#[cfg(feature = "harness")]
pub mod runner;
#[cfg(feature = "harness")]
pub mod scenario;
#[cfg(feature = "containers")]
mod signals;
#[cfg(feature = "harness")]
pub mod subject;
#[cfg(feature = "containers")]
pub mod testing;
#[cfg(feature = "harness")]
pub mod verdict;
#[cfg(feature = "harness")]
pub mod workload;
