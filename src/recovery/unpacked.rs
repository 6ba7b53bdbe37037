//! The plain way to make tracks, to find unhealthy stretches and to follow the backlog: whole lists, sorted. Packed lists
//! must give the same, operation for operation.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Unhealthy;
use super::backlog;
use super::health::{Marked, edges, unhealthy};
use super::ops::{Op, Stream, tracks};
use crate::clock::Nanos;
use crate::history::story::{Story, out, owing, tp};
use crate::history::{Event, History, Op as HistoryOp, Outcome};
use crate::ledger::{Ledger, Sent};
use crate::plan::TopicPartition;

struct Plain {
    tp: TopicPartition,
    stream: Stream,
    ops: Vec<Op>,
    successes: Vec<Nanos>,
}

fn plain_tracks(ledger: &Ledger, input: &str, from: Nanos, until: Nanos) -> Vec<Plain> {
    let nowhere = TopicPartition::new(input, -1);
    // A send that failed before it learned its topic partition goes where its key's other records went.
    let mut homes = vec![None; ledger.keys()];
    for (key, tp) in ledger.rows().filter_map(|row| Some((row.key_number()?, row.tp()?))) {
        homes[key as usize] = Some(tp);
    }
    let mut offsets = vec![i64::MAX; ledger.len()];
    for (row, offset, _) in ledger.first_acks() {
        offsets[row as usize] = offset;
    }
    let mut sends: BTreeMap<TopicPartition, Plain> = BTreeMap::new();
    let mut effects: BTreeMap<TopicPartition, Vec<Served>> = BTreeMap::new();
    let mut timed = false;
    for row in ledger.rows().filter(|row| row.sent() != Sent::Never) {
        let home = row.tp().or_else(|| homes[row.key_number()? as usize]);
        let tp = home.map_or(&nowhere, |tp| ledger.tps.name(tp));
        if let Some(due) = row.due().filter(|due| (from..until).contains(due)) {
            let track = sends.entry(tp.clone()).or_insert_with(|| Plain::new(tp, Stream::Send));
            track.ops.push(Op { due, done: row.acked(), error: row.acked().is_none() });
            track.successes.extend(row.acked());
        }
        if let (Some(acked), Some(_)) = (row.acked(), home)
            && (from..until).contains(&acked)
            && !row.filtered()
        {
            timed |= row.served_at().is_some();
            let order = (offsets[row.number as usize], acked);
            effects.entry(tp.clone()).or_default().push(Served { order, acked, served: row.served_at() });
        }
    }
    let mut tracks: Vec<Plain> = sends.into_values().collect();
    if timed {
        tracks.extend(effects.into_iter().map(|(tp, served)| effect_track(&tp, served)));
    }
    for track in &mut tracks {
        track.ops.sort_by_key(|op| op.due);
        track.successes.sort_unstable();
    }
    tracks
}

struct Served {
    order: (i64, Nanos),
    acked: Nanos,
    served: Option<Nanos>,
}

fn effect_track(tp: &TopicPartition, mut served: Vec<Served>) -> Plain {
    served.sort_by_key(|record| record.order);
    let mut track = Plain::new(tp, Stream::Effect);
    let mut newest = None::<Nanos>;
    for record in served.iter().rev() {
        newest = match (newest, record.served) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        track.ops.push(Op { due: record.acked, done: newest, error: false });
        track.successes.extend(record.served);
    }
    track
}

impl Plain {
    fn new(tp: &TopicPartition, stream: Stream) -> Self {
        Self { tp: tp.clone(), stream, ops: Vec::new(), successes: Vec::new() }
    }
}

/// The unhealthy stretches of operations that are sorted by `due`, in order, none touching another.
fn plain_unhealthy(ops: &[Op], stream: Stream, limit: Nanos, window: Nanos) -> Vec<Unhealthy> {
    let bad: Vec<bool> = ops.iter().map(|op| !op.on_time(limit)).collect();
    let mut found = match stream {
        Stream::Send => {
            let errors = sums(ops.iter().map(|op| op.error));
            let rule = |w: Window<'_>| 10 * w.bad() > w.len() || 100 * w.count(&errors) > w.len();
            runs(ops, &bad, window, 10, 10, rule)
        }
        Stream::Effect => runs(ops, &bad, window, 10, 10, |w| w.bad() > 0),
    };
    if stream == Stream::Send {
        let mut explained = vec![false; ops.len()];
        for (first, last) in &found {
            explained[*first..=*last].fill(true);
        }
        let rest: Vec<usize> = (0..ops.len()).filter(|at| !explained[*at]).collect();
        let rest_ops: Vec<Op> = rest.iter().map(|at| ops[*at]).collect();
        let late: Vec<bool> = rest.iter().map(|at| bad[*at]).collect();
        let rule = |w: Window<'_>| w.len() >= 1_000 && 100 * w.bad() > w.len();
        let slow = runs(&rest_ops, &late, window, 1_000, 100, rule);
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
    let marks: Vec<Marked> = bad.iter().map(|bad| Marked { bad: *bad, error: false }).collect();
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
            found.push(edges(&marks, run, one_in));
        }
    }
    found.extend(run.map(|run| edges(&marks, run, one_in)));
    found
}

