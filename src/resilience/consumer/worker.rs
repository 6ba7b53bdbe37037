//! The task of one topic partition: handles its records, in order or in order per key, and settles them in order
//! ([`super::settle`]). Two loops in one task: the first handles the next record while the second waits for the outputs
//! of those before to be acknowledged.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::assignment::Lane;
use super::halt::{Halt, Reason};
use super::settle::{Parked, Pending, Place};
use super::{Defect, Handler, HandlerError, HandlerErrorKind, Observer, defect};
use crate::clock::wall;
use crate::resilience::backoff::{Backoff, RetryConfig};
use crate::resilience::breaker::{BreakerError, CircuitBreaker};
use crate::resilience::classify::{Action, Classify};
use crate::resilience::dlq::{DeadLetterQueue, Failure, RetryTopics};
use crate::resilience::producer::{Delivery, ResilientProducer};
use crate::resilience::record::{Incoming, Record};
use crate::resilience::settings::{ConsumerSettings, OnExhausted};
use crate::rng::{Rng, hash};

/// What all tasks of a consumer share.
pub(super) struct Work<H> {
    pub handler: H,
    pub producer: ResilientProducer,
    pub dead_letters: DeadLetterQueue,
    pub retry_topics: Option<RetryTopics>,
    pub concurrency: usize,
    pub halt: Arc<Halt>,
    pub breaker: Arc<CircuitBreaker>,
    pub retry: RetryConfig,
    pub settings: ConsumerSettings,
    pub observer: Arc<dyn Observer>,
    pub defect: Option<Defect>,
}

/// A record on its way through the task.
pub(super) struct Job {
    /// Its place in this topic partition.
    pub offset: i64,
    /// As the handler sees it: out of a retry topic, with its origin and its own headers.
    pub record: Incoming,
    /// The retry topic that it came from, from 1; 0: none.
    level: usize,
    /// Handler calls before this delivery.
    attempts: u32,
    first_failure: Option<SystemTime>,
    /// How long it is to wait first.
    wait: Duration,
}

/// What becomes of a record.
pub(super) enum Outcome {
    Outputs(Vec<(Record, Delivery)>),
    Parked(Parked),
    /// Of [`Defect::UnorderedPool`].
    Pool(Vec<JoinHandle<()>>),
    /// Nothing to wait for.
    Done,
}

/// What became of the calls of the handler.
enum Handled {
    Outputs(Vec<Record>),
    Park(Place, Failure),
    Skip,
    /// The task is to stop: the record is left to the next owner.
    LeftAlone,
}

pub(super) struct Worker<H> {
    pub work: Arc<Work<H>>,
    pub lane: Arc<Lane>,
    /// False while the second loop is in trouble: what would be sent meanwhile would overtake what has to be sent again.
    pub clear: watch::Sender<bool>,
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
    let worker = Arc::new(Worker { work, lane, clear: watch::Sender::new(true) });
    let task = runtime.spawn(async move {
        let _end = end;
        worker.run(feed).await;
    });
    task.abort_handle()
}

impl<H: Handler> Worker<H> {
    async fn run(self: &Arc<Self>, feed: mpsc::UnboundedReceiver<Incoming>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let handle = async {
            match self.work.concurrency {
                0 | 1 => self.handle_in_order(feed, sender).await,
                keys => self.handle_by_key(feed, sender, keys).await,
            }
        };
        tokio::join!(handle, self.settle_all(receiver));
    }

    async fn handle_in_order(
        &self,
        mut feed: mpsc::UnboundedReceiver<Incoming>,
        settle: mpsc::UnboundedSender<Pending>,
    ) {
        let mut clear = self.clear.subscribe();
        let mut rng = Rng::from_entropy();
        while let Some(incoming) = self.next(&mut feed).await {
            let job = self.job(incoming);
            let Some(outcome) = self.work_on(&job, &mut clear, &mut rng).await else { return };
            if settle.send(Pending::Now(Box::new((job, outcome)))).is_err() {
                return;
            }
        }
    }

    /// Each key has one of `slots` tasks, which works on its records in order.
    async fn handle_by_key(
        self: &Arc<Self>,
        mut feed: mpsc::UnboundedReceiver<Incoming>,
        settle: mpsc::UnboundedSender<Pending>,
        slots: usize,
    ) {
        // Dropped with this future: aborted together with the task.
        let mut tasks = JoinSet::new();
        let slots: Vec<_> = (0..slots)
            .map(|_| {
                let (slot, jobs) = mpsc::unbounded_channel();
                tasks.spawn(Arc::clone(self).serve(jobs));
                slot
            })
            .collect();
        while let Some(incoming) = self.next(&mut feed).await {
            let job = self.job(incoming);
            let number = match &job.record.key {
                Some(key) => hash(0, key),
                // No key, no order: in turn.
                None => job.offset.unsigned_abs(),
            };
            let (tell, outcome) = oneshot::channel();
            let slot = &slots[(number % slots.len() as u64) as usize];
            if slot.send((job, tell)).is_err() || settle.send(Pending::Later(outcome)).is_err() {
                break;
            }
        }
        drop((slots, settle));
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<(Job, oneshot::Sender<(Job, Outcome)>)>) {
        let mut clear = self.clear.subscribe();
        let mut rng = Rng::from_entropy();
        while let Some((job, tell)) = self.next(&mut jobs).await {
            // Dropped unanswered, the place of the record stays open: nothing behind it is committed.
            let Some(outcome) = self.work_on(&job, &mut clear, &mut rng).await else { return };
            if tell.send((job, outcome)).is_err() {
                return;
            }
        }
    }

