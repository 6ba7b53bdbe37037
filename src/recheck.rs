//! Judging recorded runs again, from their histories alone.
//!
//! Owns finding the histories of a run folder. Must not judge by itself, nor write anything.

use std::path::{Path, PathBuf};

use crate::history::HistoryError;
use crate::judge::judge_ledger;
use crate::ledger;
use crate::report::{ScenarioContext, ScenarioResult};

/// Why a run cannot be judged again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecheckError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("no history.jsonl in {path}, nor in <scenario>/<repeat>/ beneath it: give a run folder or a history file")]
    NoHistory { path: PathBuf },
}

/// One history, judged again.
#[derive(Clone, Debug)]
pub struct Rechecked {
    pub history: PathBuf,
    pub result: ScenarioResult,
}

/// Judges a bare history file, the folder of one repeat, or every repeat of a whole run folder, in the order of their
/// paths. What a history does not say (backend, environment, fingerprint) is taken from the `result.json` beside it
/// where there is one.
pub fn recheck(path: &Path) -> Result<Vec<Rechecked>, RecheckError> {
    let histories = histories(path);
    if histories.is_empty() {
        return Err(RecheckError::NoHistory { path: path.to_owned() });
    }
    histories.into_iter().map(|path| recheck_file(&path)).collect()
}

fn recheck_file(path: &Path) -> Result<Rechecked, RecheckError> {
    let (history, ledger) = ledger::read(path)?;
    let context = context_beside(path).unwrap_or_default();
    let result = ScenarioResult::new(context, &history, judge_ledger(&history, ledger));
    Ok(Rechecked { history: path.to_owned(), result })
}

/// A `result.json` that is missing, or was never finished, costs the context only.
fn context_beside(history: &Path) -> Option<ScenarioContext> {
    let bytes = std::fs::read(history.with_file_name("result.json")).ok()?;
    Some(serde_json::from_slice::<ScenarioResult>(&bytes).ok()?.context())
}

fn histories(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut folders = vec![path.to_owned()];
    // A run folder has two levels, that of a matrix one more.
    for _ in 0..4 {
        let mut found: Vec<PathBuf> =
            folders.iter().map(|folder| folder.join("history.jsonl")).filter(|file| file.is_file()).collect();
        if !found.is_empty() {
            found.sort();
            return found;
        }
        folders = folders.iter().flat_map(|folder| subfolders(folder)).collect();
    }
    Vec::new()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests;
