//! A breaker's numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Invalid;
use super::super::text;
use super::Mode;

/// When to open, for how long, and when to close again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Opens at this many failures without a success between them. At least 1. Default 5.
    pub max_failures: u32,
    /// Opens when at least this share of the window failed, above 0 to 1. Default none: consecutive failures only.
    #[serde(with = "text::optional_number")]
    pub failure_rate: Option<f64>,
    /// A call slower than this is slow, whatever its result. Default none: nothing is slow.
    #[serde(with = "text::optional_duration")]
    pub slow_call: Option<Duration>,
    /// Opens when at least this share of the window was slow, above 0 to 1; a slow probe then counts as a failed one.
    /// Needs `slow-call`. Default none.
    #[serde(with = "text::optional_number")]
    pub slow_call_rate: Option<f64>,
    /// How many of the latest calls the rates look at. From 1 to 1 000 000. Default 100.
    pub window: u32,
    /// If given, the rates look at the calls of this time instead, to a tenth of it; `window` then has no meaning. It costs a
    /// reading of the clock for each call. Default none.
    #[serde(with = "text::optional_duration")]
    pub window_duration: Option<Duration>,
    /// Below this many calls in the window there are no rates. From 1 to the window. Default 20.
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
    /// Whether it acts on results; can be changed at run time by
    /// [`CircuitBreaker::set_mode`](super::CircuitBreaker::set_mode). Default normal.
    pub mode: Mode,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            max_failures: 5,
            failure_rate: None,
            slow_call: None,
            slow_call_rate: None,
            window: 100,
            window_duration: None,
            minimum_calls: 20,
            timeout: None,
            reset_timeout: Duration::from_secs(5),
            reset_multiplier: 1.0,
            max_reset_timeout: Duration::from_secs(30),
            half_open_probes: 1,
            half_open_timeout: Duration::from_secs(30),
            mode: Mode::Normal,
        }
    }
}

/// The largest window of calls: it takes up to two bytes a call.
const LARGEST_WINDOW: u32 = 1_000_000;

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
        Invalid::unless(self.window <= LARGEST_WINDOW, &mut mistakes, "window", || {
            format!("{} is above {LARGEST_WINDOW}", self.window)
        });
        let fits = self.minimum_calls <= self.window || self.window_duration.is_some();
        Invalid::unless(fits, &mut mistakes, "minimum-calls", || {
            format!("{} is above window, {}: there would never be a failure rate", self.minimum_calls, self.window)
        });
        for (field, rate) in [("failure-rate", self.failure_rate), ("slow-call-rate", self.slow_call_rate)] {
            let is_valid = rate.is_none_or(|rate| rate > 0.0 && rate <= 1.0);
            Invalid::unless(is_valid, &mut mistakes, field, || {
                format!("{} is not a share above 0 and up to 1", rate.unwrap_or_default())
            });
        }
        Invalid::unless(
            self.slow_call_rate.is_none() || self.slow_call.is_some(),
            &mut mistakes,
            "slow-call-rate",
            || "needs slow-call: from when on a call is slow".into(),
        );
        for (field, value) in [
            ("timeout", self.timeout.unwrap_or(Duration::MAX)),
            ("slow-call", self.slow_call.unwrap_or(Duration::MAX)),
            ("window-duration", self.window_duration.unwrap_or(Duration::MAX)),
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
        self.window = self.window.clamp(1, LARGEST_WINDOW);
        let most = if self.window_duration.is_some() { u32::MAX } else { self.window };
        self.minimum_calls = self.minimum_calls.clamp(1, most);
        self.half_open_probes = self.half_open_probes.max(1);
        for rate in [&mut self.failure_rate, &mut self.slow_call_rate] {
            *rate = rate.filter(|rate| !rate.is_nan()).map(|rate| rate.clamp(f64::EPSILON, 1.0));
        }
        self.slow_call_rate = self.slow_call_rate.filter(|_| self.slow_call.is_some());
        for limit in [&mut self.timeout, &mut self.slow_call, &mut self.window_duration] {
            *limit = limit.map(|limit| limit.max(LEAST));
        }
        self.reset_timeout = self.reset_timeout.max(LEAST);
        self.half_open_timeout = self.half_open_timeout.max(LEAST);
        self.max_reset_timeout = self.max_reset_timeout.max(self.reset_timeout);
        if !(self.reset_multiplier.is_finite() && self.reset_multiplier >= 1.0) {
            self.reset_multiplier = 1.0;
        }
        self
    }
}
