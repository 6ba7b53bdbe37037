//! The measures, worst scope first: recovery time, outage, first success, unavailability, lost service, drain.

use std::collections::BTreeMap;

use super::analysis::{Analysis, Scope};
use super::backlog::drain;
use super::breakdown::breakdown;
use super::health::Unhealthy;
use super::marks::Round;
use super::ops::Stream;
use super::progress::progress;
use super::signals::signals;
use super::{Detection, Recovery, ScopeRow};
use crate::clock::{Nanos, seconds};
use crate::history::{History, Op as HistoryOp};
use crate::ledger::Ledger;
use crate::plan::{self, Since};

/// A zero and how far its measurement goes.
#[derive(Clone, Copy, Debug)]
struct Segment<'a> {
    zero: Nanos,
    /// The next injection, or the load's end.
    until: Nanos,
    round: Option<&'a Round>,
}

impl Segment<'_> {
    /// The scope's last stretch without service that is this segment's. An operation that was due before the next
    /// injection and not yet late when it came is that injection's victim: it was under way, not overdue. A stretch
    /// that began with it and was over before the injection cannot be the injection's.
    fn hurt<'a>(&self, scope: &'a Scope, end: Nanos) -> Option<&'a Unhealthy> {
        let next_came = self.until < end;
        let mine = |stretch: &&Unhealthy| {
            stretch.start < self.until
                && (!next_came
                    || stretch.start.saturating_add(scope.limit) <= self.until
                    || stretch.end.is_some_and(|back| back <= self.until))
        };
        scope.unhealthy.iter().rev().find(mine)
    }
}

/// One scope's return after one zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Return {
    After(Nanos),
    /// Not within this time.
    Never(Nanos),
}

/// Takes every measure of an analysed history.
pub fn measure(history: &History, ledger: &Ledger, analysis: &Analysis) -> Recovery {
    let segments = segments(analysis);
    let mut recovery = Recovery {
        since: segments.last().and_then(|segment| segment.round?.since),
        detections: detections(history, ledger, analysis),
        ..Recovery::default()
    };
    recovery.detect_s = detect(analysis, &recovery.detections);
    notes(ledger, analysis, &segments, &mut recovery);
    let affected = segments.iter().flat_map(|segment| analysis.affected(segment.round));
    recovery.resolution_s = affected.map(|scope| scope.limit).max().map(seconds);
    recovery.heartbeat_s = history.header.plan.as_deref().and_then(plan::heartbeat).map(|beat| beat.as_secs_f64());
    recovery.progress = progress(ledger, analysis);
    let Some(last) = segments.last().copied() else { return recovery };
    if let Some(worst) = scopes(ledger, analysis, &segments, &mut recovery) {
        let Worst { scope, segment, back } = worst;
        recovery.zero_s = Some(seconds(segment.zero));
        if let Return::After(ttr) = back {
            let (zero, round) = (segment.zero, segment.round);
            recovery.breakdown = breakdown(history, ledger, analysis, scope, round, zero, zero + ttr);
        }
    }
    availability(ledger, analysis, last.zero, &mut recovery);
    recovery.after_leader_s = after_leader(history, analysis, &segments);
    if let Some(drain) = drain(ledger, analysis.calm(), last.zero, analysis.end) {
        recovery.drained = Some(drain.drained);
        let at = drain.last_above.map_or(0, |at| at - last.zero);
        recovery.drain_s = drain.drained.then_some(seconds(at));
    }
    recovery
}

/// The same with a budget's zero; `None`: each fault's own, by its kind.
pub fn measure_since(history: &History, ledger: &Ledger, analysis: &Analysis, since: Option<Since>) -> Recovery {
    let Some(since) = since else { return measure(history, ledger, analysis) };
    let mut other = analysis.clone();
    for round in &mut other.marks.rounds {
        round.since = Some(since);
    }
    measure(history, ledger, &other)
}

