//! The task of one topic partition: handles its records in order, and settles them in order. Two loops in one task:
//! the first handles the next record while the second waits for the outputs of those before to be acknowledged.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use super::assignment::Lane;
use super::{Defect, Handler, HandlerError, Observer, defect};
use crate::clock::wall;
use crate::resilience::backoff::{Backoff, RetryConfig};
use crate::resilience::breaker::{BreakerError, CircuitBreaker};
use crate::resilience::classify::{Action, Classify};
use crate::resilience::dlq::{DeadLetterQueue, Failure};
use crate::resilience::producer::{Delivery, ResilientProducer, SendError};
use crate::resilience::record::{Incoming, Record};
use crate::resilience::settings::{ConsumerSettings, OnExhausted};
use crate::rng::Rng;

/// What all tasks of a consumer share.
pub(super) struct Work<H> {
    pub handler: H,
    pub producer: ResilientProducer,
    pub dead_letters: DeadLetterQueue,
    pub breaker: Arc<CircuitBreaker>,
    pub retry: RetryConfig,
    pub settings: ConsumerSettings,
    pub observer: Arc<dyn Observer>,
    pub defect: Option<Defect>,
}

/// A record whose handling is over and whose outcome is not durable yet.
struct Pending {
    incoming: Incoming,
    outcome: Outcome,
}

enum Outcome {
    Outputs(Vec<(Record, Delivery)>),
    DeadLetter(Failure, Record, Delivery),
    /// Of [`Defect::UnorderedPool`].
    Pool(Vec<JoinHandle<()>>),
    /// Nothing to wait for.
    Done,
}

/// What became of the calls of the handler.
enum Handled {
    Outputs(Vec<Record>),
    DeadLetter(Failure),
    Skip,
    /// The task is to stop: the record is left to the next owner.
    LeftAlone,
}

struct Worker<H> {
    work: Arc<Work<H>>,
    lane: Arc<Lane>,
    /// False while the second loop is in trouble: what would be sent meanwhile would overtake what has to be sent again.
    clear: watch::Sender<bool>,
}

struct EndOf(Arc<Lane>);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.end();
    }
}

pub(super) fn spawn<H: Handler>(
    runtime: &tokio::runtime::Handle,
    work: Arc<Work<H>>,
    lane: Arc<Lane>,
    feed: mpsc::UnboundedReceiver<Incoming>,
) -> AbortHandle {
    let end = EndOf(Arc::clone(&lane));
    let worker = Worker { work, lane, clear: watch::Sender::new(true) };
    let task = runtime.spawn(async move {
        let _end = end;
        worker.run(feed).await;
    });
    task.abort_handle()
}

impl<H: Handler> Worker<H> {
    async fn run(&self, feed: mpsc::UnboundedReceiver<Incoming>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::join!(self.handle_all(feed, sender), self.settle_all(receiver));
    }

    async fn handle_all(&self, mut feed: mpsc::UnboundedReceiver<Incoming>, settle: mpsc::UnboundedSender<Pending>) {
        let mut clear = self.clear.subscribe();
        let mut rng = Rng::from_entropy();
        loop {
            let next = async {
                let incoming = feed.recv().await?;
                clear.wait_for(|clear| *clear).await.ok()?;
                self.work.producer.ready().await;
                Some(incoming)
            };
            let incoming = tokio::select! {
                biased;
                () = self.lane.stop.cancelled() => return,
                incoming = next => match incoming {
                    Some(incoming) => incoming,
                    None => return,
                },
            };
            self.work.observer.on_deliver(&incoming);
            let backoff = Backoff::new(self.work.retry.clone(), Rng::new(rng.u64()));
            let handled = match self.work.defect {
                Some(Defect::CommitPastHole) => match self.call(&incoming, 1).await {
                    Ok(outputs) => Handled::Outputs(outputs),
                    Err(_) => {
                        defect::put_aside(&self.work, &incoming);
                        Handled::Skip
                    }
                },
                _ => self.handle(&incoming, backoff).await,
            };
            let outcome = match handled {
                Handled::Outputs(records) if self.work.defect == Some(Defect::UnorderedPool) => {
                    Outcome::Pool(defect::pool(&self.work, incoming.offset, records))
                }
                Handled::Outputs(records) => Outcome::Outputs(self.send_all(records)),
                Handled::DeadLetter(failure) => self.dead_letter(&incoming, failure),
                Handled::Skip => Outcome::Done,
                Handled::LeftAlone => return,
            };
            if settle.send(Pending { incoming, outcome }).is_err() {
                return;
            }
        }
    }

    fn send_all(&self, records: Vec<Record>) -> Vec<(Record, Delivery)> {
        let send = |record: Record| {
            let delivery = self.work.producer.send(record.clone());
            (record, delivery)
        };
        records.into_iter().map(send).collect()
    }

    fn dead_letter(&self, incoming: &Incoming, failure: Failure) -> Outcome {
        let mut letter = self.work.dead_letters.dead_letter(incoming, &failure, wall());
        if self.work.defect == Some(Defect::BareDeadLetter) {
            letter.headers.clone_from(&incoming.headers);
        }
        let delivery = self.work.producer.send(letter.clone());
        if self.work.defect == Some(Defect::UnawaitedDeadLetter) {
            self.work.observer.on_dead_letter(&self.lane.tp, incoming.offset);
            return Outcome::Done;
        }
        Outcome::DeadLetter(failure, letter, delivery)
    }

