//! One row per record id, built from the history in one pass; then what became of each.
//!
//! Owns the counting: what was sent, acknowledged, found in the input log, delivered, served, dead-lettered. Must not
//! judge: which count is an anomaly is the checkers' business.
//!
//! A history has millions of records, and nearly all of them are sent once, acknowledged once, found once and served once.
//! So a row is a few packed numbers ([`rows`]), the places are arrays by offset ([`board`]), and whatever is rare (a second
//! acknowledgement, a delivery again, a dead letter) stands in a side table: about 24 bytes a record in all.

mod board;
mod column;
mod coverage;
mod fate;
mod index;
mod parts;
mod polls;
mod read;
mod rows;
mod seqs;
mod slots;
#[cfg(test)]
mod stories;

pub use coverage::{Coverage, Reach, Short};
pub use fate::{Fate, Sent};
pub use index::{Tp, Tps};
pub use parts::Strange;
pub use polls::{Actor, Actors, Committed, Leap, Polls};
pub use read::{Intake, read};
pub use rows::Row;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use board::Board;
use index::{Ids, Keys};
use parts::Parts;
use rows::{Count, Flag, Rows};
use slots::{ACKED, DELIVERED, FOUND};

use crate::clock::Nanos;
use crate::history::{Act, Event, Header, History, Line, Op, Outcome};
use crate::plan::TopicPartition;

/// A record at a place in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub tp: Tp,
    pub offset: i64,
    /// The row's number.
    pub row: u32,
}

/// A dead letter as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Letter {
    pub place: Place,
    origin: Option<(Tp, i64)>,
    pub complete: bool,
    /// Of its error, by its place among those that were named.
    class: Option<u32>,
}

/// A send that failed or may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub t: Nanos,
    pub actor: Actor,
    /// It certainly did not happen.
    pub certain: bool,
}

/// The rows, the places, and how far reads and commits came.
#[derive(Debug, Default)]
pub struct Ledger {
    rows: Rows,
    ids: Ids,
    keys: Keys,
    pub tps: Tps,
    pub actors: Actors,
    pub coverage: Coverage,
    pub polls: Polls,
    /// What the final read found in the dead-letter topic, sorted, each place once.
    pub letters: Vec<Letter>,
    /// Sends that did not go well, in the order of the history.
    pub troubles: Vec<Trouble>,
    /// Deliveries to members, every one counted.
    pub delivered: u64,
    /// Classes of errors that dead letters name.
    classes: Vec<String>,
    /// Of the latest event.
    pub last: Nanos,
    /// Where records were acknowledged, found in the input topic and delivered.
    input: Board,
    /// Where effects were found.
    output: Board,
    /// Where a record has several.
    parts: Parts,
    /// Keys whose records the application leaves out.
    drops: Vec<String>,
    /// The same by the key's number; empty: none.
    filtered: Vec<bool>,
    /// Topic partitions that dead letters name: to be named is not to be mentioned.
    origins: Tps,
    /// Acknowledged there, and not for the first time.
    acked_again: BTreeSet<Place>,
    /// Acknowledged offsets of records whose topic partition was not known.
    acked_nowhere: HashMap<u32, i64>,
    /// Acknowledged offsets of records that the log does not hold there; by row.
    acked_unseen: Vec<(u32, i64)>,
    /// Deliveries from a place beyond the first.
    again: BTreeMap<Place, u32>,
}

impl Ledger {
    /// Builds the ledger of a history in memory.
    pub fn of(history: &History) -> Self {
        let mut ledger = Self::owing(&history.header);
        for event in &history.events {
            ledger.note(event);
        }
        ledger.finish(&history.header);
        ledger
    }

    /// An empty one, which knows what the header's plan says that the application owes.
    fn owing(header: &Header) -> Self {
        let Some(owed) = header.plan.as_ref().map(|plan| plan.subject.owed()) else { return Self::default() };
        Self { parts: Parts::of(owed.effects), drops: owed.drops.to_vec(), ..Self::default() }
    }

    fn row_of(&mut self, id: &str) -> u32 {
        let row = self.ids.of(id, self.rows.len());
        if row == self.rows.len() {
            self.rows.push();
            self.parts.push();
        }
        row
    }

