//! Two sets of runs side by side: "did this change make failover slower?" answered with a number and an interval.
//!
//! Owns what is read of a run, the statistics, the verdict of each comparison, and the gate. Must not know how a run is
//! made or judged: it reads `result.json` files (or a stored baseline) and takes every number from there, so that runs of
//! an older or newer version compare too.
//!
//! # Method
//! Recovery times are few, skewed, quantised by timers and sometimes missing, so everything goes by ranks: the exact
//! Mann–Whitney test, the Hodges–Lehmann shift with its exact interval, the median. What never came is +∞, which ranks
//! handle without a fiction. A difference counts when it is unlikely by chance *and* beyond the noise band
//! ([`Metric::band`]): a difference that nobody would act on is no regression, however certain it is.

mod axis;
mod baseline;
mod gate;
mod metric;
mod render;
mod repeat;
mod row;
mod sample;
mod side;
pub mod statistics;
mod verdict;

pub use axis::Axes;
pub use baseline::{BASELINE_VERSION, write as write_baseline};
pub use metric::{METRICS, Metric, Reading, Unit};
pub use render::{Style, amounts, conclusion, human, json, markdown, sentence, summary};
pub use repeat::Repeat;
pub use row::{BudgetTally, Row};
pub use sample::Sample;
pub use side::{Side, SideError};
pub use verdict::{Decision, RowVerdict, judge};

/// Everything that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What the first side is called.
    pub base: String,
    /// What the second side is called.
    pub new: String,
    /// A row a scenario and metric, scenarios in the order of their names, metrics in that of [`METRICS`].
    pub rows: Vec<Row>,
    /// No scenario that both sides have is `not-comparable`, and there is at least one.
    pub comparable: bool,
    /// Of all rows together, with Holm's correction: see [`Comparison::regressed`].
    pub verdict: RowVerdict,
    /// What a reader must know about the whole.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Compares every scenario of both sides in every metric that at least one of them has.
    pub fn of(base: &Side, new: &Side, axes: &Axes, only: &[&Metric]) -> Self {
        let mut notes = Vec::new();
        let mut rows = row::rows(base, new, axes, only, &mut notes);
        let verdict = gate::decide(&mut rows, &mut notes);
        let comparable = rows.iter().any(|row| row.decision.verdict != RowVerdict::None)
            && rows.iter().all(|row| row.decision.verdict != RowVerdict::NotComparable);
        let (base, new) = (base.name.clone(), new.name.clone());
        Self { base, new, rows, comparable, verdict, notes }
    }

    /// The gate: a service that recovered before and now does not, or a regression that stands when all scenarios are
    /// taken together (Holm).
    pub fn regressed(&self) -> bool {
        self.rows.iter().any(|row| row.gated)
    }

    /// Some row had enough values to be judged: a gate over nothing is not passed.
    pub fn judged(&self) -> bool {
        self.rows.iter().any(|row| !matches!(row.decision.verdict, RowVerdict::None | RowVerdict::NotComparable))
    }
}

#[cfg(test)]
mod tests;
