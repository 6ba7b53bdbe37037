//! What the built-in application does with a record: checks that it can read it, passes it on. Its chaos engine can make
//! it fail or dawdle, on the harness's order.

use std::time::Duration;

use crate::plan::HandlerError as Kind;
use crate::resilience::chaos::{ChaosEngine, ChaosKind};
use crate::resilience::consumer::{Handler, HandlerError};
use crate::resilience::record::{Incoming, OutgoingRecord, Record};
use crate::subject::{ChaosOrder, SubjectError};
use crate::workload::IDENTITY_HEADER;
use crate::workload::record::POISON_PREFIX;

/// The built-in application's handler.
pub(super) struct PipelineHandler {
    pub output: String,
    pub chaos: ChaosEngine,
    kind: std::sync::atomic::AtomicU8,
    /// A bug on purpose: a record that is tried again loses its identity.
    forgetful: bool,
}

impl PipelineHandler {
    pub fn new(output: String, seed: u64, forgetful: bool) -> Self {
        Self { output, chaos: ChaosEngine::new(seed), kind: std::sync::atomic::AtomicU8::new(0), forgetful }
    }

    /// Follows an order; the shares were validated with the plan.
    pub fn obey(&self, order: Option<ChaosOrder>) -> Result<(), SubjectError> {
        let Some(order) = order else {
            self.chaos.disable();
            return Ok(());
        };
        let kind = match order.error {
            Kind::Retriable => 0,
            Kind::Permanent => 1,
            Kind::Timeout => 2,
        };
        self.kind.store(kind, std::sync::atomic::Ordering::Relaxed);
        let latency = Duration::from_millis(order.latency_ms);
        self.chaos.enable(order.rate, latency, ChaosKind::Both).map_err(|e| SubjectError::Chaos(e.to_string()))
    }
}

impl Handler for PipelineHandler {
    async fn handle(&self, record: &Incoming, attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        let identity = record.header(IDENTITY_HEADER);
        let name = identity.map(String::from_utf8_lossy).unwrap_or_default();
        let decision = self.chaos.decide(&name, attempt);
        if !decision.latency.is_zero() {
            tokio::time::sleep(decision.latency).await;
        }
        if decision.fail {
            return Err(match self.kind.load(std::sync::atomic::Ordering::Relaxed) {
                0 => HandlerError::retriable("chaos: the dependency failed"),
                1 => HandlerError::permanent("chaos: the record was refused"),
                _ => HandlerError::timeout("chaos: the dependency did not answer"),
            });
        }
        let value = record.payload.as_deref().unwrap_or_default();
        if value.starts_with(POISON_PREFIX.as_bytes()) {
            return Err(HandlerError::permanent("the record cannot be decoded: it is poison"));
        }
        Ok(vec![Record {
            topic: self.output.clone(),
            // The same number: an effect is found beside its cause, and the order of a key is the order of its partition.
            partition: Some(record.partition),
            key: record.key.clone(),
            payload: record.payload.clone(),
            headers: if self.forgetful && attempt > 1 {
                Vec::new()
            } else {
                vec![(IDENTITY_HEADER.to_owned(), identity.map(<[u8]>::to_vec))]
            },
            timestamp: None,
        }])
    }
}
