//! Reads a dead-letter topic from its beginning to where it ends now, and the replay group's offsets. Joins no group.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::ledger::Done;
use super::{DeadLetterTopic, ReprocessError};
use crate::clock::Clock;
use crate::resilience::classify::{Action, Classify};
use crate::resilience::record::Incoming;

/// How long one look for a record takes at most.
const LOOK: Duration = Duration::from_millis(200);

/// What comes next in the topic.
pub(super) enum Step {
    Letter(Incoming),
    /// No record has an offset from `from` to before `to`: transactions' marks, or compacted away.
    Gap {
        partition: i32,
        from: i64,
        to: i64,
    },
}

/// How far one topic partition was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub low: i64,
    pub next: i64,
    /// Nothing is to be read from here on: the log's end, or the last record before it.
    pub end: i64,
    /// The log's end when it was looked at last.
    pub log_end: i64,
}

pub(super) struct Reader {
    at: DeadLetterTopic,
    /// Reads records, committed ones only.
    pub consumer: BaseConsumer,
    /// Reads offsets; a replay's open transaction does not hold it back.
    offsets: BaseConsumer,
    cursors: BTreeMap<i32, Cursor>,
    /// The consumer was told to read from the cursors.
    assigned: bool,
    ready: VecDeque<Step>,
    /// Came while it was read and is for the next time.
    beyond: VecDeque<Incoming>,
}

impl Reader {
    /// Finds the topic's partitions and its end; reads from the beginning.
    pub fn open(at: &DeadLetterTopic) -> Result<Self, ReprocessError> {
        let consumer = |isolation: &str| {
            let mut config = at.config();
            config
                .set("group.id", &at.group)
                .set("isolation.level", isolation)
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("enable.partition.eof", "true")
                .set("auto.offset.reset", "earliest");
            config.create::<BaseConsumer>().map_err(ReprocessError::Client)
        };
        let mut reader = Self {
            at: at.clone(),
            consumer: consumer("read_committed")?,
            offsets: consumer("read_uncommitted")?,
            cursors: BTreeMap::new(),
            assigned: false,
            ready: VecDeque::new(),
            beyond: VecDeque::new(),
        };
        for partition in partitions(&reader.consumer, &at.topic, at.timeout)? {
            let (low, end) = reader.ends(partition)?;
            reader.cursors.insert(partition, Cursor { low, next: low, end, log_end: end });
        }
        Ok(reader)
    }

    /// Reads on, or again, from where `from` says for each partition.
    pub fn seek(&mut self, from: impl Fn(i32) -> i64) {
        self.ready.clear();
        self.beyond.clear();
        for (partition, cursor) in &mut self.cursors {
            cursor.next = from(*partition).max(cursor.low);
        }
        self.assigned = false;
    }

    /// Lets the consumer read from the cursors. Not before there is something to read: librdkafka (2.12) aborts the
    /// process when an assignment that replaced another ends before the fetchers of the first have stopped, and a
    /// client that is closed ends it. Who has read a record of the new assignment is past that.
    fn assign(&mut self) -> Result<(), ReprocessError> {
        let mut list = TopicPartitionList::new();
        for (partition, cursor) in &self.cursors {
            // Fails only for offsets that are none.
            let _ = list.add_partition_offset(&self.at.topic, *partition, Offset::Offset(cursor.next));
        }
        self.consumer.assign(&list).map_err(DeadLetterTopic::failed(format!("read {}", self.at.topic)))?;
        self.assigned = true;
        Ok(())
    }

    /// Looks where the topic ends now.
    pub fn extend(&mut self) -> Result<(), ReprocessError> {
        for partition in self.cursors.keys().copied().collect::<Vec<_>>() {
            let (low, end) = self.ends(partition)?;
            // An end that did not move was reached: there is nothing that could come.
            if let Some(cursor) = self.cursors.get_mut(&partition).filter(|cursor| cursor.log_end != end) {
                *cursor = Cursor { low, end, log_end: end, next: cursor.next };
            }
        }
        for record in std::mem::take(&mut self.beyond) {
            self.take(record);
        }
        Ok(())
    }

    pub fn cursors(&self) -> &BTreeMap<i32, Cursor> {
        &self.cursors
    }

    fn ends(&self, partition: i32) -> Result<(i64, i64), ReprocessError> {
        patiently(self.at.timeout, |left| self.consumer.fetch_watermarks(&self.at.topic, partition, left))
            .map_err(DeadLetterTopic::failed(format!("find the end of {}/{partition}", self.at.topic)))
    }

