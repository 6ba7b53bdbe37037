//! A consumer that loses nothing: every record ends as acknowledged outputs or as an acknowledged dead letter before
//! its offset may be committed, and offsets are committed only as a contiguous prefix.
//!
//! How a record travels: each assigned topic partition has a task and a fetch queue of its own. The task takes records
//! from the queue, many at a time but no more than may be in flight, and calls the handler in the order of the offsets:
//! retried with backoff, outside a circuit breaker that all tasks share. Outputs are produced without waiting for the
//! acknowledgement before the next record, up to a bound. As acknowledgements come in, in order, a dedicated thread,
//! which polls the client at all times, stores the offsets, and librdkafka commits them in the background.
//!
//! On revocation and shutdown, feeding stops, what is in flight may finish within the drain time, the result is committed, and
//! only then the topic partitions are given up. A record whose handler is waiting for a retry at that moment is left to
//! the next owner.
//!
//! What only a person can mend (a wrong password, a denied topic) ends it with an error and the signal `stopped`; no
//! record is dead-lettered for it.
//!
//! It is at-least-once: after a crash the records since the last commit are processed again. It knows the handler
//! by a trait, and reports what it does to an [`Observer`].

mod assignment;
mod attempts;
mod commit;
mod context;
mod defect;
mod halt;
mod handler;
mod lane;
mod observer;
mod poll;
mod queue;
mod settle;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use handler::{Handler, HandlerError, HandlerErrorKind};
pub use observer::{NoObserver, Observer};

use super::breaker::CircuitBreaker;
use super::client::{ClientRole, client_config};
use super::dlq::{DeadLetterQueue, RetryTopics};
use super::metrics::{Counting, ErrorMetrics};
use super::producer::ResilientProducer;
use super::settings::Settings;

/// How long leaving the group may take beyond the drain time.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// Why a consumer ended on its own, or never started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// A client property is unknown or impossible, or no topic is given.
    #[error("cannot make a consumer: {0}")]
    Client(#[from] KafkaError),
    /// A person must mend authentication, authorization or configuration.
    /// Nothing was dead-lettered for it, and what was in flight without an outcome is uncommitted.
    #[error(
        "the consumer must stop: {name} ({code}) while {doing}; mend credentials, permissions or configuration, then start it again"
    )]
    Stopped {
        /// Kafka's or librdkafka's code.
        code: i32,
        /// The code's name.
        name: String,
        /// What failed: consuming, producing, or producing to a topic.
        doing: String,
    },
    /// The handler asked for it: [`HandlerError::stop`]. The record is uncommitted.
    #[error("the handler stopped the consumer: {0}")]
    StoppedByHandler(String),
    /// The system refused a thread.
    #[error("cannot start the consumer's thread: {0}")]
    Thread(std::io::Error),
    /// The polling thread died.
    #[error("the consumer's thread ended without a result")]
    ThreadGone,
    /// Everything was drained, but the group could not be left in time; the broker will notice by the session's end.
    #[error("the group could not be left within {0:?}")]
    SlowLeave(Duration),
}

/// A bug on purpose, to prove that a harness finds it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The offset is stored and committed when the record is delivered, before it is handled: a crash loses it.
    CommitBeforeProcessing,
    /// When the retries are used up the record is skipped and its offset stored: an outage loses it.
    DropOnExhaustion,
    /// The dead letter is enqueued and the offset stored at once, its result ignored: a failed write loses it.
    UnawaitedDeadLetter,
    /// The dead letter's result is awaited, and a failure ignored.
    SwallowedDeadLetterFailure,
    /// The dead letter has none of the headers that say where it comes from.
    BareDeadLetter,
    /// A record that fails is put aside, and offsets behind it are stored: a crash loses what is aside.
    CommitPastHole,
    /// What the breaker rejects counts as done.
    RejectedAsSuccess,
    /// Outputs are produced by tasks that overtake each other.
    UnorderedPool,
    /// A new assignment begins at the log's end, not where the group has committed: what waited there is never delivered.
    SeekToEnd,
}

/// Builds a [`ResilientConsumer`].
#[must_use]
pub struct ConsumerBuilder {
    bootstrap: String,
    group: String,
    topics: Vec<String>,
    settings: Settings,
    overrides: BTreeMap<String, String>,
    producer: ResilientProducer,
    dead_letters: DeadLetterQueue,
    retry_topics: Option<RetryTopics>,
    concurrency: usize,
    breaker: Option<Arc<CircuitBreaker>>,
    observer: Arc<dyn Observer>,
    metrics: Option<Arc<ErrorMetrics>>,
    defect: Option<Defect>,
}

impl ConsumerBuilder {
    /// Topics to subscribe to. At least one.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Retry, breaker and consumer settings, and client properties. Default [`Settings::default`].
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Client properties that win over all others, verbatim; except `group.id`, and `enable.auto.offset.store`, which
    /// is always off: offsets are stored by outcome.
    pub fn overrides(mut self, properties: BTreeMap<String, String>) -> Self {
        self.overrides = properties;
        self
    }

    /// How many records of one topic partition may be handled at the same time; those of one key still come one after
    /// another, in the order of offsets. Records without a key have no order then. Offsets are committed as a
    /// contiguous prefix all the same. At most `max-in-flight` of the settings has an effect; 0 counts as 1. Default 1.
    pub fn concurrency(mut self, records: usize) -> Self {
        self.concurrency = records.max(1);
        self
    }

