//! A comparison for a terminal, for Markdown and for machines. Every word and number stands once, in `cells`.

mod cells;
mod human;
mod json;
mod markdown;

pub use human::{Style, human, summary};
pub use json::json;
pub use markdown::markdown;

use super::Comparison;
use super::metric::Metric;
use super::row::Row;
use super::sample::Sample;
use super::verdict::RowVerdict;

/// A side's values of a metric: median, its interval, range, how many came.
pub fn amounts(metric: &Metric, sample: &Sample) -> String {
    cells::sample(metric, sample)
}

/// One row as a sentence, its verdict first: for a page that shows the samples themselves.
pub fn sentence(row: &Row) -> String {
    let mut parts = vec![cells::verdict(row)];
    let shift = cells::shift(row);
    parts.extend((!shift.is_empty()).then(|| format!("shift {shift}")));
    parts.extend(row.decision.p.map(|_| format!("p {}", cells::p(row))));
    parts.extend(row.decision.shift.map(|_| format!("noise ±{}", cells::amount(row.metric, row.decision.band))));
    parts.extend(row.note.clone());
    parts.join(" · ")
}

/// Worth a line without being asked for: recovery always, what is promised, and what is not plainly the same.
fn shown(row: &Row) -> bool {
    let quiet = matches!(row.decision.verdict, RowVerdict::NoChange | RowVerdict::None | RowVerdict::NotComparable);
    row.metric.name == "recovery" || row.budget.is_some() || !(quiet || untouched(row))
}

/// All values of both sides are zero: too few of them to be sure is no news.
fn untouched(row: &Row) -> bool {
    row.base.values.iter().chain(&row.new.values).all(|value| *value == 0.0)
}

/// The last line: what it all comes to.
pub fn conclusion(comparison: &Comparison) -> String {
    let rows = &comparison.rows;
    let count = |verdict| rows.iter().filter(|row| row.decision.verdict == verdict).count();
    let names = |verdict| {
        let names: Vec<String> = rows
            .iter()
            .filter(|row| row.decision.verdict == verdict)
            .map(|row| format!("{} {}", row.scenario, row.metric.name))
            .collect();
        match names.len() {
            0..=3 => names.join(", "),
            more => format!("{} and {} more", names[..2].join(", "), more - 2),
        }
    };
    let verdict = comparison.verdict;
    let what = match verdict {
        RowVerdict::Regressed | RowVerdict::Improved => names(verdict),
        RowVerdict::Suspected if count(verdict) == 0 => {
            format!("{}, but not when all scenarios are taken together", names(RowVerdict::Regressed))
        }
        RowVerdict::Suspected => format!("{}: too few repeats to be sure", names(verdict)),
        RowVerdict::NoChange => "every difference is within the noise band".to_owned(),
        RowVerdict::Inconclusive => format!(
            "no regression was found, but {} of {} comparisons need more repeats before a difference can be ruled out",
            count(verdict),
            rows.len()
        ),
        RowVerdict::None => {
            "a side has fewer than 3 repeats: its values are shown, not judged; `run --repeat 5` makes \
                             5"
            .to_owned()
        }
        RowVerdict::NotComparable => "the two sides ran under different conditions: see the notes".to_owned(),
    };
    format!("{}: {what}", cells::verdict_word(verdict))
}
