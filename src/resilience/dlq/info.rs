//! What a dead letter's headers say, in whichever convention they are written.

use std::time::SystemTime;

use super::dead_letter_id;
use super::headers::*;
use crate::resilience::classify::Class;
use crate::resilience::record::{Headers, last_header};
use crate::resilience::settings::HeaderPreset;

/// What a dead letter's headers say. A header that is missing, or cannot be read as what it should be, is `None`.
/// Where a name occurs more than once (a dead letter that failed again) the last one counts. Seaworthy's, Spring's and
/// Kafka Connect's names are read; of several blocks the one appended last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterInfo {
    /// Whose names the origin is written under; `None`: there is none.
    pub convention: Option<HeaderPreset>,
    /// [`ORIGINAL_TOPIC`].
    pub original_topic: Option<String>,
    /// [`ORIGINAL_PARTITION`].
    pub original_partition: Option<i32>,
    /// [`ORIGINAL_OFFSET`].
    pub original_offset: Option<i64>,
    /// [`ERROR_MESSAGE`].
    pub error_message: Option<String>,
    /// The exception's class, where Spring or Kafka Connect wrote the letter.
    pub exception: Option<String>,
    /// [`TIMESTAMP`]. Spring and Kafka Connect have none: the dead letter's own timestamp tells.
    pub timestamp: Option<SystemTime>,
    /// [`ORIGINAL_TIMESTAMP`], milliseconds since the epoch; `None` also when it says [`NONE`].
    pub original_timestamp: Option<i64>,
    /// [`CONSUMER_GROUP`]; of Kafka Connect the connector's name.
    pub consumer_group: Option<String>,
    /// [`ERROR_CLASS`].
    pub error_class: Option<Class>,
    /// [`ERROR_CODE`]; `None` also when it says [`NONE`].
    pub error_code: Option<i32>,
    /// [`ATTEMPTS`].
    pub attempts: Option<u32>,
    /// [`FIRST_FAILURE`].
    pub first_failure: Option<SystemTime>,
    /// [`DEAD_LETTER_ID`]; where it is not written, made from the origin.
    pub dead_letter_id: Option<String>,
    /// [`REPLAYS`]: how often this record was replayed before; 0 without the header.
    pub replays: u32,
    complete: bool,
}

impl DeadLetterInfo {
    /// Reads the headers of a dead letter.
    pub fn from_headers(headers: &Headers) -> Self {
        let convention = convention(headers);
        let mut info = match convention {
            Some(HeaderPreset::Spring) => Self::spring(headers),
            Some(HeaderPreset::Connect) => Self::connect(headers),
            Some(HeaderPreset::Plain) | None => Self::plain(headers),
        };
        info.convention = convention;
        // Generic names: only beside an id they are ours and not the application's.
        let written_id = owned(headers, DEAD_LETTER_ID);
        if written_id.is_some() || convention == Some(HeaderPreset::Plain) {
            info.own(headers);
        }
        info.replays = number(headers, REPLAYS).unwrap_or(0);
        let made_id = info.origin().map(|(topic, partition, offset)| dead_letter_id(topic, partition, offset));
        info.complete =
            made_id.is_some() && info.tells_error_and_time(headers, written_id.as_deref() == made_id.as_deref());
        info.dead_letter_id = written_id.or(made_id);
        info
    }

    /// Whether everything that its convention promises is there and readable, and the id names the origin. Of Spring's
    /// and Kafka Connect's headers: the origin and the error; of Seaworthy's all of them.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// Topic, partition and offset of the original, when all three are there.
    pub fn origin(&self) -> Option<(&str, i32, i64)> {
        Some((self.original_topic.as_deref()?, self.original_partition?, self.original_offset?))
    }

    fn tells_error_and_time(&self, headers: &Headers, id_names_origin: bool) -> bool {
        if self.convention != Some(HeaderPreset::Plain) {
            return self.exception.is_some() || self.error_message.is_some();
        }
        let absent = |name| text(headers, name) == Some(NONE);
        id_names_origin
            && self.error_message.is_some()
            && self.timestamp.is_some()
            && (self.original_timestamp.is_some() || absent(ORIGINAL_TIMESTAMP))
            && self.consumer_group.is_some()
            && self.error_class.is_some()
            && (self.error_code.is_some() || absent(ERROR_CODE))
            && self.attempts.is_some()
            && self.first_failure.is_some()
    }

    fn plain(headers: &Headers) -> Self {
        Self {
            original_topic: owned(headers, ORIGINAL_TOPIC),
            original_partition: number(headers, ORIGINAL_PARTITION),
            original_offset: number(headers, ORIGINAL_OFFSET),
            error_message: owned(headers, ERROR_MESSAGE),
            consumer_group: owned(headers, CONSUMER_GROUP),
            ..Self::default()
        }
    }

    fn spring(headers: &Headers) -> Self {
        let bytes = |name| last_header(headers, name);
        let four = |name| bytes(name).and_then(|v| Some(i32::from_be_bytes(v.try_into().ok()?)));
        let eight = |name| bytes(name).and_then(|v| Some(i64::from_be_bytes(v.try_into().ok()?)));
        Self {
            original_topic: owned(headers, SPRING_TOPIC),
            original_partition: four(SPRING_PARTITION),
            original_offset: eight(SPRING_OFFSET),
            original_timestamp: eight(SPRING_TIMESTAMP),
            consumer_group: owned(headers, SPRING_GROUP),
            exception: owned(headers, SPRING_EXCEPTION),
            error_message: owned(headers, SPRING_MESSAGE),
            attempts: four(SPRING_ATTEMPTS).and_then(|n| u32::try_from(n).ok()),
            ..Self::default()
        }
    }

    fn connect(headers: &Headers) -> Self {
        Self {
            original_topic: owned(headers, CONNECT_TOPIC),
            original_partition: number(headers, CONNECT_PARTITION),
            original_offset: number(headers, CONNECT_OFFSET),
            consumer_group: owned(headers, CONNECT_NAME),
            exception: owned(headers, CONNECT_EXCEPTION),
            error_message: owned(headers, CONNECT_MESSAGE),
            ..Self::default()
        }
    }

    /// What is written under Seaworthy's names in every convention.
    fn own(&mut self, headers: &Headers) {
        let time = |name| text(headers, name).and_then(|v| humantime::parse_rfc3339(v).ok());
        self.timestamp = time(TIMESTAMP);
        self.original_timestamp = self.original_timestamp.or(number(headers, ORIGINAL_TIMESTAMP));
        self.error_class = text(headers, ERROR_CLASS).and_then(class_of);
        self.error_code = number(headers, ERROR_CODE);
        self.attempts = number(headers, ATTEMPTS).or(self.attempts);
        self.first_failure = time(FIRST_FAILURE);
    }
}

fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    last_header(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}

fn owned(headers: &Headers, name: &str) -> Option<String> {
    text(headers, name).map(str::to_owned)
}

fn number<N: std::str::FromStr>(headers: &Headers, name: &str) -> Option<N> {
    text(headers, name).and_then(|value| value.parse().ok())
}

fn class_of(name: &str) -> Option<Class> {
    [Class::Retriable, Class::Temporary, Class::NonRetriable].into_iter().find(|class| class.as_str() == name)
}
