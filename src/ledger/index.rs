//! Dense numbers for ids, keys and topic partitions, so that the ledger's rows carry no strings of their own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::history::At;
use crate::plan::TopicPartition;

/// A topic partition by its number in [`Tps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tp(pub(super) u32);

impl Tp {
    /// Its number, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The topic partitions of a history, in the order of their first mention.
#[derive(Clone, Debug, Default)]
pub struct Tps {
    names: Vec<TopicPartition>,
    /// Of each topic, by partition: the number plus 1, or 0.
    topics: Vec<(Box<str>, Vec<u32>)>,
}

/// A partition beyond this is looked for one by one.
const TABLE: usize = 1 << 12;

impl Tps {
    /// The number of a topic partition, new or known. A history has a few topics: a scan beats a hash of their names.
    pub fn of(&mut self, at: At<'_>) -> Tp {
        self.find_at(at).unwrap_or_else(|| self.add(at))
    }

    fn add(&mut self, at: At<'_>) -> Tp {
        let known = self.topics.iter().position(|(topic, _)| **topic == *at.topic);
        let topic = known.unwrap_or_else(|| {
            self.topics.push((at.topic.into(), Vec::new()));
            self.topics.len() - 1
        });
        let mention = self.names.iter().find(|known| &*known.topic == at.topic);
        let name = mention.map_or_else(|| at.topic.into(), |known| known.topic.clone());
        self.names.push(TopicPartition::new(name, at.partition));
        let number = self.names.len() as u32;
        if let Some(partition) = usize::try_from(at.partition).ok().filter(|partition| *partition < TABLE) {
            let table = &mut self.topics[topic].1;
            table.resize(table.len().max(partition + 1), 0);
            table[partition] = number;
        }
        Tp(number - 1)
    }

    /// The number of `tp`, if the history mentions it.
    pub fn find(&self, tp: &TopicPartition) -> Option<Tp> {
        self.find_at(tp.into())
    }

    pub(super) fn find_at(&self, at: At<'_>) -> Option<Tp> {
        let (_, table) = self.topics.iter().find(|(topic, _)| **topic == *at.topic)?;
        match usize::try_from(at.partition) {
            Ok(partition) if partition < TABLE => table.get(partition)?.checked_sub(1).map(Tp),
            _ => {
                let same = |known: &TopicPartition| known.partition == at.partition && &*known.topic == at.topic;
                self.names.iter().position(same).map(|at| Tp(at as u32))
            }
        }
    }

    /// The topic partition of a number that this list gave out.
    pub fn name(&self, tp: Tp) -> &TopicPartition {
        &self.names[tp.0 as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// None was mentioned.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All of them, in the order of their numbers.
    pub fn all(&self) -> impl Iterator<Item = Tp> + use<> {
        (0..self.names.len() as u32).map(Tp)
    }

    /// All of one topic.
    pub fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = Tp> + 'a {
        (0..self.names.len()).filter(move |at| &*self.names[*at].topic == topic).map(|at| Tp(at as u32))
    }
}

/// Row numbers of record ids. The workload's ids are numbers that come in order: a stretch of them costs a few bytes in
/// all. Others are hashed.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// First id of a stretch of successive ids in successive rows: first row, length.
    stretches: BTreeMap<u32, (u32, u32)>,
    /// The same by row: first row, first id.
    rows: Vec<(u32, u32)>,
    /// The stretch that was looked at last.
    latest: (u32, u32, u32),
    others: HashMap<std::sync::Arc<str>, u32>,
    named: HashMap<u32, std::sync::Arc<str>>,
}

impl Ids {
    /// The row of `id`, if it has one.
    pub fn find(&self, id: &str) -> Option<u32> {
        match canonical(id) {
            Some(number) => self.stretch(number),
            None => self.others.get(id).copied(),
        }
    }

    /// The row of `id`, or `next` when it is new: then there is one row more.
    pub fn of(&mut self, id: &str, next: u32) -> u32 {
        let Some(number) = canonical(id) else {
            if let Some(row) = self.others.get(id) {
                return *row;
            }
            let name: std::sync::Arc<str> = id.into();
            self.others.insert(name.clone(), next);
            self.named.insert(next, name);
            return next;
        };
        let (first, row, length) = self.latest;
        if number >= first && number - first < length {
            return row + (number - first);
        }
        let before = self.stretches.range_mut(..=number).next_back();
        if let Some((first, (row, length))) = before {
            let at = number - first;
            if at == *length && *row + at == next {
                *length += 1;
            }
            if at < *length {
                self.latest = (*first, *row, *length);
                return *row + at;
            }
        }
        self.stretches.insert(number, (next, 1));
        self.rows.push((next, number));
        self.latest = (number, next, 1);
        next
    }

