//! A history's scopes with their baselines and unhealthy stretches: computed once, read by every measure.

use std::sync::Arc;

use super::health::{self, Unhealthy, percentile};
use super::marks::{Marks, Round};
use super::ops::{Op, Ops, Stream, Track, tracks};
use crate::clock::{Nanos, seconds, text_seconds};
use crate::history::History;
use crate::ledger::Ledger;
use crate::plan::TopicPartition;

/// One topic partition of the input topic and one stream.
#[derive(Clone, Debug)]
pub struct Scope {
    pub tp: TopicPartition,
    pub stream: Stream,
    /// What was due in it.
    pub track: Track,
    /// The greater of its own baseline p99 and its stream's, for one topic partition alone may have few records.
    pub baseline_p99: Option<Nanos>,
    /// Within this a send is on time, however fast the baseline.
    send_floor: Nanos,
    /// When an operation counts as late.
    pub limit: Nanos,
    pub unhealthy: Vec<Unhealthy>,
}

impl Scope {
    /// As reports name it.
    pub fn name(&self) -> String {
        format!("{} {}", self.tp, self.stream)
    }
}

/// What all measures are computed from, beside the ledger that it was made of.
#[derive(Clone, Debug)]
pub struct Analysis {
    pub marks: Marks,
    pub scopes: Arc<[Scope]>,
    /// `E`: the load stopped.
    pub end: Nanos,
    /// Trailing window in which health is judged.
    pub window: Nanos,
    /// How long health must hold.
    pub hold: Nanos,
}

/// Share of the baseline that a scope may be unhealthy: a hiccup of the machine is not an outage.
const TOLERATED: f64 = 0.1;

impl Analysis {
    /// Reads a history. `None`: it has no plan, so nobody said in what window health is judged or how long it holds.
    pub fn of(history: &History, ledger: &Ledger, marks: &Marks) -> Option<Self> {
        let plan = history.header.plan.as_deref()?;
        let window = (plan.observation.window.as_nanos() as Nanos).max(1);
        let begin = marks.baseline.map_or(0, |(from, _)| from);
        let after_all = || ledger.rows().filter_map(|row| row.due()).max().unwrap_or(0) + 1;
        let end = marks.end.unwrap_or_else(after_all);
        let tracks = tracks(ledger, &history.header.topics.input, begin, end);
        let calm = calm(marks);
        let pooled = |stream| {
            let of = tracks.iter().filter(|track| track.stream == stream);
            typical_p99(of.map(|track| calm_ops(track, ledger, calm)).collect(), window)
        };
        let (send, effect) = (pooled(Stream::Send), pooled(Stream::Effect));
        let send_floor = plan.observation.on_time.as_nanos() as Nanos;
        let scope = |track: Track| {
            let own = typical_p99(vec![calm_ops(&track, ledger, calm)], window);
            let baseline_p99 = own.max(if track.stream == Stream::Send { send } else { effect });
            let limit = health::limit(track.stream, send_floor, baseline_p99);
            let unhealthy = health::unhealthy(track.ops(ledger), track.stream, limit, window);
            let (tp, stream) = (track.tp.clone(), track.stream);
            Scope { tp, stream, track, baseline_p99, send_floor, limit, unhealthy }
        };
        let scopes = tracks.into_iter().map(scope).collect();
        let hold = plan.observation.hold.as_nanos() as Nanos;
        Some(Self { marks: marks.clone(), scopes, end, window, hold })
    }

    /// The scopes whose service a round can harm; all of them without a round.
    pub fn affected<'a>(&'a self, round: Option<&'a Round>) -> impl Iterator<Item = &'a Scope> {
        self.scopes.iter().filter(move |scope| round.is_none_or(|round| round.affects(&scope.tp)))
    }

    /// The baseline up to the first injection: operations beyond it are no longer undisturbed.
    pub fn calm(&self) -> Option<(Nanos, Nanos)> {
        calm(&self.marks)
    }

