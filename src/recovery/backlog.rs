//! The backlog: acknowledged and not yet served. When had it drained?

use super::health::percentile;
use super::in_order::InOrder;
use crate::clock::Nanos;
use crate::ledger::{Ledger, Row};

/// What became of the backlog after a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The last moment above the threshold; `None`: never above it after the zero.
    pub last_above: Option<Nanos>,
    /// At or below the threshold when the load stopped.
    pub drained: bool,
}

/// Follows the backlog from `zero` to `end`. The threshold is the baseline's p95 (by time) or one second of its load,
/// whichever is greater. `None`: effects have no times, or there was no baseline.
pub fn drain(ledger: &Ledger, baseline: Option<(Nanos, Nanos)>, zero: Nanos, end: Nanos) -> Option<Drain> {
    let threshold = backlog_threshold(ledger, baseline)?;
    let mut backlog = 0;
    let (mut above, mut last_above) = (false, None);
    for (t, change) in steps(ledger).take_while(|(t, _)| *t <= end) {
        if above && t > zero {
            last_above = Some(t);
        }
        backlog += change;
        above = backlog > threshold;
    }
    Some(Drain { last_above, drained: !above })
}

/// Above this a backlog has not drained; `None` as for [`drain`].
pub fn backlog_threshold(ledger: &Ledger, baseline: Option<(Nanos, Nanos)>) -> Option<i64> {
    let baseline = baseline.filter(|(from, to)| from < to)?;
    let served = ledger.rows().any(|row| row.acked().is_some() && row.served_at().is_some() && !row.filtered());
    served.then(|| threshold(steps(ledger), baseline))
}

/// Each acknowledgement of a record that is owed service, and the moment at which it was served, by time; of what happened
/// at once, the effects first.
pub(super) fn steps(ledger: &Ledger) -> impl Iterator<Item = (Nanos, i64)> {
    let acked = |row: Row<'_>| Some(row).filter(|row| !row.filtered())?.acked();
    let served = move |row: Row<'_>| Some(row.served_at()?.max(acked(row)?));
    let rows = || (0..ledger.len() as u32).map(|number| ledger.row(number));
    let (acks, effects) = (InOrder::of(rows().filter_map(acked)), InOrder::of(rows().filter_map(served)));
    let (mut acks, mut effects) = (acks.peekable(), effects.peekable());
    std::iter::from_fn(move || match (acks.peek(), effects.peek()) {
        (Some(ack), Some(effect)) if effect <= ack => effects.next().map(|t| (t, -1)),
        (Some(_), _) => acks.next().map(|t| (t, 1)),
        (None, _) => effects.next().map(|t| (t, -1)),
    })
}

fn threshold(steps: impl Iterator<Item = (Nanos, i64)>, (from, to): (Nanos, Nanos)) -> i64 {
    // The p95 by time, from a thousand evenly spaced looks.
    let tick = ((to - from) / 1_000).max(1);
    let mut looks = Vec::new();
    let (mut next, mut backlog, mut load) = (from, 0i64, 0i64);
    for (t, change) in steps {
        while next < t && next < to {
            looks.push(backlog.max(0) as u64);
            next += tick;
        }
        if t >= to {
            break;
        }
        backlog += change;
        if change > 0 && (from..to).contains(&t) {
            load += 1;
        }
    }
    let second = (load as f64 * 1e9 / (to - from) as f64).ceil() as i64;
    percentile(&mut looks, 0.95).map_or(second, |p95| second.max(p95 as i64))
}
