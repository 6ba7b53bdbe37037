//! The rules of a broker's log that the mock does not have: what Kafka decides before it appends, and what it does to
//! what it appends.
//!
//! A mock cluster has one log a topic partition, whoever leads it, so these rules are the cluster's, not a broker's.
//! Owns what was appended by whom; must not know connections or requests.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Kafka's error codes.
pub(super) const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const KAFKA_STORAGE_ERROR: i16 = 56;

/// What the mock keeps of a topic partition, in bytes of batches, before it drops the oldest.
pub(in crate::cluster::embedded) const KEPT_BYTES: u64 = 5 << 20;
/// How many batches of a producer a broker remembers.
const REMEMBERED: usize = 5;
/// Stock `max.message.bytes`.
const MAX_MESSAGE_BYTES: u64 = 1_048_588;

/// A topic's properties, as far as the relay heeds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster::embedded) struct Properties {
    pub max_message_bytes: u64,
    pub min_insync_replicas: u64,
    /// `message.timestamp.type`: whether a record's time is the broker's, of when it was appended.
    pub append_time: bool,
}

impl Default for Properties {
    fn default() -> Self {
        Self { max_message_bytes: MAX_MESSAGE_BYTES, min_insync_replicas: 1, append_time: false }
    }
}

impl Properties {
    /// Sets one property by its name, or takes it back to Kafka's default. `Err`: what was expected.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let stock = Self::default();
        let number = |stock: u64| match value {
            Some(text) => text.parse().map_err(|_| format!("`{text}` is no number for {name}")),
            None => Ok(stock),
        };
        match name {
            "max.message.bytes" => self.max_message_bytes = number(stock.max_message_bytes)?,
            "min.insync.replicas" => self.min_insync_replicas = number(stock.min_insync_replicas)?,
            "message.timestamp.type" => {
                self.append_time = match value {
                    None | Some("CreateTime") => false,
                    Some("LogAppendTime") => true,
                    Some(other) => return Err(format!("`{other}` is no message.timestamp.type")),
                }
            }
            _ => {
                return Err(format!(
                    "the embedded backend heeds max.message.bytes, min.insync.replicas and message.timestamp.type, \
                     not {name}"
                ));
            }
        }
        Ok(())
    }
}

/// Locked from the decision about an append until it is done.
type SharedPartition = Arc<tokio::sync::Mutex<Partition>>;

/// Logs of a cluster.
pub(in crate::cluster::embedded) struct Logs {
    topics: Mutex<BTreeMap<String, Topic>>,
    partitions: Mutex<HashMap<(String, i32), SharedPartition>>,
    /// Brokers that are out of sync everywhere.
    fenced: Mutex<BTreeSet<u32>>,
    /// The first append that did not fit.
    overflow: watch::Sender<Option<String>>,
}

#[derive(Clone, Debug, Default)]
struct Topic {
    properties: Properties,
    /// By partition.
    replicas: BTreeMap<i32, Vec<u32>>,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            topics: Mutex::default(),
            partitions: Mutex::default(),
            fenced: Mutex::default(),
            overflow: watch::Sender::new(None),
        }
    }
}

impl Logs {
    /// Tells of a new topic.
    pub fn create(&self, topic: &str, replicas: BTreeMap<i32, Vec<u32>>, properties: Properties) {
        lock(&self.topics).insert(topic.to_owned(), Topic { properties, replicas });
    }

    /// Sets a property of a topic.
    pub fn alter(&self, topic: &str, name: &str, value: Option<&str>) -> Result<(), String> {
        let mut topics = lock(&self.topics);
        topics.get_mut(topic).ok_or_else(|| format!("there is no topic {topic}"))?.properties.set(name, value)
    }

    /// From now on a broker's replicas are in sync, or not.
    pub fn set_in_sync(&self, broker: u32, in_sync: bool) {
        let mut fenced = lock(&self.fenced);
        if in_sync {
            fenced.remove(&broker);
        } else {
            fenced.insert(broker);
        }
    }

    /// Ends when an append was refused because the mock would have dropped older records for it; says which.
    pub async fn overflowed(&self) -> String {
        let mut overflow = self.overflow.subscribe();
        let full = overflow.wait_for(Option::is_some).await.ok().and_then(|text| text.clone());
        full.unwrap_or_default()
    }

