//! The thread that polls the client, and what it does with the results: answers, sends again, makes a new client.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings::{rd_kafka_message_status, rd_kafka_msg_status_t};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, PurgeConfig};
use tokio::sync::{Notify, oneshot};
use tracing::dispatcher::{self, Dispatch};
use tracing::subscriber::NoSubscriber;

use super::delivery::{DESTROYED, Delivered, Delivery, SendError};
use super::lanes::{Client, Entry, Lanes, Offered, Ticket};
use super::{Limits, OnSignal, ProducerError, ProducerSignal};
use crate::clock::{Clock, Nanos};
use crate::resilience::backoff::Backoff;
use crate::resilience::classify::{Persistence, classify_code, code_of};
use crate::resilience::leader_search::{self, LeaderSearch};
use crate::resilience::record::{Record, copy_headers};
use crate::rng::Rng;

/// How long the thread listens for results before it looks after everything else.
const TICK: Duration = Duration::from_millis(20);

/// What librdkafka logs when a connection breaks: it failed, or requests on it were not answered in time.
const BROKEN: [&str; 2] = [leader_search::TROUBLE_LOGGED, "REQTMOUT"];

/// AUTHENTICATION, UNSUPPORTED_SASL_MECHANISM, ILLEGAL_SASL_STATE, SASL_AUTHENTICATION_FAILED.
const REFUSALS: [i32; 4] = [-169, 33, 34, 58];

/// What senders, the thread and the callbacks share.
pub(super) struct Shared {
    config: ClientConfig,
    limits: Limits,
    on_signal: OnSignal,
    clock: Clock,
    lanes: Mutex<Lanes>,
    backoff: Mutex<Backoff>,
    /// Sent, result unknown.
    pub outstanding: AtomicUsize,
    /// Of these, in front of librdkafka's queue. A copy of the lanes' count, to be read without their lock.
    pub waiting: AtomicUsize,
    /// A copy of the lanes' own, as `waiting` is.
    pub full: AtomicBool,
    pub client_errors: AtomicU64,
    /// The code by which our credentials were refused since the last delivery; 0: they were not.
    pub refused: AtomicI32,
    pub ended: AtomicBool,
    search: LeaderSearch,
    /// When a connection broke last; 0: never, or long ago.
    broke_at: AtomicU64,
    /// The client was declared dead: what it has not sent is to be sent by its successor.
    retired: AtomicBool,
    /// When the thread stops waiting for results; `u64::MAX` while open.
    close_at: AtomicU64,
    changed: Notify,
}

/// Callbacks of one client. Holds the shared state weakly, since that holds the client.
pub(super) struct Context(Weak<Shared>);

impl Shared {
    pub fn start(config: ClientConfig, limits: Limits, on_signal: OnSignal) -> Result<Arc<Self>, ProducerError> {
        let backoff = Backoff::new(limits.retry.clone(), Rng::from_entropy());
        let clock = Clock::start();
        let shared = Arc::new(Self {
            config,
            limits,
            on_signal,
            clock,
            lanes: Mutex::default(),
            backoff: Mutex::new(backoff),
            outstanding: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            client_errors: AtomicU64::new(0),
            refused: AtomicI32::new(0),
            ended: AtomicBool::new(false),
            search: LeaderSearch::new(clock),
            broke_at: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            close_at: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
        });
        let client = shared.client()?;
        shared.lanes().client = Some(Arc::new(client));
        let driver = Arc::clone(&shared);
        // A subscriber of the caller's thread alone would not hear of the client.
        let log = dispatcher::get_default(Dispatch::clone);
        std::thread::Builder::new()
            .name("resilient-producer".into())
            .spawn(move || match log.is::<NoSubscriber>() {
                // There may be one for all threads later on.
                true => driver.drive(),
                false => dispatcher::with_default(&log, || driver.drive()),
            })
            .map_err(ProducerError::Thread)?;
        Ok(shared)
    }

