//! The circuit breaker and the retry wrapper beside their peers, in one run: `cargo bench --bench components`.
//!
//! Rounds go through all candidates in turn, so that a machine's moods hit all alike; each number is the median of the
//! rounds, with the least and the most. What to look at are the ratios: the nanoseconds are this machine's.
//!
//! - *1 thread*: time of a call that is admitted and succeeds, on a closed breaker.
//! - *16 threads*: processor time of such a call, of all threads together, on one breaker.
//! - *worst*: the longest single call that a thread saw at 16 threads. The scheduler is part of it: compare with the
//!   bare atomic.
//! - *rejecting*: time of a call that is refused while open.
//! - *allocations*: a call, closed and open.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::Retryable;
use failsafe::{CircuitBreaker as _, FailurePolicy as _};
use seaworthy::resilience::{BreakerConfig, Classification, Classify, Jitter, Retry, RetryConfig};
use seaworthy::rng::Rng;
use tower::{Layer, Service, ServiceExt};

const ROUNDS: usize = 7;
/// Calls in a round at one thread, where no other number is given (`cargo bench --bench components -- 2000000`).
const CALLS: u64 = 300_000;
const THREADS: usize = 16;
const HOUR: Duration = Duration::from_secs(3_600);

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug)]
struct Down;

impl Classify for Down {
    fn classify(&self) -> Classification {
        seaworthy::resilience::classify_code(7)
    }
}

/// A breaker, closed or open, and how one thread calls it `n` times: true if the call was let through.
struct Candidate {
    name: &'static str,
    closed: Box<dyn Caller>,
    /// A bare atomic cannot refuse.
    open: Option<Box<dyn Caller>>,
}

trait Caller: Sync {
    /// Makes `n` calls that succeed; how many were let through.
    fn call(&self, n: u64) -> u64;
    /// Makes one.
    fn once(&self) -> bool;
}

impl<F: Fn(&mut dyn FnMut(&mut dyn FnMut() -> bool)) + Sync> Caller for F {
    fn call(&self, n: u64) -> u64 {
        let mut let_through = 0;
        self(&mut |one| let_through = (0..n).filter(|_| one()).count() as u64);
        let_through
    }

    fn once(&self) -> bool {
        let mut let_through = false;
        self(&mut |one| let_through = one());
        let_through
    }
}

/// A caller from a closure that makes one call. The loop is generic over it, so that nothing stands between them.
struct Direct<F>(F);

impl<F: Fn() -> bool + Sync> Caller for Direct<F> {
    fn call(&self, n: u64) -> u64 {
        (0..n).filter(|_| (self.0)()).count() as u64
    }

    fn once(&self) -> bool {
        (self.0)()
    }
}

fn direct(call: impl Fn() -> bool + Sync + 'static) -> Box<dyn Caller> {
    Box::new(Direct(call))
}

fn ours(name: &'static str, config: BreakerConfig) -> Candidate {
    let breaker = move |open: bool| {
        let breaker = seaworthy::resilience::CircuitBreaker::new(
            "bench",
            BreakerConfig { reset_timeout: HOUR, max_reset_timeout: HOUR, ..config.clone() },
        );
        while open && breaker.try_acquire().map(|permit| permit.failure()).is_ok() {}
        breaker
    };
    let caller = |breaker: seaworthy::resilience::CircuitBreaker| {
        direct(move || match breaker.try_acquire() {
            Ok(permit) => {
                black_box(());
                permit.success();
                true
            }
            Err(rejected) => {
                black_box(rejected);
                false
            }
        })
    };
    Candidate { name, closed: caller(breaker(false)), open: Some(caller(breaker(true))) }
}

