//! The harness's own producer: librdkafka as it is, outcomes from the delivery reports alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{rd_kafka_message_status, rd_kafka_msg_status_t};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tracing::dispatcher::{self, Dispatch};

use super::ledger::SentLedger;
use super::sink::{Outgoing, SinkError};
use crate::history::{Op, OpError, Outcome, Recorder};
use crate::plan::TopicPartition;
use crate::resilience::client::{log, set_log_level};

/// A plain librdkafka producer whose delivery reports go straight into the history.
pub struct PlainProducer {
    producer: ThreadedProducer<Reports>,
    reports: Reports,
}

#[derive(Clone)]
struct Reports {
    recorder: Recorder,
    ledger: Arc<SentLedger>,
    /// That of the thread that made it: callbacks come on a thread of rdkafka's.
    dispatch: Dispatch,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        dispatcher::with_default(&self.dispatch, || log(level, facility, message));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        dispatcher::with_default(&self.dispatch, || tracing::info!(target: "seaworthy::workload", %error, reason));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<(u64, TopicPartition)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (id, tp) = *opaque;
        match result {
            Ok(message) => self.acked(id, tp, message.offset()),
            Err((error, message)) => {
                // SAFETY: the message is alive for the length of this callback.
                let status = unsafe { rd_kafka_message_status(message.ptr()) };
                let code = error.rdkafka_error_code().map_or(-1, |code| code as i32);
                self.not_acked(id, tp, code, &error.to_string(), status);
            }
        }
    }
}

impl Reports {
    fn acked(&self, id: u64, tp: TopicPartition, offset: i64) {
        self.record(Outcome::Ok, id, tp, (offset >= 0).then_some(offset), None);
    }

    fn not_acked(&self, id: u64, tp: TopicPartition, code: i32, name: &str, status: rd_kafka_msg_status_t) {
        let (outcome, persistence) = match status {
            rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => (Outcome::Fail, "not"),
            rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => (Outcome::Info, "possibly"),
            rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => (Outcome::Info, "yes"),
        };
        let error = OpError { code, name: name.to_owned(), class: String::new(), persistence: persistence.to_owned() };
        self.record(outcome, id, tp, None, Some(error));
    }

    fn record(&self, r#type: Outcome, id: u64, tp: TopicPartition, offset: Option<i64>, error: Option<OpError>) {
        self.ledger.count(r#type, id);
        let op = Op::Send {
            r#type,
            id: id.to_string(),
            tp: Some(tp),
            key: None,
            seq: None,
            due: None,
            offset,
            error,
            poison: false,
        };
        self.recorder.record(Some("producer-0"), op);
    }
}

impl PlainProducer {
    /// A producer with librdkafka's stock settings and `overrides` on top. It logs to this thread's subscriber of `tracing`.
    pub fn new(
        bootstrap: &str,
        overrides: &BTreeMap<String, String>,
        recorder: Recorder,
        ledger: Arc<SentLedger>,
    ) -> Result<Self, SinkError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("client.id", "seaworthy-producer-0");
        for (key, value) in overrides {
            config.set(key, value);
        }
        set_log_level(&mut config);
        let reports = Reports { recorder, ledger, dispatch: dispatcher::get_default(Dispatch::clone) };
        let producer = config
            .create_with_context::<_, ThreadedProducer<Reports>>(reports.clone())
            .map_err(|e| SinkError::Create(e.to_string()))?;
        Ok(Self { producer, reports })
    }

    /// Hands a record over; a full local queue is this operation's outcome (failed, certainly not persisted).
    pub(super) fn send(&self, record: Outgoing<'_>) {
        let id = record.id.to_string();
        let headers = OwnedHeaders::new().insert(Header { key: super::IDENTITY_HEADER, value: Some(id.as_bytes()) });
        let base = BaseRecord::with_opaque_to(&record.tp.topic, Box::new((record.id, record.tp.clone())))
            .partition(record.tp.partition)
            .key(record.key.as_bytes())
            .payload(record.value)
            .headers(headers);
        if let Err((error, unsent)) = self.producer.send(base) {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail) as i32;
            let (id, tp) = *unsent.delivery_opaque;
            let not = rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
            self.reports.not_acked(id, tp, code, &error.to_string(), not);
        }
    }

    /// Waits for outstanding deliveries, at most `limit`. Blocking.
    pub fn flush(&self, limit: Duration) {
        let _ = self.producer.flush(limit);
    }
}
