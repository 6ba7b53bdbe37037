//! The sliding window: how many of the latest calls failed or were slow.
//!
//! Plain successes are counted without a lock, by one atomic addition; whatever else happens to the window happens under
//! the breaker's lock. Everything is O(1) a call, amortised: what a run of successes saves is done when it is looked at.
//!
//! - *Count*: a ring with a mark for each call. Successes have none: they are counted in shards, by thread, and enter the
//!   ring as a run when the next failure comes or somebody looks. So threads do not meet on the way of a success, and
//!   nothing is summed but then.
//! - *Time*: the latest ten tenths of the window's length, each with its counts. The first result of a new tenth takes the
//!   lock to clear it. It costs a reading of the clock for each result, which the count window does not.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::BreakerConfig;

const FAILED: u8 = 1;
const SLOW: u8 = 2;

/// Tenths of a time window.
const TENTHS: u64 = 10;

/// Alone on its cache line: it is written by every call, its neighbours are read by every call.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicU64);

/// The part that is counted without the lock.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one in a breaker, and the ring is on the way of every call")]
pub(super) enum Window {
    /// Nothing looks at a rate.
    None,
    Count(Ring),
    Time(Box<Tenths>),
}

/// What is in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, failed or not.
    pub slow: u64,
}

impl WindowCounts {
    /// The failed share, 0 to 1; `None` without calls.
    pub fn failure_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.failures as f64 / self.calls as f64)
    }

    /// The slow share, 0 to 1; `None` without calls.
    pub fn slow_call_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.slow as f64 / self.calls as f64)
    }
}

impl Window {
    pub fn new(config: &BreakerConfig, origin: Instant) -> Self {
        match config.window_duration {
            _ if config.failure_rate.is_none() && config.slow_call_rate.is_none() => Self::None,
            None => Self::Count(Ring::new(u64::from(config.window))),
            Some(length) => Self::Time(Box::new(Tenths::new(length, origin))),
        }
    }

    /// Counts a plain success without the lock. False: it is counted, or must be, under the lock as well, with
    /// [`Window::settle`] and the ticket.
    #[inline]
    pub fn add_success(&self) -> Result<Mark, Ticket> {
        match self {
            Self::None => Ok(Mark::default()),
            Self::Count(ring) => Ok(ring.add_success()),
            Self::Time(tenths) => tenths.add_success().map(|()| Mark::default()),
        }
    }

    /// Finishes what [`Window::add_success`] began. Under the lock, if the generation is still the same.
    pub fn settle(&self, ticket: Ticket) {
        if let Self::Time(tenths) = self {
            tenths.add(ticket.0, 0);
        }
    }

    /// Counts any result. Under the lock.
    pub fn add(&self, failed: bool, slow: bool, now: Instant) {
        let marks = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        match self {
            Self::None => {}
            Self::Count(ring) => ring.add(marks),
            Self::Time(tenths) => tenths.add(tenths.tenth_at(now), marks),
        }
    }

    /// A success was counted though it belonged to an earlier generation. Under the lock.
    pub fn take_back(&self, mark: Mark) {
        match self {
            Self::None => {}
            Self::Count(ring) => ring.take_back(mark),
            Self::Time(tenths) => {
                let present = tenths.present.load(Ordering::Relaxed) % TENTHS;
                let calls = &tenths.tenths[present as usize].calls.0;
                let _ = calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| calls.checked_sub(1));
            }
        }
    }

    /// Begins anew. Under the lock.
    pub fn clear(&self) {
        match self {
            Self::None => {}
            Self::Count(ring) => ring.clear(),
            Self::Time(tenths) => tenths.clear(),
        }
    }

    /// Under the lock.
    pub fn counts(&self) -> WindowCounts {
        match self {
            Self::None => WindowCounts::default(),
            Self::Count(ring) => ring.counts(),
            Self::Time(tenths) => tenths.counts(),
        }
    }
}

/// What is left to do for a success: it is the first of this tenth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

/// Where a plain success was counted, for when it must be taken back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    shard: usize,
    /// How many its shard had counted before it.
    number: u64,
}

/// Shards of the count of plain successes.
const SHARDS: usize = 16;

