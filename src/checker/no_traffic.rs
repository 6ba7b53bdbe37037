//! `no-traffic`: nothing was put to the test.
//!
//! **Claim**: records were sent, acknowledged and served. **Method**: at least one acknowledged send and one effect or
//! dead letter. **Blind spots**: a trickle passes; a whole phase without load shows in the recovery's notes.

use super::{Case, Checker, Finding, Sent, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "no-traffic", claim: "records were sent, acknowledged and served", check };

fn check(case: &Case<'_>) -> Finding {
    let rows = || case.ledger.rows();
    let missing = if rows().all(|row| row.sent() == Sent::Never) {
        Some("no record was sent")
    } else if rows().all(|row| row.oks() == 0) {
        Some("no send was acknowledged")
    } else if !rows().any(|row| row.handled()) {
        Some("no record was served: no effect and no dead letter was found")
    } else {
        None
    };
    let message = missing.unwrap_or("records were sent and served");
    Finding::new(CHECKER.name, u64::from(missing.is_some()), Severity::Inconclusive, message, Vec::new())
}
