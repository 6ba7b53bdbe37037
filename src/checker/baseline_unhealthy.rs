//! `baseline-unhealthy`: there was no service to harm.
//!
//! **Claim**: before the first fault every topic partition was healthy. **Method**: in the phase "baseline", up to the
//! first injection, each scope has successes, no errors, and is unhealthy for at most a tenth of it (by the
//! typical window's p99, so that an outage is not its own measure); operations that the injection may have caught in
//! flight are left out. **Blind spots**: a scope without records in the baseline; without a plan nothing is checked.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "baseline-unhealthy", claim: "before the first fault every topic partition was healthy", check };

fn check(case: &Case<'_>) -> Finding {
    let wrong = case.analysis.as_ref().map_or(Vec::new(), |analysis| analysis.baseline_faults(&case.ledger));
    let message = match wrong.as_slice() {
        [] => "the baseline was healthy".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    };
    let examples = wrong.iter().take(EXAMPLES).map(|note| Example { note: note.clone(), ..Example::default() });
    Finding::new(CHECKER.name, wrong.len() as u64, Severity::Inconclusive, message, examples.collect())
}
