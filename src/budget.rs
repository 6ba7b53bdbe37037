//! What was measured against what was promised: one row a limit.
//!
//! Owns the comparison and its two hard rules: a value that never came fails its budget, and so does a budget on
//! something that was not measured. Must not know how anything was measured.

use serde::{Deserialize, Serialize};

use crate::plan::{BudgetPlan, Limit, Progress, ProgressOf, Since};
use crate::recovery::Recovery;

/// A count of records, or seconds. In JSON a bare number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    Count(u64),
    Seconds(f64),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Seconds(s) => write!(f, "{}", crate::clock::text_seconds(*s)),
        }
    }
}

/// One limit and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BudgetRow {
    /// Named as in the scenario file: `lost`, `recovery`, …
    pub metric: String,
    pub limit: Amount,
    /// `None`: it never came, or was not measured; then the budget is not met.
    pub measured: Option<Amount>,
    pub met: bool,
    /// Where the clock started; `None` for counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// The limit is the least that must be reached, not the most that may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// Not met because the run itself could not tell (its fault never took hold, its read was short): inconclusive, not
    /// a broken promise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
    /// What a reader must know about `measured`: why it is missing, what it is a lower bound of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl BudgetRow {
    /// What became of it, in one sentence that follows the metric's name.
    pub fn sentence(&self) -> String {
        let zero = match self.since {
            Some(Since::Inject) => " after the injection",
            Some(Since::Heal) => " after the heal",
            None => "",
        };
        let limit = format!("{}{}", if self.at_least { "at least " } else { "" }, self.limit);
        match (self.measured, &self.note) {
            (Some(measured), Some(note)) => format!("{measured}{zero} ({note}); the budget is {limit}"),
            (Some(measured), None) => format!("{measured}{zero}; the budget is {limit}"),
            (None, note) => format!("{}{zero}; the budget is {limit}", note.as_deref().unwrap_or("not measured")),
        }
    }
}

/// What was counted, for the limits on counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lost: u64,
    /// Records whose fate is open: `lost` is a lower bound.
    pub undetermined: u64,
    /// Surplus places in the input log or surplus effects, whichever are more: an effect of a duplicate in the log is
    /// not counted twice.
    pub duplicates: u64,
    pub redelivered: u64,
    pub reordered: u64,
    /// Good records in the dead-letter topic.
    pub dead_lettered: u64,
}

/// Holds every limit of a plan against what was measured. `recovery` gives the measures for a limit's choice of zero
/// (`None`: by the fault's kind);
/// `observed`: every fault's zero came, so a measure that is missing is the application's doing.
pub fn hold(
    plan: &BudgetPlan,
    counts: Counts,
    observed: bool,
    recovery: impl Fn(Option<Since>) -> Option<Recovery>,
) -> Vec<BudgetRow> {
    let mut rows = vec![lost(plan.lost, counts)];
    let limits = [
        ("duplicates", plan.duplicates, counts.duplicates),
        ("redelivered", plan.redelivered, counts.redelivered),
        ("reordered", plan.reordered, counts.reordered),
        ("dead-lettered", plan.dead_lettered, counts.dead_lettered),
    ];
    for (metric, limit, measured) in limits {
        rows.extend(limit.map(|limit| count_row(metric, limit, measured)));
    }
    let whole = recovery(None);
    rows.extend(plan.progress_during_fault.map(|limit| progress(limit, whole.as_ref(), observed)));
    let durations: [(&str, Option<Limit>, Measure); 5] = [
        ("recovery", plan.recovery, |r| Time::of(r.ttr_s, r.lower_bound_s, r.worst_scope.as_deref())),
        ("first-success", plan.first_success, |r| Time::of(r.first_success_s, None, None)),
        ("outage", plan.outage, |r| {
            let open = r.outage_open.then_some(r.outage_s).flatten();
            Time {
                note: open.map(|_| "still open when the load stopped".to_owned()),
                ..Time::of(r.outage_s, None, None)
            }
        }),
        ("drain", plan.drain, |r| {
            let note =
                (r.drained == Some(false)).then(|| "the backlog had not drained when the load stopped".to_owned());
            Time { note, ..Time::of(r.drain_s, None, None) }
        }),
        ("detect", plan.detect, |r| Time::of(r.detect_s, None, None)),
    ];
    for (metric, limit, time) in durations {
        let Some(limit) = limit else { continue };
        let measured = recovery(limit.since);
        let since = measured.as_ref().and_then(|recovery| recovery.since).or(limit.since);
        let time = measured.as_ref().map_or(Time::default(), time);
        let within = limit.within.as_secs_f64();
        let missing = || "not measured".to_owned();
        rows.push(BudgetRow {
            metric: metric.to_owned(),
            limit: Amount::Seconds(within),
            measured: time.seconds.map(Amount::Seconds),
            // An outage that is still open may become longer: below its limit it proves nothing.
            met: time.seconds.is_some_and(|s| s <= within) && time.note.is_none(),
            undecided: time.seconds.is_none() && !observed,
            at_least: false,
            // Neither the gap nor the first signal has a zero.
            since: if matches!(metric, "outage" | "detect") { None } else { since },
            note: time.note.or_else(|| time.seconds.is_none().then(missing)).or(time.scope),
        });
    }
    rows
}

