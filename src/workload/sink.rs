//! Where the load goes: the system under test's producer on the proxied path, or a plain client.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::SentLedger;
use super::plain::PlainProducer;
use crate::history::{Op, OpError, Outcome, Recorder};
use crate::plan::TopicPartition;
use crate::resilience::classify::Persistence;
use crate::resilience::producer::{ResilientProducer, SendError};
use crate::resilience::record::Record;

/// Why no producer could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    #[error("cannot create the workload's producer: {0}")]
    Create(String),
}

/// One record on its way out.
pub(super) struct Outgoing<'a> {
    pub id: u64,
    pub tp: &'a TopicPartition,
    pub key: &'a str,
    pub value: &'a [u8],
}

/// A closed set of producers.
pub enum Sink {
    /// Under test.
    Resilient(ResilientSink),
    /// The harness's own.
    Plain(PlainProducer),
}

impl Sink {
    pub(super) fn send(&self, record: Outgoing<'_>) {
        match self {
            Self::Resilient(sink) => sink.send(record),
            Self::Plain(sink) => sink.send(record),
        }
    }

    /// Waits until everything handed over has its outcome, at most `limit`. Blocking. The library's producer lives on in
    /// its outcomes and needs no such wait.
    pub(super) fn flush(&self, limit: Duration) {
        match self {
            Self::Resilient(_) => {}
            Self::Plain(sink) => sink.flush(limit),
        }
    }

    /// The library's producer; its outcomes are awaited on `runtime`.
    pub fn resilient(
        producer: ResilientProducer,
        runtime: tokio::runtime::Handle,
        recorder: Recorder,
        ledger: Arc<SentLedger>,
        doubt_is_failure: bool,
    ) -> Self {
        Self::Resilient(ResilientSink { producer, runtime, recorder, ledger, doubt_is_failure })
    }
}

/// Hands records to the resilient producer and records what it answers.
pub struct ResilientSink {
    producer: ResilientProducer,
    runtime: tokio::runtime::Handle,
    recorder: Recorder,
    ledger: Arc<SentLedger>,
    /// A bug on purpose: the application takes a send that may have happened for one that did not.
    doubt_is_failure: bool,
}

impl ResilientSink {
    fn send(&self, record: Outgoing<'_>) {
        let (id, tp) = (record.id, record.tp.clone());
        let delivery = self.producer.send(Record {
            topic: tp.topic.to_string(),
            partition: Some(tp.partition),
            key: Some(record.key.as_bytes().to_vec()),
            payload: Some(record.value.to_vec()),
            headers: vec![(super::IDENTITY_HEADER.to_owned(), Some(id.to_string().into_bytes()))],
            timestamp: None,
        });
        let (recorder, ledger) = (self.recorder.clone(), self.ledger.clone());
        let doubt_is_failure = self.doubt_is_failure;
        self.runtime.spawn(async move {
            let (r#type, offset, error) = match delivery.await {
                Ok(delivered) => (Outcome::Ok, (delivered.offset >= 0).then_some(delivered.offset), None),
                Err(error) => {
                    let outcome = match error.classification.persistence {
                        _ if doubt_is_failure => Outcome::Fail,
                        Persistence::Not => Outcome::Fail,
                        Persistence::Possibly | Persistence::Yes | Persistence::Unknown => Outcome::Info,
                    };
                    (outcome, None, Some(op_error(&error)))
                }
            };
            ledger.count(r#type, id);
            let id = id.to_string();
            let op =
                Op::Send { r#type, id, tp: Some(tp), key: None, seq: None, due: None, offset, error, poison: false };
            recorder.record(Some("producer-0"), op);
        });
    }
}

fn op_error(error: &SendError) -> OpError {
    OpError {
        code: error.code,
        name: error.name.to_string(),
        class: error.classification.class.to_string(),
        persistence: error.classification.persistence.to_string(),
    }
}

/// How long outstanding sends are waited for once the load is off.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(30);
