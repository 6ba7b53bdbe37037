//! The topic partitions that are assigned now: what was taken for each one's task, and what came out. Belongs to the
//! polling thread; the tasks see their [`Lane`] only.
//!
//! Each topic partition is fetched into a queue of its own, and no more is taken from it than its task may have in
//! flight. librdkafka stops fetching for a queue that is long enough. So a slow topic partition holds no other one, and
//! nothing is paused: pausing throws away what was fetched ahead, and each resumption fetches it anew, which makes a
//! backlog drain in small steps just when it should drain fast.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::queue::{Source, Taken, Waker};
use crate::clock::Clock;
use crate::resilience::record::{Incoming, TopicPartition};

/// Starts the task of a topic partition.
pub(super) type Spawn = Arc<dyn Fn(Arc<Lane>, mpsc::UnboundedReceiver<Incoming>) -> AbortHandle + Send + Sync>;

/// What the polling thread and one topic partition's task share, for one assignment of it.
pub(super) struct Lane {
    pub tp: TopicPartition,
    /// Begin nothing new, finish what is in flight.
    pub stop: CancellationToken,
    /// Fed and not finished.
    in_flight: AtomicUsize,
    /// Everything below is finished; -1 before the first.
    finished: AtomicI64,
    ended: AtomicBool,
    ends: Arc<Ends>,
    /// Wakes the polling thread: there is room for another record, or an offset to store.
    waker: Waker,
}

/// Wakes whoever waits for tasks to end.
#[derive(Default)]
struct Ends {
    lock: Mutex<()>,
    wake: Condvar,
}

impl Lane {
    /// The record at `offset` and all before it have their outcome.
    pub fn finish(&self, offset: i64) {
        self.finished.store(offset + 1, Ordering::Release);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// The task ended, whichever way.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let _guard = self.ends.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.ends.wake.notify_all();
    }
}

struct Assigned {
    lane: Arc<Lane>,
    feed: mpsc::UnboundedSender<Incoming>,
    task: AbortHandle,
    /// `None` once the client is being closed.
    source: Option<Box<dyn Source>>,
    /// The next offset to feed: what comes below it came before.
    next: i64,
    /// What librdkafka was told to commit; next offset to read.
    stored: i64,
    /// What a broker acknowledged.
    committed: i64,
}

/// All topic partitions assigned to this member.
pub(super) struct Assignment {
    spawn: Spawn,
    max_in_flight: usize,
    waker: Waker,
    ends: Arc<Ends>,
    assigned: BTreeMap<TopicPartition, Assigned>,
}

