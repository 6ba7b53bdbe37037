//! `duplicate-in-log`: one record at two or more offsets of the input topic.
//!
//! **Claim** (if the producer promises idempotence): one send, one place. **Method**: distinct places of an id in the
//! final read of the input topic; the count is of surplus places. Fatal with the promise `idempotent`, counted
//! otherwise, for stock clients duplicate when an acknowledgement is lost. **Blind spots**: an application that sends a
//! record again on purpose looks the same; places that the final read did not reach.

use super::example::records;
use super::{Case, Checker, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "duplicate-in-log", claim: "one send has one place in the input log", check };

fn check(case: &Case<'_>) -> Finding {
    let (ids, examples) =
        case.examples(|row| (row.in_log() > 1).then(|| format!("{} places in the input log", row.in_log())));
    let count = case.ledger.rows().map(|row| u64::from(row.in_log().saturating_sub(1))).sum();
    let severity = if case.promises.idempotent { Severity::Fatal } else { Severity::Counted };
    let message = format!("{count} surplus places in the input log, of {}", records(ids));
    Finding::new(CHECKER.name, count, severity, message, case.with_log_offsets(examples))
}