    /// The fullest topic partition that nobody is writing to at this moment, and its bytes.
    pub fn fullest(&self) -> Option<(String, u64)> {
        let partitions = lock(&self.partitions);
        let sizes = partitions.iter().filter_map(|((topic, number), partition)| {
            Some((format!("{topic}/{number}"), partition.try_lock().ok()?.bytes))
        });
        sizes.max_by_key(|(_, bytes)| *bytes)
    }

    pub(super) fn partition(&self, topic: &str, number: i32) -> SharedPartition {
        lock(&self.partitions).entry((topic.to_owned(), number)).or_default().clone()
    }

    /// What decides about an append to a topic partition: the topic's properties, and how many replicas are in sync.
    pub(super) fn rules(&self, topic: &str, number: i32) -> Rules {
        let topics = lock(&self.topics);
        let Some(Topic { properties, replicas }) = topics.get(topic) else { return Rules::default() };
        let fenced = lock(&self.fenced);
        let in_sync = replicas.get(&number).map(|all| all.iter().filter(|id| !fenced.contains(id)).count() as u64);
        Rules { properties: *properties, in_sync }
    }

    pub(super) fn overflow(&self, topic: &str, number: i32) -> i16 {
        self.overflow.send_if_modified(|full| {
            let first = full.is_none();
            full.get_or_insert_with(|| format!("{topic}/{number}"));
            first
        });
        KAFKA_STORAGE_ERROR
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    properties: Properties,
    in_sync: Option<u64>,
}

/// One topic partition's log, as far as the rules need it.
#[derive(Debug, Default)]
pub(in crate::cluster::embedded) struct Partition {
    producers: HashMap<i64, Producer>,
    bytes: u64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The last batches, oldest first.
    batches: VecDeque<Appended>,
}

/// A batch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    first: i32,
    last: i32,
    pub offset: i64,
    /// Milliseconds since the epoch, if it is the broker's; else -1.
    pub time: i64,
}

/// What is to become of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Append,
    /// It is in the log already: a retry whose first answer was lost.
    Duplicate(Appended),
    Refuse(i16),
    /// The mock would drop older records.
    Full,
}

impl Partition {
    /// Decides as Kafka does.
    pub(super) fn decide(&self, batch: &Batch<'_>, rules: &Rules, acks_all: bool) -> Decision {
        if batch.bytes.len() as u64 > rules.properties.max_message_bytes {
            return Decision::Refuse(MESSAGE_TOO_LARGE);
        }
        if acks_all && rules.in_sync.is_some_and(|n| n < rules.properties.min_insync_replicas) {
            return Decision::Refuse(NOT_ENOUGH_REPLICAS);
        }
        if let Some(sequence) = batch.sequence()
            && let Some(known) = self.producers.get(&batch.producer_id())
        {
            let last = known.batches.back().map_or(-1, |b| b.last);
            match batch.producer_epoch().cmp(&known.epoch) {
                std::cmp::Ordering::Less => return Decision::Refuse(INVALID_PRODUCER_EPOCH),
                std::cmp::Ordering::Greater if sequence != 0 => {
                    return Decision::Refuse(OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                std::cmp::Ordering::Greater => {}
                std::cmp::Ordering::Equal => {
                    let end = later(sequence, batch.records() - 1);
                    if let Some(same) = known.batches.iter().find(|b| (b.first, b.last) == (sequence, end)) {
                        return Decision::Duplicate(*same);
                    }
                    if sequence != later(last, 1) {
                        return Decision::Refuse(OUT_OF_ORDER_SEQUENCE_NUMBER);
                    }
                }
            }
        }
        if self.bytes + batch.bytes.len() as u64 > KEPT_BYTES { Decision::Full } else { Decision::Append }
    }

    /// A batch is in the log.
    pub(super) fn appended(&mut self, batch: &Batch<'_>, offset: i64, time: i64) {
        self.bytes += batch.bytes.len() as u64;
        let Some(first) = batch.sequence() else { return };
        let epoch = batch.producer_epoch();
        let known = self
            .producers
            .entry(batch.producer_id())
            .or_insert_with(|| Producer { epoch, batches: VecDeque::with_capacity(REMEMBERED) });
        if known.epoch != epoch {
            *known = Producer { epoch, batches: VecDeque::with_capacity(REMEMBERED) };
        }
        if known.batches.len() == REMEMBERED {
            known.batches.pop_front();
        }
        known.batches.push_back(Appended { first, last: later(first, batch.records() - 1), offset, time });
    }
}

/// Sequences start again at 0 after the greatest number.
fn later(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

/// A record batch of format 2, whole and alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    const LENGTH: usize = 8;
    const MAGIC: usize = 16;
    const CRC: usize = 17;
    const ATTRIBUTES: usize = 21;
    const MAX_TIMESTAMP: usize = 35;
    const PRODUCER_ID: usize = 43;
    const PRODUCER_EPOCH: usize = 51;
    const SEQUENCE: usize = 53;
    const RECORDS: usize = 57;
    const HEADER: usize = 61;
    const APPEND_TIME: u8 = 1 << 3;

    /// `None`: it is not one whole batch of the only format that is written today.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let batch = Self { bytes };
        let whole = bytes.len() >= Self::HEADER
            && bytes[Self::MAGIC] == 2
            && usize::try_from(batch.i32(Self::LENGTH)).ok()? + 12 == bytes.len()
            && batch.records() > 0;
        whole.then_some(batch)
    }

    /// The same batch with the broker's time of append; consumers give it to every record of the batch.
    pub fn stamped(bytes: &mut [u8], millis: i64) {
        bytes[Self::ATTRIBUTES + 1] |= Self::APPEND_TIME;
        bytes[Self::MAX_TIMESTAMP..][..8].copy_from_slice(&millis.to_be_bytes());
        let sum = crc32c::crc32c(&bytes[Self::ATTRIBUTES..]);
        bytes[Self::CRC..][..4].copy_from_slice(&sum.to_be_bytes());
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[at..at + N]);
        out
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_be_bytes(self.array(at))
    }

