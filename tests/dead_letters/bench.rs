//! What the trials share: topics, records in, a consumer under test, and plain readers to look afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use seaworthy::cluster::{Cluster, View};
use seaworthy::resilience::backoff::RetryConfig;
use seaworthy::resilience::consumer::{ConsumerBuilder, ConsumerError, Handler, HandlerError, Observer};
use seaworthy::resilience::record::{Headers, Incoming, OutgoingRecord, Record, TopicPartition, headers_of};
use seaworthy::resilience::settings::{ConsumerSettings, Settings};
use seaworthy::resilience::{DeadLetterInfo, DeadLetterQueue, ResilientConsumer, ResilientProducer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Outcome;

/// For what must come, on a loaded machine.
pub const LATE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;

/// One trial's topics, and how to reach them.
#[derive(Clone)]
pub struct Names {
    pub name: String,
    pub bootstrap: String,
}

/// The same with the cluster in hand.
#[derive(Clone)]
pub struct Bench {
    pub cluster: Arc<dyn Cluster>,
    names: Names,
}

impl std::ops::Deref for Bench {
    type Target = Names;
    fn deref(&self) -> &Names {
        &self.names
    }
}

impl Bench {
    /// Makes `<name>.in`, `<name>.out` and `<name>.in.dlq`.
    pub async fn new(cluster: Arc<dyn Cluster>, name: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let names = Names { bootstrap: cluster.bootstrap(View::Direct), name: name.to_owned() };
        let bench = Self { cluster, names };
        bench.create(&[bench.input(), bench.output(), bench.dlq()]).await?;
        Ok(bench)
    }

    pub async fn create(&self, topics: &[String]) -> Outcome {
        Ok(self.cluster.create_topics(topics, PARTITIONS, 1, &BTreeMap::new()).await?)
    }

    /// Records `from..to` into the input: keys `k0`…`k4`, values their numbers.
    pub async fn fill(&self, from: usize, to: usize) -> Outcome {
        let producer = self.producer();
        let record = |i: usize| Record::to(self.input()).key(format!("k{}", i % 5)).payload(i.to_string());
        let sent: Vec<_> = (from..to).map(|i| producer.send(record(i))).collect();
        for delivery in sent {
            delivery.await?;
        }
        producer.close(LATE).await?;
        Ok(())
    }

    pub async fn read(&self, topic: String) -> Result<Vec<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let bootstrap = self.bootstrap.clone();
        let settled = move || settle(&bootstrap, &topic).and_then(|()| read(&bootstrap, &topic));
        Ok(tokio::task::spawn_blocking(settled).await??)
    }

    /// How many records are committed in a topic in which a transaction may be open.
    pub async fn committed_so_far(&self, topic: String) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
        let bootstrap = self.bootstrap.clone();
        Ok(tokio::task::spawn_blocking(move || read(&bootstrap, &topic)).await??.len())
    }

    /// The values in a topic, sorted.
    pub async fn values(&self, topic: String) -> Result<Vec<u64>, Box<dyn std::error::Error + Send + Sync>> {
        let mut values: Vec<u64> = self.read(topic).await?.iter().map(|r| number(r.payload.as_deref())).collect();
        values.sort_unstable();
        Ok(values)
    }

    /// Waits until each of the values `0..count` is an effect or a dead letter, those that `bad` names and only those a
    /// complete dead letter.
    pub async fn nothing_is_lost(&self, count: u64, bad: impl Fn(u64) -> bool) -> Outcome {
        let mut missing = BTreeSet::new();
        for _ in 0..LATE.as_millis() / 100 {
            let found: BTreeSet<u64> =
                self.values(self.output()).await?.into_iter().chain(self.values(self.dlq()).await?).collect();
            missing = (0..count).filter(|value| !found.contains(value)).collect();
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        crate::ensure!(missing.is_empty(), "lost: {missing:?}");
        let effects = self.values(self.output()).await?;
        crate::ensure!(!effects.iter().any(|value| bad(*value)), "a bad record has an effect: {effects:?}");
        for letter in self.read(self.dlq()).await? {
            let value = number(letter.payload.as_deref());
            crate::ensure!(bad(value), "{value} is a good record and was dead-lettered");
            let info = DeadLetterInfo::from_headers(&letter.headers);
            crate::ensure!(info.complete(), "{value}: an incomplete dead letter: {:?}", letter.headers);
        }
        Ok(())
    }

    /// The group's committed offsets reach the end of the input.
    pub async fn all_is_committed(&self) -> Outcome {
        let ends = self.cluster.end_offsets(&self.input()).await?;
        let tps: Vec<_> = ends.keys().cloned().collect();
        let committed = self.cluster.committed(&self.name, &tps).await?;
        for (tp, end) in ends.into_iter().filter(|(_, end)| *end > 0) {
            crate::ensure!(committed.get(&tp) == Some(&end), "{tp}: committed {:?} of {end}", committed.get(&tp));
        }
        Ok(())
    }
}

