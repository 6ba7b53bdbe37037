//! Healthy or not, and from when to when.
//!
//! *Whether* a moment was healthy is decided over a trailing window; *when* service broke and came back is read from
//! the operations themselves, so neither the window's length nor a threshold shifts the edge.
//!
//! Over the operations due in the trailing window (widened where it holds fewer than ten, for a share of fewer means
//! nothing) a send track is healthy when at least 90 % were on time and at most 1 % were errors. Its p99 is judged
//! over a window widened to a thousand operations, outside the stretches that the first rule found: below that number
//! a p99 rests on fewer than ten values and one hiccup of the machine would decide it. An effect track is healthy
//! while its newest effect is not too old.
//!
//! An edge is found by the split that best parts the operations of the outermost unhealthy window into bad and good
//! ones (a cumulated sum against the tolerated share): a lone late operation after the recovery does not move it. The
//! moment of return is the completion of the first on-time operation due after the last bad one.

use super::ops::{Op, Stream};
use crate::clock::Nanos;

pub(super) const MILLISECOND: Nanos = 1_000_000;
/// The newest effect may be this old, however fast the baseline.
const EFFECT_FLOOR: Nanos = 1_000 * MILLISECOND;
/// Fewest operations that a window's shares are taken of.
const FEW: usize = 10;
/// Fewest operations that a p99 is taken of.
const FEW_FOR_P99: usize = 1_000;
/// Tolerated shares, as one in so many: whole numbers, so that a tie is a tie.
const TENTH: i64 = 10;
const HUNDREDTH: i64 = 100;

/// When an operation counts as late. `send_floor`: within this a send is on time, however fast the baseline.
pub fn limit(stream: Stream, send_floor: Nanos, baseline_p99: Option<Nanos>) -> Nanos {
    let floor = match stream {
        Stream::Send => send_floor,
        Stream::Effect => EFFECT_FLOOR,
    };
    baseline_p99.map_or(floor, |p99| floor.max(2 * p99))
}

/// The nearest-rank percentile; `None` of nothing.
pub fn percentile(values: &mut [Nanos], share: f64) -> Option<Nanos> {
    values.sort_unstable();
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

/// A stretch without service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// When the first bad operation was due.
    pub start: Nanos,
    /// When the first good one after the last bad one was done; `None`: there was none.
    pub end: Option<Nanos>,
}

/// The unhealthy stretches of operations that are sorted by `due`, in order, none touching another.
pub fn unhealthy(ops: &[Op], stream: Stream, limit: Nanos, window: Nanos) -> Vec<Unhealthy> {
    let bad: Vec<bool> = ops.iter().map(|op| !op.on_time(limit)).collect();
    let mut found = match stream {
        Stream::Send => {
            let errors = sums(ops.iter().map(|op| op.error));
            let rule = |w: Window<'_>| 10 * w.bad() > w.len() || 100 * w.count(&errors) > w.len();
            runs(ops, &bad, window, FEW, TENTH, rule)
        }
        Stream::Effect => runs(ops, &bad, window, FEW, TENTH, |w| w.bad() > 0),
    };
    if stream == Stream::Send {
        let mut explained = vec![false; ops.len()];
        for (first, last) in &found {
            explained[*first..=*last].fill(true);
        }
        let rest: Vec<usize> = (0..ops.len()).filter(|at| !explained[*at]).collect();
        let rest_ops: Vec<Op> = rest.iter().map(|at| ops[*at]).collect();
        let late: Vec<bool> = rest.iter().map(|at| bad[*at]).collect();
        let rule = |w: Window<'_>| w.len() >= FEW_FOR_P99 && 100 * w.bad() > w.len();
        let slow = runs(&rest_ops, &late, window, FEW_FOR_P99, HUNDREDTH, rule);
        found.extend(slow.into_iter().map(|(first, last)| (rest[first], rest[last])));
    }
    found.sort_unstable();
    let mut stretches: Vec<Unhealthy> = Vec::new();
    for (first, last) in found {
        let back = (last + 1..ops.len()).find(|at| !bad[*at]);
        let next = Unhealthy { start: ops[first].due, end: back.and_then(|at| ops[at].done) };
        match stretches.last_mut() {
            Some(before) if before.end.is_none_or(|end| next.start <= end) => {
                before.end = before.end.and_then(|end| next.end.map(|next| end.max(next)));
            }
            _ => stretches.push(next),
        }
    }
    stretches
}

/// The operations `first..=last`, with counts.
struct Window<'a> {
    first: usize,
    last: usize,
    /// Running count of bad ones.
    bad: &'a [usize],
}

impl Window<'_> {
    fn len(&self) -> usize {
        self.last + 1 - self.first
    }

    fn bad(&self) -> usize {
        self.count(self.bad)
    }

    fn count(&self, sums: &[usize]) -> usize {
        sums[self.last + 1] - sums[self.first]
    }
}

/// Running counts: element n is how many of the first n are marked.
fn sums(marks: impl Iterator<Item = bool>) -> Vec<usize> {
    let mut sums = vec![0];
    sums.extend(marks.scan(0, |sum, mark| {
        *sum += usize::from(mark);
        Some(*sum)
    }));
    sums
}

/// Index ranges (first bad, last bad) of the runs of windows that `rule` calls unhealthy.
fn runs(
    ops: &[Op],
    bad: &[bool],
    window: Nanos,
    few: usize,
    one_in: i64,
    rule: impl Fn(Window<'_>) -> bool,
) -> Vec<(usize, usize)> {
    let sums = sums(bad.iter().copied());
    let mut found = Vec::new();
    let mut first = 0;
    // The run in progress: where its first window begins and ends, where its latest begins and ends.
    let mut run: Option<(usize, usize, usize, usize)> = None;
    for last in 0..ops.len() {
        while ops[first].due + window <= ops[last].due {
            first += 1;
        }
        let begin = first.min((last + 1).saturating_sub(few));
        if rule(Window { first: begin, last, bad: &sums }) {
            run = Some(run.map_or((begin, last, begin, last), |(b, l, ..)| (b, l, begin, last)));
        } else if let Some(run) = run.take() {
            found.push(edges(bad, run, one_in));
        }
    }
    found.extend(run.map(|run| edges(bad, run, one_in)));
    found
}

/// The first and the last bad operation of a run of windows.
fn edges(bad: &[bool], (begin, first, latest, last): (usize, usize, usize, usize), one_in: i64) -> (usize, usize) {
    let start = best_split(bad, (begin..=first).rev(), one_in).unwrap_or(first);
    let end = best_split(bad, start.max(latest)..=last, one_in).unwrap_or(start);
    (start, end.max(start))
}

/// Walks from the first bad operation on and finds where the sum of (bad − tolerated share) is greatest, first of equals.
fn best_split(bad: &[bool], walk: impl Iterator<Item = usize>, one_in: i64) -> Option<usize> {
    let mut best = None;
    let (mut sum, mut most) = (0, 0);
    for at in walk.skip_while(|at| !bad[*at]) {
        sum += if bad[at] { one_in - 1 } else { -1 };
        if sum > most || best.is_none() {
            (best, most) = (Some(at), sum);
        }
    }
    best
}
