//! A breaker's numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Invalid;
use super::super::text;

/// When to open, for how long, and when to close again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Opens at this many failures without a success between them. At least 1. Default 5.
    pub max_failures: u32,
    /// Opens when at least this share of the window failed, above 0 to 1. Default none: consecutive failures only.
    #[serde(with = "text::optional_number")]
    pub failure_rate: Option<f64>,
    /// How many of the latest calls the failure rate looks at. At least 1. Default 100.
    pub window: u32,
    /// Below this many calls in the window there is no failure rate. From 1 to the window. Default 20.
    pub minimum_calls: u32,
    /// A call slower than this counts as a failure. [`CircuitBreaker::call`](super::CircuitBreaker::call) cuts such a
    /// call off; who works with permits has to measure, and to call [`Permit::failure`](super::Permit::failure).
    /// Default none.
    #[serde(with = "text::optional_duration")]
    pub timeout: Option<Duration>,
    /// How long it stays open before the first probe. Default 5 s. It is a floor under every recovery time: keep it
    /// short, a probe costs one call.
    #[serde(with = "text::duration")]
    pub reset_timeout: Duration,
    /// By how much the open time grows each time a probe fails. At least 1. Default 1: not at all.
    pub reset_multiplier: f64,
    /// The open time never grows beyond this. Default 30 s.
    #[serde(with = "text::duration")]
    pub max_reset_timeout: Duration,
    /// Half-open lets this many probes through at a time, and closes after that many successes. At least 1. Default 1.
    pub half_open_probes: u32,
    /// Half-open with all probes given out and no answer for this long after the latest was admitted opens again.
    /// Default 30 s.
    #[serde(with = "text::duration")]
    pub half_open_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            max_failures: 5,
            failure_rate: None,
            window: 100,
            minimum_calls: 20,
            timeout: None,
            reset_timeout: Duration::from_secs(5),
            reset_multiplier: 1.0,
            max_reset_timeout: Duration::from_secs(30),
            half_open_probes: 1,
            half_open_timeout: Duration::from_secs(30),
        }
    }
}

impl BreakerConfig {
    /// Every mistake in it; empty if it is valid.
    pub fn validate(&self) -> Vec<Invalid> {
        let mut mistakes = Vec::new();
        for (field, value) in [
            ("max-failures", self.max_failures),
            ("window", self.window),
            ("minimum-calls", self.minimum_calls),
            ("half-open-probes", self.half_open_probes),
        ] {
            Invalid::unless(value >= 1, &mut mistakes, field, || "0 is below 1".into());
        }
        Invalid::unless(self.minimum_calls <= self.window, &mut mistakes, "minimum-calls", || {
            format!("{} is above window, {}: there would never be a failure rate", self.minimum_calls, self.window)
        });
        let rate_is_valid = self.failure_rate.is_none_or(|rate| rate > 0.0 && rate <= 1.0);
        Invalid::unless(rate_is_valid, &mut mistakes, "failure-rate", || {
            format!("{} is not a share above 0 and up to 1", self.failure_rate.unwrap_or_default())
        });
        for (field, value) in [
            ("timeout", self.timeout.unwrap_or(Duration::MAX)),
            ("reset-timeout", self.reset_timeout),
            ("half-open-timeout", self.half_open_timeout),
        ] {
            Invalid::unless(!value.is_zero(), &mut mistakes, field, || "0 is not above 0".into());
        }
        let multiplier_is_valid = self.reset_multiplier.is_finite() && self.reset_multiplier >= 1.0;
        Invalid::unless(multiplier_is_valid, &mut mistakes, "reset-multiplier", || {
            format!("{} is not a number of at least 1", self.reset_multiplier)
        });
        Invalid::unless(self.max_reset_timeout >= self.reset_timeout, &mut mistakes, "max-reset-timeout", || {
            let text = humantime::format_duration;
            format!("{} is below reset-timeout, {}", text(self.max_reset_timeout), text(self.reset_timeout))
        });
        mistakes
    }

    /// The open time after `openings` openings in a row (1 for the first).
    pub(super) fn open_time(&self, openings: u32) -> Duration {
        let grown =
            self.reset_timeout.as_secs_f64() * self.reset_multiplier.powf(f64::from(openings.saturating_sub(1)));
        Duration::try_from_secs_f64(grown)
            .unwrap_or(self.max_reset_timeout)
            .clamp(self.reset_timeout, self.max_reset_timeout)
    }

    /// This configuration with every invalid value replaced by the nearest valid one.
    pub(super) fn nearest_valid(mut self) -> Self {
        const LEAST: Duration = Duration::from_millis(1);
        self.max_failures = self.max_failures.max(1);
        self.window = self.window.max(1);
        self.minimum_calls = self.minimum_calls.clamp(1, self.window);
        self.half_open_probes = self.half_open_probes.max(1);
        self.failure_rate = self.failure_rate.filter(|rate| !rate.is_nan()).map(|rate| rate.clamp(f64::EPSILON, 1.0));
        self.timeout = self.timeout.map(|limit| limit.max(LEAST));
        self.reset_timeout = self.reset_timeout.max(LEAST);
        self.half_open_timeout = self.half_open_timeout.max(LEAST);
        self.max_reset_timeout = self.max_reset_timeout.max(self.reset_timeout);
        if !(self.reset_multiplier.is_finite() && self.reset_multiplier >= 1.0) {
            self.reset_multiplier = 1.0;
        }
        self
    }
}
