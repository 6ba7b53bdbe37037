//! `lost-in-app`: in the log, passed by the group, never served.
//!
//! **Claim**: every record that the group has committed past has an effect or a dead letter; where the scenario says that
//! it has several effects, every part of them. Nothing is owed for records whose keys the scenario names in `drops`.
//! **Method**: every record that stands in the input log counts, acknowledged or not, for the application cannot know
//! what the sender was told; the group must have committed past each of its places, and output and dead-letter topic must
//! have been read to their ends. The committed offset is the one that the harness saw, watching the group; without one,
//! what the members reported. A record that lacks a part is lost, and its example says which; one that has any was in the log.
//! **Blind spots**: an effect that shows only outside Kafka; a record whose identity, or whose part's number, the
//! application drops is reported as lost and as `unexpected`; whether a record that is left out was left out on purpose.

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
        let parts: Vec<String> = row.missing_parts().map(|part| part.to_string()).collect();
        lost.then(|| match (row.delivered(), row.poison()) {
            _ if row.effects() > 0 => {
                let all = case.ledger.effects_each();
                format!("committed past, without part {} of the {all} effects that it is owed", parts.join(", "))
            }
            (0, _) => "the group committed past it, and no delivery of it was reported".to_owned(),
            (_, true) => "poison: delivered, committed past, not dead-lettered".to_owned(),
            (_, false) => "delivered and committed past, without effect or dead letter".to_owned(),
        })
    });
    let severity = if count == 0 { Severity::Fatal } else { case.loss() };
    let owed =
        if case.ledger.effects_each() > 1 { "all their effects or a dead letter" } else { "effect or dead letter" };
    let message = format!("{} in the log, committed past, without {owed}", records(count));
    Finding::new(CHECKER.name, count, severity, message, case.with_log_offsets(examples))
}
