//! What a scenario says must be seen. Missed: the run is inconclusive, for what it was made to show did not happen.

use super::{Components, Integrity, SignalRow};
use crate::plan::ExpectPlan;
use crate::recovery::breaker_state;
use crate::verdict::{Reason, Verdict};

const CODE: &str = "expectation-not-met";

/// The expectations that were missed.
pub(super) fn missed(plan: &ExpectPlan, integrity: &Integrity, components: &Components) -> Vec<(Verdict, Reason)> {
    let mut missed = Vec::new();
    missed.extend(breaker(&plan.breaker, components));
    missed.extend(alerts(plan, components));
    if let Some(least) = plan.retries.filter(|least| components.retry.retries < *least) {
        missed.push(format!("expected at least {least} retries, saw {}", components.retry.retries));
    }
    let found = &components.dlq.error_classes;
    missed.extend(plan.dead_letter_errors.iter().filter(|class| !found.contains_key(*class)).map(|class| {
        let found: Vec<&str> = found.keys().map(String::as_str).collect();
        let found = if found.is_empty() { "none at all".to_owned() } else { found.join(", ") };
        format!("expected dead letters of {class} errors: found {found}")
    }));
    if let Some(least) = plan.dead_letters.filter(|least| integrity.dead_lettered < *least) {
        missed.push(format!("expected at least {least} dead letters, found {}", integrity.dead_lettered));
    }
    missed.extend(plan.signals.iter().filter_map(|(name, least)| signal(name, *least, components)));
    missed.into_iter().map(|message| (Verdict::Inconclusive, Reason { code: CODE.into(), message })).collect()
}

/// Each alert that is to fire must fire somewhere, and one that is to be resolved in the member where it fired.
fn alerts<'a>(plan: &'a ExpectPlan, components: &'a Components) -> impl Iterator<Item = String> + 'a {
    let rows = move |kind: &'a str, status: &'a str| {
        components.alerts.iter().filter(move |row| says(row, "kind", kind) && says(row, "status", status))
    };
    let fired = move |kind: &'a str| rows(kind, "firing").next().is_some();
    let resolved = move |kind: &'a str| {
        let since = |over: &SignalRow| rows(kind, "firing").any(|row| row.actor == over.actor && row.t_s <= over.t_s);
        rows(kind, "resolved").any(since)
    };
    let silent = plan.alerts.iter().filter(move |kind| !fired(kind));
    let open = plan.alerts_resolved.iter().filter(move |kind| !resolved(kind));
    silent.map(|kind| format!("expected the alert {kind} to fire: no member told of it")).chain(open.map(move |kind| {
        let seen = if fired(kind) { "it fired and was not resolved" } else { "it did not fire" };
        format!("expected the alert {kind} to fire and be resolved: {seen}")
    }))
}

fn says(row: &SignalRow, field: &str, word: &str) -> bool {
    row.value.get(field).and_then(|value| value.as_str()) == Some(word)
}

/// Some one member's value must get there.
fn signal(name: &str, least: u64, components: &Components) -> Option<String> {
    let greatest = components.signals.iter().filter(|row| row.name == name).map(|row| row.greatest).reduce(f64::max);
    match greatest {
        Some(seen) if seen >= least as f64 => None,
        Some(seen) => Some(format!("expected the signal {name} to reach {least}: the greatest value was {seen}")),
        None => Some(format!("expected the signal {name} to reach {least}: no member exposed it")),
    }
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
