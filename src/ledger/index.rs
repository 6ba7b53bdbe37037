//! Dense numbers for ids and topic partitions, so that the ledger's rows carry no strings of their own.

use std::collections::HashMap;

use crate::plan::TopicPartition;

/// A topic partition by its number in [`Tps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tp(u16);

/// The topic partitions of a history, in the order of their first mention.
#[derive(Clone, Debug, Default)]
pub struct Tps(Vec<TopicPartition>);

impl Tps {
    /// The number of `tp`, new or known. A history has tens of them: a scan beats a hash of the topic's name.
    pub fn of(&mut self, tp: &TopicPartition) -> Tp {
        let known = self.find(tp);
        known.unwrap_or_else(|| {
            self.0.push(tp.clone());
            Tp((self.0.len() - 1) as u16)
        })
    }

    /// The number of `tp`, if the history mentions it.
    pub fn find(&self, tp: &TopicPartition) -> Option<Tp> {
        let at = self.0.iter().position(|known| known.partition == tp.partition && known.topic == tp.topic);
        at.map(|at| Tp(at as u16))
    }

    /// The topic partition of a number that this list gave out.
    pub fn name(&self, tp: Tp) -> &TopicPartition {
        &self.0[tp.0 as usize]
    }

    /// All of one topic.
    pub fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = Tp> + 'a {
        (0..self.0.len()).filter(move |at| &*self.0[*at].topic == topic).map(|at| Tp(at as u16))
    }
}

/// Row numbers of record ids. The workload's ids are dense integers and cost an array access; others are hashed.
#[derive(Debug, Default)]
pub struct Ids<'h> {
    dense: Vec<u32>,
    sparse: HashMap<&'h str, u32>,
}

const NONE: u32 = u32::MAX;

/// An id beyond this is hashed: the array stays under 256 MB whatever a foreign application makes up.
const DENSE: usize = 1 << 26;

impl<'h> Ids<'h> {
    /// The row of `id`, or `next` when it is new.
    pub fn of(&mut self, id: &'h str, next: usize) -> u32 {
        let next = next as u32;
        match canonical(id) {
            Some(number) if number < DENSE && number < 1024 + 4 * (self.dense.len() + 1) => {
                if number >= self.dense.len() {
                    self.dense.resize((number + 1).next_power_of_two(), NONE);
                }
                // It may have come before the array had grown this far.
                if self.dense[number] == NONE {
                    self.dense[number] = self.sparse.get(id).copied().unwrap_or(next);
                }
                self.dense[number]
            }
            _ => *self.sparse.entry(id).or_insert(next),
        }
    }
}

/// `Some` if `id` is the one way of writing a number.
fn canonical(id: &str) -> Option<usize> {
    let bytes = id.as_bytes();
    let plain =
        bytes.len() <= 9 && bytes.iter().all(u8::is_ascii_digit) && (bytes.len() == 1 || bytes.first()? != &b'0');
    plain.then(|| id.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_row_however_it_is_written_and_in_whatever_order_it_comes() {
        let mut ids = Ids::default();
        let seen = ["900000", "0", "00", "order-7", "1", "900000", "07", "7"];
        let mut rows = Vec::new();
        let mut count = 0;
        for id in seen {
            let row = ids.of(id, count);
            count = count.max(row as usize + 1);
            rows.push(row);
        }
        assert_eq!(rows, [0, 1, 2, 3, 4, 0, 5, 6]);
    }

    #[test]
    fn an_id_that_came_before_the_array_grew_is_still_known() {
        let names: Vec<String> = (0..20_000).rev().chain(0..20_000).map(|n: u32| n.to_string()).collect();
        let mut ids = Ids::default();
        let mut count = 0;
        for name in &names {
            count = count.max(ids.of(name, count) as usize + 1);
        }
        assert_eq!(count, 20_000);
    }
}
