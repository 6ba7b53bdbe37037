//! How long to wait before a retry. It owns the retry numbers and the delays that follow from them, and must not know
//! what is retried or why.
//!
//! Why full jitter is the default: clients that failed together must not come back together. With 100 clients contending
//! for one resource, no jitter takes 63.5 s and 1 856 calls, full jitter 4.9 s and 797.
//!
//! Why the cap comes before the jitter, and jitter only ever shortens: whoever jitters first and caps then sends
//! everybody back at exactly the cap during a long outage, which is when it matters; whoever jitters upwards exceeds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Invalid;
use super::text;
use crate::rng::Rng;

/// How delays are spread. In each, `c` is the [ceiling](RetryConfig::ceiling) of the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Exactly `c`.
    None,
    /// Evenly from `c/2` to `c`.
    Equal,
    /// Evenly from 0 to `c`.
    #[default]
    Full,
    /// Evenly from the initial delay to three times the delay before, at most the maximum; the multiplier has no part.
    Decorrelated,
    /// Evenly from 0.9 `c` to `c`: a band as wide as the usual ±5 %, moved below the ceiling.
    Proportional,
}

/// Below this a multiplier counts as 1: rounding could otherwise make a later delay shorter by a nanosecond.
const LEAST_GROWTH: f64 = 1.0 + 1e-9;

/// How often, how soon and for how long to retry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Retries after the first attempt; 0 tries once. Default 5.
    pub max_retries: u32,
    /// The first delay's ceiling. Default 100 ms.
    #[serde(with = "text::duration")]
    pub initial_delay: Duration,
    /// No delay is longer. Default 10 s.
    #[serde(with = "text::duration")]
    pub max_delay: Duration,
    /// By how much the ceiling grows from retry to retry; at least 1. Default 2.
    pub multiplier: f64,
    /// How delays are spread. Default full.
    pub jitter: Jitter,
    /// Limit on everything together, attempts and delays. Default none.
    #[serde(with = "text::optional_duration")]
    pub deadline: Option<Duration>,
    /// Limit on each attempt. Default none.
    #[serde(with = "text::optional_duration")]
    pub attempt_timeout: Option<Duration>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 5,
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            multiplier: 2.0,
            jitter: Jitter::Full,
            deadline: None,
            attempt_timeout: None,
        }
    }
}

impl RetryConfig {
    /// Every mistake in it; empty if it is valid.
    pub fn validate(&self) -> Vec<Invalid> {
        let text = |duration| humantime::format_duration(duration).to_string();
        let mut mistakes = Vec::new();
        Invalid::unless(self.initial_delay <= self.max_delay, &mut mistakes, "max-delay", || {
            format!("{} is below initial-delay, {}", text(self.max_delay), text(self.initial_delay))
        });
        Invalid::unless(self.multiplier.is_finite() && self.multiplier >= 1.0, &mut mistakes, "multiplier", || {
            format!("{} is not a number of at least 1", self.multiplier)
        });
        Invalid::unless(self.deadline != Some(Duration::ZERO), &mut mistakes, "deadline", || {
            "0 leaves no time for an attempt; \"none\" means no limit".into()
        });
        Invalid::unless(self.attempt_timeout != Some(Duration::ZERO), &mut mistakes, "attempt-timeout", || {
            "0 leaves no time for an attempt; \"none\" means no limit".into()
        });
        if let (Some(attempt), Some(all)) = (self.attempt_timeout, self.deadline) {
            Invalid::unless(attempt <= all, &mut mistakes, "attempt-timeout", || {
                format!("{} is above deadline, {}", text(attempt), text(all))
            });
        }
        mistakes
    }

    /// The delay before jitter that follows attempt number `attempt` (from 0): the initial delay times the multiplier to
    /// that power, at most the maximum. Never falls from one attempt to the next, up to `u32::MAX`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let first = self.initial_delay.min(self.max_delay);
        // A comparison that is also false for NaN.
        let grows = self.multiplier >= LEAST_GROWTH;
        if attempt == 0 || first.is_zero() || !grows {
            return first;
        }
        let seconds = first.as_secs_f64() * self.multiplier.powf(f64::from(attempt));
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max_delay).clamp(first, self.max_delay)
    }

    /// The longest that everything can take: all delays at their ceilings and all attempts at their time limit, or the
    /// deadline if that is sooner. `None` if attempts have no limit and there is no deadline.
    pub fn longest(&self) -> Option<Duration> {
        let attempts = self.attempt_timeout.map(|limit| limit.saturating_mul(self.max_retries.saturating_add(1)));
        let all = attempts.map(|attempts| attempts.saturating_add(self.longest_waiting()));
        match (all, self.deadline) {
            (Some(all), Some(deadline)) => Some(all.min(deadline)),
            (all, deadline) => all.or(deadline),
        }
    }

    /// The sum of all delays at their ceilings; an upper bound of it for decorrelated jitter, and
    /// where the delays grow for thousands of retries.
    pub fn longest_waiting(&self) -> Duration {
        const EXACT: u32 = 4_096;
        if self.jitter == Jitter::Decorrelated {
            return self.max_delay.saturating_mul(self.max_retries);
        }
        let exact: Duration =
            (0..self.max_retries.min(EXACT)).fold(Duration::ZERO, |sum, n| sum.saturating_add(self.ceiling(n)));
        let rest = self.max_retries.saturating_sub(EXACT);
        exact.saturating_add(self.ceiling(self.max_retries).saturating_mul(rest))
    }
}

/// The delays of one operation's retries, in order.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: RetryConfig,
    rng: Rng,
    used: u32,
    previous: Duration,
}

impl Backoff {
    /// Delays by `config`, drawn from `rng`.
    pub fn new(config: RetryConfig, rng: Rng) -> Self {
        let previous = config.initial_delay;
        Self { config, rng, used: 0, previous }
    }

    /// The delay before the next retry, or `None` once the retries are used up.
    pub fn next_delay(&mut self) -> Option<Duration> {
        if self.used >= self.config.max_retries {
            return None;
        }
        let delay = self.delay(self.used);
        self.used += 1;
        Some(delay)
    }

    /// A delay for the retry that follows attempt number `attempt` (from 0), whatever was used so far. From 0 to the
    /// maximum delay, both included, for every attempt.
    pub fn delay(&mut self, attempt: u32) -> Duration {
        let ceiling = self.config.ceiling(attempt);
        let share = self.rng.share();
        match self.config.jitter {
            Jitter::None => ceiling,
            Jitter::Equal => part(ceiling, 0.5 + share / 2.0),
            Jitter::Full => part(ceiling, share),
            Jitter::Proportional => part(ceiling, 0.9 + share / 10.0),
            Jitter::Decorrelated => {
                let least = self.config.initial_delay.min(self.config.max_delay);
                let before = if attempt == 0 { least } else { self.previous };
                let most = before.saturating_mul(3).clamp(least, self.config.max_delay);
                self.previous = least + part(most - least, share);
                self.previous
            }
        }
    }

    /// Starts over, as after a success. The random sequence goes on.
    pub fn reset(&mut self) {
        self.used = 0;
        self.previous = self.config.initial_delay;
    }

    /// Retries handed out since the start or the last reset.
    pub fn used(&self) -> u32 {
        self.used
    }
}

fn part(whole: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * share).map_or(whole, |part| part.min(whole))
}

#[cfg(test)]
mod tests;