thread_local! {
    /// The shard that this thread counts in.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[inline]
fn shard() -> usize {
    let shard = SHARD.get();
    // The remainder is for the compiler: with it, it needs to check no bounds.
    if shard == usize::MAX { first_shard() } else { shard % SHARDS }
}

#[cold]
#[inline(never)]
fn first_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    SHARD.set(shard);
    shard
}

/// Plain successes counted by shard, and a ring of marks. Successes since the last look are a run without marks: they enter
/// the ring together, under the lock, before anything else does.
#[derive(Debug)]
pub(super) struct Ring {
    size: u64,
    mask: u64,
    successes: [Alone; SHARDS],
    /// Written under the lock only, as everything below. Its length is a power of two above the size, so that no
    /// division is needed; marks outside the window are zero.
    marks: Box<[AtomicU8]>,
    /// Successes of the shards that are in the ring already.
    entered: AtomicU64,
    /// What each shard had counted when the generation began: what was counted before is in the ring, behind its base.
    cleared: [AtomicU64; SHARDS],
    /// Calls that entered the ring, of all generations.
    results: AtomicU64,
    /// What `results` was when the generation began.
    base: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

impl Ring {
    fn new(size: u64) -> Self {
        let length = (size + 1).next_power_of_two();
        Self {
            size,
            mask: length - 1,
            successes: Default::default(),
            marks: (0..length).map(|_| AtomicU8::new(0)).collect(),
            entered: AtomicU64::new(0),
            cleared: Default::default(),
            results: AtomicU64::new(0),
            base: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    #[inline]
    fn add_success(&self) -> Mark {
        let shard = shard();
        // Against the breaker's stamp, which is looked at next; no dearer than any other addition.
        let number = self.successes[shard].0.fetch_add(1, Ordering::SeqCst);
        Mark { shard, number }
    }

    /// Under the lock. What was counted before the generation began went into the ring with its beginning and counts for
    /// nothing; only what came later stands in this generation's way.
    fn take_back(&self, mark: Mark) {
        if mark.number >= self.cleared[mark.shard].load(Ordering::Relaxed) {
            self.entered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Successes of each shard.
    fn counted(&self) -> [u64; SHARDS] {
        std::array::from_fn(|shard| self.successes[shard].0.load(Ordering::SeqCst))
    }

    /// Lets the counted successes into the ring. Under the lock.
    fn enter(&self) {
        self.enter_up_to(&self.counted());
    }

    fn enter_up_to(&self, counted: &[u64; SHARDS]) {
        let counted = counted.iter().fold(0_u64, |sum, shard| sum.wrapping_add(*shard));
        let waiting = counted.wrapping_sub(self.entered.load(Ordering::Relaxed));
        // Taken back when it had entered: a negative number, which the next successes make up for.
        if waiting == 0 || waiting > u64::MAX / 2 {
            return;
        }
        self.entered.fetch_add(waiting, Ordering::Relaxed);
        let results = self.results.load(Ordering::Relaxed);
        if self.is_marked() {
            if waiting >= self.size {
                self.unmark();
            } else {
                (0..waiting).for_each(|n| self.put((results + n).wrapping_sub(self.size), 0));
            }
        }
        self.results.store(results + waiting, Ordering::Relaxed);
    }

    fn add(&self, marks: u8) {
        self.enter();
        let index = self.results.load(Ordering::Relaxed);
        self.results.store(index + 1, Ordering::Relaxed);
        self.put(index.wrapping_sub(self.size), 0);
        self.put(index, marks);
    }

    fn put(&self, index: u64, marks: u8) {
        let old = self.marks[(index & self.mask) as usize].swap(marks, Ordering::Relaxed);
        for (counter, bit) in [(&self.failures, FAILED), (&self.slow, SLOW)] {
            let count = counter.load(Ordering::Relaxed) + u64::from(marks & bit != 0) - u64::from(old & bit != 0);
            counter.store(count, Ordering::Relaxed);
        }
    }

    fn is_marked(&self) -> bool {
        self.failures.load(Ordering::Relaxed) + self.slow.load(Ordering::Relaxed) > 0
    }

    fn unmark(&self) {
        self.marks.iter().for_each(|marks| marks.store(0, Ordering::Relaxed));
        self.failures.store(0, Ordering::Relaxed);
        self.slow.store(0, Ordering::Relaxed);
    }

    fn clear(&self) {
        let counted = self.counted();
        self.enter_up_to(&counted);
        // Whatever was counted is behind the base, and so is what was taken back after it had entered: no debt is left.
        self.entered.store(counted.iter().fold(0, |sum, shard| sum.wrapping_add(*shard)), Ordering::Relaxed);
        for (cleared, counted) in self.cleared.iter().zip(counted) {
            cleared.store(counted, Ordering::Relaxed);
        }
        if self.is_marked() {
            self.unmark();
        }
        self.base.store(self.results.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn counts(&self) -> WindowCounts {
        self.enter();
        let calls = self.results.load(Ordering::Relaxed).saturating_sub(self.base.load(Ordering::Relaxed));
        WindowCounts {
            calls: calls.min(self.size),
            failures: self.failures.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
        }
    }
}

/// Counts by tenth of the window.
#[derive(Debug)]
pub(super) struct Tenths {
    origin: Instant,
    /// Nanoseconds.
    length: u64,
    /// The number of the tenth that results go to.
    present: AtomicU64,
    /// When it ends, so that a result needs a comparison and no division.
    end: AtomicU64,
    tenths: [Tenth; TENTHS as usize],
}

#[derive(Debug, Default)]
struct Tenth {
    calls: Alone,
    failures: AtomicU64,
    slow: AtomicU64,
}

impl Tenths {
    fn new(window: Duration, origin: Instant) -> Self {
        let length = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).div_ceil(TENTHS).max(1);
        Self { origin, length, present: AtomicU64::new(0), end: AtomicU64::new(length), tenths: Default::default() }
    }

    fn tenth_at(&self, now: Instant) -> u64 {
        nanos(self.origin, now) / self.length
    }

    #[inline]
    fn add_success(&self) -> Result<(), Ticket> {
        let at = nanos(self.origin, Instant::now());
        // Another thread's later tenth takes it, too: that is a difference of a moment.
        if at >= self.end.load(Ordering::Acquire) {
            return Err(Ticket(at / self.length));
        }
        self.tenths[(self.present.load(Ordering::Acquire) % TENTHS) as usize].calls.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn add(&self, tenth: u64, marks: u8) {
        self.advance(tenth);
        let tenth = &self.tenths[(self.present.load(Ordering::Relaxed) % TENTHS) as usize];
        tenth.calls.0.fetch_add(1, Ordering::Relaxed);
        tenth.failures.fetch_add(u64::from(marks & FAILED != 0), Ordering::Relaxed);
        tenth.slow.fetch_add(u64::from(marks & SLOW != 0), Ordering::Relaxed);
    }

    /// Clears the tenths that left the window. Never goes back.
    fn advance(&self, to: u64) {
        let present = self.present.load(Ordering::Relaxed);
        for number in (present + 1..=to).rev().take(TENTHS as usize) {
            self.tenths[(number % TENTHS) as usize].clear();
        }
        let present = present.max(to);
        self.present.store(present, Ordering::Release);
        self.end.store((present + 1).saturating_mul(self.length), Ordering::Release);
    }

    fn clear(&self) {
        self.tenths.iter().for_each(Tenth::clear);
    }

    fn counts(&self) -> WindowCounts {
        self.tenths.iter().fold(WindowCounts::default(), |sum, tenth| WindowCounts {
            calls: sum.calls + tenth.calls.0.load(Ordering::SeqCst),
            failures: sum.failures + tenth.failures.load(Ordering::Relaxed),
            slow: sum.slow + tenth.slow.load(Ordering::Relaxed),
        })
    }
}

impl Tenth {
    fn clear(&self) {
        self.calls.0.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.slow.store(0, Ordering::Relaxed);
    }
}

/// Nanoseconds from `origin` to `at`; none if it is before.
#[inline]
pub(super) fn nanos(origin: Instant, at: Instant) -> u64 {
    nanos_of(at.saturating_duration_since(origin))
}

/// The most there are after five centuries.
#[inline]
pub(super) fn nanos_of(duration: Duration) -> u64 {
    // Not by way of `as_nanos`, whose 128 bits every call would pay for.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}
