//! The task of one topic partition: handles its records, in order or in order per key, and settles them in order
//! ([`super::settle`]). Two loops in one task: the first handles the next record while the second waits for the outputs
//! of those before to be acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::attempts::Handled;
use super::halt::Halt;
use super::lane::Lane;
use super::queue::{BATCH, Batch};
use super::settle::{Gate, Parked, Pending};
use super::{Defect, Handler, Observer, defect};
use crate::clock::wall;
use crate::resilience::backoff::RetryConfig;
use crate::resilience::breaker::CircuitBreaker;
use crate::resilience::dlq::{DeadLetterQueue, RetryTopics};
use crate::resilience::producer::{Delivery, ResilientProducer};
use crate::resilience::record::{Incoming, Record};
use crate::resilience::settings::ConsumerSettings;
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
    /// The observer wants to hear of every record.
    pub watched: bool,
    pub defect: Option<Defect>,
}

/// How a record came here.
pub(super) struct Origin {
    /// Its place in this topic partition.
    pub offset: i64,
    /// The retry topic that it came from, from 1; 0: none.
    pub level: usize,
    /// Handler calls before this delivery.
    pub attempts: u32,
    pub first_failure: Option<SystemTime>,
    /// How long it is to wait first.
    wait: Duration,
}

/// A record on its way through the task.
pub(super) struct Job {
    pub origin: Origin,
    /// As the handler sees it: out of a retry topic, with its first topic partition and its own headers.
    pub record: Incoming,
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

pub(super) struct Worker<H> {
    pub work: Arc<Work<H>>,
    pub lane: Arc<Lane>,
    pub gate: Gate,
    /// Records that the second loop has not settled, those that still wait for a handler included.
    unsettled: AtomicUsize,
    /// The first loop waits for this to fall.
    full: AtomicBool,
}

struct EndOf(Arc<Lane>);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.end();
    }
}

pub(super) fn spawn<H: Handler>(runtime: &tokio::runtime::Handle, work: Arc<Work<H>>, lane: Arc<Lane>) -> AbortHandle {
    let end = EndOf(Arc::clone(&lane));
    let worker = Arc::new(Worker {
        work,
        lane,
        gate: Gate::new(),
        unsettled: AtomicUsize::new(0),
        full: AtomicBool::new(false),
    });
    let task = runtime.spawn(async move {
        let _end = end;
        worker.run().await;
    });
    task.abort_handle()
}

impl<H: Handler> Worker<H> {
    async fn run(self: &Arc<Self>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let handle = async {
            match self.work.concurrency {
                0 | 1 => self.handle_in_order(sender).await,
                keys => self.handle_by_key(sender, keys).await,
            }
        };
        tokio::join!(handle, self.settle_all(receiver));
    }

    async fn handle_in_order(&self, settle: mpsc::UnboundedSender<Pending>) {
        let mut rng = Rng::from_entropy();
        let mut batch = Batch::default();
        while self.fetch(&mut batch).await {
            for at in 0..batch.records().len() {
                if self.lane.is_stopping() {
                    return;
                }
                // Handled where it lies: most records go no further.
                let record = &mut batch.records()[at];
                let origin = self.origin(record);
                let Some(outcome) = self.work_on(record, &origin, &mut rng).await else { return };
                if matches!(outcome, Outcome::Done) && self.unsettled.load(Ordering::Relaxed) == 0 {
                    self.lane.finish(origin.offset);
                } else {
                    self.unsettled.fetch_add(1, Ordering::Relaxed);
                    let job = Job { origin, record: std::mem::replace(record, Incoming::blank()) };
                    if settle.send(Pending::Now(Box::new((job, outcome)))).is_err() {
                        return;
                    }
                }
                consume_budget().await;
            }
            batch.clear();
        }
    }

    /// Waits for records and takes as many as may be in flight. False: the task is to stop.
    async fn fetch(&self, batch: &mut Batch) -> bool {
        loop {
            let room = self.work.settings.max_in_flight.max(1).saturating_sub(self.unsettled.load(Ordering::Relaxed));
            if room > 0 && self.lane.take(room.min(BATCH), batch) {
                return self.work.defect != Some(Defect::CommitBeforeProcessing) || defect::commit(self, batch).await;
            }
            // Both loops belong to one task: nothing is settled between the look above and this.
            self.full.store(room == 0, Ordering::Relaxed);
            if self.unless_stopped(self.lane.news.notified()).await.is_none() {
                return false;
            }
        }
    }