    /// What was wrong with the baseline, a sentence a scope; empty: it was healthy.
    pub fn baseline_faults(&self, ledger: &Ledger) -> Vec<String> {
        let Some((from, to)) = self.calm() else { return vec!["there was no phase \"baseline\"".to_owned()] };
        if self.scopes.is_empty() {
            return vec!["no record was due in the baseline".to_owned()];
        }
        self.scopes.iter().filter_map(|scope| scope.baseline_fault(ledger, from, to, self.window)).collect()
    }
}

impl Scope {
    fn baseline_fault(&self, ledger: &Ledger, from: Nanos, to: Nanos, window: Nanos) -> Option<String> {
        // What was due less than its limit before the injection may have been caught by it.
        let settled = self.track.due(ledger, from, to.saturating_sub(self.limit));
        if settled.is_empty() {
            return None;
        }
        let name = self.name();
        if settled.clone().all(|op| op.done.is_none_or(|done| done >= to)) {
            return Some(format!("{name}: no success among {} operations", settled.len()));
        }
        let errors = settled.clone().filter(|op| op.error).count();
        if errors > 0 {
            return Some(format!("{name}: {errors} errors among {} operations", settled.len()));
        }
        let typical = typical_p99(vec![settled.clone()], window);
        if let Some(slow) = typical.filter(|typical| *typical > self.stream.slowest_baseline()) {
            return Some(format!(
                "{name}: a p99 of {} in a typical second, too slow to tell an outage from it",
                text_seconds(seconds(slow))
            ));
        }
        let away: Nanos =
            self.stretches(settled, typical, window).iter().map(|(start, end)| end.min(&to) - start.min(&to)).sum();
        let share = away as f64 / (to - from).max(1) as f64;
        (share > TOLERATED).then(|| format!("{name}: unhealthy for {:.0} % of the baseline", 100.0 * share))
    }

    fn stretches(&self, settled: Ops<'_>, typical_p99: Option<Nanos>, window: Nanos) -> Vec<(Nanos, Nanos)> {
        let typical = health::limit(self.stream, self.send_floor, typical_p99);
        let last = settled.clone().last().map_or(0, |op| op.due);
        let stretches = health::unhealthy(settled, self.stream, typical, window);
        stretches.iter().map(|stretch| (stretch.start, stretch.end.unwrap_or(last))).collect()
    }
}

fn calm(marks: &Marks) -> Option<(Nanos, Nanos)> {
    let (from, to) = marks.baseline?;
    let first = marks.rounds.iter().filter_map(|round| round.inject.or(round.confirmed)).min();
    Some((from, first.map_or(to, |first| first.min(to))))
}

/// Operations that were due and done while all was calm.
fn calm_ops<'a>(
    track: &'a Track,
    ledger: &'a Ledger,
    calm: Option<(Nanos, Nanos)>,
) -> impl Iterator<Item = Op> + use<'a> {
    let (from, to) = calm.unwrap_or((0, 0));
    track.due(ledger, from, to).filter(move |op| op.done.is_some_and(|done| done < to))
}

/// The *typical* p99 of operations, each list of them sorted by `due`: the median of its windows'. A service that is away for a fifth of the
/// baseline would otherwise make itself the measure of health, and a later outage of that length would count as none.
fn typical_p99(lists: Vec<impl Iterator<Item = Op>>, window: Nanos) -> Option<Nanos> {
    let mut lists: Vec<_> = lists.into_iter().map(Iterator::peekable).collect();
    let (mut p99s, mut latencies) = (Vec::new(), Vec::new());
    while let Some(first) = lists.iter_mut().filter_map(|list| Some(list.peek()?.due)).min() {
        latencies.clear();
        let next_window = (first / window + 1).saturating_mul(window);
        for list in &mut lists {
            while let Some(op) = list.next_if(|op| op.due < next_window) {
                latencies.extend(op.latency());
            }
        }
        p99s.extend(percentile(&mut latencies, 0.99));
    }
    percentile(&mut p99s, 0.5)
}
