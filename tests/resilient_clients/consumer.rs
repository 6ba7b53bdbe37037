//! One member: what becomes of its records, outputs and dead letters, and when their offsets are committed.

use super::*;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impossible_property_stops_the_consumer_at_once() {
    let mock = Mock::start(TOPICS);
    let log = Log::new();
    let bad = BTreeMap::from([("session.timeout.ms".to_owned(), "many".to_owned())]);
    let refused =
        consumer(&mock, &log).overrides(bad).build().run(handler(|_, _| Ok(vec![])), CancellationToken::new());
    assert!(matches!(refused.await, Err(ConsumerError::Client(_))));
}
