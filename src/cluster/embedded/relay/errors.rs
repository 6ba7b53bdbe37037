//! Errors in the place of answers: which requests of the subject's path get one, counted and drawn from a seed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::{Refusals, RequestErrors};
use crate::rng::Rng;

/// What all relays of a cluster refuse at present, by the request's API key.
#[derive(Default)]
pub(in crate::cluster::embedded) struct Errors(Mutex<BTreeMap<i16, Rule>>);

struct Rule {
    order: RequestErrors,
    rng: Rng,
    seen: Refusals,
    over: bool,
}

impl Errors {
    fn rules(&self) -> MutexGuard<'_, BTreeMap<i16, Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on. Draws follow from `seed`, in the order in which requests come.
    pub fn set(&self, order: RequestErrors, seed: u64) {
        let rng = Rng::fork(seed, &format!("broker-errors/{}", order.api));
        self.rules().insert(order.api, Rule { order, rng, seen: Refusals::default(), over: false });
    }

    /// No longer.
    pub fn end(&self, api: i16) {
        if let Some(rule) = self.rules().get_mut(&api) {
            rule.over = true;
        }
    }

    /// Of the rule in force, or of the last one.
    pub fn seen(&self, api: i16) -> Refusals {
        self.rules().get(&api).map(|rule| rule.seen).unwrap_or_default()
    }

    /// The error that a request is to get.
    pub fn draw(&self, api: i16) -> Option<i16> {
        let mut rules = self.rules();
        let rule = rules.get_mut(&api).filter(|rule| !rule.over)?;
        rule.seen.asked += 1;
        let hit = match (rule.order.rate, rule.order.times) {
            (Some(rate), _) => rule.rng.share() < rate,
            (None, times) => rule.seen.refused < u64::from(times.unwrap_or(0)),
        };
        rule.seen.refused += u64::from(hit);
        hit.then_some(rule.order.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rate: Option<f64>, times: Option<u32>) -> RequestErrors {
        RequestErrors { api: 0, error: 6, rate, times }
    }

    #[test]
    fn so_many_requests_are_refused_and_no_more() {
        let errors = Errors::default();
        assert_eq!(errors.draw(0), None);
        errors.set(order(None, Some(2)), 1);
        let drawn: Vec<_> = (0..4).map(|_| errors.draw(0)).collect();
        assert_eq!(drawn, [Some(6), Some(6), None, None]);
        assert_eq!(errors.draw(1), None);
        assert_eq!(errors.seen(0), Refusals { asked: 4, refused: 2 });
    }

    #[test]
    fn a_share_is_drawn_from_the_seed_and_ends() {
        let drawn = |seed| {
            let errors = Errors::default();
            errors.set(order(Some(0.25), None), seed);
            let drawn: Vec<bool> = (0..4_000).map(|_| errors.draw(0).is_some()).collect();
            errors.end(0);
            assert_eq!(errors.draw(0), None);
            drawn
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let hits = drawn(7).into_iter().filter(|hit| *hit).count();
        assert!((900..1_100).contains(&hits), "{hits} of 4000");
    }
}
