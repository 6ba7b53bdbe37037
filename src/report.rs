//! A judged scenario as bytes for machines and people: `result.json`, `run.json`, text, Markdown, JUnit.
//!
//! Owns the shape of what is written. Must not judge: every number and every verdict in a report was decided
//! in [`crate::judge`], and a report that needs a number asks for it there.

mod annotations;
mod caveats;
pub mod html;
mod json;
mod junit;
mod phrase;
mod summary;
#[cfg(test)]
mod tests;
mod text;
pub mod timeline;

pub use annotations::annotations;
pub use caveats::{caveats, caveats_markdown};
pub use json::{
    BackendInfo, Environment, Image, LeftOut, RunEntry, RunResult, SCHEMA_VERSION, ScenarioContext, ScenarioRef,
    ScenarioResult, schema,
};
pub use junit::junit;
pub use summary::summary;
use text::next;
pub use text::{headline, scenario_block, scenario_table};

/// Names of the files in a repeat's `logs/`, sorted.
pub fn log_names(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("logs")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
