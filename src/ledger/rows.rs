//! What is known about each record id, in a few packed columns, and a view of one of them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::column::{Column, Names, Shared, Times};
use super::index::Tp;
use super::seqs::Seqs;
use super::{Actor, Ledger, Sent, Strange};
use crate::clock::Nanos;

/// What is counted of a row, by its place in the packed word: two bits each.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Invokes = 0,
    Oks = 2,
    Fails = 4,
    Infos = 6,
    InLog = 8,
    Effects = 10,
    DeadLetters = 12,
    Delivered = 14,
}

/// What is true of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flag {
    Poison = 1 << 16,
    Altered = 1 << 17,
    /// The group has not committed past every place at which it stands in the input log.
    Ahead = 1 << 18,
    /// An acknowledgement named its offset.
    Placed = 1 << 19,
}

/// The count is in the side table.
const MANY: u32 = 3;

/// The topic partition's number plus 1 is in the twelve bits from here on.
const TP: u32 = 20;

/// The topic partition is in the side table.
const FAR: u32 = (1 << 12) - 1;

/// About nineteen bytes a row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Counts, flags and topic partition.
    words: Column<u32>,
    /// Intended time; where the history has none, the time of the first attempt.
    pub due: Times,
    /// First acknowledgement.
    pub acked: Times,
    /// When its first effect or dead letter was appended; with several effects a record only the dead letter, until the
    /// history ends.
    pub served: Times,
    pub key: Names,
    seqs: Seqs,
    /// Of rows with an attempt.
    pub producer: Shared,
    many: HashMap<(u32, u8), u32>,
    far: HashMap<u32, Tp>,
}

impl Rows {
    pub fn len(&self) -> u32 {
        self.words.len() as u32
    }

    /// One row more.
    pub fn push(&mut self) {
        self.words.push(0);
        self.due.push();
        self.acked.push();
        self.served.push();
        self.key.push();
        self.seqs.push();
    }

    /// Gives a key to a row that has none.
    pub fn set_key(&mut self, row: u32, key: u32) {
        let seq = self.seq(row);
        self.key.set(row, key);
        // It may have been told before the key, and is kept by the key.
        if let Some(seq) = seq {
            self.set_seq(row, seq);
        }
    }

    #[inline]
    pub fn seq(&self, row: u32) -> Option<u64> {
        self.seqs.get(row, self.key.get(row))
    }

    pub fn has_seq(&self, row: u32) -> bool {
        self.seqs.has(row)
    }

    pub fn set_seq(&mut self, row: u32, seq: u64) {
        self.seqs.set(row, self.key.get(row), seq);
    }

    #[inline]
    pub fn count(&self, row: u32, count: Count) -> u32 {
        match self.words.get(row as usize) >> count as u32 & MANY {
            MANY => self.many(row, count),
            few => few,
        }
    }

    /// Apart, so that the rest is small enough to stand where it is asked for.
    #[cold]
    fn many(&self, row: u32, count: Count) -> u32 {
        self.many.get(&(row, count as u8)).copied().unwrap_or(MANY)
    }

    #[inline]
    pub fn add(&mut self, row: u32, count: Count) {
        let word = self.words.at(row as usize);
        if *word >> count as u32 & MANY < MANY {
            *word += 1 << count as u32;
        } else {
            *self.many.entry((row, count as u8)).or_insert(MANY) += 1;
        }
    }

    #[inline]
    pub fn is(&self, row: u32, flag: Flag) -> bool {
        self.words.get(row as usize) & flag as u32 != 0
    }

    pub fn set(&mut self, row: u32, flag: Flag) {
        *self.words.at(row as usize) |= flag as u32;
    }

    #[inline]
    pub fn tp(&self, row: u32) -> Option<Tp> {
        match self.words.get(row as usize) >> TP {
            FAR => self.far.get(&row).copied(),
            number => number.checked_sub(1).map(Tp),
        }
    }

    pub fn set_tp(&mut self, row: u32, tp: Tp) {
        let number = if tp.0 + 1 < FAR { tp.0 + 1 } else { FAR };
        if number == FAR {
            self.far.insert(row, tp);
        }
        let word = self.words.at(row as usize);
        *word = *word & ((1 << TP) - 1) | number << TP;
    }
}

