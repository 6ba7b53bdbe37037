//! Failures and latencies injected into an application on purpose, to see what it does.
//!
//! It owns the decisions and the count of them, and must not know what is failed or delayed: the caller asks and acts.
//! Each decision is a hash of seed, record and attempt, never a draw: concurrency, restarts and redelivery cannot change
//! which records are hit.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::invalid::is_share;
use super::settings::Profile;
use crate::rng::{hash, hash_share};

/// What happens to the records that are hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChaosKind {
    /// The hit ones fail at once, the others are left alone.
    Error,
    /// The hit ones are delayed, the others are left alone; nothing fails.
    Latency,
    /// The hit ones fail at once, all others are delayed.
    #[default]
    Both,
}

impl FromStr for ChaosKind {
    type Err = ChaosError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Self::Error),
            "latency" => Ok(Self::Latency),
            "both" => Ok(Self::Both),
            _ => Err(ChaosError::Kind(text.into())),
        }
    }
}

/// Why chaos was not enabled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// The failure rate is no share.
    #[error("failure rate {0} is not a share from 0 to 1")]
    Rate(f64),
    /// The kind has no such name.
    #[error("chaos kind {0:?} is none of error, latency, both")]
    Kind(String),
    /// The profile is production, and nobody said that this is meant.
    #[error("chaos does not start under the production profile unless it is allowed explicitly")]
    Production,
}

/// What to do to one attempt at one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Fail it, instead of doing it.
    pub fail: bool,
    /// Wait this long before doing it; zero when it fails.
    pub latency: Duration,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChaosCounts {
    /// Decisions asked for, also while disabled.
    pub decisions: u64,
    /// Failures decided.
    pub failures: u64,
    /// Delays decided.
    pub delays: u64,
}

#[derive(Clone, Copy, Debug)]
struct Harm {
    failure_rate: f64,
    latency: Duration,
    kind: ChaosKind,
}

/// Decides what to do to records. Disabled at first; share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct ChaosEngine {
    seed: u64,
    refused: bool,
    harm: RwLock<Option<Harm>>,
    decisions: AtomicU64,
    failures: AtomicU64,
    delays: AtomicU64,
}

impl ChaosEngine {
    /// A disabled engine whose decisions follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            refused: false,
            harm: RwLock::new(None),
            decisions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            delays: AtomicU64::new(0),
        }
    }

    /// A disabled engine that cannot be enabled under the production profile, unless `allow_production`.
    pub fn for_profile(seed: u64, profile: Profile, allow_production: bool) -> Self {
        Self { refused: profile == Profile::Production && !allow_production, ..Self::new(seed) }
    }

    /// Enables it, or changes what it does, from the next decision on.
    ///
    /// `failure_rate` is the share of attempts that are hit, `latency` the delay, `kind` what happens to which.
    ///
    /// # Errors
    /// [`ChaosError::Rate`] and [`ChaosError::Production`]; what it did before then stays.
    pub fn enable(&self, failure_rate: f64, latency: Duration, kind: ChaosKind) -> Result<(), ChaosError> {
        if self.refused {
            return Err(ChaosError::Production);
        }
        if !is_share(failure_rate) {
            return Err(ChaosError::Rate(failure_rate));
        }
        *self.harm.write().unwrap_or_else(PoisonError::into_inner) = Some(Harm { failure_rate, latency, kind });
        tracing::warn!(failure_rate, ?latency, ?kind, "chaos enabled");
        Ok(())
    }

    /// Disables it, from the next decision on.
    pub fn disable(&self) {
        if self.harm.write().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::warn!("chaos disabled");
        }
    }

    /// True while enabled.
    pub fn is_enabled(&self) -> bool {
        self.harm().is_some()
    }

    /// What to do to an attempt (from 0) at a record. The same answer for the same question, as long as it is not
    /// switched.
    pub fn decide(&self, record_id: &str, attempt: u32) -> Decision {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        let Some(harm) = self.harm() else { return Decision::default() };
        let share = hash_share(hash(hash(self.seed, record_id.as_bytes()), &attempt.to_le_bytes()));
        let hit = share < harm.failure_rate;
        let fail = hit && harm.kind != ChaosKind::Latency;
        let delay = match harm.kind {
            ChaosKind::Error => false,
            ChaosKind::Latency => hit,
            ChaosKind::Both => !hit,
        };
        let latency = if delay { harm.latency } else { Duration::ZERO };
        self.failures.fetch_add(u64::from(fail), Ordering::Relaxed);
        self.delays.fetch_add(u64::from(!latency.is_zero()), Ordering::Relaxed);
        Decision { fail, latency }
    }

    /// What was done so far.
    pub fn counts(&self) -> ChaosCounts {
        ChaosCounts {
            decisions: self.decisions.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            delays: self.delays.load(Ordering::Relaxed),
        }
    }

    fn harm(&self) -> Option<Harm> {
        *self.harm.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
