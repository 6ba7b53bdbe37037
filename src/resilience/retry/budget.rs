//! A budget of retries that many operations share, so that retries cannot multiply an outage.

use std::sync::atomic::{AtomicU64, Ordering};

/// Retries count in thousandths, so that a share of a retry can be saved up.
const WHOLE: u64 = 1_000;

/// A bucket of retries: every call puts a share of one in, every retry takes one out. In the long run retries are at
/// most that share of calls; in a burst at most the bucket's size.
///
/// A maximum of retries bounds one operation. With all operations failing at once it still multiplies the load by
/// itself plus one, at the moment when the cluster can bear it least; this does not.
#[derive(Debug)]
pub struct RetryBudget {
    tokens: AtomicU64,
    size: u64,
    share: u64,
}

impl RetryBudget {
    /// Retries for `share` of the calls (0 to 1; others are brought there), with a bucket of `size` retries, full at
    /// the start.
    pub fn new(share: f64, size: u32) -> Self {
        let size = u64::from(size) * WHOLE;
        // NaN becomes 0 in the conversion.
        let share = (share.clamp(0.0, 1.0) * WHOLE as f64).round() as u64;
        Self { tokens: AtomicU64::new(size), size, share }
    }

    /// Whole retries in the bucket.
    pub fn available(&self) -> u32 {
        u32::try_from(self.tokens.load(Ordering::Relaxed) / WHOLE).unwrap_or(u32::MAX)
    }

    pub(super) fn note_call(&self) {
        let add = |tokens: u64| Some((tokens + self.share).min(self.size));
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub(super) fn take_retry(&self) -> bool {
        let take = |tokens: u64| tokens.checked_sub(WHOLE);
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}
