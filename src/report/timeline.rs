//! A history as a picture's worth of numbers: rates, latencies and the backlog in buckets, states as strips.
//!
//! For eyes only: no verdict and no measure is taken from a bucket. However long the history, a timeline stays small:
//! at most [`BUCKETS`] buckets, each with the least and the most of the finer ones that it stands for, so that a dip
//! of a second is still seen in the picture of an hour.

use crate::clock::{Nanos, seconds};
use crate::history::History;
use crate::ledger::{Ledger, Sent};
use crate::recovery::{Analysis, Marks, Stream};

mod lanes;

pub use lanes::{Lane, LaneKind, Stretch};

/// The most buckets that a timeline has.
pub const BUCKETS: usize = 300;
/// The finest bucket, and the fewest records that are due in one: with fewer a rate is a comb, not a curve.
const FINEST: Nanos = 100_000_000;
const FEW: u64 = 20;

/// What a bucket's finer buckets came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    pub min: f64,
    pub mean: f64,
    pub max: f64,
}

/// Latencies of the operations that were due in a bucket, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// One of the two halves of the service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Half {
    /// Successes a second, when they came.
    pub rate: Vec<Span>,
    /// By the time when the operation was due; `None`: nothing that was due then ever succeeded.
    pub latency: Vec<Option<Latency>>,
    /// Above this an operation is late; `None`: the history has no plan.
    pub limit: Option<f64>,
    /// The baseline's p99.
    pub baseline: Option<f64>,
}

/// What the plots show. Times in seconds since the start of the run; one element a bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    pub from: f64,
    pub to: f64,
    /// The width of a bucket.
    pub bucket: f64,
    /// Sends that were due a second.
    pub due: Vec<Span>,
    pub send: Half,
    pub effect: Half,
    /// Sends that were due then and were never acknowledged.
    pub never: Vec<u64>,
    /// Acknowledged and not yet served.
    pub backlog: Vec<Span>,
    /// Above this the backlog has not drained.
    pub backlog_limit: Option<f64>,
    pub baseline: Option<(f64, f64)>,
    /// The load stopped.
    pub end: Option<f64>,
    pub lanes: Vec<Lane>,
}

impl Timeline {
    /// Reads a history. `None`: nothing was ever due in it.
    pub fn of(history: &History) -> Option<Self> {
        Self::with(history, &Ledger::of(history))
    }

    /// The same where the ledger was made while the history was read.
    pub fn with(history: &History, ledger: &Ledger) -> Option<Self> {
        let marks = Marks::of(history, ledger.last);
        let analysis = Analysis::of(history, ledger, &marks);
        let grid = Grid::of(ledger, &marks)?;
        let limits = |stream| {
            let scopes = || analysis.iter().flat_map(|a| a.scopes.iter()).filter(move |scope| scope.stream == stream);
            let limit = scopes().map(|scope| seconds(scope.limit)).max_by(f64::total_cmp);
            (limit, scopes().filter_map(|scope| scope.baseline_p99).max().map(seconds))
        };
        let rows = || ledger.rows().filter(|row| row.sent() != Sent::Never);
        let half = |stream, done: Vec<Nanos>, pairs: Vec<(Nanos, Nanos)>| {
            let (limit, baseline) = limits(stream);
            Half { rate: grid.rates(done), latency: grid.latencies(pairs), limit, baseline }
        };
        let acked = rows().filter_map(|row| row.acked()).collect();
        let sends = rows().filter_map(|row| Some((row.due()?, row.acked()?))).collect();
        let served = rows().filter_map(|row| row.served_at()).collect();
        let effects = rows().filter_map(|row| Some((row.acked()?, row.served_at()?))).collect();
        let lost = rows().filter(|row| row.acked().is_none()).filter_map(|row| row.due());
        let calm = analysis.as_ref().and_then(Analysis::calm).or(marks.baseline);
        let baseline = marks.baseline.map(|(from, to)| (seconds(from), seconds(to)));
        Some(Self {
            from: seconds(grid.from),
            to: seconds(grid.from + grid.width() * grid.buckets() as Nanos),
            bucket: seconds(grid.width()),
            due: grid.rates(rows().filter_map(|row| row.due()).collect()),
            send: half(Stream::Send, acked, sends),
            effect: half(Stream::Effect, served, effects),
            never: grid.counts(lost),
            backlog: grid.backlog(ledger),
            backlog_limit: crate::recovery::backlog_threshold(ledger, calm).map(|n| n as f64),
            baseline,
            end: marks.end.map(seconds),
            lanes: lanes::lanes(history, analysis.as_ref(), &marks, grid.from, grid.end()),
        })
    }