    /// Records whose retries in place are used up go to retry topics instead of being held; the consumer subscribes to
    /// these as well. Gives up the order per key: see [`RetryTopics`]. Default none.
    pub fn retry_topics(mut self, topics: RetryTopics) -> Self {
        self.retry_topics = Some(topics);
        self
    }

    /// Calls the handler inside this breaker instead of one of the consumer's own (named "handler").
    pub fn breaker(mut self, breaker: Arc<CircuitBreaker>) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Who is told what happens. Default nobody.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Counts attempts, errors, retries, breaker trips, dead letters and outages here. Default nowhere.
    pub fn metrics(mut self, metrics: Arc<ErrorMetrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// A bug on purpose.
    #[doc(hidden)]
    pub fn defect(mut self, defect: Option<Defect>) -> Self {
        self.defect = defect;
        self
    }

    /// Makes the consumer; it connects when it [runs](ResilientConsumer::run).
    pub fn build(self) -> ResilientConsumer {
        ResilientConsumer { parts: self }
    }
}

/// See the [module](self).
pub struct ResilientConsumer {
    parts: ConsumerBuilder,
}

impl ResilientConsumer {
    /// A member of `group` at the brokers `bootstrap` (`host:port,…`), which sends the handler's outputs and the dead
    /// letters through `producer`.
    pub fn builder(
        bootstrap: impl Into<String>,
        group: impl Into<String>,
        producer: ResilientProducer,
        dead_letters: DeadLetterQueue,
    ) -> ConsumerBuilder {
        ConsumerBuilder {
            bootstrap: bootstrap.into(),
            group: group.into(),
            topics: Vec::new(),
            settings: Settings::default(),
            overrides: BTreeMap::new(),
            producer,
            dead_letters,
            retry_topics: None,
            concurrency: 1,
            breaker: None,
            observer: Arc::new(NoObserver),
            metrics: None,
            defect: None,
        }
    }

    /// Consumes until `shutdown` is cancelled, then drains, commits and leaves the group. Tasks run on the current
    /// tokio runtime, which must have time enabled.
    ///
    /// Dropping the returned future begins the same shutdown in the background.
    ///
    /// # Errors
    /// See [`ConsumerError`]. What was in flight has been drained then, too.
    pub async fn run<H: Handler>(self, handler: H, shutdown: CancellationToken) -> Result<(), ConsumerError> {
        let mut parts = self.parts;
        if let Some(metrics) = parts.metrics.take() {
            parts.observer = Arc::new(Counting { metrics, then: parts.observer });
        }
        let mut config = client_config(ClientRole::Consumer, &parts.settings.client, &parts.overrides);
        if !parts.overrides.contains_key("bootstrap.servers") {
            config.set("bootstrap.servers", &parts.bootstrap);
        }
        if !parts.overrides.contains_key("enable.auto.commit") {
            config.set("enable.auto.commit", "true");
        }
        config.set("group.id", &parts.group).set("enable.auto.offset.store", "false");

        let breaker =
            parts.breaker.unwrap_or_else(|| Arc::new(CircuitBreaker::new("handler", parts.settings.breaker.clone())));
        let told = Arc::clone(&parts.observer);
        breaker.on_transition(move |transition| told.on_breaker(transition));
        let halt = Arc::new(halt::Halt::default());
        let mut topics = parts.topics;
        if let Some(retry) = &parts.retry_topics {
            let more: Vec<String> = topics.iter().flat_map(|input| retry.topics_of(input)).collect();
            topics.extend(more);
        }
        let work = Arc::new(worker::Work {
            handler,
            producer: parts.producer.clone(),
            dead_letters: parts.dead_letters,
            retry_topics: parts.retry_topics,
            concurrency: parts.concurrency,
            halt: Arc::clone(&halt),
            breaker,
            retry: parts.settings.retry.clone(),
            settings: parts.settings.consumer.clone(),
            watched: parts.observer.wants_records(),
            observer: Arc::clone(&parts.observer),
            defect: parts.defect,
        });
        let runtime = tokio::runtime::Handle::current();
        let stop = shutdown.child_token();
        let poller = poll::Poller {
            config,
            topics,
            spawn: Arc::new(move |lane| worker::spawn(&runtime, Arc::clone(&work), lane)),
            observer: parts.observer,
            drain_timeout: parts.settings.consumer.drain_timeout,
            stop: stop.clone(),
            halt,
            producer: parts.producer,
            defect: parts.defect,
        };
        let _stop_when_dropped = stop.clone().drop_guard();
        let (sender, mut done) = oneshot::channel();
        std::thread::Builder::new()
            .name("resilient-consumer".into())
            .spawn(move || {
                // Nobody waits for the result once `run` is dropped.
                let _ = sender.send(poller.run());
            })
            .map_err(ConsumerError::Thread)?;
        let ended = tokio::select! {
            ended = &mut done => ended,
            () = stop.cancelled() => {
                let limit = parts.settings.consumer.drain_timeout + LEAVE_LIMIT;
                match tokio::time::timeout(limit, &mut done).await {
                    Ok(ended) => ended,
                    Err(_) => return Err(ConsumerError::SlowLeave(limit)),
                }
            }
        };
        ended.unwrap_or(Err(ConsumerError::ThreadGone))
    }
}