/// Takes one measure out of all.
type Measure = fn(&Recovery) -> Time;

#[derive(Debug, Default)]
struct Time {
    seconds: Option<f64>,
    /// Makes the budget missed.
    note: Option<String>,
    /// Only said beside the number.
    scope: Option<String>,
}

impl Time {
    fn of(seconds: Option<f64>, lower_bound: Option<f64>, scope: Option<&str>) -> Self {
        let text = crate::clock::text_seconds;
        let never = |bound| {
            let place = scope.map_or(String::new(), |scope| format!(" in {scope}"));
            format!("not recovered{place} within {}", text(bound))
        };
        let note = seconds.is_none().then(|| lower_bound.map(never)).flatten();
        Self { seconds, note, scope: scope.map(str::to_owned) }
    }
}

fn lost(limit: u64, counts: Counts) -> BudgetRow {
    let open = counts.undetermined > 0 && counts.lost <= limit;
    BudgetRow {
        measured: (!open).then_some(Amount::Count(counts.lost)),
        met: !open && counts.lost <= limit,
        undecided: open,
        note: (counts.undetermined > 0)
            .then(|| format!("at least {}, {} undetermined", counts.lost, counts.undetermined)),
        ..count_row("lost", limit, counts.lost)
    }
}

/// The one limit that is a least.
fn progress(limit: Progress, recovery: Option<&Recovery>, observed: bool) -> BudgetRow {
    let made = recovery.and_then(|recovery| recovery.progress.as_ref());
    let (measured, scope) = match (made, limit.of) {
        (Some(made), ProgressOf::All) => (Some(made.least), Some(&made.least_scope)),
        (Some(made), ProgressOf::Any) => (Some(made.most), Some(&made.most_scope)),
        (None, _) => (None, None),
    };
    BudgetRow {
        measured: measured.map(Amount::Count),
        met: measured.is_some_and(|records| records >= limit.records),
        at_least: true,
        undecided: measured.is_none() && !observed,
        note: scope.cloned().or_else(|| Some("not measured".to_owned())),
        ..count_row("progress-during-fault", limit.records, 0)
    }
}

