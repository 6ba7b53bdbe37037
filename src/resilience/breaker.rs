//! Refusing calls to something that is down, so that callers fail at once and it can recover, and noticing by a few
//! probes that it is back.
//!
//! It owns admission and the three states, and must not know what is called. The state machine itself is plain data with
//! the time as a parameter (`breaker/machine.rs`), the sliding window atomics (`breaker/window.rs`); this file gives them
//! a lock and an outside.
//!
//! - No lock is held while the operation runs. Admission gives a [`Permit`], the result goes back through it.
//! - A permit dropped without a result (a cancelled or panicked call) is released and proves nothing, in any state.
//! - A permit remembers the generation in which it was given; every transition begins a new one, and results of an older
//!   generation are ignored. Calls admitted before a trip cannot decide what their successors' probes are there for.
//! - Half-open never has more probes under way, or counted, than it needs to close. A probe that never ends cannot hold
//!   it half-open for ever: past `half-open-timeout` the breaker opens again.
//! - Observers are called after the transition, in the order of transitions, outside any lock, and may call the breaker.
//! - Closed and succeeding, a call is three reads and, with a failure rate configured, one addition to a counter that its
//!   thread shares with few others: no lock, no clock, no allocation. A refusal while open reads the clock once and takes no lock. Failures
//!   take the lock. Slow calls and a window in time need the clock for each call.

mod config;
mod error;
mod event;
mod machine;
mod window;

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

use super::classify::Classify;
use event::Outbox;
use machine::{Change, FORCED_WAIT, Machine, Outcome};
use window::{Window, nanos, nanos_of};

pub use config::BreakerConfig;
pub use error::{BreakerError, Rejected};
pub use event::{Mode, Reason, State, Transition};
pub use window::WindowCounts;

/// What every call reads and hardly any call writes, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Face {
    /// Generation, mode, state, and whether a success needs the lock; see [`pack`].
    stamp: AtomicU64,
    /// While open, until when, in nanoseconds since the breaker was made.
    open_until: AtomicU64,
}

/// A circuit breaker. Share it by reference or in an `Arc`.
///
/// ```
/// use seaworthy::resilience::{BreakerConfig, CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::new("payments", BreakerConfig { max_failures: 2, ..Default::default() });
/// for _ in 0..2 {
///     let permit = breaker.try_acquire().expect("closed: everybody is let in");
///     // … the call fails …
///     permit.failure();
/// }
/// assert_eq!(breaker.state(), State::Open);
/// let refused = breaker.try_acquire().unwrap_err();
/// assert!(refused.retry_in <= std::time::Duration::from_secs(5));
/// ```
pub struct CircuitBreaker {
    face: Face,
    name: Arc<str>,
    timeout: Option<Duration>,
    slow_call: Option<Duration>,
    origin: Instant,
    window: Window,
    machine: Mutex<Machine>,
    rejections: AtomicU64,
    trips: AtomicU64,
    outbox: Outbox,
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
        let origin = Instant::now();
        let window = Window::new(&config, origin);
        let machine = Machine::new(config.clone(), origin);
        Self {
            face: Face {
                stamp: AtomicU64::new(pack(machine.generation(), machine.mode(), machine.state(), false)),
                open_until: AtomicU64::new(0),
            },
            name: name.into(),
            timeout: config.timeout,
            // Without a rate that looks at them nobody needs to know.
            slow_call: config.slow_call.filter(|_| config.slow_call_rate.is_some()),
            origin,
            window,
            machine: Mutex::new(machine),
            rejections: AtomicU64::new(0),
            trips: AtomicU64::new(0),
            outbox: Outbox::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state. An open breaker stays open until a call comes after the open time.
    pub fn state(&self) -> State {
        state_of(self.face.stamp.load(Ordering::Acquire))
    }

    /// Rises with every transition and every [`set_mode`](Self::set_mode).
    pub fn generation(&self) -> u64 {
        generation_of(self.face.stamp.load(Ordering::Acquire))
    }

    /// Whether it acts on results.
    pub fn mode(&self) -> Mode {
        mode_of(self.face.stamp.load(Ordering::Acquire))
    }

    /// Makes it act otherwise, from the next call on. Whatever the mode was and is, it begins anew: closed, with an empty
    /// window, or open if that is forced; results of calls under way are ignored.
    pub fn set_mode(&self, mode: Mode) {
        let mut machine = self.lock();
        let now = Instant::now();
        let change = machine.set_mode(mode, now, &self.window);
        self.publish(machine, change, now);
    }

    /// What is in the sliding window; all zero if nothing looks at a rate.
    pub fn window(&self) -> WindowCounts {
        let _machine = self.lock();
        self.window.counts()
    }

    /// Calls refused so far.
    pub fn rejections(&self) -> u64 {
        self.rejections.load(Ordering::Relaxed)
    }

    /// Times it tripped: went from closed to open by itself. Opening again after a failed probe is the same outage and not
    /// counted.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Calls `observer` after every transition, outside any lock, in the order of the transitions and never two at once,
    /// on a thread that uses the breaker. It must not block.
    pub fn on_transition(&self, observer: impl Fn(&Transition) + Send + Sync + 'static) {
        self.outbox.observe(Arc::new(observer));
    }

    /// Every transition from now on, in order. A subscriber that is 256 behind misses the oldest, and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.outbox.subscribe()
    }