    /// `None`: the task is to stop, or there will be no more.
    async fn next<T>(&self, feed: &mut mpsc::UnboundedReceiver<T>) -> Option<T> {
        if self.lane.stop.is_cancelled() {
            return None;
        }
        match feed.try_recv() {
            Ok(next) => Some(next),
            Err(_) => self.unless_stopped(feed.recv()).await.flatten(),
        }
    }

    /// `None`: the task is to stop.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.lane.stop.cancelled() => None,
            done = work => Some(done),
        }
    }

    fn job(&self, incoming: Incoming) -> Job {
        let offset = incoming.offset;
        let plain = |record| Job { offset, record, level: 0, attempts: 0, first_failure: None, wait: Duration::ZERO };
        let Some(topics) = &self.work.retry_topics else { return plain(incoming) };
        match topics.read(incoming) {
            Ok(retried) => Job {
                offset,
                wait: topics.wait(&retried, wall()),
                level: retried.level,
                attempts: retried.attempts,
                first_failure: retried.first_failure,
                record: retried.original,
            },
            Err(incoming) => plain(incoming),
        }
    }

    /// Works on one record and sends what comes of it. `None`: the task is to stop.
    async fn work_on(&self, job: &Job, clear: &mut watch::Receiver<bool>, rng: &mut Rng) -> Option<Outcome> {
        // Nothing is in the way of most records; looking is cheaper than waiting.
        if !*clear.borrow() || !self.work.producer.has_room() {
            self.unless_stopped(async {
                // Fails only without a sender, which is ours.
                let _ = clear.wait_for(|clear| *clear).await;
                self.work.producer.ready().await;
            })
            .await?;
        }
        if !job.wait.is_zero() && !self.pause(job.wait).await {
            return None;
        }
        self.work.observer.on_deliver(&job.record);
        let backoff = Backoff::new(self.work.retry.clone(), Rng::new(rng.u64()));
        let handled = match self.work.defect {
            Some(Defect::CommitPastHole) => match self.call(&job.record, 1).await {
                Ok(outputs) => Handled::Outputs(outputs),
                Err(_) => {
                    defect::put_aside(&self.work, &job.record);
                    Handled::Skip
                }
            },
            _ => self.handle(job, backoff).await,
        };
        match handled {
            Handled::Outputs(records) if self.work.defect == Some(Defect::UnorderedPool) => {
                Some(Outcome::Pool(defect::pool(&self.work, job.offset, records)))
            }
            Handled::Outputs(records) => Some(Outcome::Outputs(self.send_all(records))),
            Handled::Park(place, failure) => Some(self.park(&job.record, place, failure)),
            Handled::Skip => Some(Outcome::Done),
            Handled::LeftAlone => None,
        }
    }

    fn send_all(&self, records: Vec<Record>) -> Vec<(Record, Delivery)> {
        let send = |record: Record| {
            let delivery = self.work.producer.send(record.clone());
            (record, delivery)
        };
        records.into_iter().map(send).collect()
    }

    /// Calls the handler until it succeeds, the record is given up, or the task is to stop.
    async fn handle(&self, job: &Job, mut backoff: Backoff) -> Handled {
        let Work { observer, settings, retry, .. } = &*self.work;
        let incoming = &job.record;
        let mut started = Instant::now();
        let mut attempts = job.attempts;
        let mut first_failure = job.first_failure;
        loop {
            let begun = Instant::now();
            let error = match self.work.breaker.call(|| self.call(incoming, attempts.saturating_add(1))).await {
                Ok(outputs) => {
                    observer.on_attempt(incoming, attempts.saturating_add(1), begun.elapsed(), None);
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
            observer.on_attempt(incoming, attempts, begun.elapsed(), Some(&error));
            if error.kind == HandlerErrorKind::Stop {
                self.work.halt.order(Reason::Handler(format!("{}: {error}", self.lane.tp)));
                self.lane.stop.cancelled().await;
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
            if self.work.retry_topics.as_ref().is_some_and(|topics| topics.has(job.level + 1)) {
                return Handled::Park(Place::RetryTopic { after: job.level }, failure());
            }
            match settings.on_exhausted {
                OnExhausted::DeadLetter => return Handled::Park(Place::DeadLetters, failure()),
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

    /// Waits; false if the task is to stop.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.lane.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
