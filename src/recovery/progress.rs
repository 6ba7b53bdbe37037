//! What came through while a fault was in force.

use super::ProgressRow;
use super::analysis::{Analysis, Scope};
use super::marks::Round;
use crate::clock::Nanos;
use crate::ledger::Ledger;

/// Counts the successes of each topic partition of the input topic between a fault's confirmation and its heal (or the
/// end of the load), for every injection; the one that let least through counts. A topic partition made the progress of
/// its slower stream: what was acknowledged and had no effect has not come through. Topic partitions that nothing was
/// due in say nothing.
pub(super) fn progress(ledger: &Ledger, analysis: &Analysis) -> Option<ProgressRow> {
    let rows = analysis.marks.rounds.iter().filter_map(|round| of_round(ledger, analysis, round));
    rows.min_by_key(|row| (row.least, row.most))
}

fn of_round(ledger: &Ledger, analysis: &Analysis, round: &Round) -> Option<ProgressRow> {
    let from = round.start()?;
    let until = round.end().unwrap_or(analysis.end).min(analysis.end);
    let due = |scope: &&Scope| scope.tp.partition >= 0 && !scope.track.due(ledger, from, until).is_empty();
    let mut counts: Vec<(u64, &Scope)> = Vec::new();
    for scope in analysis.scopes.iter().filter(due) {
        let count = successes(ledger, scope, from, until);
        match counts.iter_mut().find(|(_, other)| other.tp == scope.tp) {
            Some(slower) if count < slower.0 => *slower = (count, scope),
            Some(_) => {}
            None => counts.push((count, scope)),
        }
    }
    let (least, worst) = counts.iter().min_by_key(|(count, _)| *count)?;
    let (most, best) = counts.iter().max_by_key(|(count, _)| *count)?;
    Some(ProgressRow { least: *least, least_scope: worst.name(), most: *most, most_scope: best.name() })
}

fn successes(ledger: &Ledger, scope: &Scope, from: Nanos, until: Nanos) -> u64 {
    let before = |t| scope.track.successes_before(ledger, t, false);
    before(until).saturating_sub(before(from)) as u64
}
