//! All rows together: which regressions stand when many things were compared at once.
//!
//! Holm's correction goes across scenarios, within each metric. Metrics of one scenario measure one event from several
//! sides and rise and fall together: to count them as independent would make the gate blind at the five repeats that
//! people run.

use super::row::Row;
use super::statistics::{LEVEL, holm};
use super::verdict::RowVerdict;

/// Marks the rows that the gate closes for, and says what they come to together.
pub(super) fn decide(rows: &mut [Row], notes: &mut Vec<String>) -> RowVerdict {
    let tested = |row: &Row| {
        use RowVerdict::{Improved, Inconclusive, NoChange, Regressed};
        let verdict = row.decision.verdict;
        matches!(verdict, Regressed | Improved | NoChange | Inconclusive) && !row.decision.outright
    };
    for metric in super::METRICS.iter() {
        let family: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].metric == metric && tested(&rows[*i])).collect();
        let p: Vec<f64> = family.iter().map(|i| rows[*i].decision.p.unwrap_or(1.0)).collect();
        for (i, adjusted) in family.iter().zip(holm(&p)) {
            let row = &mut rows[*i];
            row.adjusted = Some(adjusted);
            row.gated = row.decision.verdict == RowVerdict::Regressed && adjusted <= LEVEL;
            if row.decision.verdict == RowVerdict::Regressed && !row.gated {
                notes.push(format!(
                    "{} {}: a regression by itself, but {} scenarios were compared and p is {adjusted:.3} among them: the gate \
                     stays open; more repeats decide it",
                    row.scenario,
                    metric.name,
                    p.len()
                ));
            }
        }
    }
    for row in rows.iter_mut().filter(|row| row.decision.outright) {
        row.gated = row.decision.verdict == RowVerdict::Regressed;
    }
    overall(rows)
}

fn overall(rows: &[Row]) -> RowVerdict {
    let any = |verdict| rows.iter().any(|row| row.decision.verdict == verdict);
    if rows.iter().any(|row| row.gated) {
        return RowVerdict::Regressed;
    }
    if any(RowVerdict::Regressed) {
        return RowVerdict::Suspected;
    }
    let order = [
        RowVerdict::Suspected,
        RowVerdict::NotComparable,
        RowVerdict::Inconclusive,
        RowVerdict::Improved,
        RowVerdict::NoChange,
    ];
    order.into_iter().find(|verdict| any(*verdict)).unwrap_or(RowVerdict::None)
}
