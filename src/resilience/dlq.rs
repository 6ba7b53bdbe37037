//! Dead letters: the record that cannot be processed, kept untouched, with headers that say where it came from and
//! why it is here. Builds and reads such records, and those of retry topics; sending them, and storing an offset only
//! after the send is acknowledged, is the consumer's work. Knows nothing of clients.
//!
//! ```
//! use std::time::SystemTime;
//! use seaworthy::resilience::{Class, DeadLetterInfo, DeadLetterQueue, Incoming, dlq::Failure};
//!
//! let original = Incoming {
//!     topic: "orders".into(),
//!     partition: 2,
//!     offset: 41,
//!     timestamp: None,
//!     key: None,
//!     payload: None, // a tombstone stays one
//!     headers: vec![],
//! };
//! let failure = Failure {
//!     message: "no such customer".into(),
//!     class: Class::NonRetriable,
//!     code: None,
//!     attempts: 1,
//!     first_failure: SystemTime::UNIX_EPOCH,
//! };
//! let queue = DeadLetterQueue::new("orders.dlq", "billing");
//! let letter = queue.dead_letter(&original, &failure, SystemTime::UNIX_EPOCH);
//! assert_eq!(letter.payload, original.payload);
//! assert_eq!(DeadLetterInfo::from_headers(&letter.headers).origin(), Some(("orders", 2, 41)));
//! ```

mod headers;
mod info;
mod retry_topics;

use std::time::SystemTime;

use super::classify::Class;
use super::record::{Headers, Incoming, Record};
use super::settings::{DlqSettings, HeaderPreset};
use headers::Facts;

pub use headers::{
    ALL, ATTEMPTS, CONSUMER_GROUP, DEAD_LETTER_ID, ERROR_CLASS, ERROR_CODE, ERROR_MESSAGE, FIRST_FAILURE, NONE,
    ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TIMESTAMP, ORIGINAL_TOPIC, REPLAYED_FROM, REPLAYS, RETRY_NOT_BEFORE,
    TIMESTAMP, original_headers,
};
pub use info::DeadLetterInfo;
pub use retry_topics::RetryTopics;

/// The error text of a record that a broker found too large is cut to this, in bytes.
const SMALL_TEXT: usize = 64;

/// Why a record is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people; cut to the queue's bound.
    pub message: String,
    /// The error's class.
    pub class: Class,
    /// The error's code, where it has one.
    pub code: Option<i32>,
    /// Calls of the handler for it, those before a trip through a retry topic included.
    pub attempts: u32,
    /// When the first of them failed.
    pub first_failure: SystemTime,
}

/// Where dead letters go, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueue {
    topic: String,
    group: String,
    max_header_bytes: usize,
    preset: HeaderPreset,
}

impl DeadLetterQueue {
    /// Dead letters of the consumer group `group` go to `topic`, with Seaworthy's own header names. The added headers
    /// are bounded to 8192 bytes.
    pub fn new(topic: impl Into<String>, group: impl Into<String>) -> Self {
        let DlqSettings { max_header_bytes, header_preset, .. } = DlqSettings::default();
        Self { topic: topic.into(), group: group.into(), max_header_bytes, preset: header_preset }
    }

    /// The queue of the input topic `input` by the settings: its name with their suffix, their bound, their header
    /// names.
    pub fn of(input: &str, group: impl Into<String>, settings: &DlqSettings) -> Self {
        Self::new(format!("{input}{}", settings.topic_suffix), group)
            .max_header_bytes(settings.max_header_bytes)
            .preset(settings.header_preset)
    }

    /// Bounds all added headers together, names and values, in bytes: the error text gets what the others leave. A cut
    /// text ends in "…". Default 8192.
    pub fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Whose names the headers get. What Spring or Kafka Connect has no name for is written under Seaworthy's. Default
    /// [`HeaderPreset::Plain`].
    pub fn preset(mut self, preset: HeaderPreset) -> Self {
        self.preset = preset;
        self
    }

    /// The dead-letter topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The dead letter of `original`, given up at `at`: key, value and headers untouched, the partition's number
    /// kept, this module's headers appended. (Where the dead-letter topic has fewer partitions the sender lets the key
    /// decide.)
    pub fn dead_letter(&self, original: &Incoming, failure: &Failure, at: SystemTime) -> Record {
        self.parked(self.preset, self.topic.clone(), original, failure, at, usize::MAX)
    }

    /// The same with an error text of 64 bytes at most, for a broker that found the first one too large.
    pub fn small_dead_letter(&self, original: &Incoming, failure: &Failure, at: SystemTime) -> Record {
        self.parked(self.preset, self.topic.clone(), original, failure, at, SMALL_TEXT)
    }

    fn parked(
        &self,
        preset: HeaderPreset,
        topic: String,
        original: &Incoming,
        failure: &Failure,
        at: SystemTime,
        max_text: usize,
    ) -> Record {
        let facts = Facts { original, failure, at, group: &self.group };
        let mut headers = original.headers.clone();
        headers.extend(facts.headers(preset, self.max_header_bytes, max_text));
        Record {
            topic,
            partition: Some(original.partition),
            key: original.key.clone(),
            payload: original.payload.clone(),
            headers,
            timestamp: None,
        }
    }
}

/// The identity of a dead letter: `topic/partition/offset` of its original.
pub fn dead_letter_id(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}/{partition}/{offset}")
}

/// Puts `value` in the place of every header called `name`.
pub(super) fn replace_header(headers: &mut Headers, name: &str, value: String) {
    headers.retain(|(other, _)| other != name);
    headers.push((name.to_owned(), Some(value.into_bytes())));
}

/// The examples of the operators' page compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/dead-letters.md")]
struct OperatorsPage;

#[cfg(test)]
mod tests;
