//! `filtered-but-served`: an effect of what the application leaves out.
//!
//! **Claim** (where the scenario names keys in `drops`): a record with such a key has no effect. **Method**: ids in the
//! output topic whose record was sent with one of these keys, acknowledged or not. Fatal, as what was never sent is: an
//! effect that must not be there was passed on. A dead letter is none, for a poison record may be found out before it is
//! left out; a good one is `wrongly-dead-lettered`. **Blind spots**: effects outside the output topic; what the
//! application leaves out by other marks than the record's key.

use super::example::records;
use super::{Case, Checker, Finding, Sent, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "filtered-but-served", claim: "records that the application leaves out have no effect", check };

fn check(case: &Case<'_>) -> Finding {
    let (count, examples) = case.examples(|row| {
        let served = row.filtered() && row.effects() > 0 && row.sent() != Sent::Never;
        served.then(|| format!("effects: {}, and its key is in `drops`", row.effects()))
    });
    let message = format!("{} with an effect, though the application leaves out their keys", records(count));
    Finding::new(CHECKER.name, count, Severity::Fatal, message, case.with_log_offsets(examples))
}
