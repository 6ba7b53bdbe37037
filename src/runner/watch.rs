//! Looks at the cluster while the run goes on: who leads each topic partition, how far the subject lags, and the
//! figures of each second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Events, RunEvent, Tick};
use crate::checker::HIGH_WATERMARK;
use crate::clock::Nanos;
use crate::cluster::Cluster;
use crate::history::{Op, Recorder};
use crate::plan::{Plan, TopicPartition};
use crate::workload::{Effects, SentLedger};

/// How often leadership is asked for while faults are about: the resolution of "the new leader is known".
const LEADER_EVERY: Duration = Duration::from_millis(50);
/// And else: what there is to be known then can wait, and the brokers have better to do.
const LEADER_AT_REST: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_secs(1);

/// Records a `leader` signal whenever an input topic partition's leader changes, until `stop`.
pub(super) async fn leaders(
    cluster: Arc<dyn Cluster>,
    topic: String,
    recorder: Recorder,
    gauges: Arc<Gauges>,
    stop: CancellationToken,
) {
    let mut known: BTreeMap<TopicPartition, u32> = BTreeMap::new();
    while !stop.is_cancelled() {
        // A broker that just died may hold one query up; that is the resolution's price, not an error.
        if let Ok(Ok(now)) = tokio::time::timeout(Duration::from_secs(2), cluster.leaders(&topic)).await {
            for (tp, leader) in now {
                if known.insert(tp.clone(), leader) != Some(leader) {
                    let value = serde_json::json!({ "tp": tp, "leader": leader });
                    recorder.record(None, Op::Signal { name: "leader".into(), value });
                }
            }
        }
        let every = if gauges.is_disturbed() { LEADER_EVERY } else { LEADER_AT_REST };
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(every) => {} }
    }
}

/// How often the leaders are asked how far their topic partitions reach.
const WATERMARKS_EVERY: Duration = Duration::from_secs(1);

/// Records what each leader of an input topic partition says of its high watermark, until `stop`. The question names the
/// leader epoch, and only a leader of that epoch answers: what the checker of `truncation` compares.
pub(super) async fn high_watermarks(
    cluster: Arc<dyn Cluster>,
    topic: String,
    recorder: Recorder,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let asked = recorder.clock().now();
        let looks = tokio::time::timeout(Duration::from_secs(5), cluster.admin().high_watermarks(&topic)).await;
        for (tp, epoch, offset) in looks.ok().and_then(Result::ok).unwrap_or_default() {
            let value = serde_json::json!({ "tp": tp, "epoch": epoch, "offset": offset });
            recorder.record_at(asked, None, Op::Signal { name: HIGH_WATERMARK.into(), value });
        }
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(WATERMARKS_EVERY) => {} }
    }
}

/// What the progress shows of the state of things.
pub(super) struct Gauges {
    phase: Mutex<&'static str>,
    /// Acked and not left out, minus served, minus dead letters; `u64::MAX`: not measured.
    backlog: AtomicU64,
    /// Served records and dead letters at the last look that was answered.
    done: AtomicU64,
    injected: AtomicU64,
}

impl Gauges {
    pub fn new() -> Self {
        Self {
            phase: Mutex::new("setup"),
            backlog: AtomicU64::new(u64::MAX),
            done: AtomicU64::new(0),
            injected: AtomicU64::new(u64::MAX),
        }
    }

    pub fn phase(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(|e| e.into_inner()) = phase;
    }

    fn current_phase(&self) -> &'static str {
        *self.phase.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn is_disturbed(&self) -> bool {
        matches!(self.current_phase(), "fault" | "heal")
    }

    /// The moment from which "since injection" counts.
    pub fn injected(&self, at: Nanos) {
        self.injected.store(at, Relaxed);
    }

    pub fn backlog(&self) -> Option<u64> {
        Some(self.backlog.load(Relaxed)).filter(|n| *n != u64::MAX)
    }

    /// Something that the subject wrote was seen. Until then a small backlog only says that the load is young.
    pub fn has_output(&self) -> bool {
        self.done.load(Relaxed) > 0
    }

    /// `done`: `None` while a leader of the output topics cannot be asked.
    fn look(&self, owed: u64, done: Option<u64>) {
        self.backlog.store(done.map_or(u64::MAX, |done| owed.saturating_sub(done)), Relaxed);
        if let Some(done) = done {
            self.done.store(done, Relaxed);
        }
    }
}

/// What is to be done and what became of it.
pub(super) struct Work {
    pub plan: Arc<Plan>,
    pub cluster: Arc<dyn Cluster>,
    pub sent: Arc<SentLedger>,
    /// Those that are in no topic.
    pub effects: Option<Arc<Effects>>,
}

/// Keeps the gauges and emits a tick a second, until `stop`.
pub(super) async fn ticks(
    work: Work,
    gauges: Arc<Gauges>,
    recorder: Recorder,
    events: Events,
    stop: CancellationToken,
) {
    let clock = recorder.clock();
    let Work { plan, sent, .. } = &work;
    let (mut acked, mut errors) = (0, 0);
    let mut next = clock.now();
    while !stop.is_cancelled() {
        next += TICK.as_nanos() as u64;
        let counters = &sent.counters;
        let acked_now = counters.acked.load(Relaxed);
        let errors_now = counters.failed.load(Relaxed) + counters.indeterminate.load(Relaxed);
        let owed = acked_now.saturating_sub(counters.filtered.load(Relaxed));
        gauges.look(owed, work.done().await);
        let (ok, bad) = (acked_now - acked, errors_now - errors);
        (acked, errors) = (acked_now, errors_now);
        let since = gauges.injected.load(Relaxed);
        events.emit(RunEvent::Tick(Tick {
            name: plan.name.clone(),
            phase: gauges.current_phase(),
            rate: ok,
            error_rate: if ok + bad == 0 { 0.0 } else { bad as f64 / (ok + bad) as f64 },
            backlog: gauges.backlog(),
            since_injection: (since != u64::MAX).then(|| Duration::from_nanos(clock.now().saturating_sub(since))),
        }));
        let left = Duration::from_nanos(next.saturating_sub(clock.now()));
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(left) => {} }
    }
}

impl Work {
    /// Served records and dead letters; `None` while a leader of the two topics cannot be asked. Where a record has several
    /// effects, as many as would be whole if none lacked a part.
    async fn done(&self) -> Option<u64> {
        let each = u64::from(self.plan.subject.owed().effects);
        let topic = &self.plan.topic;
        let mut done = self.effects.as_deref().map_or(0, Effects::count) / each;
        let output = self.effects.is_none().then(|| (topic.output(), each));
        for (topic, each) in output.into_iter().chain([(topic.dead_letter(), 1)]) {
            let ends = tokio::time::timeout(TICK / 2, self.cluster.end_offsets(&topic)).await.ok()?.ok()?;
            done += ends.values().map(|end| u64::try_from(*end).unwrap_or(0)).sum::<u64>() / each;
        }
        Some(done)
    }
}
