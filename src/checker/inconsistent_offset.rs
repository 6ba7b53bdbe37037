//! `inconsistent-offset`: two records at one place.
//!
//! **Claim**: one offset of one topic partition holds one record, for everybody and for ever. **Method**: the places of
//! acknowledgements, deliveries and the final read of the input topic together, and those of the output and
//! dead-letter topics, sorted; two ids at one place are one case. It happens when a deposed leader acknowledges what
//! the new one overwrites. **Blind spots**: acknowledgements without an offset; a place that is read only once.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "inconsistent-offset", claim: "one offset holds one record, for everybody and for ever", check };

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let shared = ledger.shared_places();
    let examples = shared.iter().take(EXAMPLES).map(|((tp, offset), rows)| {
        let ids: Vec<_> = rows.iter().map(|row| ledger.row(*row).id()).collect();
        Example {
            tp: Some(ledger.tps.name(*tp).to_string()),
            offsets: vec![*offset],
            ..case.example(ledger.row(rows[0]), format!("read or acknowledged here: {}", ids.join(", ")))
        }
    });
    let (count, examples) = (shared.len() as u64, examples.collect());
    let message = format!("{count} offsets with more than one record");
    Finding::new(CHECKER.name, count, Severity::Fatal, message, examples)
}