    /// What the replay group committed, for every partition of the topic.
    pub fn committed(&self) -> Result<BTreeMap<i32, Done>, ReprocessError> {
        let mut list = TopicPartitionList::new();
        for partition in self.cursors.keys() {
            list.add_partition(&self.at.topic, *partition);
        }
        let failed = || DeadLetterTopic::failed(format!("read the offsets of the group {}", self.at.group));
        let committed = patiently(self.at.timeout, |left| self.offsets.committed_offsets(list.clone(), left));
        let committed = committed.map_err(failed())?;
        let mut all = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(failed())?;
            let Some(cursor) = self.cursors.get(&element.partition()) else { continue };
            let mut done = match element.offset() {
                // Beyond the end: the topic was made anew since.
                Offset::Offset(base) if base <= cursor.log_end => Done::read(base, element.metadata()),
                _ => Done::default(),
            };
            done.begins_at(cursor.low);
            all.insert(element.partition(), done);
        }
        Ok(all)
    }

    /// The next step towards the end. `None`: it is reached everywhere.
    pub fn next(&mut self) -> Result<Option<Step>, ReprocessError> {
        let mut silence = Clock::start();
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Ok(Some(step));
            }
            let missing: i64 = self.cursors.values().map(|c| (c.end - c.next).max(0)).sum();
            if missing == 0 {
                return Ok(None);
            }
            if !self.assigned {
                self.assign()?;
            }
            if Duration::from_nanos(silence.now()) > self.at.timeout {
                let (topic, within) = (self.at.topic.clone(), self.at.timeout);
                return Err(ReprocessError::Silence { topic, within, missing });
            }
            match self.consumer.poll(LOOK) {
                None => {}
                Some(Ok(message)) => {
                    // SAFETY: the message is borrowed, and thereby valid.
                    let record = unsafe { Incoming::copy_of(message.ptr()) };
                    drop(message);
                    silence = Clock::start();
                    self.take(record);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    // What is left before the log's end are transactions' marks. Not a gap: it is not known to be one.
                    if let Some(cursor) = self.cursors.get_mut(&partition) {
                        cursor.end = cursor.end.min(cursor.next);
                    }
                }
                Some(Err(error)) if !heals(&error) => {
                    return Err(DeadLetterTopic::failed(format!("read {}", self.at.topic))(error));
                }
                Some(Err(_)) => {}
            }
        }
    }

    fn take(&mut self, record: Incoming) {
        let (partition, offset) = (record.partition, record.offset);
        // Below: fetched before a seek.
        let Some(cursor) = self.cursors.get(&partition).filter(|cursor| offset >= cursor.next) else { return };
        if offset >= cursor.end {
            let end = cursor.end;
            self.beyond.push_back(record);
            self.advance(partition, end);
            return;
        }
        self.advance(partition, offset);
        self.ready.push_back(Step::Letter(record));
        if let Some(cursor) = self.cursors.get_mut(&partition) {
            cursor.next = offset + 1;
        }
    }

    fn advance(&mut self, partition: i32, to: i64) {
        let Some(cursor) = self.cursors.get_mut(&partition).filter(|cursor| cursor.next < to) else { return };
        self.ready.push_back(Step::Gap { partition, from: cursor.next, to });
        cursor.next = to;
    }
}

/// The partitions of a topic.
pub(super) fn partitions(client: &BaseConsumer, topic: &str, timeout: Duration) -> Result<Vec<i32>, ReprocessError> {
    let metadata = client
        .fetch_metadata(Some(topic), timeout)
        .map_err(DeadLetterTopic::failed(format!("look up the topic {topic}")))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let partitions: Vec<i32> =
        found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
    if partitions.is_empty() { Err(ReprocessError::NoTopic(topic.to_owned())) } else { Ok(partitions) }
}

/// Asks again, within `limit`, while the answer is one that passes by itself: a coordinator or leader that is only just
/// being chosen.
#[allow(clippy::disallowed_methods)] // nothing says when the answer changes: it has to be asked for
fn patiently<T>(limit: Duration, mut ask: impl FnMut(Duration) -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let clock = Clock::start();
    loop {
        let left = limit.saturating_sub(Duration::from_nanos(clock.now()));
        match ask(left.max(LOOK)) {
            Err(error) if matches!(error.classify().action, Action::Retry | Action::RefreshAndRetry) && left > LOOK => {
                std::thread::sleep(LOOK / 2);
            }
            answer => return answer,
        }
    }
}

/// Whether librdkafka goes on by itself. What it does not, or what only a person can mend, ends the reading.
fn heals(error: &KafkaError) -> bool {
    let refused = matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Authentication));
    !refused && !matches!(error.classify().action, Action::Stop | Action::RecreateClient)
}