    /// Asks for admission. Return the result through the permit.
    ///
    /// # Errors
    /// [`Rejected`] while open, and while half-open with all probes given out.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        let mut stamp = self.face.stamp.load(Ordering::Acquire) & !DIRTY;
        if stamp & (STATE | MODE) != 0 {
            let wait;
            (stamp, wait) = self.acquire_slowly(stamp);
            if stamp == REFUSED {
                return Err(Rejected { retry_in: Duration::from_nanos(wait) });
            }
        }
        let started = if self.slow_call.is_some() && stamp != NOTHING { Some(Instant::now()) } else { None };
        Ok(Permit { breaker: self, stamp, started })
    }

    /// The permit's stamp, or [`REFUSED`] and for how many nanoseconds. Two numbers stay in registers, and the permit that is
    /// made of them does, too: by way of memory it would cost as much as all the rest of a call.
    #[cold]
    #[inline(never)]
    fn acquire_slowly(&self, stamp: u64) -> (u64, u64) {
        match (mode_of(stamp), state_of(stamp)) {
            (Mode::Disabled, _) => return (NOTHING, 0),
            (Mode::MetricsOnly, _) => return (stamp, 0),
            (Mode::ForcedOpen, _) => return self.reject(nanos_of(FORCED_WAIT)),
            (Mode::Normal, _) => {}
        }
        if state_of(stamp) == State::Open {
            // Before the clock: a thread that is held up in between must not take a later opening for the present one.
            let until = self.face.open_until.load(Ordering::Acquire);
            let left = until.saturating_sub(nanos(self.origin, Instant::now()));
            if left > 0 {
                return self.reject(left);
            }
        }
        let mut machine = self.lock();
        let now = Instant::now();
        let (admission, change) = machine.acquire(now, &self.window);
        let (mode, state) = (machine.mode(), machine.state());
        self.publish(machine, change, now);
        match admission {
            Ok(generation) => (pack(generation, mode, state, false), 0),
            Err(retry_in) => self.reject(nanos_of(retry_in)),
        }
    }

    /// `wait` is in nanoseconds.
    fn reject(&self, wait: u64) -> (u64, u64) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
        (REFUSED, wait)
    }

    /// Runs `op` if admitted. An error counts as a failure if it
    /// [speaks against the callee](super::Classification::speaks_against_the_callee); other errors prove nothing and release
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

    #[cold]
    #[inline(never)]
    fn record(&self, generation: u64, outcome: Outcome) {
        let mut machine = self.lock();
        let now = Instant::now();
        if matches!(outcome, Outcome::Failure { .. } | Outcome::Success { slow: true }) {
            // Before the window is looked at: a success that is counted without the lock at this moment either is in
            // what we look at, or sees this and takes the lock to look itself.
            self.face.stamp.fetch_or(DIRTY, Ordering::SeqCst);
        }
        let change = machine.record(generation, outcome, now, &self.window);
        self.publish(machine, change, now);
    }

    /// The rest of a success that was counted without the lock.
    #[cold]
    #[inline(never)]
    fn settle(&self, generation: u64, counted: Result<window::Mark, window::Ticket>) {
        let mut machine = self.lock();
        let now = Instant::now();
        let mut change = None;
        if machine.generation() == generation {
            if let Err(ticket) = counted {
                self.window.settle(ticket);
            }
            change = machine.judge(now, &self.window);
        } else if let Ok(mark) = counted {
            self.window.take_back(mark);
        }
        self.publish(machine, change, now);
    }

    /// Makes the machine's new state visible, lets go of the lock, then tells the observers.
    fn publish(&self, machine: MutexGuard<'_, Machine>, change: Option<Change>, at: Instant) {
        let (generation, mode, state) = (machine.generation(), machine.mode(), machine.state());
        if let Some(until) = machine.open_until() {
            self.face.open_until.store(nanos(self.origin, until), Ordering::Release);
        }
        let stamp = pack(generation, mode, state, !machine.is_clean(&self.window));
        // Written only when it changes: everybody reads it.
        if self.face.stamp.load(Ordering::Relaxed) != stamp {
            self.face.stamp.store(stamp, Ordering::Release);
        }
        let Some(Change { from, to, reason }) = change else { return };
        if from == State::Closed && reason != Reason::ModeSet {
            self.trips.fetch_add(1, Ordering::Relaxed);
        }
        self.outbox.leave(Transition { breaker: Arc::clone(&self.name), from, to, reason, at, generation });
        drop(machine);
        tracing::debug!(breaker = %self.name, %from, %to, ?reason, "circuit breaker");
        self.outbox.deliver();
    }

    fn was_slow(&self, started: Option<Instant>) -> bool {
        started.zip(self.slow_call).is_some_and(|(started, limit)| started.elapsed() > limit)
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
    /// The breaker's stamp when it was given, without [`DIRTY`]; [`NOTHING`]: nobody waits for the result.
    stamp: u64,
    /// Only if somebody asks for slow calls.
    started: Option<Instant>,
}