    fn class_of(&mut self, class: &str) -> u32 {
        // A handful.
        let at = self.classes.iter().position(|known| known == class).unwrap_or_else(|| {
            self.classes.push(class.to_owned());
            self.classes.len() - 1
        });
        at as u32
    }

    /// How many dead letters name each class of errors.
    pub fn error_classes(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for class in self.letters.iter().filter_map(|letter| self.classes.get(letter.class? as usize)) {
            *counts.entry(class.clone()).or_default() += 1;
        }
        counts
    }

    /// Takes in an event of any kind.
    fn note(&mut self, event: &Event) {
        if let Some(line) = Line::of(event) {
            return self.take(&line);
        }
        self.last = self.last.max(event.t);
        match &event.op {
            Op::Assign { tps, r#type: Outcome::Ok, .. } => {
                let actor = self.actors.of(event.actor.as_deref());
                for tp in tps {
                    self.polls.assign(actor, tp, event.t);
                }
            }
            // Lost (`fail`) is given up as well.
            Op::Revoke { tps, .. } => {
                let actor = self.actors.of(event.actor.as_deref());
                for tp in tps {
                    self.polls.revoke(actor, tp);
                }
            }
            Op::Signal { name, .. } if name == "member-exit" => {
                let actor = self.actors.of(event.actor.as_deref());
                self.polls.exit(actor);
            }
            Op::FinalRead { r#type, tp, from, to, error } => {
                let tp = self.tps.of(tp.into());
                self.coverage.read(tp, *from, *to, *r#type == Outcome::Ok, event.t);
                if let Some(error) = error {
                    self.coverage.stopped(tp, error);
                }
            }
            _ => {}
        }
    }

    /// Takes in what is said about one record, or a commit.
    pub fn take(&mut self, line: &Line<'_>) {
        self.last = self.last.max(line.t);
        match line.act {
            Act::Send { outcome, id, tp, key, seq, due, poison, offset } => {
                let tp = tp.map(|tp| self.tps.of(tp));
                let actor = self.actors.of(line.actor);
                let row = self.row_of(id);
                if let Some(tp) = tp {
                    self.rows.set_tp(row, tp);
                }
                match outcome {
                    Outcome::Invoke => self.invoke(row, actor, (key, seq), due.unwrap_or(line.t), poison),
                    Outcome::Ok => self.acknowledge(row, line.t, offset.filter(|offset| *offset >= 0)),
                    Outcome::Fail | Outcome::Info => {
                        let certain = outcome == Outcome::Fail;
                        self.rows.add(row, if certain { Count::Fails } else { Count::Infos });
                        self.troubles.push(Trouble { t: line.t, actor, certain });
                    }
                }
            }
            Act::Deliver { id, tp: at, offset } => {
                let tp = self.tps.of(at);
                let row = self.row_of(id);
                let actor = self.actors.of(line.actor);
                self.polls.deliver(actor, (tp, at), offset, line.t, row);
                let place = Place { tp, offset, row };
                self.delivered += 1;
                self.rows.add(row, Count::Delivered);
                if !self.input.mark(place, DELIVERED) {
                    *self.again.entry(place).or_default() += 1;
                }
            }
            Act::LogRead { id, tp, offset, intact } => {
                let tp = self.tps.of(tp);
                let row = self.row_of(id);
                if !intact {
                    self.rows.set(row, Flag::Altered);
                }
                if self.rows.tp(row).is_none() {
                    self.rows.set_tp(row, tp);
                }
                // A final read that began again reports a place twice.
                if self.input.mark(Place { tp, offset, row }, FOUND) {
                    self.rows.add(row, Count::InLog);
                }
            }
            Act::Effect { id, key, seq, tp, offset, appended, part } => {
                let tp = self.tps.of(tp);
                let row = self.row_of(id);
                self.identify(row, key, seq);
                let place = Place { tp, offset, row };
                let fresh = self.output.mark(place, FOUND);
                if self.parts.several() {
                    if fresh {
                        self.parts.note(place, part, appended);
                    }
                    return;
                }
                self.serve(row, appended);
                if fresh {
                    self.rows.add(row, Count::Effects);
                }
            }
            Act::DeadLetter { id, tp, offset, origin, complete, error_class, appended } => {
                let tp = self.tps.of(tp);
                let row = self.row_of(id);
                self.serve(row, appended);
                let origin = origin.map(|(tp, offset)| (self.origins.of(tp), offset));
                let class = error_class.map(|class| self.class_of(class));
                self.letters.push(Letter { place: Place { tp, offset, row }, origin, complete, class });
            }
            Act::Commit { tp, offset } => {
                let tp = self.tps.of(tp);
                let watched = line.actor == Some("group");
                self.coverage.commit(tp, offset, watched);
                let actor = self.actors.of(line.actor);
                self.polls.commits.push(Committed { tp, offset, t: line.t, actor, watched });
            }
        }
    }

    fn invoke(&mut self, row: u32, actor: Actor, (key, seq): (Option<&str>, Option<u64>), due: Nanos, poison: bool) {
        if self.rows.count(row, Count::Invokes) == 0 {
            self.rows.producer.set(row, actor.0, self.rows.len() as usize);
            self.rows.due.set(row, due);
        }
        self.rows.add(row, Count::Invokes);
        self.identify(row, key, seq);
        if poison {
            self.rows.set(row, Flag::Poison);
        }
    }

    fn acknowledge(&mut self, row: u32, t: Nanos, offset: Option<i64>) {
        self.rows.add(row, Count::Oks);
        if self.rows.acked.get(row).is_none() {
            self.rows.acked.set(row, t);
        }
        let Some(offset) = offset else { return };
        let first = !self.rows.is(row, Flag::Placed);
        self.rows.set(row, Flag::Placed);
        match self.rows.tp(row) {
            Some(tp) => {
                let place = Place { tp, offset, row };
                if self.input.mark(place, ACKED) && !first {
                    self.acked_again.insert(place);
                }
            }
            None if first => {
                self.acked_nowhere.insert(row, offset);
            }
            None => {}
        }
    }

    /// The first that names a key or a sequence number is right.
    fn identify(&mut self, row: u32, key: Option<&str>, seq: Option<u64>) {
        if let Some(key) = key
            && self.rows.key.get(row).is_none()
        {
            self.rows.set_key(row, self.keys.of(key));
        }
        if let Some(seq) = seq
            && !self.rows.has_seq(row)
        {
            self.rows.set_seq(row, seq);
        }
    }

    fn serve(&mut self, row: u32, appended: Option<Nanos>) {
        if let Some(t) = appended
            && self.rows.served.get(row).is_none_or(|known| t < known)
        {
            self.rows.served.set(row, t);
        }
    }

    fn finish(&mut self, header: &Header) {
        self.letters.sort_by_key(|letter| letter.place);
        self.letters.dedup_by_key(|letter| letter.place);
        for letter in &self.letters {
            self.rows.add(letter.place.row, Count::DeadLetters);
        }
        self.parts.finish(self.rows.len(), &mut self.rows.served);
        if !self.drops.is_empty() {
            self.filtered = vec![false; self.keys.len()];
            for key in self.drops.iter().filter_map(|key| self.keys.find(key)) {
                self.filtered[key as usize] = true;
            }
        }
        self.coverage.finish(header, &self.tps);
        for tp in self.input.tps() {
            for place in self.input.of(tp, DELIVERED) {
                if self.rows.tp(place.row).is_none() {
                    self.rows.set_tp(place.row, tp);
                }
            }
            let open = self.coverage.committed(tp).unwrap_or(i64::MIN);
            for place in self.input.between(tp, open, i64::MAX, FOUND | DELIVERED) {
                self.rows.set(place.row, Flag::Ahead);
            }
            for place in self.input.of(tp, ACKED) {
                if self.rows.count(place.row, Count::InLog) == 0 && !self.acked_again.contains(&place) {
                    self.acked_unseen.push((place.row, place.offset));
                }
            }
        }
        self.acked_unseen.sort_unstable();
    }

    fn acked_offset(&self, row: u32) -> Option<i64> {
        if let Some(offset) = self.acked_nowhere.get(&row) {
            return Some(*offset);
        }
        if let Ok(at) = self.acked_unseen.binary_search_by_key(&row, |(row, _)| *row) {
            return Some(self.acked_unseen[at].1);
        }
        let own = self.rows.tp(row);
        let tps = own.into_iter().chain(self.input.tps().filter(|tp| Some(*tp) != own));
        let mut places = tps.flat_map(|tp| self.input.of(tp, ACKED));
        places.find(|place| place.row == row && !self.acked_again.contains(place)).map(|place| place.offset)
    }

    /// All rows, in the order of their ids' first mention.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).map(move |number| Row { ledger: self, number })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() as usize
    }

