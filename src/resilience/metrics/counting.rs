//! An observer of a consumer that counts, and passes everything on to the next.

use std::sync::Arc;
use std::time::Duration;

use super::ErrorMetrics;
use crate::resilience::breaker::Transition;
use crate::resilience::classify::Classify;
use crate::resilience::consumer::{HandlerError, Observer};
use crate::resilience::record::{Incoming, TopicPartition};

/// Counts what a consumer does.
pub(in crate::resilience) struct Counting {
    pub metrics: Arc<ErrorMetrics>,
    pub then: Arc<dyn Observer>,
}

impl Observer for Counting {
    fn on_assign(&self, tps: &[TopicPartition], generation: Option<i32>) {
        self.then.on_assign(tps, generation);
    }

    fn on_revoke(&self, tps: &[TopicPartition], generation: Option<i32>, lost: bool) {
        self.then.on_revoke(tps, generation, lost);
    }

    fn on_deliver(&self, record: &Incoming) {
        self.metrics.record_consumed();
        self.then.on_deliver(record);
    }

    fn on_attempt(&self, record: &Incoming, number: u32, took: Duration, error: Option<&HandlerError>) {
        self.metrics.record_duration(took);
        if number > 1 {
            self.metrics.record_retry();
        }
        match error {
            None => self.metrics.record_success(),
            Some(error) => self.metrics.record_error(error.classify()),
        }
        self.then.on_attempt(record, number, took, error);
    }

    fn on_commit(&self, tp: &TopicPartition, next_offset: i64, result: Result<(), i32>) {
        self.then.on_commit(tp, next_offset, result);
    }

    fn on_breaker(&self, transition: &Transition) {
        self.metrics.record_transition(transition);
        self.then.on_breaker(transition);
    }

    fn on_retry(&self, record: &Incoming, attempt: u32, delay: Duration, error: &HandlerError) {
        self.then.on_retry(record, attempt, delay, error);
    }

    fn on_dead_letter(&self, origin: &TopicPartition, offset: i64) {
        self.metrics.record_dead_letter();
        self.then.on_dead_letter(origin, offset);
    }

    fn on_signal(&self, name: &str, value: &str) {
        self.then.on_signal(name, value);
    }
}
