//! `reordered`: effects of one key out of the order of their sends.
//!
//! **Claim** (with the promise `ordered`): per key, first effects stand in the order of their sequence numbers.
//! **Method**: the output topic's records in log order, each id's first effect only, so a replay is no reordering; an
//! effect below the highest sequence number of its key so far is one case, and its distance below is the displacement.
//! Where a record has several effects, each part is a sequence of its own, with first effects of its own.
//! Records that went through the dead-letter topic too are counted apart. **Blind spots**: effects of one key in several
//! topic partitions of the output have no common order and are compared within each; records without key or sequence
//! number.

use std::collections::HashMap;

use super::example::{Seen, Worst};
use super::{Case, Checker, Example, Finding, Severity, Tp};

pub(super) const CHECKER: Checker =
    Checker { name: "reordered", claim: "per key, first effects stand in the order of their sends", check };

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let mut seen = Seen::of_parts(ledger);
    // By key, and part: as many numbers a key as it has parts.
    let mut highest: HashMap<(Tp, u32), u64> = HashMap::new();
    let each = ledger.effects_each();
    let mut worst = Worst::default();
    let mut given_up = 0;
    for place in ledger.effects() {
        let row = ledger.row(place.row);
        let (Some(key), Some(seq)) = (row.key_number(), row.seq()) else { continue };
        let Some(part) = ledger.part(place) else { continue };
        if !seen.first_of(place.row, part) {
            continue;
        }
        let top = highest.entry((place.tp, key.saturating_mul(each).saturating_add(part))).or_insert(seq);
        if row.dead_letters() > 0 {
            given_up += u64::from(seq < *top);
            continue;
        }
        if seq >= *top {
            *top = seq;
            continue;
        }
        worst.add(*top - seq, || {
            let note = format!("effect of number {seq} after that of number {top} of its key");
            let note = if each > 1 { format!("part {part}: {note}") } else { note };
            let tp = Some(ledger.tps.name(place.tp).to_string());
            Example { tp, offsets: vec![place.offset], ..case.example(row, note) }
        });
    }
    let severity = if case.promises.ordered { Severity::Fatal } else { Severity::Counted };
    let mut message = format!("{} effects below an earlier one of their key, by up to {}", worst.count, worst.widest);
    if given_up > 0 {
        message.push_str(&format!("; {given_up} more went through the dead-letter topic"));
    }
    Finding::new(CHECKER.name, worst.count, severity, message, worst.examples())
}
