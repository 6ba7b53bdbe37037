//! Why a retried operation ended without success.

use std::error::Error;
use std::fmt;

use super::super::classify::{Action, Class, Classification, Classify, Persistence};

/// What an attempt that was cut off means: worth repeating, and it may have taken effect.
pub const TIMED_OUT: Classification = Classification::new(Class::Retriable, Action::Retry, Persistence::Possibly);

/// Why a retried operation ended without success. `attempts` counts those that began, the first included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// All retries were used.
    Exhausted {
        /// Attempts that began.
        attempts: u32,
        /// The last attempt's error.
        last: E,
    },
    /// The error is of a class that is not retried.
    NotRetriable {
        /// Attempts that began.
        attempts: u32,
        /// The last attempt's error.
        error: E,
    },
    /// The deadline passed, or the next delay would have passed it.
    DeadlineExceeded {
        /// Attempts that began.
        attempts: u32,
        /// The last error; `None` if no attempt ended before the deadline.
        last: Option<E>,
    },
    /// The last attempt took longer than an attempt may, and no retry was left.
    TimedOut {
        /// Attempts that began.
        attempts: u32,
        /// The last error before that.
        last: Option<E>,
    },
    /// The shared retry budget was spent.
    BudgetExhausted {
        /// Attempts that began.
        attempts: u32,
        /// The last error.
        last: Option<E>,
    },
    /// The caller cancelled.
    Cancelled {
        /// Attempts that began, the one that was cut off included.
        attempts: u32,
        /// The last error before that.
        last: Option<E>,
    },
}

impl<E> RetryError<E> {
    /// Attempts that began.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Exhausted { attempts, .. }
            | Self::NotRetriable { attempts, .. }
            | Self::DeadlineExceeded { attempts, .. }
            | Self::TimedOut { attempts, .. }
            | Self::BudgetExhausted { attempts, .. }
            | Self::Cancelled { attempts, .. } => *attempts,
        }
    }

    /// The operation's last error, if there was one.
    pub fn last(&self) -> Option<&E> {
        match self {
            Self::Exhausted { last: error, .. } | Self::NotRetriable { error, .. } => Some(error),
            Self::DeadlineExceeded { last, .. }
            | Self::TimedOut { last, .. }
            | Self::BudgetExhausted { last, .. }
            | Self::Cancelled { last, .. } => last.as_ref(),
        }
    }

    /// The operation's last error by value, if there was one.
    pub fn into_last(self) -> Option<E> {
        match self {
            Self::Exhausted { last: error, .. } | Self::NotRetriable { error, .. } => Some(error),
            Self::DeadlineExceeded { last, .. }
            | Self::TimedOut { last, .. }
            | Self::BudgetExhausted { last, .. }
            | Self::Cancelled { last, .. } => last,
        }
    }

    /// True if it ended because the error may not be retried, rather than for want of time or retries.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::NotRetriable { .. })
    }
}

/// What the last error means. A cut-off attempt counts as [`TIMED_OUT`].
impl<E: Classify> Classify for RetryError<E> {
    fn classify(&self) -> Classification {
        match self {
            Self::TimedOut { .. } => TIMED_OUT,
            error => error.last().map_or(TIMED_OUT, Classify::classify),
        }
    }

    fn code(&self) -> Option<i32> {
        self.last().and_then(Classify::code)
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::Exhausted { .. } => "all retries failed",
            Self::NotRetriable { .. } => "the error may not be retried",
            Self::DeadlineExceeded { .. } => "the deadline passed",
            Self::TimedOut { .. } => "the last attempt took too long",
            Self::BudgetExhausted { .. } => "the retry budget is spent",
            Self::Cancelled { .. } => "cancelled",
        };
        write!(f, "{why}, attempts: {}", self.attempts())?;
        match self.last() {
            Some(last) => write!(f, ", last error: {last}"),
            None => Ok(()),
        }
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last().map(|last| last as &(dyn Error + 'static))
    }
}
