//! `failed-but-present`: reported as not written, yet read.
//!
//! **Claim**: a send that is reported as failed did not happen. **Method**: every attempt of the record failed for
//! certain (no acknowledged, indeterminate or open one), and the log, a delivery, an effect or a dead letter shows it.
//! Whoever believes the report sends it again and makes a duplicate. **Blind spots**: a subject that reports every
//! doubtful send as indeterminate is never caught here, rightly.

use super::example::records;
use super::{Case, Checker, Finding, Sent, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "failed-but-present", claim: "a send that is reported as failed did not happen", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let present = row.sent() == Sent::Failed && (row.found() || row.delivered() > 0);
        present.then(|| "every attempt was reported as failed".to_owned())
    });
    let message = format!("{} reported as failed, yet present", records(count));
    Finding::new(CHECKER.name, count, Severity::Fatal, message, case.with_log_offsets(examples))
}
