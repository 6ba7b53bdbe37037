//! The result of one send, and the future that brings it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::resilience::classify::{Classification, Classify, Persistence, classify_code, error_name};

/// librdkafka's code for a client that is gone.
pub(super) const DESTROYED: i32 = -197;

/// A record in the log, acknowledged by all in-sync replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition that it went to.
    pub partition: i32,
    /// Its offset there; -1 where the broker does not tell (a duplicate that it recognised).
    pub offset: i64,
    /// How often this producer handed it to librdkafka.
    pub attempts: u32,
}

/// A record that is not known to be in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{topic}: {name} ({code}), persisted: {}, after {attempts} attempts", classification.persistence.as_str())]
pub struct SendError {
    /// The record's topic.
    pub topic: String,
    /// Kafka's or librdkafka's code of the last failure.
    pub code: i32,
    /// The code's name.
    pub name: String,
    /// What the code means; the persistence is this very record's, as librdkafka knows it.
    pub classification: Classification,
    /// How often this producer handed it to librdkafka; 0: never.
    pub attempts: u32,
}

impl SendError {
    pub(super) fn new(topic: &str, code: i32, persistence: Persistence, attempts: u32) -> Self {
        let name = error_name(code).map_or_else(|| format!("code {code}"), str::to_owned);
        let classification = Classification { persistence, ..classify_code(code) };
        Self { topic: topic.to_owned(), code, name, classification, attempts }
    }
}

impl Classify for SendError {
    fn classify(&self) -> Classification {
        self.classification
    }

    fn code(&self) -> Option<i32> {
        Some(self.code)
    }
}

/// The result of a send, to come. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "the result of the send is lost otherwise"]
pub struct Delivery {
    pub(super) topic: Arc<str>,
    pub(super) answer: oneshot::Receiver<Result<Delivered, SendError>>,
}

impl Future for Delivery {
    type Output = Result<Delivered, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            // The sender is dropped unanswered only if the producer's thread died.
            answer.unwrap_or_else(|_| Err(SendError::new(&self.topic, DESTROYED, Persistence::Unknown, 0)))
        })
    }
}
