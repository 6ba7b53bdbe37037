//! What members polled and committed, assignment by assignment: the little that later says whether a delivery passed a
//! record over, and when the group's offset passed one.
//!
//! Owns the bookkeeping. Which passage is an anomaly is decided once the log is known, by the checkers.

use std::collections::HashMap;

use super::index::{Tp, Tps};
use crate::clock::Nanos;
use crate::history::At;
use crate::plan::TopicPartition;

/// Who did it: a number in [`Actors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(pub(super) u16);

/// The actors of a history, in the order of their first mention.
#[derive(Clone, Debug, Default)]
pub struct Actors(Vec<String>);

impl Actors {
    /// The number of `name`, new or known. There are a handful: a scan beats a hash.
    pub fn of(&mut self, name: Option<&str>) -> Actor {
        let name = name.unwrap_or_default();
        let known = self.0.iter().position(|known| known == name);
        Actor(known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }) as u16)
    }

    /// The name of a number that this list gave out.
    pub fn name(&self, actor: Actor) -> &str {
        &self.0[actor.0 as usize]
    }
}

/// A delivery that did not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leap {
    pub tp: Tp,
    pub actor: Actor,
    /// Within an assignment: the highest offset that it had delivered. At its start: `None`.
    pub after: Option<i64>,
    /// What was delivered then.
    pub to: i64,
    /// When the assignment began.
    pub assigned: Nanos,
    /// When it was delivered.
    pub t: Nanos,
    /// Index into [`super::Ledger::rows`].
    pub row: u32,
}

/// An acknowledged commit: the group's next offset to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub tp: Tp,
    pub offset: i64,
    /// When the acknowledgement, or the harness's look at the group, was recorded: the commit is not younger.
    pub t: Nanos,
    pub actor: Actor,
    /// The harness saw it, watching the group.
    pub watched: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: Nanos,
    last: Option<i64>,
    highest: i64,
}

/// Assignments as they come and go, and what was odd about their deliveries.
#[derive(Debug, Default)]
pub struct Polls {
    /// Apart from the ledger's: to be assigned a topic partition is not yet to have anything to do with it.
    assigned: Tps,
    held: HashMap<(Actor, Tp), Held>,
    /// First deliveries of assignments.
    pub starts: Vec<Leap>,
    /// Deliveries beyond the next offset, within one assignment.
    pub skips: Vec<Leap>,
    /// Deliveries of what the assignment had delivered already, or of less.
    pub returns: Vec<Leap>,
    /// In the order of the history.
    pub commits: Vec<Committed>,
}

impl Polls {
    pub(super) fn assign(&mut self, actor: Actor, tp: &TopicPartition, t: Nanos) {
        let tp = self.assigned.of(tp.into());
        self.held.insert((actor, tp), Held { since: t, last: None, highest: -1 });
    }

    pub(super) fn revoke(&mut self, actor: Actor, tp: &TopicPartition) {
        if let Some(tp) = self.assigned.find(tp) {
            self.held.remove(&(actor, tp));
        }
    }

    /// A member's process ended: whatever it held it holds no more.
    pub(super) fn exit(&mut self, actor: Actor) {
        self.held.retain(|(holder, _), _| *holder != actor);
    }

    /// Deliveries outside an assignment, or from before it (a dead process's last lines), say nothing.
    pub(super) fn deliver(&mut self, actor: Actor, (tp, at): (Tp, At<'_>), to: i64, t: Nanos, row: u32) {
        let Some(own) = self.assigned.find_at(at) else { return };
        let Some(held) = self.held.get_mut(&(actor, own)).filter(|held| t >= held.since) else { return };
        let leap = |after| Leap { tp, actor, after, to, assigned: held.since, t, row };
        match held.last {
            None => self.starts.push(leap(None)),
            Some(last) if to <= last => self.returns.push(leap(Some(last))),
            // After a return the way up to where it was before has been seen.
            Some(_) if to > held.highest.saturating_add(1) => self.skips.push(leap(Some(held.highest))),
            Some(_) => {}
        }
        held.last = Some(to);
        held.highest = held.highest.max(to);
    }
}
