//! The backlog: acknowledged and not yet served. When had it drained?

use super::health::percentile;
use crate::clock::Nanos;
use crate::ledger::Ledger;

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
    let baseline = baseline.filter(|(from, to)| from < to)?;
    let steps = steps(ledger)?;
    let threshold = threshold(&steps, baseline);
    let mut backlog = 0;
    let (mut above, mut last_above) = (false, None);
    for (t, change) in steps.into_iter().take_while(|(t, _)| *t <= end) {
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
    Some(threshold(&steps(ledger)?, baseline))
}

/// Each acknowledgement and each first effect or dead letter, by time; `None`: effects have no times.
fn steps(ledger: &Ledger) -> Option<Vec<(Nanos, i64)>> {
    let mut steps: Vec<(Nanos, i64)> = Vec::new();
    let mut served = 0;
    for row in ledger.rows() {
        let Some(acked) = row.acked() else { continue };
        steps.push((acked, 1));
        if let Some(at) = row.served_at() {
            served += 1;
            steps.push((at.max(acked), -1));
        }
    }
    steps.sort_unstable();
    (served > 0).then_some(steps)
}

fn threshold(steps: &[(Nanos, i64)], (from, to): (Nanos, Nanos)) -> i64 {
    // The p95 by time, from a thousand evenly spaced looks.
    let tick = ((to - from) / 1_000).max(1);
    let mut looks = Vec::new();
    let (mut next, mut backlog, mut load) = (from, 0i64, 0i64);
    for (t, change) in steps {
        while next < *t && next < to {
            looks.push(backlog.max(0) as u64);
            next += tick;
        }
        backlog += change;
        if *change > 0 && (from..to).contains(t) {
            load += 1;
        }
    }
    let second = (load as f64 * 1e9 / (to - from) as f64).ceil() as i64;
    percentile(&mut looks, 0.95).map_or(second, |p95| second.max(p95 as i64))
}
