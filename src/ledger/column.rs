//! One number a row in as few bytes as it mostly needs, and a side table for the few that need more.

use std::collections::HashMap;

use crate::clock::Nanos;

const NONE: u32 = u32::MAX;
/// The value is in the side table.
const WIDE: u32 = u32::MAX - 1;

/// Values of a chunk of a column.
const CHUNK: usize = 1 << 12;

/// A growing array that is never moved: one that doubles leaves as much again behind it, or before it.
#[derive(Debug)]
pub(super) struct Column<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    len: usize,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Column<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len == CHUNK * self.chunks.len() {
            self.chunks.push(Box::new([value; CHUNK]));
        }
        let at = self.len;
        self.len += 1;
        *self.at(at) = value;
    }

    #[inline]
    pub fn get(&self, at: usize) -> T {
        self.chunks[at / CHUNK][at % CHUNK]
    }

    #[inline]
    pub fn at(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    /// From `at` on, at least one and as many as stand together, but none from `end` on. `at` is less than both ends.
    pub fn stretch(&self, at: usize, end: usize) -> &[T] {
        let last = CHUNK.min(end - at / CHUNK * CHUNK);
        &self.chunks[at / CHUNK][at % CHUNK..last]
    }
}

/// Rows that share a base.
const SHARING: usize = 256;

/// A base lies this far before the first time that was set in its rows, and the widest narrow time is 4.29 s after it.
const BEFORE: Nanos = 1 << 30;

/// Times, to the nanosecond. Records are numbered as they were sent, so a row's neighbours were sent, acknowledged and
/// served at about the same times.
#[derive(Debug, Default)]
pub(super) struct Times {
    bases: Vec<Nanos>,
    after: Column<u32>,
    wide: HashMap<u32, Nanos>,
}

impl Times {
    /// A row without a time.
    pub fn push(&mut self) {
        if self.after.len().is_multiple_of(SHARING) {
            self.bases.push(Nanos::MAX);
        }
        self.after.push(NONE);
    }

    #[inline]
    pub fn get(&self, row: u32) -> Option<Nanos> {
        match self.after.get(row as usize) {
            NONE => None,
            WIDE => self.wide(row),
            after => Some(self.bases[row as usize / SHARING] + Nanos::from(after)),
        }
    }

    /// Apart, so that the rest is small enough to stand where it is asked for.
    #[cold]
    fn wide(&self, row: u32) -> Option<Nanos> {
        self.wide.get(&row).copied()
    }

    pub fn set(&mut self, row: u32, t: Nanos) {
        let base = &mut self.bases[row as usize / SHARING];
        if *base == Nanos::MAX {
            *base = t.saturating_sub(BEFORE);
        }
        let after = self.after.at(row as usize);
        match t.checked_sub(*base).and_then(|after| u32::try_from(after).ok()).filter(|after| *after < WIDE) {
            Some(narrow) => *after = narrow,
            None => {
                *after = WIDE;
                self.wide.insert(row, t);
            }
        }
    }
}

/// Numbers given out in order: two bytes a row until there are more than two bytes can tell apart.
#[derive(Debug)]
pub(super) enum Names {
    Few(Column<u16>),
    Many(Column<u32>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Few(Column::default())
    }
}

impl Names {
    /// A row without one.
    pub fn push(&mut self) {
        match self {
            Self::Few(names) => names.push(u16::MAX),
            Self::Many(names) => names.push(NONE),
        }
    }

    #[inline]
    pub fn get(&self, row: u32) -> Option<u32> {
        match self {
            Self::Few(names) => Some(names.get(row as usize)).filter(|name| *name < u16::MAX).map(u32::from),
            Self::Many(names) => Some(names.get(row as usize)).filter(|name| *name < NONE),
        }
    }

    pub fn set(&mut self, row: u32, name: u32) {
        match (self, u16::try_from(name)) {
            (Self::Few(names), Ok(few)) if few < u16::MAX => *names.at(row as usize) = few,
            (Self::Many(names), _) => *names.at(row as usize) = name,
            (few, _) => {
                few.widen();
                few.set(row, name);
            }
        }
    }

    fn widen(&mut self) {
        if let Self::Few(names) = self {
            let mut wide = Column::default();
            for name in (0..names.len()).map(|row| names.get(row)) {
                wide.push(if name == u16::MAX { NONE } else { u32::from(name) });
            }
            *self = Self::Many(wide);
        }
    }
}

