//! Sorts what is nearly sorted, and holds only the disorder: rows are numbered as they were sent, and most of what
//! happens to them happens in nearly that order.

/// Items that are sorted together.
const BLOCK: usize = 1 << 12;

/// Items from the least to the greatest. As soon as no later one can come before it, one is given out.
#[derive(Clone, Debug)]
pub(super) struct InOrder<I: Iterator> {
    items: I,
    /// Blocks that were read.
    read: usize,
    /// Of each block, the least item in it and all later ones.
    firsts: Vec<I::Item>,
    /// Sorted, the least last.
    held: Vec<I::Item>,
}

impl<I: Iterator<Item: Ord + Copy> + Clone> InOrder<I> {
    /// Goes through all of them once.
    pub fn of(items: I) -> Self {
        let mut all = items.clone();
        let mut firsts: Vec<I::Item> = std::iter::from_fn(|| all.by_ref().take(BLOCK).min()).collect();
        for at in (1..firsts.len()).rev() {
            firsts[at - 1] = firsts[at - 1].min(firsts[at]);
        }
        Self { items, read: 0, firsts, held: Vec::new() }
    }
}

impl<I: Iterator<Item: Ord + Copy>> Iterator for InOrder<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        loop {
            match (self.held.last(), self.firsts.get(self.read)) {
                (Some(least), Some(coming)) if least <= coming => return self.held.pop(),
                (_, None) => return self.held.pop(),
                _ => {}
            }
            self.held.extend(self.items.by_ref().take(BLOCK));
            self.held.sort_unstable_by(|a, b| b.cmp(a));
            self.read += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_come_in_order_however_far_they_are_out_of_it(
            times in prop::collection::vec(prop::option::of(prop_oneof![0..20u64, any::<u64>()]), 0..60),
            repeat in 1..200usize,
        ) {
            // More than a block of them, each stretch later than the one before, or not.
            let all: Vec<u64> = (0..repeat * 64)
                .filter_map(|at| times.get(at % 64).copied().flatten().map(|t| t.wrapping_add(at as u64 / 3)))
                .collect();
            let found: Vec<u64> = InOrder::of(all.iter().copied()).collect();
            let mut expected = all;
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn only_the_disorder_is_held() {
        let most = |distance: usize| {
            // Each stretch of so many backwards.
            let mut ordered =
                InOrder::of((0..20 * BLOCK).map(move |at| at / distance * distance + distance - 1 - at % distance));
            let mut most = 0;
            while ordered.next().is_some() {
                most = most.max(ordered.held.len());
            }
            most
        };
        assert!(most(1) <= BLOCK && most(100) <= BLOCK + 100 && most(10 * BLOCK) >= 9 * BLOCK);
    }
}
