//! The breaker's state machine: plain data, the time is a parameter. It knows no lock, no callback and no permit; the
//! window's atomics are lent to it.

use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;
use super::{BreakerConfig, Mode, Reason, State};

/// While half-open, probes end any moment: a refused caller is sent away for no longer than this.
const PROBE_WAIT: Duration = Duration::from_millis(50);

/// How long to stay away from a breaker that is forced open: nobody knows.
pub(super) const FORCED_WAIT: Duration = Duration::from_secs(1);

/// What became of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success {
        slow: bool,
    },
    Failure {
        slow: bool,
    },
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
    mode: Mode,
    phase: Phase,
    generation: u64,
    /// Failures since the last success, while closed.
    failures: u32,
    /// Openings since it was last closed.
    openings: u32,
}

impl Machine {
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let mode = config.mode;
        let mut machine =
            Self { config, mode: Mode::Normal, phase: Phase::Closed, generation: 0, failures: 0, openings: 0 };
        if mode != Mode::Normal {
            machine.mode = mode;
            machine.phase = machine.resting(now);
        }
        machine
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// While open, until when.
    pub fn open_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// True while a plain success would change nothing but the number of calls in the window.
    pub fn is_clean(&self, window: &Window) -> bool {
        let counts = window.counts();
        // Before the minimum a success can still complete it; after it, a success only lowers the rates.
        let cannot_trip = counts.failures + counts.slow == 0 || counts.calls >= u64::from(self.config.minimum_calls);
        self.failures == 0 && (cannot_trip || self.mode != Mode::Normal)
    }

    /// Admits a call into a generation, or says how long to stay away.
    pub fn acquire(&mut self, now: Instant, window: &Window) -> (Result<u64, Duration>, Option<Change>) {
        if self.mode == Mode::ForcedOpen {
            return (Err(FORCED_WAIT), None);
        }
        let probes = self.config.half_open_probes;
        let overdue_at = later(now, self.config.half_open_timeout);
        match &mut self.phase {
            Phase::Closed => (Ok(self.generation), None),
            Phase::Open { until } if now < *until => (Err(*until - now), None),
            Phase::Open { .. } => {
                let probing = Phase::HalfOpen { under_way: 1, succeeded: 0, overdue_at };
                let change = self.enter(probing, Reason::OpenTimeOver, window);
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
                let change = self.open(now, Reason::ProbesOverdue, window);
                (Err(self.config.open_time(self.openings)), Some(change))
            }
        }
    }

    /// Takes a result. One of an older generation is ignored.
    pub fn record(&mut self, generation: u64, outcome: Outcome, now: Instant, window: &Window) -> Option<Change> {
        if generation != self.generation || self.mode == Mode::Disabled {
            return None;
        }
        match (&mut self.phase, outcome) {
            (Phase::Closed, Outcome::Success { slow }) => {
                self.failures = 0;
                window.add(false, slow, now);
                self.judge(now, window)
            }
            (Phase::Closed, Outcome::Failure { slow }) => {
                self.failures = self.failures.saturating_add(1);
                window.add(true, slow, now);
                self.judge(now, window)
            }
            (Phase::HalfOpen { under_way, succeeded, .. }, Outcome::Success { slow: false }) => {
                *under_way -= 1;
                *succeeded += 1;
                let enough = *succeeded >= self.config.half_open_probes;
                enough.then(|| self.enter(Phase::Closed, Reason::ProbesSucceeded, window))
            }
            (Phase::HalfOpen { .. }, Outcome::Failure { .. } | Outcome::Success { slow: true }) => {
                Some(self.open(now, Reason::ProbeFailed, window))
            }
            (Phase::HalfOpen { under_way, .. }, Outcome::Released) => {
                *under_way -= 1;
                None
            }
            // Nobody is admitted into a generation that is open, so that no result of it can come.
            (Phase::Closed, Outcome::Released) | (Phase::Open { .. }, _) => None,
        }
    }

    /// The state after what the window has now. Also to be called when a success that was counted without the lock
    /// moved the window on.
    pub fn judge(&mut self, now: Instant, window: &Window) -> Option<Change> {
        if self.mode != Mode::Normal || !matches!(self.phase, Phase::Closed) {
            return None;
        }
        let counts = window.counts();
        let enough = counts.calls >= u64::from(self.config.minimum_calls);
        let reached = |rate: Option<f64>, limit: Option<f64>| {
            enough && rate.zip(limit).is_some_and(|(rate, limit)| rate >= limit)
        };
        let reason = if self.failures >= self.config.max_failures {
            Reason::ConsecutiveFailures
        } else if reached(counts.failure_rate(), self.config.failure_rate) {
            Reason::FailureRate
        } else if reached(counts.slow_call_rate(), self.config.slow_call_rate) {
            Reason::SlowCallRate
        } else {
            return None;
        };
        Some(self.open(now, reason, window))
    }

    /// Another mode: a new generation that begins closed, or open if that is forced. `Some` if the state changed.
    pub fn set_mode(&mut self, mode: Mode, now: Instant, window: &Window) -> Option<Change> {
        self.mode = mode;
        let change = self.enter(self.resting(now), Reason::ModeSet, window);
        (change.from != change.to).then_some(change)
    }

    fn resting(&self, now: Instant) -> Phase {
        match self.mode {
            Mode::ForcedOpen => Phase::Open { until: later(now, Duration::MAX) },
            Mode::Normal | Mode::MetricsOnly | Mode::Disabled => Phase::Closed,
        }
    }

    fn open(&mut self, now: Instant, reason: Reason, window: &Window) -> Change {
        self.openings = self.openings.saturating_add(1);
        let until = later(now, self.config.open_time(self.openings));
        self.enter(Phase::Open { until }, reason, window)
    }

    fn enter(&mut self, phase: Phase, reason: Reason, window: &Window) -> Change {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.failures = 0;
        if matches!(phase, Phase::Closed) {
            self.openings = 0;
            window.clear();
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
