use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use tokio::time::advance;

use super::super::classify::{Classification, classify_code};
use super::*;

mod model;

const OPEN_TIME: Duration = Duration::from_secs(5);

fn config() -> BreakerConfig {
    BreakerConfig { max_failures: 3, reset_timeout: OPEN_TIME, ..Default::default() }
}

fn breaker(config: BreakerConfig) -> CircuitBreaker {
    assert_eq!(config.validate(), vec![]);
    CircuitBreaker::new("orders", config)
}

/// The transitions that a breaker makes from now on.
fn watch(breaker: &CircuitBreaker) -> Arc<Mutex<Vec<(State, State, Reason)>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    breaker.on_transition(move |t| into.lock().unwrap().push((t.from, t.to, t.reason)));
    seen
}

fn fail(breaker: &CircuitBreaker, times: usize) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().failure();
    }
}

#[tokio::test(start_paused = true)]
async fn it_opens_refuses_probes_and_closes_by_itself() {
    let breaker = breaker(config());
    let seen = watch(&breaker);
    fail(&breaker, 3);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.try_acquire().unwrap_err(), Rejected { retry_in: OPEN_TIME });
    advance(OPEN_TIME - Duration::from_millis(1)).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, Duration::from_millis(1));
    advance(Duration::from_millis(1)).await;
    let probe = breaker.try_acquire().unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!((breaker.rejections(), breaker.trips()), (2, 1));
    let expected = [
        (State::Closed, State::Open, Reason::ConsecutiveFailures),
        (State::Open, State::HalfOpen, Reason::OpenTimeOver),
        (State::HalfOpen, State::Closed, Reason::ProbesSucceeded),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_success_between_failures_keeps_it_closed() {
    let breaker = breaker(config());
    for _ in 0..10 {
        fail(&breaker, 2);
        breaker.try_acquire().unwrap().success();
    }
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 3);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_it_again_for_a_growing_time() {
    let breaker = breaker(BreakerConfig { reset_multiplier: 2.0, max_reset_timeout: OPEN_TIME * 3, ..config() });
    fail(&breaker, 3);
    for factor in [1, 2, 3, 3] {
        assert_eq!(breaker.try_acquire().unwrap_err().retry_in, OPEN_TIME * factor);
        advance(OPEN_TIME * factor).await;
        breaker.try_acquire().unwrap().failure();
        assert_eq!(breaker.state(), State::Open);
    }
    advance(OPEN_TIME * 3).await;
    breaker.try_acquire().unwrap().success();
    fail(&breaker, 3);
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, OPEN_TIME, "closing forgets the growth");
}

