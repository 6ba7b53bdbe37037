//! What was due and when it was done, a scope at a time: the raw material of every measure.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::ledger::{Ledger, Sent};
use crate::plan::TopicPartition;

/// Which half of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// From a record's intended time to the broker's acknowledgement.
    Send,
    /// From the acknowledgement to the effect or the dead letter.
    Effect,
}

impl Stream {
    /// A typical p99 above this is no baseline: twice of it is as long as an outage. Of sends that is a second; an effect
    /// may come with the end of an application's transaction, so ten.
    pub(super) const fn slowest_baseline(self) -> Nanos {
        match self {
            Self::Send => 1_000_000_000,
            Self::Effect => 10_000_000_000,
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Effect => "effect",
        })
    }
}

/// One operation that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    pub due: Nanos,
    /// When it succeeded, if it did. On the effect stream: when this record *or a later one of its topic partition*
    /// was served. So an operation's age is the age of the newest effect, and one record that waits for its retry
    /// while others pass it is not an outage.
    pub done: Option<Nanos>,
    /// Failed, indeterminate or without an outcome.
    pub error: bool,
}

impl Op {
    /// Succeeded within `limit` of the time it was due.
    pub fn on_time(&self, limit: Nanos) -> bool {
        self.done.is_some_and(|done| done.saturating_sub(self.due) <= limit)
    }

    /// From due to done.
    pub fn latency(&self) -> Option<Nanos> {
        self.done.map(|done| done.saturating_sub(self.due))
    }
}

/// The operations of one topic partition and stream.
#[derive(Clone, Debug)]
pub struct Track {
    /// Of the input topic. Partition -1: sends that never learned theirs.
    pub tp: TopicPartition,
    pub stream: Stream,
    /// In the order in which they were due.
    pub ops: Vec<Op>,
    /// When something succeeded, in order: acknowledgements, or effects and dead letters.
    pub successes: Vec<Nanos>,
}

/// Sorts a ledger's records into tracks. `from` and `until` bound the due times: the baseline's begin, the load's end.
/// A history whose effects have no times has no effect tracks.
pub fn tracks(ledger: &Ledger, input: &str, from: Nanos, until: Nanos) -> Vec<Track> {
    let nowhere = TopicPartition::new(input, -1);
    // A send that failed before it learned its topic partition goes where its key's other records went.
    let mut homes = vec![None; ledger.keys()];
    for (key, tp) in ledger.rows().filter_map(|row| Some((row.key_number()?, row.tp()?))) {
        homes[key as usize] = Some(tp);
    }
    let mut offsets = vec![i64::MAX; ledger.len()];
    for (row, offset) in ledger.first_acks() {
        offsets[row as usize] = offset;
    }
    let mut sends: BTreeMap<TopicPartition, Track> = BTreeMap::new();
    let mut effects: BTreeMap<TopicPartition, Vec<Served>> = BTreeMap::new();
    let mut timed = false;
    for row in ledger.rows().filter(|row| row.sent() != Sent::Never) {
        let home = row.tp().or_else(|| homes[row.key_number()? as usize]);
        let tp = home.map_or(&nowhere, |tp| ledger.tps.name(tp));
        if let Some(due) = row.due().filter(|due| (from..until).contains(due)) {
            let track = sends.entry(tp.clone()).or_insert_with(|| Track::new(tp, Stream::Send));
            track.ops.push(Op { due, done: row.acked(), error: row.acked().is_none() });
            track.successes.extend(row.acked());
        }
        if let (Some(acked), Some(_)) = (row.acked(), home)
            && (from..until).contains(&acked)
        {
            timed |= row.served_at().is_some();
            let order = (offsets[row.number as usize], acked);
            effects.entry(tp.clone()).or_default().push(Served { order, acked, served: row.served_at() });
        }
    }
    let mut tracks: Vec<Track> = sends.into_values().collect();
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

fn effect_track(tp: &TopicPartition, mut served: Vec<Served>) -> Track {
    served.sort_by_key(|record| record.order);
    let mut track = Track::new(tp, Stream::Effect);
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

impl Track {
    fn new(tp: &TopicPartition, stream: Stream) -> Self {
        Self { tp: tp.clone(), stream, ops: Vec::new(), successes: Vec::new() }
    }
}
