//! A producer that keeps its promises while brokers come and go: idempotent, in the order of the calls, with the
//! persistence of every failure known, back-pressure instead of "queue full", and a new client after a fatal error.
//!
//! It leaves retrying to librdkafka, whose repeats the broker can recognise. A record that librdkafka gave up is a *new*
//! record when it is sent again, which idempotence cannot deduplicate; so only what is certainly not in the log is sent
//! again by this module, unless at-least-once is declared acceptable. It knows no consumers and no dead letters.
//!
//! Order: records of one topic reach librdkafka in the order of the calls of [`ResilientProducer::send`], and
//! librdkafka keeps it within a partition. Time-outs cannot break it: `message.timeout.ms` is the time of one attempt,
//! and librdkafka gets that of all (one more than the retries, at most their deadline), within which a record keeps its
//! place. What is sent again (after a fatal error, or one for which librdkafka gives a record up at once) goes before
//! everything of its topic that librdkafka has not got. The one gap: behind a record that was given up at once, others
//! may be in librdkafka already. With at-least-once, time-outs are sent again, too, and no order is promised.

mod delivery;
mod driver;
mod lanes;
mod patience;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::producer::Producer;

pub use delivery::{Delivered, Delivery, SendError};

use super::backoff::RetryConfig;
use super::client::{ClientRole, client_config};
use super::metrics::ErrorMetrics;
use super::record::Record;
use driver::Shared;

/// Something that an operator or a test wants to see happen. Names and values are for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProducerSignal {
    /// librdkafka reported an error of the client: a broken connection, all brokers down, authentication.
    ClientError {
        /// Kafka's or librdkafka's code.
        code: i32,
        /// librdkafka's words.
        reason: String,
    },
    /// A record is sent again by this producer, as a new record.
    Resend {
        /// Its topic.
        topic: String,
        /// Why it has to be.
        code: i32,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// True if it may be in the log twice now; only with at-least-once.
        duplicate_possible: bool,
    },
    /// librdkafka's queue is full; records of a topic wait in front of it from now on.
    Backpressure {
        /// The topic.
        topic: String,
    },
    /// After a fatal error there is a new client.
    Recreated {
        /// The fatal error's code.
        code: i32,
        /// librdkafka's words.
        reason: String,
    },
    /// The new client could not be made; tried again.
    RecreateFailed {
        /// Why.
        reason: String,
    },
}

/// A producer that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// A property is unknown or has an impossible value.
    #[error("cannot make a producer: {0}")]
    Client(#[from] rdkafka::error::KafkaError),
    /// The system refused a thread.
    #[error("cannot start the producer's thread: {0}")]
    Thread(std::io::Error),
}

/// Records that had no result in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} records have no result yet")]
pub struct Unsettled(pub usize);

pub(super) type OnSignal = Arc<dyn Fn(&ProducerSignal) + Send + Sync>;

/// The limits of a producer.
#[derive(Clone)]
pub(super) struct Limits {
    pub retry: RetryConfig,
    pub at_least_once: bool,
    pub max_waiting: usize,
    pub max_wait: Duration,
    pub metrics: Option<Arc<ErrorMetrics>>,
}

/// Builds a [`ResilientProducer`].
#[must_use]
pub struct ProducerBuilder {
    bootstrap: String,
    client: BTreeMap<String, String>,
    overrides: BTreeMap<String, String>,
    limits: Limits,
    on_signal: OnSignal,
}

impl ProducerBuilder {
    /// Client properties from the settings (`Settings::client`); those of consumers are left out. Default none beyond
    /// the tuned ones, see [`super::client`].
    pub fn client(mut self, properties: BTreeMap<String, String>) -> Self {
        self.client = properties;
        self
    }

    /// Client properties that win over all others, verbatim.
    pub fn overrides(mut self, properties: BTreeMap<String, String>) -> Self {
        self.overrides = properties;
        self
    }

