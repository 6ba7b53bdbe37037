//! `duplicate-effect`: more than one output record for one id.
//!
//! **Claim** (if the application promises exactly-once): one record, one effect; one of each part where the scenario says
//! that a record has several. **Method**: distinct places of an id, or of one part of it, in the output topic or the sink in its place; the count
//! is of surplus effects. Fatal with the promise `exactly_once` where there are more effects than places in the input log
//! (a duplicate that the producer made is not the application's); counted otherwise, for correct at-least-once
//! applications replay after a crash. **Blind spots**: effects outside that.

use super::example::records;
use super::{Case, Checker, Finding, Severity};

pub(super) const CHECKER: Checker = Checker { name: "duplicate-effect", claim: "one record has one effect", check };

fn check(case: &Case<'_>) -> Finding {
    let (sink, several) = (case.sink(), case.ledger.effects_each() > 1);
    let (ids, examples) = case.examples(|row| {
        (row.surplus_effects() > 0).then(|| {
            let parts: Vec<String> = row.repeated_parts().map(|(part, n)| format!("part {part} {n} times")).collect();
            let effects = format!("{} effects in {sink}", row.effects());
            if several { format!("{effects}: {}", parts.join(", ")) } else { effects }
        })
    });
    let count = case.ledger.rows().map(|row| u64::from(row.surplus_effects())).sum();
    let own = case.ledger.rows().any(|row| row.copies() > row.in_log().max(1));
    let severity = if case.promises.exactly_once && (own || count == 0) { Severity::Fatal } else { Severity::Counted };
    let message = format!("{count} surplus effects, of {}", records(ids));
    Finding::new(CHECKER.name, count, severity, message, examples)
}
