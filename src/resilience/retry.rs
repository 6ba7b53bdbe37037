//! Running an operation until it succeeds, may not be repeated, or time, retries, budget or the caller end it.
//!
//! It owns the loop and must not know what the operation is: errors say themselves what they mean ([`Classify`]), the
//! delays come from [`Backoff`], time from tokio, chance from the generator it is given.
//!
//! Put it *outside* a circuit breaker: a breaker's refusal says for how long to stay away ([`Classify::refused_for`]),
//! and waiting for that uses neither attempts nor budget.
//!
//! Above librdkafka, which retries by itself: a repeated *send* is a new record that idempotence cannot recognise. Repeat
//! only what is certainly not persisted, or what may arrive twice.

mod budget;
mod error;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::{Backoff, RetryConfig};
use super::classify::{Class, Classification, Classify};
use crate::rng::Rng;

pub use budget::RetryBudget;
pub use error::{RetryError, TIMED_OUT};

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed(Classification),
    /// It was cut off by the attempt's time limit or the deadline.
    TimedOut,
    /// It never began: something in front of the operation refused. Its number comes again.
    Refused,
}

/// One attempt, as an observer sees it when it has ended. A cancelled attempt is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 0 for the first attempt, 1 for the first retry.
    pub number: u32,
    /// What became of it.
    pub result: AttemptResult,
    /// The Kafka or librdkafka code of its error.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
    /// The wait until the next attempt; `None` if this was the last.
    pub next_in: Option<Duration>,
}

type Observer = Box<dyn Fn(&Attempt) + Send + Sync>;

/// A policy for retrying, used for one operation after the other.
pub struct Retry {
    config: RetryConfig,
    backoff: Backoff,
    rng: Rng,
    classes: Vec<Class>,
    budget: Option<Arc<RetryBudget>>,
    observer: Option<Observer>,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("config", &self.config).field("classes", &self.classes).finish_non_exhaustive()
    }
}

/// What the loop does after an attempt.
enum Next<E> {
    Wait(Duration),
    GiveUp(RetryError<E>),
}

impl Retry {
    /// Retries retriable and temporary errors by `config`, with delays drawn from `rng`.
    pub fn new(config: RetryConfig, mut rng: Rng) -> Self {
        let backoff = Backoff::new(config.clone(), Rng::new(rng.u64()));
        Self { config, backoff, rng, classes: vec![Class::Retriable, Class::Temporary], budget: None, observer: None }
    }

