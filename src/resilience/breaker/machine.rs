//! The breaker's state machine: plain data, the time is a parameter. It knows no lock, no callback and no permit.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{BreakerConfig, Reason, State};

/// While half-open, probes end any moment: a refused caller is sent away for no longer than this.
const PROBE_WAIT: Duration = Duration::from_millis(50);

/// What became of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// Given back without a result.
    Released,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub from: State,
    pub to: State,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { under_way: u32, succeeded: u32, overdue_at: Instant },
}

#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    phase: Phase,
    generation: u64,
    /// Failures since the last success, while closed.
    failures: u32,
    window: Window,
    /// Openings since it was last closed.
    openings: u32,
}

impl Machine {
    pub fn new(config: BreakerConfig) -> Self {
        let window = Window::new(if config.failure_rate.is_some() { config.window as usize } else { 0 });
        Self { config, phase: Phase::Closed, generation: 0, failures: 0, window, openings: 0 }
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// True while a success would change nothing.
    pub fn is_clean(&self) -> bool {
        self.failures == 0 && self.config.failure_rate.is_none() && matches!(self.phase, Phase::Closed)
    }

    /// Admits a call into a generation, or says how long to stay away.
    pub fn acquire(&mut self, now: Instant) -> (Result<u64, Duration>, Option<Change>) {
        let probes = self.config.half_open_probes;
        let overdue_at = later(now, self.config.half_open_timeout);
        match &mut self.phase {
            Phase::Closed => (Ok(self.generation), None),
            Phase::Open { until } if now < *until => (Err(*until - now), None),
            Phase::Open { .. } => {
                let probing = Phase::HalfOpen { under_way: 1, succeeded: 0, overdue_at };
                let change = self.enter(probing, Reason::OpenTimeOver);
                (Ok(self.generation), Some(change))
            }
            Phase::HalfOpen { under_way, succeeded, overdue_at: overdue } if *under_way + *succeeded < probes => {
                *under_way += 1;
                *overdue = overdue_at;
                (Ok(self.generation), None)
            }
            Phase::HalfOpen { overdue_at: overdue, .. } if now < *overdue => {
                (Err((*overdue - now).min(PROBE_WAIT)), None)
            }
            Phase::HalfOpen { .. } => {
                let change = self.open(now, Reason::ProbesOverdue);
                (Err(self.config.open_time(self.openings)), Some(change))
            }
        }
    }

    /// Takes a result. One of an older generation is ignored.
    pub fn record(&mut self, generation: u64, outcome: Outcome, now: Instant) -> Option<Change> {
        if generation != self.generation {
            return None;
        }
        match (&mut self.phase, outcome) {
            (Phase::Closed, Outcome::Success) => {
                self.failures = 0;
                self.window.push(false);
                // A success can still reach the limit: by completing the minimum of calls.
                self.rate_is_reached().then(|| self.open(now, Reason::FailureRate))
            }
            (Phase::Closed, Outcome::Failure) => {
                self.failures = self.failures.saturating_add(1);
                self.window.push(true);
                if self.failures >= self.config.max_failures {
                    return Some(self.open(now, Reason::ConsecutiveFailures));
                }
                self.rate_is_reached().then(|| self.open(now, Reason::FailureRate))
            }
            (Phase::HalfOpen { under_way, succeeded, .. }, Outcome::Success) => {
                *under_way -= 1;
                *succeeded += 1;
                let enough = *succeeded >= self.config.half_open_probes;
                enough.then(|| self.enter(Phase::Closed, Reason::ProbesSucceeded))
            }
            (Phase::HalfOpen { .. }, Outcome::Failure) => Some(self.open(now, Reason::ProbeFailed)),
            (Phase::HalfOpen { under_way, .. }, Outcome::Released) => {
                *under_way -= 1;
                None
            }
            // Nobody is admitted into a generation that is open, so that no result of it can come.
            (Phase::Closed, Outcome::Released) | (Phase::Open { .. }, _) => None,
        }
    }

    fn rate_is_reached(&self) -> bool {
        let enough = self.window.calls() >= self.config.minimum_calls as usize;
        self.config.failure_rate.is_some_and(|limit| enough && self.window.failure_rate() >= limit)
    }

    fn open(&mut self, now: Instant, reason: Reason) -> Change {
        self.openings = self.openings.saturating_add(1);
        let until = later(now, self.config.open_time(self.openings));
        self.enter(Phase::Open { until }, reason)
    }

    fn enter(&mut self, phase: Phase, reason: Reason) -> Change {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.failures = 0;
        if matches!(phase, Phase::Closed) {
            self.openings = 0;
            self.window.clear();
        }
        Change { from, to: self.state(), reason }
    }

    #[cfg(test)]
    pub fn under_way(&self) -> u32 {
        match self.phase {
            Phase::HalfOpen { under_way, .. } => under_way,
            Phase::Closed | Phase::Open { .. } => 0,
        }
    }
}

/// A moment in the future; one too far away to be represented is a century away.
fn later(now: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    now + by.min(CENTURY)
}

/// The latest calls, with their failures counted: O(1) for everything.
#[derive(Debug)]
struct Window {
    size: usize,
    failed: VecDeque<bool>,
    failures: usize,
}

impl Window {
    fn new(size: usize) -> Self {
        Self { size, failed: VecDeque::with_capacity(size.min(1 << 16)), failures: 0 }
    }

    fn push(&mut self, failed: bool) {
        if self.size == 0 {
            return;
        }
        if self.failed.len() == self.size && self.failed.pop_front() == Some(true) {
            self.failures -= 1;
        }
        self.failed.push_back(failed);
        self.failures += usize::from(failed);
    }

    fn calls(&self) -> usize {
        self.failed.len()
    }

    fn failure_rate(&self) -> f64 {
        self.failures as f64 / self.failed.len().max(1) as f64
    }

    fn clear(&mut self) {
        self.failed.clear();
        self.failures = 0;
    }
}