    /// Effects carry times, so that their half can be drawn.
    pub fn has_effects(&self) -> bool {
        self.effect.rate.iter().any(|span| span.max > 0.0)
    }
}

/// How time is cut up: `group` fine buckets make one that is drawn.
#[derive(Clone, Copy, Debug)]
struct Grid {
    from: Nanos,
    fine: Nanos,
    /// Fine buckets.
    count: usize,
    group: usize,
}

impl Grid {
    /// From the first record that was due to the last one served, or the load's end.
    fn of(ledger: &Ledger, marks: &Marks) -> Option<Self> {
        let due = || ledger.rows().filter_map(|row| row.due());
        let from = due().min()?;
        let served = ledger.rows().filter_map(|row| row.served_at().max(row.acked())).max().unwrap_or(0);
        let to = due().max()?.max(marks.end.unwrap_or(0)).max(served.min(marks.last)).max(from + 1);
        let steps = [1, 2, 5, 10, 20, 50, 100, 600, 3_000, 36_000].map(|n| n * FINEST);
        let every = (to - from) / (due().count() as Nanos).max(1);
        let fine = steps.into_iter().find(|step| *step * 5 >= every.saturating_mul(4 * FEW)).unwrap_or(36_000 * FINEST);
        let count = (to - from).div_ceil(fine).max(1) as usize;
        Some(Self { from, fine, count, group: count.div_ceil(BUCKETS) })
    }

    fn width(&self) -> Nanos {
        self.fine * self.group as Nanos
    }

    fn buckets(&self) -> usize {
        self.count.div_ceil(self.group)
    }

    fn end(&self) -> Nanos {
        self.from + self.width() * self.buckets() as Nanos
    }

    fn fine_at(&self, t: Nanos) -> Option<usize> {
        let at = (t.checked_sub(self.from)? / self.fine) as usize;
        (at < self.count).then_some(at)
    }

    fn spans(&self, fine: &[f64]) -> Vec<Span> {
        let span = |values: &[f64]| Span {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            max: values.iter().copied().fold(0.0, f64::max),
        };
        fine.chunks(self.group).map(span).collect()
    }

    /// Per second.
    fn rates(&self, times: Vec<Nanos>) -> Vec<Span> {
        let mut fine = vec![0.0; self.count];
        for at in times.into_iter().filter_map(|t| self.fine_at(t)) {
            fine[at] += 1.0 / seconds(self.fine);
        }
        self.spans(&fine)
    }

    fn counts(&self, times: impl Iterator<Item = Nanos>) -> Vec<u64> {
        let mut counts = vec![0; self.buckets()];
        for at in times.filter_map(|t| self.fine_at(t)) {
            counts[at / self.group] += 1;
        }
        counts
    }

    /// Of (due, done), by due.
    fn latencies(&self, mut pairs: Vec<(Nanos, Nanos)>) -> Vec<Option<Latency>> {
        let mut buckets: Vec<Option<Latency>> = vec![None; self.buckets()];
        pairs.sort_unstable();
        let bucket = |due: Nanos| self.fine_at(due).map(|at| at / self.group);
        for pairs in pairs.chunk_by(|a, b| bucket(a.0) == bucket(b.0)) {
            let Some(at) = bucket(pairs[0].0) else { continue };
            let mut taken: Vec<Nanos> = pairs.iter().map(|(due, done)| done.saturating_sub(*due)).collect();
            taken.sort_unstable();
            let rank = |share: f64| seconds(taken[((taken.len() as f64 * share).ceil() as usize).max(1) - 1]);
            buckets[at] = Some(Latency { p50: rank(0.5), p99: rank(0.99), max: rank(1.0) });
        }
        buckets
    }

