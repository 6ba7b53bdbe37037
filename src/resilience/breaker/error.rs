//! Why a call did not happen, or failed.

use std::time::Duration;

use super::super::classify::{Action, Class, Classification, Classify, Persistence};
use super::super::retry::TIMED_OUT;

/// A refusal: the breaker is open, or half-open with all probes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open, next try in {retry_in:?}")]
pub struct Rejected {
    /// Come back no sooner. While open, what is left of the open time; while half-open, a guess of when a probe ends.
    /// A breaker that is forced open does not know when: one second.
    pub retry_in: Duration,
}

impl Classify for Rejected {
    fn classify(&self) -> Classification {
        Classification::new(Class::Temporary, Action::Wait, Persistence::Not)
    }

    fn refused_for(&self) -> Option<Duration> {
        Some(self.retry_in)
    }
}

/// Why a call through [`CircuitBreaker::call`](super::CircuitBreaker::call) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// It was refused; the operation was not begun.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It was cut off after this long, and counted as a failure.
    #[error("the call took longer than {0:?}")]
    TimedOut(Duration),
    /// The operation's own error.
    #[error("{0}")]
    Operation(#[source] E),
}

impl<E: Classify> Classify for BreakerError<E> {
    fn classify(&self) -> Classification {
        match self {
            Self::Rejected(rejected) => rejected.classify(),
            Self::TimedOut(_) => TIMED_OUT,
            Self::Operation(error) => error.classify(),
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Operation(error) => error.code(),
            Self::Rejected(_) | Self::TimedOut(_) => None,
        }
    }

    fn refused_for(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => rejected.refused_for(),
            Self::Operation(error) => error.refused_for(),
            Self::TimedOut(_) => None,
        }
    }
}
