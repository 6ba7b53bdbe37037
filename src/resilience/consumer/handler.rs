//! What an application implements: one record in, the records to be produced out.

use std::sync::Arc;

use crate::resilience::classify::{Action, Class, Classification, Classify, Persistence};
use crate::resilience::record::{Incoming, OutgoingRecord};

/// The application's work on one record.
pub trait Handler: Send + Sync + 'static {
    /// Works on `record`; `attempt` counts from 1. Returns the records to be produced for it, in order.
    ///
    /// Calls for one topic partition come one after another, in the order of offsets; for different ones at the same
    /// time. A record may come again after a crash or a rebalance. May be cancelled at an await when the drain time is
    /// over. A panic counts as a permanent error.
    ///
    /// # Errors
    /// By kind: [`HandlerErrorKind`].
    fn handle(
        &self,
        record: &Incoming,
        attempt: u32,
    ) -> impl Future<Output = Result<Vec<OutgoingRecord>, HandlerError>> + Send;
}

impl<H: Handler> Handler for Arc<H> {
    fn handle(
        &self,
        record: &Incoming,
        attempt: u32,
    ) -> impl Future<Output = Result<Vec<OutgoingRecord>, HandlerError>> + Send {
        self.as_ref().handle(record, attempt)
    }
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerErrorKind {
    /// Something that the handler needs is failing: retried, and counted by the breaker.
    Retriable,
    /// The record itself is bad: it goes to the dead-letter topic at once, and proves nothing to the breaker.
    Permanent,
    /// Something that the handler needs did not answer in time: as retriable.
    Timeout,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    /// Whose fault it is.
    pub kind: HandlerErrorKind,
    /// For people; goes into the dead letter's headers.
    pub message: String,
    /// A code of the application's own, or Kafka's; goes into the dead letter's headers.
    pub code: Option<i32>,
}

impl HandlerError {
    /// Something that the handler needs is failing.
    pub fn retriable(message: impl Into<String>) -> Self {
        Self { kind: HandlerErrorKind::Retriable, message: message.into(), code: None }
    }

    /// The record is bad.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: HandlerErrorKind::Permanent, message: message.into(), code: None }
    }

    /// Something that the handler needs did not answer in time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self { kind: HandlerErrorKind::Timeout, message: message.into(), code: None }
    }

    /// Adds a code.
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }
}

impl Classify for HandlerError {
    fn classify(&self) -> Classification {
        match self.kind {
            HandlerErrorKind::Retriable => Classification::new(Class::Retriable, Action::Retry, Persistence::Unknown),
            HandlerErrorKind::Timeout => Classification::new(Class::Temporary, Action::Retry, Persistence::Unknown),
            HandlerErrorKind::Permanent => {
                Classification::new(Class::NonRetriable, Action::DeadLetter, Persistence::Unknown)
            }
        }
    }

    fn code(&self) -> Option<i32> {
        self.code
    }
}
