//! States over time, as strips beneath the plots: service of each scope, leaders, assignments, breakers.

use std::collections::BTreeMap;

use crate::clock::{Nanos, seconds};
use crate::history::{History, Op};
use crate::recovery::{Analysis, Marks, breaker_state};

/// What a strip is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// Unhealthy stretches of one topic partition and stream.
    Scope,
    /// Who leads a topic partition.
    Leader,
    /// What a member had assigned.
    Assignment,
    /// A circuit breaker's state.
    Breaker,
    /// The value of a metric that the scenario names.
    Metric,
}

/// A stretch of one state. Seconds since the start of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    pub from: f64,
    pub to: f64,
    pub state: String,
}

/// One strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    pub kind: LaneKind,
    pub name: String,
    pub stretches: Vec<Stretch>,
}

/// The most strips of one kind, and the most stretches of one strip: beyond that nobody can read them.
const MOST: usize = 12;
const MOST_STRETCHES: usize = 120;

pub(super) fn lanes(
    history: &History,
    analysis: Option<&Analysis>,
    marks: &Marks,
    from: Nanos,
    to: Nanos,
) -> Vec<Lane> {
    let mut lanes = scopes(analysis, marks, to);
    lanes.extend(capped(leaders(history, marks, to)));
    lanes.extend(capped(assignments(history, to)));
    lanes.extend(capped(breakers(history, from, to)));
    lanes.extend(capped(metrics(history, to)));
    let (from, to) = (seconds(from), seconds(to));
    for lane in &mut lanes {
        for stretch in &mut lane.stretches {
            (stretch.from, stretch.to) = (stretch.from.max(from), stretch.to.min(to));
        }
        lane.stretches.retain(|stretch| stretch.from < stretch.to);
        thin(&mut lane.stretches);
    }
    lanes
}

fn capped(mut lanes: Vec<Lane>) -> Vec<Lane> {
    lanes.truncate(MOST);
    lanes
}

/// Joins the stretches that lie closest until few enough are left.
fn thin(stretches: &mut Vec<Stretch>) {
    while stretches.len() > MOST_STRETCHES {
        let gap = |at: &usize| stretches[*at + 1].from - stretches[*at].to + stretches[*at].to - stretches[*at].from;
        let closest = (0..stretches.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b))).unwrap_or(0);
        let next = stretches.remove(closest + 1);
        stretches[closest].to = next.to;
        if stretches[closest].state != next.state {
            stretches[closest].state = "changing".to_owned();
        }
    }
}

