//! A judged scenario as bytes for machines and people: `result.json`, `run.json`, text, Markdown, JUnit.
//!
//! Owns the shape of what is written. Must not judge: every number and every verdict in a report was decided
//! in [`crate::judge`], and a report that needs a number asks for it there.

mod caveats;
mod json;
mod junit;
mod phrase;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use caveats::{caveats, caveats_markdown};
pub use json::{
    BackendInfo, Environment, Image, LeftOut, RunEntry, RunResult, SCHEMA_VERSION, ScenarioContext, ScenarioRef,
    ScenarioResult, schema,
};
pub use junit::junit;
pub use summary::summary;
pub use text::{headline, scenario_block, scenario_table};
