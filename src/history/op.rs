//! The events of a history and its header line: the field names are a promise to other readers.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::plan::{Plan, TopicPartition};

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version: 1.
    pub seaworthy_history: u32,
    pub scenario: String,
    pub seed: u64,
    /// RFC 3339, UTC: the wall-clock time of `t` = 0.
    pub started_at: String,
    pub group: String,
    pub topics: Topics,
    #[serde(default)]
    pub promises: Promises,
    /// The whole resolved plan; absent or empty: integrity alone is judged.
    #[serde(default, deserialize_with = "plan_or_empty", serialize_with = "plan_or_braces")]
    pub plan: Option<Box<Plan>>,
}

fn plan_or_empty<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Box<Plan>>, D::Error> {
    let value = serde_json::Value::deserialize(d)?;
    if value.is_null() || value.as_object().is_some_and(|o| o.is_empty()) {
        return Ok(None);
    }
    serde_json::from_value(value).map(Some).map_err(serde::de::Error::custom)
}

fn plan_or_braces<S: serde::Serializer>(plan: &Option<Box<Plan>>, s: S) -> Result<S::Ok, S::Error> {
    match plan {
        Some(plan) => plan.serialize(s),
        None => serde::ser::SerializeMap::end(s.serialize_map(Some(0))?),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    pub input: String,
    pub output: String,
    pub dead_letter: String,
}

/// What the application promises: decides which counted anomalies are fatal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Promises {
    /// One send, one place in the log.
    pub idempotent: bool,
    /// Effects of one key in the order of their sends.
    pub ordered: bool,
    pub exactly_once: bool,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the start of the run.
    pub t: Nanos,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(flatten)]
    pub op: Op,
}

/// How an operation stands. `Info`: it may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// How far a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The harm was ordered.
    Inject,
    /// A probe saw it in effect.
    Confirmed,
    /// Its removal was ordered.
    Heal,
    /// A probe saw it gone.
    Healed,
    /// Injection, confirmation or heal did not succeed; `error` says which and why.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpError {
    pub code: i32,
    pub name: String,
    /// retriable | temporary | non-retriable
    #[serde(default)]
    pub class: String,
    /// not | possibly | yes | unknown
    #[serde(default)]
    pub persistence: String,
}

/// Where a dead letter came from, by its own headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub tp: TopicPartition,
    pub offset: i64,
}

/// What happened. Fields that do not apply to an outcome are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Op {
    /// An input record's life: `invoke`, then `ok`, `fail`, `info` or nothing.
    Send {
        r#type: Outcome,
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tp: Option<TopicPartition>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// Intended time (invoke only).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Nanos>,
        /// No handler can process this record (invoke only): it belongs in the dead-letter topic.
        #[serde(default, skip_serializing_if = "is_false")]
        poison: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<OpError>,
    },
    Assign {
        r#type: Outcome,
        tps: Vec<TopicPartition>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<i32>,
    },
    Revoke {
        r#type: Outcome,
        tps: Vec<TopicPartition>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<i32>,
    },
    Deliver {
        r#type: Outcome,
        id: String,
        tp: TopicPartition,
        offset: i64,
    },
    /// `offset` is the next one to read. The actor `group` is the harness watching the group.
    Commit {
        r#type: Outcome,
        tp: TopicPartition,
        offset: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<OpError>,
    },
    Fault {
        r#type: Stage,
        label: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resolved: Option<String>,
        /// Input topic partitions whose service it can harm; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        affected: Option<Vec<TopicPartition>>,
        /// What was seen that proves this stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A component's or the harness's own sign of life: breaker state, retry, chaos, leader, member exit …
    Signal {
        name: String,
        value: serde_json::Value,
    },
    Phase {
        name: String,
    },
    /// Found in the input topic by the final read. `intact`: the checksum fits.
    LogRead {
        r#type: Outcome,
        id: String,
        tp: TopicPartition,
        offset: i64,
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        intact: bool,
    },
    /// Found in the output topic, or in the sink in its place. `appended`: when the broker appended it, or when it was read
    /// there, on the run's clock. `part`: which of its record's effects it is, where the plan has several.
    Effect {
        r#type: Outcome,
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        tp: TopicPartition,
        offset: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        appended: Option<Nanos>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<u32>,
    },
    /// Found in the dead-letter topic. `complete`: every header that the subject's convention promises is there.
    DeadLetter {
        r#type: Outcome,
        id: String,
        tp: TopicPartition,
        offset: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        #[serde(default = "yes")]
        complete: bool,
        /// The class of the error that its headers name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_class: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        appended: Option<Nanos>,
    },
    /// How far the final read got in one topic partition: `to` exclusive; `fail`: it stopped before the end.
    FinalRead {
        r#type: Outcome,
        tp: TopicPartition,
        from: i64,
        to: i64,
        /// Why it stopped, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// The signal that says what a [named metric](crate::plan::MetricsPlan) of a member came to.
const METRIC: &str = "metric";

impl Op {
    /// A named metric came to this value.
    pub fn metric(name: &str, value: f64) -> Self {
        Self::Signal { name: METRIC.to_owned(), value: serde_json::json!({ "name": name, "value": value }) }
    }

    /// Which named metric came to which value; `None`: it is about something else.
    pub fn as_metric(&self) -> Option<(&str, f64)> {
        match self {
            Self::Signal { name, value } if name == METRIC => Some((value["name"].as_str()?, value["value"].as_f64()?)),
            _ => None,
        }
    }
}

fn yes() -> bool {
    true
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_true(value: &bool) -> bool {
    *value
}
