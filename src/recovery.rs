//! Recovery time: when was service really back?
//!
//! Owns the marks (injections, heals, the end of the load), what was due and what was done in each scope, health over a
//! trailing window, and the measures that follow. A scope is one topic partition of the input topic and one stream:
//! `send` (a record's intended time to its acknowledgement) or `effect` (its acknowledgement to its effect or dead
//! letter). Must not know budgets or verdicts, nor read a clock: everything is computed from the events.
//!
//! # The zero
//! `F` (confirmed in effect) for `since = "inject"`, `H` (confirmed gone) for `since = "heal"`; the scenario's recovery
//! budget says which, else the fault's kind. With several injections every zero is measured up to the next injection
//! and the worst counts; a heal while another fault is in force is no zero unless it is the last one. A stretch
//! without service belongs to the injection before it, however long it lasts; the injection before it is the last
//! one that came before its first operation was late, for what is only under way when a fault strikes is its victim. A run without faults is measured from
//! the end of its baseline: it calibrates the rest.

mod analysis;
mod backlog;
mod bite;
mod breakdown;
mod health;
mod in_order;
mod marks;
mod measure;
mod ops;
mod packed;
mod progress;
mod rows;
mod signals;
#[cfg(test)]
mod unpacked;

pub use analysis::{Analysis, Scope};
pub use backlog::backlog_threshold;
pub use bite::{Bite, bites};
pub use health::{Unhealthy, limit, unhealthy};
pub use marks::{Marks, Phase, Round};
pub use measure::{measure, measure_since};
pub use ops::{Op, Stream, Track};
pub use rows::fault_rows;
pub use signals::breaker_state;

use serde::{Deserialize, Serialize};

/// `recovery` of `result.json`: the second promise in numbers. Times in seconds; `None`: not measured, or never came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Recovery {
    /// Where the clock started: `inject` or `heal`; `None` in a run without faults, whose zero is the baseline's end.
    pub since: Option<crate::plan::Since>,
    /// The scope that took longest, as `topic/number stream`.
    pub worst_scope: Option<String>,
    pub detect_s: Option<f64>,
    pub first_success_s: Option<f64>,
    pub outage_s: Option<f64>,
    pub unavailable_s: Option<f64>,
    pub lost_service_s: Option<f64>,
    /// The recovery time. 0: never unhealthy at or after the zero.
    pub ttr_s: Option<f64>,
    pub recovered: bool,
    /// The moment that `ttr_s` was counted from, since the start of the run.
    pub zero_s: Option<f64>,
    /// `ttr_s` of the worst scope part by part, in order; empty: 0, or not to be told apart.
    pub breakdown: Vec<Part>,
    /// The recovery time from the injection, whatever the budget's zero.
    pub ttr_since_inject_s: Option<f64>,
    /// The recovery time from the heal, whatever the budget's zero.
    pub ttr_since_heal_s: Option<f64>,
    /// When not recovered: it takes at least this long.
    pub lower_bound_s: Option<f64>,
    pub relapses: Option<u64>,
    pub drain_s: Option<f64>,
    /// `None`: the backlog could not be measured.
    pub drained: Option<bool>,
    /// The longest gap was still open when the load stopped: `outage_s` is a lower bound.
    pub outage_open: bool,
    /// The send stream's recovery, counted from the moment when the new leader was known; `None` without that signal.
    pub after_leader_s: Option<f64>,
    /// What this measure cannot tell from nothing: the lateness from which an operation counts as late, in the
    /// least exact affected scope.
    pub resolution_s: Option<f64>,
    /// The interval of the heartbeats that the faults are noticed by; `None`: none is at play.
    pub heartbeat_s: Option<f64>,
    /// Records that came through while a fault was in force; `None`: no fault was, or nothing was due.
    pub progress: Option<ProgressRow>,
    /// The same measures for each topic partition and stream.
    pub scopes: Vec<ScopeRow>,
    /// What was seen first after each fault.
    pub detections: Vec<Detection>,
    /// What a reader must know about these numbers.
    pub notes: Vec<String>,
}

/// A part of a recovery time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Part {
    pub name: String,
    pub seconds: f64,
    /// What the configured timers make of it at the least: nobody measures less. `None`: nothing certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_s: Option<f64>,
    /// How the floor comes about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_sum: Option<String>,
    /// The event that ends it.
    pub known_by: String,
}

/// Successes while a fault was in force. Of several injections the one with the least counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ProgressRow {
    /// In the topic partition with the fewest, of those that records were due in.
    pub least: u64,
    /// Which that is, as `topic/number stream`.
    pub least_scope: String,
    /// In the topic partition with the most.
    pub most: u64,
    pub most_scope: String,
}

/// One topic partition, one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ScopeRow {
    /// Topic partition of the input topic.
    pub scope: String,
    /// `send` or `effect`.
    pub stream: String,
    pub ttr_s: Option<f64>,
    pub outage_s: Option<f64>,
    pub first_success_s: Option<f64>,
    pub recovered: bool,
}

/// The first of a kind of signal after a fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Detection {
    pub fault: String,
    pub signal: String,
    pub actor: Option<String>,
    pub after_s: f64,
}

/// One injection of a fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct FaultRow {
    pub label: String,
    pub kind: String,
    /// As the scenario names it ("leader of orders/0").
    pub target: Option<String>,
    /// What it came to ("broker 1").
    pub resolved: Option<String>,
    pub inject_s: Option<f64>,
    pub confirmed_s: Option<f64>,
    pub heal_s: Option<f64>,
    pub healed_s: Option<f64>,
    pub effect: FaultEffect,
}

/// The proof that a fault bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct FaultEffect {
    pub evidence: Option<String>,
    /// Operations in affected scopes that were slow or failed while it was in force.
    pub ops_affected: u64,
}
