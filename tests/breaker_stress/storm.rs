//! Threads that ask one breaker for permits and settle them at random: as a success, a failure, by dropping them, at once
//! or after the breaker has moved on. What must never happen is checked while it goes on, by tables of what each
//! generation gave and got.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use seaworthy::resilience::breaker::Reason;
use seaworthy::resilience::{BreakerConfig, CircuitBreaker, Permit, State, Transition};
use seaworthy::rng::Rng;

const PROBES: u32 = 3;
const MAX_FAILURES: u32 = 4;
const WINDOW: u32 = 64;
/// Permits that a thread may hold back.
const HELD: usize = 4;

/// What the storm did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub operations: u64,
    pub admitted: u64,
    pub rejected: u64,
    /// Permits of a half-open breaker.
    pub probes: u64,
    /// Dropped without a result.
    pub released: u64,
    /// Settled after the breaker had moved on.
    pub stale: u64,
    /// Times that it closed again.
    pub closed: u64,
    pub transitions: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, admitted, rejected, probes, released, stale, closed, transitions } = self;
        write!(
            f,
            "{operations} operations: {admitted} admitted ({probes} probes), {rejected} rejected, {released} released, {stale} \
             settled too late to count; {transitions} transitions, closed again {closed} times"
        )
    }
}

/// Counts by generation, in a ring: a count of a generation that the ring has left behind is dropped.
struct ByGeneration(Vec<(AtomicU64, AtomicI64)>);

impl ByGeneration {
    const LENGTH: usize = 1 << 16;

    fn new() -> Self {
        Self((0..Self::LENGTH).map(|_| (AtomicU64::new(0), AtomicI64::new(0))).collect())
    }

    /// Adds, and returns the new count; `None` if the generation is too old.
    fn add(&self, generation: u64, by: i64) -> Option<i64> {
        let (owner, count) = &self.0[generation as usize % Self::LENGTH];
        let key = generation + TAKING + 1;
        loop {
            let now = owner.load(Ordering::SeqCst);
            if now > key {
                return None;
            }
            if now == key {
                return Some(count.fetch_add(by, Ordering::SeqCst) + by);
            }
            // Everybody waits while somebody empties the place.
            if now != TAKING && owner.compare_exchange(now, TAKING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                count.store(0, Ordering::SeqCst);
                owner.store(key, Ordering::SeqCst);
            }
        }
    }

    fn of(&self, generation: u64) -> i64 {
        self.add(generation, 0).unwrap_or(i64::MAX)
    }
}

/// A place that is being emptied; one that was never used is 0.
const TAKING: u64 = 1;

struct Tables {
    /// Probes given and not given back without a result.
    probes: ByGeneration,
    successes: ByGeneration,
    failures: ByGeneration,
}

/// Runs the storm. Panics at a broken promise.
pub fn run(threads: usize, operations: u64) -> Seen {
    let config = BreakerConfig {
        max_failures: MAX_FAILURES,
        failure_rate: Some(0.5),
        window: WINDOW,
        minimum_calls: 16,
        reset_timeout: Duration::from_micros(200),
        reset_multiplier: 1.5,
        max_reset_timeout: Duration::from_millis(1),
        half_open_probes: PROBES,
        half_open_timeout: Duration::from_millis(2),
        ..Default::default()
    };
    assert_eq!(config.validate(), vec![]);
    let breaker = CircuitBreaker::new("storm", config);
    let tables = std::sync::Arc::new(Tables {
        probes: ByGeneration::new(),
        successes: ByGeneration::new(),
        failures: ByGeneration::new(),
    });
    let last: std::sync::Arc<Mutex<(State, u64, u64)>> = std::sync::Arc::new(Mutex::new((State::Closed, 0, 0)));
    let (known, previous) = (tables.clone(), last.clone());
    breaker.on_transition(move |transition| {
        let mut previous = previous.lock().expect("no observer panicked");
        check(transition, (previous.0, previous.1), &known);
        let closed = previous.2 + u64::from(transition.to == State::Closed);
        *previous = (transition.to, transition.generation, closed);
    });

    let seen = std::thread::scope(|scope| {
        let (breaker, tables) = (&breaker, &*tables);
        let share = operations / threads as u64;
        let handles: Vec<_> =
            (0..threads).map(|seed| scope.spawn(move || one(breaker, tables, seed as u64, share))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a promise was broken")).fold(
            Seen::default(),
            |sum, part| Seen {
                operations: sum.operations + part.operations,
                admitted: sum.admitted + part.admitted,
                rejected: sum.rejected + part.rejected,
                probes: sum.probes + part.probes,
                released: sum.released + part.released,
                stale: sum.stale + part.stale,
                ..sum
            },
        )
    });
    let (state, transitions, closed) = *last.lock().expect("no observer panicked");
    assert_eq!(state, breaker.state(), "the last transition that was told is the last there was");
    settles(&breaker, &tables);
    Seen { transitions, closed, ..seen }
}

