//! What the polling thread and one topic partition's task share, for one assignment of it: the queue that the task
//! takes its records from, and how far it has come.
//!
//! The task takes them itself, many at a time. It tells the polling thread of its progress without waking it for every
//! record: at most once from one storing of offsets to the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::Thread;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::queue::{Batch, Source};
use crate::resilience::record::{Incoming, TopicPartition};

/// Ends the polling thread's rest.
#[derive(Clone)]
pub(super) struct Waker(Arc<Bell>);

struct Bell {
    thread: Thread,
    /// There is something finished that was not looked at.
    progress: AtomicBool,
}

impl Waker {
    pub fn of_this_thread() -> Self {
        Self(Arc::new(Bell { thread: std::thread::current(), progress: AtomicBool::new(false) }))
    }

    pub fn wake(&self) {
        self.0.thread.unpark();
    }

    /// Wakes it unless it was told before.
    fn tell_progress(&self) {
        let progress = &self.0.progress;
        if !progress.load(Ordering::Relaxed) && !progress.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Whether it was told since the last [`take_progress`](Self::take_progress).
    pub fn has_progress(&self) -> bool {
        self.0.progress.load(Ordering::Acquire)
    }

    /// To be called before looking at what is finished.
    pub fn take_progress(&self) {
        self.0.progress.store(false, Ordering::Release);
    }
}

/// What a task tells the polling thread.
pub(super) enum Report {
    /// An error came with its records.
    Error(i32),
    /// Of [`Defect::CommitBeforeProcessing`](super::Defect::CommitBeforeProcessing): what it will handle once this is
    /// committed and answered.
    Delivered(TopicPartition, i64, oneshot::Sender<()>),
}

/// Wakes whoever waits for tasks to end.
#[derive(Default)]
pub(super) struct Ends {
    pub lock: Mutex<()>,
    pub wake: Condvar,
}

/// What comes in.
struct Inbox {
    /// `None` once the topic partition is given up or the client is being closed.
    source: Option<Box<dyn Source>>,
    /// Records that came another way than through their topic partition's queue.
    strays: VecDeque<Incoming>,
    /// The next offset to take: what comes below it came before.
    next: i64,
}

pub(super) struct Lane {
    pub tp: TopicPartition,
    /// Begin nothing new, finish what is in flight.
    stop: CancellationToken,
    /// The same, cheaper to read.
    stopping: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Something came, or there is room for more, or the task is to stop.
    pub news: Arc<Notify>,
    /// Everything below is finished; -1 before the first.
    finished: AtomicI64,
    ended: AtomicBool,
    ends: Arc<Ends>,
    reports: mpsc::Sender<Report>,
    waker: Waker,
}

impl Lane {
    /// `news` is what wakes the task when something comes into `source`.
    pub fn new(
        tp: TopicPartition,
        source: Box<dyn Source>,
        news: Arc<Notify>,
        ends: Arc<Ends>,
        reports: mpsc::Sender<Report>,
        waker: Waker,
    ) -> Self {
        Self {
            tp,
            stop: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            inbox: Mutex::new(Inbox { source: Some(source), strays: VecDeque::new(), next: -1 }),
            news,
            finished: AtomicI64::new(-1),
            ended: AtomicBool::new(false),
            ends,
            reports,
            waker,
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes at most `most` records that came into `batch`, which is empty. False: there are none, or the task is to stop.
    pub fn take(&self, most: usize, batch: &mut Batch) -> bool {
        let mut inbox = self.inbox();
        if self.is_stopping() {
            return false;
        }
        let Inbox { source, strays, next } = &mut *inbox;
        while batch.records().len() < most {
            let Some(record) = strays.pop_front() else { break };
            if record.offset >= *next {
                *next = record.offset + 1;
                *batch.add() = record;
            }
        }
        if let (true, Some(source)) = (batch.is_empty(), source) {
            source.take(most, next, batch);
        }
        drop(inbox);
        for code in batch.errors.drain(..) {
            self.report(Report::Error(code));
        }
        !batch.is_empty()
    }

    /// Hands over a record that came another way.
    pub fn stray(&self, record: Incoming) {
        self.inbox().strays.push_back(record);
        self.news.notify_one();
    }

    /// Lets go of the queue: it must not outlive the client. Nothing is taken from it after this.
    pub fn close(&self) {
        self.inbox().source = None;
    }

    pub fn report(&self, report: Report) {
        // The polling thread is gone only after its tasks were told to stop.
        let _ = self.reports.send(report);
        self.waker.wake();
    }

    /// The record at `offset` and all before it have their outcome.
    pub fn finish(&self, offset: i64) {
        self.finished.store(offset + 1, Ordering::Release);
        self.waker.tell_progress();
    }

    /// Everything below is finished; -1 before the first.
    pub fn finished(&self) -> i64 {
        self.finished.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The task ended, whichever way.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let _guard = self.ends.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.ends.wake.notify_all();
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
