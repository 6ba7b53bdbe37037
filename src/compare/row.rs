//! One scenario, one metric: both samples, the verdict, and how often the budget was kept.

use std::collections::BTreeSet;

use super::axis::{Axes, Conditions, conditions};
use super::metric::{METRICS, Metric};
use super::repeat::Repeat;
use super::sample::Sample;
use super::side::Side;
use super::verdict::{Decision, RowVerdict, judge};

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub scenario: String,
    pub metric: &'static Metric,
    pub base: Sample,
    pub new: Sample,
    pub decision: Decision,
    /// The new side's, else the base's.
    pub budget: Option<BudgetTally>,
    /// The base's own.
    pub base_budget: Option<BudgetTally>,
    /// What a reader must know about this row.
    pub note: Option<String>,
    /// `p` among all scenarios (Holm). `None`: not tested.
    pub adjusted: Option<f64>,
    /// The gate closes for it.
    pub gated: bool,
}

/// A budget over all repeats of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetTally {
    /// Seconds, or records.
    pub limit: Option<f64>,
    /// In how many repeats it was kept.
    pub met: usize,
    /// Repeats that had it.
    pub of: usize,
}

impl BudgetTally {
    fn of(metric: &Metric, repeats: &[&Repeat]) -> Option<Self> {
        let rows: Vec<_> = repeats.iter().flat_map(|r| &r.budgets).filter(|row| row.metric == metric.name).collect();
        let last = rows.last()?;
        Some(Self { limit: last.limit, met: rows.iter().filter(|row| row.met).count(), of: rows.len() })
    }
}

pub(super) fn rows(base: &Side, new: &Side, axes: &Axes, only: &[&Metric], notes: &mut Vec<String>) -> Vec<Row> {
    let names: BTreeSet<&str> = base.scenarios().into_iter().chain(new.scenarios()).collect();
    let mut rows = Vec::new();
    for name in names {
        let (ours, theirs) = (base.of(name), new.of(name));
        if ours.is_empty() || theirs.is_empty() {
            let side = if ours.is_empty() { "new" } else { "base" };
            notes.push(format!("{name}: only in {side}, so there is nothing to compare it with"));
            rows.extend(values_only(name, &ours, &theirs, only));
            continue;
        }
        let conditions = conditions(&ours, &theirs, axes);
        if let Conditions::Allowed(note) | Conditions::Different(note) = &conditions {
            notes.push(format!("{name}: {note}"));
        }
        for (side, repeats) in [("base", &ours), ("new", &theirs)] {
            let open = repeats.iter().filter(|repeat| repeat.inconclusive()).count();
            if open > 0 {
                let (all, what) = (repeats.len(), if open == 1 { "was" } else { "were" });
                notes.push(format!(
                    "{name}: {open} of {all} repeats of {side} {what} inconclusive; their figures are left out"
                ));
            }
        }
        let different = matches!(conditions, Conditions::Different(_));
        for metric in METRICS.iter().filter(|metric| only.is_empty() || only.contains(metric)) {
            let Some(mut row) = Row::new(name, metric, &ours, &theirs) else { continue };
            if different {
                row.decision = Decision::of_none(RowVerdict::NotComparable, row.decision.band);
            }
            rows.push(row);
        }
    }
    rows
}

/// A scenario that one side alone has: its recovery stands there, so that nobody overlooks it.
fn values_only(name: &str, base: &[&Repeat], new: &[&Repeat], only: &[&Metric]) -> Option<Row> {
    let metric = only.first().copied().or(METRICS.first())?;
    // The reference is to a static: found again by its name.
    let metric = Metric::named(metric.name)?;
    Row::new(name, metric, base, new)
}

impl Row {
    fn new(scenario: &str, metric: &'static Metric, base: &[&Repeat], new: &[&Repeat]) -> Option<Self> {
        let (ours, theirs) = (Sample::of(metric, base), Sample::of(metric, new));
        let budget = BudgetTally::of(metric, new).or_else(|| BudgetTally::of(metric, base));
        if ours.n() + theirs.n() == 0 && budget.is_none() {
            return None;
        }
        let band = metric.band(ours.median(), &[base, new].concat());
        let decision = judge(&ours, &theirs, band, metric.more_is_better);
        let note = note(metric, &ours, &theirs, &decision);
        let base_budget = BudgetTally::of(metric, base);
        let (scenario, adjusted, gated) = (scenario.to_owned(), None, false);
        Some(Self { scenario, metric, base: ours, new: theirs, decision, budget, base_budget, note, adjusted, gated })
    }
}

fn note(metric: &Metric, base: &Sample, new: &Sample, decision: &Decision) -> Option<String> {
    if decision.outright {
        let (never, of) = (new.never(), new.n());
        return Some(format!("every repeat of base {}, and {never} of {of} of new never did", metric.came));
    }
    let mut parts = Vec::new();
    for (name, sample) in [("base", base), ("new", new)] {
        if sample.missing > 0 {
            parts.push(format!(
                "not measured in {} of {} repeats of {name}",
                sample.missing,
                sample.missing + sample.n() + sample.left_out
            ));
        }
    }
    if !decision.exact && decision.p.is_some() {
        parts.push("p and interval by the normal approximation".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
