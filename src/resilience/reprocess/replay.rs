//! Sending dead letters back to where they came from, once each: a transaction a batch, in which the records and the
//! replay group's offsets become visible together.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::ledger::Done;
use super::reader::{Reader, Step, partitions};
use super::{DeadLetterTopic, Filter, Letter, LetterState, ReprocessError, letter};
use crate::resilience::classify::{Action, Classify, code_of};
use crate::resilience::dlq::{REPLAYED_FROM, REPLAYS, dead_letter_id, original_headers, replace_header};
use crate::resilience::record::Record;
use crate::resilience::settings::DlqSettings;
use crate::rng::hash;

/// After this a killed replay's transaction is aborted by the brokers.
const TRANSACTION: Duration = Duration::from_secs(60);

/// What to replay, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// Which letters. Default all.
    pub filter: Filter,
    /// Send nothing and commit nothing, only count. It does not disturb a replay that is running. Default false.
    pub dry_run: bool,
    /// Mark the letters as reprocessed without sending them. Default false.
    pub discard: bool,
    /// A letter that was replayed this often is left: it would go round for ever. Default 3.
    pub max_replays: u32,
    /// Another topic instead of each letter's original one; the key decides the partition. Default none.
    pub to: Option<String>,
    /// No more letters than this. Default none.
    pub limit: Option<u64>,
    /// Letters in one transaction, at least 1. Default 500.
    pub batch: usize,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            dry_run: false,
            discard: false,
            max_replays: DlqSettings::default().max_replays,
            to: None,
            limit: None,
            batch: 500,
        }
    }
}

/// What a replay did, or in a dry run would have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Sent, committed; or discarded.
    pub replayed: u64,
    /// Copies of a letter that is reprocessed already: marked as such, not sent.
    pub duplicates: u64,
    /// Left, because they were replayed [`max_replays`](Replay::max_replays) times.
    pub looping: u64,
    /// Left, because they do not say where they come from, that topic does not exist, or it refused the record.
    pub unreplayable: u64,
    /// Pending letters that the filter, or the limit, left.
    pub left: u64,
    /// It was stopped before it was through.
    pub stopped: bool,
}

/// Letters of the transaction under way that were refused.
#[derive(Default)]
struct Refused(Mutex<Vec<((i32, i64), KafkaError)>>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = Box<(i32, i64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Box<(i32, i64)>) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((*place, error.clone()));
        }
    }
}

impl Refused {
    fn take(&self) -> Vec<((i32, i64), KafkaError)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// What makes two dead letters the same one.
fn identity(letter: &Letter) -> Option<u128> {
    let mut bytes = letter.info.dead_letter_id.clone()?.into_bytes();
    // A topic made anew begins at offset 0 again: the id alone would take another record for this one.
    bytes.extend(letter.info.original_timestamp.unwrap_or(-1).to_be_bytes());
    for part in [&letter.record.key, &letter.record.payload] {
        bytes.extend(part.as_ref().map_or(-1, |part| part.len() as i64).to_be_bytes());
        bytes.extend(part.iter().flatten());
    }
    Some(u128::from(hash(1, &bytes)) << 64 | u128::from(hash(2, &bytes)))
}

impl DeadLetterTopic {
    /// Replays what is in the topic at this moment, within the [guarantee](super). `stop` ends it between two
    /// transactions; `committed` is told the count so far after each.
    ///
    /// # Errors
    /// See [`ReprocessError`]. What was committed before stays so; the rest is pending.
    pub fn replay(
        &self,
        replay: &Replay,
        stop: &CancellationToken,
        mut committed: impl FnMut(&Replayed),
    ) -> Result<Replayed, ReprocessError> {
        // First of all: it ends what a killed replay left open, so that the offsets below are the last word.
        let producer = if replay.dry_run { None } else { Some(self.producer()?) };
        let mut reader = Reader::open(self)?;
        let mut run = Run {
            at: self,
            replay,
            done: reader.committed()?,
            known: HashSet::new(),
            targets: BTreeMap::new(),
            so_far: Replayed::default(),
        };
        // Twice through the topic: a copy of a reprocessed letter may come before it, in another partition.
        while let Some(step) = reader.next()? {
            if stop.is_cancelled() {
                return Ok(Replayed { stopped: true, ..run.so_far });
            }
            match step {
                Step::Gap { partition, from, to } => run.mark(partition, from, to),
                Step::Letter(record) => {
                    let letter = letter(record, &run.done);
                    if letter.state == LetterState::Reprocessed {
                        run.known.extend(identity(&letter));
                    }
                }
            }
        }
        let first_pending: BTreeMap<i32, i64> = run.done.iter().map(|(p, done)| (*p, done.base())).collect();
        reader.seek(|partition| first_pending.get(&partition).copied().unwrap_or(0));

        let mut batch = Vec::new();
        let mut marked = BTreeSet::new();
        while let Some(step) = reader.next()? {
            if stop.is_cancelled() {
                return Ok(Replayed { stopped: true, ..run.so_far });
            }
            let Step::Letter(record) = step else { continue };
            let letter = letter(record, &run.done);
            if letter.state == LetterState::Reprocessed {
                continue;
            }
            let place = (letter.record.partition, letter.record.offset);
            match run.judge(&reader, &letter, batch.len() as u64)? {
                Judged::Send(record) => batch.push((place, record)),
                Judged::Mark => drop(marked.insert(place)),
                Judged::Leave => {}
            }
            if batch.len() >= replay.batch.max(1) {
                run.commit(producer.as_ref(), &reader, &mut batch, &mut marked)?;
                committed(&run.so_far);
            }
        }
        if !batch.is_empty() || !marked.is_empty() {
            run.commit(producer.as_ref(), &reader, &mut batch, &mut marked)?;
            committed(&run.so_far);
        }
        Ok(run.so_far)
    }

