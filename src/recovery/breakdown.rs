//! Where a recovery time went: each part ends with an event that the history holds, and what the configured timers make
//! of a part at the least is told apart from the rest.
//!
//! Told for the worst scope alone, from the zero that its recovery was counted from. Parts whose events are missing are
//! not guessed: their time is in the part that follows.

use super::Part;
use super::analysis::{Analysis, Scope};
use super::marks::Round;
use super::ops::Stream;
use crate::clock::{Nanos, seconds};
use crate::history::{History, Op};
use crate::ledger::Ledger;
use crate::plan::{FaultKind, FloorOf, Since, floors};

/// The parts of `scope`'s return at `back` after `zero`; empty when it was never away.
pub(super) fn breakdown(
    history: &History,
    ledger: &Ledger,
    analysis: &Analysis,
    scope: &Scope,
    round: Option<&Round>,
    zero: Nanos,
    back: Nanos,
) -> Vec<Part> {
    let Some(round) = round.filter(|_| back > zero) else { return Vec::new() };
    let mut parts = Parts { zero, at: zero, back, list: Vec::new() };
    let from = round.inject.or(round.confirmed).unwrap_or(zero);
    if round.since == Some(Since::Inject) {
        let member = round.kind == "member";
        let taken = if member { moved(history, scope, from, back) } else { led(history, scope, from, back) };
        if let Some(taken) = taken {
            let (name, event) = if member {
                ("detection and reassignment by the group", "the topic partition's assignment to a member")
            } else {
                ("detection and election by the cluster", "the new leader in the brokers' metadata")
            };
            parts.until(taken, name, event);
            // The floor counts from the harm, which may be felt a little before its confirmation.
            parts.floor(history, round, seconds(zero - from.min(zero)));
        }
    }
    match scope.stream {
        Stream::Send => sends(&mut parts, ledger, scope),
        Stream::Effect => {
            let send = analysis.scopes.iter().find(|other| other.tp == scope.tp && other.stream == Stream::Send);
            // Where sends were not away, effects did not wait for them.
            let waited = send.filter(|send| {
                let away = |at| send.unhealthy.iter().any(|s| s.start <= at && s.end.is_none_or(|end| end > at));
                away(parts.at)
            });
            if let Some(send) = waited {
                sends(&mut parts, ledger, send);
            }
            let first =
                scope.track.due(ledger, parts.zero, back).filter_map(|op| op.done).filter(|t| *t > parts.at).min();
            if let Some(first) = first {
                parts.until(first, "the consumer's metadata, back-off and position", "the first effect after that");
            }
        }
    }
    parts.until(back, "catch-up", "the last late record's return");
    parts.list
}

struct Parts {
    zero: Nanos,
    /// Where the part in hand begins.
    at: Nanos,
    back: Nanos,
    list: Vec<Part>,
}

impl Parts {
    /// Ends a part at `t`; one without length is none.
    fn until(&mut self, t: Nanos, name: &str, event: &str) {
        let t = t.min(self.back);
        if t > self.at {
            let seconds = seconds(t - self.at);
            self.list.push(Part { name: name.to_owned(), seconds, known_by: event.to_owned(), ..Part::default() });
            self.at = t;
        }
    }

    /// Gives the part just ended the floor that the plan's timers set, less what had passed of it before the zero.
    fn floor(&mut self, history: &History, round: &Round, passed: f64) {
        let Some((plan, part)) = history.header.plan.as_deref().zip(self.list.last_mut()) else { return };
        // A fault that ends by itself, and nothing with it, is no work of a timer.
        let timers = |at: usize| {
            matches!(plan.faults[at].kind, FaultKind::Kill { .. } | FaultKind::Pause { .. } | FaultKind::Member { .. })
        };
        let floor = floors(plan)
            .into_iter()
            .find(|floor| floor.of == FloorOf::Recovery && Some(floor.fault) == round.planned && timers(floor.fault));
        let Some(floor) = floor else { return };
        let least = (floor.least.as_secs_f64() - passed).max(0.0);
        if least <= part.seconds {
            part.floor_s = Some(least);
            part.floor_sum = Some(floor.sum);
        }
    }
}

/// After the leader is known, or the network is back: the first success, then the rest.
fn sends(parts: &mut Parts, ledger: &Ledger, scope: &Scope) {
    if let Some(again) = first_acked(ledger, scope, parts.at) {
        parts.until(again, "the producer's metadata and back-off", "the first acknowledgement after that");
    }
}

/// The first success after `from`, of whatever was due.
fn first_acked(ledger: &Ledger, scope: &Scope, from: Nanos) -> Option<Nanos> {
    scope.track.successes(ledger, scope.track.successes_before(ledger, from, true)).next()
}

/// When the scope's new leader was first seen.
fn led(history: &History, scope: &Scope, from: Nanos, until: Nanos) -> Option<Nanos> {
    let tp = scope.tp.to_string();
    let seen = |event: &&crate::history::Event| match &event.op {
        Op::Signal { name, value } => name == "leader" && value.get("tp").and_then(|at| at.as_str()) == Some(&tp),
        _ => false,
    };
    history.events.iter().filter(seen).map(|event| event.t).filter(|t| (from..=until).contains(t)).min()
}

/// When the scope's topic partition was assigned to a member again.
fn moved(history: &History, scope: &Scope, from: Nanos, until: Nanos) -> Option<Nanos> {
    let here = |event: &&crate::history::Event| match &event.op {
        Op::Assign { tps, .. } => tps.contains(&scope.tp),
        _ => false,
    };
    history.events.iter().filter(here).map(|event| event.t).filter(|t| (from..=until).contains(t)).min()
}