    fn client(self: &Arc<Self>) -> Result<Client, KafkaError> {
        Client::from_config_and_context(&self.config, Context(Arc::downgrade(self)))
    }

    pub fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn send(&self, record: Record) -> Delivery {
        let (sender, answer) = oneshot::channel();
        // Only a deadline is reckoned from here; one that waits gets its time when it begins to.
        let since = self.limits.retry.deadline.map_or(0, |_| self.clock.now());
        let partition = record.partition;
        let ticket = Box::new(Ticket { answer: sender, attempts: 0, since, place: 0, partition });
        let entry = Entry { record, ticket, not_before: 0, give_up: Nanos::MAX };
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        let mut lanes = self.lanes();
        let delivery = Delivery { topic: lanes.name(&entry.record.topic), answer };
        if lanes.closed {
            drop(lanes);
            self.fail(entry, DESTROYED);
            return delivery;
        }
        match lanes.offer(entry) {
            Offered::Taken => {}
            Offered::Later(entry) if lanes.waiting >= self.limits.max_waiting => {
                drop(lanes);
                self.fail(entry, RDKafkaErrorCode::QueueFull as i32);
            }
            Offered::Later(mut entry) => {
                entry.give_up = self.clock.now().saturating_add(nanos(self.limits.max_wait));
                let first = (lanes.full && !self.full.load(Ordering::Acquire)).then(|| entry.record.topic.clone());
                lanes.push_fresh(entry);
                self.publish(&lanes);
                drop(lanes);
                if let Some(topic) = first {
                    (self.on_signal)(&ProducerSignal::Backpressure { topic });
                }
            }
            Offered::Refused(code, entry) => {
                drop(lanes);
                self.fail(entry, code);
            }
        }
        delivery
    }

    fn publish(&self, lanes: &Lanes) {
        self.waiting.store(lanes.waiting, Ordering::Release);
        self.full.store(lanes.full, Ordering::Release);
    }

    /// Returns once `reached`; looks again after every result.
    pub async fn until(&self, reached: impl Fn(&Self) -> bool) {
        // Mostly it is; looking is cheaper than waiting.
        if reached(self) {
            return;
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if reached(self) {
                return;
            }
            changed.await;
        }
    }

    /// Ends the thread once every record has its result, or `grace` from now. The earliest end counts.
    pub fn close(&self, grace: Duration) {
        self.close_at.fetch_min(self.clock.now().saturating_add(nanos(grace)), Ordering::AcqRel);
    }

    fn drive(self: Arc<Self>) {
        self.search.beside(|| self.ask_who_leads(), || self.serve());
        self.end();
    }

    fn serve(self: &Arc<Self>) {
        loop {
            self.poll();
            self.look_after_connections();
            self.pump();
            self.replace_dead_client();
            let close_at = self.close_at.load(Ordering::Acquire);
            let idle = close_at != u64::MAX && self.outstanding.load(Ordering::Acquire) == 0;
            if idle || self.clock.now() >= close_at {
                return;
            }
        }
    }

    fn ask_who_leads(&self) {
        let client = self.lanes().client.clone();
        if let Some(client) = client {
            leader_search::ask(client.client());
        }
    }

    fn poll(&self) {
        // Not under the lock: the callbacks take it.
        let client = self.lanes().client.clone();
        match client {
            Some(client) => client.poll(TICK),
            None => std::thread::park_timeout(TICK),
        }
    }

    /// The log's callback cannot do it: it may come while the lanes are locked. Trouble lasts as long as leaders are looked for.
    fn look_after_connections(&self) {
        let broke_at = self.broke_at.load(Ordering::Acquire);
        if broke_at == 0 {
            return;
        }
        let over = self.clock.now().saturating_sub(broke_at) > leader_search::LASTS
            && self.broke_at.compare_exchange(broke_at, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.lanes().part(if over { 0 } else { broke_at });
    }

    fn pump(&self) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut lanes = self.lanes();
        let failed = lanes.pump(self.clock.now());
        self.publish(&lanes);
        drop(lanes);
        for (code, entry) in failed {
            self.fail(entry, code);
        }
        self.changed.notify_waiters();
    }