    /// Calls `observer` after every attempt, before the wait that follows it. It must not block.
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&Attempt) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Retries errors of these classes only. Default retriable and temporary.
    #[must_use]
    pub fn classes(mut self, classes: impl IntoIterator<Item = Class>) -> Self {
        self.classes = classes.into_iter().collect();
        self
    }

    /// Takes retries from a budget that many operations share.
    #[must_use]
    pub fn budget(mut self, budget: Arc<RetryBudget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The numbers it works by.
    pub fn config(&self) -> &RetryConfig {
        &self.config
    }

    /// Runs `op` until it succeeds or may not be tried again. `op` gets the attempt's number, from 0.
    ///
    /// A deadline also cuts off a running attempt, and ends the loop early when the next delay would pass it. `cancel`
    /// ends attempts and waits at once. Both drop the attempt's future: what it was doing may still take effect.
    ///
    /// Cancel-safe as far as `op` is: dropping the returned future drops the running attempt and nothing else.
    ///
    /// # Errors
    /// See [`RetryError`]; it holds the last error of the operation, if there was one.
    pub async fn run<T, E, F, Fut>(&mut self, cancel: &CancellationToken, op: F) -> Result<T, RetryError<E>>
    where
        E: Classify,
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.begin();
        self.drive(cancel, op, None).await
    }

    /// As [`Retry::run`], for callers that end it by dropping the future only. A first attempt that succeeds then costs
    /// next to nothing: no lock, and no clock unless a limit or an observer needs it.
    ///
    /// # Errors
    /// See [`RetryError`]; never [`RetryError::Cancelled`].
    ///
    /// ```
    /// use rdkafka::types::RDKafkaErrorCode::RequestTimedOut;
    /// use seaworthy::resilience::{Retry, RetryConfig};
    /// use seaworthy::rng::Rng;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mut retry = Retry::new(RetryConfig::default(), Rng::from_entropy());
    /// let answer = retry.call(|attempt| async move { if attempt < 2 { Err(RequestTimedOut) } else { Ok(42) } }).await;
    /// assert_eq!(answer, Ok(42));
    /// # }
    /// ```
    pub async fn call<T, E, F, Fut>(&mut self, mut op: F) -> Result<T, RetryError<E>>
    where
        E: Classify,
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.begin();
        let timed = self.config.deadline.is_some() || self.config.attempt_timeout.is_some() || self.observer.is_some();
        let failed = if timed {
            None
        } else {
            match op(0).await {
                Ok(value) => return Ok(value),
                Err(error) => Some(error),
            }
        };
        // Boxed: who succeeds at the first try must not carry the timers of those who wait.
        Box::pin(self.drive(&Never, op, failed)).await
    }

    fn begin(&mut self) {
        self.backoff.reset();
        if let Some(budget) = &self.budget {
            budget.note_call();
        }
    }

    /// `failed`: the first attempt was made, and this is its error.
    async fn drive<T, E, F, Fut, S>(&mut self, stop: &S, mut op: F, mut failed: Option<E>) -> Result<T, RetryError<E>>
    where
        E: Classify,
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        S: Stop,
    {
        // A deadline too far away to be represented is none.
        let deadline = self.config.deadline.and_then(|limit| Instant::now().checked_add(limit));
        // The clock costs more than all of the rest: it is read only for those who ask.
        let timed = deadline.is_some() || self.observer.is_some();
        let mut attempts = 0;
        let mut last = None;
        loop {
            if stop.is_stopped() {
                return Err(RetryError::Cancelled { attempts, last });
            }
            let begun = if timed { Some(Instant::now()) } else { None };
            let left = begun.zip(deadline).map(|(begun, deadline)| deadline.saturating_duration_since(begun));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(RetryError::DeadlineExceeded { attempts, last });
            }
            let limit = match (left, self.config.attempt_timeout) {
                (Some(left), Some(limit)) => Some(left.min(limit)),
                (left, limit) => left.or(limit),
            };
            let outcome = match failed.take() {
                Some(error) => Some(Err(error)),
                None => match stop.unless(within(limit, op(attempts))).await {
                    Some(outcome) => outcome,
                    None => return Err(RetryError::Cancelled { attempts: attempts + 1, last }),
                },
            };
            let took = || begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            let seen = |result, code, next_in| Attempt { number: attempts, result, code, took: took(), next_in };
            let delay = match outcome {
                Some(Ok(value)) => {
                    if self.observer.is_some() {
                        self.observe(&seen(AttemptResult::Succeeded, None, None));
                    }
                    return Ok(value);
                }
                Some(Err(error)) => {
                    let (result, code) = (AttemptResult::Failed(error.classify()), error.code());
                    if let Some(stay_away) = error.refused_for() {
                        let wait = self.spread(stay_away);
                        let attempt = Attempt { result: AttemptResult::Refused, ..seen(result, code, Some(wait)) };
                        last = Some(error);
                        if deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                            self.observe(&Attempt { next_in: None, ..attempt });
                            return Err(RetryError::DeadlineExceeded { attempts, last });
                        }
                        self.observe(&attempt);
                        if stop.unless(sleep(wait)).await.is_some() {
                            continue;
                        }
                        return Err(RetryError::Cancelled { attempts, last });
                    }
                    let attempt = seen(result, code, None);
                    attempts += 1;
                    let next = self.after_failure(error, attempts, deadline, &mut last);
                    self.settle(attempt, next)?
                }
                None => {
                    let attempt = seen(AttemptResult::TimedOut, None, None);
                    attempts += 1;
                    let next = self.after_timeout(attempts, deadline, &mut last);
                    self.settle(attempt, next)?
                }
            };
            if stop.unless(sleep(delay)).await.is_none() {
                return Err(RetryError::Cancelled { attempts, last });
            }
        }
    }

    fn settle<E>(&self, attempt: Attempt, next: Next<E>) -> Result<Duration, RetryError<E>> {
        match next {
            Next::Wait(delay) => {
                self.observe(&Attempt { next_in: Some(delay), ..attempt });
                Ok(delay)
            }
            Next::GiveUp(error) => {
                self.observe(&attempt);
                Err(error)
            }
        }
    }

    fn after_failure<E: Classify>(
        &mut self,
        error: E,
        attempts: u32,
        deadline: Option<Instant>,
        last: &mut Option<E>,
    ) -> Next<E> {
        if !self.classes.contains(&error.classify().class) {
            return Next::GiveUp(RetryError::NotRetriable { attempts, error });
        }
        let Some(delay) = self.backoff.next_delay() else {
            return Next::GiveUp(RetryError::Exhausted { attempts, last: error });
        };
        *last = Some(error);
        self.afford(delay, attempts, deadline, last)
    }

    fn after_timeout<E>(&mut self, attempts: u32, deadline: Option<Instant>, last: &mut Option<E>) -> Next<E> {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Next::GiveUp(RetryError::DeadlineExceeded { attempts, last: last.take() });
        }
        if !self.classes.contains(&TIMED_OUT.class) {
            return Next::GiveUp(RetryError::TimedOut { attempts, last: last.take() });
        }
        match self.backoff.next_delay() {
            Some(delay) => self.afford(delay, attempts, deadline, last),
            None => Next::GiveUp(RetryError::TimedOut { attempts, last: last.take() }),
        }
    }

    /// The last two things that can stand in the way of a retry: time and the shared budget.
    fn afford<E>(&self, delay: Duration, attempts: u32, deadline: Option<Instant>, last: &mut Option<E>) -> Next<E> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| delay >= left) {
            return Next::GiveUp(RetryError::DeadlineExceeded { attempts, last: last.take() });
        }
        if self.budget.as_ref().is_some_and(|budget| !budget.take_retry()) {
            return Next::GiveUp(RetryError::BudgetExhausted { attempts, last: last.take() });
        }
        Next::Wait(delay)
    }

    /// The wait after a refusal: never nothing, and spread over the initial delay, so that those who were refused
    /// together do not come back together.
    fn spread(&mut self, stay_away: Duration) -> Duration {
        const LEAST: Duration = Duration::from_millis(1);
        let extra = self.config.initial_delay.as_secs_f64() * self.rng.share();
        stay_away.saturating_add(Duration::try_from_secs_f64(extra).unwrap_or_default()).max(LEAST)
    }

    fn observe(&self, attempt: &Attempt) {
        if let Some(observer) = &self.observer {
            observer(attempt);
        }
    }
}

async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

/// What may end the loop from outside.
trait Stop {
    fn is_stopped(&self) -> bool;

    /// The future's output; `None` if it was stopped first, which is looked at first.
    async fn unless<F: Future>(&self, future: F) -> Option<F::Output>;
}

impl Stop for CancellationToken {
    fn is_stopped(&self) -> bool {
        self.is_cancelled()
    }

    async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.cancelled() => None,
            output = future => Some(output),
        }
    }
}

/// Nobody stops it.
struct Never;

impl Stop for Never {
    fn is_stopped(&self) -> bool {
        false
    }

    async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

#[cfg(test)]
mod tests;
