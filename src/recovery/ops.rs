//! What was due and when it was done, a scope at a time: the raw material of every measure.
//!
//! A history has millions of records, so an operation is not kept as such: a track is a few packed lists of rows, and the
//! times are read from the ledger. Whoever reads a track hands in the ledger that it was made of.

use std::cmp::Reverse;
use std::iter::{Peekable, Zip};

use crate::clock::Nanos;
use crate::ledger::{Ledger, Row, Sent, Tp};
use crate::plan::TopicPartition;

use super::in_order::InOrder;
use super::packed::{Numbers, Packed};

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
    /// Rows in the order in which their operations were due.
    rows: Packed,
    /// On the effect stream: operations, by their place among `rows`, for which not their own effect counts.
    behind: Packed,
    /// Of each of those the row whose effect does, plus 1; 0: none.
    newest: Packed,
    /// Rows in the order of their successes: acknowledgements, or effects and dead letters.
    successes: Packed,
}

impl Track {
    /// All operations, in the order in which they were due.
    pub fn ops<'a>(&'a self, ledger: &'a Ledger) -> Ops<'a> {
        self.range(ledger, 0, self.rows.len())
    }

    fn range<'a>(&'a self, ledger: &'a Ledger, first: usize, last: usize) -> Ops<'a> {
        let last = last.min(self.rows.len());
        let rows = self.rows.range(first, last);
        let from = self.behind.partition_point(|at| (at as usize) < first);
        let rest = |list: &'a Packed| list.range(from, list.len());
        let behind = rest(&self.behind).zip(rest(&self.newest));
        Ops { ledger, track: self, last, rows, behind: behind.peekable() }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The operation at `at`, counted from 0 in the order in which they were due.
    pub fn get(&self, ledger: &Ledger, at: usize) -> Option<Op> {
        self.range(ledger, at, at.saturating_add(1)).next()
    }

    /// Operations due in `from..until`.
    pub fn due<'a>(&'a self, ledger: &'a Ledger, from: Nanos, until: Nanos) -> Ops<'a> {
        let before = |bound| self.rows.partition_point(|row| due(self.stream, ledger.row(row)) < bound);
        let first = before(from);
        self.range(ledger, first, before(until).max(first))
    }

    /// When something succeeded from the `first` success on, in order.
    pub fn successes<'a>(&'a self, ledger: &'a Ledger, first: usize) -> impl Iterator<Item = Nanos> + use<'a> {
        let rows = self.successes.range(first, self.successes.len());
        rows.map(|row| success(self.stream, ledger.row(row)))
    }

    /// How many successes came before `t`; at `t` included when `included`.
    pub fn successes_before(&self, ledger: &Ledger, t: Nanos, included: bool) -> usize {
        let time = |row| success(self.stream, ledger.row(row));
        self.successes.partition_point(|row| if included { time(row) <= t } else { time(row) < t })
    }
}

/// When the row's operation was due: rows of a track have this time.
fn due(stream: Stream, row: Row<'_>) -> Nanos {
    match stream {
        Stream::Send => row.due(),
        Stream::Effect => row.acked(),
    }
    .unwrap_or(0)
}

/// When the row succeeded: rows among the successes have this time.
fn success(stream: Stream, row: Row<'_>) -> Nanos {
    match stream {
        Stream::Send => row.acked(),
        Stream::Effect => row.served_at(),
    }
    .unwrap_or(0)
}

/// Operations in the order in which they were due.
#[derive(Clone, Debug)]
pub struct Ops<'a> {
    ledger: &'a Ledger,
    track: &'a Track,
    /// Excluded.
    last: usize,
    rows: Numbers<'a>,
    behind: Peekable<Zip<Numbers<'a>, Numbers<'a>>>,
}

