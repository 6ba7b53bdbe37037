//! The breaker, lock-free paths included, against a model that is written from the rules, with plain lists and no
//! cleverness.

use proptest::prelude::*;

use super::*;

/// What becomes of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Released,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// Settle one of the permits that are out, chosen by an index.
    Settle(prop::sample::Index, End),
    Wait(u64),
    SetMode(Mode),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ends = prop::sample::select(vec![End::Success, End::Success, End::Failure, End::Failure, End::Released]);
    let modes =
        prop::sample::select(vec![Mode::Normal, Mode::Normal, Mode::MetricsOnly, Mode::Disabled, Mode::ForcedOpen]);
    let step = prop_oneof![
        40 => Just(Step::Acquire),
        40 => (any::<prop::sample::Index>(), ends).prop_map(|(at, end)| Step::Settle(at, end)),
        10 => (1u64..40).prop_map(Step::Wait),
        1 => modes.prop_map(Step::SetMode),
    ];
    prop::collection::vec(step, 1..300)
}

fn configs() -> impl Strategy<Value = BreakerConfig> {
    let rate = || prop::option::of(0.1..=1.0f64);
    let numbers = (1u32..5, 1u32..8, 1u32..8, 1u32..4);
    let times = (1u64..30, 1u64..30, 1u64..30, prop::option::of(1u64..100));
    (numbers, rate(), rate(), times).prop_map(|(numbers, failure_rate, slow_call_rate, times)| {
        let ((max_failures, a, b, half_open_probes), (open, overdue, slow, window)) = (numbers, times);
        let millis = Duration::from_millis;
        BreakerConfig {
            max_failures,
            failure_rate,
            slow_call: Some(millis(slow)),
            slow_call_rate,
            window: a.max(b),
            // In hundredths of a second, so that a tenth is whole milliseconds.
            window_duration: window.map(|hundredths| millis(hundredths * 10)),
            minimum_calls: a.min(b),
            half_open_probes,
            reset_timeout: millis(open),
            half_open_timeout: millis(overdue),
            ..Default::default()
        }
    })
}

/// A result that counts: failed, slow, when.
type Counted = (bool, bool, u64);

/// A permit: its generation, its place among the probes, when it was given. No generation: nobody waits for its result.
type Given = (Option<usize>, Option<usize>, u64);

/// Time in milliseconds since the start.
struct Model {
    config: BreakerConfig,
    mode: Mode,
    state: State,
    generation: usize,
    transitions: Vec<(State, State)>,
    /// All results since it was last closed.
    results: Vec<Counted>,
    opened_at: u64,
    /// Ends of the present probes; `None`: under way.
    probes: Vec<Option<End>>,
    last_probe_at: u64,
}

impl Model {
    fn go(&mut self, to: State, now: u64) {
        if self.state != to {
            self.transitions.push((self.state, to));
        }
        self.generation += 1;
        self.state = to;
        self.opened_at = now;
        self.results.clear();
        self.probes.clear();
    }

    fn set_mode(&mut self, mode: Mode, now: u64) {
        self.mode = mode;
        self.go(if mode == Mode::ForcedOpen { State::Open } else { State::Closed }, now);
    }

    fn acquire(&mut self, now: u64) -> Option<Given> {
        match (self.mode, self.state) {
            (Mode::Disabled, _) => return Some((None, None, now)),
            (Mode::ForcedOpen, _) => return None,
            (Mode::MetricsOnly, _) | (Mode::Normal, State::Closed) => return Some((Some(self.generation), None, now)),
            (Mode::Normal, _) => {}
        }
        if self.state == State::Open {
            if now - self.opened_at < self.config.reset_timeout.as_millis() as u64 {
                return None;
            }
            self.go(State::HalfOpen, now);
        }
        let taken = self.probes.iter().filter(|probe| **probe != Some(End::Released)).count();
        if taken < self.config.half_open_probes as usize {
            self.probes.push(None);
            self.last_probe_at = now;
            return Some((Some(self.generation), Some(self.probes.len() - 1), now));
        }
        if now - self.last_probe_at >= self.config.half_open_timeout.as_millis() as u64 {
            self.go(State::Open, now);
        }
        None
    }

