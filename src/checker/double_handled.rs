//! `double-handled`: an effect and a dead letter for one id.
//!
//! **Claim** (with `exactly_once`): a record is served or given up, not both. **Method**: ids found in both topics.
//! Counted under at-least-once, where a member may crash between its effect and its commit and the next one fail;
//! fatal with the promise `exactly_once`. **Blind spots**: dead letters that carry another identity.

use super::example::records;
use super::{Case, Checker, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "double-handled", claim: "a record is served or given up, not both", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let both = row.effects() > 0 && row.dead_letters() > 0;
        both.then(|| format!("effects: {}, dead letters: {}", row.effects(), row.dead_letters()))
    });
    let severity = if case.promises.exactly_once { Severity::Fatal } else { Severity::Counted };
    let message = format!("{} with an effect and a dead letter", records(count));
    Finding::new(CHECKER.name, count, severity, message, case.with_log_offsets(examples))
}