    fn records(&self) -> i32 {
        self.i32(Self::RECORDS)
    }

    fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.array(Self::PRODUCER_ID))
    }

    fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.array(Self::PRODUCER_EPOCH))
    }

    /// The first record's sequence, if the producer is idempotent.
    fn sequence(&self) -> Option<i32> {
        (self.producer_id() >= 0).then(|| self.i32(Self::SEQUENCE)).filter(|sequence| *sequence >= 0)
    }
}

impl Rules {
    pub fn append_time(&self) -> bool {
        self.properties.append_time
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer: i64, epoch: i16, sequence: i32, records: i32, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; Batch::HEADER + size];
        let length = (bytes.len() - 12) as i32;
        bytes[Batch::LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
        bytes[Batch::MAGIC] = 2;
        bytes[Batch::PRODUCER_ID..][..8].copy_from_slice(&producer.to_be_bytes());
        bytes[Batch::PRODUCER_EPOCH..][..2].copy_from_slice(&epoch.to_be_bytes());
        bytes[Batch::SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[Batch::RECORDS..][..4].copy_from_slice(&records.to_be_bytes());
        bytes
    }

    struct Log(Partition, i64);

    impl Log {
        fn offer(&mut self, bytes: &[u8]) -> Decision {
            let batch = Batch::read(bytes).unwrap();
            let decision = self.0.decide(&batch, &Rules::default(), true);
            if decision == Decision::Append {
                self.0.appended(&batch, self.1, -1);
                self.1 += i64::from(batch.records());
            }
            decision
        }
    }

    #[test]
    fn a_retry_is_known_by_its_sequence_and_gets_the_first_answer_again() {
        let mut log = Log(Partition::default(), 100);
        assert_eq!(log.offer(&batch(7, 0, 0, 3, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 0, 3, 1, 40)), Decision::Append);
        let Decision::Duplicate(first) = log.offer(&batch(7, 0, 0, 3, 40)) else { panic!("appended twice") };
        assert_eq!(first.offset, 100);
        let Decision::Duplicate(second) = log.offer(&batch(7, 0, 3, 1, 40)) else { panic!("appended twice") };
        assert_eq!(second.offset, 103);
        assert_eq!(log.offer(&batch(7, 0, 4, 1, 40)), Decision::Append);
    }

    #[test]
    fn a_gap_is_refused_until_what_is_missing_comes() {
        let mut log = Log(Partition::default(), 0);
        assert_eq!(log.offer(&batch(7, 0, 0, 1, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 0, 2, 1, 40)), Decision::Refuse(OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(log.offer(&batch(7, 0, 1, 1, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 0, 2, 1, 40)), Decision::Append);
    }

    #[test]
    fn an_old_epoch_is_fenced_and_a_new_one_begins_at_zero() {
        let mut log = Log(Partition::default(), 0);
        assert_eq!(log.offer(&batch(7, 1, 0, 1, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 0, 1, 1, 40)), Decision::Refuse(INVALID_PRODUCER_EPOCH));
        assert_eq!(log.offer(&batch(7, 2, 1, 1, 40)), Decision::Refuse(OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(log.offer(&batch(7, 2, 0, 1, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 2, 1, 1, 40)), Decision::Append);
    }

    #[test]
    fn sequences_go_round() {
        let mut log = Log(Partition::default(), 0);
        assert_eq!(log.offer(&batch(7, 0, i32::MAX - 1, 2, 40)), Decision::Append);
        assert_eq!(log.offer(&batch(7, 0, 0, 1, 40)), Decision::Append);
    }

    #[test]
    fn producers_without_sequences_append_whatever_comes() {
        let mut log = Log(Partition::default(), 0);
        for _ in 0..2 {
            assert_eq!(log.offer(&batch(-1, -1, -1, 1, 40)), Decision::Append);
        }
    }

    #[test]
    fn what_would_push_older_records_out_is_refused() {
        let mut log = Log(Partition::default(), 0);
        for _ in 0..5 {
            assert_eq!(log.offer(&batch(-1, -1, -1, 1, 1 << 20)), Decision::Refuse(MESSAGE_TOO_LARGE));
        }
        let half = 1 << 19;
        for _ in 0..9 {
            assert_eq!(log.offer(&batch(-1, -1, -1, 1, half)), Decision::Append);
        }
        assert_eq!(log.offer(&batch(-1, -1, -1, 1, half)), Decision::Full);
    }

    #[test]
    fn a_topic_s_properties_and_the_brokers_that_are_in_sync_decide() {
        let logs = Logs::default();
        logs.create("t", BTreeMap::from([(0, vec![1, 2, 3])]), Properties::default());
        logs.alter("t", "min.insync.replicas", Some("2")).unwrap();
        let bytes = batch(-1, -1, -1, 1, 40);
        let batch = Batch::read(&bytes).unwrap();
        let decide = |acks_all| Partition::default().decide(&batch, &logs.rules("t", 0), acks_all);
        assert_eq!(decide(true), Decision::Append);
        logs.set_in_sync(1, false);
        logs.set_in_sync(3, false);
        assert_eq!(decide(true), Decision::Refuse(NOT_ENOUGH_REPLICAS));
        assert_eq!(decide(false), Decision::Append);
        logs.set_in_sync(3, true);
        assert_eq!(decide(true), Decision::Append);
        logs.alter("t", "max.message.bytes", Some("50")).unwrap();
        assert_eq!(decide(true), Decision::Refuse(MESSAGE_TOO_LARGE));
        logs.alter("t", "max.message.bytes", None).unwrap();
        assert_eq!(decide(true), Decision::Append);
        assert!(logs.alter("t", "retention.ms", Some("1")).unwrap_err().contains("retention.ms"));
        assert!(logs.alter("t", "max.message.bytes", Some("many")).is_err());
        assert!(logs.alter("no", "max.message.bytes", Some("1")).is_err());
    }

    #[test]
    fn a_stamped_batch_has_the_broker_s_time_and_a_right_sum() {
        let mut bytes = batch(7, 0, 0, 1, 40);
        Batch::stamped(&mut bytes, 1_700_000_000_123);
        assert_eq!(bytes[Batch::ATTRIBUTES + 1] & Batch::APPEND_TIME, Batch::APPEND_TIME);
        let batch = Batch::read(&bytes).unwrap();
        assert_eq!(i64::from_be_bytes(batch.array(Batch::MAX_TIMESTAMP)), 1_700_000_000_123);
        assert_eq!(u32::from_be_bytes(batch.array(Batch::CRC)), crc32c::crc32c(&bytes[Batch::ATTRIBUTES..]));
    }

    #[test]
    fn half_a_batch_two_batches_and_an_old_format_are_none() {
        let whole = batch(7, 0, 0, 1, 40);
        assert!(Batch::read(&whole).is_some());
        assert!(Batch::read(&whole[..whole.len() - 1]).is_none());
        assert!(Batch::read(&[whole.clone(), whole.clone()].concat()).is_none());
        let mut old = whole;
        old[Batch::MAGIC] = 1;
        assert!(Batch::read(&old).is_none());
        assert!(Batch::read(&[]).is_none());
    }
}
