//! A circuit breaker allocates nothing once it is made: not for a call that is let through, whatever its result, not for
//! one that it refuses, and not for a transition.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rstest::rstest;
use seaworthy::resilience::{BreakerConfig, CircuitBreaker, State};

/// Counts what this thread allocates; the test harness's other threads are no concern.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has none any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn what_is_counted_here_is_allocations() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
    assert_eq!(allocations(|| std::hint::black_box(())), 0);
}

fn consecutive() -> BreakerConfig {
    BreakerConfig { max_failures: 3, half_open_probes: 2, reset_timeout: Duration::from_secs(1), ..Default::default() }
}

fn calls() -> BreakerConfig {
    BreakerConfig { failure_rate: Some(0.5), window: 100, minimum_calls: 10, ..consecutive() }
}

#[rstest]
#[case::consecutive_failures(consecutive())]
#[case::a_window_of_calls(calls())]
#[case::a_window_in_time(BreakerConfig { window_duration: Some(Duration::from_secs(10)), ..calls() })]
#[case::slow_calls(BreakerConfig { slow_call: Some(Duration::from_secs(1)), slow_call_rate: Some(0.5), ..calls() })]
#[tokio::test(start_paused = true)]
async fn no_path_through_a_breaker_allocates(#[case] config: BreakerConfig) {
    let breaker = CircuitBreaker::new("payments", config);
    let seen = Arc::new(AtomicU32::new(0));
    breaker.on_transition({
        let seen = Arc::clone(&seen);
        move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    for round in 1..=3 {
        let closed = allocations(|| {
            for _ in 0..1_000 {
                breaker.try_acquire().unwrap().success();
            }
            drop(breaker.try_acquire().unwrap());
        });
        assert_eq!(closed, 0, "closed and succeeding");
        let trip = allocations(|| {
            while let Ok(permit) = breaker.try_acquire() {
                permit.failure();
            }
        });
        assert_eq!((trip, breaker.state()), (0, State::Open), "failing until it opens");
        assert_eq!(allocations(|| assert!(breaker.try_acquire().is_err())), 0, "refusing while open");
        tokio::time::advance(Duration::from_secs(40)).await;
        let probing = allocations(|| {
            let (one, two) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
            assert!(one.is_probe() && breaker.try_acquire().is_err());
            drop(two);
            one.success();
            breaker.try_acquire().unwrap().success();
        });
        assert_eq!((probing, breaker.state()), (0, State::Closed), "probing until it closes");
        assert_eq!(seen.load(Ordering::Relaxed), 3 * round, "opened, half-open, closed");
    }
}
