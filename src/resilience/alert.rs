//! Telling people: thresholds over a window of metrics, once when passed and once when it is over.
//!
//! It owns which alerts are firing, and must not know how they are delivered: each evaluation returns what is new.
//!
//! - Counts are those of the window, not since the start: an old outage ends its alerts.
//! - A value must be above its threshold; at it is not above.
//! - An alert that fires is not repeated. A critical one takes the place of its warning.
//! - A rate over too few operations neither fires nor ends an alert.
//! - With `monitoring.for`, what is above a threshold must stay there for so long before it fires. What is not above it
//!   any more is resolved at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::metrics::{ErrorMetrics, MetricsSnapshot, share};
use super::settings::MonitoringSettings;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Too large a share of operations failed.
    ErrorRate,
    /// A breaker tripped too often.
    BreakerTrips,
    /// Too many records went to the dead-letter topic.
    DeadLetters,
    /// An outage lasted too long, or still lasts.
    RecoveryTime,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::ErrorRate, Self::BreakerTrips, Self::DeadLetters, Self::RecoveryTime];

    /// "error-rate", "breaker-trips", "dead-letters" or "recovery-time".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "error-rate",
            Self::BreakerTrips => "breaker-trips",
            Self::DeadLetters => "dead-letters",
            Self::RecoveryTime => "recovery-time",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// "warning" or "critical".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Whether an alert begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertStatus {
    /// It begins, or changes its severity.
    Firing,
    /// It is over.
    Resolved,
}

/// One thing to tell people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// Whether it begins or ends.
    pub status: AlertStatus,
    /// One sentence with the value and the threshold.
    pub message: String,
    /// How bad it is; of one that is over, how bad it was.
    pub severity: Severity,
    /// When it was noticed, RFC 3339 with milliseconds, UTC.
    pub timestamp: String,
    /// The metrics that it was judged by.
    pub metrics: MetricsSnapshot,
}

/// What one look at the metrics says about a kind.
enum Judgement {
    Fires(Severity, String),
    Fine(String),
    /// Too little is known.
    Unknown,
}

/// Evaluates snapshots, one after the other.
#[derive(Debug)]
pub struct AlertManager {
    settings: MonitoringSettings,
    firing: BTreeMap<AlertKind, Severity>,
    /// Since when a value has been above the threshold of a severity, without a break.
    above: BTreeMap<(AlertKind, Severity), SystemTime>,
    /// Snapshots within the window, and one before it.
    history: VecDeque<(SystemTime, MetricsSnapshot)>,
}

impl AlertManager {
    /// Nothing fires yet.
    pub fn new(settings: MonitoringSettings) -> Self {
        Self { settings, firing: BTreeMap::new(), above: BTreeMap::new(), history: VecDeque::new() }
    }

    /// The alerts that are firing.
    pub fn firing(&self) -> impl Iterator<Item = (AlertKind, Severity)> {
        self.firing.iter().map(|(kind, severity)| (*kind, *severity))
    }

    /// Looks at a snapshot taken at `now` (later than the one before) and returns what began, changed its severity or
    /// ended. Call it every few seconds, a window is as fine as that.
    pub fn evaluate(&mut self, snapshot: &MetricsSnapshot, now: SystemTime) -> Vec<Alert> {
        let before = self.base(now);
        self.history.push_back((now, snapshot.clone()));
        let judgements = [
            (AlertKind::ErrorRate, self.error_rate(snapshot, &before)),
            (AlertKind::BreakerTrips, self.breaker_trips(snapshot, &before)),
            (AlertKind::DeadLetters, self.dead_letters(snapshot, &before)),
            (AlertKind::RecoveryTime, self.recovery_time(snapshot, &before)),
        ];
        let mut alerts = Vec::new();
        for (kind, judgement) in judgements {
            let was = self.firing.get(&kind).copied();
            let held = self.held(kind, &judgement, now);
            let (status, severity, message) = match (judgement, was) {
                (Judgement::Fires(_, message), was) => match held {
                    Some(severity) if was != Some(severity) => {
                        self.firing.insert(kind, severity);
                        (AlertStatus::Firing, severity, message)
                    }
                    _ => continue,
                },
                (Judgement::Fine(message), Some(was)) => {
                    self.firing.remove(&kind);
                    (AlertStatus::Resolved, was, message)
                }
                (Judgement::Fine(_), None) | (Judgement::Unknown, _) => continue,
            };
            let timestamp = humantime::format_rfc3339_millis(now).to_string();
            alerts.push(Alert { kind, status, message, severity, timestamp, metrics: snapshot.clone() });
        }
        alerts
    }

