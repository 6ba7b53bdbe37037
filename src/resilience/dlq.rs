//! Dead letters: the record that cannot be processed, kept untouched, with headers that say where it came from and
//! why it is here. Builds and reads such records; sending them, and storing an offset only after the send is
//! acknowledged, is the consumer's work. Knows nothing of clients.

use std::time::SystemTime;

use super::classify::Class;
use super::record::{Headers, Incoming, Record, last_header};
use super::settings::DlqSettings;

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

/// Every header that a dead letter carries.
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

/// Why a record is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people; cut to the queue's bound.
    pub message: String,
    /// The error's class.
    pub class: Class,
    /// The error's code, where it has one.
    pub code: Option<i32>,
    /// Calls of the handler, this run of attempts included.
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
}

impl DeadLetterQueue {
    /// Dead letters of the consumer group `group` go to `topic`. The added headers are bounded to 8192 bytes.
    pub fn new(topic: impl Into<String>, group: impl Into<String>) -> Self {
        let DlqSettings { max_header_bytes, .. } = DlqSettings::default();
        Self { topic: topic.into(), group: group.into(), max_header_bytes }
    }

    /// The queue of the input topic `input` by the settings: its name with their suffix, their bound.
    pub fn of(input: &str, group: impl Into<String>, settings: &DlqSettings) -> Self {
        Self::new(format!("{input}{}", settings.topic_suffix), group).max_header_bytes(settings.max_header_bytes)
    }

    /// Bounds all added headers together, names and values, in bytes: the error text gets what the others leave. A cut
    /// text ends in "…".
    pub fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// The dead-letter topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The dead letter of `original`, given up at `at`: key, value and headers untouched, the partition's number
    /// kept, the headers of this module appended. (Where the dead-letter topic has fewer partitions the sender lets
    /// the key decide.)
    pub fn dead_letter(&self, original: &Incoming, failure: &Failure, at: SystemTime) -> Record {
        self.build(original, failure, at, usize::MAX)
    }

    /// The same with an error text of 64 bytes at most, for a broker that found the first one too large.
    pub fn small_dead_letter(&self, original: &Incoming, failure: &Failure, at: SystemTime) -> Record {
        self.build(original, failure, at, 64)
    }

    fn build(&self, original: &Incoming, failure: &Failure, at: SystemTime, max_text: usize) -> Record {
        let mut own = [
            (ORIGINAL_TOPIC, original.topic.clone()),
            (ORIGINAL_PARTITION, original.partition.to_string()),
            (ORIGINAL_OFFSET, original.offset.to_string()),
            (ERROR_MESSAGE, String::new()),
            (TIMESTAMP, rfc3339(at)),
            (ORIGINAL_TIMESTAMP, original.timestamp.map_or(NONE.to_owned(), |t| t.to_string())),
            (CONSUMER_GROUP, self.group.clone()),
            (ERROR_CLASS, failure.class.to_string()),
            (ERROR_CODE, failure.code.map_or(NONE.to_owned(), |c| c.to_string())),
            (ATTEMPTS, failure.attempts.to_string()),
            (FIRST_FAILURE, rfc3339(failure.first_failure)),
            (DEAD_LETTER_ID, dead_letter_id(&original.topic, original.partition, original.offset)),
        ];
        let others: usize = own.iter().map(|(name, value)| name.len() + value.len()).sum();
        let room = self.max_header_bytes.saturating_sub(others);
        own[3].1 = bounded(&failure.message, max_text.min(room));
        let mut headers = original.headers.clone();
        headers.extend(own.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))));
        Record {
            topic: self.topic.clone(),
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

/// What a dead letter's headers say. A header that is missing, or cannot be read as what it should be, is `None`.
/// Where a name occurs more than once (a dead letter that failed again) the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterInfo {
    /// [`ORIGINAL_TOPIC`].
    pub original_topic: Option<String>,
    /// [`ORIGINAL_PARTITION`].
    pub original_partition: Option<i32>,
    /// [`ORIGINAL_OFFSET`].
    pub original_offset: Option<i64>,
    /// [`ERROR_MESSAGE`].
    pub error_message: Option<String>,
    /// [`TIMESTAMP`].
    pub timestamp: Option<SystemTime>,
    /// [`ORIGINAL_TIMESTAMP`], milliseconds since the epoch; `None` also when it says [`NONE`].
    pub original_timestamp: Option<i64>,
    /// [`CONSUMER_GROUP`].
    pub consumer_group: Option<String>,
    /// [`ERROR_CLASS`].
    pub error_class: Option<Class>,
    /// [`ERROR_CODE`]; `None` also when it says [`NONE`].
    pub error_code: Option<i32>,
    /// [`ATTEMPTS`].
    pub attempts: Option<u32>,
    /// [`FIRST_FAILURE`].
    pub first_failure: Option<SystemTime>,
    /// [`DEAD_LETTER_ID`].
    pub dead_letter_id: Option<String>,
    complete: bool,
}