    /// No record was mentioned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row by its number.
    pub fn row(&self, number: u32) -> Row<'_> {
        Row { ledger: self, number }
    }

    /// A row by its id.
    pub fn find(&self, id: &str) -> Option<Row<'_>> {
        self.ids.find(id).map(|number| self.row(number))
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Acknowledged places of one topic partition.
    pub fn acks_in(&self, tp: Tp) -> impl Iterator<Item = Place> {
        self.input.of(tp, ACKED)
    }

    /// The first acknowledged place of each row, by offset, of one topic partition.
    pub fn first_acks_in(&self, tp: Tp) -> impl Iterator<Item = Place> {
        self.input.of(tp, ACKED).filter(|place| !self.acked_again.contains(place))
    }

    /// The number of each row that was acknowledged at an offset, with the first such offset and its topic partition, if
    /// that was known then.
    pub fn first_acks(&self) -> impl Iterator<Item = (u32, i64, Option<Tp>)> {
        let places = self.input.tps().flat_map(|tp| self.first_acks_in(tp));
        places
            .map(|place| (place.row, place.offset, Some(place.tp)))
            .chain(self.acked_nowhere.iter().map(|(row, offset)| (*row, *offset, None)))
    }

    /// What the final read found in the input topic: by topic partition and offset, each place once.
    pub fn log(&self) -> impl Iterator<Item = Place> {
        self.input.all(FOUND)
    }

    /// The same of one topic partition, from one offset to another, which is excluded.
    pub fn log_between(&self, tp: Tp, from: i64, to: i64) -> impl Iterator<Item = Place> {
        let last = to.checked_sub(1);
        last.into_iter().flat_map(move |last| self.input.between(tp, from, last, FOUND))
    }

    /// How many effects each record is owed.
    pub fn effects_each(&self) -> u32 {
        self.parts.all()
    }

    /// Which of its record's effects an effect is, from 0; `None`: none that a record has.
    pub fn part(&self, place: Place) -> Option<u32> {
        if self.parts.several() { self.parts.at(place.tp, place.offset) } else { Some(0) }
    }

    /// What it found in the output topic.
    pub fn effects(&self) -> impl Iterator<Item = Place> {
        self.output.all(FOUND)
    }

    /// Some member was delivered what stands there.
    pub fn was_delivered(&self, tp: Tp, offset: i64) -> bool {
        self.input.between(tp, offset, offset, DELIVERED).next().is_some()
    }

    /// Places that were delivered more than once, with the number of deliveries.
    pub fn redelivered(&self) -> impl Iterator<Item = (Place, u64)> {
        self.again.iter().map(|(place, again)| (*place, 1 + u64::from(*again)))
    }

    /// Where a dead letter came from, by its own headers.
    pub fn origin(&self, letter: &Letter) -> Option<(&TopicPartition, i64)> {
        letter.origin.map(|(tp, offset)| (self.origins.name(tp), offset))
    }

    /// Places of any topic that more than one row was acknowledged, delivered, found or served at, with these rows.
    pub fn shared_places(&self) -> BTreeMap<(Tp, i64), Vec<u32>> {
        let mut suspects: BTreeSet<(Tp, i64)> = self.input.shared().chain(self.output.shared()).collect();
        suspects.extend(self.letters.iter().map(|letter| (letter.place.tp, letter.place.offset)));
        // An input topic that is an output topic too.
        for tp in self.output.tps().filter(|tp| self.input.of(*tp, u32::MAX).next().is_some()) {
            suspects.extend(self.output.of(tp, FOUND).map(|place| (tp, place.offset)));
        }
        let rows = |(tp, offset): (Tp, i64)| {
            let letters = self.letters.partition_point(|letter| (letter.place.tp, letter.place.offset) < (tp, offset));
            let letters = self.letters[letters..].iter().map(|letter| letter.place);
            let letters = letters.take_while(|place| (place.tp, place.offset) == (tp, offset));
            let places =
                [&self.input, &self.output].into_iter().flat_map(|board| board.between(tp, offset, offset, u32::MAX));
            let mut rows: Vec<u32> = places.chain(letters).map(|place| place.row).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        };
        suspects.into_iter().map(|place| (place, rows(place))).filter(|(_, rows)| rows.len() > 1).collect()
    }
}
