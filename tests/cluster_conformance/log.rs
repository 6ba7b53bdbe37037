//! What a broker decides about the records that it is given, and a group about who reads them.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, Timestamp};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use seaworthy::clock::Clock;
use seaworthy::cluster::View;
use seaworthy::plan::{Direction, NetworkEffect};

use crate::facts::{topic, write};
use crate::{Case, LATE, Outcome, SOON, Shared, case, ensure};

/// Makes this executable a group member with these client properties (JSON), which says when it owns something.
pub const MEMBER_VARIABLE: &str = "SEAWORTHY_TEST_MEMBER";

pub fn cases() -> Vec<Case> {
    vec![
        case("a_retry_after_a_lost_reply_is_in_the_log_once", once),
        case("a_record_s_time_is_its_broker_s_where_the_topic_says_so", append_time),
        case("without_enough_replicas_in_sync_nothing_is_taken", in_sync),
        case("a_crashed_member_s_share_goes_to_the_survivor", crash),
    ]
}

async fn once(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap(View::Subject))
        .set("enable.idempotence", "true")
        .set("socket.timeout.ms", "1000")
        .set("request.timeout.ms", "1000")
        .set("reconnect.backoff.max.ms", "200")
        .create_with_context(rdkafka::producer::DefaultProducerContext)?;
    let count = 120;
    for i in 0..count {
        let key = i.to_string();
        producer.send(BaseRecord::to("orders").key(&key).payload("x")).map_err(|(e, _)| e)?;
        if i == count / 3 {
            // Connected, and under way.
            let flushing = producer.clone();
            tokio::task::spawn_blocking(move || flushing.flush(LATE)).await??;
            for broker in cluster.brokers() {
                cluster.cut(broker, NetworkEffect::Blackhole, Direction::Replies).await?;
            }
        }
    }
    // Appended, and nobody is told.
    let clock = Clock::start();
    let mut appended = 0;
    while appended <= count / 3 + 1 {
        ensure!(clock.now() < LATE.as_nanos() as u64, "nothing was appended during the cut");
        appended = cluster.end_offsets("orders").await?.values().sum();
    }
    // The client has given up on the reply, and tries again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for broker in cluster.brokers() {
        cluster.mend(broker).await?;
    }
    tokio::task::spawn_blocking(move || producer.flush(LATE)).await??;
    let all: i64 = cluster.end_offsets("orders").await?.values().sum();
    println!("    {appended} of {count} appended during the cut, {all} in all");
    ensure!(all == count, "{all} records in the log, {count} were sent");
    Ok(())
}

async fn append_time(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    cluster.alter_topic("orders", "message.timestamp.type", Some("LogAppendTime")).await?;
    let (direct, wall) = (cluster.bootstrap(View::Direct), seaworthy::clock::wall());
    let records = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        // Sums are checked, too: the broker has changed the batch.
        config.set("bootstrap.servers", direct).set("group.id", "reader").set("check.crcs", "true");
        let producer: ThreadedProducer<_> = config.create_with_context(rdkafka::producer::DefaultProducerContext)?;
        let reader: BaseConsumer = config.create()?;
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset("orders", 0, rdkafka::Offset::Beginning)?;
        reader.assign(&list)?;
        let clock = Clock::start();
        // The broker that leads learns of the change a moment after the one that took it.
        loop {
            let record = BaseRecord::<str, str>::to("orders").partition(0).payload("x").timestamp(1_000);
            producer.send(record).map_err(|(e, _)| e)?;
            producer.flush(LATE)?;
            let stamp = reader.poll(LATE).ok_or("no record")??.timestamp();
            let waited = clock.now();
            if matches!(stamp, Timestamp::LogAppendTime(_)) || waited > (SOON * 10).as_nanos() as u64 {
                println!("    its own time after {:?}", Duration::from_nanos(waited));
                return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(stamp);
            }
        }
    });
    let stamp = records.await??;
    let earliest = wall.duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
    ensure!(matches!(stamp, Timestamp::LogAppendTime(at) if at >= earliest), "{stamp:?}, not after {earliest}");
    Ok(())
}

