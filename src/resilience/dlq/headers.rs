//! The names of the headers, in Seaworthy's own convention and in those of Spring and Kafka Connect, and how a block of
//! them is put behind a record's own headers and taken off again.

use std::time::SystemTime;

use super::{Failure, dead_letter_id};
use crate::resilience::record::{Headers, Incoming};
use crate::resilience::settings::HeaderPreset;

/// Topic the record was consumed from.
pub const ORIGINAL_TOPIC: &str = "original-topic";
/// Its partition there, decimal.
pub const ORIGINAL_PARTITION: &str = "original-partition";
/// Its offset there, decimal.
pub const ORIGINAL_OFFSET: &str = "original-offset";
/// Why it could not be processed; bounded text.
pub const ERROR_MESSAGE: &str = "error-message";
/// When it was given up, RFC 3339, UTC.
pub const TIMESTAMP: &str = "timestamp";
/// The original record's timestamp, milliseconds since the epoch, decimal; [`NONE`] where it had none.
pub const ORIGINAL_TIMESTAMP: &str = "original-timestamp";
/// The group that gave it up.
pub const CONSUMER_GROUP: &str = "consumer-group";
/// `retriable`, `temporary` or `non-retriable`.
pub const ERROR_CLASS: &str = "error-class";
/// The error's code, decimal; [`NONE`] where the error has none.
pub const ERROR_CODE: &str = "error-code";
/// How often the handler was called for it, decimal.
pub const ATTEMPTS: &str = "attempts";
/// When it failed for the first time, RFC 3339, UTC.
pub const FIRST_FAILURE: &str = "first-failure";
/// `topic/partition/offset` of the original: the same for every copy of one dead letter, so that duplicates written
/// around a crash are recognised.
pub const DEAD_LETTER_ID: &str = "dead-letter-id";

/// On a record in a retry topic: not to be handled before this, milliseconds since the epoch, decimal.
pub const RETRY_NOT_BEFORE: &str = "retry-not-before";
/// On a replayed record: how often it was replayed, decimal. Stays on it when it fails again.
pub const REPLAYS: &str = "dead-letter-replays";
/// On a replayed record: `topic/partition/offset` of the dead letter it was replayed from.
pub const REPLAYED_FROM: &str = "dead-letter-replayed-from";

/// Every header that a dead letter carries under Seaworthy's own names, in the order in which they are appended.
pub const ALL: [&str; 12] = [
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    ERROR_MESSAGE,
    TIMESTAMP,
    ORIGINAL_TIMESTAMP,
    CONSUMER_GROUP,
    ERROR_CLASS,
    ERROR_CODE,
    ATTEMPTS,
    FIRST_FAILURE,
    DEAD_LETTER_ID,
];

/// The value of a header whose fact does not exist (no code, no timestamp).
pub const NONE: &str = "none";

/// What all of Spring's names begin with; numbers are big-endian bytes, 4 for the partition, 8 for offset and time.
pub(super) const SPRING: &str = "kafka_dlt-";
pub(super) const SPRING_TOPIC: &str = "kafka_dlt-original-topic";
pub(super) const SPRING_PARTITION: &str = "kafka_dlt-original-partition";
pub(super) const SPRING_OFFSET: &str = "kafka_dlt-original-offset";
pub(super) const SPRING_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
pub(super) const SPRING_GROUP: &str = "kafka_dlt-original-consumer-group";
pub(super) const SPRING_EXCEPTION: &str = "kafka_dlt-exception-fqcn";
pub(super) const SPRING_MESSAGE: &str = "kafka_dlt-exception-message";
/// Spring's count of deliveries, 4 bytes, on records of its retry topics.
pub(super) const SPRING_ATTEMPTS: &str = "retry_topic-attempts";

/// What all of Kafka Connect's names begin with; everything is text.
pub(super) const CONNECT: &str = "__connect.errors.";
pub(super) const CONNECT_TOPIC: &str = "__connect.errors.topic";
pub(super) const CONNECT_PARTITION: &str = "__connect.errors.partition";
pub(super) const CONNECT_OFFSET: &str = "__connect.errors.offset";
pub(super) const CONNECT_NAME: &str = "__connect.errors.connector.name";
pub(super) const CONNECT_EXCEPTION: &str = "__connect.errors.exception.class.name";
pub(super) const CONNECT_MESSAGE: &str = "__connect.errors.exception.message";

/// What is written under Seaworthy's names beside a foreign convention's, in order.
const BESIDE_SPRING: &[&str] = &[TIMESTAMP, ERROR_CLASS, ERROR_CODE, ATTEMPTS, FIRST_FAILURE, DEAD_LETTER_ID];
const BESIDE_CONNECT: &[&str] =
    &[TIMESTAMP, ORIGINAL_TIMESTAMP, ERROR_CLASS, ERROR_CODE, ATTEMPTS, FIRST_FAILURE, DEAD_LETTER_ID];

pub(super) fn own_names(preset: HeaderPreset) -> &'static [&'static str] {
    match preset {
        HeaderPreset::Plain => &ALL,
        HeaderPreset::Spring => BESIDE_SPRING,
        HeaderPreset::Connect => BESIDE_CONNECT,
    }
}

/// What the headers are written from.
pub(super) struct Facts<'a> {
    pub original: &'a Incoming,
    pub failure: &'a Failure,
    pub at: SystemTime,
    pub group: &'a str,
}

