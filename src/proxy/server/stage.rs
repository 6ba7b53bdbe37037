//! One toxic at work on one direction of one connection: what goes in, and when it may go out.
//!
//! Pure state machines: no socket, no timer, no clock. The time is told, and draws come from a seed, so that the same
//! seed gives the same delays.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::toxic::{Identity, Kind, Toxic};
use crate::rng::Rng;

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Bytes, and when they came: delays count from there.
    Data(Bytes, Instant),
    End(End),
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The source has sent its last byte; the other direction goes on.
    Half,
    /// A toxic, or the source's failure, closes the connection.
    Closed,
    /// A toxic resets it: RST to both sides, and what waits is lost.
    Reset,
}

/// Bytes that may wait in a toxic which is not there to hold them: beyond it, TCP makes the source wait.
const ROOM: usize = 64 * 1024;
/// Bytes that may be on their way in a slow network.
const PIPE: usize = 16 * 1024 * 1024;
/// Each waiting item counts as this many bytes more, so that tiny ones are bounded too.
const OVERHEAD: usize = 64;
/// A slow line lets a chunk through in pieces of this time, not all at its end.
const PIECE: Duration = Duration::from_millis(100);

pub(super) struct Stage {
    toxic: Arc<Toxic>,
    affected: bool,
    connection: Identity,
    /// When it took hold, or was last updated.
    since: Instant,
    rng: Rng,
    /// With the time from which each may go, where that is known when it comes in.
    waiting: VecDeque<(Instant, Item)>,
    waiting_bytes: usize,
    /// No item leaves before this: the last one's time (latency), the line's (bandwidth), the gap's end (slicer).
    not_before: Instant,
    /// Bytes let through (limit_data).
    passed: u64,
    /// Bytes were thrown away: the stream must not go on without this toxic.
    dropped: bool,
    /// It ended the stream.
    over: bool,
}

impl Stage {
    pub(super) fn new(toxic: Arc<Toxic>, connection: &Identity, now: Instant) -> Self {
        Self {
            affected: toxic.affects(connection),
            rng: Rng::fork(connection.seed, &connection.purpose("draws", &toxic.name)),
            toxic,
            connection: connection.clone(),
            since: now,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            not_before: now,
            passed: 0,
            dropped: false,
            over: false,
        }
    }

    pub(super) fn toxic(&self) -> &Toxic {
        &self.toxic
    }

    /// The kind in force: [`Kind::Noop`] for a connection that is spared.
    fn kind(&self) -> &Kind {
        if self.affected { &self.toxic.kind } else { &Kind::Noop }
    }

    /// Whether one more item may come in.
    pub(super) fn room(&self) -> bool {
        match *self.kind() {
            Kind::Latency { .. } => self.waiting_bytes < PIPE,
            // Enough to catch up after a late wake-up.
            Kind::Bandwidth { rate } => {
                self.waiting_bytes < ROOM.max(usize::try_from(rate.saturating_mul(20)).unwrap_or(PIPE))
            }
            _ => self.waiting_bytes < ROOM,
        }
    }

    /// Takes an item in.
    pub(super) fn accept(&mut self, item: Item, now: Instant) {
        if self.over {
            return;
        }
        match (self.kind().clone(), item) {
            (Kind::Latency { latency, jitter }, Item::Data(bytes, came)) => {
                let due = self.not_before.max(came + self.delay(latency, jitter));
                self.not_before = due;
                self.wait(due, Item::Data(bytes, came));
            }
            (Kind::Timeout { .. }, Item::Data(..)) => self.dropped = true,
            (Kind::Slicer { average_size, size_variation, .. }, Item::Data(mut bytes, came)) => {
                for size in self.slices(bytes.len(), average_size, size_variation) {
                    self.wait(now, Item::Data(bytes.split_to(size), came));
                }
            }
            (Kind::LimitData { bytes: limit }, Item::Data(mut bytes, came)) => {
                let left = usize::try_from(limit.saturating_sub(self.passed)).unwrap_or(usize::MAX);
                bytes.truncate(left);
                self.passed += bytes.len() as u64;
                if !bytes.is_empty() {
                    self.wait(now, Item::Data(bytes, came));
                }
                if self.passed >= limit {
                    self.wait(now, Item::End(End::Closed));
                    self.over = true;
                }
            }
            (Kind::SlowClose { delay }, Item::End(end)) => self.wait(now + millis(delay), Item::End(end)),
            (Kind::Noop | Kind::Bandwidth { .. } | Kind::SlowClose { .. } | Kind::ResetPeer { .. }, item)
            | (_, item @ Item::End(_)) => self.wait(now, item),
        }
    }

