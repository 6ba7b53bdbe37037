//! Counting what happens to operations: errors by class, retries, breaker trips, dead letters, recovery.
//!
//! It owns the counts and the rates that follow from them, and must not know who reads them. Counting is a few atomic
//! additions, from any thread; a snapshot never shows more errors than operations.
//!
//! An *operation* is one attempt: a call that failed once and then succeeded is two operations, one error, one retry.
//!
//! [`definitions`] says what each number is called outside, and everything that is generated follows from it: the endpoint
//! (`server`, with the feature `metrics-server`), the dashboard and the alert rules (`files`).

mod counting;
pub mod definitions;
#[cfg(feature = "harness")]
pub mod files;
#[cfg(feature = "metrics-server")]
pub mod server;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(super) use counting::Counting;
use definitions::DURATION_BOUNDS;

use super::alert::{AlertKind, Severity};
use super::breaker::{Reason, State, Transition};
use super::classify::Classification;
use super::settings::MonitoringSettings;
use super::text;
use crate::clock;

/// Counts, to be shared by reference or in an `Arc`.
#[derive(Debug)]
pub struct ErrorMetrics {
    minimum_sample: u64,
    operations: AtomicU64,
    retriable: AtomicU64,
    non_retriable: AtomicU64,
    retries: AtomicU64,
    breaker_trips: AtomicU64,
    dead_letters: AtomicU64,
    consumed: AtomicU64,
    sent: AtomicU64,
    durations: Durations,
    firing: Mutex<Vec<(AlertKind, Severity)>>,
    /// Milliseconds since the epoch; 0: none yet.
    last_error: AtomicU64,
    recovery: Mutex<Recovery>,
}

/// How long handling took: a count for each bound and one for what is above all of them.
#[derive(Debug, Default)]
struct Durations {
    counts: [AtomicU64; DURATION_BOUNDS.len() + 1],
    nanos: AtomicU64,
}

#[derive(Debug, Default)]
struct Recovery {
    down_since: Option<Instant>,
    last: Option<Duration>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricsSnapshot {
    /// Attempts that ended.
    pub operations: u64,
    /// Those that failed.
    pub total: u64,
    /// Failures of a class that may be repeated (retriable and temporary).
    pub retriable: u64,
    /// Failures of the other class.
    pub non_retriable: u64,
    /// Attempts that repeated another.
    pub retries: u64,
    /// Times a breaker went from closed to open.
    pub breaker_trips: u64,
    /// Records sent to the dead-letter topic.
    pub dead_letters: u64,
    /// Records given to the handler for the first time by an assignment.
    #[serde(default)]
    pub consumed: u64,
    /// Records acknowledged by a broker.
    #[serde(default)]
    pub sent: u64,
    /// When the last error was recorded, RFC 3339 with milliseconds, UTC.
    pub last_error: Option<String>,
    /// Failed share of the operations, 0 to 1; `None` below the minimum sample.
    pub error_rate: Option<f64>,
    /// Share of the operations that were retries, 0 to 1; `None` below the minimum sample.
    pub retry_rate: Option<f64>,
    /// How long the last outage lasted, from down to recovered.
    #[serde(with = "text::optional_duration")]
    pub recovery_time: Option<Duration>,
    /// How long the present outage has lasted.
    #[serde(with = "text::optional_duration")]
    pub down_for: Option<Duration>,
}

impl Default for ErrorMetrics {
    fn default() -> Self {
        Self::new(MonitoringSettings::default().minimum_sample)
    }
}

impl ErrorMetrics {
    /// Nothing counted yet. Below `minimum_sample` operations there are no rates.
    pub fn new(minimum_sample: u64) -> Self {
        Self {
            minimum_sample,
            operations: AtomicU64::new(0),
            retriable: AtomicU64::new(0),
            non_retriable: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            breaker_trips: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            durations: Durations::default(),
            firing: Mutex::default(),
            last_error: AtomicU64::new(0),
            recovery: Mutex::default(),
        }
    }

    /// An attempt failed just now.
    pub fn record_error(&self, classification: Classification) {
        self.record_error_at(classification, clock::wall());
    }

