//! The toxics on one direction of one connection, in order. Pure, like its [`Stage`]s: the time is told.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::stage::{End, Item, Stage};
use super::toxic::{Identity, Toxic};

pub(super) struct Chain {
    connection: Identity,
    /// Came in, and does not fit into the first stage yet.
    inbox: VecDeque<Item>,
    stages: Vec<Stage>,
    /// Past every stage.
    outbox: VecDeque<Item>,
}

impl Chain {
    pub(super) fn new(connection: Identity, toxics: &[Arc<Toxic>], now: Instant) -> Self {
        let stages = toxics.iter().map(|toxic| Stage::new(toxic.clone(), &connection, now)).collect();
        Self { connection, inbox: VecDeque::new(), stages, outbox: VecDeque::new() }
    }

    /// Nothing is in the way and nothing waits: bytes may be passed on without a detour through here.
    pub(super) fn is_clear(&self) -> bool {
        self.stages.is_empty() && self.outbox.is_empty() && self.inbox.is_empty()
    }

    /// Whether to read on. Ask after [`next`](Self::next) gave `None`.
    pub(super) fn wants_more(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Something came from the source.
    pub(super) fn feed(&mut self, item: Item) {
        self.inbox.push_back(item);
    }

    /// What may go out now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Item> {
        if self.reset_due().is_some_and(|due| due <= now) {
            return Some(Item::End(End::Reset));
        }
        if let Some(item) = self.outbox.pop_front() {
            return Some(item);
        }
        self.pull(self.stages.len(), now)
    }

    /// When [`next`](Self::next) may have more to say without anything coming in. Ask after it gave `None`.
    pub(super) fn due(&self) -> Option<Instant> {
        // Ahead of a stage without room, no time matters but the reset's: nothing was asked to leave there.
        let free = |at: usize| self.stages[at + 1..].iter().all(Stage::room);
        let stages = self.stages.iter().enumerate();
        let due = stages.filter_map(|(at, stage)| stage.due().filter(|_| free(at))).min();
        due.into_iter().chain(self.reset_due()).min()
    }

    /// When the connection is to be reset, whatever waits.
    pub(super) fn reset_due(&self) -> Option<Instant> {
        self.stages.iter().filter_map(Stage::reset_due).min()
    }

    /// The next item to leave the first `count` stages.
    fn pull(&mut self, count: usize, now: Instant) -> Option<Item> {
        let Some(last) = count.checked_sub(1) else { return self.inbox.pop_front() };
        while self.stages[last].room() {
            let Some(item) = self.pull(last, now) else { break };
            self.stages[last].accept(item, now);
        }
        self.stages[last].release(now)
    }

    /// Makes the stages those of `toxics`. What waited in a removed one goes on at once, ahead of what comes after;
    /// where a removed one had thrown bytes away, the connection ends.
    pub(super) fn apply(&mut self, toxics: &[Arc<Toxic>], now: Instant) {
        let mut at = 0;
        while at < self.stages.len() {
            let id = self.stages[at].toxic().id;
            match toxics.iter().find(|toxic| toxic.id == id) {
                Some(toxic) => {
                    if toxic.revision != self.stages[at].toxic().revision {
                        self.stages[at].update(toxic.clone(), now);
                    }
                    at += 1;
                }
                None => {
                    let gone = self.stages.remove(at);
                    match self.stages.get_mut(at) {
                        Some(next) => gone.dissolve().for_each(|item| next.accept(item, now)),
                        None => self.outbox.extend(gone.dissolve()),
                    }
                }
            }
        }
        // New ones are at the end, and in the order of `toxics`.
        for toxic in &toxics[at.min(toxics.len())..] {
            self.stages.push(Stage::new(toxic.clone(), &self.connection, now));
        }
    }
}

#[cfg(test)]
mod tests;
