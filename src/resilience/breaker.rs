//! Refusing calls to something that is down, so that callers fail at once and it can recover, and noticing by a few
//! probes that it is back.
//!
//! It owns admission and the three states, and must not know what is called. The state machine itself is plain data with
//! the time as a parameter (`breaker/machine.rs`); this file gives it a lock, an outside and callbacks.
//!
//! - No lock is held while the operation runs. Admission gives a [`Permit`], the result goes back through it.
//! - A permit dropped without a result (a cancelled or panicked call) is released and proves nothing, in any state.
//! - A permit remembers the generation in which it was given; every transition begins a new one, and results of an older
//!   generation are ignored. Calls admitted before a trip cannot decide what their successors' probes are there for.
//! - Half-open never has more probes under way, or counted, than it needs to close. A probe that never ends cannot hold
//!   it half-open for ever: past `half-open-timeout` the breaker opens again.
//! - Observers are called after the transition, outside any lock, and may call the breaker.
//! - The closed path reads atomics only, unless a failure rate is configured, which takes the lock for each result.

mod config;
mod machine;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::classify::{Action, Class, Classification, Classify, Persistence};
use machine::{Change, Machine, Outcome};

pub use config::BreakerConfig;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Lets all through and counts failures.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
}

impl State {
    /// "closed", "open" or "half-open".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Closed to open: that many failures came without a success between them.
    ConsecutiveFailures,
    /// Closed to open: the share of failures in the window reached its limit.
    FailureRate,
    /// Open to half-open: a call came after the open time.
    OpenTimeOver,
    /// Half-open to open: a probe failed.
    ProbeFailed,
    /// Half-open to open: the probes did not end in time.
    ProbesOverdue,
    /// Half-open to closed: all probes succeeded.
    ProbesSucceeded,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Instant,
    /// 1 for the first transition of a breaker, then rising. Observers run on the threads that cause transitions, so
    /// that two may be seen in the wrong order; this tells.
    pub generation: u64,
}

/// A refusal: the breaker is open, or half-open with all probes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open, next try in {retry_in:?}")]
pub struct Rejected {
    /// Come back no sooner. While open, what is left of the open time; while half-open, a guess of when a probe ends.
    pub retry_in: Duration,
}

impl Classify for Rejected {
    fn classify(&self) -> Classification {
        Classification::new(Class::Temporary, Action::Wait, Persistence::Not)
    }

    fn refused_for(&self) -> Option<Duration> {
        Some(self.retry_in)
    }
}

/// Why a call through [`CircuitBreaker::call`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// It was refused; the operation was not begun.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It was cut off after this long, and counted as a failure.
    #[error("the call took longer than {0:?}")]
    TimedOut(Duration),
    /// The operation's own error.
    #[error("{0}")]
    Operation(#[source] E),
}

impl<E: Classify> Classify for BreakerError<E> {
    fn classify(&self) -> Classification {
        match self {
            Self::Rejected(rejected) => rejected.classify(),
            Self::TimedOut(_) => super::retry::TIMED_OUT,
            Self::Operation(error) => error.classify(),
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Operation(error) => error.code(),
            Self::Rejected(_) | Self::TimedOut(_) => None,
        }
    }

    fn refused_for(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => rejected.refused_for(),
            Self::Operation(error) => error.refused_for(),
            Self::TimedOut(_) => None,
        }
    }
}

type Observer = Arc<dyn Fn(&Transition) + Send + Sync>;

