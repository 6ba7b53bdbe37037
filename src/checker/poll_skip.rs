//! `poll-skip`: delivery passes a record over.
//!
//! **Claim**: within one assignment a member is delivered every record of the topic partition, from where it begins;
//! and it begins at the group's committed offset or before it. **Method**: the input log as the final read found it.
//! Within an assignment, every record between the highest delivered offset and the next delivery counts. At the
//! beginning of an assignment, every record from the highest commit known at that moment up to the first delivery counts
//! if nobody was ever delivered it and it was never served: a member that crashed may have committed without being able
//! to tell, but what it committed past it had been delivered. Commits are taken from two clocks, the members' own
//! reports and the harness's looks at the group, in the order of the one run's time. Jepsen allows anything across a
//! rebalance; this does not. **Blind spots**: subjects that do not report assignments and deliveries; the first
//! assignment of a group that has committed nothing; a place that held a record when it was passed and holds none at
//! the end.

use std::collections::BTreeMap;

use super::{Case, Checker, EXAMPLES, Finding, Leap, Place, Severity, Tp};
use crate::clock::Nanos;

pub(super) const CHECKER: Checker = Checker {
    name: "poll-skip",
    claim: "members are delivered every record, within an assignment and across rebalances",
    check,
};

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    // Each record once, with the passage that shows it best: the first.
    let mut passed: BTreeMap<Place, (&Leap, String)> = BTreeMap::new();
    for leap in &ledger.polls.skips {
        let after = leap.after.unwrap_or(-1);
        for place in ledger.log_between(leap.tp, after.saturating_add(1), leap.to) {
            let who = ledger.actors.name(leap.actor);
            passed.entry(place).or_insert_with(|| (leap, format!("{who} was delivered {after}, then {}", leap.to)));
        }
    }
    for leap in &ledger.polls.starts {
        let Some(committed) = committed_by(case, leap.tp, leap.t) else { continue };
        for place in ledger.log_between(leap.tp, committed, leap.to) {
            let row = ledger.row(place.row);
            // What is left out leaves no trace of a delivery that a crashed member did not report.
            if row.handled() || row.filtered() || ledger.was_delivered(place.tp, place.offset) {
                continue;
            }
            let who = ledger.actors.name(leap.actor);
            let note = || format!("{who} began at {}, where {committed} was committed", leap.to);
            passed.entry(place).or_insert_with(|| (leap, note()));
        }
    }
    let examples = passed.iter().take(EXAMPLES).map(|(place, (leap, note))| {
        let at = Leap { to: place.offset, row: place.row, ..**leap };
        case.leap_example(&at, note.clone())
    });
    let examples = examples.collect();
    let message = format!("{} records passed over by delivery", passed.len());
    Finding::new(CHECKER.name, passed.len() as u64, Severity::Fatal, message, examples)
}

/// The highest offset that the group is known to have committed by `t`.
fn committed_by(case: &Case<'_>, tp: Tp, t: Nanos) -> Option<i64> {
    let commits = case.ledger.polls.commits.iter().filter(|commit| commit.tp == tp && commit.t <= t);
    commits.map(|commit| commit.offset).max()
}
