//! `dead-letter-incomplete`: a dead letter that nobody can act on.
//!
//! **Claim**: where the subject promises a header convention, each dead letter has every header of it, and the place
//! that it names holds that record. **Method**: the final read's own mark, and the origin against what the final read
//! found in the input topic. **Blind spots**: an origin that the final read did not reach is believed; without a
//! convention and without an origin there is nothing to check.

use super::{Case, Checker, EXAMPLES, Finding, Letter, Severity};

pub(super) const CHECKER: Checker = Checker {
    name: "dead-letter-incomplete",
    claim: "each dead letter has the promised headers, and its origin holds that record",
    check,
};

fn check(case: &Case<'_>) -> Finding {
    let (mut count, mut examples) = (0, Vec::new());
    for letter in &case.ledger.letters {
        let Some(note) = wrong(case, letter) else { continue };
        count += 1;
        if examples.len() < EXAMPLES {
            let mut example = case.example(case.ledger.row(letter.place.row), note);
            example.tp = Some(case.ledger.tps.name(letter.place.tp).to_string());
            example.offsets = vec![letter.place.offset];
            examples.push(example);
        }
    }
    let message = format!("{count} dead letters without a promised header, or with a wrong origin");
    Finding::new(CHECKER.name, count, Severity::Fatal, message, examples)
}

fn wrong(case: &Case<'_>, letter: &Letter) -> Option<String> {
    if !letter.complete {
        return Some("a promised header is missing".to_owned());
    }
    let ledger = &case.ledger;
    let (origin, offset) = ledger.origin(letter)?;
    let named = format!("its origin {origin} offset {offset}");
    let Some(tp) = ledger.tps.find(origin) else { return Some(format!("{named} is unknown")) };
    // Two records at one place are another checker's business: any of them will do.
    let there: Vec<u32> = ledger.log_between(tp, offset, offset.saturating_add(1)).map(|place| place.row).collect();
    if !there.is_empty() {
        let ids: Vec<_> = there.iter().map(|row| ledger.row(*row).id()).collect();
        return (!there.contains(&letter.place.row)).then(|| format!("{named} holds {}", ids.join(", ")));
    }
    let reached = ledger.coverage.decides(Some(tp), Some(offset), Some(0));
    reached.then(|| format!("{named} holds no record"))
}
