//! `final-read-truncated`: the last look did not see everything.
//!
//! **Claim**: every topic partition of input, output and dead-letter topic was read to its end. **Method**: a complete
//! final read for each topic partition that the plan or the history mentions. **Blind spots**: without a plan, a topic
//! partition that nothing was ever sent to or read from.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "final-read-truncated", claim: "every topic partition was read to its end", check };

fn check(case: &Case<'_>) -> Finding {
    let short = case.ledger.coverage.short();
    let message = match short {
        [] => "every topic partition was read to its end".to_owned(),
        [one] => format!("{one} was not read to its end"),
        [first, rest @ ..] => format!("{first} and {} more were not read to their ends", rest.len()),
    };
    let examples = short.iter().take(EXAMPLES).map(|tp| Example { tp: Some(tp.clone()), ..Example::default() });
    Finding::new(CHECKER.name, short.len() as u64, Severity::Inconclusive, message, examples.collect())
}
