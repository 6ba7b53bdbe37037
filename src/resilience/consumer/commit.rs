//! What rdkafka's safe interface leaves out: a commit with a time limit, and the group's generation.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use crate::resilience::record::TopicPartition;

const TIMED_OUT: i32 = RDKafkaErrorCode::OperationTimedOut as i32;

/// The member's generation (classic protocol) or epoch (consumer protocol); `None` outside a group.
pub(super) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<i32> {
    // SAFETY: the client is alive for the length of the borrow; the metadata is ours and destroyed below.
    unsafe {
        let metadata = bindings::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        (generation >= 0).then_some(generation)
    }
}

/// A native list of offsets.
pub(super) fn list(offsets: &[(TopicPartition, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (tp, offset) in offsets {
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// Commits `offsets` (the next to read) and waits for the answer, at most `timeout`. librdkafka's own synchronous
/// commit waits as long as the coordinator is away. One result for all, or the first topic partition's error.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &[(TopicPartition, i64)],
    timeout: Duration,
) -> Result<(), i32> {
    let Ok(list) = list(offsets) else { return Err(RDKafkaErrorCode::InvalidArgument as i32) };
    let client = consumer.client().native_ptr();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: client and list are alive for the length of the call, and librdkafka copies the list. Queue and event are
    // ours and destroyed below; an answer that comes later finds a queue without an owner, which librdkafka allows.
    unsafe {
        let queue = bindings::rd_kafka_queue_new(client);
        let asked = bindings::rd_kafka_commit_queue(client, list.ptr(), queue, None, std::ptr::null_mut());
        let result = if asked == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            let event = bindings::rd_kafka_queue_poll(queue, millis);
            if event.is_null() {
                Err(TIMED_OUT)
            } else {
                let code = bindings::rd_kafka_event_error(event) as i32;
                bindings::rd_kafka_event_destroy(event);
                if code == 0 { Ok(()) } else { Err(code) }
            }
        } else {
            Err(asked as i32)
        };
        bindings::rd_kafka_queue_destroy(queue);
        result
    }
}
