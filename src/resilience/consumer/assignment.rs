//! The topic partitions that are assigned now: what their tasks have finished, what of it is stored and committed, and
//! how they are stopped. Belongs to the polling thread; the tasks see their [`Lane`] only.
//!
//! Each topic partition is fetched into a queue of its own, and its task takes no more from it than it may have in
//! flight. librdkafka stops fetching for a queue that is long enough. So a slow topic partition holds no other one, and
//! nothing is paused: pausing throws away what was fetched ahead, and each resumption fetches it anew, which makes a
//! backlog drain in small steps just when it should drain fast.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::lane::{Ends, Lane, Report, Waker};
use super::queue::Source;
use crate::clock::Clock;
use crate::resilience::record::{Incoming, TopicPartition};

/// Starts the task of a topic partition.
pub(super) type Spawn = Arc<dyn Fn(Arc<Lane>) -> AbortHandle + Send + Sync>;

/// A topic partition, the queue that it is fetched into, and who is notified when something comes into that.
pub(super) type Opened = (TopicPartition, Box<dyn Source>, Arc<Notify>);

struct Assigned {
    lane: Arc<Lane>,
    task: AbortHandle,
    /// What librdkafka was told to commit; next offset to read.
    stored: i64,
    /// What a broker acknowledged.
    committed: i64,
}

/// All topic partitions assigned to this member.
pub(super) struct Assignment {
    spawn: Spawn,
    waker: Waker,
    ends: Arc<Ends>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    assigned: BTreeMap<TopicPartition, Assigned>,
}

impl Assignment {
    pub fn new(spawn: Spawn, waker: Waker) -> Self {
        Self { spawn, waker, ends: Arc::default(), reports: mpsc::channel(), assigned: BTreeMap::new() }
    }

    /// Starts the tasks of new topic partitions. None of them may be assigned already.
    pub fn add(&mut self, opened: Vec<Opened>) {
        for (tp, source, news) in opened {
            let (ends, reports) = (Arc::clone(&self.ends), self.reports.0.clone());
            let lane = Arc::new(Lane::new(tp.clone(), source, news, ends, reports, self.waker.clone()));
            let task = (self.spawn)(Arc::clone(&lane));
            self.assigned.insert(tp, Assigned { lane, task, stored: -1, committed: -1 });
        }
    }

    /// What the tasks told since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.1.try_iter().collect()
    }

    /// Hands a record that came another way than through its topic partition's queue to its task.
    pub fn stray(&self, record: Incoming) {
        if let Some(assigned) = self.assigned.get(&record.topic_partition()) {
            assigned.lane.stray(record);
        }
    }

    /// Lets go of the queues: they must not outlive the client.
    pub fn close(&self) {
        for assigned in self.assigned.values() {
            assigned.lane.close();
        }
    }

    /// Offsets that may be stored now and were not yet; marked as stored.
    pub fn storable(&mut self) -> Vec<(TopicPartition, i64)> {
        let mut offsets = Vec::new();
        for (tp, assigned) in &mut self.assigned {
            let finished = assigned.lane.finished();
            if finished > assigned.stored {
                assigned.stored = finished;
                offsets.push((tp.clone(), finished));
            }
        }
        offsets
    }

    /// Of `tps`, what is stored and not known to be committed.
    pub fn uncommitted(&self, tps: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
        let assigned = tps.iter().filter_map(|tp| Some((tp, self.assigned.get(tp)?)));
        assigned.filter(|(_, a)| a.stored > a.committed).map(|(tp, a)| (tp.clone(), a.stored)).collect()
    }

    pub fn note_stored(&mut self, tp: &TopicPartition, next_offset: i64) {
        if let Some(assigned) = self.assigned.get_mut(tp) {
            assigned.stored = assigned.stored.max(next_offset);
        }
    }

    pub fn note_committed(&mut self, tp: &TopicPartition, next_offset: i64) {
        if let Some(assigned) = self.assigned.get_mut(tp) {
            assigned.committed = assigned.committed.max(next_offset);
        }
    }

    pub fn all(&self) -> Vec<TopicPartition> {
        self.assigned.keys().cloned().collect()
    }

    /// Stops the tasks of `tps` and waits for them, at most `timeout`; then aborts the rest. Returns who was aborted.
    pub fn drain(&mut self, tps: &[TopicPartition], timeout: Duration) -> Vec<TopicPartition> {
        let lanes: Vec<_> = tps.iter().filter_map(|tp| self.assigned.get(tp)).collect();
        for assigned in &lanes {
            assigned.lane.stop();
        }
        let running = || lanes.iter().filter(|a| !a.lane.has_ended());
        let clock = Clock::start();
        let mut guard = self.ends.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while running().next().is_some() {
            let left = timeout.saturating_sub(Duration::from_nanos(clock.now()));
            if left.is_zero() {
                break;
            }
            let waited = self.ends.wake.wait_timeout(guard, left).unwrap_or_else(|poisoned| poisoned.into_inner());
            guard = waited.0;
        }
        drop(guard);
        let late: Vec<_> = running().map(|a| a.lane.tp.clone()).collect();
        for assigned in running() {
            assigned.task.abort();
        }
        late
    }

    /// Stops the tasks of `tps` at once.
    pub fn abort(&mut self, tps: &[TopicPartition]) {
        for assigned in tps.iter().filter_map(|tp| self.assigned.get(tp)) {
            assigned.lane.stop();
            assigned.task.abort();
        }
    }

    /// Forgets `tps`, whose tasks have been drained or aborted, and lets go of their queues: a task that is still being
    /// aborted must not take what a later assignment fetches.
    pub fn remove(&mut self, tps: &[TopicPartition]) {
        for assigned in tps.iter().filter_map(|tp| self.assigned.remove(tp)) {
            assigned.lane.close();
        }
    }
}

#[cfg(test)]
mod tests;