    fn settle(&mut self, (generation, probe, given_at): Given, end: End, now: u64) {
        if generation != Some(self.generation) {
            return;
        }
        let limit = self.config.slow_call.filter(|_| self.config.slow_call_rate.is_some());
        let slow = limit.is_some_and(|limit| now - given_at > limit.as_millis() as u64);
        if let Some(probe) = probe {
            self.probes[probe] = Some(end);
            let successes = self.probes.iter().filter(|probe| **probe == Some(End::Success)).count();
            if end == End::Failure || end == End::Success && slow {
                self.go(State::Open, now);
            } else if successes == self.config.half_open_probes as usize {
                self.go(State::Closed, now);
            }
            return;
        }
        if end == End::Released {
            return;
        }
        self.results.push((end == End::Failure, slow, now));
        let in_a_row = self.results.iter().rev().take_while(|(failed, ..)| *failed).count();
        let window = self.window(now);
        let share = |of: fn(&&Counted) -> bool| window.iter().filter(of).count() as f64 / window.len() as f64;
        let reached = |rate: f64, limit: Option<f64>| {
            window.len() >= self.config.minimum_calls as usize && limit.is_some_and(|limit| rate >= limit)
        };
        let trips = in_a_row >= self.config.max_failures as usize
            || reached(share(|(failed, ..)| *failed), self.config.failure_rate)
            || reached(share(|(_, slow, _)| *slow), self.config.slow_call_rate);
        if trips && self.mode == Mode::Normal {
            self.go(State::Open, now);
        }
    }

    fn window(&self, now: u64) -> Vec<Counted> {
        match self.config.window_duration {
            None => self.results.iter().rev().take(self.config.window as usize).copied().collect(),
            Some(length) => {
                let tenth = |at: u64| at / (length.as_millis() as u64 / 10);
                self.results.iter().filter(|(.., at)| tenth(now) - tenth(*at) < 10).copied().collect()
            }
        }
    }
}

async fn compare(config: BreakerConfig, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let breaker = CircuitBreaker::new("model", config.clone());
    let seen = watch(&breaker);
    let mut stream = breaker.subscribe();
    let mut now = 0;
    let mut model = Model {
        mode: Mode::Normal,
        state: State::Closed,
        generation: 0,
        transitions: Vec::new(),
        results: Vec::new(),
        opened_at: 0,
        probes: Vec::new(),
        last_probe_at: 0,
        config: config.clone(),
    };
    let mut permits = Vec::new();
    for step in steps {
        match step {
            Step::Acquire => {
                let (permit, expected) = (breaker.try_acquire(), model.acquire(now));
                prop_assert_eq!(permit.is_ok(), expected.is_some());
                if let (Ok(permit), Some(expected)) = (permit, expected) {
                    prop_assert_eq!(permit.is_probe(), expected.1.is_some());
                    permits.push((permit, expected));
                }
            }
            Step::Settle(_, _) if permits.is_empty() => {}
            Step::Settle(which, end) => {
                let (permit, given) = permits.swap_remove(which.index(permits.len()));
                match end {
                    End::Success => permit.success(),
                    End::Failure => permit.failure(),
                    End::Released => drop(permit),
                }
                model.settle(given, end, now);
                if config.failure_rate.is_some()
                    && model.state == State::Closed
                    && given.0 == Some(model.generation)
                    && end != End::Released
                {
                    let window = model.window(now);
                    let failures = window.iter().filter(|(failed, ..)| *failed).count() as u64;
                    let slow = window.iter().filter(|(_, slow, _)| *slow).count() as u64;
                    let expected = WindowCounts { calls: window.len() as u64, failures, slow };
                    prop_assert_eq!(breaker.window(), expected);
                }
            }
            Step::Wait(millis) => {
                now += millis;
                advance(Duration::from_millis(millis)).await;
            }
            Step::SetMode(mode) => {
                breaker.set_mode(mode);
                model.set_mode(mode, now);
            }
        }
        prop_assert_eq!(breaker.state(), model.state);
        prop_assert_eq!(breaker.mode(), model.mode);
        prop_assert!(breaker.lock().under_way() <= config.half_open_probes);
        let pairs: Vec<_> = seen.lock().unwrap().iter().map(|(from, to, _)| (*from, *to)).collect();
        prop_assert_eq!(&pairs, &model.transitions);
    }
    let expected = model.transitions.len().min(256);
    let mut streamed = Vec::new();
    while let Ok(transition) = stream.try_recv() {
        streamed.push((transition.from, transition.to));
    }
    prop_assert!(model.transitions.ends_with(&streamed) && streamed.len() == expected);
    Ok(())
}

proptest! {
    #[test]
    fn the_breaker_does_what_the_model_does(config in configs(), steps in steps()) {
        prop_assert_eq!(config.validate(), vec![]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(compare(config, steps))?;
    }
}
