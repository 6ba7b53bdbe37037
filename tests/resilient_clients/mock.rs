//! A mock cluster on this machine (librdkafka's own), and plain clients to look into it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use seaworthy::resilience::breaker::Transition;
use seaworthy::resilience::consumer::{Handler, HandlerError, Observer};
use seaworthy::resilience::record::{Incoming, OutgoingRecord, Record, TopicPartition};

const LIMIT: Duration = Duration::from_secs(60);

/// Three brokers; groups form without the usual three seconds of delay.
pub struct Mock {
    owner: BaseProducer,
    pub bootstrap: String,
}

impl Mock {
    pub fn start(topics: &[(&str, i32)]) -> Self {
        let owner: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "3").create().unwrap();
        let mock = owner.client().mock_cluster().unwrap();
        let bootstrap = mock.bootstrap_servers();
        for (topic, partitions) in topics {
            mock.create_topic(topic, *partitions, 3).unwrap();
        }
        drop(mock);
        // SAFETY: the mock cluster lives as long as its owner.
        unsafe {
            let cluster = bindings::rd_kafka_handle_mock_cluster(owner.client().native_ptr());
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
        Self { owner, bootstrap }
    }

    pub fn fail_produce(&self, error: RDKafkaRespErr, times: usize) {
        self.cluster().request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
    }

    pub fn network(&self, up: bool) {
        let cluster = self.cluster();
        if up { cluster.broker_up(-1) } else { cluster.broker_down(-1) }.unwrap();
    }

    pub fn round_trip(&self, time: Duration) {
        self.cluster().broker_round_trip_time(-1, time).unwrap();
    }

    fn cluster(&self) -> rdkafka::mocking::MockCluster<'_, impl rdkafka::ClientContext> {
        self.owner.client().mock_cluster().unwrap()
    }

    /// Everything in a topic, by topic partition and offset.
    pub fn read(&self, topic: &str) -> Vec<Incoming> {
        let reader: BaseConsumer = self.plain("reader").create().unwrap();
        let metadata = reader.fetch_metadata(Some(topic), LIMIT).unwrap();
        let mut list = TopicPartitionList::new();
        let mut missing = 0;
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = reader.fetch_watermarks(topic, partition.id(), LIMIT).unwrap();
            missing += high - low;
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        reader.assign(&list).unwrap();
        let mut records = Vec::new();
        while missing > 0 {
            if let Some(Ok(message)) = reader.poll(LIMIT) {
                records.push(incoming(&message));
                missing -= 1;
            }
        }
        records.sort_by_key(|r: &Incoming| (r.partition, r.offset));
        records
    }

    /// The number of records in a topic.
    pub fn count(&self, topic: &str) -> i64 {
        self.ends(topic).values().sum()
    }

    /// The end offset of each partition.
    pub fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let client = self.owner.client();
        let metadata = client.fetch_metadata(Some(topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions().iter().map(|p| p.id());
        partitions.map(|p| (p, client.fetch_watermarks(topic, p, LIMIT).unwrap().1)).collect()
    }

    /// The next offset that a group would read, of each partition; -1001: none.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let client: BaseConsumer = self.plain(group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in self.ends(topic).keys() {
            list.add_partition(topic, *partition);
        }
        let committed = client.committed_offsets(list, LIMIT).unwrap();
        committed.elements().iter().map(|e| (e.partition(), e.offset().to_raw().unwrap())).collect()
    }

    /// The group has committed the end of every partition that has records.
    pub fn assert_all_committed(&self, group: &str, topic: &str) {
        let committed = self.committed(group, topic);
        for (partition, end) in self.ends(topic).into_iter().filter(|(_, end)| *end > 0) {
            assert_eq!(committed[&partition], end, "partition {partition}");
        }
    }

    fn plain(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", group);
        config
    }
}

fn incoming(message: &rdkafka::message::BorrowedMessage<'_>) -> Incoming {
    use rdkafka::message::{Headers, Message};
    let headers = message
        .headers()
        .map(|all| all.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect::<Vec<_>>());
    Incoming {
        topic: message.topic().into(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// Waits until something is so; for facts that come sooner or later, never for how soon.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let wait = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

pub fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.clone().unwrap()).unwrap()
}

type Work = dyn Fn(&Incoming, u32) -> Result<Vec<OutgoingRecord>, HandlerError> + Send + Sync;

/// A handler from a closure.
pub struct Do(pub Box<Work>);

impl Handler for Do {
    async fn handle(&self, record: &Incoming, attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        (self.0)(record, attempt)
    }
}

pub fn handler(
    work: impl Fn(&Incoming, u32) -> Result<Vec<OutgoingRecord>, HandlerError> + Send + Sync + 'static,
) -> Do {
    Do(Box::new(work))
}

/// The record again, in topic "out".
pub fn echo(record: &Incoming) -> Result<Vec<OutgoingRecord>, HandlerError> {
    let (key, payload) = (record.key.clone(), record.payload.clone());
    Ok(vec![Record { key, payload, ..Record::to("out") }])
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>, bool),
    Deliver(i32, i64),
    Commit(i32, i64, Result<(), i32>),
    Breaker(String, String),
    Retry(i64, u32),
    DeadLetter(i32, i64),
    Signal(String, String),
}

/// Keeps what it is told, in order.
#[derive(Default)]
pub struct Log(Mutex<Vec<Event>>);

impl Log {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn position(&self, wanted: impl Fn(&Event) -> bool) -> Option<usize> {
        self.events().iter().position(wanted)
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events().iter().filter(|e| wanted(e)).count()
    }

    pub fn signals(&self, name: &str) -> usize {
        self.count(|e| matches!(e, Event::Signal(n, _) if n == name))
    }

    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Observer for Log {
    fn on_assign(&self, tps: &[TopicPartition], _: Option<i32>) {
        self.push(Event::Assign(tps.to_vec()));
    }
    fn on_revoke(&self, tps: &[TopicPartition], _: Option<i32>, lost: bool) {
        self.push(Event::Revoke(tps.to_vec(), lost));
    }
    fn on_deliver(&self, record: &Incoming) {
        self.push(Event::Deliver(record.partition, record.offset));
    }
    fn on_commit(&self, tp: &TopicPartition, next_offset: i64, result: Result<(), i32>) {
        self.push(Event::Commit(tp.partition, next_offset, result));
    }
    fn on_breaker(&self, transition: &Transition) {
        self.push(Event::Breaker(transition.from.to_string(), transition.to.to_string()));
    }
    fn on_retry(&self, record: &Incoming, attempt: u32, _: Duration, _: &HandlerError) {
        self.push(Event::Retry(record.offset, attempt));
    }
    fn on_dead_letter(&self, origin: &TopicPartition, offset: i64) {
        self.push(Event::DeadLetter(origin.partition, offset));
    }
    fn on_signal(&self, name: &str, value: &str) {
        self.push(Event::Signal(name.into(), value.into()));
    }
}