#[tokio::test(start_paused = true)]
async fn it_closes_only_after_as_many_successes_as_it_has_probes() {
    let breaker = breaker(BreakerConfig { half_open_probes: 3, ..config() });
    fail(&breaker, 3);
    advance(OPEN_TIME).await;
    let probes: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    assert!(breaker.try_acquire().is_err());
    for (i, probe) in probes.into_iter().enumerate() {
        assert_eq!(breaker.state(), State::HalfOpen, "after {i} successes");
        // A success frees no place: three probes are enough to know.
        assert!(breaker.try_acquire().is_err());
        probe.success();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn results_from_before_the_trip_do_not_decide_the_probes_fate() {
    let breaker = breaker(config());
    let (early, late) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
    fail(&breaker, 3);
    advance(OPEN_TIME).await;
    let probe = breaker.try_acquire().unwrap();
    early.success();
    assert_eq!(breaker.state(), State::HalfOpen, "a stale success does not close it");
    late.failure();
    assert_eq!(breaker.state(), State::HalfOpen, "a stale failure does not open it");
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_dropped_without_a_result_frees_its_place_and_proves_nothing() {
    let breaker = breaker(config());
    fail(&breaker, 3);
    advance(OPEN_TIME).await;
    for _ in 0..10 {
        let probe = breaker.try_acquire().unwrap();
        assert!(breaker.try_acquire().is_err());
        drop(probe);
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_cannot_hold_it_half_open_for_ever() {
    let limit = Duration::from_secs(7);
    let breaker = breaker(BreakerConfig { half_open_timeout: limit, ..config() });
    let seen = watch(&breaker);
    fail(&breaker, 3);
    advance(OPEN_TIME).await;
    let stuck = breaker.try_acquire().unwrap();
    advance(limit - Duration::from_millis(1)).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, Duration::from_millis(1));
    advance(Duration::from_millis(1)).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, OPEN_TIME);
    assert_eq!(seen.lock().unwrap().last(), Some(&(State::HalfOpen, State::Open, Reason::ProbesOverdue)));
    advance(OPEN_TIME).await;
    let probe = breaker.try_acquire().unwrap();
    stuck.failure();
    assert_eq!(breaker.state(), State::HalfOpen, "the stuck probe's result comes too late to count");
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_failure_rate_looks_at_the_latest_calls_only() {
    let rate = BreakerConfig { max_failures: 100, failure_rate: Some(0.5), window: 10, minimum_calls: 4, ..config() };
    let breaker = breaker(rate);
    let seen = watch(&breaker);
    fail(&breaker, 3);
    assert_eq!(breaker.state(), State::Closed, "below the minimum of calls");
    for _ in 0..4 {
        // The fourth call has 3 failures of 4 in its window: past the limit, though it succeeds.
        if let Ok(permit) = breaker.try_acquire() {
            permit.success();
        }
    }
    assert_eq!(*seen.lock().unwrap(), [(State::Closed, State::Open, Reason::FailureRate)]);
    advance(OPEN_TIME).await;
    breaker.try_acquire().unwrap().success();
    for _ in 0..10_000 {
        breaker.try_acquire().unwrap().success();
    }
    fail(&breaker, 4);
    assert_eq!(breaker.state(), State::Closed, "4 of the latest 10");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open, "5 of the latest 10, whatever came before them");
}

#[tokio::test(start_paused = true)]
async fn observers_may_call_the_breaker() {
    let breaker = Arc::new(breaker(config()));
    let states = Arc::new(Mutex::new(Vec::new()));
    let (inner, into) = (Arc::downgrade(&breaker), Arc::clone(&states));
    breaker.on_transition(move |transition| {
        let breaker = inner.upgrade().unwrap();
        breaker.on_transition(|_| {});
        let admitted = breaker.try_acquire().is_ok();
        into.lock().unwrap().push((transition.generation, breaker.state(), admitted));
    });
    fail(&breaker, 3);
    assert_eq!(*states.lock().unwrap(), [(1, State::Open, false)]);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_though_they_succeed() {
    let slow = Duration::from_millis(100);
    let config =
        BreakerConfig { slow_call: Some(slow), slow_call_rate: Some(0.5), window: 10, minimum_calls: 4, ..config() };
    let breaker = breaker(config);
    let seen = watch(&breaker);
    let call = |took: Duration| async move {
        tokio::time::sleep(took).await;
        Ok::<_, Code>(())
    };
    for _ in 0..3 {
        breaker.call(|| call(slow)).await.unwrap();
    }
    assert_eq!(breaker.window(), WindowCounts { calls: 3, failures: 0, slow: 0 }, "at the limit is not slow");
    for _ in 0..3 {
        breaker.call(|| call(slow * 2)).await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [(State::Closed, State::Open, Reason::SlowCallRate)]);
    advance(OPEN_TIME).await;
    breaker.call(|| call(slow * 2)).await.unwrap();
    assert_eq!(seen.lock().unwrap().last(), Some(&(State::HalfOpen, State::Open, Reason::ProbeFailed)));
}

#[tokio::test(start_paused = true)]
async fn a_window_in_time_forgets_what_is_older() {
    let minute = Duration::from_secs(60);
    let rate = BreakerConfig {
        max_failures: 1_000,
        failure_rate: Some(0.5),
        window_duration: Some(minute),
        minimum_calls: 10,
        ..config()
    };
    let breaker = breaker(rate);
    fail(&breaker, 9);
    advance(minute).await;
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.window(), WindowCounts { calls: 1, failures: 0, slow: 0 });
    fail(&breaker, 8);
    assert_eq!(breaker.state(), State::Closed, "8 of 9, below the minimum of calls");
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), State::Open, "8 of 10");
}

#[tokio::test(start_paused = true)]
async fn a_forced_mode_holds_until_it_is_set_again() {
    let breaker = breaker(config());
    let seen = watch(&breaker);
    let early = breaker.try_acquire().unwrap();
    breaker.set_mode(Mode::ForcedOpen);
    advance(OPEN_TIME * 1_000).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, Duration::from_secs(1));
    breaker.set_mode(Mode::Disabled);
    fail(&breaker, 100);
    breaker.set_mode(Mode::MetricsOnly);
    fail(&breaker, 100);
    assert_eq!((breaker.state(), breaker.trips()), (State::Closed, 0));
    breaker.set_mode(Mode::Normal);
    early.failure();
    fail(&breaker, 2);
    assert_eq!(breaker.state(), State::Closed, "what was before counts no more");
    fail(&breaker, 1);
    let expected = [
        (State::Closed, State::Open, Reason::ModeSet),
        (State::Open, State::Closed, Reason::ModeSet),
        (State::Closed, State::Open, Reason::ConsecutiveFailures),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn metrics_only_shows_what_thresholds_would_see() {
    let rate =
        BreakerConfig { failure_rate: Some(0.5), window: 10, minimum_calls: 4, mode: Mode::MetricsOnly, ..config() };
    let breaker = breaker(rate);
    for _ in 0..6 {
        breaker.try_acquire().unwrap().success();
    }
    fail(&breaker, 6);
    assert_eq!(breaker.window(), WindowCounts { calls: 10, failures: 6, slow: 0 });
    assert_eq!(breaker.window().failure_rate(), Some(0.6));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_transitions_in_order_even_those_that_observers_cause() {
    let breaker = Arc::new(breaker(config()));
    let mut stream = breaker.subscribe();
    let inner = Arc::downgrade(&breaker);
    breaker.on_transition(move |transition| {
        if transition.to == State::Open {
            inner.upgrade().unwrap().set_mode(Mode::Normal);
        }
    });
    fail(&breaker, 3);
    let mut next = || stream.try_recv().map(|t| (t.from, t.to, t.generation)).ok();
    assert_eq!(next(), Some((State::Closed, State::Open, 1)));
    assert_eq!(next(), Some((State::Open, State::Closed, 2)));
    assert_eq!(next(), None);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_silences_nobody() {
    let breaker = Arc::new(breaker(config()));
    let first = std::sync::atomic::AtomicBool::new(true);
    breaker.on_transition(move |_| assert!(!first.swap(false, Ordering::SeqCst), "the observer's own bug"));
    let inner = Arc::clone(&breaker);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fail(&inner, 3))).is_err());
    let seen = watch(&breaker);
    advance(OPEN_TIME).await;
    breaker.try_acquire().unwrap().success();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[derive(Debug, PartialEq, Eq)]
struct Code(i32);

impl Classify for Code {
    fn classify(&self) -> Classification {
        classify_code(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn calls_count_only_errors_that_speak_against_the_callee() {
    let breaker = breaker(config());
    for code in [-184, 10, 27] {
        for _ in 0..10 {
            let result = breaker.call(|| async { Err::<(), _>(Code(code)) }).await;
            assert_eq!(result, Err(BreakerError::Operation(Code(code))));
        }
        assert_eq!(breaker.state(), State::Closed, "{code}");
    }
    for _ in 0..3 {
        let _ = breaker.call(|| async { Err::<(), _>(Code(-195)) }).await;
    }
    assert_eq!(breaker.state(), State::Open);
    let refused = breaker.call(|| async { panic!("began") as Result<(), Code> }).await.unwrap_err();
    assert_eq!(refused, BreakerError::Rejected(Rejected { retry_in: OPEN_TIME }));
    assert_eq!(refused.refused_for(), Some(OPEN_TIME));
}

#[tokio::test(start_paused = true)]
async fn a_call_past_its_time_is_cut_off_and_counted() {
    let limit = Duration::from_millis(200);
    let breaker = breaker(BreakerConfig { timeout: Some(limit), ..config() });
    let begun = Instant::now();
    for _ in 0..3 {
        let result = breaker.call(std::future::pending::<Result<(), Code>>).await;
        assert_eq!(result, Err(BreakerError::TimedOut(limit)));
    }
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(begun.elapsed().as_millis(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_releases_its_probe() {
    let breaker = breaker(config());
    fail(&breaker, 3);
    advance(OPEN_TIME).await;
    let call = breaker.call(std::future::pending::<Result<(), Code>>);
    assert!(timeout(Duration::from_millis(10), call).await.is_err());
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.call(|| async { Ok::<_, Code>(1) }).await, Ok(1));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn many_calls_run_at_once() {
    let breaker = breaker(config());
    let begun = Instant::now();
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Code>(())
    };
    let results = futures::future::join_all((0..50).map(|_| breaker.call(slow))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(begun.elapsed().as_millis(), 1_000, "one after the other it would be 50 s");
}

#[tokio::test(start_paused = true)]
async fn a_retry_around_it_waits_out_the_open_time_and_spends_no_attempt_on_it() {
    use super::super::backoff::{Jitter, RetryConfig};
    let breaker = breaker(config());
    fail(&breaker, 3);
    let retry = RetryConfig { max_retries: 0, jitter: Jitter::None, ..Default::default() };
    let begun = Instant::now();
    let mut retry = super::super::Retry::new(retry, crate::rng::Rng::new(1));
    let cancel = tokio_util::sync::CancellationToken::new();
    let result = retry.run(&cancel, |_| breaker.call(|| async { Ok::<_, Code>(5) })).await;
    assert_eq!(result, Ok(5));
    assert!(begun.elapsed() >= OPEN_TIME && begun.elapsed() < OPEN_TIME + Duration::from_millis(102));
}

#[tokio::test(start_paused = true)]
async fn of_many_threads_that_ask_together_exactly_the_permitted_probes_get_in() {
    const THREADS: usize = 16;
    let runtime = tokio::runtime::Handle::current();
    for round in 0..100 {
        let probes = 1 + round % 4;
        let breaker = breaker(BreakerConfig { half_open_probes: probes as u32, ..config() });
        fail(&breaker, 3);
        advance(OPEN_TIME).await;
        let (start, end, admitted) = (Barrier::new(THREADS), Barrier::new(THREADS), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let _clock = runtime.enter();
                    start.wait();
                    let permit = breaker.try_acquire();
                    admitted.fetch_add(usize::from(permit.is_ok()), Ordering::SeqCst);
                    // Nobody lets go before all have asked.
                    end.wait();
                });
            }
        });
        assert_eq!(admitted.load(Ordering::SeqCst), probes, "round {round}");
    }
}

#[test]
fn under_a_storm_of_threads_no_generation_has_more_probes_than_permitted() {
    const PROBES: u32 = 2;
    let open_time = Duration::from_millis(1);
    let breaker =
        breaker(BreakerConfig { max_failures: 1, half_open_probes: PROBES, reset_timeout: open_time, ..config() });
    // Probes under way and the most there were, by generation.
    let under_way: Mutex<HashMap<u64, (u32, u32)>> = Mutex::default();
    let (breaker, table) = (&breaker, &under_way);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut rng = crate::rng::Rng::new(thread);
                while table.lock().unwrap().len() < 100 {
                    let Ok(permit) = breaker.try_acquire() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let generation = generation_of(permit.stamp);
                    let probe = permit.is_probe();
                    if probe {
                        let mut table = table.lock().unwrap();
                        let (now, most) = table.entry(generation).or_default();
                        *now += 1;
                        *most = (*most).max(*now);
                    }
                    std::thread::yield_now();
                    if probe {
                        table.lock().unwrap().get_mut(&generation).unwrap().0 -= 1;
                    }
                    match rng.index(3) {
                        0 => permit.success(),
                        1 => permit.failure(),
                        _ => drop(permit),
                    }
                }
            });
        }
    });
    let most: Vec<u32> = under_way.lock().unwrap().values().map(|(_, most)| *most).collect();
    assert!(most.iter().all(|most| *most <= PROBES), "{most:?}");
    assert!(most.contains(&PROBES), "the storm was none: no generation ever had all its probes out");
}

