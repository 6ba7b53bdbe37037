//! Records as the resilient clients see them: owned bytes, no pointers into a client. Knows nothing of producers,
//! consumers or their settings.

use std::ffi::{CStr, c_void};
use std::fmt;

use rdkafka::bindings;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};

/// Record headers in their order on the wire. A name may occur more than once; a value may be null.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record to be produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where it goes.
    pub topic: String,
    /// A fixed partition; `None`: the client's partitioner decides by the key.
    pub partition: Option<i32>,
    /// Key; `None` and empty are different.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Headers,
    /// Milliseconds since the epoch; `None`: the time of the send.
    pub timestamp: Option<i64>,
}

/// What a handler returns: one record to be produced before its input's offset may be stored.
pub type OutgoingRecord = Record;

impl Record {
    /// An empty record (no key, a tombstone) for `topic`.
    pub fn to(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Fixes the partition.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Appends a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    pub(super) fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: value.as_deref() })))
    }
}

/// A consumed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Topic it was read from.
    pub topic: String,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since the epoch, by producer or broker; `None`: the record carries none.
    pub timestamp: Option<i64>,
    /// Key; `None` and empty are different.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Headers,
}

impl Incoming {
    /// The value of the last header called `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        last_header(&self.headers, name)
    }

    /// Where it was read from.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }

    /// A record without anything, to be [refilled](Self::refill).
    pub(super) const fn blank() -> Self {
        Self {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp: None,
            key: None,
            payload: None,
            headers: Vec::new(),
        }
    }

    /// Copies a consumed message out of its client.
    ///
    /// # Safety
    /// `message` must be a valid consumed message, not an error, for the length of the call.
    pub(super) unsafe fn copy_of(message: *const bindings::rd_kafka_message_t) -> Self {
        let mut copy = Self::blank();
        // SAFETY: by the caller; a topic's name ends in NUL.
        unsafe {
            let topic = CStr::from_ptr(bindings::rd_kafka_topic_name((*message).rkt)).to_string_lossy();
            copy.refill(message, &topic);
        }
        copy
    }

    /// Becomes a copy of a consumed message of `topic`, in the buffers that it has.
    ///
    /// # Safety
    /// As [`copy_of`](Self::copy_of).
    pub(super) unsafe fn refill(&mut self, message: *const bindings::rd_kafka_message_t, topic: &str) {
        if self.topic != topic {
            topic.clone_into(&mut self.topic);
        }
        // SAFETY: by the caller; librdkafka's pointers are null or have as many bytes as it says.
        unsafe {
            let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = bindings::rd_kafka_message_timestamp(message, &mut kind);
            self.timestamp = (timestamp != -1).then_some(timestamp);
            let it = &*message;
            self.partition = it.partition;
            self.offset = it.offset;
            copy_bytes(it.key, it.key_len, &mut self.key);
            copy_bytes(it.payload, it.len, &mut self.payload);
            self.headers.clear();
            add_headers(message, &mut self.headers);
        }
    }
}

/// # Safety
/// `start` must be null or have `length` readable bytes.
unsafe fn copy_bytes(start: *const c_void, length: usize, into: &mut Option<Vec<u8>>) {
    if start.is_null() {
        *into = None;
        return;
    }
    // SAFETY: by the caller.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) };
    match into {
        Some(buffer) => bytes.clone_into(buffer),
        None => *into = Some(bytes.to_vec()),
    }
}

pub(super) fn last_header<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
}

/// A consumed message's headers, copied.
pub fn headers_of(message: &BorrowedMessage<'_>) -> Headers {
    // SAFETY: the pointer is valid while the message is borrowed.
    unsafe { copy_headers(message.ptr()) }
}

/// The message's headers. The safe reader of rdkafka panics on a name that is not UTF-8: one bad record would take
/// the consumer down, again after each restart. Here such a name is read lossily.
///
/// # Safety
/// `message` must be a valid message, consumed or of a delivery report, for the length of the call.
pub(super) unsafe fn copy_headers(message: *const bindings::rd_kafka_message_t) -> Headers {
    let mut headers = Headers::new();
    // SAFETY: by the caller.
    unsafe { add_headers(message, &mut headers) };
    headers
}

/// Appends the message's headers.
///
/// # Safety
/// As [`copy_headers`].
unsafe fn add_headers(message: *const bindings::rd_kafka_message_t, headers: &mut Headers) {
    let mut native = std::ptr::null_mut();
    // SAFETY: by the caller; `native` points into the message and is not kept.
    let found = unsafe { bindings::rd_kafka_message_headers(message, &mut native) };
    if found != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || native.is_null() {
        return;
    }
    for index in 0.. {
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: as above; an index past the end is answered with an error and ends the loop.
        let found = unsafe { bindings::rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size) };
        if found != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            break;
        }
        // SAFETY: librdkafka gives a NUL-terminated name, and `size` readable bytes or a null pointer.
        let (name, value) = unsafe {
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            (name, value)
        };
        headers.push((name, value));
    }
}