async fn in_sync(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    // More than there are replicas would ask for nothing: Kafka 4.1 takes the smaller of the two numbers.
    cluster.alter_topic("orders", "min.insync.replicas", Some("3")).await?;
    write(&*cluster, "orders", 1).await?;
    cluster.kill(3).await?;
    // The dead broker is in sync until its absence is noticed: what is taken until then is no matter, that it ends is.
    let clock = Clock::start();
    while matches!(tokio::time::timeout(SOON * 3, write(&*cluster, "orders", 1)).await, Ok(Ok(()))) {
        ensure!(clock.now() < LATE.as_nanos() as u64, "it is taken all the same");
    }
    cluster.start(3).await?;
    cluster.verify_healthy(LATE).await?;
    write(&*cluster, "orders", 1).await
}

async fn crash(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let asked = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1500")];
    let asked: BTreeMap<String, String> = asked.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut client = cluster.suit_client(&BTreeMap::new(), &asked).await?;
    client.insert("bootstrap.servers".to_owned(), cluster.bootstrap(View::Subject));
    client.insert("group.id".to_owned(), "survivors".to_owned());
    let json = serde_json::to_string(&client)?;
    let survivor = member(client.clone())?;
    let owned = tokio::task::spawn_blocking(move || {
        // A member that is not polled gives nothing up.
        let poll_until = |what: &str, fact: &dyn Fn(usize) -> bool| {
            let clock = Clock::start();
            while clock.now() < LATE.as_nanos() as u64 {
                let _ = survivor.poll(Duration::from_millis(50));
                if survivor.assignment().is_ok_and(|list| fact(list.count())) {
                    return Ok(Duration::from_nanos(clock.now()));
                }
            }
            Err(format!("{what} did not come: it owns {:?}", survivor.assignment().map(|list| list.count())))
        };
        poll_until("the whole topic", &|n| n == 6)?;
        let mut other =
            Command::new(std::env::current_exe()?).env(MEMBER_VARIABLE, json).stdout(Stdio::piped()).spawn()?;
        let said = Arc::new(OnceLock::new());
        if let Some(out) = other.stdout.take() {
            let said = said.clone();
            std::thread::spawn(move || {
                let mut line = String::new();
                let read = std::io::BufReader::new(out).read_line(&mut line);
                let _ = said.set(read.map_or_else(|e| e.to_string(), |_| line));
            });
        }
        let shared = poll_until("the other member's share", &|n| n == 3 && said.get().is_some());
        other.kill()?;
        other.wait()?;
        let shared = shared?;
        let line = said.get().cloned().unwrap_or_default();
        let alone = poll_until("the dead member's share", &|n| n == 6)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((shared, line, alone))
    });
    let (shared_after, line, alone) = owned.await??;
    println!("    shared after {shared_after:?}; the dead member's share came back after {alone:?}");
    ensure!(line.trim() == "owns 3", "the other member said {line:?}");
    // A crash is no farewell.
    ensure!(alone > Duration::from_secs(2), "it was missed before its session could end");
    Ok(())
}

fn member(client: BTreeMap<String, String>) -> Result<BaseConsumer, rdkafka::error::KafkaError> {
    let mut config = ClientConfig::new();
    config.extend(client);
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&["orders"])?;
    Ok(consumer)
}

/// The other member's life: says when it owns its share, and ends when it is killed, or its parent is.
pub fn be_a_member(json: &str) {
    let client: BTreeMap<String, String> = serde_json::from_str(json).unwrap_or_default();
    let Ok(consumer) = member(client) else { return println!("no client") };
    let mut said = false;
    // Nobody kills it if the trial is killed first.
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        let _ = consumer.poll(Duration::from_millis(50));
        let owned = consumer.assignment().map_or(0, |list| list.count());
        if owned > 0 && !said {
            println!("owns {owned}");
            said = true;
        }
    }
}
