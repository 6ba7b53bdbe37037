//! Turning rows into examples: enough to look for a record in the logs.

use super::{Case, EXAMPLES, Example, Leap, Ledger, Place, Row};
use crate::clock::seconds;

impl Case<'_> {
    /// An example of one row.
    pub(super) fn example(&self, row: Row<'_>, note: impl Into<String>) -> Example {
        Example {
            id: Some(row.id().into_owned()),
            key: row.key().map(str::to_owned),
            tp: row.tp().map(|tp| self.ledger.tps.name(tp).to_string()),
            offsets: row.offset().into_iter().collect(),
            sent_s: row.due().map(seconds),
            acked_s: row.acked().map(seconds),
            faults: self.faults_at(row.due()),
            note: note.into(),
        }
    }

    /// The first few rows that `wanted` names, with its notes, and how many there are in all.
    pub(super) fn examples(&self, mut wanted: impl FnMut(Row<'_>) -> Option<String>) -> (u64, Vec<Example>) {
        let (mut count, mut examples) = (0, Vec::new());
        for row in self.ledger.rows() {
            let Some(note) = wanted(row) else { continue };
            count += 1;
            if examples.len() < EXAMPLES {
                examples.push(self.example(row, note));
            }
        }
        (count, examples)
    }

    /// The same, with every place of the row in the input log.
    pub(super) fn with_log_offsets(&self, mut examples: Vec<Example>) -> Vec<Example> {
        for example in &mut examples {
            let Some(id) = example.id.as_deref() else { continue };
            let Some(row) = self.ledger.find(id) else { continue };
            // A scan: for examples, not for counting.
            let places: Vec<Place> = self.ledger.log().filter(|place| place.row == row.number).collect();
            if !places.is_empty() {
                example.offsets = places.iter().map(|place| place.offset).collect();
                example.tp = Some(self.ledger.tps.name(places[0].tp).to_string());
            }
        }
        examples
    }

    /// An example of one delivery, with the faults in force at that moment.
    pub(super) fn leap_example(&self, leap: &Leap, note: impl Into<String>) -> Example {
        Example {
            tp: Some(self.ledger.tps.name(leap.tp).to_string()),
            offsets: vec![leap.to],
            faults: self.faults_at(Some(leap.t)),
            ..self.example(self.ledger.row(leap.row), note)
        }
    }
}

/// Rows that were met, or parts of them: a bit each.
#[derive(Debug)]
pub(super) struct Seen {
    bits: Vec<u64>,
    /// Parts of a row.
    each: usize,
}

impl Seen {
    /// None of a ledger's rows yet.
    pub fn of(ledger: &Ledger) -> Self {
        Self { bits: vec![0; ledger.len().div_ceil(64)], each: 1 }
    }

    /// None of the parts of its rows either.
    pub fn of_parts(ledger: &Ledger) -> Self {
        let each = ledger.effects_each() as usize;
        Self { bits: vec![0; (each * ledger.len()).div_ceil(64)], each }
    }

    /// Meets a row; true: for the first time.
    pub fn first(&mut self, row: u32) -> bool {
        self.first_of(row, 0)
    }

    /// Meets a part of a row.
    pub fn first_of(&mut self, row: u32, part: u32) -> bool {
        let at = row as usize * self.each + part as usize;
        let (word, bit) = (&mut self.bits[at / 64], 1 << (at % 64));
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

/// Cases with a measure: the exact count, and the few that are worst, which tell most.
#[derive(Debug, Default)]
pub(super) struct Worst {
    pub count: u64,
    pub widest: u64,
    kept: Vec<(u64, Example)>,
}

impl Worst {
    /// Counts a case; makes its example only if it is among the worst so far.
    pub fn add(&mut self, measure: u64, example: impl FnOnce() -> Example) {
        self.count += 1;
        self.widest = self.widest.max(measure);
        if self.kept.len() < EXAMPLES || measure > self.kept[EXAMPLES - 1].0 {
            self.kept.push((measure, example()));
            self.kept.sort_by_key(|(measure, _)| std::cmp::Reverse(*measure));
            self.kept.truncate(EXAMPLES);
        }
    }

    /// The worst first.
    pub fn examples(self) -> Vec<Example> {
        self.kept.into_iter().map(|(_, example)| example).collect()
    }
}

/// "1 record", "7 records".
pub(super) fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}
