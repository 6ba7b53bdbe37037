//! What people do with a dead-letter topic afterwards: look into it, watch it, and replay records to where they came
//! from. The calls block, as librdkafka's own do: from async code, call them on a thread for blocking work.
//!
//! **What is reprocessed** is kept as the offsets of a group of its own, the *replay group* (`<topic>.replay`): the
//! committed offset, and in its metadata the ranges that were replayed beyond it, since a filter picks from the middle.
//! Depth is what neither covers. No other consumer may use that group.
//!
//! **The guarantee of a replay.** Each batch is one transaction: its records and what it adds to the replay group's
//! offsets become visible together or not at all. Whenever a replay is killed, and whatever filters follow, every dead
//! letter is sent at most once, and one that was not sent stays pending. A letter that was written twice around a crash
//! (same id, timestamp, key and value) is sent once. The limits:
//!
//! - Readers of the original topic must read committed records only. That is librdkafka's default; Java's is
//!   `read_uncommitted`, which also sees what a killed replay sent and never committed.
//! - A killed replay's transaction holds back such readers until the next replay begins, or one minute is over.
//! - Duplicates are recognised as long as the first of them is still in the dead-letter topic.
//! - One replay of a group at a time: a second one fences the first, which ends with [`ReprocessError::Fenced`].

mod ledger;
mod overview;
mod reader;
mod replay;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

pub use overview::{Monitor, Overview, PartitionDepth};
pub use replay::{Replay, Replayed};

use super::classify::Class;
use super::dlq::DeadLetterInfo;
use super::record::Incoming;
use ledger::Done;
use reader::{Reader, Step};

/// Why a dead-letter topic could not be read or replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReprocessError {
    /// A client property is unknown or impossible.
    #[error("cannot make a client: {0}")]
    Client(#[source] KafkaError),
    /// Nobody answered, or with an error.
    #[error("cannot {doing}: {source}")]
    Kafka {
        /// What was asked.
        doing: String,
        /// librdkafka's answer.
        source: KafkaError,
    },
    /// The topic does not exist, or may not be seen.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// Records that should be there did not come.
    #[error("no record of {topic} came for {within:?}; {missing} are missing")]
    Silence {
        /// The topic.
        topic: String,
        /// How long nothing came.
        within: Duration,
        /// Records between the last one read and the end.
        missing: i64,
    },
    /// Another replay of the same group began; it goes on from what this one committed.
    #[error("another replay of the group {0} began and took over")]
    Fenced(String),
    /// What was replayed is scattered over more ranges than the offset's metadata can hold.
    #[error("{topic}/{partition} is replayed in too many pieces to be remembered; replay without a filter first")]
    Scattered {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
}

/// Whether a dead letter is to be reprocessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterState {
    /// Not reprocessed.
    Pending,
    /// Replayed or discarded.
    Reprocessed,
}

/// A dead letter as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The record; topic, partition and offset are its own in the dead-letter topic.
    pub record: Incoming,
    /// What its headers say.
    pub info: DeadLetterInfo,
    /// Whether it is to be reprocessed.
    pub state: LetterState,
}

impl Letter {
    /// When it was given up: by its headers, else by its own timestamp.
    pub fn time(&self) -> Option<SystemTime> {
        let own = || {
            let millis = u64::try_from(self.record.timestamp?).ok()?;
            Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
        };
        self.info.timestamp.or_else(own)
    }

    /// What it is counted under: the error's class, else the exception's name, else "unknown".
    pub fn error_class(&self) -> &str {
        let class = self.info.error_class.map(Class::as_str);
        class.or(self.info.exception.as_deref()).unwrap_or("unknown")
    }
}

/// Which dead letters are meant; an empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only those counted under this error class ([`Letter::error_class`]).
    pub error_class: Option<String>,
    /// Only those from this topic, or topic partition (`topic/partition`).
    pub origin: Option<String>,
    /// Only those given up at this time or later.
    pub since: Option<SystemTime>,
    /// Only those with this key.
    pub key: Option<Vec<u8>>,
    /// Only that with this dead-letter id (`topic/partition/offset` of the original).
    pub id: Option<String>,
}

impl Filter {
    /// Whether a letter is meant.
    pub fn matches(&self, letter: &Letter) -> bool {
        let info = &letter.info;
        let from = |wanted: &String| match (info.original_topic.as_deref(), info.original_partition) {
            (Some(topic), partition) => topic == wanted || partition.is_some_and(|p| *wanted == format!("{topic}/{p}")),
            _ => false,
        };
        self.error_class.as_ref().is_none_or(|class| letter.error_class() == class)
            && self.origin.as_ref().is_none_or(from)
            && self.since.is_none_or(|since| letter.time().is_some_and(|time| time >= since))
            && self.key.as_ref().is_none_or(|key| letter.record.key.as_ref() == Some(key))
            && self.id.as_ref().is_none_or(|id| info.dead_letter_id.as_ref() == Some(id))
    }
}

/// A dead-letter topic, and how to reach it. Connects when it is used.
#[derive(Clone, Debug)]
pub struct DeadLetterTopic {
    topic: String,
    group: String,
    properties: BTreeMap<String, String>,
    timeout: Duration,
}

impl DeadLetterTopic {
    /// The topic at the brokers `bootstrap` (`host:port,…`), with the replay group `<topic>.replay`.
    pub fn new(bootstrap: impl Into<String>, topic: impl Into<String>) -> Self {
        let topic = topic.into();
        let properties = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap.into())]);
        Self { group: format!("{topic}.replay"), topic, properties, timeout: Duration::from_secs(30) }
    }

    /// Another replay group.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Client properties, verbatim: security, mostly.
    pub fn properties(mut self, properties: impl IntoIterator<Item = (String, String)>) -> Self {
        self.properties.extend(properties);
        self
    }

    /// How long one answer of the brokers may take. Default 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads all letters that are in the topic now, each once, and shows them to `see` until it returns false.
    ///
    /// # Errors
    /// See [`ReprocessError`].
    pub fn read(&self, mut see: impl FnMut(Letter) -> bool) -> Result<(), ReprocessError> {
        let mut reader = Reader::open(self)?;
        let done = reader.committed()?;
        while let Some(step) = reader.next()? {
            if let Step::Letter(record) = step
                && !see(letter(record, &done))
            {
                break;
            }
        }
        Ok(())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    fn failed(doing: impl Into<String>) -> impl FnOnce(KafkaError) -> ReprocessError {
        move |source| ReprocessError::Kafka { doing: doing.into(), source }
    }
}

fn letter(record: Incoming, done: &BTreeMap<i32, Done>) -> Letter {
    let is_done = done.get(&record.partition).is_some_and(|done| done.contains(record.offset));
    let state = if is_done { LetterState::Reprocessed } else { LetterState::Pending };
    Letter { info: DeadLetterInfo::from_headers(&record.headers), record, state }
}

#[cfg(test)]
mod tests;