fn count_row(metric: &str, limit: u64, measured: u64) -> BudgetRow {
    BudgetRow {
        metric: metric.to_owned(),
        limit: Amount::Count(limit),
        measured: Some(Amount::Count(measured)),
        met: measured <= limit,
        at_least: false,
        undecided: false,
        since: None,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recovery::ProgressRow;

    fn held(plan: &BudgetPlan, counts: Counts, observed: bool, recovery: Option<Recovery>) -> Vec<BudgetRow> {
        hold(plan, counts, observed, |_| recovery.clone())
    }

    /// What is said of the one limit that a plan has beside `lost`.
    fn of(change: impl FnOnce(&mut BudgetPlan), observed: bool, recovery: Option<Recovery>) -> BudgetRow {
        let mut plan = BudgetPlan::default();
        change(&mut plan);
        let mut rows = held(&plan, Counts::default(), observed, recovery);
        assert_eq!(rows.len(), 2);
        rows.remove(1)
    }

    fn within(seconds: u64) -> Option<Limit> {
        Some(Limit { within: Duration::from_secs(seconds), since: None })
    }

    #[test]
    fn a_loss_beyond_its_limit_is_one_whatever_the_open_fates_come_to_and_below_it_nothing_is_decided() {
        let row = |lost, undetermined| {
            let plan = BudgetPlan { lost: 1, ..BudgetPlan::default() };
            let row = held(&plan, Counts { lost, undetermined, ..Counts::default() }, true, None).remove(0);
            (row.sentence(), row.met, row.undecided)
        };
        let open = |n| format!("at least {n}, 1 undetermined; the budget is 1");
        assert_eq!(row(1, 0), ("1; the budget is 1".into(), true, false));
        assert_eq!(row(2, 0), ("2; the budget is 1".into(), false, false));
        assert_eq!(row(1, 1), (open(1), false, true));
        let broken = "2 (at least 2, 1 undetermined); the budget is 1";
        assert_eq!(row(2, 1), (broken.into(), false, false));
    }

    #[test]
    fn a_value_that_is_missing_is_the_application_s_doing_only_where_every_fault_was_seen() {
        let recovery = |plan: &mut BudgetPlan| plan.recovery = within(4);
        let progress = |plan: &mut BudgetPlan| {
            plan.progress_during_fault = Some(Progress { records: 10, of: ProgressOf::All });
        };
        let made = ProgressRow { least: 9, least_scope: "orders/0 send".into(), ..ProgressRow::default() };
        for observed in [false, true] {
            let said = |row: BudgetRow| (row.sentence(), row.measured.is_some(), row.met, row.undecided);
            let missing = |text: &str| (text.to_owned(), false, false, !observed);
            assert_eq!(said(of(recovery, observed, None)), missing("not measured; the budget is 4 s"));
            assert_eq!(said(of(progress, observed, None)), missing("not measured; the budget is at least 10"));
            let there = Recovery { ttr_s: Some(5.0), progress: Some(made.clone()), ..Recovery::default() };
            let broken = |text: &str| (text.to_owned(), true, false, false);
            assert_eq!(said(of(recovery, observed, Some(there.clone()))), broken("5 s; the budget is 4 s"));
            let few = broken("9 (orders/0 send); the budget is at least 10");
            assert_eq!(said(of(progress, observed, Some(there))), few);
        }
    }

    #[test]
    fn a_limit_that_is_just_reached_is_met() {
        let recovery = |ttr| Some(Recovery { ttr_s: Some(ttr), ..Recovery::default() });
        let met = |ttr| of(|plan| plan.recovery = within(4), true, recovery(ttr)).met;
        assert_eq!([3.9, 4.0, 4.1].map(met), [true, true, false]);
        let made =
            |most| Some(Recovery { progress: Some(ProgressRow { most, ..Default::default() }), ..Default::default() });
        let limit = Some(Progress { records: 10, of: ProgressOf::Any });
        let met = |most| of(|plan| plan.progress_during_fault = limit, true, made(most)).met;
        assert_eq!([9, 10, 11].map(met), [false, true, true]);
    }

    #[test]
    fn what_is_still_open_when_the_load_stops_meets_no_budget_and_says_so() {
        let recovery = Recovery {
            outage_s: Some(1.5),
            outage_open: true,
            drained: Some(false),
            lower_bound_s: Some(20.0),
            worst_scope: Some("orders/1 effect".into()),
            ..Recovery::default()
        };
        let said = |change: fn(&mut BudgetPlan)| {
            let row = of(change, true, Some(recovery.clone()));
            assert!(!row.met && !row.undecided, "{row:?}");
            row.sentence()
        };
        let open = "1.5 s (still open when the load stopped); the budget is 4 s";
        assert_eq!(said(|plan| plan.outage = within(4)), open);
        let full = "the backlog had not drained when the load stopped; the budget is 4 s";
        assert_eq!(said(|plan| plan.drain = within(4)), full);
        let never = "not recovered in orders/1 effect within 20 s; the budget is 4 s";
        assert_eq!(said(|plan| plan.recovery = within(4)), never);
    }
}