    /// Notes since when each severity's threshold has been passed. The worst severity whose threshold has been passed
    /// for long enough.
    fn held(&mut self, kind: AlertKind, judgement: &Judgement, now: SystemTime) -> Option<Severity> {
        let worst = match judgement {
            Judgement::Fires(severity, _) => Some(*severity),
            Judgement::Fine(_) => None,
            // Neither begins nor ends anything.
            Judgement::Unknown => return None,
        };
        let mut held = None;
        for severity in [Severity::Warning, Severity::Critical] {
            if worst.is_some_and(|worst| severity <= worst) {
                let since = *self.above.entry((kind, severity)).or_insert(now);
                if now.duration_since(since).unwrap_or_default() >= self.settings.fires_after {
                    held = Some(severity);
                }
            } else {
                self.above.remove(&(kind, severity));
            }
        }
        held
    }

    /// Evaluates `metrics` every `every` until `cancel`, passes on what is new, and tells the metrics what is firing.
    ///
    /// Cancel-safe: dropping it ends it.
    pub async fn watch(
        mut self,
        metrics: &ErrorMetrics,
        every: Duration,
        cancel: CancellationToken,
        mut notify: impl FnMut(Alert),
    ) {
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let alerts = self.evaluate(&metrics.snapshot(), crate::clock::wall());
            metrics.record_firing(self.firing());
            alerts.into_iter().for_each(&mut notify);
        }
    }

    /// What had been counted when the window began: the latest snapshot that is a window old, or nothing at all.
    fn base(&mut self, now: SystemTime) -> MetricsSnapshot {
        let is_old = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age >= self.settings.window);
        while self.history.get(1).is_some_and(|(at, _)| is_old(*at)) {
            self.history.pop_front();
        }
        match self.history.front() {
            Some((at, snapshot)) if is_old(*at) => snapshot.clone(),
            _ => MetricsSnapshot::default(),
        }
    }

    fn error_rate(&self, now: &MetricsSnapshot, before: &MetricsSnapshot) -> Judgement {
        let operations = now.operations.saturating_sub(before.operations);
        let errors = now.total.saturating_sub(before.total);
        let Some(rate) = share(errors, operations, self.settings.minimum_sample) else { return Judgement::Unknown };
        let says = |relation: &str, limit: f64| {
            format!("error rate {:.2} % is {relation} {:.2} % ({errors} of {operations})", rate * 100.0, limit * 100.0)
        };
        let (warning, critical) = (self.settings.error_rate_warning, self.settings.error_rate_critical);
        if rate > critical {
            Judgement::Fires(Severity::Critical, says("above", critical))
        } else if rate > warning {
            Judgement::Fires(Severity::Warning, says("above", warning))
        } else {
            Judgement::Fine(says("not above", warning))
        }
    }

    fn breaker_trips(&self, now: &MetricsSnapshot, before: &MetricsSnapshot) -> Judgement {
        let trips = now.breaker_trips.saturating_sub(before.breaker_trips);
        count("circuit breaker trips", trips, self.settings.breaker_trips)
    }

    fn dead_letters(&self, now: &MetricsSnapshot, before: &MetricsSnapshot) -> Judgement {
        let letters = now.dead_letters.saturating_sub(before.dead_letters);
        count("dead letters", letters, self.settings.dead_letters)
    }

    /// The present outage, or one that ended within the window.
    fn recovery_time(&self, now: &MetricsSnapshot, before: &MetricsSnapshot) -> Judgement {
        let ended = now.recovery_time.filter(|_| now.recovery_time != before.recovery_time);
        let longest = [now.down_for, ended].into_iter().flatten().max().unwrap_or(Duration::ZERO);
        let limit = self.settings.recovery_time;
        let text = |duration: Duration| humantime::format_duration(Duration::from_millis(duration.as_millis() as u64));
        let still = if now.down_for.is_some() { ", still down" } else { "" };
        if longest > limit {
            let message = format!("recovery time {} is above {}{still}", text(longest), text(limit));
            Judgement::Fires(Severity::Warning, message)
        } else {
            Judgement::Fine(format!("recovery time {} is not above {}{still}", text(longest), text(limit)))
        }
    }
}

fn count(what: &str, value: u64, limit: u64) -> Judgement {
    if value > limit {
        Judgement::Fires(Severity::Warning, format!("{what}: {value}, above {limit}"))
    } else {
        Judgement::Fine(format!("{what}: {value}, not above {limit}"))
    }
}

#[cfg(test)]
mod tests;
