//! `final-read-truncated`: the last look did not see everything.
//!
//! **Claim**: every topic partition of input, output and dead-letter topic was read to its end, and so was every list of
//! another sink. **Method**: a complete final read for each topic partition or list that the plan or the history mentions. **Blind spots**: without a plan, a topic
//! partition that nothing was ever sent to or read from.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};
use crate::ledger::Short;

pub(super) const CHECKER: Checker =
    Checker { name: "final-read-truncated", claim: "every topic partition was read to its end", check };

fn check(case: &Case<'_>) -> Finding {
    let short = case.ledger.coverage.short();
    let message = match short {
        [] => "every topic partition was read to its end".to_owned(),
        [one] => format!("{} was not read to its end{}", one.tp, because(one)),
        [first, rest @ ..] => {
            format!("{} and {} more were not read to their ends{}", first.tp, rest.len(), because(first))
        }
    };
    let examples = short.iter().take(EXAMPLES).map(|short| Example {
        tp: Some(short.tp.clone()),
        note: short.why.clone().unwrap_or_default(),
        ..Example::default()
    });
    Finding::new(CHECKER.name, short.len() as u64, Severity::Inconclusive, message, examples.collect())
}

fn because(short: &Short) -> String {
    short.why.as_ref().map_or(String::new(), |why| format!(": {why}"))
}
