//! What is compared: each metric's name (as budgets are named), where it stands in a result, and its noise band.

use super::repeat::{Recovery, Repeat};

/// A value, a value that never came, or nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Seconds, or records.
    Value(f64),
    /// It had not come when the observation ended: +∞. With how long it takes at the least.
    Never(Option<f64>),
    /// Not measured: says nothing.
    Missing,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Records,
}

/// One thing that two sides are compared by.
#[derive(Debug)]
pub struct Metric {
    /// As the budget is named, where there is one.
    pub name: &'static str,
    pub unit: Unit,
    /// More is better: of progress alone.
    pub more_is_better: bool,
    /// What happened where the value came: "3/5 recovered".
    pub came: &'static str,
    /// Depends on when, between two heartbeats, the fault strikes.
    heartbeat: bool,
    read: fn(&Repeat) -> Reading,
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Differences of seconds below this are noise where a result does not say how finely it measured.
const COARSE_S: f64 = 0.5;
/// And below this whatever it says: the scheduling of a busy machine.
const FINEST_S: f64 = 0.1;
/// Half a record: one record more in every run is a difference.
const HALF_A_RECORD: f64 = 0.5;

impl Metric {
    /// The metric of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// Reads the value off one repeat.
    pub fn read(&self, repeat: &Repeat) -> Reading {
        (self.read)(repeat)
    }

    /// The noise band δ: the greatest of 10 % of the base median; 0.5 s, or twice what the measure itself cannot resolve
    /// where that is less (but not less than 0.1 s); and one heartbeat of the detector at play. Of counts: 10 %, or half
    /// a record.
    pub fn band(&self, base_median: Option<f64>, repeats: &[&Repeat]) -> f64 {
        let tenth = base_median.filter(|m| m.is_finite()).map_or(0.0, |m| 0.1 * m.abs());
        if self.unit == Unit::Records {
            return tenth.max(HALF_A_RECORD);
        }
        let most = |of: fn(&Recovery) -> f64| repeats.iter().map(|repeat| of(&repeat.recovery)).fold(0.0, f64::max);
        let unresolved = most(|recovery| recovery.resolution_s.map_or(COARSE_S, |s| 2.0 * s));
        let heartbeat = if self.heartbeat { most(|recovery| recovery.heartbeat_s.unwrap_or(0.0)) } else { 0.0 };
        tenth.max(unresolved.clamp(FINEST_S, COARSE_S)).max(heartbeat)
    }
}

const fn seconds(name: &'static str, came: &'static str, heartbeat: bool, read: fn(&Repeat) -> Reading) -> Metric {
    Metric { name, unit: Unit::Seconds, more_is_better: false, came, heartbeat, read }
}

const fn records(name: &'static str, read: fn(&Repeat) -> Reading) -> Metric {
    Metric { name, unit: Unit::Records, more_is_better: false, came: "counted", heartbeat: false, read }
}

/// All metrics, in the order in which they are shown.
pub static METRICS: [Metric; 14] = [
    seconds("recovery", "recovered", true, recovery),
    seconds("first-success", "succeeded", true, |r| may_never_come(r.recovery.first_success_s, &r.recovery)),
    seconds("outage", "ended", true, |r| open(r.recovery.outage_s, r.recovery.outage_open)),
    seconds("drain", "drained", true, |r| match (r.recovery.drained, r.recovery.drain_s) {
        (Some(false), _) => Reading::Never(r.recovery.lower_bound_s),
        (_, value) => value_of(value),
    }),
    seconds("detect", "detected", true, |r| value_of(r.recovery.detect_s)),
    // A stretch without service that is still open has no length yet.
    seconds("unavailable", "ended", true, |r| open(r.recovery.unavailable_s, Some(not_recovered(&r.recovery)))),
    seconds("lost-service", "ended", true, |r| open(r.recovery.lost_service_s, Some(not_recovered(&r.recovery)))),
    seconds("after-leader", "recovered", false, |r| value_of(r.recovery.after_leader_s)),
    Metric { more_is_better: true, ..records("progress-during-fault", |r| budgeted(r, "progress-during-fault")) },
    records("lost", |r| count(r.integrity.lost)),
    // As the budget counts: an effect of a duplicate in the log is not counted twice.
    records("duplicates", |r| count(r.integrity.duplicates_in_log.max(r.integrity.duplicate_effects))),
    records("redelivered", |r| count(r.integrity.redelivered)),
    records("reordered", |r| count(r.integrity.reordered)),
    records("dead-lettered", |r| match (r.integrity.wrongly_dead_lettered, budgeted(r, "dead-lettered")) {
        (Some(count), _) => Reading::Value(count as f64),
        (None, Reading::Missing) => count(r.integrity.dead_lettered),
        (None, limited) => limited,
    }),
];

fn recovery(repeat: &Repeat) -> Reading {
    let recovery = &repeat.recovery;
    match (recovery.recovered, recovery.ttr_s) {
        // Whatever time stands beside it is the time-out, not a recovery.
        (Some(false), time) => match recovery.lower_bound_s.or(time) {
            // Without a bound, and inconclusive: the clock was never started.
            None if repeat.inconclusive() => Reading::Missing,
            bound => Reading::Never(bound),
        },
        (_, Some(time)) => value_of(Some(time)),
        (_, None) => recovery.lower_bound_s.map_or(Reading::Missing, |bound| Reading::Never(Some(bound))),
    }
}

fn not_recovered(recovery: &Recovery) -> bool {
    recovery.recovered == Some(false) && recovery.lower_bound_s.is_some()
}

fn may_never_come(value: Option<f64>, recovery: &Recovery) -> Reading {
    match value {
        None if not_recovered(recovery) => Reading::Never(recovery.lower_bound_s),
        value => value_of(value),
    }
}

fn open(value: Option<f64>, open: Option<bool>) -> Reading {
    match (value, open) {
        (Some(value), Some(true)) => Reading::Never(Some(value)),
        (value, _) => value_of(value),
    }
}

fn value_of(value: Option<f64>) -> Reading {
    value.filter(|value| value.is_finite()).map_or(Reading::Missing, Reading::Value)
}

fn count(value: Option<u64>) -> Reading {
    value.map_or(Reading::Missing, |value| Reading::Value(value as f64))
}

fn budgeted(repeat: &Repeat, name: &str) -> Reading {
    value_of(repeat.budgets.iter().find(|row| row.metric == name).and_then(|row| row.measured))
}
