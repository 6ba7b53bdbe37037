//! The queue that one topic partition is fetched into, apart from the client's own. rdkafka has it for shared clients
//! only, and opened after the assignment, when records may be on the other queue already; here it is opened before.

use std::ffi::{CString, c_void};
use std::sync::Arc;
use std::thread::Thread;

use rdkafka::bindings;

use crate::resilience::record::{Incoming, TopicPartition};

/// Ends the polling thread's rest.
#[derive(Clone)]
pub(super) struct Waker(Arc<Thread>);

impl Waker {
    pub fn of_this_thread() -> Self {
        Self(Arc::new(std::thread::current()))
    }

    pub fn wake(&self) {
        self.0.unpark();
    }
}

/// What a queue holds.
pub(super) enum Taken {
    Record(Incoming),
    Error(i32),
}

/// Where a topic partition's records come from. Never blocks.
pub(super) trait Source: Send {
    fn take(&self) -> Option<Taken>;
}

/// librdkafka's queue of one topic partition. Must be dropped before its client.
pub(super) struct Queue {
    native: *mut bindings::rd_kafka_queue_t,
    /// The callback's argument; alive as long as the callback is enabled.
    _waker: Waker,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

unsafe extern "C" fn wake(_client: *mut bindings::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: the argument of `Queue::open`, which its `_waker` keeps alive until the callback is disabled.
    unsafe { &*thread.cast::<Thread>() }.unpark();
}

impl Queue {
    /// Diverts the topic partition's records into a queue of its own and wakes `waker` when one comes. To be called
    /// before the topic partition is assigned. `None`: its name cannot be one.
    pub fn open(client: *mut bindings::rd_kafka_t, tp: &TopicPartition, waker: Waker) -> Option<Self> {
        let topic = CString::new(&*tp.topic).ok()?;
        // SAFETY: the client is alive, by the caller's borrow of it; the topic's name is copied.
        unsafe {
            let native = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), tp.partition);
            if native.is_null() {
                return None;
            }
            bindings::rd_kafka_queue_forward(native, std::ptr::null_mut());
            let thread = Arc::as_ptr(&waker.0).cast_mut().cast::<c_void>();
            bindings::rd_kafka_queue_cb_event_enable(native, Some(wake), thread);
            Some(Self { native, _waker: waker })
        }
    }
}

impl Source for Queue {
    fn take(&self) -> Option<Taken> {
        // SAFETY: the queue is alive; the event is ours and destroyed below, after its message was copied.
        unsafe {
            let event = bindings::rd_kafka_queue_poll(self.native, 0);
            if event.is_null() {
                return None;
            }
            let message = match bindings::rd_kafka_event_type(event) {
                bindings::RD_KAFKA_EVENT_FETCH => bindings::rd_kafka_event_message_next(event),
                _ => std::ptr::null(),
            };
            let taken = if message.is_null() {
                Taken::Error(bindings::rd_kafka_event_error(event) as i32)
            } else if (*message).err == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                Taken::Record(Incoming::copy_of(message))
            } else {
                Taken::Error((*message).err as i32)
            };
            bindings::rd_kafka_event_destroy(event);
            Some(taken)
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
    fn take(&self) -> Option<Taken> {
        None
    }
}
