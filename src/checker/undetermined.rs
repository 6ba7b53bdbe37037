//! `undetermined`: owed, not found, and not proved lost.
//!
//! **Claim**: the run decided the fate of every record that is owed service. **Method**: whatever is acknowledged or
//! in the log, without effect or dead letter, and neither `lost-in-log` nor `lost-in-app`: the final read did not come
//! far enough, or the group had not committed past it when time ran out. Never counted as "0 lost": the run is
//! inconclusive. **Blind spots**: an indeterminate send that nobody found owes nothing, also where the read was short.

use super::example::records;
use super::{Case, Checker, Fate, Finding, Sent, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "undetermined", claim: "the run decided the fate of every record that is owed service", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let open = row.sent() != Sent::Never && case.ledger.fate(row) == Fate::Undetermined;
        open.then(|| {
            if row.in_log() == 0 && row.delivered() == 0 {
                "the final read did not come as far".to_owned()
            } else if row.passed() {
                "output or dead-letter topic was not read to its end".to_owned()
            } else {
                "the group has not committed past it".to_owned()
            }
        })
    });
    let message = format!("{} neither found nor proved lost", records(count));
    Finding::new(CHECKER.name, count, Severity::Inconclusive, message, case.with_log_offsets(examples))
}
