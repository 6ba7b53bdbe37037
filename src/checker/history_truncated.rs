//! `history-truncated`: the record of the run breaks off.
//!
//! **Claim**: the history is whole. **Method**: its last line is. **Blind spots**: a history that breaks off between
//! two lines shows as `final-read-truncated`.

use super::{Case, Checker, Finding, Severity};

pub(super) const CHECKER: Checker = Checker { name: "history-truncated", claim: "the history is whole", check };

fn check(case: &Case<'_>) -> Finding {
    let cut = case.history.truncated;
    let message = if cut { "the history breaks off within a line" } else { "the history is whole" };
    Finding::new(CHECKER.name, u64::from(cut), Severity::Inconclusive, message, Vec::new())
}