impl<'a> Permit<'a> {
    /// The call succeeded.
    #[inline]
    pub fn success(self) {
        let (breaker, stamp, started) = self.into_parts();
        let face = &breaker.face;
        // One comparison: same generation, closed, and nothing to change but the window.
        if started.is_none() && face.stamp.load(Ordering::Acquire) == stamp && state_of(stamp) == State::Closed {
            let counted = breaker.window.add_success();
            if counted.is_err() || face.stamp.load(Ordering::SeqCst) != stamp {
                breaker.settle(generation_of(stamp), counted);
            }
            return;
        }
        if stamp != NOTHING {
            let slow = breaker.was_slow(started);
            breaker.record(generation_of(stamp), Outcome::Success { slow });
        }
    }

    /// The call failed in a way that speaks against what was called.
    pub fn failure(self) {
        let (breaker, stamp, started) = self.into_parts();
        if stamp != NOTHING {
            let slow = breaker.was_slow(started);
            breaker.record(generation_of(stamp), Outcome::Failure { slow });
        }
    }

    /// What it consists of; nothing is released.
    #[inline]
    fn into_parts(self) -> (&'a CircuitBreaker, u64, Option<Instant>) {
        let this = ManuallyDrop::new(self);
        (this.breaker, this.stamp, this.started)
    }

    /// The breaker's [generation](CircuitBreaker::generation) in which it was given; of a disabled breaker, none of them.
    pub fn generation(&self) -> u64 {
        generation_of(self.stamp)
    }

    /// True if this call is a probe of a half-open breaker.
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.stamp != NOTHING && state_of(self.stamp) == State::HalfOpen
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // In the closed state a release changes nothing.
        if self.is_probe() {
            self.breaker.record(generation_of(self.stamp), Outcome::Released);
        }
    }
}

const STATE: u64 = 0b11;
const MODE: u64 = 0b1100;
/// A success must take the lock.
const DIRTY: u64 = 0b1_0000;
/// A permit's stamp when its result goes nowhere. No breaker has so many generations.
const NOTHING: u64 = u64::MAX;
/// In place of a permit's stamp where there is no permit.
const REFUSED: u64 = u64::MAX - 1;

fn pack(generation: u64, mode: Mode, state: State, dirty: bool) -> u64 {
    let state = match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
    };
    let mode = match mode {
        Mode::Normal => 0,
        Mode::MetricsOnly => 1,
        Mode::Disabled => 2,
        Mode::ForcedOpen => 3,
    };
    generation << 5 | if dirty { DIRTY } else { 0 } | mode << 2 | state
}

#[inline]
fn state_of(stamp: u64) -> State {
    match stamp & STATE {
        0 => State::Closed,
        1 => State::Open,
        _ => State::HalfOpen,
    }
}

#[inline]
fn mode_of(stamp: u64) -> Mode {
    match (stamp & MODE) >> 2 {
        0 => Mode::Normal,
        1 => Mode::MetricsOnly,
        2 => Mode::Disabled,
        _ => Mode::ForcedOpen,
    }
}

#[inline]
fn generation_of(stamp: u64) -> u64 {
    stamp >> 5
}

#[cfg(test)]
mod tests;
