//! The dead-letter topic itself fails: the record is held, nothing behind it is committed, and it arrives in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seaworthy::cluster::{Cluster, TopicOperation};
use seaworthy::resilience::settings::OnExhausted;
use seaworthy::resilience::{
    DeadLetterInfo, DeadLetterQueue, HandlerError, Record, ResilientConsumer, ResilientProducer, RetryTopics,
};

use crate::bench::{Bench, Do, LATE, Log, Member, number, properties, settings, until};
use crate::{Case, Outcome, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![
        case("a_deleted_dead_letter_topic_holds_the_record_until_it_is_there_again", deleted),
        case("a_forbidden_dead_letter_topic_holds_the_record_until_it_is_allowed", forbidden),
        case("a_dead_letter_topic_that_is_too_small_holds_the_record_until_it_is_large_enough", too_small),
        case("a_record_that_is_too_large_with_its_headers_arrives_with_a_shorter_text", shortened),
        case("a_record_of_almost_a_megabyte_arrives_with_its_headers", almost_a_megabyte),
        case("tombstones_and_null_keys_arrive_as_they_are", nulls),
        case("a_retry_topic_s_attempts_survive_a_restart_and_end_as_one_dead_letter", retry_topics),
    ]
}

fn bad(value: u64) -> bool {
    value % 7 == 3
}

async fn deleted(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "deleted").await?;
    bench.cluster.delete_topics(&[bench.dlq()]).await?;
    bench.fill(0, 40).await?;
    let log = Log::new();
    // How long a topic may be unknown until librdkafka says so; 30 s otherwise.
    let impatient = properties(&[("topic.metadata.propagation.max.ms", "500")]);
    let producer = ResilientProducer::builder(&bench.bootstrap).overrides(impatient).build()?;
    let member = Member::start(bench.consumer_with(&log, producer), bench.handler(bad));
    until("an alert", || log.signals("dead-letter-failed", "UNKNOWN_TOPIC") > 0).await?;
    bench.create(&[bench.dlq()]).await?;
    bench.nothing_is_lost(40, bad).await?;
    member.leave().await?;
    bench.all_is_committed().await
}

async fn forbidden(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "forbidden").await?;
    bench.cluster.deny(&bench.dlq(), TopicOperation::Write).await?;
    bench.fill(0, 40).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(bad));
    until("alerts", || log.signals("dead-letter-failed", "TOPIC_AUTHORIZATION_FAILED") > 2).await?;
    ensure!(log.dead_letters.load(Ordering::SeqCst) == 0, "something was written though it is forbidden");
    ensure!(log.signals("stopped", "") == 0, "the queue's failure stopped the consumer");
    bench.cluster.undeny(&bench.dlq()).await?;
    bench.nothing_is_lost(40, bad).await?;
    member.leave().await?;
    bench.all_is_committed().await
}

async fn too_small(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "small").await?;
    bench.cluster.alter_topic(&bench.dlq(), "max.message.bytes", Some("10")).await?;
    bench.fill(0, 40).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(bad));
    until("alerts", || log.signals("dead-letter-failed", "(10)") > 2).await?;
    bench.cluster.alter_topic(&bench.dlq(), "max.message.bytes", None).await?;
    bench.nothing_is_lost(40, bad).await?;
    member.leave().await?;
    bench.all_is_committed().await
}

async fn shortened(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "shortened").await?;
    bench.cluster.alter_topic(&bench.dlq(), "max.message.bytes", Some("3000")).await?;
    bench.fill(0, 1).await?;
    let log = Log::new();
    let complaint = "it is long. ".repeat(500);
    let handler = Do(Box::new(move |_, _| Err(HandlerError::permanent(complaint.clone()))));
    let member = Member::start(bench.consumer(&log), handler);
    bench.nothing_is_lost(1, |_| true).await?;
    member.leave().await?;
    ensure!(log.signals("dead-letter-too-large", "") == 1, "it was not too large");
    ensure!(log.signals("dead-letter-failed", "") == 0, "it was held");
    let info = DeadLetterInfo::from_headers(&bench.read(bench.dlq()).await?[0].headers);
    let text = info.error_message.unwrap_or_default();
    ensure!(text.len() <= 64 && text.starts_with("it is long.") && text.ends_with('…'), "{text:?}");
    bench.all_is_committed().await
}

