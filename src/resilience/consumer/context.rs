//! Callbacks of the client. All of them run on the polling thread, inside its poll or its close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use tokio::sync::Notify;

use super::Defect;
use super::assignment::Assignment;
use super::commit::{commit, generation};
use super::observer::Observer;
use super::queue::{Nothing, Queue, Source};
use crate::clock::Clock;
use crate::resilience::classify::code_of;
use crate::resilience::leader_search::LeaderSearch;
use crate::resilience::record::TopicPartition;

/// How long the commit of a revocation may take.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);

/// How soon a commit that a rebalance refused is tried again.
const COMMIT_AGAIN: Duration = Duration::from_millis(100);
const REBALANCE_IN_PROGRESS: i32 = RDKafkaErrorCode::RebalanceInProgress as i32;

pub(super) type Client = BaseConsumer<Context>;

pub(super) struct Context {
    assignment: Mutex<Assignment>,
    observer: Arc<dyn Observer>,
    drain_timeout: Duration,
    defect: Option<Defect>,
    pub search: LeaderSearch,
    logged: AtomicBool,
}

impl Context {
    pub fn new(
        assignment: Assignment,
        observer: Arc<dyn Observer>,
        drain_timeout: Duration,
        defect: Option<Defect>,
    ) -> Self {
        let search = LeaderSearch::new(Clock::start());
        let (assignment, logged) = (Mutex::new(assignment), AtomicBool::new(false));
        Self { assignment, observer, drain_timeout, defect, search, logged }
    }

    /// Whether a line was logged since the last call. To the poll that heard it nothing came, and behind it there may be more.
    pub fn take_logged(&self) -> bool {
        self.logged.swap(false, Ordering::Relaxed)
    }

    /// Never held while the client is polled: its callbacks lock it.
    pub fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Stores what has become finished; librdkafka commits it with its next commit.
    pub fn store_finished(&self, client: &Client) {
        let offsets = self.assignment().storable();
        for (tp, next) in offsets {
            // The call takes the offset of the last finished record and stores the one after it.
            if let Err(error) = client.store_offset(&tp.topic, tp.partition, next - 1) {
                self.observer.on_signal("offset-store-failed", &format!("{tp}: {error}"));
            }
        }
    }

    /// Stops the tasks of `tps` within the drain time and commits what they finished. `leaving`: nobody asked for it,
    /// so that a rebalance of others, which refuses commits, may be waited for.
    pub fn drain_and_commit(&self, client: &Client, tps: &[TopicPartition], leaving: bool) {
        let late = self.assignment().drain(tps, self.drain_timeout);
        if !late.is_empty() {
            self.observer.on_signal("drain-timeout", &text(&late));
        }
        self.store_finished(client);
        let clock = Clock::start();
        loop {
            let offsets = self.assignment().uncommitted(tps);
            let left = COMMIT_LIMIT.saturating_sub(Duration::from_nanos(clock.now()));
            if offsets.is_empty() || left.is_zero() {
                return;
            }
            let result = commit(client, &offsets, left);
            for (tp, next) in &offsets {
                self.committed(tp, *next, result);
            }
            match result {
                Err(REBALANCE_IN_PROGRESS) if leaving => std::thread::park_timeout(COMMIT_AGAIN),
                _ => return,
            }
        }
    }

    pub fn committed(&self, tp: &TopicPartition, next: i64, result: Result<(), i32>) {
        if result.is_ok() {
            self.assignment().note_committed(tp, next);
        }
        self.observer.on_commit(tp, next, result);
    }

    fn assign(&self, client: &Client, list: &mut TopicPartitionList) {
        let tps = read(list);
        if self.defect == Some(Defect::SeekToEnd) {
            self.report(list.set_all_offsets(Offset::End));
        }
        // None of them should be assigned; one that was would take the new one's records.
        self.assignment().abort(&tps);
        self.assignment().remove(&tps);
        let open = |tp: &TopicPartition| {
            let news = Arc::new(Notify::new());
            let queue = Queue::open(client.client().native_ptr(), tp, Arc::clone(&news));
            let source = queue.map_or_else(|| Box::new(Nothing) as Box<dyn Source>, |queue| Box::new(queue));
            (tp.clone(), source, news)
        };
        // Before the assignment: its first records must find their queues.
        let opened = tps.iter().map(open).collect();
        self.assignment().add(opened);
        let done = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_assign(list),
            _ => client.assign(list),
        };
        self.report(done);
        self.observer.on_assign(&tps, generation(client));
    }

    fn revoke(&self, client: &Client, list: &TopicPartitionList) {
        let tps = read(list);
        let lost = client.assignment_lost();
        let generation = generation(client);
        if lost {
            // Somebody else may own them already: every further effect would be a duplicate.
            self.assignment().abort(&tps);
        } else if !tps.is_empty() {
            self.observer.on_signal("revoking", &text(&tps));
            self.drain_and_commit(client, &tps, false);
        }
        self.assignment().remove(&tps);
        self.observer.on_revoke(&tps, generation, lost);
        let done = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_unassign(list),
            _ => client.unassign(),
        };
        self.report(done);
    }

    fn report(&self, done: KafkaResult<()>) {
        if let Err(error) = done {
            self.observer.on_signal("rebalance-failed", &error.to_string());
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logged.store(true, Ordering::Relaxed);
        crate::resilience::client::log(level, facility, message);
        self.search.on_log(level, facility);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The poll that calls this returns the error as well, without the reason; it decides what to do.
        let code = code_of(&error).unwrap_or_default();
        self.search.on_error(code);
        self.observer.on_signal("client-error", &format!("{code} {reason}"));
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: rd_kafka_resp_err_t, list: &mut TopicPartitionList) {
        match event {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(client, list),
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(client, list),
            other => {
                self.observer.on_signal("rebalance-failed", &RDKafkaErrorCode::from(other).to_string());
                self.report(client.unassign());
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.map_err(|error| code_of(&error).unwrap_or(RDKafkaErrorCode::Fail as i32));
        for element in offsets.elements() {
            // Topic partitions without a new offset are listed as well.
            let Offset::Offset(next) = element.offset() else { continue };
            let own = element.error().map_err(|error| code_of(&error).unwrap_or(RDKafkaErrorCode::Fail as i32));
            let tp = TopicPartition::new(element.topic(), element.partition());
            self.committed(&tp, next, own.and(whole));
        }
    }
}

fn read(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

pub(super) fn text(tps: &[TopicPartition]) -> String {
    tps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
