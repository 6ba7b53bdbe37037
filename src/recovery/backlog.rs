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
    let acked = |row| Some(ledger.row(row)).filter(|row| !row.filtered())?.acked();
    let served = move |row| Some(ledger.row(row).served_at()?.max(acked(row)?));
    let rows = ledger.len() as u32;
    let (mut acks, mut effects) = (InOrder::of(rows, acked).peekable(), InOrder::of(rows, served).peekable());
    std::iter::from_fn(move || match (acks.peek(), effects.peek()) {
        (Some(ack), Some(effect)) if effect <= ack => effects.next().map(|t| (t, -1)),
        (Some(_), _) => acks.next().map(|t| (t, 1)),
        (None, _) => effects.next().map(|t| (t, -1)),
    })
}

/// Rows that are sorted together.
const BLOCK: u32 = 1 << 12;

/// A time of each row that has it, from the first to the last. Rows are nearly in this order as they are: as soon as no
/// later row can come before it, a time is given out, so that only the disorder is held.
struct InOrder<F> {
    time: F,
    rows: u32,
    next: u32,
    /// Of each block, the first time in it and all later ones.
    firsts: Vec<Nanos>,
    /// Sorted, the first last.
    held: Vec<Nanos>,
}

impl<F: Fn(u32) -> Option<Nanos>> InOrder<F> {
    fn of(rows: u32, time: F) -> Self {
        let block = |at: u32| (at..at.saturating_add(BLOCK).min(rows)).filter_map(&time).min().unwrap_or(Nanos::MAX);
        let mut firsts: Vec<Nanos> = (0..rows).step_by(BLOCK as usize).map(block).collect();
        for at in (1..firsts.len()).rev() {
            firsts[at - 1] = firsts[at - 1].min(firsts[at]);
        }
        Self { time, rows, next: 0, firsts, held: Vec::new() }
    }
}

impl<F: Fn(u32) -> Option<Nanos>> Iterator for InOrder<F> {
    type Item = Nanos;

    fn next(&mut self) -> Option<Nanos> {
        loop {
            let coming = self.firsts.get(self.next.div_ceil(BLOCK) as usize);
            match (self.held.last(), coming) {
                (Some(t), Some(coming)) if t <= coming => return self.held.pop(),
                (_, None) => return self.held.pop(),
                _ => {}
            }
            let end = self.next.saturating_add(BLOCK).min(self.rows);
            self.held.extend((self.next..end).filter_map(&self.time));
            self.held.sort_unstable_by(|a, b| b.cmp(a));
            self.next = end;
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_come_in_order_however_far_they_are_out_of_it(
            times in prop::collection::vec(prop::option::of(prop_oneof![0..20u64, any::<u64>()]), 0..60),
            repeat in 1..200usize,
        ) {
            // More than a block of them, each stretch later than the one before, or not.
            let all: Vec<Option<Nanos>> =
                (0..repeat * 64).map(|at| times.get(at % 64).copied().flatten().map(|t| t.wrapping_add(at as u64 / 3))).collect();
            let time = |row: u32| all[row as usize];
            let found: Vec<Nanos> = InOrder::of(all.len() as u32, time).collect();
            let mut expected: Vec<Nanos> = all.iter().flatten().copied().collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
