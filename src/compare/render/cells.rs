//! The pieces of a line: values with their units, verdicts, budgets.

use super::super::metric::{Metric, Unit};
use super::super::row::{BudgetTally, Row};
use super::super::sample::Sample;
use super::super::verdict::{MOST_REPEATS, RowVerdict};
use crate::clock::text_seconds;

pub(super) fn amount(metric: &Metric, value: f64) -> String {
    match metric.unit {
        _ if value.is_infinite() => if value > 0.0 { "+∞" } else { "−∞" }.to_owned(),
        Unit::Seconds => text_seconds(value),
        // Medians of counts may be halves.
        Unit::Records => format!("{}", (value * 10.0).round() / 10.0),
    }
}

/// With a sign, as differences are written.
pub(super) fn signed(metric: &Metric, value: f64) -> String {
    match value {
        v if v.is_infinite() => amount(metric, v),
        v if v > 0.0 => format!("+{}", amount(metric, v)),
        v if v < 0.0 => format!("−{}", amount(metric, -v)),
        _ => "0".to_owned(),
    }
}

/// Two amounts of one unit name it once: "1.3 … 5.6 s".
fn span(low: &str, high: &str, between: &str) -> String {
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}{between}{high}"),
        _ => format!("{low}{between}{high}"),
    }
}

/// "9.1 s [7.6 … 9.9 s]"; "> 60 s (3/5 recovered)" where the median never came.
pub(super) fn sample(metric: &Metric, sample: &Sample) -> String {
    let (Some(median), Some(min)) = (sample.median(), sample.min()) else { return "-".to_owned() };
    let (n, never) = (sample.n(), sample.never());
    let came = format!("({}/{n} {})", n - never, metric.came);
    let bound = sample.waited.map_or("never".to_owned(), |bound| format!("> {}", amount(metric, bound)));
    if median.is_infinite() {
        return format!("{bound} {came}");
    }
    let middle = amount(metric, median);
    let last = match sample.max() {
        Some(max) if max.is_finite() => amount(metric, max),
        _ => bound,
    };
    let first = amount(metric, min);
    let interval = match sample.median_interval() {
        Some((low, high)) if low < high => {
            format!(" ({})", span(&amount(metric, low), &amount(metric, high), "–"))
        }
        _ => String::new(),
    };
    let range = if n == 1 || (first == last && first == middle) {
        String::new()
    } else {
        format!(" [{}]", span(&first, &last, " … "))
    };
    let came = if never > 0 { format!(" {came}") } else { String::new() };
    format!("{middle}{interval}{range}{came}")
}

/// "+5.6 s [+3.1, +7.9 s]"
pub(super) fn shift(row: &Row) -> String {
    let Some(shift) = row.decision.shift else { return String::new() };
    let metric = row.metric;
    let interval = row
        .decision
        .interval
        .map_or(String::new(), |(low, high)| format!(" [{}]", span(&signed(metric, low), &signed(metric, high), ", ")));
    format!("{}{interval}", signed(metric, shift))
}

/// Three digits; small ones as what they are below.
pub(super) fn p(row: &Row) -> String {
    match row.decision.p {
        None => String::new(),
        Some(p) if p < 0.0005 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

pub(super) fn verdict_word(verdict: RowVerdict) -> &'static str {
    match verdict {
        RowVerdict::Regressed => "REGRESSED",
        RowVerdict::Improved => "improved",
        RowVerdict::NoChange => "no change",
        RowVerdict::Suspected => "SUSPECTED",
        RowVerdict::Inconclusive => "inconclusive",
        RowVerdict::None => "not judged",
        RowVerdict::NotComparable => "NOT COMPARABLE",
    }
}

/// The verdict with what makes it one, or what it would take.
pub(super) fn verdict(row: &Row) -> String {
    let decision = &row.decision;
    let word = verdict_word(decision.verdict);
    let more = match (decision.verdict, decision.repeats) {
        (RowVerdict::Regressed, _) if decision.outright => ", not recovered".to_owned(),
        (RowVerdict::Regressed | RowVerdict::Improved, _) if decision.clear => ", clear".to_owned(),
        (RowVerdict::None, _) => ", n < 3".to_owned(),
        (_, Some(n)) if n > MOST_REPEATS => format!(" (> {MOST_REPEATS} repeats)"),
        (_, Some(n)) => format!(" (~{n} repeats)"),
        _ => String::new(),
    };
    format!("{word}{more}")
}

/// "2 s 4/5 FAIL"
pub(super) fn budget(row: &Row) -> String {
    row.budget.map_or(String::new(), |budget| tally(row.metric, budget))
}

pub(super) fn tally(metric: &Metric, budget: BudgetTally) -> String {
    let least = if metric.more_is_better { "≥ " } else { "" };
    let limit = budget.limit.map_or("?".to_owned(), |limit| amount(metric, limit));
    let word = if budget.met == budget.of { "ok" } else { "FAIL" };
    format!("{least}{limit} {}/{} {word}", budget.met, budget.of)
}