    fn backlog(&self, ledger: &Ledger) -> Vec<Span> {
        if ledger.rows().all(|row| row.served_at().is_none()) {
            return Vec::new();
        }
        // The highest within each fine bucket, and where it stood at its end.
        let mut steps: Vec<(Nanos, i64)> = Vec::new();
        for row in ledger.rows().filter(|row| !row.filtered()) {
            let Some(acked) = row.acked() else { continue };
            steps.push((acked, 1));
            steps.extend(row.served_at().map(|at| (at.max(acked), -1)));
        }
        steps.sort_unstable();
        let (mut now, mut next) = (0i64, 0);
        let (mut tops, mut ends) = (Vec::with_capacity(self.count), Vec::with_capacity(self.count));
        for at in 0..self.count as Nanos {
            let until = self.from + (at + 1) * self.fine;
            let mut top = now;
            while let Some((_, change)) = steps.get(next).filter(|(t, _)| *t < until) {
                now += change;
                top = top.max(now);
                next += 1;
            }
            tops.push(top.max(0) as f64);
            ends.push(now.max(0) as f64);
        }
        let (tops, ends) = (self.spans(&tops), self.spans(&ends));
        tops.iter().zip(&ends).map(|(top, end)| Span { min: end.min, mean: end.mean, max: top.max }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sim::{Away, Sim};

    fn timeline(sim: &Sim) -> Timeline {
        Timeline::of(&sim.story().history()).unwrap()
    }

    fn at(timeline: &Timeline, t: f64) -> usize {
        ((t - timeline.from) / timeline.bucket) as usize
    }

    #[test]
    fn an_outage_is_a_gap_in_the_rate_and_a_hill_in_latency_and_backlog() {
        let line = timeline(&Sim { sends: vec![(0, 6_000, 9_000)], effects: vec![(1, 6_000, 8_000)], ..Sim::new(2) });
        assert_eq!((line.from, line.bucket), (0.0, 0.1));
        let (calm, dark) = (at(&line, 3.0), at(&line, 7.0));
        assert!((line.send.rate[calm].mean - 200.0).abs() < 21.0, "{:?}", line.send.rate[calm]);
        assert!((line.send.rate[dark].mean - 100.0).abs() < 11.0, "{:?}", line.send.rate[dark]);
        assert!((line.due[dark].mean - 200.0).abs() < 21.0);
        assert!((line.send.latency[dark].unwrap().max - 2.0).abs() < 0.11);
        // 100 a second of orders/1 wait for their effects.
        assert!((line.backlog[at(&line, 7.9)].max - 190.0).abs() < 25.0, "{:?}", line.backlog[at(&line, 7.9)]);
        assert!(line.backlog[at(&line, 10.0)].max < 20.0);
        assert_eq!(line.send.limit, Some(0.05));
    }

    #[test]
    fn what_was_never_acknowledged_is_counted_where_it_was_due() {
        let sim = Sim { sends: vec![(0, 6_000, u64::MAX)], away: Away::Fail, ..Sim::new(1) };
        let line = timeline(&sim);
        assert_eq!(line.never.iter().sum::<u64>(), 1_400);
        assert!(line.never[at(&line, 3.0)] == 0 && line.never[at(&line, 8.0)] == 20);
        assert_eq!(line.send.latency[at(&line, 8.0)], None);
    }

    #[test]
    fn an_hour_is_no_larger_than_a_minute_and_still_shows_a_dip_of_a_second() {
        let sim = Sim { end: 3_600_000, every: 50, sends: vec![(0, 1_800_000, 1_801_000)], ..Sim::new(1) };
        let line = timeline(&sim);
        assert!(line.due.len() <= BUCKETS && line.bucket > 10.0, "{} of {} s", line.due.len(), line.bucket);
        let dip = line.send.rate[at(&line, 1_800.5)];
        assert!(dip.min == 0.0 && dip.mean > 15.0, "{dip:?}");
    }

    #[test]
    fn a_history_without_a_load_has_no_picture() {
        assert_eq!(Timeline::of(&crate::history::story::Story::new().history()), None);
    }
}
