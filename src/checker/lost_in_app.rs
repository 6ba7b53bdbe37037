//! `lost-in-app`: in the log, passed by the group, never served.
//!
//! **Claim**: every record that the group has committed past has an effect or a dead letter. **Method**: every record
//! that stands in the input log counts, acknowledged or not, for the application cannot know what the sender was told;
//! the group must have committed past each of its places, and output and dead-letter topic must have been read to
//! their ends. The committed offset is the one that the harness saw, watching the group; without one, what the members
//! reported. **Blind spots**: an effect that shows only outside Kafka; a record whose identity the application drops
//! is reported as lost and as `unexpected`.

use super::example::records;
use super::{Case, Checker, Fate, Finding, Sent, Severity};

pub(super) const CHECKER: Checker = Checker {
    name: "lost-in-app",
    claim: "every record that the group committed past has an effect or a dead letter",
    check,
};

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let lost = row.sent() != Sent::Never && case.ledger.fate(row) == Fate::LostInApp;
        lost.then(|| match (row.delivered(), row.poison()) {
            (0, _) => "the group committed past it, and no delivery of it was reported".to_owned(),
            (_, true) => "poison: delivered, committed past, not dead-lettered".to_owned(),
            (_, false) => "delivered and committed past, without effect or dead letter".to_owned(),
        })
    });
    let severity = if count == 0 { Severity::Fatal } else { case.loss() };
    let message = format!("{} in the log, committed past, without effect or dead letter", records(count));
    Finding::new(CHECKER.name, count, severity, message, case.with_log_offsets(examples))
}
