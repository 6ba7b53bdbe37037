//! A plain consumer as teams write it, on rdkafka alone: reads the input topic as a member of its group, writes each record to
//! the output topic, what it cannot process to the dead-letter topic, and commits only what is acknowledged. Seaworthy
//! runs it as a process and judges it from outside; nothing in it knows Seaworthy but the names of the variables.
//!
//! `--parts 3` makes three records of each, numbered by the header `seaworthy-part`; `--drop k3,k5` leaves the records with
//! these keys out. With `--sink stdout` effects are lines of JSON on its standard output; with `--sink http` they go into a
//! store, which is the file of `--store` (or this program's memory, which is a bug), and `--port 8080` lists what is in it.
//! `--ignore-sigterm`, `--early-commit` (and
//! then working on the batch for a while), `--unawaited-parts` (nobody looks whether the parts after the first are written) and
//! `--later` (effects elsewhere than in the topic are made a second after the commit) are bugs on purpose.

#![expect(clippy::disallowed_methods, reason = "a program of its own, which knows no clock of ours")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// Records between two commits at most, and how long the first of them waits for others.
const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(100);
/// How long the records of a batch are worked on.
const WORK: Duration = Duration::from_secs(3);
/// How long after the commit effects are made, where that is the bug.
const LATER: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let value = |flag: &str| std::env::args().skip_while(|argument| argument != flag).nth(1);
    let parts: u32 = value("--parts").map_or(Ok(1), |number| number.parse())?;
    let drops = value("--drop").unwrap_or_default();
    let sink = Arc::new(match value("--sink").as_deref() {
        Some("stdout") => Sink::Stdout,
        Some("http") => Sink::Store(value("--store").map(Into::into), Mutex::default()),
        _ => Sink::Topic,
    });
    let elsewhere = !matches!(*sink, Sink::Topic);
    if let Some(port) = value("--port") {
        serve(port.parse()?, sink.clone())?;
    }
    let dropped = |key: Option<&[u8]>| key.is_some_and(|key| drops.split(',').any(|drop| drop.as_bytes() == key));
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", variable("SEAWORTHY_BOOTSTRAP_SERVERS")?)
        .set("reconnect.backoff.max.ms", "500")
        .set("socket.timeout.ms", "10000");
    let consumer: StreamConsumer = client
        .clone()
        .set("group.id", variable("SEAWORTHY_GROUP_ID")?)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let producer: FutureProducer = client.clone().set("enable.idempotence", "true").create()?;
    let careless: FutureProducer = client.clone().set("message.timeout.ms", "1000").create()?;
    consumer.subscribe(&[&variable("SEAWORTHY_INPUT_TOPIC")?])?;
    let (output, dead) = (variable("SEAWORTHY_OUTPUT_TOPIC")?, variable("SEAWORTHY_DLQ_TOPIC")?);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    println!("ready");
    let mut making = Vec::new();
    loop {
        let batch = tokio::select! {
            batch = next(&consumer) => batch,
            _ = terminate.recv() => {
                if has("--ignore-sigterm") {
                    println!("SIGTERM: never heard of it");
                    continue;
                }
                for made in making {
                    made.await?;
                }
                return Ok(());
            }
        };
        if has("--early-commit") {
            commit(&consumer, &batch);
            tokio::time::sleep(WORK).await;
        }
        let kept = batch.iter().filter(|message| !dropped(message.key()));
        let mut lines = String::new();
        let sends = kept.flat_map(|message| {
            let poison = message.payload().is_some_and(|value| value.starts_with(b"poison"));
            let (topic, parts) = if poison { (&dead, 1) } else { (&output, parts) };
            (0..parts).map(move |part| (message, topic, part))
        });
        let (kept, sends): (Vec<_>, Vec<_>) = sends.partition(|(_, topic, _)| elsewhere && *topic == &output);
        for (message, _, part) in kept {
            let id = identity(message).unwrap_or_default();
            lines += &format!("{{\"seaworthy-id\":\"{id}\",\"seaworthy-part\":{part}}}\n");
        }
        if has("--later") {
            making.retain(|made: &tokio::task::JoinHandle<()>| !made.is_finished());
            let sink = sink.clone();
            making.push(tokio::spawn(async move {
                tokio::time::sleep(LATER).await;
                if let Err(error) = sink.take(&lines) {
                    eprintln!("{error}");
                }
            }));
        } else {
            sink.take(&lines)?;
        }
        let sends = sends.into_iter();
        let sends = sends.map(|(message, topic, part)| {
            let (producer, careless, unawaited) = (&producer, &careless, part > 0 && has("--unawaited-parts"));
            async move {
                let number = part.to_string();
                let mut headers = message.headers().cloned().unwrap_or_else(OwnedHeaders::new);
                if parts > 1 {
                    headers = headers.insert(Header { key: "seaworthy-part", value: Some(&number) });
                }
                let record = FutureRecord::to(topic)
                    .partition(message.partition())
                    .payload(message.payload().unwrap_or_default())
                    .key(message.key().unwrap_or_default())
                    .headers(headers);
                if unawaited {
                    drop(careless.send_result(record));
                    return Ok(());
                }
                // For as long as it takes: giving up would be losing the record.
                producer.send(record, Duration::MAX).await.map(drop).map_err(|(error, _)| error)
            }
        });
        for sent in futures::future::join_all(sends).await {
            sent?;
        }
        if !has("--early-commit") {
            commit(&consumer, &batch);
        }
    }
}

