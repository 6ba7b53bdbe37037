//! Reading a history back, also one that a crash cut off.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Event, Header};

/// A history in memory.
#[derive(Clone, Debug)]
pub struct History {
    pub header: Header,
    pub events: Vec<Event>,
    /// The last line was cut off: everything before it was read.
    pub truncated: bool,
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: not a history event: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{path}:1: not a Seaworthy history: {reason}")]
    Header { path: PathBuf, reason: String },
    #[error("{path}:1: history version {found}, this build reads version 1: use the build that wrote it")]
    Version { path: PathBuf, found: u32 },
}

/// Reads a whole history. A last line without its end, or cut off in the middle, is left out and marked.
pub fn read_history(path: &Path) -> Result<History, HistoryError> {
    let io = |source| HistoryError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 18, std::fs::File::open(path).map_err(io)?);
    // Bytes, not text: a crash may cut a line within a character.
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).map_err(io)?;
    let header: Header = serde_json::from_slice(line.trim_ascii_end())
        .map_err(|e| HistoryError::Header { path: path.to_owned(), reason: e.to_string() })?;
    if header.seaworthy_history != 1 {
        return Err(HistoryError::Version { path: path.to_owned(), found: header.seaworthy_history });
    }
    let mut history = History { header, events: Vec::new(), truncated: false };
    for number in 2.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(io)? == 0 {
            break;
        }
        match serde_json::from_slice(line.trim_ascii_end()) {
            Ok(event) => history.events.push(event),
            Err(_) if !line.ends_with(b"\n") => history.truncated = true,
            Err(e) => return Err(HistoryError::Line { path: path.to_owned(), line: number, reason: e.to_string() }),
        }
    }
    Ok(history)
}
