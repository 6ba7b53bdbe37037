//! Who stands at which offset: an array for each topic partition, two bytes an offset, in log order from the start.
//!
//! Topics fill up without holes, or nearly (a transaction's end takes an offset), so that the offset itself is the index.
//! What does not fit stands in a map beside it: a second record at one offset, or an offset far from the others.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

use super::Place;
use super::index::Tp;
use super::slots::{Marked, ROWS, Slots, Stretch, add};

/// How far an array may grow beyond twice what stands in it.
const GAP: usize = 1 << 16;

#[derive(Debug, Default)]
struct Shelf {
    /// Offset of the first slot.
    base: i64,
    /// Row and marks.
    slots: Slots,
    filled: usize,
    others: BTreeMap<(i64, u32), u32>,
}

/// The places of some topics.
#[derive(Debug, Default)]
pub(super) struct Board(Vec<Shelf>);

impl Board {
    /// Notes that `place` was seen like this; true: for the first time.
    pub fn mark(&mut self, place: Place, mark: u32) -> bool {
        let at = place.tp.0 as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, Shelf::default);
        }
        self.0[at].mark(place.offset, place.row, mark)
    }

    /// Places with any of `marks` in `from..=to`, by offset and row.
    pub fn between(&self, tp: Tp, from: i64, to: i64, marks: u32) -> Places<'_> {
        let mut places = Places::default();
        let Some(shelf) = self.0.get(tp.0 as usize).filter(|_| from <= to) else { return places };
        let end = shelf.slots.len() as i64;
        let first = from.saturating_sub(shelf.base).clamp(0, end);
        let last = to.saturating_sub(shelf.base).saturating_add(1).clamp(first, end);
        let others = (!shelf.others.is_empty()).then(|| shelf.others.range((from, 0)..=(to, u32::MAX)));
        places =
            Places { tp: tp.0, marks, shelf: Some(shelf), at: first as usize, end: last as usize, others, ..places };
        places.step_slot();
        places.step_other();
        places
    }

    /// Places of one topic partition.
    pub fn of(&self, tp: Tp, marks: u32) -> Places<'_> {
        self.between(tp, i64::MIN, i64::MAX, marks)
    }

    /// All places, by topic partition, offset and row.
    pub fn all(&self, marks: u32) -> impl Iterator<Item = Place> {
        self.tps().flat_map(move |tp| self.of(tp, marks))
    }

    /// Topic partitions that something stands in, and perhaps others.
    pub fn tps(&self) -> impl Iterator<Item = Tp> + use<> {
        (0..self.0.len() as u32).map(Tp)
    }

    /// Offsets that may hold more than one row: only a place that the map holds can share its offset.
    pub fn shared(&self) -> impl Iterator<Item = (Tp, i64)> {
        self.tps().flat_map(|tp| self.0[tp.0 as usize].others.keys().map(move |(offset, _)| (tp, *offset)))
    }
}

impl Shelf {
    fn mark(&mut self, offset: i64, row: u32, mark: u32) -> bool {
        // It may have come before the array had grown this far.
        if let Some(marks) = self.others.get_mut(&(offset, row)) {
            return add(marks, mark);
        }
        if self.filled == 0 && offset >= 0 {
            self.base = offset - offset % GAP as i64;
        }
        let at = usize::try_from(offset.saturating_sub(self.base)).ok();
        if let Some(at) = at.filter(|at| *at < GAP + 2 * self.filled && offset >= 0 && row < ROWS) {
            match self.slots.mark(at, row, mark) {
                Marked::New => {
                    self.filled += 1;
                    return true;
                }
                Marked::Known(fresh) => return fresh,
                Marked::Not => {}
            }
        }
        self.others.insert((offset, row), mark);
        true
    }
}

/// Places of one topic partition in order.
#[derive(Debug, Default)]
pub(super) struct Places<'b> {
    tp: u32,
    marks: u32,
    shelf: Option<&'b Shelf>,
    /// The slots beyond `slots`.
    at: usize,
    end: usize,
    slots: Stretch<'b>,
    others: Option<Range<'b, (i64, u32), u32>>,
    slot: Option<(i64, u32)>,
    other: Option<(i64, u32)>,
}

impl Places<'_> {
    fn step_slot(&mut self) {
        self.slot = None;
        let Some(shelf) = self.shelf else { return };
        loop {
            if let Some((left, slot)) = self.slots.next(self.marks) {
                let index = self.at - left - 1;
                self.slot = Some((shelf.base + index as i64, shelf.slots.row(index, slot)));
                return;
            }
            if self.at >= self.end {
                return;
            }
            self.slots = shelf.slots.stretch(self.at, self.end);
            self.at += self.slots.len();
        }
    }

    fn step_other(&mut self) {
        let next = self.others.as_mut().and_then(|others| others.find(|(_, marks)| **marks & self.marks != 0));
        self.other = next.map(|(place, _)| *place);
    }
}

impl Iterator for Places<'_> {
    type Item = Place;

    #[inline]
    fn next(&mut self) -> Option<Place> {
        let slot = self.other.is_none() || self.slot.is_some() && self.slot < self.other;
        let (offset, row) = if slot { self.slot? } else { self.other? };
        if slot {
            self.step_slot()
        } else {
            self.step_other()
        }
        Some(Place { tp: Tp(self.tp), offset, row })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::slots::{ACKED, DELIVERED, FOUND};
    use super::*;

    proptest! {
        /// Against a plain map, with offsets near, far, shared and out of order.
        #[test]
        fn places_are_kept_as_a_map_would(
            marks in prop::collection::vec((
                0..2u32,
                prop_oneof![0..40i64, 60_000..140_000i64, Just(-1), Just(i64::MAX), Just(i64::MIN), any::<i64>()],
                prop_oneof![0..4u32, Just(ROWS), Just(u32::MAX)],
                prop::sample::select(&[ACKED, FOUND, DELIVERED][..]),
            ), 0..200),
            from in prop_oneof![-2..50i64, any::<i64>()],
            to in prop_oneof![-2..50i64, any::<i64>()],
        ) {
            let (mut board, mut known) = (Board::default(), BTreeMap::<Place, u32>::new());
            for (tp, offset, row, mark) in marks {
                let place = Place { tp: Tp(tp), offset, row };
                let fresh = known.get(&place).is_none_or(|marks| marks & mark == 0);
                *known.entry(place).or_default() |= mark;
                prop_assert_eq!(board.mark(place, mark), fresh);
            }
            for wanted in [ACKED, FOUND, DELIVERED, FOUND | DELIVERED] {
                let expected: Vec<Place> =
                    known.iter().filter(|(_, marks)| **marks & wanted != 0).map(|(place, _)| *place).collect();
                prop_assert_eq!(board.all(wanted).collect::<Vec<_>>(), expected.clone());
                let part: Vec<Place> = board.between(Tp(1), from, to, wanted).collect();
                let within = |place: &Place| place.tp == Tp(1) && (from..=to).contains(&place.offset);
                prop_assert_eq!(part, expected.into_iter().filter(within).collect::<Vec<_>>());
            }
            for (one, other) in known.keys().zip(known.keys().skip(1)) {
                if (one.tp, one.offset) == (other.tp, other.offset) {
                    prop_assert!(board.shared().any(|shared| shared == (one.tp, one.offset)));
                }
            }
        }
    }
}
