//! What recording costs the workload: the same sends with and without a recorder, in turns, through the real client
//! library to its own mock brokers.
//!
//! A record is what the open loop makes of one: its body, an event when it is handed over, another one when its delivery
//! report comes. Offered at 20 000 records a second, and as fast as it goes, which no workload of a scenario does and
//! where every nanosecond shows.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header as RecordHeader, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use seaworthy::clock::Clock;
use seaworthy::history::{Header, Op, Outcome as Kind, Promises, Recorder, Topics};
use seaworthy::plan::TopicPartition;
use seaworthy::workload::Pace;
use seaworthy::workload::record::RecordBody;

use super::{Outcome, spread};

const ROUNDS: usize = 7;
const RATE: u32 = 20_000;
/// Records of a paced round, three seconds of them, and of one as fast as it goes.
const PACED: u64 = 60_000;
const UNPACED: u64 = 200_000;
const PARTITIONS: i32 = 12;
const KEYS: u64 = 64;
const SIZE: usize = 256;

pub fn cost() -> Outcome<()> {
    let cluster = MockCluster::new(3)?;
    cluster.create_topic("orders", PARTITIONS, 3)?;
    let bootstrap = cluster.bootstrap_servers();
    let mut out = std::io::stdout().lock();
    for (rate, records, what) in [(Some(RATE), PACED, "offered 20 000 a second"), (None, UNPACED, "as fast as it goes")]
    {
        round(&bootstrap, rate, records / 4, false)?;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(round(&bootstrap, rate, records, false)?);
            with.push(round(&bootstrap, rate, records, true)?);
        }
        let ratios = without.iter().zip(&with).map(|(without, with)| 100.0 * (1.0 - with.0 / without.0)).collect();
        let handing: Vec<f64> = without.iter().zip(&with).map(|(without, with)| with.1 - without.1).collect();
        let [_, bare, _] = spread(without.iter().map(|round| round.0).collect());
        let [_, recorded, _] = spread(with.iter().map(|round| round.0).collect());
        let [least, median, most] = spread(ratios);
        let [_, nanos, _] = spread(handing);
        writeln!(out, "recording, {what}: {bare:.0} records a second without, {recorded:.0} with")?;
        writeln!(
            out,
            "  cost      {median:6.2} % of throughput ({least:.2} to {most:.2}), {nanos:.0} ns a record where it is handed over"
        )?;
    }
    Ok(())
}

/// Records acknowledged a second, and nanoseconds that the offering thread was busy for each.
fn round(bootstrap: &str, rate: Option<u32>, records: u64, recorded: bool) -> Outcome<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let clock = Clock::start();
    let recorder = match recorded {
        true => Some(Recorder::create(&folder.path().join("history.jsonl"), &header(), clock)?),
        false => None,
    };
    let reports = Reports {
        recorder: recorder.clone(),
        clock,
        acked: Arc::default(),
        failed: Arc::default(),
        latest: Arc::default(),
    };
    let producer: ThreadedProducer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("queue.buffering.max.messages", "1000000")
        .create_with_context(reports.clone())?;
    // The first send waits for metadata.
    producer.client().fetch_metadata(Some("orders"), Duration::from_secs(10))?;
    let tps: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new("orders", partition)).collect();
    let mut sequences = [0u64; KEYS as usize];
    let start = clock.now();
    let mut busy = 0;
    for id in 0..records {
        let due = rate.map_or(0, |rate| Pace { start, rate }.due(id));
        wait_until(due, &clock);
        let handed = clock.now();
        let key = id % KEYS;
        let seq = sequences[key as usize];
        sequences[key as usize] += 1;
        let name = format!("k{key}");
        let value = RecordBody { id, key: name.as_str().into(), seq, poison: false }.encode(SIZE);
        let tp = &tps[key as usize % tps.len()];
        if let Some(recorder) = &recorder {
            let invoke = Op::Send {
                r#type: Kind::Invoke,
                id: id.to_string(),
                tp: Some(tp.clone()),
                key: Some(name.clone()),
                seq: Some(seq),
                due: Some(due),
                offset: None,
                error: None,
                poison: false,
            };
            recorder.record_at(handed, Some("producer-0"), invoke);
        }
        let identity = id.to_string();
        let headers =
            OwnedHeaders::new().insert(RecordHeader { key: "seaworthy-id", value: Some(identity.as_bytes()) });
        let record = BaseRecord::with_opaque_to(&tp.topic, Box::new((id, tp.clone())))
            .partition(tp.partition)
            .key(name.as_bytes())
            .payload(&value)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error)?;
        busy += clock.now() - handed;
    }
    producer.flush(Duration::from_secs(60))?;
    // Not when `flush` returns: it looks ten times a second.
    let taken = reports.latest.load(Relaxed) - start;
    if let Some(recorder) = &recorder {
        recorder.close()?;
    }
    let (acked, failed) = (reports.acked.load(Relaxed), reports.failed.load(Relaxed));
    if (acked, failed) != (records, 0) {
        return Err(format!("{acked} of {records} acknowledged, {failed} failed").into());
    }
    Ok((records as f64 * 1e9 / taken as f64, busy as f64 / records as f64))
}

#[derive(Clone)]
struct Reports {
    recorder: Option<Recorder>,
    clock: Clock,
    acked: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    /// When the latest record was acknowledged.
    latest: Arc<AtomicU64>,
}

impl rdkafka::ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<(u64, TopicPartition)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let Ok(message) = result else {
            self.failed.fetch_add(1, Relaxed);
            return;
        };
        self.acked.fetch_add(1, Relaxed);
        self.latest.fetch_max(self.clock.now(), Relaxed);
        let Some(recorder) = &self.recorder else { return };
        let (id, tp) = *opaque;
        let ok = Op::Send {
            r#type: Kind::Ok,
            id: id.to_string(),
            tp: Some(tp),
            key: None,
            seq: None,
            due: None,
            offset: Some(message.offset()),
            error: None,
            poison: false,
        };
        recorder.record(Some("producer-0"), ok);
    }
}

#[allow(clippy::disallowed_methods)] // paces the load, as the workload does
fn wait_until(due: u64, clock: &Clock) {
    loop {
        let now = clock.now();
        if now >= due {
            return;
        }
        std::thread::sleep(Duration::from_nanos(due - now));
    }
}

fn header() -> Header {
    Header {
        seaworthy_history: 1,
        scenario: "recording".into(),
        seed: 1,
        started_at: "2026-01-01T00:00:00Z".into(),
        group: "g1".into(),
        topics: Topics { input: "orders".into(), output: "orders.out".into(), dead_letter: "orders.dlq".into() },
        promises: Promises::default(),
        plan: None,
    }
}
