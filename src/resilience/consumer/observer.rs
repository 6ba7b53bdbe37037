//! What a consumer tells about its work, for metrics, logs and harnesses.

use std::time::Duration;

use super::HandlerError;
use crate::resilience::breaker::Transition;
use crate::resilience::record::{Incoming, TopicPartition};

/// Is told what happens, as it happens, on the thread where it happens: implementations must be quick and must not
/// block. Every method does nothing unless implemented.
#[expect(unused_variables, reason = "the names are the documentation")]
pub trait Observer: Send + Sync + 'static {
    /// Topic partitions were assigned; in a cooperative rebalance only the new ones, perhaps none.
    fn on_assign(&self, tps: &[TopicPartition], generation: Option<i32>) {}

    /// Topic partitions are given up, drained and committed; `lost`: without a commit, somebody may own them already.
    /// No record of them is delivered after this.
    fn on_revoke(&self, tps: &[TopicPartition], generation: Option<i32>, lost: bool) {}

    /// Whether [`on_deliver`](Self::on_deliver) and [`on_attempt`](Self::on_attempt) are to be called. Asked once, when the
    /// consumer starts; false spares it two looks at the clock for every record. Default true.
    fn wants_records(&self) -> bool {
        true
    }

    /// A record is about to be handled for the first time by this assignment.
    fn on_deliver(&self, record: &Incoming) {}

    /// Attempt number `number` (from 1) at handling a record ended after `took`; `error`: it failed.
    fn on_attempt(&self, record: &Incoming, number: u32, took: Duration, error: Option<&HandlerError>) {}

    /// A commit was answered; `next_offset` is the next one to read. The error is Kafka's or librdkafka's code.
    fn on_commit(&self, tp: &TopicPartition, next_offset: i64, result: Result<(), i32>) {}

    /// The breaker changed its state.
    fn on_breaker(&self, transition: &Transition) {}

    /// Attempt number `attempt` failed; the next comes after `delay`.
    fn on_retry(&self, record: &Incoming, attempt: u32, delay: Duration, error: &HandlerError) {}

    /// The dead letter of the record at `offset` of `origin` is acknowledged.
    fn on_dead_letter(&self, origin: &TopicPartition, offset: i64) {}

    /// Everything else. Values are for people.
    ///
    /// - To alert on: `stopped` (the consumer ends itself: credentials, permissions, configuration) and
    ///   `dead-letter-failed` (the dead-letter or a retry topic takes nothing; the topic partition is held, again at
    ///   every attempt).
    /// - To know: `client-error`, `client-recreated`, `revoking`, `retries-exhausted`, `retry-topic`, `breaker-wait`,
    ///   `output-failed`, `dead-letter-repartitioned`, `dead-letter-too-large`, `drain-timeout`, `offset-store-failed`,
    ///   `rebalance-failed`.
    fn on_signal(&self, name: &str, value: &str) {}
}

/// Does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn wants_records(&self) -> bool {
        false
    }
}