fn candidates() -> Vec<Candidate> {
    let counter = AtomicU64::new(0);
    let atomic = direct(move || {
        black_box(counter.fetch_add(1, Ordering::Relaxed));
        true
    });
    let windowed = BreakerConfig { failure_rate: Some(0.5), window: 100, minimum_calls: 20, ..Default::default() };

    let recloser = |open: bool| {
        let recloser =
            recloser::Recloser::custom().error_rate(0.5).closed_len(100).half_open_len(10).open_wait(HOUR).build();
        while open && !matches!(recloser.call(|| Err::<(), ()>(())), Err(recloser::Error::Rejected)) {}
        direct(move || recloser.call(|| black_box(Ok::<(), ()>(()))).is_ok())
    };
    let failsafe = |open: bool| {
        let backoff = failsafe::backoff::constant(HOUR);
        let policy = failsafe::failure_policy::consecutive_failures(5, backoff);
        let breaker = failsafe::Config::new().failure_policy(policy).build();
        while open && !matches!(breaker.call(|| Err::<(), ()>(())), Err(failsafe::Error::Rejected)) {}
        direct(move || breaker.call(|| black_box(Ok::<(), ()>(()))).is_ok())
    };
    let failsafe_default = |open: bool| {
        // Its own default policy, but for the open time, which would end while it is measured.
        let backoff = || failsafe::backoff::constant(HOUR);
        let window = Duration::from_secs(30);
        let policy = failsafe::failure_policy::success_rate_over_time_window(0.8, 5, window, backoff())
            .or_else(failsafe::failure_policy::consecutive_failures(5, backoff()));
        let breaker = failsafe::Config::new().failure_policy(policy).build();
        while open && !matches!(breaker.call(|| Err::<(), ()>(())), Err(failsafe::Error::Rejected)) {}
        direct(move || breaker.call(|| black_box(Ok::<(), ()>(()))).is_ok())
    };
    let tower = |open: bool| {
        let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.5)
            .sliding_window_size(100)
            .minimum_number_of_calls(20)
            .wait_duration_in_open(HOUR)
            .build()
            .expect("a valid configuration");
        let service = layer.layer(tower::service_fn(|fails: bool| async move { if fails { Err(()) } else { Ok(()) } }));
        for _ in 0..if open { 100 } else { 0 } {
            let _ = futures::executor::block_on(service.clone().oneshot(true));
        }
        // Each thread has a clone of its own, as tower's services are used.
        let per_thread = move |make: &mut dyn FnMut(&mut dyn FnMut() -> bool)| {
            let mut service = service.clone();
            make(&mut || futures::executor::block_on(async { service.ready().await?.call(false).await }).is_ok());
        };
        let caller: Box<dyn Caller> = Box::new(per_thread);
        caller
    };
    vec![
        Candidate { name: "a bare atomic", closed: atomic, open: None },
        ours("seaworthy, consecutive failures", BreakerConfig::default()),
        ours("seaworthy, window of 100 calls", windowed.clone()),
        ours("seaworthy, window of 10 s", BreakerConfig { window_duration: Some(Duration::from_secs(10)), ..windowed }),
        Candidate { name: "recloser", closed: recloser(false), open: Some(recloser(true)) },
        Candidate { name: "failsafe, consecutive failures", closed: failsafe(false), open: Some(failsafe(true)) },
        Candidate { name: "failsafe, default", closed: failsafe_default(false), open: Some(failsafe_default(true)) },
        Candidate { name: "tower-resilience", closed: tower(false), open: Some(tower(true)) },
    ]
}

/// Processor time that this process has used.
fn cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable and of the right size.
    let outcome = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(outcome, 0);
    // SAFETY: it was filled in.
    let usage = unsafe { usage.assume_init() };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn one_thread(caller: &dyn Caller, calls: u64, expected: bool) -> f64 {
    let begun = Instant::now();
    let let_through = caller.call(calls);
    let took = begun.elapsed();
    assert_eq!(let_through, if expected { calls } else { 0 }, "the breaker is not in the state to be measured");
    took.as_nanos() as f64 / calls as f64
}

fn many_threads(caller: &dyn Caller, calls_each: u64) -> f64 {
    let (start, end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                black_box(caller.call(calls_each));
                end.wait();
            });
        }
        let before = cpu();
        start.wait();
        end.wait();
        (cpu() - before).as_nanos() as f64 / (calls_each * THREADS as u64) as f64
    })
}

/// The longest call in milliseconds.
fn worst(caller: &dyn Caller, calls_each: u64) -> f64 {
    let start = Barrier::new(THREADS);
    let longest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let mut longest = Duration::ZERO;
                    for _ in 0..calls_each {
                        let begun = Instant::now();
                        black_box(caller.once());
                        longest = longest.max(begun.elapsed());
                    }
                    longest
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).max().unwrap_or_default()
    });
    longest.as_secs_f64() * 1e3
}

