//! From the file to the ledger, without the history in between.

use std::path::Path;

use super::Ledger;
use crate::history::{Entry, Event, Header, History, HistoryError, Op, Reader};

/// Reads a history line by line into its ledger. The history beside it holds the events that are not about one record:
/// phases, faults, signals, assignments.
pub fn read(path: &Path) -> Result<(History, Ledger), HistoryError> {
    let mut reader = Reader::open(path)?;
    let mut intake = Intake::of(&reader.header);
    while let Some(entries) = reader.batch()? {
        intake.take(entries);
    }
    Ok(intake.finish(reader))
}

/// A ledger in the making.
#[derive(Debug)]
pub struct Intake {
    ledger: Ledger,
    kept: Vec<Event>,
}

impl Intake {
    /// For a history with this header, whose plan says what each record is owed.
    pub fn of(header: &Header) -> Self {
        Self { ledger: Ledger::owing(header), kept: Vec::new() }
    }

    /// Takes in what a [`Reader`] brought, in the order of the history.
    pub fn take(&mut self, entries: Vec<Entry<'_>>) {
        for entry in entries {
            match entry {
                Entry::Record(line) => self.ledger.take(&line),
                Entry::Event(event) => {
                    self.ledger.note(&event);
                    if keep(&event.op) {
                        self.kept.push(*event);
                    }
                }
            }
        }
    }

    /// The whole history was taken in.
    pub fn finish(mut self, reader: Reader) -> (History, Ledger) {
        self.ledger.finish(&reader.header);
        let history = History { header: reader.header, events: self.kept, truncated: reader.truncated };
        (history, self.ledger)
    }
}

/// Whatever the ledger does not tell as well.
fn keep(op: &Op) -> bool {
    match op {
        Op::Assign { .. } | Op::Revoke { .. } | Op::Fault { .. } | Op::Signal { .. } | Op::Phase { .. } => true,
        Op::Send { .. }
        | Op::Deliver { .. }
        | Op::Commit { .. }
        | Op::LogRead { .. }
        | Op::Effect { .. }
        | Op::DeadLetter { .. }
        | Op::FinalRead { .. }
        | Op::Unknown => false,
    }
}
