//! The array behind a topic partition's places: a row and its marks at each index, in two bytes while rows that stand
//! together were sent together, in four as soon as too many do not.

use super::column::Column;

/// How a record was seen at a place.
pub(super) const ACKED: u32 = 1 << 29;
pub(super) const FOUND: u32 = 1 << 30;
pub(super) const DELIVERED: u32 = 1 << 31;
const SEEN: u32 = ACKED | FOUND | DELIVERED;

/// Rows beyond it have no room beside the marks.
pub(super) const ROWS: u32 = ACKED;

/// No slot without a mark is ever written.
const EMPTY: u16 = 0;

/// Slots that share a base. Successive offsets of one topic partition are about as many rows apart as there are topic
/// partitions: with a hundred of them, 6400 rows in all.
const SHARING: usize = 64;

/// The marks of a narrow slot are the upper half's, at the same bits; below them the row's distance from the base.
const SHIFT: u32 = 16;
const NEAR: u32 = ROWS >> SHIFT;

/// A base lies this many rows before the first that was set in its slots.
const BEFORE: u32 = NEAR / 8;

/// No slot that shares it was set yet.
const OPEN: u32 = u32::MAX;

/// This many slots may find their rows too far away, and one in so many of all slots: beyond that all of them are wide.
const FAR: usize = 64;
const FAR_IN: usize = 32;

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// The slot was empty and is the row's now.
    New,
    /// The slot was the row's already; true: it had no such mark.
    Known(bool),
    /// Another row's, or the row is too far from the others: nothing was changed.
    Not,
}

/// Rows below [`ROWS`], with marks.
#[derive(Debug)]
pub(super) enum Slots {
    Narrow { bases: Vec<u32>, slots: Column<u16>, far: usize },
    Wide(Column<u32>),
}

impl Default for Slots {
    fn default() -> Self {
        Self::Narrow { bases: Vec::new(), slots: Column::default(), far: 0 }
    }
}

impl Slots {
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow { slots, .. } => slots.len(),
            Self::Wide(slots) => slots.len(),
        }
    }

    /// Marks the row at `at`, where the array grows as far as that.
    pub fn mark(&mut self, at: usize, row: u32, mark: u32) -> Marked {
        if let Self::Narrow { bases, slots, far } = self {
            while at >= slots.len() {
                if slots.len().is_multiple_of(SHARING) {
                    bases.push(OPEN);
                }
                slots.push(EMPTY);
            }
            let (base, slot) = (&mut bases[at / SHARING], slots.at(at));
            if *slot != EMPTY {
                let own = *base + u32::from(*slot) % NEAR == row;
                return if own { Marked::Known(add(slot, (mark >> SHIFT) as u16)) } else { Marked::Not };
            }
            if *base == OPEN {
                *base = row.saturating_sub(BEFORE);
            }
            if let Some(distance) = row.checked_sub(*base).filter(|distance| *distance < NEAR) {
                *slot = (distance | mark >> SHIFT) as u16;
                return Marked::New;
            }
            *far += 1;
            if *far <= FAR + slots.len() / FAR_IN {
                return Marked::Not;
            }
            self.widen();
        }
        let Self::Wide(slots) = self else { return Marked::Not };
        while at >= slots.len() {
            slots.push(0);
        }
        let slot = slots.at(at);
        match *slot {
            0 => {
                *slot = row | mark;
                Marked::New
            }
            known if known & !SEEN == row => Marked::Known(add(slot, mark)),
            _ => Marked::Not,
        }
    }

    fn widen(&mut self) {
        let mut wide = Column::default();
        for at in 0..self.len() {
            wide.push(match self {
                Self::Narrow { bases, slots, .. } if slots.get(at) != EMPTY => {
                    let slot = u32::from(slots.get(at));
                    (bases[at / SHARING] + slot % NEAR) | slot << SHIFT & SEEN
                }
                _ => 0,
            });
        }
        *self = Self::Wide(wide);
    }

    /// The row of a slot that a stretch gave out, by its index.
    #[inline]
    pub fn row(&self, at: usize, slot: u32) -> u32 {
        match self {
            Self::Narrow { bases, .. } => bases[at / SHARING] + slot,
            Self::Wide(_) => slot,
        }
    }

    /// From `at` on, at least one and as many as stand together, but none from `end` on. `at` is less than both ends.
    pub fn stretch(&self, at: usize, end: usize) -> Stretch<'_> {
        match self {
            Self::Narrow { slots, .. } => Stretch::Narrow(slots.stretch(at, end).iter()),
            Self::Wide(slots) => Stretch::Wide(slots.stretch(at, end).iter()),
        }
    }
}

