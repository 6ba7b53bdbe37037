//! The parts of the settings whose components have no configuration type of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Invalid;
use super::super::invalid::is_share;
use super::super::text;

/// Under which names the headers of dead-lettered records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderPreset {
    /// `original-topic`, `original-partition`, … as text.
    #[default]
    Plain,
    /// Spring Kafka's `kafka_dlt-…`, numbers in big-endian bytes.
    Spring,
    /// Kafka Connect's `__connect.errors.…`, as text.
    Connect,
}

/// The dead-letter queue's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DlqSettings {
    /// What is appended to a topic's name for its dead-letter topic. Default ".dlq".
    pub topic_suffix: String,
    /// Under which names headers are written. Default plain.
    pub header_preset: HeaderPreset,
    /// All added headers together are no larger, in bytes; longer error messages are truncated. Default 8192.
    pub max_header_bytes: usize,
    /// A record that was replayed from the dead-letter topic this often is not replayed again. Default 3.
    pub max_replays: u32,
}

impl Default for DlqSettings {
    fn default() -> Self {
        Self {
            topic_suffix: ".dlq".into(),
            header_preset: HeaderPreset::default(),
            max_header_bytes: 8_192,
            max_replays: 3,
        }
    }
}

impl DlqSettings {
    /// The record's origin alone (topic, partition, offset, time, class) must find room.
    const LEAST_HEADER_BYTES: usize = 1_024;

    /// Every mistake in it; empty if it is valid.
    pub fn validate(&self) -> Vec<Invalid> {
        let mut mistakes = Vec::new();
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let suffix_is_valid = !self.topic_suffix.is_empty() && self.topic_suffix.chars().all(legal);
        Invalid::unless(suffix_is_valid, &mut mistakes, "topic-suffix", || {
            format!("{:?} is empty or has characters that topics may not have", self.topic_suffix)
        });
        let room = self.max_header_bytes >= Self::LEAST_HEADER_BYTES;
        Invalid::unless(room, &mut mistakes, "max-header-bytes", || {
            format!("{} is below {}, too little for a record's origin", self.max_header_bytes, Self::LEAST_HEADER_BYTES)
        });
        mistakes
    }
}

/// What to do with a record that failed for retriable reasons only, when its retries are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// It waits, its topic partition paused, and is tried again. Nothing is wrong with it: an outage must not flush good
    /// records into the dead-letter topic.
    #[default]
    Hold,
    /// It goes to the dead-letter topic, so that the records behind it go on.
    DeadLetter,
}

/// The consumer's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConsumerSettings {
    /// Records that a topic partition may have taken and not finished. At least 1. Default 500, as one poll of Kafka's
    /// Java client takes: a backlog then drains in few rounds of acknowledgements. After a crash up to so many come again.
    pub max_in_flight: usize,
    /// On revocation and shutdown, how long records in flight may take to finish. Default 10 s.
    #[serde(with = "text::duration")]
    pub drain_timeout: Duration,
    /// What becomes of a record that failed for retriable reasons only. Default hold.
    pub on_exhausted: OnExhausted,
    /// How long a held record waits until it is tried again. Default 1 s.
    #[serde(with = "text::duration")]
    pub hold: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            max_in_flight: 500,
            drain_timeout: Duration::from_secs(10),
            on_exhausted: OnExhausted::Hold,
            hold: Duration::from_secs(1),
        }
    }
}

impl ConsumerSettings {
    /// Every mistake in it; empty if it is valid.
    pub fn validate(&self) -> Vec<Invalid> {
        let mut mistakes = Vec::new();
        Invalid::unless(self.max_in_flight >= 1, &mut mistakes, "max-in-flight", || "0 lets nothing through".into());
        Invalid::unless(!self.hold.is_zero(), &mut mistakes, "hold", || "0 would try without a pause".into());
        mistakes
    }
}

/// From where on people are told. Shares are from 0 to 1; a value must be *above* its threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MonitoringSettings {
    /// Share of failed operations that warns. Default 0.05.
    pub error_rate_warning: f64,
    /// Share of failed operations that is critical. Default 0.10.
    pub error_rate_critical: f64,
    /// Breaker trips in the window. Default 3.
    pub breaker_trips: u64,
    /// Dead letters in the window. Default 100.
    pub dead_letters: u64,
    /// Time to recover, also while still down. Default 30 s.
    #[serde(with = "text::duration")]
    pub recovery_time: Duration,
    /// How far back alerts look. Default 1 min.
    #[serde(with = "text::duration")]
    pub window: Duration,
    /// Below this many operations there are no rates. Default 20.
    pub minimum_sample: u64,
    /// How long a value must stay above its threshold until an alert fires; "for" in a file. Default 0: the window is
    /// patience enough.
    #[serde(rename = "for", with = "text::duration")]
    pub fires_after: Duration,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            error_rate_warning: 0.05,
            error_rate_critical: 0.10,
            breaker_trips: 3,
            dead_letters: 100,
            recovery_time: Duration::from_secs(30),
            window: Duration::from_secs(60),
            minimum_sample: 20,
            fires_after: Duration::ZERO,
        }
    }
}

impl MonitoringSettings {
    /// Every mistake in it; empty if it is valid.
    pub fn validate(&self) -> Vec<Invalid> {
        let mut mistakes = Vec::new();
        for (field, share) in
            [("error-rate-warning", self.error_rate_warning), ("error-rate-critical", self.error_rate_critical)]
        {
            Invalid::unless(is_share(share), &mut mistakes, field, || format!("{share} is not a share from 0 to 1"));
        }
        let ordered = self.error_rate_warning <= self.error_rate_critical;
        // Shares that are none were complained of already.
        let comparable = is_share(self.error_rate_warning) && is_share(self.error_rate_critical);
        Invalid::unless(ordered || !comparable, &mut mistakes, "error-rate-critical", || {
            format!("{} is below error-rate-warning, {}", self.error_rate_critical, self.error_rate_warning)
        });
        Invalid::unless(!self.window.is_zero(), &mut mistakes, "window", || "0 is not above 0".into());
        Invalid::unless(self.minimum_sample >= 1, &mut mistakes, "minimum-sample", || "0 is below 1".into());
        mistakes
    }
}
