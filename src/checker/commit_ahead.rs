//! `commit-ahead`: committed before it was done, a loss waiting for a crash.
//!
//! **Claim**: none; counted, for nothing is lost as long as nobody crashes in between. **Method**: for each record in
//! the input log, the first acknowledged commit past it, against the moment at which its first effect or dead letter
//! was appended; a record whose service came later than the commit by more than 100 ms is one case. Two clocks decide
//! it, the member's for the commit and the broker's for the append, hence the margin; the commit's time is that of its
//! acknowledgement, which favours the application. What was never served is `lost-in-app` and is not counted here
//! again. **Blind spots**: a lead under the margin; effects without a time; a broker whose clock is off by more.

use std::collections::HashMap;

use super::example::{Seen, Worst, records};
use super::{Case, Checker, Example, Finding, Severity, Tp};
use crate::clock::{Nanos, seconds, text_seconds};

pub(super) const CHECKER: Checker = Checker {
    name: "commit-ahead",
    claim: "counted: records committed before they had an effect or dead letter",
    check,
};

/// Two clocks on one machine agree to a millisecond, Kafka's timestamps have that unit; the rest is for machines apart.
const MARGIN: Nanos = 100_000_000;

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    // In each topic partition, when each higher offset was reached.
    let mut steps: HashMap<Tp, Vec<(Nanos, i64)>> = HashMap::new();
    let commits = &ledger.polls.commits;
    let mut order: Vec<u32> = (0..commits.len() as u32).collect();
    order.sort_by_key(|at| commits[*at as usize].t);
    for commit in order.into_iter().map(|at| commits[at as usize]) {
        let steps = steps.entry(commit.tp).or_default();
        if steps.last().is_none_or(|(_, reached)| commit.offset > *reached) {
            steps.push((commit.t, commit.offset));
        }
    }
    let mut seen = Seen::of(ledger);
    let mut worst = Worst::default();
    for place in ledger.log() {
        let row = ledger.row(place.row);
        let (Some(served), Some(steps)) = (row.served_at(), steps.get(&place.tp)) else { continue };
        let passed = steps.partition_point(|(_, reached)| *reached <= place.offset);
        let Some((committed, reached)) = steps.get(passed) else { continue };
        let lead = served.saturating_sub(*committed);
        if lead <= MARGIN || !seen.first(place.row) {
            continue;
        }
        worst.add(lead, || Example {
            offsets: vec![place.offset],
            tp: Some(ledger.tps.name(place.tp).to_string()),
            ..case.example(
                row,
                format!(
                    "{reached} was committed at {:.3} s, its effect or dead letter came {} later",
                    seconds(*committed),
                    text_seconds(seconds(lead))
                ),
            )
        });
    }
    let widest = text_seconds(seconds(worst.widest));
    let message = format!("{} committed before they were served, by up to {widest}", records(worst.count));
    Finding::new(CHECKER.name, worst.count, Severity::Counted, message, worst.examples())
}
