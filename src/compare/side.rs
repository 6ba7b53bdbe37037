//! Where a side's repeats come from: a run folder, or a stored baseline.

use std::path::{Path, PathBuf};

use super::baseline;
use super::repeat::Repeat;

/// Why a side cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SideError {
    #[error("{path} does not exist: give a run folder (target/seaworthy/<run-id> or …/latest) or a stored baseline")]
    Absent { path: PathBuf },
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "no result.json in {path}, nor in <scenario>/<repeat>/ beneath it: no run folder, or its run ended before any scenario did"
    )]
    NoResults { path: PathBuf },
    #[error("{path} holds the variants of a matrix: compare two of them, such as {}", variants.join(" and "))]
    Matrix { path: PathBuf, variants: Vec<String> },
    #[error(
        "{path} is no result.json that can be compared: {reason}; `seaworthy recheck` writes it anew from its history"
    )]
    Result { path: PathBuf, reason: String },
    #[error("{path} is no stored baseline: {reason}; `seaworthy compare RUN --save-baseline FILE` writes one")]
    Baseline { path: PathBuf, reason: String },
    #[error("{path}: baseline version {found}, this build reads version {}: store it anew", baseline::BASELINE_VERSION)]
    Version { path: PathBuf, found: u64 },
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// As reports name it.
    pub name: String,
    /// In the order of scenario and repeat.
    pub repeats: Vec<Repeat>,
}

impl Side {
    /// Reads a run folder (or one scenario's, or one repeat's folder beneath it) or a baseline file.
    ///
    /// # Errors
    /// [`SideError`], with what to do.
    pub fn read(path: &Path) -> Result<Self, SideError> {
        if !path.exists() {
            return Err(SideError::Absent { path: path.to_owned() });
        }
        let mut repeats = if path.is_file() && path.file_name().is_some_and(|name| name != "result.json") {
            baseline::read(path)?
        } else {
            let files = if path.is_file() { vec![path.to_owned()] } else { results(path)? };
            files.iter().map(|file| result(file)).collect::<Result<Vec<_>, _>>()?
        };
        // Folders sort as text: 10 comes before 2.
        repeats.sort_by(|a, b| (&a.scenario.name, a.repeat).cmp(&(&b.scenario.name, b.repeat)));
        Ok(Self { name: path.display().to_string(), repeats })
    }

    /// The names of all scenarios, each once.
    pub fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.repeats.iter().map(|repeat| repeat.scenario.name.as_str()).collect();
        names.dedup();
        names
    }

    /// All repeats of one scenario.
    pub fn of(&self, scenario: &str) -> Vec<&Repeat> {
        self.repeats.iter().filter(|repeat| repeat.scenario.name == scenario).collect()
    }
}

/// Every `result.json` of a folder, its scenarios' or their repeats' folders, whichever has any.
fn results(path: &Path) -> Result<Vec<PathBuf>, SideError> {
    let mut folders = vec![path.to_owned()];
    // A folder of a matrix has one more level: its variants.
    for depth in 0..4 {
        let mut found: Vec<PathBuf> =
            folders.iter().map(|folder| folder.join("result.json")).filter(|file| file.is_file()).collect();
        if !found.is_empty() {
            found.sort();
            if depth == 3 {
                return Err(matrix(path, &found));
            }
            return Ok(found);
        }
        let mut below = Vec::new();
        for folder in &folders {
            let entries = std::fs::read_dir(folder).map_err(|source| SideError::Io { path: folder.clone(), source })?;
            // A link (`latest`) would be read twice.
            below.extend(
                entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|entry| entry.path()),
            );
        }
        folders = below;
    }
    Err(SideError::NoResults { path: path.to_owned() })
}

fn matrix(path: &Path, found: &[PathBuf]) -> SideError {
    let variant = |file: &PathBuf| {
        let first = file.strip_prefix(path).ok()?.iter().next()?;
        Some(path.join(first).display().to_string())
    };
    let mut variants: Vec<String> = found.iter().filter_map(variant).collect();
    variants.dedup();
    variants.truncate(2);
    SideError::Matrix { path: path.to_owned(), variants }
}

fn result(path: &Path) -> Result<Repeat, SideError> {
    let bytes = std::fs::read(path).map_err(|source| SideError::Io { path: path.to_owned(), source })?;
    let refuse = |reason: String| SideError::Result { path: path.to_owned(), reason };
    let mut repeat: Repeat = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    // `<scenario>/<repeat>/result.json` says both once more.
    let folder = |up: usize| path.ancestors().nth(up).and_then(Path::file_name).and_then(|name| name.to_str());
    if repeat.scenario.name.is_empty() {
        repeat.scenario.name = folder(2).map(str::to_owned).ok_or_else(|| refuse("it names no scenario".into()))?;
    }
    repeat.repeat = repeat.repeat.or_else(|| folder(1)?.parse().ok());
    Ok(repeat)
}