impl Facts<'_> {
    /// The block for `preset`: at most `max_bytes`, as far as only the error text is cut, and that to `max_text`.
    pub fn headers(&self, preset: HeaderPreset, max_bytes: usize, max_text: usize) -> Headers {
        let mut block: Vec<(&str, Vec<u8>)> = match preset {
            HeaderPreset::Plain => Vec::new(),
            HeaderPreset::Spring => self.spring(),
            HeaderPreset::Connect => self.connect(),
        };
        block.extend(own_names(preset).iter().map(|name| (*name, self.own(name).into_bytes())));
        let text = match preset {
            HeaderPreset::Plain => ERROR_MESSAGE,
            HeaderPreset::Spring => SPRING_MESSAGE,
            HeaderPreset::Connect => CONNECT_MESSAGE,
        };
        let others: usize = block.iter().map(|(name, value)| name.len() + value.len()).sum();
        let room = max_bytes.saturating_sub(others).min(max_text);
        for (name, value) in &mut block {
            if *name == text {
                *value = bounded(&self.failure.message, room).into_bytes();
            }
        }
        block.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
    }

    fn spring(&self) -> Vec<(&'static str, Vec<u8>)> {
        let Incoming { topic, partition, offset, timestamp, .. } = self.original;
        let mut block = vec![
            (SPRING_TOPIC, topic.clone().into_bytes()),
            (SPRING_PARTITION, partition.to_be_bytes().to_vec()),
            (SPRING_OFFSET, offset.to_be_bytes().to_vec()),
        ];
        block.extend(timestamp.map(|time| (SPRING_TIMESTAMP, time.to_be_bytes().to_vec())));
        block.extend([
            (SPRING_GROUP, self.group.as_bytes().to_vec()),
            (SPRING_EXCEPTION, self.exception()),
            (SPRING_MESSAGE, Vec::new()),
        ]);
        block
    }

    fn connect(&self) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            (CONNECT_TOPIC, self.original.topic.clone().into_bytes()),
            (CONNECT_PARTITION, self.original.partition.to_string().into_bytes()),
            (CONNECT_OFFSET, self.original.offset.to_string().into_bytes()),
            (CONNECT_NAME, self.group.as_bytes().to_vec()),
            (CONNECT_EXCEPTION, self.exception()),
            (CONNECT_MESSAGE, Vec::new()),
        ]
    }

    /// Where a Java application names its exception: what comes nearest to it here.
    fn exception(&self) -> Vec<u8> {
        format!("seaworthy.{}", self.failure.class).into_bytes()
    }

    /// The value under one of Seaworthy's names; the error text is filled in when the room for it is known.
    fn own(&self, name: &str) -> String {
        let Incoming { topic, partition, offset, timestamp, .. } = self.original;
        let number = |n: Option<i64>| n.map_or(NONE.to_owned(), |n| n.to_string());
        match name {
            ORIGINAL_TOPIC => topic.clone(),
            ORIGINAL_PARTITION => partition.to_string(),
            ORIGINAL_OFFSET => offset.to_string(),
            TIMESTAMP => rfc3339(self.at),
            ORIGINAL_TIMESTAMP => number(*timestamp),
            CONSUMER_GROUP => self.group.to_owned(),
            ERROR_CLASS => self.failure.class.to_string(),
            ERROR_CODE => number(self.failure.code.map(i64::from)),
            ATTEMPTS => self.failure.attempts.to_string(),
            FIRST_FAILURE => rfc3339(self.failure.first_failure),
            DEAD_LETTER_ID => dead_letter_id(topic, *partition, *offset),
            _ => String::new(),
        }
    }
}

/// Whose names the headers' last block has; `None`: it is no dead letter.
pub(super) fn convention(headers: &Headers) -> Option<HeaderPreset> {
    headers.iter().rev().find_map(|(name, _)| match name.as_str() {
        ORIGINAL_TOPIC => Some(HeaderPreset::Plain),
        SPRING_TOPIC => Some(HeaderPreset::Spring),
        CONNECT_TOPIC => Some(HeaderPreset::Connect),
        _ => None,
    })
}

/// The headers that the original record had: a dead letter's (or retry topic's) without what was appended.
///
/// Of Seaworthy's own names only the last block goes: a header of the application's that happens to be called
/// `timestamp` stays. Spring's and Connect's names are nobody else's, and all go.
pub fn original_headers(headers: &Headers) -> Headers {
    let Some(preset) = convention(headers) else { return headers.clone() };
    let foreign = |name: &str| name.starts_with(SPRING) || name.starts_with(CONNECT);
    let mut rest: Headers = headers.iter().filter(|(name, _)| !foreign(name)).cloned().collect();
    if rest.last().is_some_and(|(name, _)| name == RETRY_NOT_BEFORE) {
        rest.pop();
    }
    if rest.last().is_some_and(|(name, _)| name == DEAD_LETTER_ID) {
        for name in own_names(preset).iter().rev() {
            if rest.last().is_some_and(|(last, _)| last == name) {
                rest.pop();
            }
        }
    }
    rest
}

pub(super) fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// Cuts a text to `max` bytes at a character's boundary, and marks the cut where there is room for the mark.
pub(super) fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mark = if max >= '…'.len_utf8() { "…" } else { "" };
    let mut end = max - mark.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", &text[..end])
}
