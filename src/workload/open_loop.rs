//! Open loop: every record has an intended time that never slips, whatever the cluster does. A closed loop would
//! record a ten-second outage as one slow operation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::{SentLedger, SentRow};
use super::record::RecordBody;
use super::sink::{Outgoing, Sink};
use crate::clock::Nanos;
use crate::history::{Op, Outcome, Recorder};
use crate::plan::{Plan, TopicPartition, WorkloadPlan};
use crate::rng::{self, Rng};

/// What is offered.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    pub topic: String,
    pub partitions: i32,
    /// Records per second.
    pub rate: u32,
    pub keys: u32,
    /// Bytes of a value.
    pub size: usize,
    /// Share of poison all the time.
    pub poison: f64,
    pub seed: u64,
}

impl LoadSpec {
    pub fn of(plan: &Plan, seed: u64) -> Self {
        Self {
            topic: plan.topic.name.clone(),
            partitions: plan.topic.partitions,
            rate: plan.workload.rate,
            keys: plan.workload.keys,
            size: plan.workload.size,
            poison: plan.workload.poison,
            seed,
        }
    }
}

/// Intended times: the n-th record is due at `start + n / rate`, without accumulating rounding.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub start: Nanos,
    pub rate: u32,
}

impl Pace {
    /// When the n-th record is due.
    pub fn due(&self, n: u64) -> Nanos {
        self.start + (u128::from(n) * 1_000_000_000 / u128::from(self.rate.max(1))) as u64
    }
}

/// A running load. Dropping it stops it.
pub struct Load {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    abandoned: AtomicBool,
    /// The `poison` fault's share, as bits of an `f64`.
    poison: AtomicU64,
}

impl Load {
    /// Starts offering records from a thread of its own: a busy runtime must not bend the schedule.
    pub fn start(spec: LoadSpec, sink: Sink, recorder: Recorder, ledger: Arc<SentLedger>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("open-loop".into()).spawn({
            let shared = shared.clone();
            move || offer(&spec, &sink, &recorder, &ledger, &shared)
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// From now on this share of records is poison, besides the workload's own.
    pub fn set_poison(&self, share: f64) {
        self.shared.poison.store(share.to_bits(), Relaxed);
    }

    /// Stops, and waits until the last record was handed over and the client had its time
    /// ([`SETTLE_LIMIT`](super::SETTLE_LIMIT)) to send what it holds: a client that is dropped throws its queue away,
    /// and the application would be charged with it. Blocking.
    pub fn stop(&self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.lock().unwrap_or_else(|e| e.into_inner()).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Without `stop` before it, the run was given up: what the client still holds is nobody's business.
        self.shared.abandoned.store(true, Relaxed);
        self.stop();
    }
}

/// The schedule must hold while brokers and clients fight for the processors: asks for real time, for this thread alone,
/// which sleeps nearly always. A nice value would not do: containers have control groups of their own, and it counts
/// within one. Without the right to, the thread stays where it is.
fn hurry() {
    #[cfg(target_os = "linux")]
    // SAFETY: plain system calls with a valid parameter block; on Linux, process 0 is the calling thread.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = 1;
        if libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &parameters) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, -15);
        }
    }
}

fn offer(spec: &LoadSpec, sink: &Sink, recorder: &Recorder, ledger: &SentLedger, shared: &Shared) {
    hurry();
    let clock = recorder.clock();
    let pace = Pace { start: clock.now(), rate: spec.rate };
    let mut rng = Rng::fork(spec.seed, "keys");
    let mut sequences = vec![0u64; spec.keys as usize];
    let tps: Vec<_> = (0..spec.partitions).map(|p| TopicPartition::new(spec.topic.as_str(), p)).collect();
    for id in 0.. {
        let due = pace.due(id);
        if !wait_until(due, &clock, &shared.stop) {
            if !shared.abandoned.load(Relaxed) {
                sink.flush(super::SETTLE_LIMIT);
            }
            return;
        }
        let key = rng.index(spec.keys as usize) as u32;
        let seq = sequences[key as usize];
        sequences[key as usize] += 1;
        let share = spec.poison.max(f64::from_bits(shared.poison.load(Relaxed)));
        let poison = share > 0.0 && rng::hash_share(rng::hash(spec.seed ^ 0x706f_6973, &id.to_le_bytes())) < share;
        let name = WorkloadPlan::record_key(key);
        let value = RecordBody { id, key: name.as_str().into(), seq, poison }.encode(spec.size);
        let tp = &tps[key as usize % tps.len()];
        let handed = clock.now();
        ledger.attempt(SentRow { key, seq, partition: tp.partition }, due, handed);
        let invoke = Op::Send {
            r#type: Outcome::Invoke,
            id: id.to_string(),
            tp: Some(tp.clone()),
            key: Some(name.clone()),
            seq: Some(seq),
            due: Some(due),
            offset: None,
            error: None,
            poison,
        };
        recorder.record_at(handed, Some("producer-0"), invoke);
        sink.send(Outgoing { id, tp, key: &name, value: &value });
    }
}

/// Sleeps until `due`; false: stopped meanwhile.
#[allow(clippy::disallowed_methods)] // the one sleep that paces the load, on a thread of its own
fn wait_until(due: Nanos, clock: &crate::clock::Clock, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Relaxed) {
            return false;
        }
        let now = clock.now();
        if now >= due {
            return true;
        }
        std::thread::sleep(Duration::from_nanos(due - now).min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intended_times_never_accumulate_rounding() {
        let pace = Pace { start: 5, rate: 3 };
        assert_eq!(pace.due(0), 5);
        assert_eq!(pace.due(1), 5 + 333_333_333);
        assert_eq!(pace.due(3_000_000), 5 + 1_000_000 * 1_000_000_000);
    }
}
