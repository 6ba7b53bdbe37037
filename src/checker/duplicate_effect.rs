//! `duplicate-effect`: more than one output record for one id.
//!
//! **Claim** (if the application promises exactly-once): one record, one effect. **Method**: distinct places of an id
//! in the output topic; the count is of surplus effects. Fatal with the promise `exactly_once` where there are more
//! effects than places in the input log (a duplicate that the producer made is not the application's); counted
//! otherwise, for correct at-least-once applications replay after a crash. **Blind spots**: effects outside the output
//! topic.

use super::example::records;
use super::{Case, Checker, Finding, Severity};

pub(super) const CHECKER: Checker = Checker { name: "duplicate-effect", claim: "one record has one effect", check };

fn check(case: &Case<'_>) -> Finding {
    let (ids, examples) =
        case.examples(|row| (row.effects() > 1).then(|| format!("{} effects in the output topic", row.effects())));
    let count = case.ledger.rows().map(|row| u64::from(row.effects().saturating_sub(1))).sum();
    let own = case.ledger.rows().any(|row| row.effects() > row.in_log().max(1));
    let severity = if case.promises.exactly_once && (own || count == 0) { Severity::Fatal } else { Severity::Counted };
    let message = format!("{count} surplus effects, of {}", records(ids));
    Finding::new(CHECKER.name, count, severity, message, examples)
}
