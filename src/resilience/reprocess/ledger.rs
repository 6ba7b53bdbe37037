//! Which offsets of one topic partition are reprocessed, as a committed offset and its metadata.

use std::collections::BTreeMap;

/// What an offset's metadata may hold: brokers allow 4096 bytes unless told otherwise.
const ROOM: usize = 4_000;
/// What the metadata begins with; a version.
const MARK: &str = "seaworthy1:";

/// Everything below `base`, and ranges above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    base: i64,
    /// Start to end (exclusive); disjoint, not touching each other or the base.
    above: BTreeMap<i64, i64>,
}

impl Done {
    /// Reads what [`commit`](Self::commit) wrote. Metadata of anybody else's counts as none.
    pub fn read(base: i64, metadata: &str) -> Self {
        let mut done = Self { base, above: BTreeMap::new() };
        let Some(numbers) = metadata.strip_prefix(MARK) else { return done };
        let numbers: Option<Vec<i64>> = numbers.split(',').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
        let mut at = base;
        for pair in numbers.unwrap_or_default().chunks_exact(2) {
            let start = at + pair[0];
            at = start + pair[1];
            done.mark(start, at);
        }
        done
    }

    /// The offset to commit, and its metadata. `None`: there are too many ranges for it.
    pub fn commit(&self) -> Option<(i64, String)> {
        let mut at = self.base;
        let mut numbers = Vec::new();
        for (start, end) in &self.above {
            numbers.extend([(start - at).to_string(), (end - start).to_string()]);
            at = *end;
        }
        let text = if numbers.is_empty() { String::new() } else { format!("{MARK}{}", numbers.join(",")) };
        (text.len() <= ROOM).then_some((self.base, text))
    }

    pub fn contains(&self, offset: i64) -> bool {
        offset < self.base || self.above.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Adds `start..end`.
    pub fn mark(&mut self, start: i64, end: i64) {
        let (mut start, mut end) = (start.max(self.base), end);
        if start >= end {
            return;
        }
        // Whatever it overlaps or touches becomes part of it.
        let met: Vec<i64> = self.above.range(..=end).filter(|(_, e)| **e >= start).map(|(s, _)| *s).collect();
        for first in met {
            if let Some(last) = self.above.remove(&first) {
                start = start.min(first);
                end = end.max(last);
            }
        }
        if start <= self.base {
            self.base = end;
        } else {
            self.above.insert(start, end);
        }
    }

    /// Nothing is left below `low`.
    pub fn begins_at(&mut self, low: i64) {
        self.mark(self.base, low);
    }

    pub fn base(&self) -> i64 {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metadata_of_others_counts_as_none() {
        for text in ["", "x", "seaworthy1:", "seaworthy1:1", "seaworthy1:0,1", "seaworthy1:-1,2", "seaworthy1:1,a"] {
            assert_eq!(Done::read(5, text), Done { base: 5, above: BTreeMap::new() }, "{text}");
        }
        assert!(Done::read(5, "seaworthy1:2,3").contains(9));
    }

    #[test]
    fn too_many_pieces_are_refused_and_not_cut() {
        let mut done = Done::default();
        (1..1_900).step_by(2).for_each(|offset| done.mark(offset, offset + 1));
        let (base, metadata) = done.commit().expect("950 pieces find room");
        assert_eq!(Done::read(base, &metadata), done);
        (1_901..2_100).step_by(2).for_each(|offset| done.mark(offset, offset + 1));
        assert_eq!(done.commit(), None);
    }

    proptest! {
        #[test]
        fn it_holds_exactly_what_was_marked_also_after_a_round_trip(
            marks in prop::collection::vec((0i64..200, 1i64..20), 0..30),
            low in 0i64..100,
        ) {
            let mut done = Done::default();
            let mut model = BTreeSet::new();
            for (start, length) in marks {
                done.mark(start, start + length);
                model.extend(start..start + length);
            }
            done.begins_at(low);
            model.extend(0..low);
            let (base, metadata) = done.commit().unwrap();
            let read = Done::read(base, &metadata);
            prop_assert_eq!(&read, &done);
            for offset in 0..230 {
                prop_assert_eq!(read.contains(offset), model.contains(&offset), "{}", offset);
            }
            let first_missing = (0..).find(|offset| !model.contains(offset)).unwrap();
            prop_assert_eq!(read.base(), first_missing);
        }
    }
}