    /// An attempt failed at a given time.
    pub fn record_error_at(&self, classification: Classification, at: SystemTime) {
        // The operation before its error, and the error released: a snapshot reads them the other way round.
        self.operations.fetch_add(1, Ordering::Relaxed);
        let class = if classification.is_retriable() { &self.retriable } else { &self.non_retriable };
        class.fetch_add(1, Ordering::Release);
        let millis = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.last_error.fetch_max(millis, Ordering::Relaxed);
    }

    /// An attempt succeeded.
    pub fn record_success(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt that repeats another begins. Its end is recorded as well, as an error or a success.
    pub fn record_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A breaker went from closed to open.
    pub fn record_breaker_trip(&self) {
        self.breaker_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// A record arrived in the dead-letter topic.
    pub fn record_dead_letter(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    /// A record was given to the handler for the first time.
    pub fn record_consumed(&self) {
        self.consumed.fetch_add(1, Ordering::Relaxed);
    }

    /// A record was acknowledged by a broker.
    pub fn record_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Handling a record took this long, whatever came of it.
    pub fn record_duration(&self, took: Duration) {
        let at = DURATION_BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(DURATION_BOUNDS.len());
        self.durations.counts[at].fetch_add(1, Ordering::Relaxed);
        self.durations.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// These alerts are firing, and no others.
    pub fn record_firing(&self, firing: impl IntoIterator<Item = (AlertKind, Severity)>) {
        *self.firing.lock().unwrap_or_else(PoisonError::into_inner) = firing.into_iter().collect();
    }

    /// The alerts that are firing, as last recorded.
    pub fn firing(&self) -> Vec<(AlertKind, Severity)> {
        self.firing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Durations of handling, by [`DURATION_BOUNDS`] and one above them, and their sum in seconds.
    pub fn durations(&self) -> ([u64; DURATION_BOUNDS.len() + 1], f64) {
        let counts = std::array::from_fn(|at| self.durations.counts[at].load(Ordering::Relaxed));
        (counts, self.durations.nanos.load(Ordering::Relaxed) as f64 / 1e9)
    }

    /// A breaker changed its state: counts trips, and takes the time from tripping to closing as an outage. For
    /// [`CircuitBreaker::on_transition`](super::CircuitBreaker::on_transition).
    pub fn record_transition(&self, transition: &Transition) {
        match (transition.from, transition.to) {
            // A breaker that somebody forced open is no outage.
            _ if transition.reason == Reason::ModeSet && transition.to == State::Open => {}
            (State::Closed, State::Open) => {
                self.record_breaker_trip();
                self.record_down(transition.at);
            }
            (_, State::Closed) => self.record_recovered(transition.at),
            _ => {}
        }
    }

    /// An outage began, unless one is under way.
    pub fn record_down(&self, at: Instant) {
        self.recovery().down_since.get_or_insert(at);
    }

    /// The outage ended, if one is under way.
    pub fn record_recovered(&self, at: Instant) {
        let mut recovery = self.recovery();
        if let Some(since) = recovery.down_since.take() {
            recovery.last = Some(at.saturating_duration_since(since));
        }
    }

    /// When the last error was recorded.
    pub fn last_error(&self) -> Option<SystemTime> {
        match self.last_error.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    /// The counts now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let retriable = self.retriable.load(Ordering::Acquire);
        let non_retriable = self.non_retriable.load(Ordering::Acquire);
        let retries = self.retries.load(Ordering::Acquire);
        let operations = self.operations.load(Ordering::Acquire);
        let total = retriable + non_retriable;
        let last_error = self.last_error().map(|at| humantime::format_rfc3339_millis(at).to_string());
        let recovery = self.recovery();
        MetricsSnapshot {
            operations,
            total,
            retriable,
            non_retriable,
            retries,
            breaker_trips: self.breaker_trips.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            consumed: self.consumed.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            last_error,
            error_rate: share(total, operations, self.minimum_sample),
            retry_rate: share(retries, operations, self.minimum_sample),
            recovery_time: recovery.last,
            down_for: recovery.down_since.map(|since| since.elapsed()),
        }
    }

    fn recovery(&self) -> std::sync::MutexGuard<'_, Recovery> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of `part` in `whole`, at most 1, or `None` if `whole` is below the minimum sample or 0.
pub(super) fn share(part: u64, whole: u64, minimum_sample: u64) -> Option<f64> {
    (whole >= minimum_sample.max(1)).then(|| (part as f64 / whole as f64).min(1.0))
}

#[cfg(test)]
mod tests;