impl Ops<'_> {
    /// None is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Iterator for Ops<'_> {
    type Item = Op;

    #[inline]
    fn next(&mut self) -> Option<Op> {
        let at = self.last - self.rows.len();
        let number = self.rows.next()?;
        let row = self.ledger.row(number);
        let due = due(self.track.stream, row);
        Some(match self.track.stream {
            Stream::Send => Op { due, done: row.acked(), error: row.acked().is_none() },
            Stream::Effect => {
                let newest = match self.behind.next_if(|(behind, _)| *behind as usize == at) {
                    Some((_, newest)) => newest.checked_sub(1),
                    None => Some(number),
                };
                Op { due, done: newest.and_then(|row| self.ledger.row(row).served_at()), error: false }
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }

    /// As far as one likes in the same time.
    fn nth(&mut self, n: usize) -> Option<Op> {
        *self = self.track.range(self.ledger, (self.last - self.len()).saturating_add(n), self.last);
        self.next()
    }
}

impl ExactSizeIterator for Ops<'_> {}

/// Sorts a ledger's records into tracks. `from` and `until` bound the due times: the baseline's begin, the load's end.
/// A history whose effects have no times has no effect tracks. What the application leaves out owes no effect, and has no
/// operation on them.
pub fn tracks(ledger: &Ledger, input: &str, from: Nanos, until: Nanos) -> Vec<Track> {
    let homes = Homes::of(ledger);
    let nowhere = TopicPartition::new(input, -1);
    let lost = ledger.tps.find(&nowhere).map_or(ledger.tps.len(), Tp::index);
    let within = from..until;
    let mut sends = vec![Packed::default(); lost.max(ledger.tps.len()) + 1];
    // Acknowledged without an offset, or at one of another topic partition: by home.
    let mut strays: Vec<(usize, Served)> = Vec::new();
    let mut timed = false;
    for row in ledger.rows().filter(|row| row.sent() != Sent::Never) {
        let home = homes.of_row(row);
        if row.due().is_some_and(|due| within.contains(&due)) {
            sends[home.map_or(lost, Tp::index)].push(row.number);
        }
        if let (Some(acked), Some(home)) = (row.acked().filter(|acked| within.contains(acked)), home)
            && !row.filtered()
        {
            timed |= row.served_at().is_some();
            if !row.placed() {
                strays.push((home.index(), Served::of(row, acked, i64::MAX)));
            }
        }
    }
    let acked = |number: u32| {
        let row = ledger.row(number);
        row.acked().filter(|acked| within.contains(acked) && !row.filtered())
    };
    let mut effects: Vec<Tp> = Vec::new();
    if timed {
        for (number, offset, at) in ledger.first_acks() {
            let row = ledger.row(number);
            let Some(home) = homes.of_row(row).filter(|home| at != Some(*home)) else { continue };
            if let Some(acked) = acked(number) {
                strays.push((home.index(), Served::of(row, acked, offset)));
            }
        }
        effects.extend(ledger.tps.all());
    }
    let name = |at: usize| ledger.tps.all().nth(at).map_or(&nowhere, |tp| ledger.tps.name(tp));
    let sends = sends.into_iter().enumerate().filter(|(_, rows)| rows.len() > 0);
    let mut tracks: Vec<Track> = sends.map(|(at, rows)| send_track(ledger, name(at), rows)).collect();
    for tp in effects {
        let own = ledger.first_acks_in(tp).filter(|place| homes.of_row(ledger.row(place.row)) == Some(tp));
        let own = own.filter_map(|place| Some(Served::of(ledger.row(place.row), acked(place.row)?, place.offset)));
        let strays = strays.iter().filter(|(home, _)| *home == tp.index()).map(|(_, served)| *served);
        let log = in_log_order(own, strays.collect());
        if log.len() > 0 {
            tracks.push(effect_track(ledger, ledger.tps.name(tp), &log));
        }
    }
    tracks.sort_by(|a, b| (a.stream, &a.tp).cmp(&(b.stream, &b.tp)));
    tracks
}

/// Which topic partition a record belongs to.
struct Homes(Vec<Option<Tp>>);

impl Homes {
    /// A send that failed before it learned its topic partition goes where its key's other records went.
    fn of(ledger: &Ledger) -> Self {
        let mut homes = vec![None; ledger.keys()];
        for (key, tp) in ledger.rows().filter_map(|row| Some((row.key_number()?, row.tp()?))) {
            homes[key as usize] = Some(tp);
        }
        Self(homes)
    }

    fn of_row(&self, row: Row<'_>) -> Option<Tp> {
        row.tp().or_else(|| self.0[row.key_number()? as usize])
    }
}

fn send_track(ledger: &Ledger, tp: &TopicPartition, mut rows: Packed) -> Track {
    let due = |number: u32| due(Stream::Send, ledger.row(number));
    rows = if rows.iter().map(due).is_sorted() {
        rows.finished()
    } else {
        by_time(&rows, rows.iter().map(|number| (due(number), number)))
    };
    let successes = by_time(&rows, rows.iter().filter_map(|number| Some((ledger.row(number).acked()?, number))));
    let (tp, stream) = (tp.clone(), Stream::Send);
    Track { tp, stream, rows, behind: Packed::default(), newest: Packed::default(), successes }
}

/// In the order of their times, which `list` is nearly in.
fn by_time(list: &Packed, rows: impl Iterator<Item = (Nanos, u32)> + Clone) -> Packed {
    let mut packed = Packed::like(list);
    packed.extend(InOrder::of(rows).map(|(_, row)| row));
    packed.finished()
}

/// A record that was acknowledged, at its place in the log: ordered as in the log, or as nearly as can be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Served {
    offset: i64,
    acked: Nanos,
    row: u32,
}

impl Served {
    fn of(row: Row<'_>, acked: Nanos, offset: i64) -> Self {
        Self { offset, acked, row: row.number }
    }
}

/// The rows of one topic partition as they stand in its log. Its `own` come by offset.
fn in_log_order(own: impl Iterator<Item = Served>, mut strays: Vec<Served>) -> Packed {
    strays.sort_unstable();
    let (mut own, mut strays) = (own.peekable(), strays.into_iter().peekable());
    let (mut log, mut there) = (Packed::default(), Vec::new());
    while let Some(offset) = own.peek().into_iter().chain(strays.peek()).map(|record| record.offset).min() {
        there.extend(std::iter::from_fn(|| own.next_if(|record| record.offset == offset)));
        there.extend(std::iter::from_fn(|| strays.next_if(|record| record.offset == offset)));
        there.sort_unstable();
        there.drain(..).for_each(|record| log.push(record.row));
    }
    log.finished()
}

/// Records of a log that are looked at together, from the last to the first.
const BLOCK: usize = 1 << 12;

/// The places in a log whose own effect does not count as theirs, each with the row whose effect does, plus 1; 0: none.
/// Of effects at the same time the own one counts.
fn overtaken(ledger: &Ledger, log: &Packed) -> Vec<(u32, u32)> {
    let served = |row: u32| Some((ledger.row(row).served_at()?, row));
    let blocks = log.len().div_ceil(BLOCK);
    let block = |at: usize| log.range(BLOCK * at, BLOCK * (at + 1));
    // Of each block and all later ones the first that was served.
    let mut firsts = vec![None; blocks + 1];
    for at in (0..blocks).rev() {
        firsts[at] = block(at).filter_map(served).chain(firsts[at + 1]).min();
    }
    let (mut found, mut rows) = (Vec::new(), Vec::with_capacity(BLOCK));
    for at in 0..blocks {
        rows.extend(block(at).zip((BLOCK * at) as u32..));
        let (known, mut newest) = (found.len(), firsts[at + 1]);
        for (row, place) in rows.drain(..).rev() {
            match served(row) {
                Some(own) if newest.is_none_or(|(first, _)| own.0 <= first) => newest = Some(own),
                _ => found.push((place, newest.map_or(0, |(_, row)| row + 1))),
            }
        }
        found[known..].reverse();
    }
    found
}

fn effect_track(ledger: &Ledger, tp: &TopicPartition, log: &Packed) -> Track {
    let overtaken = overtaken(ledger, log);
    // Of two that were acknowledged at the same time the one that stands later in the log comes first.
    let acked = log.iter().zip(0u32..);
    let acked = acked.map(|(row, place)| (due(Stream::Effect, ledger.row(row)), Reverse(place), row));
    let (mut rows, mut behind, mut newest) = (Packed::like(log), Packed::default(), Packed::default());
    for (_, Reverse(place), row) in InOrder::of(acked) {
        if let Ok(at) = overtaken.binary_search_by_key(&place, |(place, _)| *place) {
            behind.push(rows.len() as u32);
            newest.push(overtaken[at].1);
        }
        rows.push(row);
    }
    let successes = by_time(log, log.iter().filter_map(|row| Some((ledger.row(row).served_at()?, row))));
    let (tp, stream) = (tp.clone(), Stream::Effect);
    Track { tp, stream, rows: rows.finished(), behind: behind.finished(), newest: newest.finished(), successes }
}
