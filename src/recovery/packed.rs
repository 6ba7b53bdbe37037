//! A list of row numbers in about a byte each: what recovery is measured from is looked up in the ledger's own columns,
//! in the order of a list, and not written down a second time.

/// Numbers from one entry point to the next.
const BLOCK: usize = 256;

/// Row numbers in any order; near neighbours cost one byte, far ones up to five.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// Each number's distance to the one before it, the sign in the lowest bit, seven bits a byte, lowest first.
    bytes: Vec<u8>,
    /// Where each block begins, and the number before it.
    entries: Vec<(usize, u32)>,
    len: usize,
    latest: u32,
}

impl Packed {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, number: u32) {
        if self.len.is_multiple_of(BLOCK) {
            self.entries.push((self.bytes.len(), self.latest));
        }
        let distance = i64::from(number) - i64::from(self.latest);
        let mut rest = (distance << 1 ^ distance >> 63) as u64;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
        self.latest = number;
        self.len += 1;
    }

    /// Empty, with room for about what the other list takes: one that doubles as it grows leaves holes in the heap.
    pub fn like(other: &Self) -> Self {
        let room = other.bytes.len() + other.bytes.len() / 16;
        let bytes = Vec::with_capacity(room);
        Self { bytes, entries: Vec::with_capacity(other.entries.len()), len: 0, latest: 0 }
    }

    /// No more will come: gives back what growing took too much.
    pub fn finished(mut self) -> Self {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
        self
    }

    /// The numbers `first..last`.
    pub fn range(&self, first: usize, last: usize) -> Numbers<'_> {
        let last = last.min(self.len);
        let first = first.min(last);
        let (at, latest) = self.entries.get(first / BLOCK).copied().unwrap_or((self.bytes.len(), self.latest));
        let mut numbers = Numbers { bytes: &self.bytes[at..], latest, left: last - first / BLOCK * BLOCK };
        for _ in 0..first % BLOCK {
            numbers.next();
        }
        numbers
    }

    pub fn iter(&self) -> Numbers<'_> {
        self.range(0, self.len)
    }

    pub fn get(&self, at: usize) -> Option<u32> {
        self.range(at, at.saturating_add(1)).next()
    }

    /// How many from the beginning on are `before`, of a list in which they all stand before the others.
    pub fn partition_point(&self, before: impl Fn(u32) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&before) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Extend<u32> for Packed {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.push(number));
    }
}

impl FromIterator<u32> for Packed {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut packed = Self::default();
        packed.extend(numbers);
        packed.finished()
    }
}

/// Numbers of a list in order.
#[derive(Clone, Debug)]
pub(super) struct Numbers<'p> {
    bytes: &'p [u8],
    latest: u32,
    left: usize,
}

impl Iterator for Numbers<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let (mut rest, mut shift) = (0, 0);
        loop {
            let (byte, bytes) = self.bytes.split_first()?;
            self.bytes = bytes;
            rest |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let distance = (rest >> 1) as i64 ^ -((rest & 1) as i64);
        self.latest = (i64::from(self.latest) + distance) as u32;
        Some(self.latest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Numbers<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the numbers and wherever one begins to read: what was pushed comes back.
        #[test]
        fn a_packed_list_gives_back_what_was_pushed(
            numbers in prop::collection::vec(prop_oneof![0..300u32, any::<u32>(), Just(u32::MAX), Just(0)], 0..600),
            first in 0..700usize,
            last in 0..700usize,
        ) {
            let packed: Packed = numbers.iter().copied().collect();
            prop_assert_eq!(packed.len(), numbers.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), numbers.clone());
            let end = last.min(numbers.len());
            let part = &numbers[first.min(end)..end];
            prop_assert_eq!(packed.range(first, last).collect::<Vec<_>>(), part);
            prop_assert_eq!(packed.range(first, last).len(), part.len());
            prop_assert_eq!(packed.get(first), numbers.get(first).copied());
            let mut sorted = numbers;
            sorted.sort_unstable();
            let packed: Packed = sorted.iter().copied().collect();
            for bound in [0, 7, 150, 1 << 31, u32::MAX] {
                prop_assert_eq!(packed.partition_point(|n| n < bound), sorted.partition_point(|n| *n < bound));
            }
        }

        #[test]
        fn near_neighbours_cost_a_byte(steps in prop::collection::vec(-63..64i64, 0..500)) {
            let mut at = 1 << 20;
            let numbers = steps.iter().map(|step| { at += step; at as u32 });
            let packed: Packed = std::iter::once(1 << 20).chain(numbers).collect();
            prop_assert!(packed.bytes.len() <= 4 + steps.len());
        }
    }
}
