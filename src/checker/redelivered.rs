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
    for (place, deliveries) in ledger.redelivered() {
        count += deliveries - 1;
        if examples.len() < EXAMPLES {
            examples.push(case.example(ledger.row(place.row), format!("delivered {deliveries} times")));
        }
    }
    Finding::new(CHECKER.name, count, Severity::Counted, format!("{count} repeated deliveries"), examples)
}
