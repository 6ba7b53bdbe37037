//! Which of its effects each record has, where the plan says that it has several. Where it has one, nothing here takes
//! any memory: the ledger's own counts do.

use std::collections::BTreeMap;

use super::Place;
use super::column::{Column, Times};
use super::index::Tp;
use crate::clock::Nanos;

/// Effects of a record that are none of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strange {
    pub count: u32,
    /// What the first of them calls itself.
    pub part: Option<u32>,
}

/// Within its topic partition an array of parts may have gaps this long.
const GAP: usize = 1 << 16;

/// What was found, part by part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Of each record; up to 1: one effect, and no parts.
    all: u32,
    /// A bit for each part of a row.
    found: Column<u32>,
    /// When each part of a row was first appended; until the history ends.
    first: Vec<Times>,
    /// Of each output topic partition the part at each offset, plus 1.
    places: BTreeMap<Tp, Column<u8>>,
    /// The same of offsets far from the others.
    far: BTreeMap<(Tp, i64), u8>,
    /// Effects of one part of a row beyond the first.
    again: BTreeMap<(u32, u32), u32>,
    strange: BTreeMap<u32, Strange>,
}

impl Parts {
    /// `all` of each record.
    pub fn of(all: u32) -> Self {
        let several = if all > 1 { all } else { 0 };
        Self { all, first: (0..several).map(|_| Times::default()).collect(), ..Self::default() }
    }

    /// A record has several effects.
    #[inline]
    pub fn several(&self) -> bool {
        self.all > 1
    }

    /// How many effects a record has.
    pub fn all(&self) -> u32 {
        self.all.max(1)
    }

    /// One row more.
    #[inline]
    pub fn push(&mut self) {
        if self.several() {
            self.found.push(0);
            self.first.iter_mut().for_each(Times::push);
        }
    }

    /// An effect was found, at a place that was not known yet.
    pub fn note(&mut self, place: Place, part: Option<u32>, appended: Option<Nanos>) {
        let Some(own) = part.filter(|part| *part < self.all) else {
            self.strange.entry(place.row).or_insert(Strange { count: 0, part }).count += 1;
            return;
        };
        self.shelve(place, own as u8 + 1);
        let found = self.found.at(place.row as usize);
        if *found & 1 << own != 0 {
            *self.again.entry((place.row, own)).or_default() += 1;
        }
        *found |= 1 << own;
        let first = &mut self.first[own as usize];
        if let Some(t) = appended
            && first.get(place.row).is_none_or(|known| t < known)
        {
            first.set(place.row, t);
        }
    }

    fn shelve(&mut self, place: Place, part: u8) {
        let shelf = self.places.entry(place.tp).or_default();
        match usize::try_from(place.offset) {
            Ok(at) if at < GAP + 2 * shelf.len() => {
                while at >= shelf.len() {
                    shelf.push(0);
                }
                *shelf.at(at) = part;
            }
            _ => {
                self.far.insert((place.tp, place.offset), part);
            }
        }
    }

    /// The part that stands at a place; `None`: none that a record has.
    pub fn at(&self, tp: Tp, offset: i64) -> Option<u32> {
        let near = usize::try_from(offset).ok().and_then(|at| {
            let shelf = self.places.get(&tp).filter(|shelf| at < shelf.len())?;
            shelf.get(at).checked_sub(1)
        });
        let part = near.or_else(|| self.far.get(&(tp, offset))?.checked_sub(1))?;
        Some(part.into())
    }

    /// A record was served when the last of its parts was there, if no dead letter came before that: those times are
    /// what `served` holds.
    pub fn finish(&mut self, rows: u32, served: &mut Times) {
        if !self.several() {
            return;
        }
        for row in (0..rows).filter(|row| self.missing(*row) == 0) {
            let last = self.first.iter().filter_map(|times| times.get(row)).max();
            if let Some(t) = last.filter(|t| served.get(row).is_none_or(|letter| *t < letter)) {
                served.set(row, t);
            }
        }
        self.first = Vec::new();
    }

    /// A bit for each part that a row lacks.
    pub fn missing(&self, row: u32) -> u32 {
        let all = u32::MAX >> (u32::BITS - self.all.clamp(1, u32::BITS));
        all & !self.found.get(row as usize)
    }

    /// Distinct places at which a row has an effect.
    pub fn effects(&self, row: u32) -> u32 {
        let strange = self.strange.get(&row).map_or(0, |strange| strange.count);
        self.found.get(row as usize).count_ones() + self.surplus(row) + strange
    }

