//! What was sent, kept in memory while the load runs: the final read needs key and sequence number by identity,
//! and the progress display needs counts.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Nanos;
use crate::history::Outcome;
use crate::plan::Plan;

/// One sent record. Identities are dense: a record's is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentRow {
    pub key: u32,
    pub seq: u64,
    pub partition: i32,
}

/// Rows of everything that was attempted, and counts of what became of it.
#[derive(Debug, Default)]
pub struct SentLedger {
    rows: Mutex<Vec<SentRow>>,
    /// Lateness of each hand-over: handed to the client minus due, in nanoseconds.
    lateness: Mutex<Vec<u32>>,
    /// Numbers of the keys that the application leaves out.
    drops: BTreeSet<u32>,
    pub counters: Counters,
}

/// Counts since the load began.
#[derive(Debug, Default)]
pub struct Counters {
    pub attempted: AtomicU64,
    pub acked: AtomicU64,
    pub failed: AtomicU64,
    pub indeterminate: AtomicU64,
    /// Of the acknowledged ones, those that the application leaves out.
    pub filtered: AtomicU64,
}

impl Counters {
    /// Sends that have no outcome yet.
    pub fn outstanding(&self) -> u64 {
        let done = self.acked.load(Relaxed) + self.failed.load(Relaxed) + self.indeterminate.load(Relaxed);
        self.attempted.load(Relaxed).saturating_sub(done)
    }
}

impl SentLedger {
    /// An empty one, of a load of which the application leaves out what the plan says.
    pub fn of(plan: &Plan) -> Self {
        let drops = plan.subject.owed().drops.iter().filter_map(|key| plan.workload.number_of(key)).collect();
        Self { drops, ..Self::default() }
    }

    /// Counts what became of a send.
    pub(super) fn count(&self, outcome: Outcome, id: u64) {
        let counters = &self.counters;
        match outcome {
            Outcome::Ok => {
                counters.acked.fetch_add(1, Relaxed);
                if !self.drops.is_empty() && self.row(id).is_some_and(|row| self.drops.contains(&row.key)) {
                    counters.filtered.fetch_add(1, Relaxed);
                }
            }
            Outcome::Fail => drop(counters.failed.fetch_add(1, Relaxed)),
            Outcome::Info => drop(counters.indeterminate.fetch_add(1, Relaxed)),
            Outcome::Invoke => {}
        }
    }

    pub(super) fn attempt(&self, row: SentRow, due: Nanos, handed: Nanos) {
        lock(&self.rows).push(row);
        lock(&self.lateness).push(u32::try_from(handed.saturating_sub(due)).unwrap_or(u32::MAX));
        self.counters.attempted.fetch_add(1, Relaxed);
    }

    /// What was sent under this identity.
    pub fn row(&self, id: u64) -> Option<SentRow> {
        lock(&self.rows).get(usize::try_from(id).ok()?).copied()
    }

    /// Percentile (0–1) of the hand-overs' lateness, in nanoseconds; `None` before the first.
    pub fn lateness(&self, share: f64) -> Option<u64> {
        let mut sorted = lock(&self.lateness).clone();
        if sorted.is_empty() {
            return None;
        }
        let rank = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        Some(u64::from(*sorted.select_nth_unstable(rank).1))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_a_percentile_of_all_hand_overs() {
        let ledger = SentLedger::default();
        assert_eq!(ledger.lateness(0.99), None);
        for late in 1..=100 {
            ledger.attempt(SentRow { key: 0, seq: late, partition: 0 }, 1_000, 1_000 + late);
        }
        assert_eq!(ledger.lateness(0.99), Some(99));
        assert_eq!(ledger.lateness(0.5), Some(50));
        assert_eq!(ledger.row(99).map(|r| r.seq), Some(100));
        assert_eq!(ledger.row(100), None);
    }
}