    /// After a fatal error the client neither sends nor accepts anything. What it had not sent goes to the new one;
    /// what it had sent is resolved as perhaps persisted.
    fn replace_dead_client(self: &Arc<Self>) {
        let mut lanes = self.lanes();
        if lanes.closed {
            return;
        }
        if let Some(client) = &lanes.client {
            let Some((code, reason)) = client.client().fatal_error() else { return };
            let dead = lanes.client.take();
            drop(lanes);
            self.retired.store(true, Ordering::Release);
            if let Some(dead) = dead {
                purge(dead);
            }
            self.retired.store(false, Ordering::Release);
            self.replace(code as i32, reason);
        } else {
            drop(lanes);
            self.replace(RDKafkaErrorCode::Fatal as i32, "the last attempt failed".into());
        }
    }

    fn replace(self: &Arc<Self>, code: i32, reason: String) {
        match self.client() {
            Ok(client) => {
                self.lanes().client = Some(Arc::new(client));
                (self.on_signal)(&ProducerSignal::Recreated { code, reason });
            }
            // Tried again at the next tick.
            Err(error) => (self.on_signal)(&ProducerSignal::RecreateFailed { reason: error.to_string() }),
        }
    }

    fn end(&self) {
        let mut lanes = self.lanes();
        lanes.closed = true;
        let client = lanes.client.take();
        let waiting = lanes.take_all();
        lanes.full = false;
        self.publish(&lanes);
        drop(lanes);
        for entry in waiting {
            self.fail(entry, DESTROYED);
        }
        if let Some(client) = client {
            purge(client);
        }
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Settles a record that librdkafka has not got.
    fn fail(&self, entry: Entry, code: i32) {
        let Ticket { answer, attempts, .. } = *entry.ticket;
        self.settle(answer, Err(SendError::new(&entry.record.topic, code, Persistence::Not, attempts)));
    }

    fn settle(&self, answer: oneshot::Sender<Result<Delivered, SendError>>, result: Result<Delivered, SendError>) {
        if let Some(metrics) = &self.limits.metrics {
            match &result {
                Ok(_) => {
                    metrics.record_success();
                    metrics.record_sent();
                }
                Err(error) => metrics.record_error(error.classification),
            }
        }
        // Nobody may be waiting for it any more.
        let _ = answer.send(result);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn delivered(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        if let Some(partition) = ticket.partition {
            let (Ok(message) | Err((_, message))) = result;
            self.lanes().done(message.topic(), partition);
        }
        match result {
            Ok(message) => {
                if self.refused.load(Ordering::Relaxed) != 0 {
                    self.refused.store(0, Ordering::Relaxed);
                }
                let Ticket { answer, attempts, .. } = *ticket;
                let delivered = Delivered { partition: message.partition(), offset: message.offset(), attempts };
                self.settle(answer, Ok(delivered));
            }
            Err((error, message)) => self.undelivered(error, message, ticket),
        }
        // There is room in librdkafka's queue now.
        self.pump();
    }

    fn undelivered(&self, error: &KafkaError, message: &BorrowedMessage<'_>, ticket: Box<Ticket>) {
        let code = code_of(error).unwrap_or(DESTROYED);
        let persistence = persistence_of(message);
        if persistence == Persistence::Yes {
            let Ticket { answer, attempts, .. } = *ticket;
            let delivered = Delivered { partition: message.partition(), offset: message.offset(), attempts };
            return self.settle(answer, Ok(delivered));
        }
        match self.resend_after(code, persistence, &ticket) {
            Some(delay) => {
                (self.on_signal)(&ProducerSignal::Resend {
                    topic: message.topic().to_owned(),
                    code,
                    attempt: ticket.attempts,
                    duplicate_possible: persistence != Persistence::Not,
                });
                let now = self.clock.now();
                let mut lanes = self.lanes();
                lanes.push_again(Entry {
                    record: record_of(message),
                    ticket,
                    not_before: now.saturating_add(nanos(delay)),
                    give_up: now.saturating_add(nanos(delay)).saturating_add(nanos(self.limits.max_wait)),
                });
                self.publish(&lanes);
            }
            None => {
                let Ticket { answer, attempts, .. } = *ticket;
                self.settle(answer, Err(SendError::new(message.topic(), code, persistence, attempts)));
            }
        }
    }

    /// Whether, and when, a record that librdkafka gave up is sent again.
    fn resend_after(&self, code: i32, persistence: Persistence, ticket: &Ticket) -> Option<Duration> {
        let retry = &self.limits.retry;
        // It had the time of all its attempts; see `patience`.
        if code == RDKafkaErrorCode::MessageTimedOut as i32 && !self.limits.at_least_once {
            return None;
        }
        let late = retry.deadline.is_some_and(|d| self.clock.now().saturating_sub(ticket.since) >= nanos(d));
        let closing = self.close_at.load(Ordering::Acquire) <= self.clock.now();
        if late || closing || ticket.attempts > retry.max_retries {
            return None;
        }
        let retired = self.retired.load(Ordering::Acquire);
        let may_duplicate = persistence != Persistence::Not;
        if may_duplicate && !self.limits.at_least_once {
            return None;
        }
        if retired {
            // Not the record's failure: the next client takes it at once.
            return Some(Duration::ZERO);
        }
        if !classify_code(code).is_retriable() {
            return None;
        }
        let mut backoff = self.backoff.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Some(backoff.delay(ticket.attempts.saturating_sub(1)))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::resilience::client::log(level, facility, message);
        if let Some(shared) = self.0.upgrade() {
            shared.search.on_log(level, facility);
            if !matches!(level, RDKafkaLogLevel::Debug) && BROKEN.contains(&facility) {
                shared.broke_at.store(shared.clock.now().max(1), Ordering::Release);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.client_errors.fetch_add(1, Ordering::Relaxed);
        let code = code_of(&error).unwrap_or(DESTROYED);
        if REFUSALS.contains(&code) {
            shared.refused.store(code, Ordering::Relaxed);
        }
        shared.search.on_error(code);
        (shared.on_signal)(&ProducerSignal::ClientError { code, reason: reason.to_owned() });
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        if let Some(shared) = self.0.upgrade() {
            shared.delivered(result, ticket);
        }
    }
}

/// What librdkafka knows of the record's place in the log; rdkafka's safe interface leaves it out.
fn persistence_of(message: &BorrowedMessage<'_>) -> Persistence {
    // SAFETY: the pointer is that of the delivery report's message, which is valid during the callback.
    match unsafe { rd_kafka_message_status(message.ptr()) } {
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::Not,
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Persistence::Possibly,
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Yes,
    }
}

/// The record of a delivery report, to be sent again: to the partition that was chosen for it, so that it stays
/// among its key's records.
fn record_of(message: &BorrowedMessage<'_>) -> Record {
    Record {
        topic: message.topic().to_owned(),
        partition: (message.partition() >= 0).then(|| message.partition()),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        // SAFETY: the message is borrowed, and thereby valid.
        headers: unsafe { copy_headers(message.ptr()) },
        timestamp: message.timestamp().to_millis().filter(|t| *t > 0),
    }
}

/// Fails everything in the client, with the callbacks called, and lets go of it on a thread of its own: that can take
/// until its connections are torn down.
fn purge(client: Arc<Client>) {
    client.purge(PurgeConfig::default().queue().inflight());
    // Errors: whatever has no result now gets none; its sender is dropped with the ticket.
    let _ = client.flush(Duration::from_secs(1));
    let _ = std::thread::Builder::new().name("resilient-producer-end".into()).spawn(move || drop(client));
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