    fn producer(&self) -> Result<BaseProducer<Refused>, ReprocessError> {
        let mut config = self.config();
        config
            .set("transactional.id", format!("seaworthy-replay-{}", self.group))
            .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string());
        let producer: BaseProducer<Refused> =
            config.create_with_context(Refused::default()).map_err(ReprocessError::Client)?;
        let began = producer.init_transactions(self.timeout);
        began.map_err(Self::failed(format!("begin a replay of the group {}", self.group)))?;
        Ok(producer)
    }
}

enum Judged {
    /// `None`: nothing is to be sent (it is discarded).
    Send(Option<Record>),
    /// Reprocessed by its copy.
    Mark,
    Leave,
}

type Batch = Vec<((i32, i64), Option<Record>)>;

/// A replay under way.
struct Run<'a> {
    at: &'a DeadLetterTopic,
    replay: &'a Replay,
    done: BTreeMap<i32, Done>,
    /// Letters that are reprocessed, or will be by the batch under way.
    known: HashSet<u128>,
    /// Partitions of the topics that letters go to; 0: there is no such topic.
    targets: BTreeMap<String, i32>,
    so_far: Replayed,
}

impl Run<'_> {
    fn mark(&mut self, partition: i32, from: i64, to: i64) {
        self.done.entry(partition).or_default().mark(from, to);
    }

    fn judge(&mut self, reader: &Reader, letter: &Letter, in_batch: u64) -> Result<Judged, ReprocessError> {
        let full = self.replay.limit.is_some_and(|limit| self.so_far.replayed + in_batch >= limit);
        if full || !self.replay.filter.matches(letter) {
            self.so_far.left += 1;
            return Ok(Judged::Leave);
        }
        let identity = identity(letter);
        if identity.is_some_and(|identity| self.known.contains(&identity)) {
            self.so_far.duplicates += 1;
            return Ok(Judged::Mark);
        }
        if self.replay.discard {
            self.known.extend(identity);
            return Ok(Judged::Send(None));
        }
        if letter.info.replays >= self.replay.max_replays {
            self.so_far.looping += 1;
            return Ok(Judged::Leave);
        }
        let (topic, partition) = match (&self.replay.to, letter.info.origin()) {
            (Some(topic), _) => (topic.clone(), None),
            (None, Some((topic, partition, _))) => (topic.to_owned(), Some(partition)),
            (None, None) => {
                self.so_far.unreplayable += 1;
                return Ok(Judged::Leave);
            }
        };
        let count = self.partitions_of(reader, &topic)?;
        if count == 0 {
            self.so_far.unreplayable += 1;
            return Ok(Judged::Leave);
        }
        self.known.extend(identity);
        let mut headers = original_headers(&letter.record.headers);
        replace_header(&mut headers, REPLAYS, letter.info.replays.saturating_add(1).to_string());
        let from = dead_letter_id(&letter.record.topic, letter.record.partition, letter.record.offset);
        replace_header(&mut headers, REPLAYED_FROM, from);
        Ok(Judged::Send(Some(Record {
            topic,
            // The topic may have been made anew with fewer.
            partition: partition.filter(|partition| *partition < count),
            key: letter.record.key.clone(),
            payload: letter.record.payload.clone(),
            headers,
            timestamp: None,
        })))
    }

    fn partitions_of(&mut self, reader: &Reader, topic: &str) -> Result<i32, ReprocessError> {
        if let Some(count) = self.targets.get(topic) {
            return Ok(*count);
        }
        let count = match partitions(&reader.consumer, topic, self.at.timeout) {
            Ok(found) => i32::try_from(found.len()).unwrap_or(i32::MAX),
            Err(ReprocessError::NoTopic(_)) => 0,
            Err(error) => return Err(error),
        };
        self.targets.insert(topic.to_owned(), count);
        Ok(count)
    }

    /// One transaction. A letter that its topic refuses is left, and the others go without it.
    fn commit(
        &mut self,
        producer: Option<&BaseProducer<Refused>>,
        reader: &Reader,
        batch: &mut Batch,
        marked: &mut BTreeSet<(i32, i64)>,
    ) -> Result<(), ReprocessError> {
        while let Some(producer) = producer {
            let mut done = self.done.clone();
            let touched = marked.iter().chain(batch.iter().map(|(place, _)| place));
            for (partition, offset) in touched {
                done.entry(*partition).or_default().mark(*offset, offset + 1);
            }
            let offsets = self.offsets(&done)?;
            match self.transact(producer, reader, batch, &offsets) {
                Ok(()) => {
                    self.done = done;
                    break;
                }
                Err(error) => {
                    let aborted = producer.abort_transaction(self.at.timeout);
                    let refused = producer.context().take();
                    let bad = |e: &KafkaError| e.classify().action == Action::DeadLetter;
                    let places: BTreeSet<_> = refused.iter().filter(|(_, e)| bad(e)).map(|(place, _)| *place).collect();
                    if aborted.is_err() || places.is_empty() {
                        return Err(self.why(error));
                    }
                    self.so_far.unreplayable += places.len() as u64;
                    batch.retain(|(place, _)| !places.contains(place));
                }
            }
        }
        self.so_far.replayed += batch.len() as u64;
        batch.clear();
        marked.clear();
        Ok(())
    }

    fn transact(
        &self,
        producer: &BaseProducer<Refused>,
        reader: &Reader,
        batch: &Batch,
        offsets: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        producer.context().take();
        producer.begin_transaction()?;
        for (place, record) in batch {
            let Some(record) = record else { continue };
            let mut next = BaseRecord::<[u8], [u8], Box<(i32, i64)>> {
                topic: &record.topic,
                partition: record.partition,
                payload: record.payload.as_deref(),
                key: record.key.as_deref(),
                timestamp: record.timestamp,
                headers: record.native_headers(),
                delivery_opaque: Box::new(*place),
            };
            while let Err((error, back)) = producer.send(next) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    let mut refused = producer.context().0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    refused.push((*place, error.clone()));
                    return Err(error);
                }
                producer.poll(Duration::from_millis(100));
                next = back;
            }
        }
        let group = reader.consumer.group_metadata().ok_or(KafkaError::Canceled)?;
        producer.send_offsets_to_transaction(offsets, &group, self.at.timeout)?;
        loop {
            match producer.commit_transaction(self.at.timeout) {
                // Not known yet; the same commit is asked for again, and is the same one.
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                other => return other,
            }
        }
    }

    /// What to commit for the whole topic.
    fn offsets(&self, done: &BTreeMap<i32, Done>) -> Result<TopicPartitionList, ReprocessError> {
        let mut list = TopicPartitionList::new();
        for (partition, done) in done.iter().filter(|(partition, done)| self.done.get(partition) != Some(done)) {
            let topic = &self.at.topic;
            let scattered = || ReprocessError::Scattered { topic: topic.clone(), partition: *partition };
            let (offset, metadata) = done.commit().ok_or_else(scattered)?;
            let mut element = list.add_partition(topic, *partition);
            // Fails only for offsets that are none.
            let _ = element.set_offset(Offset::Offset(offset));
            if !metadata.is_empty() {
                element.set_metadata(metadata);
            }
        }
        Ok(list)
    }

    fn why(&self, error: KafkaError) -> ReprocessError {
        // PRODUCER_FENCED, INVALID_PRODUCER_EPOCH, librdkafka's own FENCED.
        let code = match &error {
            KafkaError::Transaction(error) => Some(error.code() as i32),
            error => code_of(error),
        };
        match code {
            Some(90 | 47 | -144) => ReprocessError::Fenced(self.at.group.clone()),
            _ => DeadLetterTopic::failed(format!("replay {}", self.at.topic))(error),
        }
    }
}
