//! Sequence numbers, a byte a row. Those of one key count up from row to row, so a row keeps how far it is beyond the
//! latest multiple of [`STEP`], and each key the rows from which on it was a higher one.

use std::collections::HashMap;

use super::column::Column;

const NONE: u8 = u8::MAX;
/// The number is in the side table.
const WIDE: u8 = u8::MAX - 1;

/// What a row keeps is less than this.
const STEP: u64 = WIDE as u64;

#[derive(Debug, Default)]
pub(super) struct Seqs {
    beyond: Column<u8>,
    /// Of each key, with those without one at the front: the place of its steps plus 1; 0, or beyond the end: none.
    keys: Vec<u32>,
    /// In rising order: the first row of each step and which multiple it is.
    steps: Vec<Vec<(u32, u32)>>,
    /// One more than the highest row with a number.
    rows: u32,
    wide: HashMap<u32, u64>,
}

impl Seqs {
    /// A row without a number.
    pub fn push(&mut self) {
        self.beyond.push(NONE);
    }

    #[inline]
    pub fn has(&self, row: u32) -> bool {
        self.beyond.get(row as usize) != NONE
    }

    /// The number of a row, whose key must be the one with which it was set.
    #[inline]
    pub fn get(&self, row: u32, key: Option<u32>) -> Option<u64> {
        match self.beyond.get(row as usize) {
            NONE => None,
            WIDE => self.wide.get(&row).copied(),
            beyond => Some(u64::from(self.multiple(row, key)) * STEP + u64::from(beyond)),
        }
    }

    #[inline]
    fn multiple(&self, row: u32, key: Option<u32>) -> u32 {
        let steps = self.keys.get(place(key)).and_then(|at| self.steps.get(at.checked_sub(1)? as usize));
        let Some(steps) = steps else { return 0 };
        // While a history is read it is nearly always the last.
        if let Some((first, multiple)) = steps.last()
            && *first <= row
        {
            return *multiple;
        }
        let before = steps.partition_point(|(first, _)| *first <= row);
        before.checked_sub(1).map_or(0, |latest| steps[latest].1)
    }

    /// Sets it.
    pub fn set(&mut self, row: u32, key: Option<u32>, seq: u64) {
        // A step from here on changes no row that has a number already.
        let latest = row >= self.rows;
        self.rows = self.rows.max(row + 1);
        let beyond = self.beyond.at(row as usize);
        *beyond = (seq % STEP) as u8;
        match u32::try_from(seq / STEP) {
            Ok(multiple) if self.multiple(row, key) == multiple => {}
            Ok(multiple) if latest => self.step(row, key, multiple),
            _ => {
                *self.beyond.at(row as usize) = WIDE;
                self.wide.insert(row, seq);
            }
        }
    }

    fn step(&mut self, row: u32, key: Option<u32>, multiple: u32) {
        let place = place(key);
        if place >= self.keys.len() {
            self.keys.resize(place + 1, 0);
        }
        if self.keys[place] == 0 {
            self.steps.push(Vec::new());
            self.keys[place] = self.steps.len() as u32;
        }
        self.steps[self.keys[place] as usize - 1].push((row, multiple));
    }
}

fn place(key: Option<u32>) -> usize {
    key.map_or(0, |key| key as usize + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is set for whichever keys, in whatever order and again, comes back.
        #[test]
        fn sequence_numbers_come_back(sets in prop::collection::vec((
            0..300u32,
            prop::option::weighted(0.8, 0..4u32),
            prop_oneof![
                4 => 0..1_200u64,
                1 => STEP - 2..STEP + 2,
                1 => any::<u64>(),
                1 => STEP * u64::from(u32::MAX) - 2..STEP * u64::from(u32::MAX) + 2 * STEP,
            ],
        ), 0..400), ordered: bool) {
            let mut sets = sets;
            if ordered {
                sets.sort_by_key(|(row, ..)| *row);
            }
            let (mut seqs, mut known) = (Seqs::default(), HashMap::new());
            (0..300).for_each(|_| seqs.push());
            for (row, key, seq) in sets {
                seqs.set(row, key, seq);
                known.insert(row, (key, seq));
                for (row, (key, seq)) in &known {
                    prop_assert_eq!(seqs.get(*row, *key), Some(*seq));
                }
            }
            for row in (0..300).filter(|row| !known.contains_key(row)) {
                prop_assert_eq!(seqs.get(row, None), None);
            }
        }
    }

    #[test]
    fn numbers_that_count_up_need_a_step_in_so_many_and_no_side_table() {
        let mut seqs = Seqs::default();
        for row in 0..3_000u32 {
            seqs.push();
            seqs.set(row, Some(row % 3), u64::from(row / 3));
        }
        assert!(seqs.wide.is_empty());
        let steps: Vec<usize> = seqs.steps.iter().map(Vec::len).collect();
        assert_eq!(steps, [999 / STEP as usize; 3]);
        // A row from before the latest, within its step or not.
        seqs.set(2_000, Some(2_000 % 3), 700);
        assert!(!seqs.wide.contains_key(&2_000));
        seqs.set(2_000, Some(2_000 % 3), 900);
        assert_eq!((seqs.wide.len(), seqs.get(2_000, Some(2))), (1, Some(900)));
    }

    #[test]
    fn keys_with_few_records_cost_nothing_each() {
        let mut seqs = Seqs::default();
        for row in 0..1_000 {
            seqs.push();
            seqs.set(row, Some(row), 0);
        }
        assert!(seqs.keys.is_empty() && seqs.steps.is_empty());
    }
}