impl DeadLetterInfo {
    /// Reads the headers of a dead letter.
    pub fn from_headers(headers: &Headers) -> Self {
        let text = |name| last_header(headers, name).and_then(|v| std::str::from_utf8(v).ok());
        let owned = |name| text(name).map(str::to_owned);
        let time = |name| text(name).and_then(|v| humantime::parse_rfc3339(v).ok());
        let absent = |name| text(name) == Some(NONE);
        let mut info = Self {
            original_topic: owned(ORIGINAL_TOPIC),
            original_partition: text(ORIGINAL_PARTITION).and_then(|v| v.parse().ok()),
            original_offset: text(ORIGINAL_OFFSET).and_then(|v| v.parse().ok()),
            error_message: owned(ERROR_MESSAGE),
            timestamp: time(TIMESTAMP),
            original_timestamp: text(ORIGINAL_TIMESTAMP).and_then(|v| v.parse().ok()),
            consumer_group: owned(CONSUMER_GROUP),
            error_class: text(ERROR_CLASS).and_then(class_of),
            error_code: text(ERROR_CODE).and_then(|v| v.parse().ok()),
            attempts: text(ATTEMPTS).and_then(|v| v.parse().ok()),
            first_failure: time(FIRST_FAILURE),
            dead_letter_id: owned(DEAD_LETTER_ID),
            complete: false,
        };
        info.complete = info.origin().is_some_and(|(topic, partition, offset)| {
            info.dead_letter_id.as_deref() == Some(&*dead_letter_id(topic, partition, offset))
        }) && info.error_message.is_some()
            && info.timestamp.is_some()
            && (info.original_timestamp.is_some() || absent(ORIGINAL_TIMESTAMP))
            && info.consumer_group.is_some()
            && info.error_class.is_some()
            && (info.error_code.is_some() || absent(ERROR_CODE))
            && info.attempts.is_some()
            && info.first_failure.is_some();
        info
    }

    /// Whether every promised header is there and readable, and the id names the origin.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// Topic, partition and offset of the original, when all three are there.
    pub fn origin(&self) -> Option<(&str, i32, i64)> {
        Some((self.original_topic.as_deref()?, self.original_partition?, self.original_offset?))
    }
}

fn class_of(name: &str) -> Option<Class> {
    [Class::Retriable, Class::Temporary, Class::NonRetriable].into_iter().find(|class| class.as_str() == name)
}

fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// Cuts a text to `max` bytes at a character's boundary, and marks the cut where there is room for the mark.
fn bounded(text: &str, max: usize) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn original() -> Incoming {
        Incoming {
            topic: "orders".into(),
            partition: 2,
            offset: 41,
            timestamp: Some(1_700_000_000_123),
            key: Some(b"k".to_vec()),
            payload: Some(vec![0, 255, 7]),
            headers: vec![("trace".into(), Some(vec![0xfe, 0x00])), ("nothing".into(), None)],
        }
    }

    fn failure(message: &str) -> Failure {
        Failure {
            message: message.into(),
            class: Class::NonRetriable,
            code: Some(-7),
            attempts: 3,
            first_failure: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
        }
    }

    fn given_up() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_001_000)
    }

    #[test]
    fn a_dead_letter_keeps_its_original_untouched_and_can_be_read_back() {
        let queue = DeadLetterQueue::new("orders.dlq", "billing");
        let original = original();
        let letter = queue.dead_letter(&original, &failure("not a number"), given_up());
        assert_eq!((letter.topic.as_str(), letter.partition), ("orders.dlq", Some(2)));
        assert_eq!((&letter.key, &letter.payload), (&original.key, &original.payload));
        assert_eq!(letter.headers[..2], original.headers[..]);
        assert_eq!(letter.headers[2..].iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ALL);

        let info = DeadLetterInfo::from_headers(&letter.headers);
        assert!(info.complete());
        assert_eq!(info.origin(), Some(("orders", 2, 41)));
        assert_eq!(info.error_message.as_deref(), Some("not a number"));
        assert_eq!(info.timestamp, Some(given_up()));
        assert_eq!(info.original_timestamp, Some(1_700_000_000_123));
        assert_eq!(info.consumer_group.as_deref(), Some("billing"));
        assert_eq!((info.error_class, info.error_code, info.attempts), (Some(Class::NonRetriable), Some(-7), Some(3)));
        assert_eq!(info.first_failure, Some(failure("").first_failure));
        assert_eq!(info.dead_letter_id.as_deref(), Some("orders/2/41"));
        assert_eq!(last_header(&letter.headers, TIMESTAMP), Some(&b"2023-11-14T22:13:21.000Z"[..]));
    }

    #[test]
    fn a_tombstone_without_key_timestamp_or_code_makes_a_complete_dead_letter() {
        let original = Incoming { key: None, payload: None, timestamp: None, headers: vec![], ..original() };
        let letter =
            DeadLetterQueue::new("d", "g").dead_letter(&original, &Failure { code: None, ..failure("") }, given_up());
        assert_eq!((letter.key, letter.payload), (None, None));
        let info = DeadLetterInfo::from_headers(&letter.headers);
        assert!(info.complete());
        assert_eq!((info.error_code, info.original_timestamp), (None, None));
    }

    #[test]
    fn each_missing_header_makes_it_incomplete() {
        let letter = DeadLetterQueue::new("d", "g").dead_letter(&original(), &failure("x"), given_up());
        for name in ALL {
            let rest: Headers = letter.headers.iter().filter(|(n, _)| n != name).cloned().collect();
            assert!(!DeadLetterInfo::from_headers(&rest).complete(), "without {name}");
        }
        let garbled: Headers = letter
            .headers
            .iter()
            .map(|(n, v)| (n.clone(), if n == ORIGINAL_OFFSET { Some(b"4I".to_vec()) } else { v.clone() }))
            .collect();
        assert!(!DeadLetterInfo::from_headers(&garbled).complete());
    }

    #[test]
    fn a_dead_letter_that_fails_again_names_its_last_origin() {
        let first = DeadLetterQueue::new("d", "g").dead_letter(&original(), &failure("x"), given_up());
        let again = Incoming { topic: "d".into(), partition: 0, offset: 9, headers: first.headers, ..original() };
        let second = DeadLetterQueue::new("dd", "g").dead_letter(&again, &failure("y"), given_up());
        let info = DeadLetterInfo::from_headers(&second.headers);
        assert_eq!(info.origin(), Some(("d", 0, 9)));
        assert!(info.complete());
    }

    #[test]
    fn error_texts_are_bounded_at_a_character() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("longer", 5), "lo…");
        assert_eq!(bounded("äöü", 5), "ä…");
        assert_eq!(bounded("äöü", 1), "");
        let queue = DeadLetterQueue::new("d", "g").max_header_bytes(1_024);
        let long = failure(&"é".repeat(5_000));
        let letter = queue.dead_letter(&original(), &long, given_up());
        let added: usize = letter.headers[2..].iter().map(|(n, v)| n.len() + v.as_ref().unwrap().len()).sum();
        assert!((1_020..=1_024).contains(&added), "{added} bytes");
        assert!(DeadLetterInfo::from_headers(&letter.headers).complete());
        let small = queue.small_dead_letter(&original(), &long, given_up());
        assert!(last_header(&small.headers, ERROR_MESSAGE).unwrap().len() <= 64);
        assert!(DeadLetterInfo::from_headers(&small.headers).complete());
    }
}