#[test]
fn every_mistake_is_reported_and_brought_to_the_nearest_valid_value() {
    let bad = BreakerConfig {
        max_failures: 0,
        failure_rate: Some(1.5),
        window: 5,
        minimum_calls: 6,
        slow_call: Some(Duration::ZERO),
        slow_call_rate: Some(0.0),
        timeout: Some(Duration::ZERO),
        reset_timeout: Duration::ZERO,
        reset_multiplier: 0.5,
        half_open_probes: 0,
        half_open_timeout: Duration::ZERO,
        ..Default::default()
    };
    let fields: Vec<_> = bad.validate().into_iter().map(|mistake| mistake.field).collect();
    let expected = [
        "max-failures",
        "half-open-probes",
        "minimum-calls",
        "failure-rate",
        "slow-call-rate",
        "timeout",
        "slow-call",
        "reset-timeout",
        "half-open-timeout",
        "reset-multiplier",
    ];
    assert_eq!(fields, expected);
    assert_eq!(bad.nearest_valid().validate(), vec![]);
}

#[test]
fn states_are_written_in_kebab_case() {
    assert_eq!(format!("{} {} {}", State::Closed, State::Open, State::HalfOpen), "closed open half-open");
}

#[test]
fn a_running_call_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let breaker = breaker(config());
    is_send(&breaker.call(|| async { Ok::<_, Code>(()) }));
    is_send(&breaker.try_acquire().unwrap());
}