    /// Effects of a row's parts beyond the first of each.
    pub fn surplus(&self, row: u32) -> u32 {
        self.again(row).map(|(_, count)| count).sum()
    }

    /// Parts of a row that were found more than once, and how many times beyond the first.
    pub fn again(&self, row: u32) -> impl Iterator<Item = (u32, u32)> {
        self.again.range((row, 0)..=(row, u32::MAX)).map(|((_, part), count)| (*part, *count))
    }

    pub fn strange(&self, row: u32) -> Option<Strange> {
        self.strange.get(&row).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Parts at any places, in any order and again, are what a list of them says.
        #[test]
        fn parts_are_as_a_list_of_them_says(
            all in 2..=32u32,
            seen in prop::collection::btree_map(
                (0..2u32, prop_oneof![9 => 0..60i64, 1 => 200_000..200_010i64]),
                (0..4u32, prop::option::weighted(0.9, 0..40u32), prop::option::weighted(0.9, 0..1_000u64)),
                0..80,
            ),
            letters in prop::collection::vec(prop::option::of(0..1_000u64), 4),
        ) {
            let mut parts = Parts::of(all);
            let mut served = Times::default();
            for (row, letter) in (0..).zip(&letters) {
                parts.push();
                served.push();
                if let Some(t) = letter {
                    served.set(row, *t);
                }
            }
            let mut known: BTreeMap<(u32, u32), Vec<Option<Nanos>>> = BTreeMap::new();
            let mut odd = [0; 4];
            for ((tp, offset), (row, part, t)) in &seen {
                parts.note(Place { tp: Tp(*tp), offset: *offset, row: *row }, *part, *t);
                match part.filter(|part| *part < all) {
                    Some(part) => known.entry((*row, part)).or_default().push(*t),
                    None => odd[*row as usize] += 1,
                }
            }
            parts.finish(4, &mut served);
            for ((tp, offset), (_, part, _)) in &seen {
                prop_assert_eq!(parts.at(Tp(*tp), *offset), part.filter(|part| *part < all));
            }
            for row in 0..4 {
                let own = |part| known.get(&(row, part));
                let there: Vec<u32> = (0..all).filter(|part| own(*part).is_some()).collect();
                let missing: Vec<u32> = (0..all).filter(|part| parts.missing(row) & 1 << part != 0).collect();
                prop_assert_eq!(there.len() + missing.len(), all as usize);
                prop_assert!(missing.iter().all(|part| !there.contains(part)));
                let copies: u32 = there.iter().filter_map(|part| own(*part)).map(|times| times.len() as u32).sum();
                prop_assert_eq!(parts.surplus(row), copies - there.len() as u32);
                prop_assert_eq!(parts.effects(row), copies + odd[row as usize]);
                prop_assert_eq!(parts.strange(row).map_or(0, |strange| strange.count), odd[row as usize]);
                let last = there.iter().filter_map(|part| own(*part)?.iter().flatten().min()).max().copied();
                let whole = last.filter(|_| missing.is_empty());
                prop_assert_eq!(served.get(row), letters[row as usize].into_iter().chain(whole).min());
            }
        }
    }

    #[test]
    fn one_effect_a_record_takes_no_memory() {
        for mut parts in [Parts::default(), Parts::of(1)] {
            (0..10_000).for_each(|_| parts.push());
            assert!(!parts.several() && parts.found.len() == 0 && parts.first.is_empty());
            assert_eq!(parts.all(), 1);
        }
    }

    #[test]
    fn a_place_near_the_others_costs_a_byte_and_one_far_from_them_an_entry() {
        let mut parts = Parts::of(2);
        parts.push();
        let mut note = |offset: usize| {
            parts.note(Place { tp: Tp(0), offset: offset as i64, row: 0 }, Some(1), None);
            (parts.places[&Tp(0)].len(), parts.far.len())
        };
        assert_eq!(note(GAP), (0, 1));
        assert_eq!(note(GAP - 1), (GAP, 1));
        assert_eq!(note(GAP * 3), (GAP, 2));
        assert_eq!(note(GAP * 3 - 1), (GAP * 3, 2));
        let at = |offset: usize| parts.at(Tp(0), offset as i64);
        assert_eq!([GAP - 1, GAP, GAP * 3 - 1, GAP * 3].map(at), [Some(1); 4]);
        assert_eq!([0, GAP - 2, GAP + 1, GAP * 3 + 1].map(at), [None; 4]);
    }
}
