//! The second loop of a topic partition's task: an offset is finished only when its record's outcome is acknowledged,
//! and all before it are.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};

use super::halt::{Reason, stops};
use super::worker::{Job, Outcome, Worker};
use super::{Defect, Handler};
use crate::clock::wall;
use crate::resilience::backoff::Backoff;
use crate::resilience::classify::Action;
use crate::resilience::dlq::Failure;
use crate::resilience::producer::{Delivery, SendError};
use crate::resilience::record::{Incoming, Record};
use crate::rng::Rng;

/// A record in the order of the offsets, whose outcome is not durable yet.
pub(super) enum Pending {
    Now(Box<(Job, Outcome)>),
    /// Dropped unanswered if the task is to stop.
    Later(oneshot::Receiver<(Job, Outcome)>),
}

/// Shut while the second loop is in trouble: what would be sent meanwhile would overtake what has to be sent again.
pub(super) struct Gate {
    shut: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub fn new() -> Self {
        Self { shut: AtomicBool::new(false), opened: Notify::new() }
    }

    pub fn is_open(&self) -> bool {
        !self.shut.load(Ordering::Acquire)
    }

    /// Returns once it is open.
    pub async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    fn shut(&self) {
        self.shut.store(true, Ordering::Release);
    }

    fn open(&self) {
        if !self.is_open() {
            self.shut.store(false, Ordering::Release);
            self.opened.notify_waiters();
        }
    }
}

/// Where a record is put that is not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    DeadLetters,
    /// The retry topic that comes after this one; 0: the first.
    RetryTopic {
        after: usize,
    },
}

/// A record that was put there, not acknowledged yet.
pub(super) struct Parked {
    place: Place,
    failure: Failure,
    record: Record,
    delivery: Delivery,
}

/// What became of an output that was sent again.
enum Sent {
    Yes,
    /// It is the record's fault.
    Refused(SendError),
    /// The task is to stop.
    Stopped,
}

impl<H: Handler> Worker<H> {
    /// Sends a record to where it is parked.
    pub(super) fn park(&self, original: &Incoming, place: Place, failure: Failure) -> Outcome {
        let mut record = self.parked_record(original, place, &failure, false);
        if self.work.defect == Some(Defect::BareDeadLetter) {
            record.headers.clone_from(&original.headers);
        }
        let delivery = self.work.producer.send(record.clone());
        if self.work.defect == Some(Defect::UnawaitedDeadLetter) {
            self.work.observer.on_dead_letter(&self.lane.tp, original.offset);
            return Outcome::Done;
        }
        Outcome::Parked(Parked { place, failure, record, delivery })
    }

    fn parked_record(&self, original: &Incoming, place: Place, failure: &Failure, small: bool) -> Record {
        let queue = &self.work.dead_letters;
        let retry = match (place, &self.work.retry_topics) {
            (Place::RetryTopic { after }, Some(topics)) => topics.next(queue, original, failure, wall(), after, small),
            _ => None,
        };
        retry.unwrap_or_else(|| match small {
            true => queue.small_dead_letter(original, failure, wall()),
            false => queue.dead_letter(original, failure, wall()),
        })
    }

    pub(super) async fn settle_all(&self, mut pending: mpsc::UnboundedReceiver<Pending>) {
        while let Some(next) = pending.recv().await {
            let (job, outcome) = match next {
                Pending::Now(both) => *both,
                Pending::Later(outcome) => match outcome.await {
                    Ok(done) => done,
                    Err(_) => return,
                },
            };
            let settled = match outcome {
                Outcome::Outputs(outputs) => self.settle_outputs(&job.record, outputs).await,
                Outcome::Parked(parked) => self.settle_parked(&job.record, parked).await,
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
            self.lane.finish(job.origin.offset);
            self.settled();
            self.gate.open();
        }
    }

    /// Waits for the acknowledgements; what fails is sent again for as long as it takes. False: the task is to stop.
    async fn settle_outputs(&self, original: &Incoming, outputs: Vec<(Record, Delivery)>) -> bool {
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
        match self.park(original, Place::DeadLetters, failure) {
            Outcome::Parked(parked) => self.settle_parked(original, parked).await,
            _ => true,
        }
    }

    async fn send_until_taken(&self, record: Record, mut error: SendError) -> Sent {
        let mut backoff = Backoff::new(self.work.retry.clone(), Rng::from_entropy());
        for attempt in 0.. {
            if error.classification.action == Action::DeadLetter {
                return Sent::Refused(error);
            }
            self.gate.shut();
            self.work.observer.on_signal("output-failed", &format!("{}: {error}", self.lane.tp));
            if stops(error.code) {
                let doing = format!("producing to {}", error.topic);
                self.work.halt.order(Reason::Code(error.code, doing));
                self.lane.stopped().await;
                return Sent::Stopped;
            }
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

    /// Waits for the acknowledgement, and for as long as it takes, whatever the error: the record must not be lost, so
    /// its topic partition is held. False: the task is to stop.
    async fn settle_parked(&self, original: &Incoming, parked: Parked) -> bool {
        let Parked { place, failure, mut record, delivery } = parked;
        let observer = &self.work.observer;
        let mut backoff = Backoff::new(self.work.retry.clone(), Rng::from_entropy());
        let mut result = delivery.await;
        let mut small = false;
        for attempt in 0.. {
            let Err(error) = result else {
                match place {
                    Place::DeadLetters => observer.on_dead_letter(&original.topic_partition(), original.offset),
                    Place::RetryTopic { .. } => {
                        observer.on_signal("retry-topic", &format!("{} {}", self.lane.tp, record.topic));
                    }
                }
                return true;
            };
            if self.work.defect == Some(Defect::SwallowedDeadLetterFailure) {
                return true;
            }
            self.gate.shut();
            let at_once = match error.code {
                // The topic has fewer partitions.
                UNKNOWN_PARTITION if record.partition.is_some() => {
                    observer.on_signal("dead-letter-repartitioned", &self.lane.tp.to_string());
                    record.partition = None;
                    true
                }
                MESSAGE_TOO_LARGE if !small => {
                    observer.on_signal("dead-letter-too-large", &format!("{} {}", self.lane.tp, original.offset));
                    small = true;
                    let partition = record.partition;
                    record = self.parked_record(original, place, &failure, true);
                    record.partition = partition;
                    true
                }
                _ => false,
            };
            if !at_once {
                observer.on_signal("dead-letter-failed", &format!("{} {}: {error}", self.lane.tp, original.offset));
                if !self.pause(backoff.delay(attempt)).await {
                    return false;
                }
            }
            result = self.work.producer.send(record.clone()).await;
        }
        false
    }
}

const UNKNOWN_PARTITION: i32 = -190;
const MESSAGE_TOO_LARGE: i32 = 10;
