//! The calls of the handler for one record: within the breaker, again and again until it succeeds or the record is
//! given up.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::halt::Reason;
use super::settle::Place;
use super::worker::{Origin, Work, Worker};
use super::{Defect, Handler, HandlerError, HandlerErrorKind};
use crate::clock::wall;
use crate::resilience::backoff::Backoff;
use crate::resilience::breaker::BreakerError;
use crate::resilience::classify::{Action, Classify};
use crate::resilience::dlq::Failure;
use crate::resilience::record::{Incoming, Record};
use crate::resilience::settings::OnExhausted;
use crate::rng::Rng;

/// What became of the calls of the handler.
pub(super) enum Handled {
    Outputs(Vec<Record>),
    Park(Place, Failure),
    Skip,
    /// The task is to stop: the record is left to the next owner.
    LeftAlone,
}

impl<H: Handler> Worker<H> {
    /// Calls the handler until it succeeds, the record is given up, or the task is to stop.
    pub(super) async fn handle(&self, incoming: &Incoming, origin: &Origin, rng: &mut Rng) -> Handled {
        let Work { observer, settings, retry, watched, .. } = &*self.work;
        // Most records need none of these: clocks are read where somebody wants to know, and delays drawn after a failure.
        let mut started = retry.deadline.map(|_| Instant::now());
        let mut backoff = None;
        let mut attempts = origin.attempts;
        let mut first_failure = origin.first_failure;
        loop {
            let begun = watched.then(Instant::now);
            let took = || begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            let error = match self.work.breaker.call(|| self.call(incoming, attempts.saturating_add(1))).await {
                Ok(outputs) => {
                    if *watched {
                        observer.on_attempt(incoming, attempts.saturating_add(1), took(), None);
                    }
                    return Handled::Outputs(outputs);
                }
                // Neither an attempt nor a failure.
                Err(BreakerError::Rejected(_)) if self.work.defect == Some(Defect::RejectedAsSuccess) => {
                    return Handled::Skip;
                }
                Err(BreakerError::Rejected(rejected)) => {
                    observer.on_signal("breaker-wait", &self.lane.tp.to_string());
                    if self.pause(rejected.retry_in.max(Duration::from_millis(1))).await {
                        continue;
                    }
                    return Handled::LeftAlone;
                }
                Err(BreakerError::TimedOut(limit)) => HandlerError::timeout(format!("no result within {limit:?}")),
                Err(BreakerError::Operation(error)) => error,
            };
            attempts = attempts.saturating_add(1);
            if *watched {
                observer.on_attempt(incoming, attempts, took(), Some(&error));
            }
            if error.kind == HandlerErrorKind::Stop {
                self.work.halt.order(Reason::Handler(format!("{}: {error}", self.lane.tp)));
                self.lane.stopped().await;
                return Handled::LeftAlone;
            }
            let first_failure = *first_failure.get_or_insert_with(wall);
            let classification = error.classify();
            let failure = || Failure {
                message: error.message.clone(),
                class: classification.class,
                code: error.code,
                attempts,
                first_failure,
            };
            if !classification.is_retriable() {
                return if classification.action == Action::Skip {
                    Handled::Skip
                } else {
                    Handled::Park(Place::DeadLetters, failure())
                };
            }
            let late = retry.deadline.zip(started).is_some_and(|(deadline, started)| started.elapsed() >= deadline);
            let backoff = backoff.get_or_insert_with(|| Backoff::new(retry.clone(), Rng::new(rng.u64())));
            if let Some(delay) = backoff.next_delay().filter(|_| !late) {
                observer.on_retry(incoming, attempts, delay, &error);
                if self.pause(delay).await {
                    continue;
                }
                return Handled::LeftAlone;
            }
            observer.on_signal("retries-exhausted", &format!("{} {}: {error}", self.lane.tp, incoming.offset));
            if self.work.defect == Some(Defect::DropOnExhaustion) {
                return Handled::Skip;
            }
            if self.work.retry_topics.as_ref().is_some_and(|topics| topics.has(origin.level + 1)) {
                return Handled::Park(Place::RetryTopic { after: origin.level }, failure());
            }
            match settings.on_exhausted {
                OnExhausted::DeadLetter => return Handled::Park(Place::DeadLetters, failure()),
                OnExhausted::Hold => {
                    if !self.pause(settings.hold).await {
                        return Handled::LeftAlone;
                    }
                    backoff.reset();
                    started = retry.deadline.map(|_| Instant::now());
                }
            }
        }
    }

    /// One attempt, within its time, with a panic as a permanent error: it would come again.
    pub(super) async fn call(&self, incoming: &Incoming, attempt: u32) -> Result<Vec<Record>, HandlerError> {
        let call = AssertUnwindSafe(self.work.handler.handle(incoming, attempt)).catch_unwind();
        let result = match self.work.retry.attempt_timeout {
            Some(limit) => match tokio::time::timeout(limit, call).await {
                Ok(result) => result,
                Err(_) => return Err(HandlerError::timeout(format!("no result within {limit:?}"))),
            },
            None => call.await,
        };
        result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(HandlerError::permanent(format!("the handler panicked: {text}")))
        })
    }
}
