//! What an application implements: one record in, the records to be produced out.

use std::error::Error;
use std::sync::Arc;

use crate::resilience::classify::{Action, Class, Classification, Classifier, Classify, Persistence};
use crate::resilience::record::{Incoming, OutgoingRecord};

/// The application's work on one record.
pub trait Handler: Send + Sync + 'static {
    /// Works on `record`; `attempt` counts from 1. Returns the records to be produced for it, in order.
    ///
    /// Calls for one topic partition come one after another, in the order of offsets (with
    /// [`concurrency`](super::ConsumerBuilder::concurrency): those for one key); for different ones at the same time. A record may come again after a crash or a rebalance. May be cancelled at an await when the drain time is
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
#[non_exhaustive]
pub enum HandlerErrorKind {
    /// Something that the handler needs is failing: retried, and counted by the breaker.
    Retriable,
    /// The record itself is bad: it goes to the dead-letter topic at once, and proves nothing to the breaker.
    Permanent,
    /// Something that the handler needs did not answer in time: as retriable.
    Timeout,
    /// It was done before, or need not be done: the record is finished, without outputs.
    Skip,
    /// A person must mend something (credentials, permissions, configuration): nothing is wrong with the record, and
    /// retrying is in vain. The consumer stops; the record stays uncommitted.
    Stop,
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

    /// The record is finished without outputs.
    pub fn skip(message: impl Into<String>) -> Self {
        Self { kind: HandlerErrorKind::Skip, message: message.into(), code: None }
    }

    /// The consumer is to stop.
    pub fn stop(message: impl Into<String>) -> Self {
        Self { kind: HandlerErrorKind::Stop, message: message.into(), code: None }
    }

    /// By what `classifier` finds among an error's causes; the text is the error's with all its causes, the code that
    /// of the cause. An error without a recognised cause is the record's fault (permanent): it is parked, not lost.
    ///
    /// A broken client of the application's (a fatal error, a transaction to be aborted) is retriable: it is for the
    /// handler to mend, and no fault of the record.
    pub fn caused_by(error: &(dyn Error + 'static), classifier: &Classifier) -> Self {
        let mut message = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            message = format!("{message}: {cause}");
            next = cause.source();
        }
        let found = classifier.find(error);
        let kind = match found.map(|(meant, _)| meant.action) {
            None | Some(Action::DeadLetter) => HandlerErrorKind::Permanent,
            Some(Action::Skip) => HandlerErrorKind::Skip,
            Some(Action::Stop) => HandlerErrorKind::Stop,
            Some(
                Action::Retry
                | Action::RefreshAndRetry
                | Action::Wait
                | Action::RecreateClient
                | Action::AbortTransaction,
            ) => HandlerErrorKind::Retriable,
        };
        Self { kind, message, code: found.and_then(|(_, code)| code) }
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
            HandlerErrorKind::Skip => Classification::new(Class::NonRetriable, Action::Skip, Persistence::Unknown),
            HandlerErrorKind::Stop => Classification::new(Class::NonRetriable, Action::Stop, Persistence::Unknown),
        }
    }

    fn code(&self) -> Option<i32> {
        self.code
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use rstest::rstest;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("looking up the customer")]
    struct LookUp(#[source] KafkaError);

    #[rstest]
    #[case(RDKafkaErrorCode::NotLeaderForPartition, HandlerErrorKind::Retriable)]
    #[case(RDKafkaErrorCode::QueueFull, HandlerErrorKind::Retriable)]
    #[case(RDKafkaErrorCode::SaslAuthenticationFailed, HandlerErrorKind::Stop)]
    #[case(RDKafkaErrorCode::TopicAuthorizationFailed, HandlerErrorKind::Stop)]
    #[case(RDKafkaErrorCode::InvalidRecord, HandlerErrorKind::Permanent)]
    fn a_wrong_password_is_not_the_record_s_fault(#[case] code: RDKafkaErrorCode, #[case] kind: HandlerErrorKind) {
        let error = HandlerError::caused_by(&LookUp(KafkaError::MessageProduction(code)), &Classifier::default());
        assert_eq!(error.kind, kind);
        assert_eq!(error.code, Some(code as i32));
        assert!(error.message.starts_with("looking up the customer: "), "{}", error.message);
    }

    #[test]
    fn an_error_without_a_known_cause_parks_its_record() {
        let error = HandlerError::caused_by(&std::fmt::Error, &Classifier::default());
        assert_eq!((error.kind, error.code), (HandlerErrorKind::Permanent, None));
    }
}
