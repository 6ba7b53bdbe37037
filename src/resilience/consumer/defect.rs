//! Bugs on purpose that need code of their own: see [`Defect`](super::Defect). No application reaches this by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Handler;
use super::lane::Report;
use super::queue::Batch;
use super::worker::{Work, Worker};
use crate::resilience::record::{Incoming, Record};

/// How long a record that failed lies aside.
const ASIDE: Duration = Duration::from_secs(2);

/// [`CommitPastHole`](super::Defect::CommitPastHole): tries the record again by and by, while its offset is committed.
pub(super) fn put_aside<H: Handler>(work: &Arc<Work<H>>, incoming: &Incoming) {
    let (work, incoming) = (Arc::clone(work), incoming.clone());
    tokio::spawn(async move {
        for attempt in 2.. {
            tokio::time::sleep(ASIDE).await;
            let Ok(outputs) = work.handler.handle(&incoming, attempt).await else { continue };
            for output in outputs {
                let _ = work.producer.send(output).await;
            }
            return;
        }
    });
}

/// [`CommitBeforeProcessing`](super::Defect::CommitBeforeProcessing): has what was taken committed, before any of it is
/// handled. False: the task is to stop.
pub(super) async fn commit<H: Handler>(worker: &Worker<H>, taken: &mut Batch) -> bool {
    let Some(last) = taken.records().last() else { return true };
    let (answer, committed) = oneshot::channel();
    worker.lane.report(Report::Delivered(worker.lane.tp.clone(), last.offset + 1, answer));
    worker.unless_stopped(committed).await.is_some()
}

/// [`UnorderedPool`](super::Defect::UnorderedPool): each output has a task, and every other task dawdles.
pub(super) fn pool<H: Handler>(work: &Arc<Work<H>>, offset: i64, records: Vec<Record>) -> Vec<JoinHandle<()>> {
    let dawdle = Duration::from_millis(if offset % 2 == 0 { 60 } else { 0 });
    let task = |record: Record| {
        let work = Arc::clone(work);
        tokio::spawn(async move {
            tokio::time::sleep(dawdle).await;
            while work.producer.send(record.clone()).await.is_err() {
                tokio::time::sleep(dawdle).await;
            }
        })
    };
    records.into_iter().map(task).collect()
}
