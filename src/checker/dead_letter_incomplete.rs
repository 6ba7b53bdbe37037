//! `dead-letter-incomplete`: a dead letter that nobody can act on.
//!
//! **Claim**: where the subject promises a header convention, each dead letter has every header of it, and the place
//! that it names holds that record. **Method**: the final read's own mark, and the origin against what the final read
//! found in the input topic. **Blind spots**: an origin that the final read did not reach is believed; without a
//! convention and without an origin there is nothing to check.

use super::{Case, Checker, EXAMPLES, Finding, Letter, Place, Severity};

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
            let mut example = case.example(&case.ledger.rows[letter.place.row as usize], note);
            example.tp = Some(case.ledger.tps.name(letter.place.tp).to_string());
            example.offsets = vec![letter.place.offset];
            examples.push(example);
        }
    }
    let message = format!("{count} dead letters without a promised header, or with a wrong origin");
    Finding::new(CHECKER.name, count, Severity::Fatal, message, examples)
}

fn wrong(case: &Case<'_>, letter: &Letter<'_>) -> Option<String> {
    if !letter.complete {
        return Some("a promised header is missing".to_owned());
    }
    let (origin, ledger) = (letter.origin?, &case.ledger);
    let named = format!("its origin {} offset {}", origin.tp, origin.offset);
    let Some(tp) = ledger.tps.find(&origin.tp) else { return Some(format!("{named} is unknown")) };
    let at = |place: &Place| (place.tp, place.offset).cmp(&(tp, origin.offset));
    if let Ok(found) = ledger.log.binary_search_by(at) {
        // Two records at one place are another checker's business: any of them will do.
        let same = |place: &&Place| (place.tp, place.offset) == (tp, origin.offset);
        let near = ledger.log[..found].iter().rev().take_while(same).chain(ledger.log[found..].iter().take_while(same));
        let ids: Vec<&str> = near.map(|place| ledger.rows[place.row as usize].id).collect();
        let own = ledger.rows[letter.place.row as usize].id;
        return (!ids.contains(&own)).then(|| format!("{named} holds {}", ids.join(", ")));
    }
    let reached = ledger.coverage.decides(Some(tp), Some(origin.offset), Some(0));
    reached.then(|| format!("{named} holds no record"))
}
