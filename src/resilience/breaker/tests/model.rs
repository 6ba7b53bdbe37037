//! The state machine against a model that is written from the rules, with plain lists and no cleverness.

use proptest::prelude::*;

use super::super::machine::{Machine, Outcome};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// Settle one of the permits that are out, chosen by an index.
    Settle(prop::sample::Index, Outcome),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcomes = prop::sample::select(vec![Outcome::Success, Outcome::Failure, Outcome::Failure, Outcome::Released]);
    let step = prop_oneof![
        4 => Just(Step::Acquire),
        4 => (any::<prop::sample::Index>(), outcomes).prop_map(|(at, outcome)| Step::Settle(at, outcome)),
        1 => (1u64..40).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

fn configs() -> impl Strategy<Value = BreakerConfig> {
    (1u32..5, prop::option::of(0.1..=1.0f64), 1u32..8, 1u32..8, 1u32..4, 1u64..30, 1u64..30).prop_map(
        |(max_failures, failure_rate, a, b, half_open_probes, open, overdue)| BreakerConfig {
            max_failures,
            failure_rate,
            window: a.max(b),
            minimum_calls: a.min(b),
            half_open_probes,
            reset_timeout: Duration::from_millis(open),
            half_open_timeout: Duration::from_millis(overdue),
            ..Default::default()
        },
    )
}

/// Time in milliseconds since the start.
struct Model {
    config: BreakerConfig,
    state: State,
    /// Every transition so far; its length is the generation.
    transitions: Vec<(State, State)>,
    /// All results since it was last closed.
    results: Vec<Outcome>,
    opened_at: u64,
    /// Outcomes of the present probes; `None`: under way.
    probes: Vec<Option<Outcome>>,
    last_probe_at: u64,
}

impl Model {
    fn go(&mut self, to: State, now: u64) {
        self.transitions.push((self.state, to));
        self.state = to;
        self.opened_at = now;
        self.results.clear();
        self.probes.clear();
    }

    /// The generation and, for a probe, its place.
    fn acquire(&mut self, now: u64) -> Option<(usize, Option<usize>)> {
        if self.state == State::Closed {
            return Some((self.transitions.len(), None));
        }
        if self.state == State::Open {
            if now - self.opened_at < self.config.reset_timeout.as_millis() as u64 {
                return None;
            }
            self.go(State::HalfOpen, now);
        }
        let taken = self.probes.iter().filter(|probe| **probe != Some(Outcome::Released)).count();
        if taken < self.config.half_open_probes as usize {
            self.probes.push(None);
            self.last_probe_at = now;
            return Some((self.transitions.len(), Some(self.probes.len() - 1)));
        }
        if now - self.last_probe_at >= self.config.half_open_timeout.as_millis() as u64 {
            self.go(State::Open, now);
        }
        None
    }

    fn settle(&mut self, (generation, probe): (usize, Option<usize>), outcome: Outcome, now: u64) {
        if generation != self.transitions.len() {
            return;
        }
        if let Some(probe) = probe {
            self.probes[probe] = Some(outcome);
            let successes = self.probes.iter().filter(|probe| **probe == Some(Outcome::Success)).count();
            if outcome == Outcome::Failure {
                self.go(State::Open, now);
            } else if successes == self.config.half_open_probes as usize {
                self.go(State::Closed, now);
            }
            return;
        }
        if outcome == Outcome::Released {
            return;
        }
        self.results.push(outcome);
        let failed = |outcome: &&Outcome| **outcome == Outcome::Failure;
        let in_a_row = self.results.iter().rev().take_while(failed).count();
        let window: Vec<_> = self.results.iter().rev().take(self.config.window as usize).collect();
        let rate = window.iter().filter(|outcome| failed(outcome)).count() as f64 / window.len() as f64;
        let rate_is_reached = window.len() >= self.config.minimum_calls as usize
            && self.config.failure_rate.is_some_and(|limit| rate >= limit);
        if in_a_row >= self.config.max_failures as usize || rate_is_reached {
            self.go(State::Open, now);
        }
    }
}

proptest! {
    #[test]
    fn the_machine_does_what_the_model_does(config in configs(), steps in steps()) {
        prop_assert_eq!(config.validate(), vec![]);
        let start = Instant::now();
        let mut now = 0;
        let mut machine = Machine::new(config.clone());
        let mut model = Model {
            state: State::Closed,
            transitions: Vec::new(),
            results: Vec::new(),
            opened_at: 0,
            probes: Vec::new(),
            last_probe_at: 0,
            config: config.clone(),
        };
        let mut permits = Vec::new();
        let mut changes = Vec::new();
        for step in steps {
            let at = start + Duration::from_millis(now);
            let change = match step {
                Step::Acquire => {
                    let (admission, change) = machine.acquire(at);
                    let expected = model.acquire(now);
                    prop_assert_eq!(admission.is_ok(), expected.is_some());
                    if let (Ok(generation), Some(expected)) = (admission, expected) {
                        prop_assert_eq!(generation, expected.0 as u64);
                        permits.push(expected);
                    }
                    change
                }
                Step::Settle(_, _) if permits.is_empty() => None,
                Step::Settle(which, outcome) => {
                    let permit = permits.swap_remove(which.index(permits.len()));
                    model.settle(permit, outcome, now);
                    machine.record(permit.0 as u64, outcome, at)
                }
                Step::Wait(millis) => {
                    now += millis;
                    None
                }
            };
            changes.extend(change.map(|change| (change.from, change.to)));
            prop_assert_eq!(machine.state(), model.state);
            prop_assert_eq!(&changes, &model.transitions);
            prop_assert!(machine.under_way() <= config.half_open_probes);
        }
    }
}
