//! `wrongly-dead-lettered`: a good record given up.
//!
//! **Claim**: the dead-letter topic holds what cannot be processed, not what could not be processed *just then*.
//! **Method**: ids in the dead-letter topic whose send did not mark them as poison. Counted, with its own budget
//! (`dead-lettered`): a permanent error that a fault injected on purpose looks the same. **Blind spots**: records that
//! the application itself has reason to refuse.

use super::example::records;
use super::{Case, Checker, Finding, Sent, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "wrongly-dead-lettered", claim: "only what cannot be processed is dead-lettered", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let good = row.dead_letters() > 0 && !row.poison() && row.sent() != Sent::Never;
        good.then(|| "a good record in the dead-letter topic".to_owned())
    });
    let message = format!("{} dead-lettered that could be processed", records(count));
    Finding::new(CHECKER.name, count, Severity::Counted, message, case.with_log_offsets(examples))
}