impl Assignment {
    pub fn new(spawn: Spawn, max_in_flight: usize, waker: Waker) -> Self {
        Self { spawn, max_in_flight: max_in_flight.max(1), waker, ends: Arc::default(), assigned: BTreeMap::new() }
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Starts the tasks of new topic partitions, each with the queue that it is fetched into.
    pub fn add(&mut self, tps: Vec<(TopicPartition, Box<dyn Source>)>) {
        for (tp, source) in tps {
            let lane = Arc::new(Lane {
                tp: tp.clone(),
                stop: CancellationToken::new(),
                in_flight: AtomicUsize::new(0),
                finished: AtomicI64::new(-1),
                ended: AtomicBool::new(false),
                ends: Arc::clone(&self.ends),
                waker: self.waker.clone(),
            });
            let (feed, fed) = mpsc::unbounded_channel();
            let task = (self.spawn)(Arc::clone(&lane), fed);
            let source = Some(source);
            let assigned = Assigned { lane, feed, task, source, next: -1, stored: -1, committed: -1 };
            if let Some(old) = self.assigned.insert(tp.clone(), assigned) {
                old.lane.stop.cancel();
                old.task.abort();
            }
        }
    }

    /// Takes what is fetched and has room. They count as in flight from now on: [`feed`](Self::feed) them.
    pub fn take(&mut self) -> (Vec<Incoming>, Vec<i32>) {
        let (mut records, mut errors) = (Vec::new(), Vec::new());
        for assigned in self.assigned.values_mut().filter(|assigned| !assigned.lane.stop.is_cancelled()) {
            let Some(source) = &assigned.source else { continue };
            let room = self.max_in_flight.saturating_sub(assigned.lane.in_flight.load(Ordering::Acquire));
            for _ in 0..room {
                match source.take() {
                    Some(Taken::Record(record)) if record.offset >= assigned.next => {
                        assigned.next = record.offset + 1;
                        assigned.lane.in_flight.fetch_add(1, Ordering::AcqRel);
                        records.push(record);
                    }
                    // Taken before.
                    Some(Taken::Record(_)) => {}
                    Some(Taken::Error(code)) => errors.push(code),
                    None => break,
                }
            }
        }
        (records, errors)
    }

    /// Counts a record that came another way than through its topic partition's queue. False: it was taken before.
    pub fn accept(&mut self, record: &Incoming) -> bool {
        let assigned = self.assigned.get_mut(&record.topic_partition()).filter(|a| record.offset >= a.next);
        let Some(assigned) = assigned else { return false };
        assigned.next = record.offset + 1;
        assigned.lane.in_flight.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Hands a taken record to its task.
    pub fn feed(&mut self, record: Incoming) {
        if let Some(assigned) = self.assigned.get(&record.topic_partition()) {
            // A task that is ended takes nothing: the record is left to the next owner.
            let _ = assigned.feed.send(record);
        }
    }

    /// Lets go of the queues: they must not outlive the client.
    pub fn close(&mut self) {
        for assigned in self.assigned.values_mut() {
            assigned.source = None;
        }
    }

    /// Offsets that may be stored now and were not yet; marked as stored.
    pub fn storable(&mut self) -> Vec<(TopicPartition, i64)> {
        let mut offsets = Vec::new();
        for (tp, assigned) in &mut self.assigned {
            let finished = assigned.lane.finished.load(Ordering::Acquire);
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
            assigned.lane.stop.cancel();
        }
        let running = || lanes.iter().filter(|a| !a.lane.ended.load(Ordering::Acquire));
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
            assigned.lane.stop.cancel();
            assigned.task.abort();
        }
    }

    /// Forgets `tps`; their tasks have been drained or aborted.
    pub fn remove(&mut self, tps: &[TopicPartition]) {
        for tp in tps {
            self.assigned.remove(tp);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    type Fakes = Arc<Mutex<Vec<(Arc<Lane>, mpsc::UnboundedReceiver<Incoming>)>>>;

    struct Script(Mutex<VecDeque<Taken>>);

    impl Source for Script {
        fn take(&self) -> Option<Taken> {
            self.0.lock().unwrap().pop_front()
        }
    }

    fn fetched(offsets: &[i64]) -> Box<dyn Source> {
        Box::new(Script(Mutex::new(offsets.iter().map(|offset| Taken::Record(record(*offset))).collect())))
    }

    fn assignment(max_in_flight: usize) -> (Assignment, Fakes) {
        let fakes = Fakes::default();
        let made = Arc::clone(&fakes);
        let spawn: Spawn = Arc::new(move |lane, feed| {
            made.lock().unwrap().push((lane, feed));
            tokio::spawn(std::future::pending::<()>()).abort_handle()
        });
        (Assignment::new(spawn, max_in_flight, Waker::of_this_thread()), fakes)
    }

    fn record(offset: i64) -> Incoming {
        Incoming {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp: None,
            key: None,
            payload: None,
            headers: Vec::new(),
        }
    }

    fn offsets(assignment: &mut Assignment) -> Vec<i64> {
        assignment.take().0.iter().map(|record| record.offset).collect()
    }

    #[tokio::test]
    async fn no_more_is_taken_than_may_be_in_flight() {
        let (mut assignment, fakes) = assignment(3);
        assignment.add(vec![(TopicPartition::new("t", 0), fetched(&[0, 1, 2, 3, 4]))]);
        assert_eq!(offsets(&mut assignment), [0, 1, 2]);
        assert!(offsets(&mut assignment).is_empty());
        fakes.lock().unwrap()[0].0.finish(0);
        assert_eq!(offsets(&mut assignment), [3]);
    }

    #[tokio::test]
    async fn a_record_is_taken_once_though_it_is_fetched_twice() {
        let (mut assignment, _fakes) = assignment(10);
        assignment.add(vec![(TopicPartition::new("t", 0), fetched(&[5, 5, 4, 9]))]);
        assert_eq!(offsets(&mut assignment), [5, 9], "offsets may have gaps");
    }

    #[tokio::test]
    async fn nothing_is_taken_for_a_task_that_stops() {
        let (mut assignment, _fakes) = assignment(10);
        let tp = TopicPartition::new("t", 0);
        assignment.add(vec![(tp.clone(), fetched(&[0]))]);
        assignment.abort(&[tp]);
        assert!(offsets(&mut assignment).is_empty());
    }

    #[tokio::test]
    async fn an_offset_is_stored_once_and_offered_until_committed() {
        let (mut assignment, fakes) = assignment(10);
        let tp = TopicPartition::new("t", 0);
        assignment.add(vec![(tp.clone(), fetched(&[7]))]);
        assert!(assignment.storable().is_empty());
        assert_eq!(offsets(&mut assignment), [7]);
        fakes.lock().unwrap()[0].0.finish(7);
        assert_eq!(assignment.storable(), [(tp.clone(), 8)]);
        assert!(assignment.storable().is_empty());
        assert_eq!(assignment.uncommitted(std::slice::from_ref(&tp)), [(tp.clone(), 8)]);
        assignment.note_committed(&tp, 8);
        assert!(assignment.uncommitted(&[tp]).is_empty());
    }

    #[tokio::test]
    async fn draining_returns_as_soon_as_the_tasks_ended_and_names_the_late_ones() {
        let (mut assignment, fakes) = assignment(10);
        let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        assignment.add(vec![(a.clone(), fetched(&[])), (b.clone(), fetched(&[]))]);
        fakes.lock().unwrap()[0].0.end();
        assert!(assignment.drain(std::slice::from_ref(&a), Duration::from_secs(600)).is_empty());
        assert_eq!(assignment.drain(&[a, b.clone()], Duration::from_millis(5)), [b]);
    }
}