    /// How often and how soon a record that is certainly not in the log is sent again. Default [`RetryConfig::default`].
    ///
    /// One attempt takes `message.timeout.ms` at most. A record has that time for each, up to the deadline if there is
    /// one; then it fails, as not or as possibly persisted. With `max_retries` 0 it fails after the first.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.limits.retry = retry;
        self
    }

    /// Also sends again what may be in the log: duplicates instead of errors, and no order among what timed out and
    /// what was sent after it. Default false.
    pub fn at_least_once(mut self, acceptable: bool) -> Self {
        self.limits.at_least_once = acceptable;
        self
    }

    /// How many records may wait in front of librdkafka's full queue, and for how long; beyond it a send fails with
    /// `QUEUE_FULL`, whose action is to wait. Default 100 000 records, 5 minutes.
    pub fn backpressure(mut self, records: usize, wait: Duration) -> Self {
        self.limits.max_waiting = records;
        self.limits.max_wait = wait;
        self
    }

    /// Counts acknowledged records and sends that were given up here. Default nowhere.
    pub fn metrics(mut self, metrics: Arc<ErrorMetrics>) -> Self {
        self.limits.metrics = Some(metrics);
        self
    }

    /// Called for every [`ProducerSignal`], on the producer's thread or the sender's; must be quick and must not call
    /// the producer.
    pub fn on_signal(mut self, observer: impl Fn(&ProducerSignal) + Send + Sync + 'static) -> Self {
        self.on_signal = Arc::new(observer);
        self
    }

    /// Makes the client and starts its thread. Does not wait for a connection. The client's log goes to this thread's
    /// subscriber of `tracing`, under the target `librdkafka`.
    ///
    /// # Errors
    /// A client property that librdkafka does not accept.
    pub fn build(self) -> Result<ResilientProducer, ProducerError> {
        let mut config = client_config(ClientRole::Producer, &self.client, &self.overrides);
        if !self.overrides.contains_key("bootstrap.servers") {
            config.set("bootstrap.servers", self.bootstrap);
        }
        patience::stretch(&mut config, &self.limits);
        let shared = Shared::start(config, self.limits, self.on_signal)?;
        Ok(ResilientProducer { handle: Arc::new(Handle { shared }) })
    }
}

/// See the [module](self). Cheap to clone; the clones share one client.
///
/// Dropping the last clone returns at once: its thread goes on for up to five seconds to deliver what was sent. To be
/// sure of the deliveries, await them, or [`close`](Self::close).
#[derive(Clone)]
pub struct ResilientProducer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(Duration::from_secs(5));
    }
}

impl ResilientProducer {
    /// Starts a producer for the brokers `bootstrap` (`host:port,…`).
    pub fn builder(bootstrap: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder {
            bootstrap: bootstrap.into(),
            client: BTreeMap::new(),
            overrides: BTreeMap::new(),
            limits: Limits {
                retry: RetryConfig::default(),
                at_least_once: false,
                max_waiting: 100_000,
                max_wait: Duration::from_secs(300),
                metrics: None,
            },
            on_signal: Arc::new(|_| ()),
        }
    }

    /// Sends a record. The record takes its place in the order of sends before this returns; the result comes through
    /// the returned future, which may be dropped: the record is sent all the same.
    ///
    /// Never blocks. While librdkafka's queue is full the record waits in front of it; await [`ready`](Self::ready)
    /// first to slow down instead.
    pub fn send(&self, record: Record) -> Delivery {
        self.handle.shared.send(record)
    }

    /// Returns when librdkafka's queue has room: back-pressure for a caller with much to send. Cancel-safe.
    pub async fn ready(&self) {
        self.handle.shared.until(|shared| !shared.full.load(Ordering::Acquire)).await;
    }

    /// Whether [`ready`](Self::ready) would return at once.
    pub(super) fn has_room(&self) -> bool {
        !self.handle.shared.full.load(Ordering::Acquire)
    }

    /// Records sent whose result is not known yet.
    pub fn outstanding(&self) -> usize {
        self.handle.shared.outstanding.load(Ordering::Acquire)
    }

    /// Errors of the client (not of records) since the start.
    pub fn client_errors(&self) -> u64 {
        self.handle.shared.client_errors.load(Ordering::Relaxed)
    }

    /// The brokers refuse this client's credentials: Kafka's or librdkafka's code. `None` again as soon as a record is
    /// delivered. Records wait meanwhile, until `message.timeout.ms`.
    pub fn refused(&self) -> Option<i32> {
        match self.handle.shared.refused.load(Ordering::Relaxed) {
            0 => None,
            code => Some(code),
        }
    }

    /// Waits until every record sent has its result. Cancel-safe.
    ///
    /// # Errors
    /// How many have none after `timeout`.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Unsettled> {
        let settled = self.handle.shared.until(|shared| shared.outstanding.load(Ordering::Acquire) == 0);
        tokio::time::timeout(timeout, settled).await.map_err(|_| Unsettled(self.outstanding()))
    }

    /// Flushes, then ends the client; records without a result get one (purged). Later sends fail.
    ///
    /// # Errors
    /// How many records had no result after `timeout`.
    pub async fn close(&self, timeout: Duration) -> Result<(), Unsettled> {
        let flushed = self.flush(timeout).await;
        self.handle.shared.close(Duration::ZERO);
        self.handle.shared.until(|shared| shared.ended.load(Ordering::Acquire)).await;
        flushed
    }

    /// Raises a fatal error in the client, for tests of what follows.
    #[doc(hidden)]
    pub fn raise_fatal_error(&self) {
        let lanes = self.handle.shared.lanes();
        if let Some(client) = &lanes.client {
            // SAFETY: the client lives as long as it is in the lanes, which are locked; the text is NUL-terminated.
            unsafe {
                rdkafka::bindings::rd_kafka_test_fatal_error(
                    client.client().native_ptr(),
                    rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                    c"raised by a test".as_ptr(),
                );
            }
        }
    }
}