fn allocations(caller: &dyn Caller) -> f64 {
    const CALLS: u64 = 1_000;
    caller.call(10);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    caller.call(CALLS);
    // What a thread's own set-up costs (a clone) is not the call's.
    ((ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / CALLS as f64).round()
}

#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn text(&self) -> String {
        if self.0.is_empty() {
            return "–".into();
        }
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(0.0, f64::max);
        format!("{:.1} ({least:.1}–{most:.1})", self.median())
    }
}

fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let named = std::env::args().find_map(|argument| argument.parse().ok());
    let (rounds, calls) = if quick { (1, 1_000) } else { (ROUNDS, named.unwrap_or(CALLS)) };
    breakers(rounds, calls);
    retries(rounds, calls);
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn breakers(rounds: usize, calls: u64) {
    let candidates = candidates();
    let mut rows: Vec<[Samples; 4]> = candidates.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (candidate, row) in candidates.iter().zip(&mut rows) {
            // A slow peer must not take the whole day.
            let fewer = match candidate.name {
                name if name.starts_with("recloser") => calls / 10,
                // Twenty microseconds a call, where its threads fight for one lock.
                name if name.starts_with("tower") => calls / 100,
                _ => calls,
            };
            row[0].0.push(one_thread(&*candidate.closed, calls, true));
            row[1].0.push(many_threads(&*candidate.closed, fewer / 4));
            row[2].0.push(worst(&*candidate.closed, fewer / 20));
            if let Some(open) = &candidate.open {
                row[3].0.push(one_thread(&**open, calls, false));
            }
        }
    }
    say("circuit breaker: median (least–most)\n");
    say(
        "| | ns a call, 1 thread | CPU ns a call, 16 threads | worst call of 16 threads, ms | ns rejecting | allocations closed, open |",
    );
    say("|---|---|---|---|---|---|");
    for (candidate, row) in candidates.iter().zip(&rows) {
        let open = candidate.open.as_ref().map_or("–".into(), |open| format!("{:.0}", allocations(&**open)));
        say(&format!(
            "| {} | {} | {} | {} | {} | {:.0}, {open} |",
            candidate.name,
            row[0].text(),
            row[1].text(),
            row[2].text(),
            row[3].text(),
            allocations(&*candidate.closed),
        ));
    }
    let ours = &rows[2];
    say("\nratio to seaworthy with a window of 100 calls (above 1: slower than it)\n");
    for (candidate, row) in candidates.iter().zip(&rows) {
        let ratio = |at: usize| row[at].median() / ours[at].median();
        say(&format!("{:<34} {:>6.2} {:>6.2} {:>6.2} {:>6.2}", candidate.name, ratio(0), ratio(1), ratio(2), ratio(3)));
    }
}

fn retries(rounds: usize, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut rows: [Samples; 4] = Default::default();
    let (mut ours, mut cancellable) =
        (Retry::new(RetryConfig::default(), Rng::new(1)), Retry::new(RetryConfig::default(), Rng::new(1)));
    let cancel = tokio_util::sync::CancellationToken::new();
    let builder = backon::ExponentialBuilder::default();
    for _ in 0..rounds {
        runtime.block_on(async {
            let per_call = |begun: Instant| begun.elapsed().as_nanos() as f64 / calls as f64;
            let begun = Instant::now();
            for i in 0..calls {
                let call = || async { black_box(Ok::<_, Down>(i)) };
                let _ = black_box(call().await);
            }
            rows[0].0.push(per_call(begun));
            let begun = Instant::now();
            for i in 0..calls {
                let _ = black_box(ours.call(|_| async { black_box(Ok::<_, Down>(i)) }).await);
            }
            rows[1].0.push(per_call(begun));
            let begun = Instant::now();
            for i in 0..calls {
                let _ = black_box(cancellable.run(&cancel, |_| async { black_box(Ok::<_, Down>(i)) }).await);
            }
            rows[2].0.push(per_call(begun));
            let begun = Instant::now();
            for i in 0..calls {
                let _ = black_box((|| async { black_box(Ok::<_, Down>(i)) }).retry(builder).await);
            }
            rows[3].0.push(per_call(begun));
        });
    }
    assert_eq!(ours.config().jitter, Jitter::Full);
    say("\nretry around a first-try success: ns a call, median (least–most)\n");
    let names = ["no wrapper", "seaworthy, call", "seaworthy, run (with a cancellation token)", "backon"];
    for (name, row) in names.iter().zip(&rows) {
        say(&format!("{name:<44} {:<22} {:>6.2} of backon's", row.text(), row.median() / rows[3].median()));
    }
}
