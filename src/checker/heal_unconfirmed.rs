//! `heal-unconfirmed`: a fault that may still be there.
//!
//! **Claim**: whatever was injected and is to be healed was seen gone. **Method**: an injected fault with a heal in the
//! plan or in the history, and no event `healed`. **Blind spots**: a kill without restart has nothing to heal.

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};

pub(super) const CHECKER: Checker =
    Checker { name: "heal-unconfirmed", claim: "whatever was injected and is to be healed was seen gone", check };

fn check(case: &Case<'_>) -> Finding {
    let open = case.marks.rounds.iter().filter(|round| round.heal_due && round.healed.is_none());
    let doubts: Vec<String> = open
        .map(|round| {
            let how = if round.heal.is_some() {
                "its removal was ordered and never confirmed"
            } else {
                "it was never healed"
            };
            let why = round.error.as_deref().map_or(String::new(), |error| format!(": {error}"));
            format!("{}: {how}{why}", round.label)
        })
        .collect();
    let message = doubts.first().cloned().unwrap_or_else(|| "every heal was confirmed".to_owned());
    let examples = doubts.iter().take(EXAMPLES).map(|note| Example { note: note.clone(), ..Example::default() });
    Finding::new(CHECKER.name, doubts.len() as u64, Severity::Inconclusive, message, examples.collect())
}