/// Everything that is known about one record id.
#[derive(Clone, Copy, Debug)]
pub struct Row<'l> {
    pub(super) ledger: &'l Ledger,
    /// Its number: rows are numbered in the order of their ids' first mention.
    pub number: u32,
}

impl<'l> Row<'l> {
    fn count(self, count: Count) -> u32 {
        self.ledger.rows.count(self.number, count)
    }

    fn is(self, flag: Flag) -> bool {
        self.ledger.rows.is(self.number, flag)
    }

    pub fn id(self) -> Cow<'l, str> {
        self.ledger.ids.name(self.number)
    }

    pub fn key(self) -> Option<&'l str> {
        self.key_number().map(|key| self.ledger.keys.name(key))
    }

    /// The key's number, from 0: less than [`Ledger::keys`].
    pub fn key_number(self) -> Option<u32> {
        self.ledger.rows.key.get(self.number)
    }

    pub fn seq(self) -> Option<u64> {
        self.ledger.rows.seq(self.number)
    }

    pub fn poison(self) -> bool {
        self.is(Flag::Poison)
    }

    /// Its bytes in the input log are not the ones that were sent.
    pub fn altered(self) -> bool {
        self.is(Flag::Altered)
    }

    /// Attempts that were begun.
    pub fn invokes(self) -> u32 {
        self.count(Count::Invokes)
    }

    /// Attempts that were acknowledged.
    pub fn oks(self) -> u32 {
        self.count(Count::Oks)
    }

    /// Intended time; where the history has none, the time of the first attempt.
    pub fn due(self) -> Option<Nanos> {
        self.ledger.rows.due.get(self.number)
    }

    /// First acknowledgement.
    pub fn acked(self) -> Option<Nanos> {
        self.ledger.rows.acked.get(self.number)
    }

    /// When its first effect or dead letter was appended; where it is owed several effects, the first of the last one.
    pub fn served_at(self) -> Option<Nanos> {
        self.ledger.rows.served.get(self.number)
    }

    /// Input topic partition, as far as the sender or the log told.
    pub fn tp(self) -> Option<Tp> {
        self.ledger.rows.tp(self.number)
    }

    /// Who sent it first.
    pub fn producer(self) -> Option<Actor> {
        if self.invokes() == 0 { None } else { self.ledger.rows.producer.get(self.number).map(Actor) }
    }

    /// An acknowledgement named its offset.
    pub fn placed(self) -> bool {
        self.is(Flag::Placed)
    }

    /// Acknowledged offset; `None`: not acknowledged, or acknowledged without one (acks=0). Of a record that the final
    /// read found in the log it is looked for: for examples, not for counting.
    pub fn offset(self) -> Option<i64> {
        if self.placed() { self.ledger.acked_offset(self.number) } else { None }
    }

    /// Distinct places in the input log.
    pub fn in_log(self) -> u32 {
        self.count(Count::InLog)
    }

    /// Distinct places in the output topic.
    pub fn effects(self) -> u32 {
        let parts = &self.ledger.parts;
        if parts.several() { parts.effects(self.number) } else { self.count(Count::Effects) }
    }

    /// Of those, the ones beyond the first, of each part where it has several.
    pub fn surplus_effects(self) -> u32 {
        let parts = &self.ledger.parts;
        if parts.several() { parts.surplus(self.number) } else { self.effects().saturating_sub(1) }
    }

    /// Where it has several: parts that were found more than once, and how many times.
    pub fn repeated_parts(self) -> impl Iterator<Item = (u32, u32)> + use<'l> {
        self.ledger.parts.again(self.number).map(|(part, again)| (part, again + 1))
    }

    /// How many effects there are of the part that has most.
    pub fn copies(self) -> u32 {
        let parts = &self.ledger.parts;
        if parts.several() { self.repeated_parts().map(|(_, n)| n).max().unwrap_or(1) } else { self.effects() }
    }

    /// Parts that it lacks, where it has several.
    pub fn missing_parts(self) -> impl Iterator<Item = u32> + use<'l> {
        let parts = &self.ledger.parts;
        let missing = if parts.several() { parts.missing(self.number) } else { 0 };
        (0..u32::BITS).filter(move |part| missing & 1 << part != 0)
    }

    /// Effects that are none of its parts, where it has several.
    pub fn strange_effects(self) -> Option<Strange> {
        self.ledger.parts.strange(self.number)
    }

    /// Its key is one that the application leaves out on purpose: no effect is owed.
    #[inline]
    pub fn filtered(self) -> bool {
        let filtered = &self.ledger.filtered;
        !filtered.is_empty() && self.key_number().is_some_and(|key| filtered[key as usize])
    }

    /// Distinct places in the dead-letter topic.
    pub fn dead_letters(self) -> u32 {
        self.count(Count::DeadLetters)
    }

    /// Deliveries to members, every one counted.
    pub fn delivered(self) -> u32 {
        self.count(Count::Delivered)
    }

    /// The group has committed past every place at which it stands in the input log.
    pub fn passed(self) -> bool {
        !self.is(Flag::Ahead)
    }

    /// The sender's side. One acknowledged attempt outweighs the others; one open attempt outweighs failed ones.
    pub fn sent(self) -> Sent {
        match () {
            () if self.oks() > 0 => Sent::Acked,
            () if self.count(Count::Infos) > 0 || self.invokes() > self.count(Count::Fails) => Sent::Indeterminate,
            () if self.count(Count::Fails) > 0 => Sent::Failed,
            () => Sent::Never,
        }
    }

    /// Somebody read it from the log, or saw what the application made of it.
    pub fn found(self) -> bool {
        self.in_log() > 0 || self.handled()
    }

    /// It has an effect, whole or not, or a dead letter.
    pub fn handled(self) -> bool {
        self.effects() > 0 || self.dead_letters() > 0
    }

    /// It has every effect that it is owed, or a dead letter.
    pub fn served(self) -> bool {
        let parts = &self.ledger.parts;
        let whole = if parts.several() { parts.missing(self.number) == 0 } else { self.effects() > 0 };
        whole || self.dead_letters() > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Counts, flags and topic partition share a word and do not touch each other.
        #[test]
        fn a_row_s_facts_do_not_touch_each_other(steps in prop::collection::vec((0..3u32, 0..13u8, 0..9000u32), 0..120)) {
            const COUNTS: [Count; 8] = [
                Count::Invokes, Count::Oks, Count::Fails, Count::Infos,
                Count::InLog, Count::Effects, Count::DeadLetters, Count::Delivered,
            ];
            const FLAGS: [Flag; 4] = [Flag::Poison, Flag::Altered, Flag::Ahead, Flag::Placed];
            let mut rows = Rows::default();
            let mut known = [([0; 8], [false; 4], None); 3];
            for _ in 0..3 {
                rows.push();
            }
            for (row, what, tp) in steps {
                let (counts, flags, place) = &mut known[row as usize];
                match what {
                    0..8 => {
                        rows.add(row, COUNTS[what as usize]);
                        counts[what as usize] += 1;
                    }
                    8..12 => {
                        rows.set(row, FLAGS[what as usize - 8]);
                        flags[what as usize - 8] = true;
                    }
                    _ => {
                        rows.set_tp(row, Tp(tp));
                        *place = Some(Tp(tp));
                    }
                }
            }
            for (row, (counts, flags, tp)) in (0..).zip(known) {
                prop_assert_eq!(COUNTS.map(|count| rows.count(row, count)), counts);
                prop_assert_eq!(FLAGS.map(|flag| rows.is(row, flag)), flags);
                prop_assert_eq!(rows.tp(row), tp);
            }
        }
    }

    #[test]
    fn only_a_high_topic_partition_needs_the_side_table() {
        let mut rows = Rows::default();
        rows.push();
        let mut far = |tp| {
            rows.set_tp(0, Tp(tp));
            assert_eq!(rows.tp(0), Some(Tp(tp)));
            rows.far.len()
        };
        assert_eq!([0, FAR - 2, FAR - 1].map(&mut far), [0, 0, 1]);
    }
}