/// A circuit breaker. Share it by reference or in an `Arc`.
pub struct CircuitBreaker {
    name: Arc<str>,
    timeout: Option<Duration>,
    machine: Mutex<Machine>,
    /// Generation and state of the machine, readable without the lock; see [`pack`].
    stamp: AtomicU64,
    /// True while a success in the closed state would change nothing.
    clean: AtomicBool,
    rejections: AtomicU64,
    trips: AtomicU64,
    observers: RwLock<Vec<Observer>>,
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

impl CircuitBreaker {
    /// A closed breaker. Values that [`BreakerConfig::validate`] complains of are brought to the nearest valid ones.
    pub fn new(name: impl Into<Arc<str>>, config: BreakerConfig) -> Self {
        let config = config.nearest_valid();
        let machine = Machine::new(config.clone());
        Self {
            name: name.into(),
            timeout: config.timeout,
            stamp: AtomicU64::new(pack(0, State::Closed)),
            clean: AtomicBool::new(machine.is_clean()),
            machine: Mutex::new(machine),
            rejections: AtomicU64::new(0),
            trips: AtomicU64::new(0),
            observers: RwLock::new(Vec::new()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state. An open breaker stays open until a call comes after the open time.
    pub fn state(&self) -> State {
        unpack(self.stamp.load(Ordering::Acquire)).1
    }

    /// Calls refused so far.
    pub fn rejections(&self) -> u64 {
        self.rejections.load(Ordering::Relaxed)
    }

    /// Times it went from closed to open so far. Opening again after a failed probe is the same outage and not counted.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Calls `observer` after every transition, on the thread that caused it, outside any lock. It must not block.
    pub fn on_transition(&self, observer: impl Fn(&Transition) + Send + Sync + 'static) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(observer));
    }

    /// Asks for admission. Return the result through the permit.
    ///
    /// # Errors
    /// [`Rejected`] while open, and while half-open with all probes given out.
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        let stamp = self.stamp.load(Ordering::Acquire);
        let (generation, state) = unpack(stamp);
        if state == State::Closed {
            return Ok(Permit { breaker: self, generation, probe: false, settled: false });
        }
        let now = Instant::now();
        let mut machine = self.lock();
        let (admission, change) = machine.acquire(now);
        let state = machine.state();
        self.publish(machine, change, now);
        match admission {
            Ok(generation) => Ok(Permit { breaker: self, generation, probe: state == State::HalfOpen, settled: false }),
            Err(retry_in) => {
                self.rejections.fetch_add(1, Ordering::Relaxed);
                Err(Rejected { retry_in })
            }
        }
    }

    /// Runs `op` if admitted. An error counts as a failure if it
    /// [speaks against the callee](Classification::speaks_against_the_callee); other errors prove nothing and release
    /// the permit. With a configured `timeout` a slower call is cut off and counts as a failure.
    ///
    /// Cancel-safe as far as `op` is: dropping the returned future releases the permit.
    ///
    /// # Errors
    /// See [`BreakerError`].
    pub async fn call<T, E, F, Fut>(&self, op: F) -> Result<T, BreakerError<E>>
    where
        E: Classify,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let permit = self.try_acquire()?;
        let outcome = match self.timeout {
            Some(limit) => match timeout(limit, op()).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    permit.failure();
                    return Err(BreakerError::TimedOut(limit));
                }
            },
            None => op().await,
        };
        match &outcome {
            Ok(_) => permit.success(),
            Err(error) if error.refused_for().is_none() && error.classify().speaks_against_the_callee() => {
                permit.failure();
            }
            Err(_) => drop(permit),
        }
        outcome.map_err(BreakerError::Operation)
    }

    fn record(&self, generation: u64, outcome: Outcome) {
        let now = Instant::now();
        let mut machine = self.lock();
        let change = machine.record(generation, outcome, now);
        self.publish(machine, change, now);
    }

    /// Makes the machine's new state visible, lets go of the lock, then tells the observers.
    fn publish(&self, machine: MutexGuard<'_, Machine>, change: Option<Change>, at: Instant) {
        self.clean.store(machine.is_clean(), Ordering::Relaxed);
        let Some(Change { from, to, reason }) = change else { return };
        let generation = machine.generation();
        self.stamp.store(pack(generation, to), Ordering::Release);
        drop(machine);
        if from == State::Closed {
            self.trips.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(breaker = %self.name, %from, %to, ?reason, "circuit breaker");
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let transition = Transition { breaker: Arc::clone(&self.name), from, to, reason, at, generation };
        for observer in observers {
            observer(&transition);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to make one call. Dropped without a result, it is released and proves nothing.
#[must_use = "dropping a permit releases it without a result"]
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    generation: u64,
    probe: bool,
    settled: bool,
}

impl Permit<'_> {
    /// The call succeeded.
    pub fn success(mut self) {
        self.settled = true;
        let closed = pack(self.generation, State::Closed);
        let nothing_to_change =
            self.breaker.clean.load(Ordering::Relaxed) && self.breaker.stamp.load(Ordering::Acquire) == closed;
        if self.probe || !nothing_to_change {
            self.breaker.record(self.generation, Outcome::Success);
        }
    }

    /// The call failed in a way that speaks against what was called.
    pub fn failure(mut self) {
        self.settled = true;
        self.breaker.record(self.generation, Outcome::Failure);
    }

    /// True if this call is a probe of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // In the closed state a release changes nothing.
        if !self.settled && self.probe {
            self.breaker.record(self.generation, Outcome::Released);
        }
    }
}

fn pack(generation: u64, state: State) -> u64 {
    let state = match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
    };
    generation << 2 | state
}

fn unpack(stamp: u64) -> (u64, State) {
    let state = match stamp & 3 {
        0 => State::Closed,
        1 => State::Open,
        _ => State::HalfOpen,
    };
    (stamp >> 2, state)
}

#[cfg(test)]
mod tests;
