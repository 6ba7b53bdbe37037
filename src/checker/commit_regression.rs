//! `commit-regression`: the group's committed offset goes back.
//!
//! **Claim**: none; what was handled is handled again, which at-least-once allows, but nobody asked for it. **Method**:
//! the acknowledged commits of one member in one topic partition, in their order, and what the harness saw of the
//! group, look after look: each step below the one before is one case. Commits of different members are not compared:
//! an acknowledgement may be noted late (a frozen member reads it when it is thawed), so their order is not known.
//! **Blind spots**: a step back between two members that the harness did not look at in time; offsets reset on purpose
//! look the same; subjects that do not report commits are seen at the end of the run only.

use std::collections::HashMap;

use super::{Actor, Case, Checker, EXAMPLES, Example, Finding, Severity, Tp};
use crate::clock::seconds;

pub(super) const CHECKER: Checker =
    Checker { name: "commit-regression", claim: "counted: committed offsets that go back", check };

fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.ledger;
    let mut known: HashMap<(Actor, Tp), i64> = HashMap::new();
    let (mut count, mut examples) = (0, Vec::new());
    for commit in &ledger.polls.commits {
        let Some(before) = known.insert((commit.actor, commit.tp), commit.offset) else { continue };
        if commit.offset >= before {
            continue;
        }
        count += 1;
        if examples.len() < EXAMPLES {
            let who = ledger.actors.name(commit.actor);
            examples.push(Example {
                tp: Some(ledger.tps.name(commit.tp).to_string()),
                offsets: vec![before, commit.offset],
                faults: case.faults_at(Some(commit.t)),
                note: format!("{who}: from {before} back to {} at {:.3} s", commit.offset, seconds(commit.t)),
                ..Example::default()
            });
        }
    }
    let message = format!("{count} times a committed offset went back");
    Finding::new(CHECKER.name, count, Severity::Counted, message, examples)
}