/// True: it was not there before.
pub(super) fn add<T: Copy + PartialEq + std::ops::BitOr<Output = T>>(marks: &mut T, mark: T) -> bool {
    let before = std::mem::replace(marks, *marks | mark);
    before != *marks
}

/// Slots that stand together.
#[derive(Debug)]
pub(super) enum Stretch<'s> {
    Narrow(std::slice::Iter<'s, u16>),
    Wide(std::slice::Iter<'s, u32>),
}

impl Default for Stretch<'_> {
    fn default() -> Self {
        Self::Wide([].iter())
    }
}

impl Stretch<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(slots) => slots.len(),
            Self::Wide(slots) => slots.len(),
        }
    }

    /// The next with any of the marks, without them, and how many are left after it.
    #[inline]
    pub fn next(&mut self, marks: u32) -> Option<(usize, u32)> {
        match self {
            Self::Narrow(slots) => {
                let marks = (marks >> SHIFT) as u16;
                let slot = slots.find(|slot| **slot & marks != 0)?;
                Some((slots.len(), u32::from(*slot) % NEAR))
            }
            Self::Wide(slots) => {
                let slot = slots.find(|slot| **slot & marks != 0)?;
                Some((slots.len(), slot & !SEEN))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn narrow(slots: &Slots) -> bool {
        matches!(slots, Slots::Narrow { .. })
    }

    /// Index, row and marks of all that is set.
    fn all(slots: &Slots) -> Vec<(usize, u32, u32)> {
        let mut found = Vec::new();
        for mark in [ACKED, FOUND, DELIVERED] {
            let mut at = 0;
            while at < slots.len() {
                let mut stretch = slots.stretch(at, slots.len());
                at += stretch.len();
                while let Some((left, slot)) = stretch.next(mark) {
                    found.push((at - left - 1, slots.row(at - left - 1, slot), mark));
                }
            }
        }
        found.sort_unstable();
        found
    }

    proptest! {
        /// Rows near and far, in any order: what a slot took it gives back, and only another's or a far one it refuses.
        #[test]
        fn slots_give_back_what_they_took(marks in prop::collection::vec((
            prop_oneof![0..200usize, 4_000..4_200usize],
            prop_oneof![0..9_000u32, ROWS - 9_000..ROWS, 0..ROWS],
            prop::sample::select(&[ACKED, FOUND, DELIVERED][..]),
        ), 0..400)) {
            let (mut slots, mut known) = (Slots::default(), std::collections::BTreeMap::<usize, (u32, u32)>::new());
            for (at, row, mark) in marks {
                let expected = known.get(&at).copied();
                match (slots.mark(at, row, mark), expected) {
                    (Marked::New, None) => {
                        known.insert(at, (row, mark));
                    }
                    (Marked::Known(fresh), Some((own, marks))) => {
                        prop_assert_eq!((own, fresh), (row, marks & mark == 0));
                        known.insert(at, (row, marks | mark));
                    }
                    (Marked::Not, Some((own, _))) => prop_assert_ne!(own, row),
                    (Marked::Not, None) => prop_assert!(narrow(&slots), "a wide slot takes every row"),
                    (marked, expected) => prop_assert!(false, "{marked:?}, and there was {expected:?}"),
                }
                prop_assert!(slots.len() > at);
            }
            let apart = |(at, (row, marks)): (&usize, &(u32, u32))| {
                let of = |mark| (marks & mark != 0).then_some((*at, *row, mark));
                [ACKED, FOUND, DELIVERED].map(of)
            };
            let expected: Vec<_> = known.iter().flat_map(apart).flatten().collect();
            prop_assert_eq!(all(&slots), expected);
        }
    }

    #[test]
    fn rows_in_order_are_narrow_and_rows_without_order_wide() {
        let mut ordered = Slots::default();
        for at in 0..5_000 {
            assert_eq!(ordered.mark(at, at as u32 * 100, FOUND), Marked::New);
        }
        assert!(narrow(&ordered));
        let mut scattered = Slots::default();
        let refused = (0..5_000).filter(|at| scattered.mark(*at, *at as u32 * 7_919 % 500_009, FOUND) == Marked::Not);
        assert!((FAR..=FAR + 5_000 / FAR_IN).contains(&refused.count()));
        assert!(!narrow(&scattered));
    }

    #[test]
    fn a_base_lies_before_its_first_row_and_near_reaches_so_far() {
        let near = |row: u32| {
            let mut slots = Slots::default();
            assert_eq!(slots.mark(0, 10_000, ACKED), Marked::New);
            slots.mark(1, row, ACKED) == Marked::New
        };
        let first = 10_000 - BEFORE;
        assert_eq!([first - 1, first, first + NEAR - 1, first + NEAR].map(near), [false, true, true, false]);
    }
}