    /// Calls the handler until it succeeds, the record is given up, or the task is to stop.
    async fn handle(&self, incoming: &Incoming, mut backoff: Backoff) -> Handled {
        let Work { observer, settings, retry, .. } = &*self.work;
        let mut started = Instant::now();
        let mut attempts = 0;
        let mut first_failure: Option<SystemTime> = None;
        loop {
            let begun = Instant::now();
            let error = match self.work.breaker.call(|| self.call(incoming, attempts + 1)).await {
                Ok(outputs) => {
                    observer.on_attempt(incoming, attempts + 1, begun.elapsed(), None);
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
            attempts += 1;
            observer.on_attempt(incoming, attempts, begun.elapsed(), Some(&error));
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
                    Handled::DeadLetter(failure())
                };
            }
            let late = retry.deadline.is_some_and(|deadline| started.elapsed() >= deadline);
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
            match settings.on_exhausted {
                OnExhausted::DeadLetter => return Handled::DeadLetter(failure()),
                OnExhausted::Hold => {
                    if !self.pause(settings.hold).await {
                        return Handled::LeftAlone;
                    }
                    backoff.reset();
                    started = Instant::now();
                }
            }
        }
    }

    /// One attempt, within its time, with a panic as a permanent error: it would come again.
    async fn call(&self, incoming: &Incoming, attempt: u32) -> Result<Vec<Record>, HandlerError> {
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

    /// Settles records in their order: an offset is finished only when all before it are.
    async fn settle_all(&self, mut pending: mpsc::UnboundedReceiver<Pending>) {
        while let Some(Pending { incoming, outcome }) = pending.recv().await {
            let settled = match outcome {
                Outcome::Outputs(outputs) => self.settle_outputs(&incoming, outputs).await,
                Outcome::DeadLetter(failure, letter, delivery) => {
                    self.settle_dead_letter(&incoming, &failure, letter, delivery).await
                }
                Outcome::Pool(tasks) => {
                    for task in tasks {
                        let _ = task.await;
                    }
                    true
                }
                Outcome::Done => true,
            };
            if !settled {
                // Only when the task is to stop. What follows may be durable, but is not to be committed.
                return;
            }
            self.lane.finish(incoming.offset);
            self.clear.send_replace(true);
        }
    }

    /// Waits for the acknowledgements; what fails is sent again for as long as it takes. False: the task is to stop.
    async fn settle_outputs(&self, incoming: &Incoming, outputs: Vec<(Record, Delivery)>) -> bool {
        let mut refused = None;
        for (record, delivery) in outputs {
            let Err(error) = delivery.await else { continue };
            match self.send_until_taken(record, error).await {
                Sent::Yes => {}
                // All of them are waited for: the dead letter says the last word on this record.
                Sent::Refused(error) => refused = Some(error),
                Sent::Stopped => return false,
            }
        }
        let Some(error) = refused else { return true };
        let failure = Failure {
            message: format!("its output was refused: {error}"),
            class: error.classification.class,
            code: Some(error.code),
            attempts: 1,
            first_failure: wall(),
        };
        match self.dead_letter(incoming, failure) {
            Outcome::DeadLetter(failure, letter, delivery) => {
                self.settle_dead_letter(incoming, &failure, letter, delivery).await
            }
            _ => true,
        }
    }

    async fn send_until_taken(&self, record: Record, mut error: SendError) -> Sent {
        let mut backoff = Backoff::new(self.work.retry.clone(), Rng::from_entropy());
        for attempt in 0.. {
            if error.classification.action == Action::DeadLetter {
                return Sent::Refused(error);
            }
            self.clear.send_replace(false);
            self.work.observer.on_signal("output-failed", &format!("{}: {error}", self.lane.tp));
            if !self.pause(backoff.delay(attempt)).await {
                return Sent::Stopped;
            }
            match self.work.producer.send(record.clone()).await {
                Ok(_) => return Sent::Yes,
                Err(next) => error = next,
            }
        }
        Sent::Stopped
    }

    /// Waits for the dead letter's acknowledgement, and for as long as it takes: the record must not be lost, so its
    /// topic partition is held. False: the task is to stop.
    async fn settle_dead_letter(
        &self,
        incoming: &Incoming,
        failure: &Failure,
        mut letter: Record,
        delivery: Delivery,
    ) -> bool {
        let observer = &self.work.observer;
        let mut backoff = Backoff::new(self.work.retry.clone(), Rng::from_entropy());
        let mut result = delivery.await;
        let mut small = false;
        for attempt in 0.. {
            let Err(error) = result else {
                observer.on_dead_letter(&self.lane.tp, incoming.offset);
                return true;
            };
            if self.work.defect == Some(Defect::SwallowedDeadLetterFailure) {
                return true;
            }
            self.clear.send_replace(false);
            let at_once = match error.code {
                // The dead-letter topic has fewer partitions.
                UNKNOWN_PARTITION if letter.partition.is_some() => {
                    observer.on_signal("dead-letter-repartitioned", &self.lane.tp.to_string());
                    letter.partition = None;
                    true
                }
                MESSAGE_TOO_LARGE if !small => {
                    observer.on_signal("dead-letter-too-large", &format!("{} {}", self.lane.tp, incoming.offset));
                    small = true;
                    let partition = letter.partition;
                    letter = self.work.dead_letters.small_dead_letter(incoming, failure, wall());
                    letter.partition = partition;
                    true
                }
                _ => false,
            };
            if !at_once {
                observer.on_signal("dead-letter-failed", &format!("{} {}: {error}", self.lane.tp, incoming.offset));
                if !self.pause(backoff.delay(attempt)).await {
                    return false;
                }
            }
            result = self.work.producer.send(letter.clone()).await;
        }
        false
    }

    /// Waits; false if the task is to stop.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.lane.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// What became of an output that was sent again.
enum Sent {
    Yes,
    /// It is the record's fault.
    Refused(SendError),
    /// The task is to stop.
    Stopped,
}

const UNKNOWN_PARTITION: i32 = -190;
const MESSAGE_TOO_LARGE: i32 = 10;
