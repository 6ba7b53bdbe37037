//! `redelivered`: delivered again from the same place.
//!
//! **Claim**: none; at-least-once delivery repeats after a crash, a rebalance or a seek back. **Method**: deliveries
//! beyond the first of an id at one place of the input topic. **Blind spots**: subjects that do not report deliveries.

use super::{Case, Checker, EXAMPLES, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "redelivered", claim: "counted: deliveries beyond the first of one place", check };

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let (mut count, mut examples) = (0, Vec::new());
    for again in ledger.deliveries.chunk_by(|a, b| a == b).filter(|again| again.len() > 1) {
        count += again.len() as u64 - 1;
        if examples.len() < EXAMPLES {
            let row = &ledger.rows[again[0].row as usize];
            examples.push(case.example(row, format!("delivered {} times", again.len())));
        }
    }
    Finding::new(CHECKER.name, count, Severity::Counted, format!("{count} repeated deliveries"), examples)
}
