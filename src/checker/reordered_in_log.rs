//! `reordered-in-log`: records of one key in the input log out of the order of their sends.
//!
//! **Claim** (with the promise `idempotent`): what one producer sends with one key to one topic partition stands there
//! in the order of the sends. **Method**: the input log in offset order, each record's first place only; a record below
//! the highest sequence number of its producer and key so far is one case, and its distance below is the displacement.
//! Fatal with the promise `idempotent`, counted otherwise, for several requests in flight and a retry reorder.
//! **Blind spots**: a record that was sent more than once, on purpose, has no order and is left out, as are those without key or
//! sequence number; keys whose sends went to several topic partitions are compared within each.

use std::collections::HashMap;

use super::example::{Seen, Worst};
use super::{Actor, Case, Checker, Example, Finding, Severity, Tp};

pub(super) const CHECKER: Checker = Checker {
    name: "reordered-in-log",
    claim: "per producer and key, the input log stands in the order of the sends",
    check,
};

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let mut seen = Seen::of(ledger);
    let mut highest: HashMap<(Tp, Actor, u32), u64> = HashMap::new();
    let mut worst = Worst::default();
    for place in ledger.log() {
        let row = ledger.row(place.row);
        let (Some(producer), Some(key), Some(seq)) = (row.producer(), row.key_number(), row.seq()) else { continue };
        if !seen.first(place.row) || row.invokes() != 1 {
            continue;
        }
        let top = highest.entry((place.tp, producer, key)).or_insert(seq);
        if seq >= *top {
            *top = seq;
            continue;
        }
        worst.add(*top - seq, || {
            let note = format!("number {seq} of its key behind number {top}");
            let tp = Some(ledger.tps.name(place.tp).to_string());
            Example { tp, offsets: vec![place.offset], ..case.example(row, note) }
        });
    }
    let severity = if case.promises.idempotent { Severity::Fatal } else { Severity::Counted };
    let message =
        format!("{} records in the log behind a later one of their key, by up to {}", worst.count, worst.widest);
    Finding::new(CHECKER.name, worst.count, severity, message, worst.examples())
}