/// The zeros that count, in order; see the module above for the rule.
fn segments(analysis: &Analysis) -> Vec<Segment<'_>> {
    let rounds = &analysis.marks.rounds;
    if rounds.is_empty() {
        let zero = analysis.marks.baseline.map(|(_, to)| to);
        return zero.into_iter().map(|zero| Segment { zero, until: analysis.end, round: None }).collect();
    }
    let mut zeros: Vec<(Nanos, usize)> =
        rounds.iter().enumerate().filter_map(|(at, round)| Some((round.zero()?, at))).collect();
    zeros.retain(|(zero, _)| *zero < analysis.end);
    zeros.sort_unstable();
    let last = zeros.last().map(|(_, at)| *at);
    let counts = |(zero, at): &(Nanos, usize)| {
        let others = || rounds.iter().enumerate().filter(|(other, _)| other != at);
        rounds[*at].since == Some(Since::Inject)
            || Some(*at) == last
            || !others().any(|(_, other)| other.in_force(*zero))
    };
    let kept: Vec<(Nanos, usize)> = zeros.iter().filter(|zero| counts(zero)).copied().collect();
    let until = |zero: Nanos| {
        let next = rounds.iter().filter_map(|round| round.inject.or(round.confirmed)).filter(|t| *t > zero).min();
        next.unwrap_or(analysis.end).min(analysis.end)
    };
    kept.into_iter().map(|(zero, at)| Segment { zero, until: until(zero), round: Some(&rounds[at]) }).collect()
}

/// When the scope was back after the segment's zero; `None`: nothing was due, so nobody can say.
fn back(ledger: &Ledger, scope: &Scope, segment: Segment<'_>, analysis: &Analysis, last: bool) -> Option<Return> {
    let end = analysis.end;
    let hurt = segment.hurt(scope, end).filter(|stretch| stretch.end.is_none_or(|back| back > segment.zero));
    if hurt.is_none() && scope.track.due(ledger, segment.zero, segment.until).is_empty() {
        return None;
    }
    let never = Return::Never(end.saturating_sub(segment.zero));
    let at = match hurt {
        None => segment.zero,
        Some(stretch) => match stretch.end {
            None => return Some(never),
            Some(at) => at,
        },
    };
    // What follows an earlier zero is cut short by the next injection: only the last one must hold.
    if last && at.max(segment.zero) + analysis.hold > end {
        return Some(never);
    }
    Some(Return::After(at - segment.zero))
}

/// Whose return was the last, after which zero.
struct Worst<'a> {
    scope: &'a Scope,
    segment: Segment<'a>,
    back: Return,
}

fn scopes<'a>(
    ledger: &Ledger,
    analysis: &'a Analysis,
    segments: &[Segment<'a>],
    recovery: &mut Recovery,
) -> Option<Worst<'a>> {
    // Of each scope its last return, and the segment that it belongs to.
    let mut returns: BTreeMap<usize, (Return, usize)> = BTreeMap::new();
    let mut firsts: BTreeMap<usize, Option<Nanos>> = BTreeMap::new();
    let mut outages: BTreeMap<usize, (Nanos, bool)> = BTreeMap::new();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        for (index, scope) in analysis.scopes.iter().enumerate() {
            if !segment.round.is_none_or(|round| round.affects(&scope.tp)) {
                continue;
            }
            if let Some(new) = back(ledger, scope, *segment, analysis, last) {
                let new = (new, at);
                returns.entry(index).and_modify(|old| *old = if new.0 > old.0 { new } else { *old }).or_insert(new);
            }
            if let Some(first) = first_success(ledger, scope, segment.zero, analysis.end) {
                // A success that never came outweighs every one that did.
                firsts.entry(index).and_modify(|old| *old = old.zip(first).map(|(a, b)| a.max(b))).or_insert(first);
            }
            let from = segment.round.and_then(Round::start).unwrap_or(segment.zero).min(segment.zero);
            let gap = outage(ledger, scope, from, analysis.end);
            outages.entry(index).and_modify(|old| *old = (*old).max(gap)).or_insert(gap);
        }
    }
    for (index, (gap, _)) in &outages {
        let scope = &analysis.scopes[*index];
        let ttr = match returns.get(index) {
            Some((Return::After(ttr), _)) => Some(*ttr),
            _ => None,
        };
        recovery.scopes.push(ScopeRow {
            scope: scope.tp.to_string(),
            stream: scope.stream.to_string(),
            ttr_s: ttr.map(seconds),
            outage_s: Some(seconds(*gap)),
            first_success_s: firsts.get(index).copied().flatten().map(seconds),
            recovered: ttr.is_some(),
        });
    }
    let worst = returns.iter().max_by_key(|(index, (back, _))| (*back, std::cmp::Reverse(**index)));
    if let Some((index, (back, _))) = worst {
        recovery.worst_scope = Some(analysis.scopes[*index].name());
        match back {
            Return::After(ttr) => (recovery.ttr_s, recovery.recovered) = (Some(seconds(*ttr)), true),
            Return::Never(bound) => recovery.lower_bound_s = Some(seconds(*bound)),
        }
    }
    let slowest: Option<Vec<Nanos>> = firsts.values().copied().collect();
    recovery.first_success_s = slowest.and_then(|all| all.into_iter().max()).map(seconds);
    let widest = outages.values().max();
    recovery.outage_s = widest.map(|(gap, _)| seconds(*gap));
    recovery.outage_open = widest.is_some_and(|(_, open)| *open);
    worst.map(|(index, (back, at))| Worst { scope: &analysis.scopes[*index], segment: segments[*at], back: *back })
}