/// A number a row that is nearly always the same for all: no memory until it is not.
#[derive(Debug)]
pub(super) enum Shared {
    /// Of every row that has one.
    All(Option<u16>),
    Each(Vec<u16>),
}

impl Default for Shared {
    fn default() -> Self {
        Self::All(None)
    }
}

impl Shared {
    /// The number of a row that has one.
    #[inline]
    pub fn get(&self, row: u32) -> Option<u16> {
        match self {
            Self::All(number) => *number,
            Self::Each(numbers) => numbers.get(row as usize).copied(),
        }
    }

    /// Sets it for a row that has none yet, of `rows` in all.
    pub fn set(&mut self, row: u32, number: u16, rows: usize) {
        match self {
            Self::All(all) if all.is_none_or(|all| all == number) => *all = Some(number),
            Self::All(all) => {
                let mut numbers = vec![all.unwrap_or(number); rows];
                numbers[row as usize] = number;
                *self = Self::Each(numbers);
            }
            Self::Each(numbers) => {
                if numbers.len() < rows {
                    numbers.resize(rows, number);
                }
                numbers[row as usize] = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is set, in whatever order, near or far, comes back.
        #[test]
        fn columns_give_back_what_was_set(
            sets in prop::collection::vec((0..200u32, prop_oneof![
                0..10_000_000_000u64, any::<u64>(), Just(u64::MAX), u64::from(u32::MAX) - 3..u64::from(u32::MAX) + 3,
            ]), 1..300),
        ) {
            let (mut times, mut names) = (Times::default(), Names::default());
            for _ in 0..200 {
                times.push();
                names.push();
            }
            let mut known = HashMap::new();
            for (row, value) in sets {
                times.set(row, value);
                names.set(row, (value % 70_000) as u32);
                known.insert(row, value);
            }
            for row in 0..200 {
                let value = known.get(&row).copied();
                prop_assert_eq!(times.get(row), value);
                prop_assert_eq!(names.get(row), value.map(|value| (value % 70_000) as u32));
            }
        }

        #[test]
        fn a_shared_number_is_each_row_s_own_as_soon_as_two_differ(sets in prop::collection::vec(0..3u16, 1..50)) {
            let mut shared = Shared::default();
            for (row, number) in sets.iter().enumerate() {
                shared.set(row as u32, *number, row + 1);
            }
            for (row, number) in sets.iter().enumerate() {
                prop_assert_eq!(shared.get(row as u32), Some(*number));
            }
        }
    }

    #[test]
    fn a_stretch_ends_with_its_chunk_and_before_the_end() {
        let mut column = Column::default();
        (0..CHUNK as u32 * 2 + 10).for_each(|number| column.push(number));
        let stretch = |at, end| column.stretch(at, end).to_vec();
        assert_eq!(stretch(3, 7), [3, 4, 5, 6]);
        let last = CHUNK as u32 - 1;
        assert_eq!(stretch(CHUNK - 2, CHUNK * 2), [last - 1, last]);
        assert_eq!(stretch(CHUNK, CHUNK + 2), [last + 1, last + 2]);
        assert_eq!(stretch(CHUNK * 2, CHUNK * 2 + 10).len(), 10);
        assert_eq!(stretch(CHUNK + 5, CHUNK * 2 + 10).len(), CHUNK - 5);
    }

    #[test]
    fn what_is_near_needs_no_side_table_and_what_is_far_does() {
        let mut times = Times::default();
        for row in 0..600u32 {
            times.push();
            times.set(row, 5_000_000_000_000 + u64::from(row) * 1_000_000);
        }
        assert!(times.wide.is_empty());
        // A second before the first of its neighbours is near, two are not; three after it are near, and four are not.
        let near = |after: i64| {
            let mut times = Times::default();
            times.push();
            times.push();
            times.set(0, 1 << 40);
            times.set(1, (1_u64 << 40).saturating_add_signed(after * 1_000_000_000));
            times.wide.is_empty()
        };
        assert_eq!([-2, -1, 3, 4].map(near), [false, true, true, false]);
        let mut names = Names::default();
        names.push();
        names.set(0, u32::from(u16::MAX));
        assert_eq!(names.get(0), Some(u32::from(u16::MAX)), "the name that two bytes would take for none");
    }
}
