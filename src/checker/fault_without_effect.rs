//! `fault-without-effect`: a fault that nobody felt.
//!
//! **Claim**: every planned fault was injected, confirmed by a probe, and felt where it must be felt. **Method**: the
//! fault's own events; for those that load cannot miss (a full cut, a slow network, a broker killed, stopped or paused,
//! handler errors, a member lost) also a slow or failed operation, a signal or a reassignment while it was in force;
//! for poison a dead letter of it. **Blind spots**: a disturbance by something else at that moment counts as felt.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};

pub(super) const CHECKER: Checker = Checker {
    name: "fault-without-effect",
    claim: "every planned fault was injected, confirmed, and felt where it must be felt",
    check,
};

fn check(case: &Case<'_>) -> Finding {
    let doubts: Vec<String> = case
        .marks
        .rounds
        .iter()
        .zip(&case.bites)
        .filter_map(|(round, bite)| Some(format!("{}: {}", round.label, bite.doubt.as_ref()?)))
        .collect();
    let message = doubts.first().cloned().unwrap_or_else(|| "every fault bit".to_owned());
    let examples = doubts.iter().take(EXAMPLES).map(|note| Example { note: note.clone(), ..Example::default() });
    Finding::new(CHECKER.name, doubts.len() as u64, Severity::Inconclusive, message, examples.collect())
}