    fn stretch(&self, number: u32) -> Option<u32> {
        let (first, (row, length)) = self.stretches.range(..=number).next_back()?;
        (number - first < *length).then(|| row + (number - first))
    }

    /// The id of a row that this list gave out.
    pub fn name(&self, row: u32) -> Cow<'_, str> {
        if let Some(name) = self.named.get(&row) {
            return Cow::Borrowed(name);
        }
        let at = self.rows.partition_point(|(first, _)| *first <= row);
        let (first, id) = self.rows[at - 1];
        Cow::Owned((id + (row - first)).to_string())
    }
}

/// `Some` if `id` is the one way of writing a number.
#[inline]
fn canonical(id: &str) -> Option<u32> {
    let bytes = id.as_bytes();
    let plain =
        bytes.len() <= 9 && bytes.iter().all(u8::is_ascii_digit) && (bytes.len() == 1 || bytes.first()? != &b'0');
    plain.then(|| id.parse().ok()).flatten()
}

/// Keys by number.
#[derive(Debug, Default)]
pub(super) struct Keys {
    numbers: HashMap<std::sync::Arc<str>, u32>,
    names: Vec<std::sync::Arc<str>>,
}

impl Keys {
    /// The number of `key`, new or known.
    pub fn of(&mut self, key: &str) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let (name, number): (std::sync::Arc<str>, _) = (key.into(), self.names.len() as u32);
        self.numbers.insert(name.clone(), number);
        self.names.push(name);
        number
    }

    /// The number of `key`, if the history mentions it.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// The key of a number that this list gave out.
    pub fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows<'a>(ids: &mut Ids, seen: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
        let mut count = 0;
        let mut row = |id| {
            let row = ids.of(id, count);
            count = count.max(row + 1);
            row
        };
        seen.into_iter().map(&mut row).collect()
    }

    #[test]
    fn an_id_keeps_its_row_however_it_is_written_and_in_whatever_order_it_comes() {
        let mut ids = Ids::default();
        let seen = ["900000", "0", "00", "order-7", "1", "900000", "07", "7", "", "4294967296", "+7"];
        assert_eq!(rows(&mut ids, seen), [0, 1, 2, 3, 4, 0, 5, 6, 7, 8, 9]);
        for (row, id) in ["900000", "0", "00", "order-7", "1", "07", "7", "", "4294967296", "+7"].iter().enumerate() {
            assert_eq!((ids.find(id), &*ids.name(row as u32)), (Some(row as u32), *id));
        }
        assert_eq!((ids.find("2"), ids.find("x"), ids.find("900001")), (None, None, None));
    }

    #[test]
    fn ids_in_order_are_one_stretch() {
        let mut ids = Ids::default();
        let names: Vec<String> = (0..20_000).chain(0..20_000).map(|n: u32| n.to_string()).collect();
        rows(&mut ids, names.iter().map(String::as_str));
        assert_eq!((ids.stretches.len(), ids.rows.len(), ids.others.len()), (1, 1, 0));
    }

    #[test]
    fn a_topic_partition_keeps_its_number_however_high() {
        let mut tps = Tps::default();
        assert!(tps.is_empty());
        // The last is the first that has no place in the table.
        let far = TABLE as i32;
        let names =
            [("a", 3), ("b", 3), ("a", 1 << 20), ("a", -1), ("a", 3), ("a", 1 << 20), ("a", 0), ("a", far), ("a", far)];
        let numbers: Vec<u32> =
            names.iter().map(|(topic, partition)| tps.of(At { topic, partition: *partition }).0).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 0, 2, 4, 5, 5]);
        assert_eq!(tps.name(Tp(2)).to_string(), "a/1048576");
        assert_eq!((tps.find(&TopicPartition::new("b", 0)), tps.of_topic("a").count()), (None, 5));
        assert!(!tps.is_empty());
    }

    proptest! {
        /// Against a plain map.
        #[test]
        fn ids_are_numbered_as_a_map_would(seen in prop::collection::vec((0..60u32, 0..8u8), 0..200)) {
            let (mut ids, mut known) = (Ids::default(), Vec::<String>::new());
            for (number, way) in seen {
                let id = if way == 0 { format!("x{number}") } else { number.to_string() };
                let expected = known.iter().position(|other| *other == id).unwrap_or_else(|| {
                    known.push(id.clone());
                    known.len() - 1
                });
                let next = known.len() as u32;
                let next = if expected as u32 + 1 == next && ids.find(&id).is_none() { next - 1 } else { next };
                prop_assert_eq!(ids.of(&id, next), expected as u32);
            }
            for (row, id) in known.iter().enumerate() {
                prop_assert_eq!(&*ids.name(row as u32), id.as_str());
                prop_assert_eq!(ids.find(id), Some(row as u32));
            }
        }
    }
}
