//! The producer: back-pressure, outages, and what a failed send says of the log.

use super::*;

fn signals() -> (Arc<Mutex<Vec<ProducerSignal>>>, impl Fn(&ProducerSignal) + Send + Sync) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    (seen, move |signal: &ProducerSignal| into.lock().unwrap().push(signal.clone()))
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
