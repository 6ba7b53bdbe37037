//! What the resilient clients cost, in one run: `cargo bench --bench throughput`. The resilient consumer beside a bare
//! `StreamConsumer`, both with a handler that does nothing, and the resilient producer beside a bare `FutureProducer`;
//! each pair with the same client settings, on librdkafka's mock cluster.
//!
//! Rounds alternate, and so does who begins one, so that a machine's moods hit both alike. What counts is the ratio
//! within each round: resilient by bare, so 1 is "costs nothing". The mock's brokers run on the same processors.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/resilient_clients/mock.rs"]
mod mock;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mock::Mock;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use seaworthy::resilience::client::{ClientRole, client_config};
use seaworthy::resilience::{
    DeadLetterQueue, Handler, HandlerError, Incoming, OutgoingRecord, Record, ResilientConsumer, ResilientProducer,
};
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 6;
const ROUNDS: usize = 9;
/// The mock keeps 5 MiB of a topic partition.
const RECORDS: usize = 150_000;
const VALUE: [u8; 100] = [b'x'; 100];

fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let (rounds, records) = if quick { (1, 1_000) } else { (ROUNDS, RECORDS) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mock = Mock::start(&[("in", PARTITIONS), ("in.dlq", PARTITIONS), ("sent", PARTITIONS)]);
        resilient_producer(&mock, "in", records).await;
        let mut producers = Pair::default();
        let mut consumers = Pair::default();
        for round in 0..rounds {
            for resilient in [round % 2 == 0, round % 2 != 0] {
                if resilient {
                    producers.resilient.push(resilient_producer(&mock, "sent", records).await);
                    consumers.resilient.push(resilient_consumer(&mock, &format!("r{round}"), records).await);
                } else {
                    producers.bare.push(bare_producer(&mock, "sent", records).await);
                    consumers.bare.push(bare_consumer(&mock, &format!("b{round}"), records).await);
                }
            }
        }
        say(&format!("{records} records of {} bytes, {rounds} rounds: median (least–most)\n", VALUE.len()));
        say("| | bare, records/s | resilient, records/s | resilient by bare |");
        say("|---|---|---|---|");
        producers.tell("producer");
        consumers.tell("consumer");
    });
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Records a second, round by round.
#[derive(Default)]
struct Pair {
    bare: Vec<f64>,
    resilient: Vec<f64>,
}

impl Pair {
    fn tell(&self, name: &str) {
        let ratios: Vec<f64> = self.resilient.iter().zip(&self.bare).map(|(ours, bare)| ours / bare).collect();
        say(&format!(
            "| {name} | {} | {} | {} |",
            spread(&self.bare, 0),
            spread(&self.resilient, 0),
            spread(&ratios, 2)
        ));
    }
}

fn spread(samples: &[f64], digits: usize) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", sorted[sorted.len() / 2])
}

fn key(number: usize) -> String {
    format!("k{}", number % 997)
}

async fn resilient_producer(mock: &Mock, topic: &str, records: usize) -> f64 {
    let producer = ResilientProducer::builder(&mock.bootstrap).build().expect("a producer");
    producer.send(Record::to(topic).key("k").payload(VALUE)).await.expect("connected");
    let begun = Instant::now();
    let mut sent = Vec::with_capacity(records);
    for number in 1..records {
        producer.ready().await;
        sent.push(producer.send(Record::to(topic).key(key(number)).payload(VALUE)));
    }
    for delivery in sent {
        delivery.await.expect("delivered");
    }
    let took = begun.elapsed();
    producer.close(Duration::from_secs(10)).await.expect("nothing is left");
    records as f64 / took.as_secs_f64()
}

async fn bare_producer(mock: &Mock, topic: &str, records: usize) -> f64 {
    let mut config = client_config(ClientRole::Producer, &BTreeMap::new(), &BTreeMap::new());
    let producer: FutureProducer = config.set("bootstrap.servers", &mock.bootstrap).create().expect("a producer");
    let no_wait = Duration::from_secs(60);
    producer.send(FutureRecord::to(topic).key("k").payload(&VALUE[..]), no_wait).await.expect("connected");
    let begun = Instant::now();
    let mut sent = Vec::with_capacity(records);
    for number in 1..records {
        let key = key(number);
        let mut record = FutureRecord::to(topic).key(&key).payload(&VALUE[..]);
        loop {
            match producer.send_result(record) {
                Ok(delivery) => break sent.push(delivery),
                // Its queue is full.
                Err((_, again)) => record = again,
            }
            tokio::task::yield_now().await;
        }
    }
    for delivery in sent {
        delivery.await.expect("not dropped").expect("delivered");
    }
    let took = begun.elapsed();
    producer.flush(Duration::from_secs(10)).expect("nothing is left");
    records as f64 / took.as_secs_f64()
}

/// Times from the first record to the last; joining the group is no part of it.
#[derive(Default)]
struct Stopwatch {
    seen: AtomicUsize,
    begun: Mutex<Option<Instant>>,
    took: Mutex<Option<Duration>>,
}

impl Stopwatch {
    /// True with the last record.
    fn tick(&self, records: usize) -> bool {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen == 1 {
            *self.begun.lock().expect("no panic") = Some(Instant::now());
        }
        if seen == records {
            *self.took.lock().expect("no panic") = self.begun.lock().expect("no panic").map(|begun| begun.elapsed());
        }
        seen >= records
    }

    fn rate(&self) -> f64 {
        let took = self.took.lock().expect("no panic").expect("the last record came");
        self.seen.load(Ordering::Relaxed) as f64 / took.as_secs_f64()
    }
}

struct Nothing {
    watch: Arc<Stopwatch>,
    records: usize,
    done: CancellationToken,
}

impl Handler for Nothing {
    async fn handle(&self, _record: &Incoming, _attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        if self.watch.tick(self.records) {
            self.done.cancel();
        }
        Ok(Vec::new())
    }
}

async fn resilient_consumer(mock: &Mock, group: &str, records: usize) -> f64 {
    let producer = ResilientProducer::builder(&mock.bootstrap).build().expect("a producer");
    let consumer = ResilientConsumer::builder(&mock.bootstrap, group, producer, DeadLetterQueue::new("in.dlq", group))
        .topics(["in"]);
    let (watch, done) = (Arc::new(Stopwatch::default()), CancellationToken::new());
    let handler = Nothing { watch: Arc::clone(&watch), records, done: done.clone() };
    consumer.build().run(handler, done).await.expect("it ends when it is told");
    watch.rate()
}

async fn bare_consumer(mock: &Mock, group: &str, records: usize) -> f64 {
    let mut config = client_config(ClientRole::Consumer, &BTreeMap::new(), &BTreeMap::new());
    config.set("bootstrap.servers", &mock.bootstrap).set("group.id", group);
    let consumer: StreamConsumer = config.create().expect("a consumer");
    consumer.subscribe(&["in"]).expect("subscribed");
    let watch = Stopwatch::default();
    loop {
        let message = consumer.recv().await.expect("a record");
        std::hint::black_box(&message);
        if watch.tick(records) {
            return watch.rate();
        }
    }
}