impl Names {
    pub fn input(&self) -> String {
        format!("{}.in", self.name)
    }

    pub fn output(&self) -> String {
        format!("{}.out", self.name)
    }

    pub fn dlq(&self) -> String {
        format!("{}.in.dlq", self.name)
    }

    pub fn producer(&self) -> ResilientProducer {
        ResilientProducer::builder(&self.bootstrap).build().expect("known properties")
    }

    /// A member of the group `<name>`, with quick retries.
    pub fn consumer(&self, log: &Arc<Log>) -> ConsumerBuilder {
        self.consumer_with(log, self.producer())
    }

    pub fn consumer_with(&self, log: &Arc<Log>, producer: ResilientProducer) -> ConsumerBuilder {
        let queue = DeadLetterQueue::new(self.dlq(), &self.name);
        ResilientConsumer::builder(&self.bootstrap, &self.name, producer, queue)
            .topics([self.input()])
            .settings(settings())
            .observer(Arc::clone(log) as _)
    }

    /// The handler of all trials: values that `bad` names are the record's fault, everything else is an effect.
    pub fn handler(&self, bad: impl Fn(u64) -> bool + Send + Sync + 'static) -> Do {
        let output = self.output();
        Do(Box::new(move |record, _| {
            let value = number(record.payload.as_deref());
            if bad(value) {
                return Err(HandlerError::permanent(format!("cannot bear {value}")));
            }
            let (key, payload) = (record.key.clone(), record.payload.clone());
            Ok(vec![Record { key, payload, ..Record::to(output.clone()) }])
        }))
    }
}

/// Quick retries; commits each second.
pub fn settings() -> Settings {
    Settings {
        retry: RetryConfig {
            max_retries: 2,
            initial_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(200),
            ..RetryConfig::default()
        },
        consumer: ConsumerSettings { hold: Duration::from_millis(50), ..ConsumerSettings::default() },
        ..Settings::default()
    }
}

/// A running consumer.
pub struct Member {
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), ConsumerError>>,
}

impl Member {
    pub fn start(builder: ConsumerBuilder, handler: impl Handler) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(builder.build().run(handler, stop.clone()));
        Self { stop, task }
    }

    pub async fn leave(self) -> Outcome {
        self.stop.cancel();
        Ok(self.task.await??)
    }

    /// It ends by itself, with this error.
    pub async fn ends(self) -> Result<ConsumerError, Box<dyn std::error::Error + Send + Sync>> {
        match tokio::time::timeout(LATE, self.task).await?? {
            Ok(()) => Err("it ended without an error".into()),
            Err(error) => Ok(error),
        }
    }
}

type Work = dyn Fn(&Incoming, u32) -> Result<Vec<OutgoingRecord>, HandlerError> + Send + Sync;