    /// The next item that may leave now.
    pub(super) fn release(&mut self, now: Instant) -> Option<Item> {
        match *self.kind() {
            Kind::Timeout { timeout: timeout @ 1.. } if !self.over && self.since + millis(timeout) <= now => {
                self.over = true;
                return Some(Item::End(End::Closed));
            }
            Kind::ResetPeer { .. } => return None,
            _ => {}
        }
        let due = self.head_due()?;
        if due > now {
            return None;
        }
        match *self.kind() {
            Kind::Bandwidth { rate } => {
                self.not_before = due;
                let piece = piece(rate);
                match self.waiting.front_mut() {
                    Some((_, Item::Data(bytes, came))) if bytes.len() > piece => {
                        self.waiting_bytes -= piece;
                        return Some(Item::Data(bytes.split_to(piece), *came));
                    }
                    _ => {}
                }
            }
            Kind::Slicer { delay, .. } => self.not_before = now + Duration::from_micros(delay.min(1 << 50)),
            // The delays of two in a row add up.
            Kind::Latency { .. } => {
                return self.pop().map(|item| match item {
                    Item::Data(bytes, _) => Item::Data(bytes, due),
                    end => end,
                });
            }
            _ => {}
        }
        self.pop()
    }

    /// When something may happen here without anything coming in.
    pub(super) fn due(&self) -> Option<Instant> {
        let closing = match *self.kind() {
            Kind::Timeout { timeout: timeout @ 1.. } if !self.over => Some(self.since + millis(timeout)),
            Kind::ResetPeer { .. } => return self.reset_due(),
            _ => None,
        };
        closing.into_iter().chain(self.head_due()).min()
    }

    /// When it resets the connection, whatever waits here or elsewhere.
    pub(super) fn reset_due(&self) -> Option<Instant> {
        match *self.kind() {
            Kind::ResetPeer { timeout } => Some(self.since + millis(timeout)),
            _ => None,
        }
    }

    fn head_due(&self) -> Option<Instant> {
        let (due, item) = self.waiting.front()?;
        match (self.kind(), item) {
            (Kind::Bandwidth { rate: 0 }, Item::Data(..)) => None,
            (Kind::Bandwidth { rate }, Item::Data(bytes, _)) => {
                let bytes = bytes.len().min(piece(*rate)) as u64;
                // Kilobytes a second are bytes a millisecond.
                Some(self.not_before.max(*due) + Duration::from_nanos(bytes * 1_000_000 / rate))
            }
            (Kind::Slicer { .. }, _) => Some(self.not_before.max(*due)),
            _ => Some(*due),
        }
    }

    /// Takes over a new version of its toxic. What waits is timed anew.
    pub(super) fn update(&mut self, toxic: Arc<Toxic>, now: Instant) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.affected = toxic.affects(&self.connection);
        self.toxic = toxic;
        self.since = now;
        self.not_before = now;
        if self.dropped && !self.affected {
            self.over = true;
            return self.wait(now, Item::End(End::Closed));
        }
        // What is cut stays cut, what is counted stays counted; only delays are drawn again.
        let keep = self.over || matches!(self.kind(), Kind::Slicer { .. } | Kind::LimitData { .. });
        for (_, item) in waiting {
            if keep { self.wait(now, item) } else { self.accept(item, now) }
        }
    }

    /// What waits, in order, now that the toxic is gone.
    pub(super) fn dissolve(self) -> impl Iterator<Item = Item> {
        let closed = (self.affected && self.toxic.kind.drops_data()).then_some(Item::End(End::Closed));
        self.waiting.into_iter().map(|(_, item)| item).chain(closed)
    }

    fn wait(&mut self, due: Instant, item: Item) {
        if let Item::Data(bytes, _) = &item {
            self.waiting_bytes += bytes.len() + OVERHEAD;
        }
        self.waiting.push_back((due, item));
    }

    fn pop(&mut self) -> Option<Item> {
        let (_, item) = self.waiting.pop_front()?;
        if let Item::Data(bytes, _) = &item {
            self.waiting_bytes -= bytes.len() + OVERHEAD;
        }
        Some(item)
    }

    /// `latency` ± `jitter`, never below 0.
    fn delay(&mut self, latency: u64, jitter: u64) -> Duration {
        if jitter == 0 {
            return millis(latency);
        }
        let swing = (self.rng.share() * 2.0 - 1.0) * jitter as f64;
        Duration::from_secs_f64((latency as f64 + swing).max(0.0) / 1e3)
    }

    /// The sizes into which `len` bytes are cut: halved, a little off the middle, until each is near the average.
    fn slices(&mut self, len: usize, average: u64, variation: u64) -> Vec<usize> {
        let (average, variation) = (clamp(average).max(1), clamp(variation));
        let (mut sizes, mut left) = (Vec::new(), vec![len]);
        while let Some(size) = left.pop() {
            if size <= average.saturating_add(variation) || size < 2 {
                sizes.push(size);
                continue;
            }
            let swing = if variation == 0 { 0 } else { self.rng.index(2 * variation) as isize - variation as isize };
            let cut = (size / 2).saturating_add_signed(swing).clamp(1, size - 1);
            left.push(size - cut);
            left.push(cut);
        }
        sizes
    }
}

fn millis(number: u64) -> Duration {
    // An hour is for ever here, and never overflows.
    Duration::from_millis(number.min(1 << 40))
}

fn clamp(number: u64) -> usize {
    usize::try_from(number.min(1 << 30)).unwrap_or(1 << 30)
}

/// Bytes of one piece at this rate.
fn piece(rate: u64) -> usize {
    let bytes = rate.saturating_mul(PIECE.as_millis() as u64);
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}
