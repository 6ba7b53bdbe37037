//! `lost-in-log`: acknowledged, and gone.
//!
//! **Claim**: every acknowledged record stands in the input log. **Method**: a record counts as lost when a send of it
//! was acknowledged, the final read of its topic partition passed its offset or came to the log's end, and neither the
//! log, nor an effect, nor a dead letter shows it. Acknowledged without an offset (acks=0): its whole topic partition
//! must have been read. **Blind spots**: a record that retention removed before the final read is `undetermined`; one
//! that was served and then vanished from the log is not counted here.

use super::example::records;
use super::{Case, Checker, Fate, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "lost-in-log", claim: "every acknowledged record stands in the input log", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let lost = row.sent() != super::Sent::Never && case.ledger.fate(row) == Fate::LostInLog;
        let seen = if row.delivered() > 0 { "acknowledged and delivered to a member, then" } else { "acknowledged," };
        lost.then(|| format!("{seen} not in the log, no effect, no dead letter"))
    });
    let severity = if count == 0 { Severity::Fatal } else { case.loss() };
    Finding::new(
        CHECKER.name,
        count,
        severity,
        format!("{} acknowledged and gone from the log", records(count)),
        examples,
    )
}