/// Each acknowledgement and each first effect or dead letter, by time; `None`: effects have no times.
fn plain_steps(ledger: &Ledger) -> Option<Vec<(Nanos, i64)>> {
    let mut steps: Vec<(Nanos, i64)> = Vec::new();
    let mut served = 0;
    for row in ledger.rows().filter(|row| !row.filtered()) {
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

/// What became of one record.
#[derive(Clone, Debug)]
struct Record {
    after: u64,
    tp: Option<i32>,
    key: Option<u8>,
    due: Option<u64>,
    /// When, where and at which offset it was acknowledged; each once more or less.
    acks: Vec<(u64, Option<i32>, Option<i64>)>,
    served: Option<u64>,
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let time = || prop_oneof![4 => 0..30_000_000u64, 1 => 0..4_000_000_000u64];
    let ack = (time(), prop::option::weighted(0.9, 0..3i32), prop::option::weighted(0.9, 0..2_000i64));
    let record = (
        0..20_000_000u64,
        prop::option::weighted(0.9, 0..3i32),
        prop::option::weighted(0.8, 0..5u8),
        prop::option::weighted(0.9, 0..9_000_000u64),
        prop::collection::vec(ack, 0..3),
        prop::option::weighted(0.8, time()),
    );
    let record = record.prop_map(|(after, tp, key, due, acks, served)| Record { after, tp, key, due, acks, served });
    prop_oneof![prop::collection::vec(record.clone(), 0..12), prop::collection::vec(record, 100..700)]
}

/// Acknowledged at its own place where `tame`, so that the log has an order.
fn history(records: &[Record], tame: bool) -> History {
    let mut history = Story::new().history();
    let (mut t, mut ends) = (0, [0; 4]);
    let event = |t, op| Event { t, actor: Some("producer-0".into()), op };
    for (number, record) in records.iter().enumerate() {
        t += record.after;
        let id = number.to_string();
        let send = |r#type, t, at: Option<i32>, offset| {
            let (key, invoked) = (record.key.map(|key| format!("k{key}")), r#type == Outcome::Invoke);
            let due = record.due.filter(|_| invoked).map(|early| u64::saturating_sub(t, early));
            let (id, key) = (id.clone(), key.filter(|_| invoked));
            event(
                t,
                HistoryOp::Send { r#type, id, tp: at.map(tp), key, seq: None, due, poison: false, offset, error: None },
            )
        };
        history.events.push(send(Outcome::Invoke, t, record.tp, None));
        for (after, at, offset) in &record.acks {
            let (mut at, mut offset) = (*at, *offset);
            if tame {
                at = record.tp;
                let end = &mut ends[record.tp.map_or(3, |at| at as usize)];
                offset = Some(*end);
                *end += 1;
            }
            history.events.push(send(Outcome::Ok, t + after, at, offset));
        }
        if let Some(after) = record.served {
            // With one effect a record the second one is a duplicate, later than the first.
            for part in 0..2 {
                let (tp, offset, appended) = (out(part), number as i64, Some(t + after * (1 + part as u64)));
                let (r#type, id, part) = (Outcome::Ok, id.clone(), Some(part as u32));
                let effect = HistoryOp::Effect { r#type, id, key: None, seq: None, tp, offset, appended, part };
                history.events.push(event(t, effect));
            }
        }
    }
    history
}

proptest! {
    #[test]
    fn packed_tracks_are_the_plain_ones(
        records in records(),
        tame: bool,
        // Among them none that a record has.
        drops in prop::sample::subsequence(vec!["k0", "k1", "k2", "k7"], 0..=4),
        effects in 1..3u32,
        from in 0..2_000_000_000u64,
        length in 0..8_000_000_000u64,
        limit in 0..60_000_000u64,
        window in 1..2_000_000_000u64,
    ) {
        let mut history = history(&records, tame);
        if effects > 1 || !drops.is_empty() {
            history.header.plan = Some(Box::new(owing(effects, &drops)));
        }
        let ledger = Ledger::of(&history);
        let until = from + length;
        let (packed, plain) = (tracks(&ledger, "orders", from, until), plain_tracks(&ledger, "orders", from, until));
        prop_assert_eq!(packed.len(), plain.len());
        for (packed, plain) in packed.iter().zip(&plain) {
            prop_assert_eq!((&packed.tp, packed.stream), (&plain.tp, plain.stream));
            prop_assert_eq!(packed.ops(&ledger).collect::<Vec<_>>(), plain.ops.clone());
            prop_assert_eq!(packed.successes(&ledger, 0).collect::<Vec<_>>(), plain.successes.clone());
            let (low, high) = (from + length / 4, from + length / 2);
            let due: Vec<Op> = plain.ops.iter().filter(|op| (low..high).contains(&op.due)).copied().collect();
            prop_assert_eq!(&packed.due(&ledger, low, high).collect::<Vec<_>>(), &due);
            for included in [false, true] {
                let known = plain.successes.iter().filter(|t| **t < low || included && **t == low).count();
                prop_assert_eq!(packed.successes_before(&ledger, low, included), known);
            }
            let half = plain.ops.len() / 2;
            prop_assert_eq!(packed.get(&ledger, half), plain.ops.get(half).copied());
            prop_assert_eq!(packed.ops(&ledger).nth(half), plain.ops.get(half).copied());
            prop_assert_eq!(packed.due(&ledger, low, high).nth(1), due.get(1).copied());
            let found = unhealthy(packed.ops(&ledger), packed.stream, limit, window);
            prop_assert_eq!(found, plain_unhealthy(&plain.ops, plain.stream, limit, window));
        }
        let steps: Vec<(Nanos, i64)> = backlog::steps(&ledger).collect();
        prop_assert_eq!(steps, plain_steps(&ledger).unwrap_or_else(|| {
            // Nothing was served: acknowledgements alone.
            let owed = ledger.rows().filter(|row| !row.filtered());
            let mut acked: Vec<(Nanos, i64)> = owed.filter_map(|row| Some((row.acked()?, 1))).collect();
            acked.sort_unstable();
            acked
        }));
    }
}
