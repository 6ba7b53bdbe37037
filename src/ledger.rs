//! One row per record id, built from the history in one pass; then what became of each.
//!
//! Owns the counting: what was sent, acknowledged, found in the input log, delivered, served, dead-lettered. Must not
//! judge: which count is an anomaly is the checkers' business.

mod coverage;
mod index;
mod polls;

pub use coverage::{Coverage, Reach};
pub use index::{Tp, Tps};
pub use polls::{Actor, Actors, Committed, Leap, Polls};

use index::Ids;

use crate::clock::Nanos;
use crate::history::{Event, History, Op, Origin, Outcome};

/// How the sender's side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No send was ever begun.
    Never,
    /// Every attempt is known not to have happened.
    Failed,
    /// An attempt timed out in flight, or has no outcome at all.
    Indeterminate,
    Acked,
}

/// What became of an attempted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Has an effect or a dead letter.
    Served,
    /// Not acknowledged, and nobody read it: not committed, nothing is owed.
    Absent,
    LostInLog,
    LostInApp,
    /// Owed and not found, but the reads or the group did not come far enough to say that it is lost.
    Undetermined,
}

/// A record at a place in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub tp: Tp,
    pub offset: i64,
    /// Index into [`Ledger::rows`].
    pub row: u32,
}

/// A dead letter as it was found.
#[derive(Clone, Debug)]
pub struct Letter<'h> {
    pub place: Place,
    pub origin: Option<&'h Origin>,
    pub complete: bool,
}

/// Everything that is known about one record id.
#[derive(Clone, Debug, Default)]
pub struct Row<'h> {
    pub id: &'h str,
    pub key: Option<&'h str>,
    pub seq: Option<u64>,
    pub poison: bool,
    /// Its bytes in the input log are not the ones that were sent.
    pub altered: bool,
    pub invokes: u32,
    pub oks: u32,
    pub fails: u32,
    pub infos: u32,
    /// Intended time; where the history has none, the time of the first attempt.
    pub due: Option<Nanos>,
    /// Input topic partition, as far as the sender or the log told.
    pub tp: Option<Tp>,
    /// Who sent it.
    pub producer: Option<Actor>,
    /// Acknowledged offset; `None`: not acknowledged, or acknowledged without one (acks=0).
    pub offset: Option<i64>,
    /// First acknowledgement.
    pub acked: Option<Nanos>,
    /// First failed or indeterminate outcome.
    pub errored: Option<Nanos>,
    /// Distinct places in the input log.
    pub in_log: u32,
    /// Distinct places in the output topic.
    pub effects: u32,
    /// Distinct places in the dead-letter topic.
    pub dead_letters: u32,
    /// Deliveries to members, every one counted.
    pub delivered: u32,
    /// When its first effect or dead letter was appended.
    pub served: Option<Nanos>,
    /// The group has committed past every place at which it stands in the input log.
    pub passed: bool,
}

impl Row<'_> {
    /// The sender's side. One acknowledged attempt outweighs the others; one open attempt outweighs failed ones.
    pub fn sent(&self) -> Sent {
        match () {
            () if self.oks > 0 => Sent::Acked,
            () if self.infos > 0 || self.invokes > self.fails => Sent::Indeterminate,
            () if self.fails > 0 => Sent::Failed,
            () => Sent::Never,
        }
    }

    /// Somebody read it from the log, or saw what the application made of it.
    pub fn found(&self) -> bool {
        self.in_log > 0 || self.served()
    }

    /// It has an effect or a dead letter.
    pub fn served(&self) -> bool {
        self.effects > 0 || self.dead_letters > 0
    }
}

/// The rows, the places, and how far reads and commits came.
#[derive(Debug)]
pub struct Ledger<'h> {
    pub rows: Vec<Row<'h>>,
    pub tps: Tps,
    pub actors: Actors,
    pub coverage: Coverage,
    pub polls: Polls,
    /// Acknowledged places, sorted.
    pub acks: Vec<Place>,
    /// What the final read found in the input topic: sorted, each place once.
    pub log: Vec<Place>,
    /// What it found in the output topic.
    pub effects: Vec<Place>,
    /// What it found in the dead-letter topic, sorted.
    pub letters: Vec<Letter<'h>>,
    /// Every delivery to a member: sorted, repeated when delivered again.
    pub deliveries: Vec<Place>,
}

impl<'h> Ledger<'h> {
    /// Builds the ledger in one pass over the events, then sorts the places.
    pub fn of(history: &'h History) -> Self {
        let mut ledger = Self {
            rows: Vec::new(),
            tps: Tps::default(),
            actors: Actors::default(),
            coverage: Coverage::default(),
            polls: Polls::default(),
            acks: Vec::new(),
            log: Vec::new(),
            effects: Vec::new(),
            letters: Vec::new(),
            deliveries: Vec::new(),
        };
        let mut ids = Ids::default();
        for event in &history.events {
            ledger.take(event, &mut ids);
        }
        ledger.finish(history);
        ledger
    }

    fn row(&mut self, ids: &mut Ids<'h>, id: &'h str) -> (u32, &mut Row<'h>) {
        let index = ids.of(id, self.rows.len());
        if index as usize == self.rows.len() {
            self.rows.push(Row { id, ..Row::default() });
        }
        (index, &mut self.rows[index as usize])
    }

