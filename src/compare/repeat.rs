//! The fields of a `result.json` that a comparison reads. All may be missing or null, and others are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One repeat of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repeat {
    #[serde(deserialize_with = "or_default")]
    pub scenario: ScenarioName,
    /// `pass`, `inconclusive`, `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub recovery: Recovery,
    #[serde(deserialize_with = "or_default")]
    pub integrity: Integrity,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Equal for runs under equal conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What went into the fingerprint, where the file says so: it lets a comparison name what differs.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, String>,
}

impl Repeat {
    /// The run itself could not tell: what it measured proves nothing.
    pub fn inconclusive(&self) -> bool {
        self.verdict.as_deref() == Some("inconclusive")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScenarioName {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// Times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttr_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_success_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_open: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_service_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_leader_s: Option<f64>,
    /// What the measure cannot tell from nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution_s: Option<f64>,
    /// The interval of the heartbeats that the fault is noticed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_s: Option<f64>,
}

/// Counts of records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Integrity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates_in_log: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_effects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redelivered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrongly_dead_lettered: Option<u64>,
}

/// One limit and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    #[serde(deserialize_with = "or_default")]
    pub metric: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub met: bool,
}

/// Null is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
