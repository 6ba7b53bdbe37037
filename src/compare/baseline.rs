//! A stored baseline: a run's figures in one small file that can be committed.
//!
//! Nothing but what a comparison reads is kept, conditions once a fingerprint, so that a new baseline is a readable
//! difference in a review.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::repeat::Repeat;
use super::side::{Side, SideError};

/// The version that this build reads and writes.
pub const BASELINE_VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    seaworthy_baseline: u64,
    /// Where it came from, for people.
    #[serde(default)]
    from: String,
    /// What each fingerprint is made of.
    #[serde(default)]
    configurations: BTreeMap<String, BTreeMap<String, String>>,
    repeats: Vec<Repeat>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Repeat>, SideError> {
    let bytes = std::fs::read(path).map_err(|source| SideError::Io { path: path.to_owned(), source })?;
    let refuse = |reason: String| SideError::Baseline { path: path.to_owned(), reason };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    match value.get("seaworthy_baseline").and_then(serde_json::Value::as_u64) {
        Some(BASELINE_VERSION) => {}
        Some(found) => return Err(SideError::Version { path: path.to_owned(), found }),
        None => return Err(refuse("it does not begin with \"seaworthy_baseline\"".into())),
    }
    let file: File = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
    let mut repeats = file.repeats;
    for repeat in &mut repeats {
        let known = repeat.fingerprint.as_ref().and_then(|print| file.configurations.get(print));
        repeat.configuration = known.cloned().unwrap_or_default();
    }
    Ok(repeats)
}

/// Stores a side.
///
/// # Errors
/// The file cannot be written.
pub fn write(side: &Side, path: &Path) -> std::io::Result<()> {
    let mut configurations = BTreeMap::new();
    let mut repeats = side.repeats.clone();
    for repeat in &mut repeats {
        let configuration = std::mem::take(&mut repeat.configuration);
        if let Some(print) = repeat.fingerprint.clone().filter(|_| !configuration.is_empty()) {
            configurations.insert(print, configuration);
        }
    }
    let file = File { seaworthy_baseline: BASELINE_VERSION, from: side.name.clone(), configurations, repeats };
    let text = serde_json::to_string_pretty(&file).map_err(std::io::Error::other)?;
    std::fs::write(path, text + "\n")
}