/// From the zero to the first success of an operation due after it. Outer `None`: nothing was due.
fn first_success(ledger: &Ledger, scope: &Scope, zero: Nanos, end: Nanos) -> Option<Option<Nanos>> {
    let due = scope.track.due(ledger, zero, end);
    (!due.is_empty()).then(|| due.filter_map(|op| op.done).min().map(|done| done.saturating_sub(zero)))
}

/// The largest gap between successes from the last one before `from` on, and whether it was still open at the end. The
/// tail counts only where something was due in it.
fn outage(ledger: &Ledger, scope: &Scope, from: Nanos, end: Nanos) -> (Nanos, bool) {
    let first = scope.track.successes_before(ledger, from, true);
    let last = first.checked_sub(1).and_then(|last| scope.track.successes(ledger, last).next());
    let mut before = last.unwrap_or(from);
    let mut widest = (0, false);
    for t in scope.track.successes(ledger, first).take_while(|t| *t <= end) {
        widest = widest.max((t - before, false));
        before = t;
    }
    let owed = scope.track.due(ledger, before + 1, end).any(|op| op.done.is_none_or(|done| done > end));
    if owed { widest.max((end.saturating_sub(before), true)) } else { widest }
}

/// Unavailability, lost service and relapses, over all affected scopes together.
fn availability(ledger: &Ledger, analysis: &Analysis, zero: Nanos, recovery: &mut Recovery) {
    let (marks, end) = (&analysis.marks, analysis.end);
    let from = marks.rounds.iter().filter_map(Round::start).min().unwrap_or(zero);
    let hit = |scope: &&Scope| marks.rounds.is_empty() || marks.rounds.iter().any(|round| round.affects(&scope.tp));
    let mut stretches: Vec<(Nanos, Nanos)> = analysis
        .scopes
        .iter()
        .filter(hit)
        .flat_map(|s| &s.unhealthy)
        .map(|stretch| (stretch.start.max(from), stretch.end.unwrap_or(end).min(end)))
        .filter(|(start, end)| start < end)
        .collect();
    stretches.sort_unstable();
    let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
    for (start, end) in stretches {
        match merged.last_mut() {
            Some(before) if start <= before.1 => before.1 = before.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    recovery.unavailable_s = Some(seconds(merged.iter().map(|(start, end)| end - start).sum()));
    // The first moment at or after the zero from which health held for the hold time.
    let mut held_from = zero;
    let mut relapses = 0;
    for (start, end) in merged.iter().filter(|(_, end)| *end > zero) {
        if relapses > 0 || *start >= held_from.saturating_add(analysis.hold) {
            relapses += 1;
        }
        held_from = *end;
    }
    recovery.relapses = Some(relapses);
    let lost = |stream: Stream| {
        let of = || analysis.scopes.iter().filter(|s| s.stream == stream).filter(hit);
        let due: usize = of().map(|scope| scope.track.due(ledger, from, end).len()).sum();
        let bad: usize = of().map(|s| s.track.due(ledger, from, end).filter(|op| !op.on_time(s.limit)).count()).sum();
        (due > 0).then(|| bad as f64 * seconds(end - from) / due as f64)
    };
    recovery.lost_service_s = [Stream::Send, Stream::Effect].into_iter().filter_map(lost).max_by(f64::total_cmp);
}

/// The first of each kind of signal after each injection. Looked for from the order to inject on: the harm may be felt
/// before the probe confirms it, which then counts as detected at once.
fn detections(history: &History, ledger: &Ledger, analysis: &Analysis) -> Vec<Detection> {
    let rounds = &analysis.marks.rounds;
    let signals = signals(history, ledger);
    let mut found = Vec::new();
    for (at, round) in rounds.iter().enumerate() {
        let (Some(inject), Some(start)) = (round.inject.or(round.confirmed), round.start()) else { continue };
        // Faults within one window of each other strike together: a signal tells of all of them.
        let next = rounds[at + 1..].iter().filter_map(|next| next.inject).find(|next| *next > inject + analysis.window);
        let until = next.unwrap_or(analysis.end).max(inject);
        let mut seen: Vec<&str> = Vec::new();
        for signal in signals.iter().filter(|signal| (inject..until).contains(&signal.t)) {
            if seen.contains(&signal.kind) {
                continue;
            }
            seen.push(signal.kind);
            let (fault, actor) = (round.label.clone(), signal.actor.map(str::to_owned));
            let after_s = seconds(signal.t.saturating_sub(start));
            found.push(Detection { fault, signal: signal.kind.to_owned(), actor, after_s });
        }
    }
    found
}

/// The slowest injection's first signal; `None` as soon as one injection gave none.
fn detect(analysis: &Analysis, detections: &[Detection]) -> Option<f64> {
    let first = |round: &Round| {
        round.start()?;
        detections.iter().filter(|d| d.fault == round.label).map(|d| d.after_s).min_by(f64::total_cmp)
    };
    let all: Option<Vec<f64>> = analysis.marks.rounds.iter().map(first).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

/// How long the send stream was still unhealthy once the new leader was known.
fn after_leader(history: &History, analysis: &Analysis, segments: &[Segment<'_>]) -> Option<f64> {
    let mut worst: Option<Nanos> = None;
    for segment in segments {
        let Some(round) = segment.round else { continue };
        let Some(from) = round.inject.or(round.confirmed) else { continue };
        let mut seen: Vec<&str> = Vec::new();
        for event in &history.events {
            let HistoryOp::Signal { name, value } = &event.op else { continue };
            let Some(tp) = value.get("tp").and_then(|tp| tp.as_str()) else { continue };
            if name != "leader" || !(from..segment.until).contains(&event.t) || seen.contains(&tp) {
                continue;
            }
            seen.push(tp);
            let named = |scope: &&Scope| scope.stream == Stream::Send && scope.tp.to_string() == tp;
            let Some(scope) = analysis.scopes.iter().find(named) else { continue };
            let after =
                match segment.hurt(scope, analysis.end).filter(|stretch| stretch.end.is_none_or(|end| end > from)) {
                    None => 0,
                    Some(stretch) => stretch.end?.saturating_sub(event.t),
                };
            worst = worst.max(Some(after));
        }
    }
    worst.map(seconds)
}

fn notes(ledger: &Ledger, analysis: &Analysis, segments: &[Segment<'_>], recovery: &mut Recovery) {
    let rounds = &analysis.marks.rounds;
    let without = rounds.iter().filter(|round| round.zero().is_none()).map(|round| round.label.as_str());
    for label in without {
        recovery.notes.push(format!("{label} has no zero: it was never confirmed in effect, or never gone"));
    }
    if !analysis.scopes.iter().any(|scope| scope.stream == Stream::Effect) {
        recovery.notes.push("effects carry no times: only the send stream was measured".to_owned());
    }
    for segment in segments {
        let idle =
            analysis.affected(segment.round).filter(|s| s.track.due(ledger, segment.zero, segment.until).is_empty());
        let names: Vec<String> = idle.map(Scope::name).collect();
        if !names.is_empty() {
            recovery.notes.push(format!("nothing was due after the zero in {}", names.join(", ")));
        }
    }
}