/// The scopes that a fault could harm; where there are many, those that it did harm, longest first.
fn scopes(analysis: Option<&Analysis>, marks: &Marks, to: Nanos) -> Vec<Lane> {
    let Some(analysis) = analysis else { return Vec::new() };
    let touched = |tp: &_| marks.rounds.is_empty() || marks.rounds.iter().any(|round| round.affects(tp));
    let mut lanes: Vec<(Nanos, Lane)> = Vec::new();
    for scope in analysis.scopes.iter().filter(|scope| touched(&scope.tp)) {
        let span = |stretch: &crate::recovery::Unhealthy| (stretch.start, stretch.end.unwrap_or(to));
        let dark = scope.unhealthy.iter().map(span).map(|(a, b)| b.saturating_sub(a)).sum();
        let stretch = |(from, to): (Nanos, Nanos)| Stretch {
            from: seconds(from),
            to: seconds(to),
            state: "unhealthy".to_owned(),
        };
        let stretches = scope.unhealthy.iter().map(span).map(stretch).collect();
        lanes.push((dark, Lane { kind: LaneKind::Scope, name: scope.name(), stretches }));
    }
    if lanes.len() > MOST {
        lanes.sort_by_key(|(dark, _)| std::cmp::Reverse(*dark));
        lanes.truncate(MOST);
        lanes.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// Only topic partitions whose leader changed: the others tell nothing.
fn leaders(history: &History, marks: &Marks, to: Nanos) -> Vec<Lane> {
    let mut known: BTreeMap<String, Vec<(Nanos, String)>> = BTreeMap::new();
    for event in &history.events {
        let Op::Signal { name, value } = &event.op else { continue };
        let (Some(tp), Some(leader)) = (value.get("tp").and_then(|tp| tp.as_str()), value.get("leader")) else {
            continue;
        };
        if name == "leader" && event.t <= marks.end.unwrap_or(to) {
            known.entry(tp.to_owned()).or_default().push((event.t, format!("broker {leader}")));
        }
    }
    let changed = known.into_iter().filter(|(_, seen)| seen.len() > 1);
    strips(LaneKind::Leader, changed, to)
}

/// What each name was seen in, as strips of one kind.
fn strips(kind: LaneKind, seen: impl IntoIterator<Item = (String, Vec<(Nanos, String)>)>, to: Nanos) -> Vec<Lane> {
    seen.into_iter().map(|(name, seen)| Lane { kind, name, stretches: states(&seen, to) }).collect()
}

/// Each state lasts until the next one.
fn states(seen: &[(Nanos, String)], to: Nanos) -> Vec<Stretch> {
    let ends = seen.iter().skip(1).map(|(t, _)| *t).chain([to]);
    let stretch = |((from, state), to): (&(Nanos, String), Nanos)| Stretch {
        from: seconds(*from),
        to: seconds(to),
        state: state.clone(),
    };
    seen.iter().zip(ends).map(stretch).collect()
}

/// Assigned topic partitions of each member, by number, with the group's generation.
fn assignments(history: &History, to: Nanos) -> Vec<Lane> {
    let mut seen: BTreeMap<String, Vec<(Nanos, String)>> = BTreeMap::new();
    let mut held: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for event in &history.events {
        let actor = event.actor.clone().unwrap_or_default();
        let mine = held.entry(actor.clone()).or_default();
        let generation = match &event.op {
            Op::Assign { tps, generation, .. } => {
                mine.extend(tps.iter().map(|tp| tp.partition));
                *generation
            }
            Op::Revoke { tps, generation, .. } => {
                mine.retain(|partition| !tps.iter().any(|tp| tp.partition == *partition));
                *generation
            }
            Op::Signal { name, .. } if name == "member-exit" && !mine.is_empty() => {
                mine.clear();
                None
            }
            _ => continue,
        };
        mine.sort_unstable();
        mine.dedup();
        let state = match (mine.is_empty(), generation) {
            (true, _) => "none".to_owned(),
            (false, Some(generation)) => format!("{} · gen {generation}", numbers(mine)),
            (false, None) => numbers(mine),
        };
        seen.entry(actor).or_default().push((event.t, state));
    }
    strips(LaneKind::Assignment, seen, to)
}

fn numbers(partitions: &[i32]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Each named metric of each member, from its first value on.
fn metrics(history: &History, to: Nanos) -> Vec<Lane> {
    let mut seen: BTreeMap<String, Vec<(Nanos, String)>> = BTreeMap::new();
    for event in &history.events {
        let Some((metric, number)) = event.op.as_metric() else { continue };
        let lane = format!("{metric} · {}", event.actor.as_deref().unwrap_or_default());
        seen.entry(lane).or_default().push((event.t, number.to_string()));
    }
    strips(LaneKind::Metric, seen, to)
}

/// Breakers that moved at all, from `closed` on.
fn breakers(history: &History, from: Nanos, to: Nanos) -> Vec<Lane> {
    let mut seen: BTreeMap<String, Vec<(Nanos, String)>> = BTreeMap::new();
    for event in &history.events {
        let Op::Signal { name, value } = &event.op else { continue };
        let Some(state) = breaker_state(value).filter(|_| name == "breaker") else { continue };
        let states = seen.entry(event.actor.clone().unwrap_or_default());
        states.or_insert_with(|| vec![(from, "closed".to_owned())]).push((event.t, state.to_owned()));
    }
    strips(LaneKind::Breaker, seen, to)
}