    fn take(&mut self, event: &'h Event, ids: &mut Ids<'h>) {
        match &event.op {
            Op::Send { r#type, id, tp, key, seq, due, poison, offset, .. } => {
                let tp = tp.as_ref().map(|tp| self.tps.of(tp));
                let actor = self.actors.of(event.actor.as_deref());
                let (index, row) = self.row(ids, id);
                row.tp = tp.or(row.tp);
                match r#type {
                    Outcome::Invoke => {
                        row.invokes += 1;
                        row.producer = row.producer.or(Some(actor));
                        row.key = row.key.or(key.as_deref());
                        row.seq = row.seq.or(*seq);
                        row.poison |= poison;
                        row.due = row.due.or(*due).or(Some(event.t));
                    }
                    Outcome::Ok => {
                        row.oks += 1;
                        row.acked = row.acked.or(Some(event.t));
                        let offset = offset.filter(|o| *o >= 0);
                        row.offset = row.offset.or(offset);
                        if let (Some(tp), Some(offset)) = (row.tp, offset) {
                            self.acks.push(Place { tp, offset, row: index });
                        }
                    }
                    Outcome::Fail => {
                        row.fails += 1;
                        row.errored = row.errored.or(Some(event.t));
                    }
                    Outcome::Info => {
                        row.infos += 1;
                        row.errored = row.errored.or(Some(event.t));
                    }
                }
            }
            Op::Deliver { id, tp: name, offset, r#type: Outcome::Ok } => {
                let tp = self.tps.of(name);
                let (row, _) = self.row(ids, id);
                let actor = self.actors.of(event.actor.as_deref());
                self.polls.deliver(actor, (tp, name), *offset, event.t, row);
                self.deliveries.push(Place { tp, offset: *offset, row });
            }
            Op::LogRead { id, tp, offset, intact, r#type: Outcome::Ok } => {
                let tp = self.tps.of(tp);
                let (index, row) = self.row(ids, id);
                row.altered |= !intact;
                row.tp = row.tp.or(Some(tp));
                self.log.push(Place { tp, offset: *offset, row: index });
            }
            Op::Effect { id, key, seq, tp, offset, appended, r#type: Outcome::Ok } => {
                let tp = self.tps.of(tp);
                let (index, row) = self.row(ids, id);
                row.key = row.key.or(key.as_deref());
                row.seq = row.seq.or(*seq);
                row.served = earlier(row.served, *appended);
                self.effects.push(Place { tp, offset: *offset, row: index });
            }
            Op::DeadLetter { id, tp, offset, origin, complete, appended, r#type: Outcome::Ok } => {
                let tp = self.tps.of(tp);
                let (index, row) = self.row(ids, id);
                row.served = earlier(row.served, *appended);
                let place = Place { tp, offset: *offset, row: index };
                self.letters.push(Letter { place, origin: origin.as_ref(), complete: *complete });
            }
            Op::Commit { tp, offset, r#type: Outcome::Ok, .. } => {
                let tp = self.tps.of(tp);
                let watched = event.actor.as_deref() == Some("group");
                self.coverage.commit(tp, *offset, watched);
                let actor = self.actors.of(event.actor.as_deref());
                self.polls.commits.push(Committed { tp, offset: *offset, t: event.t, actor, watched });
            }
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
            Op::FinalRead { r#type, tp, from, to } => {
                let tp = self.tps.of(tp);
                self.coverage.read(tp, *from, *to, *r#type == Outcome::Ok, event.t);
            }
            _ => {}
        }
    }

    fn finish(&mut self, history: &History) {
        for places in [&mut self.acks, &mut self.log, &mut self.effects] {
            places.sort_unstable();
            // A final read that began again reports a place twice.
            places.dedup();
        }
        self.deliveries.sort_unstable();
        self.letters.sort_by_key(|letter| letter.place);
        self.letters.dedup_by_key(|letter| letter.place);
        for place in &self.log {
            self.rows[place.row as usize].in_log += 1;
        }
        for place in &self.effects {
            self.rows[place.row as usize].effects += 1;
        }
        for letter in &self.letters {
            self.rows[letter.place.row as usize].dead_letters += 1;
        }
        self.coverage.finish(history, &self.tps);
        for row in &mut self.rows {
            row.passed = true;
        }
        for place in &self.deliveries {
            let row = &mut self.rows[place.row as usize];
            row.delivered += 1;
            row.tp = row.tp.or(Some(place.tp));
        }
        for place in self.log.iter().chain(&self.deliveries) {
            let row = &mut self.rows[place.row as usize];
            row.passed &= self.coverage.committed(place.tp).is_some_and(|committed| committed > place.offset);
        }
    }

    /// What became of a record. Only for records that a send was begun for.
    pub fn fate(&self, row: &Row<'_>) -> Fate {
        if row.served() {
            return Fate::Served;
        }
        if row.in_log == 0 {
            match (row.sent(), self.coverage.decides(row.tp, row.offset, row.acked)) {
                (Sent::Acked, true) => return Fate::LostInLog,
                // A member saw it where the final read did not come: it is in the log.
                (_, false) if row.delivered > 0 => {}
                (Sent::Acked, false) => return Fate::Undetermined,
                _ => return Fate::Absent,
            }
        }
        if row.passed && self.coverage.outputs_complete() { Fate::LostInApp } else { Fate::Undetermined }
    }

    /// Records that a send was begun for, with what became of them.
    pub fn fates(&self) -> impl Iterator<Item = (&Row<'h>, Fate)> {
        self.rows.iter().filter(|row| row.sent() != Sent::Never).map(|row| (row, self.fate(row)))
    }

    /// The places of one row in a sorted list of places. A scan: for examples, not for counting.
    pub fn places_of(places: &[Place], row: u32) -> Vec<Place> {
        places.iter().filter(|place| place.row == row).copied().collect()
    }
}

fn earlier(a: Option<Nanos>, b: Option<Nanos>) -> Option<Nanos> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
