//! Reading back what became of every record: fresh plain clients on the direct path, every topic partition of the
//! three topics from its beginning to its end, bounded in time. What was not reached is said, never guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::identity;
use super::ledger::SentLedger;
use super::record::RecordBody;
use crate::clock::Clock;
use crate::history::{Op, Origin, Outcome, Recorder, Topics};
use crate::plan::{Identity, TopicPartition, WorkloadPlan};

/// Why the final read could not even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinalReadError {
    #[error("cannot create the final read's consumer: {0}")]
    Create(KafkaError),
    #[error("cannot learn the ends of {tp} for the final read: {source}")]
    Ends { tp: TopicPartition, source: KafkaError },
    #[error("cannot assign the final read's topic partitions: {0}")]
    Assign(KafkaError),
}

/// What a dead letter's headers say.
#[derive(Debug)]
pub struct LetterHeaders {
    /// Where the record stood.
    pub origin: Option<Origin>,
    /// Every header that the convention promises is there.
    pub complete: bool,
    /// The class of the error.
    pub error_class: Option<String>,
}

/// Reads a dead letter's headers in the subject's convention.
pub type DeadLetterHeaders = fn(&BorrowedMessage<'_>) -> LetterHeaders;

/// Of an application that promises no headers: nothing is known, and nothing is missing.
pub fn no_headers_promised(_: &BorrowedMessage<'_>) -> LetterHeaders {
    LetterHeaders { origin: None, complete: true, error_class: None }
}

/// What to read, and how.
pub struct FinalRead<'a> {
    /// Addresses of the direct path.
    pub bootstrap: &'a str,
    pub topics: &'a Topics,
    pub partitions: i32,
    /// For the whole read.
    pub limit: Duration,
    pub dead_letter_headers: DeadLetterHeaders,
    /// Of output and dead-letter records; the input topic's are the workload's own.
    pub identity: &'a Identity,
    /// Records have several effects each, which a header tells apart.
    pub several: bool,
    /// Effects are in the output topic: otherwise that is not read.
    pub effects: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub log: u64,
    pub effects: u64,
    pub dead_letters: u64,
    /// Topic partitions that were not read to their end.
    pub truncated: u64,
}

impl FinalRead<'_> {
    /// Reads and records. Blocking, at most `limit` plus the time of the last poll.
    pub fn run(&self, recorder: &Recorder, sent: &SentLedger) -> Result<Found, FinalReadError> {
        let clock = recorder.clock();
        let deadline = clock.now() + self.limit.as_nanos() as u64;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap)
            .set("client.id", "seaworthy-final-read")
            .set("group.id", "seaworthy-final-read")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .create()
            .map_err(FinalReadError::Create)?;
        let mut spans = self.spans(&consumer, &clock, deadline)?;
        let mut assignment = TopicPartitionList::new();
        for (tp, span) in &spans {
            if span.next < span.end {
                assignment
                    .add_partition_offset(&tp.topic, tp.partition, Offset::Offset(span.from))
                    .map_err(FinalReadError::Assign)?;
            }
        }
        consumer.assign(&assignment).map_err(FinalReadError::Assign)?;
        let mut found = Found::default();
        while spans.values().any(|s| s.next < s.end) && clock.now() < deadline {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => self.record(&message, recorder, sent, &mut spans, &mut found),
                Some(Err(error)) => tracing::debug!(%error, "final read"),
                None => self.skip_gaps(&consumer, &mut spans),
            }
        }
        for (tp, span) in spans {
            let reached = span.next >= span.end;
            found.truncated += u64::from(!reached);
            let r#type = if reached { Outcome::Ok } else { Outcome::Fail };
            recorder
                .record(None, Op::FinalRead { r#type, tp, from: span.from, to: span.next.min(span.end), error: None });
        }
        Ok(found)
    }

    fn spans(
        &self,
        consumer: &BaseConsumer,
        clock: &Clock,
        deadline: u64,
    ) -> Result<BTreeMap<TopicPartition, Span>, FinalReadError> {
        let mut spans = BTreeMap::new();
        let output = Some(&self.topics.output).filter(|_| self.effects);
        for topic in [&self.topics.input, &self.topics.dead_letter].into_iter().chain(output) {
            for partition in 0..self.partitions {
                let tp = TopicPartition::new(topic.as_str(), partition);
                let left = Duration::from_nanos(deadline.saturating_sub(clock.now())).max(Duration::from_millis(100));
                let (from, end) = consumer
                    .fetch_watermarks(topic, partition, left.min(Duration::from_secs(10)))
                    .map_err(|source| FinalReadError::Ends { tp: tp.clone(), source })?;
                spans.insert(tp, Span { from, next: from, end });
            }
        }
        Ok(spans)
    }

    /// A log's last offsets may hold no record (transaction markers): the consumer's position passes them silently.
    fn skip_gaps(&self, consumer: &BaseConsumer, spans: &mut BTreeMap<TopicPartition, Span>) {
        let Ok(positions) = consumer.position() else { return };
        for element in positions.elements() {
            let tp = TopicPartition::new(element.topic(), element.partition());
            if let (Some(span), Offset::Offset(at)) = (spans.get_mut(&tp), element.offset()) {
                span.next = span.next.max(at);
            }
        }
    }

    fn record(
        &self,
        message: &BorrowedMessage<'_>,
        recorder: &Recorder,
        sent: &SentLedger,
        spans: &mut BTreeMap<TopicPartition, Span>,
        found: &mut Found,
    ) {
        let tp = TopicPartition::new(message.topic(), message.partition());
        let offset = message.offset();
        let Some(span) = spans.get_mut(&tp) else { return };
        if offset >= span.end {
            return;
        }
        span.next = span.next.max(offset + 1);
        let ours = *tp.topic == *self.topics.input;
        let id = identity::of(message, if ours { &Identity::Header } else { self.identity });
        let appended = message.timestamp().to_millis().and_then(|millis| recorder.clock().from_unix_millis(millis));
        let r#type = Outcome::Ok;
        let op = if ours {
            found.log += 1;
            let body = message.payload().map(RecordBody::decode);
            let intact = matches!(&body, Some(Ok(body)) if body.id.to_string() == id);
            Op::LogRead { r#type, id, tp, offset, intact }
        } else if *tp.topic == *self.topics.output {
            found.effects += 1;
            let row = id.parse().ok().and_then(|id| sent.row(id));
            let (key, seq) = (row.map(|r| WorkloadPlan::record_key(r.key)), row.map(|r| r.seq));
            let part = if self.several { identity::part(message) } else { None };
            Op::Effect { r#type, id, key, seq, tp, offset, appended, part }
        } else {
            found.dead_letters += 1;
            let LetterHeaders { origin, complete, error_class } = (self.dead_letter_headers)(message);
            Op::DeadLetter { r#type, id, tp, offset, origin, complete, error_class, appended }
        };
        recorder.record(Some("final-read"), op);
    }
}

/// A topic partition's offsets: `from` the first there is, `next` the one to read next, `end` the end when asked.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: i64,
    next: i64,
    end: i64,
}
