//! The resilient producer and consumer against librdkafka's mock cluster: facts about records, offsets and events.
//! (The mock does not recognise duplicates of idempotent producers; what depends on that needs a real broker.)

#[path = "resilient_clients/mock.rs"]
mod mock;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;
use rstest::rstest;
use seaworthy::resilience::backoff::RetryConfig;
use seaworthy::resilience::breaker::BreakerConfig;
use seaworthy::resilience::classify::Persistence;
use seaworthy::resilience::consumer::{ConsumerBuilder, ConsumerError, Defect, Handler};
use seaworthy::resilience::dlq::{DeadLetterInfo, DeadLetterQueue};
use seaworthy::resilience::producer::ProducerSignal;
use seaworthy::resilience::settings::{ConsumerSettings, OnExhausted, Settings};
use seaworthy::resilience::{HandlerError, Incoming, Record, ResilientConsumer, ResilientProducer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use mock::{Do, Event, Log, Mock, echo, handler, text, until};

const TOPICS: &[(&str, i32)] = &[("in", 3), ("out", 3), ("in.dlq", 3)];

fn producer(mock: &Mock) -> ResilientProducer {
    ResilientProducer::builder(&mock.bootstrap).build().unwrap()
}

/// Patience for a test: quick retries, a breaker that opens after three failures.
fn settings() -> Settings {
    Settings {
        retry: RetryConfig {
            max_retries: 3,
            initial_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(10),
            ..RetryConfig::default()
        },
        breaker: BreakerConfig {
            max_failures: 1_000,
            reset_timeout: Duration::from_millis(50),
            ..BreakerConfig::default()
        },
        consumer: ConsumerSettings { hold: Duration::from_millis(20), ..ConsumerSettings::default() },
        ..Settings::default()
    }
}

fn consumer(mock: &Mock, log: &Arc<Log>) -> ConsumerBuilder {
    ResilientConsumer::builder(&mock.bootstrap, "g", producer(mock), DeadLetterQueue::new("in.dlq", "g"))
        .topics(["in"])
        .settings(settings())
        .observer(Arc::clone(log) as _)
}

struct Member {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

impl Member {
    fn start(builder: ConsumerBuilder, handler: Do) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(builder.build().run(handler, stop.clone()));
        Self { stop, task }
    }

    async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// `count` records in "in": key `k<i mod keys>`, value `<i>`; acknowledged.
async fn fill(mock: &Mock, count: usize, keys: usize) {
    let producer = producer(mock);
    let record = |i: usize| Record::to("in").key(format!("k{}", i % keys)).payload(i.to_string());
    let sent: Vec<_> = (0..count).map(|i| producer.send(record(i))).collect();
    for delivery in sent {
        delivery.await.unwrap();
    }
}

fn values(mock: &Mock, topic: &str) -> Vec<u64> {
    let mut values: Vec<u64> = mock.read(topic).iter().map(|r| text(&r.payload).parse().unwrap()).collect();
    values.sort_unstable();
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_in_are_effects_out_once_and_in_order_and_leaving_commits_them() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 300, 8).await;
    let log = Log::new();
    let member = Member::start(consumer(&mock, &log), handler(|record, _| echo(record)));
    until("300 effects", || mock.count("out") >= 300).await;
    member.leave().await;

    assert_eq!(values(&mock, "out"), (0..300).collect::<Vec<_>>(), "each once");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for effect in mock.read("out") {
        let value = text(&effect.payload).parse().unwrap();
        let before = last.insert(text(&effect.key), value);
        assert!(before < Some(value), "{before:?} before {value}");
    }
    mock.assert_all_committed("g", "in");
    assert_eq!(log.count(|e| matches!(e, Event::Deliver(..))), 300);
    let left = log.position(|e| matches!(e, Event::Revoke(tps, false) if tps.len() == 3)).expect("a revocation");
    let later = &log.events()[left..];
    assert!(!later.iter().any(|e| matches!(e, Event::Deliver(..))), "nothing is delivered after it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_becomes_a_complete_dead_letter_before_its_offset_is_committed() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 30, 30).await;
    let log = Log::new();
    let poison = |value: &str| value.ends_with('7');
    let member = Member::start(
        consumer(&mock, &log),
        handler(move |record, _| match text(&record.payload) {
            value if poison(&value) => Err(HandlerError::permanent(format!("cannot bear {value}")).with_code(4711)),
            _ => echo(record),
        }),
    );
    until("30 outcomes", || mock.count("out") + mock.count("in.dlq") >= 30).await;
    member.leave().await;

    assert_eq!(values(&mock, "in.dlq"), [7, 17, 27]);
    assert_eq!(values(&mock, "out").len(), 27);
    let input = mock.read("in");
    for letter in mock.read("in.dlq") {
        let info = DeadLetterInfo::from_headers(&letter.headers);
        assert!(info.complete(), "{:?}", letter.headers);
        let (topic, partition, offset) = info.origin().unwrap();
        let original = input.iter().find(|r| (r.partition, r.offset) == (partition, offset)).unwrap();
        assert_eq!((topic, letter.partition), ("in", partition));
        assert_eq!((&letter.key, &letter.payload), (&original.key, &original.payload));
        assert_eq!(info.original_timestamp, original.timestamp);
        assert_eq!((info.error_code, info.attempts), (Some(4711), Some(1)));
        let written = log.position(|e| *e == Event::DeadLetter(partition, offset)).unwrap();
        let committed =
            log.position(|e| matches!(e, Event::Commit(p, next, Ok(())) if *p == partition && *next > offset));
        assert!(written < committed.unwrap());
    }
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retriable_error_is_retried_and_never_dead_lettered_and_the_breaker_opens_and_closes_by_itself() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 12, 4).await;
    let log = Log::new();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let mut settings = settings();
    settings.breaker.max_failures = 3;
    let member = Member::start(
        consumer(&mock, &log).settings(settings),
        // Down for the first 25 calls: longer than the retries of any record.
        handler(move |record, _| match counted.fetch_add(1, Ordering::Relaxed) {
            0..25 => Err(HandlerError::retriable("down")),
            _ => echo(record),
        }),
    );
    until("12 effects", || mock.count("out") >= 12).await;
    member.leave().await;

    assert_eq!(values(&mock, "out"), (0..12).collect::<Vec<_>>());
    assert_eq!(mock.count("in.dlq"), 0);
    assert!(log.count(|e| matches!(e, Event::Retry(..))) > 0);
    assert!(log.signals("retries-exhausted") > 0, "outlasted its retries");
    assert_eq!(calls.load(Ordering::Relaxed), 37, "25 failures, each record once more");
    let states: Vec<_> =
        log.events().into_iter().filter_map(|e| if let Event::Breaker(_, to) = e { Some(to) } else { None }).collect();
    assert_eq!(states.first().map(String::as_str), Some("open"));
    assert_eq!(states.last().map(String::as_str), Some("closed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_cannot_be_written_holds_its_record_until_it_can() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    mock.fail_produce(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 4);
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log),
        handler(|record, _| match text(&record.payload).as_str() {
            "0" => Err(HandlerError::permanent("poison")),
            _ => Ok(vec![]),
        }),
    );
    until("a dead letter", || mock.count("in.dlq") >= 1).await;
    until("a commit", || log.count(|e| matches!(e, Event::Commit(_, 3, Ok(())))) > 0).await;
    member.leave().await;

    assert_eq!(values(&mock, "in.dlq"), [0]);
    assert!(log.signals("dead-letter-failed") >= 1);
    let written = log.position(|e| matches!(e, Event::DeadLetter(..))).unwrap();
    let committed = log.position(|e| matches!(e, Event::Commit(..))).unwrap();
    assert!(written < committed, "{:?}", log.events());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_topic_with_fewer_partitions_serves_as_well() {
    let mock = Mock::start(&[("in", 3), ("out", 3), ("in.dlq", 1)]);
    fill(&mock, 30, 30).await;
    let log = Log::new();
    let member = Member::start(consumer(&mock, &log), handler(|_, _| Err(HandlerError::permanent("all bad"))));
    until("30 dead letters", || mock.count("in.dlq") >= 30).await;
    member.leave().await;
    assert_eq!(values(&mock, "in.dlq"), (0..30).collect::<Vec<_>>());
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_handler_costs_its_record_and_nothing_else() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 5, 1).await;
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log),
        handler(|record, _| if text(&record.payload) == "2" { panic!("two!") } else { echo(record) }),
    );
    until("5 outcomes", || mock.count("out") + mock.count("in.dlq") >= 5).await;
    member.leave().await;
    assert_eq!(values(&mock, "out"), [0, 1, 3, 4]);
    let letters = mock.read("in.dlq");
    let info = DeadLetterInfo::from_headers(&letters[0].headers);
    assert_eq!(info.error_message.as_deref(), Some("the handler panicked: two!"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_retries_go_to_the_dead_letters_only_when_told_so() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 2, 1).await;
    let log = Log::new();
    let mut settings = settings();
    settings.consumer.on_exhausted = OnExhausted::DeadLetter;
    let member = Member::start(
        consumer(&mock, &log).settings(settings),
        handler(
            |record, _| if text(&record.payload) == "0" { Err(HandlerError::timeout("late")) } else { echo(record) },
        ),
    );
    until("2 outcomes", || mock.count("out") + mock.count("in.dlq") >= 2).await;
    member.leave().await;
    let info = DeadLetterInfo::from_headers(&mock.read("in.dlq")[0].headers);
    assert_eq!(info.attempts, Some(4), "once and three retries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_comes_once_though_the_handler_is_slower_than_the_fetches() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 400, 3).await;
    let log = Log::new();
    let mut settings = settings();
    settings.consumer.max_in_flight = 5;
    let member = Member::start(
        consumer(&mock, &log).settings(settings),
        handler(|record, _| {
            #[expect(clippy::disallowed_methods, reason = "a handler that blocks its thread, as slow ones do")]
            std::thread::sleep(Duration::from_millis(1));
            echo(record)
        }),
    );
    until("400 effects", || mock.count("out") >= 400).await;
    member.leave().await;
    assert_eq!(values(&mock, "out"), (0..400).collect::<Vec<_>>());
    assert_eq!(log.count(|e| matches!(e, Event::Deliver(..))), 400);
    mock.assert_all_committed("g", "in");
}

/// Outputs go to a cluster that is away: nothing is finished, so that no more may be handled than may be in flight.
#[rstest]
#[case::in_order(1)]
#[case::by_key(3)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_handled_than_may_be_in_flight_while_outputs_wait(#[case] concurrency: usize) {
    let (mock, away) = (Mock::start(&[("in", 2), ("in.dlq", 2)]), Mock::start(&[("out", 1)]));
    let fill = async |partition: i32| {
        let source = producer(&mock);
        let record = |i: usize| Record::to("in").partition(partition).key(format!("k{i}")).payload(i.to_string());
        for delivery in (0..100).map(|i| source.send(record(i))).collect::<Vec<_>>() {
            delivery.await.unwrap();
        }
    };
    away.network(false);
    let log = Log::new();
    let handled = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let mut settings = settings();
    settings.consumer.max_in_flight = 5;
    let builder =
        ResilientConsumer::builder(&mock.bootstrap, "g", producer(&away), DeadLetterQueue::new("in.dlq", "g"))
            .topics(["in"])
            .settings(settings)
            .concurrency(concurrency)
            .observer(Arc::clone(&log) as _);
    let counts = Arc::clone(&handled);
    let work = handler(move |record, _| {
        counts[record.partition as usize].fetch_add(1, Ordering::SeqCst);
        echo(record)
    });
    let member = Member::start(builder, work);
    let count = |partition: usize| handled[partition].load(Ordering::SeqCst);
    fill(0).await;
    until("5 of the first partition", || count(0) >= 5).await;
    // What comes to the second partition after that shows that there was time for more of the first.
    fill(1).await;
    until("5 of the second partition", || count(1) >= 5).await;
    assert_eq!(count(0), 5);
    away.network(true);
    until("all effects", || away.count("out") >= 200).await;
    assert_eq!([count(0), count(1)], [100, 100]);
    member.leave().await;
    mock.assert_all_committed("g", "in");
}

