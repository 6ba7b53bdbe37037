//! What tells somebody that something is wrong. The harness's own doings (chaos, progress, phases) do not.

use std::collections::HashMap;

use crate::clock::Nanos;
use crate::history::{Event, History, Op};
use crate::ledger::{Ledger, Trouble};

/// One telling event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling<'h> {
    pub t: Nanos,
    pub kind: &'h str,
    pub actor: Option<&'h str>,
}

/// Signals by name that tell of trouble or of its handling.
const TELLING: &[&str] = &[
    "client-error",
    "client-recreated",
    "dead-letter-failed",
    "error",
    "generation",
    "leader",
    "member-error",
    "member-exit",
    "output-failed",
    "producer",
    "rebalance",
    "rebalance-failed",
    "retries-exhausted",
    "retry",
];

/// All telling events of a history, by time (members' events are recorded when they arrive). A `leader` or `generation` that only says again what was known does
/// not count.
pub(super) fn signals<'h>(history: &'h History, ledger: &'h Ledger) -> Vec<Telling<'h>> {
    let mut known: HashMap<(&str, Option<&str>, Option<&str>), &serde_json::Value> = HashMap::new();
    let trouble = |trouble: &Trouble| Telling {
        t: trouble.t,
        kind: if trouble.certain { "send-failed" } else { "send-indeterminate" },
        actor: Some(ledger.actors.name(trouble.actor)).filter(|name| !name.is_empty()),
    };
    let mut signals: Vec<Telling<'_>> = ledger.troubles.iter().map(trouble).collect();
    let mut generation = None;
    for event in &history.events {
        if let Op::Assign { generation: Some(new), .. } | Op::Revoke { generation: Some(new), .. } = &event.op {
            // The first that is ever seen is how the group began.
            if generation.is_some_and(|known| *new > known) {
                signals.push(Telling { t: event.t, kind: "generation", actor: event.actor.as_deref() });
            }
            generation = generation.max(Some(*new));
        }
        let Some(kind) = kind(event) else { continue };
        if let Op::Signal { name, value } = &event.op
            && matches!(name.as_str(), "leader" | "generation")
        {
            let tp = value.get("tp").and_then(|tp| tp.as_str());
            if known.insert((name, event.actor.as_deref(), tp), value) == Some(value) {
                continue;
            }
        }
        signals.push(Telling { t: event.t, kind, actor: event.actor.as_deref() });
    }
    signals.sort_by_key(|signal| signal.t);
    signals
}

fn kind(event: &Event) -> Option<&str> {
    match &event.op {
        Op::Revoke { .. } => Some("revoked"),
        Op::Signal { name, value } if name == "breaker" => {
            (breaker_state(value) == Some("open")).then_some("breaker-open")
        }
        // That something is over is good news.
        Op::Signal { name, value } if name == "alert" => {
            (value.get("status").and_then(|status| status.as_str()) != Some("resolved")).then_some("alert")
        }
        Op::Signal { name, .. } => TELLING.contains(&name.as_str()).then_some(name.as_str()),
        _ => None,
    }
}

/// A breaker signal's state: the value itself, or its `to` or `state`.
pub fn breaker_state(value: &serde_json::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("to")?.as_str()).or_else(|| value.get("state")?.as_str())
}
