//! The queue that one topic partition is fetched into, apart from the client's own. rdkafka has it for shared clients
//! only, and opened after the assignment, when records may be on the other queue already; here it is opened before.
//!
//! It is read many records at a time: one call, one look at the clock and one lock of the topic partition for all of
//! them.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use rdkafka::bindings;
use tokio::sync::Notify;

use crate::resilience::record::{Incoming, TopicPartition};

/// Records taken at a time, at most.
pub(super) const BATCH: usize = 64;
/// A key or value that took more memory is not kept for the next record.
const KEPT_BYTES: usize = 16 * 1024;

/// Records on their way from a queue to their task. What is in them stays when they are done with, for the memory.
#[derive(Default)]
pub(super) struct Batch {
    /// The first `len` are records.
    slots: Vec<Incoming>,
    len: usize,
    /// Codes of errors that came between them.
    pub errors: Vec<i32>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records.
    pub fn records(&mut self) -> &mut [Incoming] {
        &mut self.slots[..self.len]
    }

    /// One more, to be refilled.
    pub fn add(&mut self) -> &mut Incoming {
        if self.len == self.slots.len() {
            self.slots.push(Incoming::blank());
        }
        self.len += 1;
        &mut self.slots[self.len - 1]
    }

    /// Nobody needs its records any more.
    pub fn clear(&mut self) {
        let big = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|bytes| bytes.capacity() > KEPT_BYTES);
        for slot in self.records().iter_mut().filter(|slot| big(&slot.key) || big(&slot.payload)) {
            *slot = Incoming::blank();
        }
        self.len = 0;
    }
}

/// Where a topic partition's records come from. Never blocks.
pub(super) trait Source: Send {
    /// Moves at most `most` records, in order, into `batch`, which is empty, but none below `next`, and sets that to what comes after
    /// them. If it moves none, there are none until the next wake-up.
    fn take(&mut self, most: usize, next: &mut i64, batch: &mut Batch);
}

/// librdkafka's queue of one topic partition. Must be dropped before its client.
pub(super) struct Queue {
    native: *mut bindings::rd_kafka_queue_t,
    topic: String,
    /// The callback's argument; alive as long as the callback is enabled.
    _wake: Arc<Notify>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

unsafe extern "C" fn wake(_client: *mut bindings::rd_kafka_t, task: *mut c_void) {
    // SAFETY: the argument of `Queue::open`, which its `_wake` keeps alive until the callback is disabled.
    unsafe { &*task.cast::<Notify>() }.notify_one();
}

impl Queue {
    /// Diverts the topic partition's records into a queue of its own and notifies `wake` whenever it is empty no longer.
    /// To be called before the topic partition is assigned. `None`: its name cannot be one.
    pub fn open(client: *mut bindings::rd_kafka_t, tp: &TopicPartition, wake_up: Arc<Notify>) -> Option<Self> {
        let topic = CString::new(&*tp.topic).ok()?;
        // SAFETY: the client is alive, by the caller's borrow of it; the topic's name is copied.
        unsafe {
            let native = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), tp.partition);
            if native.is_null() {
                return None;
            }
            bindings::rd_kafka_queue_forward(native, std::ptr::null_mut());
            let task = Arc::as_ptr(&wake_up).cast_mut().cast::<c_void>();
            bindings::rd_kafka_queue_cb_event_enable(native, Some(wake), task);
            Some(Self { native, topic: tp.topic.clone(), _wake: wake_up })
        }
    }
}

impl Source for Queue {
    fn take(&mut self, most: usize, next: &mut i64, batch: &mut Batch) {
        let mut left = most;
        while left > 0 {
            let mut messages = [std::ptr::null_mut(); BATCH];
            let asked = left.min(BATCH);
            // SAFETY: the queue is alive, and there is room for as many messages.
            let taken = unsafe { bindings::rd_kafka_consume_batch_queue(self.native, 0, messages.as_mut_ptr(), asked) };
            let taken = usize::try_from(taken).unwrap_or(0);
            // Only then is it certain that it wakes us when something comes.
            if taken == 0 {
                return;
            }
            for message in messages.into_iter().take(taken) {
                // SAFETY: the message is ours; it is destroyed after it was copied.
                unsafe {
                    let (error, offset) = ((*message).err, (*message).offset);
                    if error != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                        batch.errors.push(error as i32);
                    } else if offset >= *next {
                        *next = offset + 1;
                        batch.add().refill(message, &self.topic);
                        left -= 1;
                    }
                    bindings::rd_kafka_message_destroy(message);
                }
            }
            if !batch.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive. librdkafka calls back under the queue's lock, which disabling takes as well: no
        // call is under way afterwards.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.native, None, std::ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.native);
        }
    }
}

/// A topic partition whose queue cannot be opened, since no topic can have its name.
pub(super) struct Nothing;

impl Source for Nothing {
    fn take(&mut self, _most: usize, _next: &mut i64, _batch: &mut Batch) {}
}