/// A handler from a closure.
pub struct Do(pub Box<Work>);

impl Handler for Do {
    async fn handle(&self, record: &Incoming, attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        (self.0)(record, attempt)
    }
}

/// Counts what it is told, and keeps the signals.
#[derive(Default)]
pub struct Log {
    pub dead_letters: AtomicUsize,
    pub delivered: AtomicUsize,
    pub assigned: AtomicUsize,
    pub signals: Mutex<Vec<(String, String)>>,
}

impl Log {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How often a signal came, with this text in it.
    pub fn signals(&self, name: &str, text: &str) -> usize {
        let signals = self.signals.lock().expect("nobody panics with it");
        signals.iter().filter(|(n, value)| n == name && value.contains(text)).count()
    }
}

impl Observer for Log {
    fn on_assign(&self, tps: &[TopicPartition], _: Option<i32>) {
        self.assigned.fetch_add(tps.len(), Ordering::SeqCst);
    }
    fn on_deliver(&self, _: &Incoming) {
        self.delivered.fetch_add(1, Ordering::SeqCst);
    }
    fn on_dead_letter(&self, _: &TopicPartition, _: i64) {
        self.dead_letters.fetch_add(1, Ordering::SeqCst);
    }
    fn on_signal(&self, name: &str, value: &str) {
        self.signals.lock().expect("nobody panics with it").push((name.into(), value.into()));
    }
}

/// Waits until something is so; for facts that come sooner or later, never for how soon.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) -> Outcome {
    let wait = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LATE, wait).await.map_err(|_| format!("never came: {what}").into())
}

pub fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

pub fn number(bytes: Option<&[u8]>) -> u64 {
    String::from_utf8_lossy(bytes.unwrap_or_default()).parse().expect("a number")
}

pub fn text_header(headers: &Headers, name: &str) -> Option<String> {
    let (_, value) = headers.iter().rev().find(|(n, _)| n == name)?;
    Some(String::from_utf8_lossy(value.as_deref()?).into_owned())
}

fn reader(bootstrap: &str, isolation: &str) -> Result<BaseConsumer, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "plain-reader")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
}

/// Waits until no transaction is open in a topic. A commit is answered before it is marked in the topics, and until then the
/// end of what is committed is before it.
#[allow(clippy::disallowed_methods, reason = "a pause between two looks at the fact that is waited for")]
fn settle(bootstrap: &str, topic: &str) -> Result<(), KafkaError> {
    let (all, committed) = (reader(bootstrap, "read_uncommitted")?, reader(bootstrap, "read_committed")?);
    let ends = |reader: &BaseConsumer| -> Result<Vec<i64>, KafkaError> {
        (0..PARTITIONS).map(|partition| Ok(reader.fetch_watermarks(topic, partition, LATE)?.1)).collect()
    };
    for _ in 0..LATE.as_millis() / 20 {
        if ends(&all)? == ends(&committed)? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(KafkaError::MetadataFetch(RDKafkaErrorCode::ConcurrentTransactions))
}

/// Everything committed in a topic, up to where that ends now.
fn read(bootstrap: &str, topic: &str) -> Result<Vec<Incoming>, KafkaError> {
    let reader = reader(bootstrap, "read_committed")?;
    let mut open = BTreeSet::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let (low, high) = reader.fetch_watermarks(topic, partition, LATE)?;
        if high > low {
            open.insert(partition);
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    reader.assign(&list)?;
    let mut records = Vec::new();
    while !open.is_empty() {
        match reader.poll(LATE) {
            Some(Ok(message)) => records.push(Incoming {
                topic: topic.to_owned(),
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis(),
                key: message.key().map(<[u8]>::to_vec),
                payload: message.payload().map(<[u8]>::to_vec),
                headers: headers_of(&message),
            }),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => return Err(error),
            None => return Err(KafkaError::NoMessageReceived),
        }
    }
    Ok(records)
}
