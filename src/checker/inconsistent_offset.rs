//! `inconsistent-offset`: two records at one place.
//!
//! **Claim**: one offset of one topic partition holds one record, for everybody and for ever. **Method**: the places of
//! acknowledgements, deliveries and the final read of the input topic together, and those of the output and
//! dead-letter topics, sorted; two ids at one place are one case. It happens when a deposed leader acknowledges what
//! the new one overwrites. **Blind spots**: acknowledgements without an offset; a place that is read only once.

use super::{Case, Checker, EXAMPLES, Example, Finding, Place, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "inconsistent-offset", claim: "one offset holds one record, for everybody and for ever", check };

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let mut places: Vec<Place> = Vec::with_capacity(ledger.acks.len() + ledger.log.len() + ledger.deliveries.len());
    for source in [&ledger.acks, &ledger.log, &ledger.deliveries, &ledger.effects] {
        places.extend(source);
    }
    places.extend(ledger.letters.iter().map(|letter| letter.place));
    places.sort_unstable();
    places.dedup();
    let (mut count, mut examples) = (0, Vec::new());
    for shared in places.chunk_by(|a, b| (a.tp, a.offset) == (b.tp, b.offset)).filter(|shared| shared.len() > 1) {
        count += 1;
        if examples.len() == EXAMPLES {
            continue;
        }
        let ids: Vec<&str> = shared.iter().map(|place| ledger.rows[place.row as usize].id).collect();
        let row = &ledger.rows[shared[0].row as usize];
        examples.push(Example {
            tp: Some(ledger.tps.name(shared[0].tp).to_string()),
            offsets: vec![shared[0].offset],
            ..case.example(row, format!("read or acknowledged here: {}", ids.join(", ")))
        });
    }
    let message = format!("{count} offsets with more than one record");
    Finding::new(CHECKER.name, count, Severity::Fatal, message, examples)
}
