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

/// The nearest-rank percentile; `None` of nothing. Leaves the values in another order.
pub fn percentile(values: &mut [Nanos], share: f64) -> Option<Nanos> {
    let last = values.len().checked_sub(1)?;
    let rank = (values.len() as f64 * share).ceil() as usize;
    Some(*values.select_nth_unstable(rank.saturating_sub(1).min(last)).1)
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
pub fn unhealthy(ops: impl Iterator<Item = Op> + Clone, stream: Stream, limit: Nanos, window: Nanos) -> Vec<Unhealthy> {
    let all: Vec<Marked> = ops.clone().map(|op| Marked { bad: !op.on_time(limit), error: op.error }).collect();
    let dues = ops.clone().map(|op| op.due);
    let mut found = match stream {
        Stream::Send => {
            let rule = |w: Window| 10 * w.bad > w.len || 100 * w.errors > w.len;
            runs(dues.clone(), &all, window, FEW, TENTH, rule)
        }
        Stream::Effect => runs(dues.clone(), &all, window, FEW, TENTH, |w| w.bad > 0),
    };
    if stream == Stream::Send {
        let rule = |w: Window| w.len >= FEW_FOR_P99 && 100 * w.bad > w.len;
        if found.is_empty() {
            found = runs(dues, &all, window, FEW_FOR_P99, HUNDREDTH, rule);
        } else {
            let mut explained = vec![false; all.len()];
            for (first, last) in &found {
                explained[*first..=*last].fill(true);
            }
            let rest: Vec<usize> = (0..all.len()).filter(|at| !explained[*at]).collect();
            let rest_marked: Vec<Marked> = rest.iter().map(|at| all[*at]).collect();
            let rest_dues = dues.zip(&explained).filter(|(_, explained)| !**explained).map(|(due, _)| due);
            let slow = runs(rest_dues, &rest_marked, window, FEW_FOR_P99, HUNDREDTH, rule);
            found.extend(slow.into_iter().map(|(first, last)| (rest[first], rest[last])));
        }
    }
    found.sort_unstable();
    let mut stretches: Vec<Unhealthy> = Vec::new();
    for (first, last) in found {
        let Some(start) = ops.clone().nth(first).map(|op| op.due) else { continue };
        let back = (last + 1..all.len()).find(|at| !all[*at].bad);
        let next = Unhealthy { start, end: back.and_then(|at| ops.clone().nth(at)?.done) };
        match stretches.last_mut() {
            Some(before) if before.end.is_none_or(|end| next.start <= end) => {
                before.end = before.end.and_then(|end| next.end.map(|next| end.max(next)));
            }
            _ => stretches.push(next),
        }
    }
    stretches
}

/// What speaks against an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked {
    /// Late, or never done.
    pub bad: bool,
    pub error: bool,
}

/// Some successive operations, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    len: usize,
    bad: usize,
    errors: usize,
}

impl Window {
    fn add(&mut self, mark: Marked) {
        self.len += 1;
        self.bad += usize::from(mark.bad);
        self.errors += usize::from(mark.error);
    }

    fn drop(&mut self, mark: Marked) {
        self.len -= 1;
        self.bad -= usize::from(mark.bad);
        self.errors -= usize::from(mark.error);
    }
}

/// Index ranges (first bad, last bad) of the runs of windows that `rule` calls unhealthy.
fn runs(
    dues: impl Iterator<Item = Nanos> + Clone,
    marks: &[Marked],
    window: Nanos,
    few: usize,
    one_in: i64,
    rule: impl Fn(Window) -> bool,
) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // How many were due too long ago; the due times from there on.
    let (mut first, mut old) = (0, dues.clone().peekable());
    let (mut begin, mut counts) = (0, Window::default());
    // The run in progress: where its first window begins and ends, where its latest begins and ends.
    let mut run: Option<(usize, usize, usize, usize)> = None;
    for (last, due) in dues.enumerate() {
        counts.add(marks[last]);
        while old.next_if(|old| old + window <= due).is_some() {
            first += 1;
        }
        // Neither ever goes back.
        while begin < first.min((last + 1).saturating_sub(few)) {
            counts.drop(marks[begin]);
            begin += 1;
        }
        if rule(counts) {
            run = Some(run.map_or((begin, last, begin, last), |(b, l, ..)| (b, l, begin, last)));
        } else if let Some(run) = run.take() {
            found.push(edges(marks, run, one_in));
        }
    }
    found.extend(run.map(|run| edges(marks, run, one_in)));
    found
}

/// The first and the last bad operation of a run of windows.
pub(super) fn edges(
    marks: &[Marked],
    (begin, first, latest, last): (usize, usize, usize, usize),
    one_in: i64,
) -> (usize, usize) {
    let start = best_split(marks, (begin..=first).rev(), one_in).unwrap_or(first);
    let end = best_split(marks, start.max(latest)..=last, one_in).unwrap_or(start);
    (start, end.max(start))
}

/// Walks from the first bad operation on and finds where the sum of (bad − tolerated share) is greatest, first of equals.
fn best_split(marks: &[Marked], walk: impl Iterator<Item = usize>, one_in: i64) -> Option<usize> {
    let mut best = None;
    let (mut sum, mut most) = (0, 0);
    for at in walk.skip_while(|at| !marks[*at].bad) {
        sum += if marks[at].bad { one_in - 1 } else { -1 };
        if sum > most || best.is_none() {
            (best, most) = (Some(at), sum);
        }
    }
    best
}