    /// The second loop is done with a record.
    pub(super) fn settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::Relaxed);
        if self.full.load(Ordering::Relaxed) {
            self.full.store(false, Ordering::Relaxed);
            self.lane.news.notify_one();
        }
    }

    /// Each key has one of `slots` tasks, which works on its records in order.
    async fn handle_by_key(self: &Arc<Self>, settle: mpsc::UnboundedSender<Pending>, slots: usize) {
        // Dropped with this future: aborted together with the task.
        let mut tasks = JoinSet::new();
        let slots: Vec<_> = (0..slots)
            .map(|_| {
                let (slot, jobs) = mpsc::unbounded_channel();
                tasks.spawn(Arc::clone(self).serve(jobs));
                slot
            })
            .collect();
        let mut batch = Batch::default();
        'stopped: while self.fetch(&mut batch).await {
            for record in batch.records() {
                let origin = self.origin(record);
                let job = Job { origin, record: std::mem::replace(record, Incoming::blank()) };
                let number = match &job.record.key {
                    Some(key) => hash(0, key),
                    // No key, no order: in turn.
                    None => job.origin.offset.unsigned_abs(),
                };
                let (tell, outcome) = oneshot::channel();
                let slot = &slots[(number % slots.len() as u64) as usize];
                self.unsettled.fetch_add(1, Ordering::Relaxed);
                if slot.send((job, tell)).is_err() || settle.send(Pending::Later(outcome)).is_err() {
                    break 'stopped;
                }
            }
            batch.clear();
        }
        drop((slots, settle));
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<(Job, oneshot::Sender<(Job, Outcome)>)>) {
        let mut rng = Rng::from_entropy();
        while let Some((job, tell)) = self.next(&mut jobs).await {
            // Dropped unanswered, the place of the record stays open: nothing behind it is committed.
            let Some(outcome) = self.work_on(&job.record, &job.origin, &mut rng).await else { return };
            if tell.send((job, outcome)).is_err() {
                return;
            }
        }
    }

    /// `None`: the task is to stop, or there will be no more.
    async fn next<T>(&self, feed: &mut mpsc::UnboundedReceiver<T>) -> Option<T> {
        if self.lane.is_stopping() {
            return None;
        }
        match feed.try_recv() {
            Ok(next) => Some(next),
            Err(_) => self.unless_stopped(feed.recv()).await.flatten(),
        }
    }

    /// `None`: the task is to stop.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.lane.stopped() => None,
            done = work => Some(done),
        }
    }

    /// Reads where the record is from; one out of a retry topic becomes what it was before it went there.
    fn origin(&self, record: &mut Incoming) -> Origin {
        let mut origin =
            Origin { offset: record.offset, level: 0, attempts: 0, first_failure: None, wait: Duration::ZERO };
        let Some(topics) = &self.work.retry_topics else { return origin };
        match topics.read(std::mem::replace(record, Incoming::blank())) {
            Ok(retried) => {
                origin.wait = topics.wait(&retried, wall());
                origin.level = retried.level;
                origin.attempts = retried.attempts;
                origin.first_failure = retried.first_failure;
                *record = retried.original;
            }
            Err(same) => *record = same,
        }
        origin
    }

    /// Works on one record and sends what comes of it. `None`: the task is to stop.
    async fn work_on(&self, record: &Incoming, origin: &Origin, rng: &mut Rng) -> Option<Outcome> {
        // Nothing is in the way of most records; looking is cheaper than waiting.
        if !self.gate.is_open() || !self.work.producer.has_room() {
            self.unless_stopped(async {
                self.gate.pass().await;
                self.work.producer.ready().await;
            })
            .await?;
        }
        if !origin.wait.is_zero() && !self.pause(origin.wait).await {
            return None;
        }
        if self.work.watched {
            self.work.observer.on_deliver(record);
        }
        let handled = match self.work.defect {
            Some(Defect::CommitPastHole) => match self.call(record, 1).await {
                Ok(outputs) => Handled::Outputs(outputs),
                Err(_) => {
                    defect::put_aside(&self.work, record);
                    Handled::Skip
                }
            },
            _ => self.handle(record, origin, rng).await,
        };
        match handled {
            Handled::Outputs(records) if records.is_empty() => Some(Outcome::Done),
            Handled::Outputs(records) if self.work.defect == Some(Defect::UnorderedPool) => {
                Some(Outcome::Pool(defect::pool(&self.work, origin.offset, records)))
            }
            Handled::Outputs(records) => Some(Outcome::Outputs(self.send_all(records))),
            Handled::Park(place, failure) => Some(self.park(record, place, failure)),
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

    /// Waits; false if the task is to stop.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.lane.stopped() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