/// Up to [`BATCH`] records, those that come within [`WAIT`] of the first. Cancelled, it loses only what was not committed.
async fn next(consumer: &StreamConsumer) -> Vec<OwnedMessage> {
    let mut batch = Vec::new();
    let mut until = None::<Instant>;
    while batch.len() < BATCH {
        let wait = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        match tokio::time::timeout(wait, consumer.recv()).await {
            Ok(Ok(message)) => batch.push(message.detach()),
            Ok(Err(error)) => eprintln!("{error}"),
            Err(_) => break,
        }
        until.get_or_insert_with(|| Instant::now() + WAIT);
    }
    batch
}

/// The header that Seaworthy's records have.
fn identity(message: &OwnedMessage) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == "seaworthy-id")?;
    header.value.map(|id| String::from_utf8_lossy(id).into_owned())
}

/// Where effects go.
enum Sink {
    Topic,
    Stdout,
    /// A file, or memory.
    Store(Option<PathBuf>, Mutex<String>),
}

impl Sink {
    /// Returns once they are there, whatever becomes of this program.
    fn take(&self, lines: &str) -> std::io::Result<()> {
        match self {
            Self::Topic => Ok(()),
            Self::Stdout => {
                let mut output = std::io::stdout().lock();
                output.write_all(lines.as_bytes()).and_then(|()| output.flush())
            }
            Self::Store(Some(file), _) => {
                File::options().create(true).append(true).open(file)?.write_all(lines.as_bytes())
            }
            Self::Store(None, memory) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).push_str(lines);
                Ok(())
            }
        }
    }

    /// Whole lines.
    fn list(&self) -> String {
        let mut text = match self {
            Self::Topic | Self::Stdout => String::new(),
            Self::Store(Some(file), _) => std::fs::read_to_string(file).unwrap_or_default(),
            Self::Store(None, memory) => memory.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }
}

/// Answers `GET /effects?from=17` with what the store has from its 17th line on, counted from 0.
fn serve(port: u16, sink: Arc<Sink>) -> std::io::Result<()> {
    let server = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for mut client in server.incoming().flatten() {
            let mut request = String::new();
            if BufReader::new(&client).read_line(&mut request).is_err() {
                continue;
            }
            let from = request.split_once("from=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            let body: String = sink.list().split_inclusive('\n').skip(from.unwrap_or(0)).collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            if let Err(error) = client.write_all((head + &body).as_bytes()) {
                eprintln!("{error}");
            }
        }
    });
    Ok(())
}

fn commit(consumer: &StreamConsumer, batch: &[OwnedMessage]) {
    let mut next = BTreeMap::new();
    for message in batch {
        next.insert((message.topic(), message.partition()), message.offset() + 1);
    }
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        if let Err(error) = offsets.add_partition_offset(topic, partition, Offset::Offset(offset)) {
            eprintln!("{error}");
        }
    }
    // A refused commit (a rebalance) means that somebody will process these again: at least once.
    if let Err(error) = consumer.commit(&offsets, CommitMode::Sync) {
        eprintln!("commit: {error}");
    }
}