fn one(breaker: &CircuitBreaker, tables: &Tables, seed: u64, operations: u64) -> Seen {
    let mut rng = Rng::new(seed);
    let mut held: Vec<Permit<'_>> = Vec::new();
    let mut seen = Seen { operations, ..Default::default() };
    for number in 0..operations {
        // Failures come in spells, so that it trips and yet is closed for most of the calls.
        let spell = number >> 12 & 7 == 0;
        let dice = rng.u64();
        match breaker.try_acquire() {
            Ok(permit) => {
                seen.admitted += 1;
                if permit.is_probe() {
                    seen.probes += 1;
                    let given = tables.probes.add(permit.generation(), 1);
                    let generation = permit.generation();
                    assert!(
                        given.is_none_or(|given| given <= i64::from(PROBES)),
                        "generation {generation}: {given:?} probes"
                    );
                }
                // One of 64 is kept for later.
                if dice & 63 == 0 && held.len() < HELD {
                    held.push(permit);
                } else {
                    settle(permit, breaker, tables, dice >> 8, spell, &mut seen);
                }
            }
            Err(rejected) => {
                seen.rejected += 1;
                assert!(rejected.retry_in <= Duration::from_millis(50), "{rejected}");
            }
        }
        if dice & 255 == 128 && !held.is_empty() {
            let late = held.swap_remove((dice >> 32) as usize % held.len());
            settle(late, breaker, tables, dice >> 40, spell, &mut seen);
        }
    }
    for late in held {
        settle(late, breaker, tables, 1, false, &mut seen);
    }
    seen
}

/// What is told is noted before it is told, what is given back before it is given back.
fn settle(permit: Permit<'_>, breaker: &CircuitBreaker, tables: &Tables, dice: u64, spell: bool, seen: &mut Seen) {
    let generation = permit.generation();
    seen.stale += u64::from(breaker.generation() != generation);
    let bad = spell && dice >> 4 & 1 == 0 || dice >> 4 & 0xff == 7;
    if bad {
        tables.failures.add(generation, 1);
        permit.failure();
    } else if dice & 15 == 1 {
        if permit.is_probe() {
            tables.probes.add(generation, -1);
        }
        seen.released += 1;
        drop(permit);
    } else {
        if permit.is_probe() {
            tables.successes.add(generation, 1);
        }
        permit.success();
    }
}

/// A transition must follow from results of the generation that it ends, and of no other.
fn check(transition: &Transition, (state, generation): (State, u64), tables: &Tables) {
    assert_eq!(
        (transition.from, transition.generation),
        (state, generation + 1),
        "transitions are told in order, none missing"
    );
    let (successes, failures) = (tables.successes.of(generation), tables.failures.of(generation));
    match transition.reason {
        Reason::ConsecutiveFailures => {
            assert!(failures >= i64::from(MAX_FAILURES), "{failures} failures: {transition:?}")
        }
        // At least half of at least 16 calls.
        Reason::FailureRate => assert!(failures >= 8, "{failures} failures: {transition:?}"),
        Reason::ProbeFailed => assert!(failures >= 1, "no probe failed: {transition:?}"),
        Reason::ProbesSucceeded => assert!(successes >= i64::from(PROBES), "{successes} successes: {transition:?}"),
        Reason::OpenTimeOver | Reason::ProbesOverdue => {}
        other => panic!("nothing here can cause {other:?}"),
    }
}

/// Left alone it closes by its probes, whatever it went through, and no mark is left in its window.
fn settles(breaker: &CircuitBreaker, tables: &Tables) {
    let mut asked = 0;
    while breaker.state() != State::Closed {
        asked += 1;
        assert!(asked < 10_000_000, "stuck {}", breaker.state());
        match breaker.try_acquire() {
            Ok(permit) => {
                tables.successes.add(permit.generation(), 1);
                permit.success();
            }
            Err(_) => std::thread::yield_now(),
        }
    }
    for _ in 0..WINDOW {
        breaker.try_acquire().expect("closed").success();
    }
    let window = breaker.window();
    assert_eq!((window.calls, window.failures), (u64::from(WINDOW), 0), "a window of successes");
}