async fn almost_a_megabyte(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "large").await?;
    // librdkafka's own limit is 1 000 000 with key and headers, the broker's a batch of 1 048 588.
    bench.producer().send(Record::to(bench.input()).payload(vec![b'x'; 999_950])).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), Do(Box::new(|_, _| Err(HandlerError::permanent("no")))));
    until("the dead letter", || log.dead_letters.load(Ordering::SeqCst) == 1).await?;
    member.leave().await?;
    let letters = bench.read(bench.dlq()).await?;
    ensure!(letters[0].payload.as_ref().map(Vec::len) == Some(999_950), "its value is not what it was");
    ensure!(DeadLetterInfo::from_headers(&letters[0].headers).complete(), "its headers are not complete");
    bench.all_is_committed().await
}

async fn nulls(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "nulls").await?;
    let producer = bench.producer();
    producer.send(Record::to(bench.input())).await?;
    producer.send(Record::to(bench.input()).key("").payload("")).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), Do(Box::new(|_, _| Err(HandlerError::permanent("no")))));
    until("two dead letters", || log.dead_letters.load(Ordering::SeqCst) == 2).await?;
    member.leave().await?;
    let mut letters: Vec<_> = bench.read(bench.dlq()).await?.into_iter().map(|r| (r.key, r.payload)).collect();
    letters.sort();
    ensure!(letters == [(None, None), (Some(vec![]), Some(vec![]))], "{letters:?}");
    bench.all_is_committed().await
}

async fn retry_topics(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "retried").await?;
    let topics = RetryTopics::new([Duration::from_millis(300), Duration::from_millis(600)])?;
    bench.create(&topics.topics_of(&bench.input()).collect::<Vec<_>>()).await?;
    bench.fill(0, 10).await?;
    let mut patience = settings();
    patience.consumer.on_exhausted = OnExhausted::DeadLetter;
    let highest = Arc::new(AtomicU32::new(0));
    let builder = |log: &Arc<Log>| {
        let queue = DeadLetterQueue::new(bench.dlq(), &bench.name);
        ResilientConsumer::builder(&bench.bootstrap, &bench.name, bench.producer(), queue)
            .topics([bench.input()])
            .settings(patience.clone())
            .retry_topics(topics.clone())
            .observer(Arc::clone(log) as _)
    };
    let handler = || {
        let (output, highest) = (bench.output(), Arc::clone(&highest));
        Do(Box::new(move |record, attempt| {
            if number(record.payload.as_deref()) == 4 {
                highest.fetch_max(attempt, Ordering::SeqCst);
                return Err(HandlerError::retriable("still down"));
            }
            Ok(vec![Record { key: record.key.clone(), payload: record.payload.clone(), ..Record::to(output.clone()) }])
        }))
    };
    let first = Log::new();
    let member = Member::start(builder(&first), handler());
    until("a trip to the first retry topic", || first.signals("retry-topic", "retry.1") == 1).await?;
    member.leave().await?;
    let second = Log::new();
    let member = Member::start(builder(&second), handler());
    until("the dead letter", || second.dead_letters.load(Ordering::SeqCst) == 1).await?;
    bench.nothing_is_lost(10, |value| value == 4).await?;
    member.leave().await?;
    let letters = bench.read(bench.dlq()).await?;
    let input = bench.read(bench.input()).await?;
    let info = DeadLetterInfo::from_headers(&letters[0].headers);
    let original = input.iter().find(|r| number(r.payload.as_deref()) == 4).ok_or("it was in the input")?;
    let origin = (bench.input(), original.partition, original.offset);
    let told = info.origin().map(|(topic, partition, offset)| (topic.to_owned(), partition, offset));
    ensure!(told == Some(origin), "it names {told:?}, not its first origin");
    // Three attempts in each of three places.
    ensure!(info.attempts == Some(9), "{:?} attempts", info.attempts);
    ensure!(highest.load(Ordering::SeqCst) == 9, "the handler saw attempt {highest:?}");
    ensure!(letters.len() == 1 && LATE > Duration::ZERO, "{} letters", letters.len());
    bench.all_is_committed().await
}
