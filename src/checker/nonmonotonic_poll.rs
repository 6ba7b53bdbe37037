//! `nonmonotonic-poll`: within one assignment, delivery goes back.
//!
//! **Claim**: none; a seek back to retry is legitimate. **Method**: within one assignment of one member, each delivery
//! at or below the one before it in its topic partition is one case, however far it goes back. A new assignment begins
//! anew: the committed offset may be far behind. **Blind spots**: subjects that do not report assignments and
//! deliveries.

use super::{Case, Checker, EXAMPLES, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "nonmonotonic-poll", claim: "counted: deliveries that go back within one assignment", check };

fn check(case: &Case<'_>) -> Finding {
    let returns = &case.ledger.polls.returns;
    let examples = returns.iter().take(EXAMPLES).map(|leap| {
        let before = leap.after.unwrap_or(-1);
        case.leap_example(leap, format!("after offset {before}"))
    });
    let examples = examples.collect();
    let message = format!("{} times delivery went back within an assignment", returns.len());
    Finding::new(CHECKER.name, returns.len() as u64, Severity::Counted, message, examples)
}
