//! A consumer that is exactly-once, on rdkafka alone: what it writes and how far it has read become visible together, in
//! one transaction a batch. Seaworthy runs it as a process and judges it from outside.
//!
//! Who lost its partitions meanwhile (it was frozen, say) is a zombie: the brokers refuse its transaction, because the
//! offsets are sent with the group's generation; it aborts, and begins anew from what is committed.
//!
//! `--commit-apart` is a bug on purpose, and a popular one: the transaction has the output alone, the offsets are committed
//! after it. Nothing stops a zombie's transaction then, and its records have two effects.

#![expect(clippy::disallowed_methods, reason = "a program of its own, which knows no clock of ours")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// Records in one transaction at most, and how long the first of them waits for others.
const BATCH: usize = 500;
const WAIT: Duration = Duration::from_millis(20);
/// How long the records of a batch are worked on, in the transaction: nearly all the time, so that it is a transaction that
/// a freeze or a crash interrupts.
const WORK: Duration = Duration::from_secs(1);
/// How long one request of a transaction may take; what is not answered by then is asked for again.
const LIMIT: Duration = Duration::from_secs(10);

static TERMINATED: AtomicBool = AtomicBool::new(false);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    extern "C" fn terminate(_: libc::c_int) {
        TERMINATED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the handler stores a flag and does nothing else.
    unsafe { libc::signal(libc::SIGTERM, terminate as *const () as libc::sighandler_t) };
    println!("ready");
    while !TERMINATED.load(Ordering::Relaxed) {
        // After an error both clients are new: a fenced producer is of no use, and a new consumer begins from what is
        // committed.
        if let Err(error) = work() {
            println!("beginning anew: {error}");
        }
    }
    Ok(())
}

fn work() -> Outcome<()> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let apart = std::env::args().any(|argument| argument == "--commit-apart");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", variable("SEAWORTHY_BOOTSTRAP_SERVERS")?).set("reconnect.backoff.max.ms", "500");
    let group = variable("SEAWORTHY_GROUP_ID")?;
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", &group)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?;
    // One id a member, the same after a crash: its successor ends what it left open.
    let id = format!("{group}-{}", variable("SEAWORTHY_MEMBER")?);
    let producer: BaseProducer =
        client.clone().set("transactional.id", &id).set("transaction.timeout.ms", "30000").create()?;
    producer.init_transactions(LIMIT)?;
    consumer.subscribe(&[&variable("SEAWORTHY_INPUT_TOPIC")?])?;
    let (output, dead) = (variable("SEAWORTHY_OUTPUT_TOPIC")?, variable("SEAWORTHY_DLQ_TOPIC")?);
    while !TERMINATED.load(Ordering::Relaxed) {
        let batch = next(&consumer);
        if batch.is_empty() {
            continue;
        }
        producer.begin_transaction()?;
        if let Err(error) = transact(&consumer, &producer, &batch, &output, &dead, apart) {
            // Should that fail, too, the next `init_transactions` under this id ends it.
            let _ = producer.abort_transaction(LIMIT);
            return Err(error);
        }
        if apart {
            consumer.commit(&offsets(&batch)?, CommitMode::Sync)?;
        }
    }
    Ok(())
}

fn transact(
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    batch: &[OwnedMessage],
    output: &str,
    dead: &str,
    apart: bool,
) -> Outcome<()> {
    for message in batch {
        let poison = message.payload().is_some_and(|value| value.starts_with(b"poison"));
        let mut record = BaseRecord::to(if poison { dead } else { output })
            .partition(message.partition())
            .payload(message.payload().unwrap_or_default())
            .key(message.key().unwrap_or_default());
        if let Some(headers) = message.headers() {
            record = record.headers(headers.clone());
        }
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(WAIT);
            record = back;
        }
    }
    std::thread::sleep(WORK);
    if !apart {
        let generation = consumer.group_metadata().ok_or("no member of the group")?;
        let offsets = offsets(batch)?;
        again(|| producer.send_offsets_to_transaction(&offsets, &generation, LIMIT))?;
    }
    Ok(again(|| producer.commit_transaction(LIMIT))?)
}

/// Asks again while the answer is only late: librdkafka goes on with the same request.
fn again(mut ask: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match ask() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            answer => return answer,
        }
    }
}

/// Up to [`BATCH`] records, those that come within [`WAIT`] of the first.
fn next(consumer: &BaseConsumer) -> Vec<OwnedMessage> {
    let mut batch = Vec::new();
    let mut until = None::<Instant>;
    while batch.len() < BATCH {
        let wait = until.map_or(WAIT, |until| until.saturating_duration_since(Instant::now()));
        match consumer.poll(wait) {
            Some(Ok(message)) => batch.push(message.detach()),
            Some(Err(error)) => println!("{error}"),
            None => break,
        }
        until.get_or_insert_with(|| Instant::now() + WAIT);
    }
    batch
}

fn offsets(batch: &[OwnedMessage]) -> Result<TopicPartitionList, KafkaError> {
    let mut next = BTreeMap::new();
    for message in batch {
        next.insert((message.topic(), message.partition()), message.offset() + 1);
    }
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(offsets)
}
