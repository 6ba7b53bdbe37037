//! `unexpected`: read, and never sent like that.
//!
//! **Claim**: whatever is read was sent, with these bytes. **Method**: an id in the input log, a delivery, an effect or
//! a dead letter that no send was begun for; or a record in the input log whose checksum does not fit; or, where the
//! scenario says that a record has several effects, one whose `seaworthy-part` is missing, no number, or of a part
//! that there is not. Counted by id. **Blind spots**: effects and dead letters may transform the value, so their bytes are not
//! compared.

use super::example::records;
use super::{Case, Checker, Finding, Sent, Severity};
use crate::plan::PART_HEADER;

pub(super) const CHECKER: Checker =
    Checker { name: "unexpected", claim: "whatever is read was sent, with these bytes", check };

fn check(case: &Case<'_>) -> Finding {
    let each = case.ledger.effects_each();
    let sink = case.sink();
    let topic = case.plan.is_none_or(|plan| plan.subject.sink().is_topic());
    let where_ = if topic { "the header " } else { "" };
    let (count, examples) = case.examples(|row| {
        let places = [
            (row.in_log() > 0, "the input log"),
            (row.delivered() > 0, "a delivery"),
            (row.effects() > 0, &*sink),
            (row.dead_letters() > 0, "the dead-letter topic"),
        ];
        match row.sent() {
            Sent::Never => {
                let seen: Vec<&str> = places.iter().filter(|(seen, _)| *seen).map(|(_, place)| *place).collect();
                Some(format!("never sent, yet in {}", seen.join(", ")))
            }
            _ if row.altered() => Some("its bytes in the input log are not the ones that were sent".to_owned()),
            _ => row.strange_effects().map(|strange| match strange.part {
                Some(part) => format!("an effect of part {part}, and its {each} parts are 0 to {}", each - 1),
                None => {
                    format!("an effect without a number in {where_}{PART_HEADER}, and a record has {each} parts")
                }
            }),
        }
    });
    let other = if each > 1 { ", with other bytes, or as a part that there is not" } else { ", or with other bytes" };
    let message = format!("{} read that nobody sent{other}", records(count));
    Finding::new(CHECKER.name, count, Severity::Fatal, message, case.with_log_offsets(examples))
}