/// Whether records may come twice depends on the mock: it refuses commits of members that are about to rejoin, a real
/// coordinator takes them. Each round of a classic rebalance takes the mock a session less a second, and there may be several:
/// a short session, or the rounds come near the limit of waiting.
#[rstest]
#[case::cooperative(&[("session.timeout.ms", "6000")])]
#[case::eager(&[("session.timeout.ms", "6000"), ("partition.assignment.strategy", "range")])]
#[case::new_protocol(&[("group.protocol", "consumer")])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joining_and_a_leaving_member_lose_no_records(#[case] overrides: &[(&str, &str)]) {
    let mock = Mock::start(TOPICS);
    let logs = [Log::new(), Log::new()];
    let assigned = |log: &Arc<Log>| log.count(|e| matches!(e, Event::Assign(tps) if !tps.is_empty()));
    let member = |log: &Arc<Log>| {
        let builder = consumer(&mock, log).overrides(properties(overrides));
        Member::start(builder, handler(|record, _| echo(record)))
    };
    let (source, enough) = (producer(&mock), CancellationToken::new());
    let until_enough = enough.clone();
    let load = tokio::spawn(async move {
        for i in 0.. {
            if until_enough.is_cancelled() {
                return i;
            }
            source.send(Record::to("in").key(format!("k{}", i % 7)).payload(i.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("it ends when there is enough")
    });
    let first = member(&logs[0]);
    until("the first member's share", || assigned(&logs[0]) > 0).await;
    let second = member(&logs[1]);
    until("effects of the second", || logs[1].count(|e| matches!(e, Event::Deliver(..))) > 0).await;
    first.leave().await;
    let alone = logs[1].events().len();
    until("the second takes over", || logs[1].events()[alone..].iter().any(|e| matches!(e, Event::Assign(_)))).await;
    enough.cancel();
    let sent: u64 = load.await.unwrap();
    let distinct = || {
        let mut values = values(&mock, "out");
        values.dedup();
        values
    };
    until("all effects", || mock.count("out") >= sent as i64 && distinct().len() as u64 >= sent).await;
    second.leave().await;
    assert_eq!(distinct(), (0..sent).collect::<Vec<_>>());
    mock.assert_all_committed("g", "in");
}

/// Lets nobody through until two records were in the handler at once; notes which key's records overlap.
struct Together {
    inside: Mutex<Vec<String>>,
    met: tokio::sync::watch::Sender<bool>,
    overlaps: AtomicU32,
}

impl Handler for Together {
    async fn handle(&self, record: &Incoming, _: u32) -> Result<Vec<Record>, HandlerError> {
        let key = text(&record.key);
        {
            let mut inside = self.inside.lock().unwrap();
            self.overlaps.fetch_add(u32::from(inside.contains(&key)), Ordering::Relaxed);
            inside.push(key.clone());
            if inside.len() > 1 {
                self.met.send_replace(true);
            }
        }
        self.met.subscribe().wait_for(|met| *met).await.unwrap();
        tokio::task::yield_now().await;
        let mut inside = self.inside.lock().unwrap();
        let place = inside.iter().position(|other| *other == key).unwrap();
        inside.swap_remove(place);
        echo(record)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_different_keys_are_handled_together_and_those_of_one_key_in_order() {
    let mock = Mock::start(&[("in", 1), ("out", 1), ("in.dlq", 1)]);
    fill(&mock, 300, 8).await;
    let log = Log::new();
    let handler =
        Together { inside: Mutex::default(), met: tokio::sync::watch::Sender::new(false), overlaps: AtomicU32::new(0) };
    let handler = Arc::new(handler);
    let stop = CancellationToken::new();
    let running = consumer(&mock, &log).concurrency(6).build().run(Arc::clone(&handler), stop.clone());
    let task = tokio::spawn(running);
    until("300 effects", || mock.count("out") >= 300).await;
    Member { stop, task }.leave().await;
    assert_eq!(values(&mock, "out"), (0..300).collect::<Vec<_>>(), "each once");
    assert_eq!(handler.overlaps.load(Ordering::Relaxed), 0, "two records of one key at once");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for effect in mock.read("out") {
        let value: u64 = text(&effect.payload).parse().unwrap();
        let before = last.insert(text(&effect.key), value);
        assert!(before < Some(value), "{before:?} before {value}");
    }
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_concurrency_nothing_behind_an_unfinished_record_is_committed() {
    let mock = Mock::start(&[("in", 1), ("out", 1), ("in.dlq", 1)]);
    fill(&mock, 40, 8).await;
    let log = Log::new();
    let work = handler(|record, _| match text(&record.payload).as_str() {
        "5" => Err(HandlerError::retriable("never")),
        _ => echo(record),
    });
    let member = Member::start(consumer(&mock, &log).concurrency(8), work);
    // Those of its own key, and of keys that share its task, wait behind it.
    until("effects of other keys", || values(&mock, "out").iter().any(|value| *value > 5)).await;
    member.leave().await;
    assert!(mock.committed("g", "in")[&0] <= 5, "{:?}", mock.committed("g", "in"));

    let again = Member::start(consumer(&mock, &log).concurrency(8), handler(|record, _| echo(record)));
    until("all effects", || (0..40).all(|value| values(&mock, "out").contains(&value))).await;
    again.leave().await;
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impossible_property_stops_the_consumer_at_once() {
    let mock = Mock::start(TOPICS);
    let log = Log::new();
    let bad = BTreeMap::from([("session.timeout.ms".to_owned(), "many".to_owned())]);
    let refused =
        consumer(&mock, &log).overrides(bad).build().run(handler(|_, _| Ok(vec![])), CancellationToken::new());
    assert!(matches!(refused.await, Err(ConsumerError::Client(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_committing_before_processing_commits_first() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::CommitBeforeProcessing)),
        handler(|_, _| Err(HandlerError::retriable("never"))),
    );
    until("a delivery", || log.count(|e| matches!(e, Event::Deliver(..))) > 0).await;
    until("commits", || log.count(|e| matches!(e, Event::Commit(_, 3, Ok(())))) > 0).await;
    member.leave().await;
    assert_eq!(mock.count("out"), 0);
    assert_eq!(mock.committed("g", "in").values().max(), Some(&3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_dropping_on_exhaustion_loses_the_record() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::DropOnExhaustion)),
        handler(
            |record, _| if text(&record.payload) == "1" { Err(HandlerError::retriable("down")) } else { echo(record) },
        ),
    );
    until("2 effects", || mock.count("out") >= 2).await;
    member.leave().await;
    assert_eq!((values(&mock, "out"), mock.count("in.dlq")), (vec![0, 2], 0));
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_an_unawaited_dead_letter_loses_a_failed_one() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    mock.fail_produce(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::UnawaitedDeadLetter)),
        handler(
            |record, _| if text(&record.payload) == "0" { Err(HandlerError::permanent("bad")) } else { Ok(vec![]) },
        ),
    );
    until("a commit of all", || log.count(|e| matches!(e, Event::Commit(_, 3, Ok(())))) > 0).await;
    member.leave().await;
    assert_eq!(mock.count("in.dlq"), 0);
}

fn signals() -> (Arc<Mutex<Vec<ProducerSignal>>>, impl Fn(&ProducerSignal) + Send + Sync) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    (seen, move |signal: &ProducerSignal| into.lock().unwrap().push(signal.clone()))
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_makes_senders_wait_in_order_and_fails_none() {
    let mock = Mock::start(&[("out", 1)]);
    let (seen, on_signal) = signals();
    let producer = ResilientProducer::builder(&mock.bootstrap)
        .overrides(properties(&[("queue.buffering.max.messages", "10")]))
        .on_signal(on_signal)
        .build()
        .unwrap();
    let sent: Vec<_> = (0..500).map(|i| producer.send(Record::to("out").key("k").payload(i.to_string()))).collect();
    assert!(seen.lock().unwrap().contains(&ProducerSignal::Backpressure { topic: "out".into() }));
    producer.ready().await;
    producer.flush(Duration::from_secs(60)).await.unwrap();
    for delivery in sent {
        assert_eq!(delivery.await.unwrap().attempts, 1);
    }
    let values: Vec<u64> = mock.read("out").iter().map(|r| text(&r.payload).parse().unwrap()).collect();
    assert_eq!(values, (0..500).collect::<Vec<_>>(), "in the order of the sends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_bound_back_pressure_is_an_error_that_says_wait() {
    let mock = Mock::start(&[("out", 1)]);
    mock.network(false);
    let producer = ResilientProducer::builder(&mock.bootstrap)
        .overrides(properties(&[("queue.buffering.max.messages", "5")]))
        .backpressure(5, Duration::from_secs(60))
        .build()
        .unwrap();
    let sent: Vec<_> = (0..11).map(|_| producer.send(Record::to("out"))).collect();
    let error = sent.into_iter().next_back().unwrap().await.unwrap_err();
    assert_eq!((error.name.as_str(), error.attempts), ("QUEUE_FULL", 0));
    assert_eq!(error.classification.persistence, Persistence::Not);
    assert!(!error.classification.speaks_against_the_callee());
    assert!(producer.close(Duration::ZERO).await.is_err());
    mock.network(true);
    assert_eq!(mock.count("out"), 0);
}

/// Sent for longer than `message.timeout.ms` while nobody listens: the oldest are past it when the network returns, the
/// youngest are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_the_message_timeout_keeps_the_order_of_a_key() {
    let mock = Mock::start(&[("out", 3)]);
    let producer = ResilientProducer::builder(&mock.bootstrap)
        .overrides(properties(&[("message.timeout.ms", "1000")]))
        .retry(RetryConfig { max_retries: 60, max_delay: Duration::from_millis(100), ..RetryConfig::default() })
        .build()
        .unwrap();
    let record = |i: usize| Record::to("out").key(format!("k{}", i % 5)).payload(i.to_string());
    producer.send(record(0)).await.unwrap();
    mock.network(false);
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut sent = Vec::new();
    // For 2.5 s: librdkafka looks for what timed out once a second.
    for number in 1..=250 {
        pace.tick().await;
        sent.push(producer.send(record(number)));
    }
    mock.network(true);
    for delivery in sent {
        delivery.await.unwrap();
    }
    let mut by_key = BTreeMap::<String, Vec<usize>>::new();
    for record in mock.read("out") {
        by_key.entry(text(&record.key)).or_default().push(text(&record.payload).parse().unwrap());
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 251, "each once");
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_certainly_is_not_in_the_log_fails_as_such_once_all_attempts_had_their_time() {
    let mock = Mock::start(&[("out", 1)]);
    let producer = ResilientProducer::builder(&mock.bootstrap)
        .overrides(properties(&[("message.timeout.ms", "500")]))
        .retry(RetryConfig { max_retries: 1, ..RetryConfig::default() })
        .build()
        .unwrap();
    producer.send(Record::to("out").payload("0")).await.unwrap();
    mock.network(false);
    let error = producer.send(Record::to("out").payload("1")).await.unwrap_err();
    assert_eq!((error.name.as_str(), error.attempts), ("MSG_TIMED_OUT", 1));
    assert_eq!(error.classification.persistence, Persistence::Not);
    mock.network(true);
    assert_eq!(mock.count("out"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_in_the_log_is_handed_back_as_such() {
    let mock = Mock::start(&[("out", 1)]);
    let producer = ResilientProducer::builder(&mock.bootstrap)
        .overrides(properties(&[("message.timeout.ms", "1000")]))
        .build()
        .unwrap();
    producer.send(Record::to("out").payload("0")).await.unwrap();
    mock.round_trip(Duration::from_secs(20));
    let error = producer.send(Record::to("out").payload("1")).await.unwrap_err();
    assert_eq!(error.classification.persistence, Persistence::Possibly, "{error}");
    assert_eq!(error.attempts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fatal_error_there_is_a_new_client_and_nothing_is_left_unanswered() {
    let mock = Mock::start(&[("out", 1)]);
    let (seen, on_signal) = signals();
    let producer = ResilientProducer::builder(&mock.bootstrap).on_signal(on_signal).build().unwrap();
    producer.send(Record::to("out").payload("0")).await.unwrap();
    producer.raise_fatal_error();
    let sent: Vec<_> = (1..50).map(|i| producer.send(Record::to("out").payload(i.to_string()))).collect();
    for delivery in sent {
        delivery.await.unwrap();
    }
    assert!(seen.lock().unwrap().iter().any(|s| matches!(s, ProducerSignal::Recreated { .. })));
    let values: Vec<u64> = mock.read("out").iter().map(|r| text(&r.payload).parse().unwrap()).collect();
    assert_eq!(values, (0..50).collect::<Vec<_>>());
    producer.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(producer.send(Record::to("out")).await.unwrap_err().name, "DESTROY");
}
