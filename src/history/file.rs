//! Reading a history back, also one that a crash cut off.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Event, Header, Line};

/// A history in memory: whole, or without the events that a ledger has taken in.
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

/// Reads a whole history into memory. A last line without its end, or cut off in the middle, is left out and marked.
/// To judge a long one, read it into a ledger instead.
pub fn read_history(path: &Path) -> Result<History, HistoryError> {
    let mut reader = Reader::open(path)?;
    let mut events = Vec::new();
    while reader.fill()? {
        reader.lines(|line| {
            events.push(serde_json::from_slice(line)?);
            Ok(())
        })?;
    }
    Ok(History { header: reader.header, events, truncated: reader.truncated })
}

/// What a line came to.
#[derive(Debug)]
pub enum Entry<'b> {
    /// About one record, or a commit: borrowed from the line.
    Record(Line<'b>),
    /// Anything else.
    Event(Box<Event>),
}

/// How much is read at a time; a longer line makes it longer.
const BLOCK: usize = 1 << 16;

/// Reads a history block by block.
#[derive(Debug)]
pub struct Reader {
    pub header: Header,
    /// The last line was cut off.
    pub truncated: bool,
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    /// Of the buffer, what the latest block took.
    used: usize,
    /// The line that was read last.
    number: usize,
    ended: bool,
}

impl Reader {
    /// Opens a history and reads its header.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        // Blocks go past its buffer, which the header alone needs.
        let mut file = BufReader::with_capacity(1 << 12, File::open(path).map_err(io)?);
        // Bytes, not text: a crash may cut a line within a character.
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(io)?;
        let header: Header = serde_json::from_slice(line.trim_ascii_end())
            .map_err(|e| HistoryError::Header { path: path.to_owned(), reason: e.to_string() })?;
        if header.seaworthy_history != 1 {
            return Err(HistoryError::Version { path: path.to_owned(), found: header.seaworthy_history });
        }
        let path = path.to_owned();
        let (buffer, used) = (Vec::with_capacity(2 * BLOCK), 0);
        Ok(Self { header, truncated: false, path, file, buffer, used, number: 1, ended: false })
    }

    /// Parses the next lines; `None`: that was all.
    pub fn batch(&mut self) -> Result<Option<Vec<Entry<'_>>>, HistoryError> {
        if !self.fill()? {
            return Ok(None);
        }
        let mut entries = Vec::with_capacity(BLOCK / 64);
        self.lines(|line| {
            entries.push(match Line::parse(line) {
                Some(line) => Entry::Record(line),
                None => Entry::Event(serde_json::from_slice(line)?),
            });
            Ok(())
        })?;
        Ok(Some(entries))
    }

    /// Brings the next whole lines to the buffer's beginning, and at the file's end what is there instead of one.
    fn fill(&mut self) -> Result<bool, HistoryError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut searched = 0;
        while !self.ended {
            let wanted = (BLOCK - self.buffer.len() % BLOCK) as u64;
            let read = (&mut self.file).take(wanted).read_to_end(&mut self.buffer);
            let read = read.map_err(|source| HistoryError::Io { path: self.path.clone(), source })?;
            self.ended = read == 0;
            if let Some(last) = self.buffer[searched..].iter().rposition(|byte| *byte == b'\n') {
                self.used = searched + last + 1;
                return Ok(true);
            }
            searched = self.buffer.len();
        }
        self.used = self.buffer.len();
        Ok(self.used > 0)
    }

    /// Hands over each line that `fill` brought. A last one that has no end and is refused was cut off.
    fn lines<'b>(
        &'b mut self,
        mut take: impl FnMut(&'b [u8]) -> Result<(), serde_json::Error>,
    ) -> Result<(), HistoryError> {
        for line in self.buffer[..self.used].split_inclusive(|byte| *byte == b'\n') {
            self.number += 1;
            match take(line.trim_ascii_end()) {
                Ok(()) => {}
                Err(_) if !line.ends_with(b"\n") => self.truncated = true,
                Err(error) => {
                    let (path, line, reason) = (self.path.clone(), self.number, error.to_string());
                    return Err(HistoryError::Line { path, line, reason });
                }
            }
        }
        Ok(())
    }
}
