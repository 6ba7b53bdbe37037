//! What a scenario says must be seen. Missed: the run is inconclusive, for what it was made to show did not happen.

use super::{Components, Integrity};
use crate::plan::ExpectPlan;
use crate::recovery::breaker_state;
use crate::verdict::{Reason, Verdict};

const CODE: &str = "expectation-not-met";

/// The expectations that were missed.
pub(super) fn missed(plan: &ExpectPlan, integrity: &Integrity, components: &Components) -> Vec<(Verdict, Reason)> {
    let mut missed = Vec::new();
    missed.extend(breaker(&plan.breaker, components));
    if let Some(least) = plan.dead_letters.filter(|least| integrity.dead_lettered < *least) {
        missed.push(format!("expected at least {least} dead letters, found {}", integrity.dead_lettered));
    }
    missed.into_iter().map(|message| (Verdict::Inconclusive, Reason { code: CODE.into(), message })).collect()
}

/// Some one actor's breaker must pass through the states in this order; others may come between.
fn breaker(states: &[String], components: &Components) -> Option<String> {
    if states.is_empty() {
        return None;
    }
    let transitions = &components.breaker.transitions;
    let mut actors: Vec<Option<&str>> = transitions.iter().map(|row| row.actor.as_deref()).collect();
    actors.sort_unstable();
    actors.dedup();
    let reached = |actor: &Option<&str>| {
        let mut left = states.iter().peekable();
        for row in transitions.iter().filter(|row| row.actor.as_deref() == *actor) {
            left.next_if(|state| breaker_state(&row.value) == Some(state.as_str()));
        }
        states.len() - left.count()
    };
    let best = actors.iter().map(reached).max().unwrap_or(0);
    (best < states.len()).then(|| {
        let seen = if best == 0 { "none of them".to_owned() } else { states[..best].join(", ") };
        format!("expected a breaker to go through {}: saw {seen}", states.join(", "))
    })
}
