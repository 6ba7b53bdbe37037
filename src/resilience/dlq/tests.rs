use std::time::Duration;

use super::headers::*;
use super::*;
use crate::resilience::record::last_header;

fn original() -> Incoming {
    Incoming {
        topic: "orders".into(),
        partition: 2,
        offset: 41,
        timestamp: Some(1_700_000_000_123),
        key: Some(b"k".to_vec()),
        payload: Some(vec![0, 255, 7]),
        headers: vec![("trace".into(), Some(vec![0xfe, 0x00])), ("nothing".into(), None)],
    }
}

fn failure(message: &str) -> Failure {
    Failure {
        message: message.into(),
        class: Class::NonRetriable,
        code: Some(-7),
        attempts: 3,
        first_failure: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
    }
}

fn given_up() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_001_000)
}

#[test]
fn a_dead_letter_keeps_its_original_untouched_and_can_be_read_back() {
    let queue = DeadLetterQueue::new("orders.dlq", "billing");
    let original = original();
    let letter = queue.dead_letter(&original, &failure("not a number"), given_up());
    assert_eq!((letter.topic.as_str(), letter.partition), ("orders.dlq", Some(2)));
    assert_eq!((&letter.key, &letter.payload), (&original.key, &original.payload));
    assert_eq!(letter.headers[..2], original.headers[..]);
    assert_eq!(letter.headers[2..].iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ALL);

    let info = DeadLetterInfo::from_headers(&letter.headers);
    assert!(info.complete());
    assert_eq!(info.origin(), Some(("orders", 2, 41)));
    assert_eq!(info.error_message.as_deref(), Some("not a number"));
    assert_eq!(info.timestamp, Some(given_up()));
    assert_eq!(info.original_timestamp, Some(1_700_000_000_123));
    assert_eq!(info.consumer_group.as_deref(), Some("billing"));
    assert_eq!((info.error_class, info.error_code, info.attempts), (Some(Class::NonRetriable), Some(-7), Some(3)));
    assert_eq!(info.first_failure, Some(failure("").first_failure));
    assert_eq!(info.dead_letter_id.as_deref(), Some("orders/2/41"));
    assert_eq!(last_header(&letter.headers, TIMESTAMP), Some(&b"2023-11-14T22:13:21.000Z"[..]));
}

#[test]
fn a_tombstone_without_key_timestamp_or_code_makes_a_complete_dead_letter() {
    let original = Incoming { key: None, payload: None, timestamp: None, headers: vec![], ..original() };
    let letter =
        DeadLetterQueue::new("d", "g").dead_letter(&original, &Failure { code: None, ..failure("") }, given_up());
    assert_eq!((letter.key, letter.payload), (None, None));
    let info = DeadLetterInfo::from_headers(&letter.headers);
    assert!(info.complete());
    assert_eq!((info.error_code, info.original_timestamp), (None, None));
}

#[test]
fn each_missing_header_makes_it_incomplete() {
    let letter = DeadLetterQueue::new("d", "g").dead_letter(&original(), &failure("x"), given_up());
    for name in ALL {
        let rest: Headers = letter.headers.iter().filter(|(n, _)| n != name).cloned().collect();
        assert!(!DeadLetterInfo::from_headers(&rest).complete(), "without {name}");
    }
    let garbled: Headers = letter
        .headers
        .iter()
        .map(|(n, v)| (n.clone(), if n == ORIGINAL_OFFSET { Some(b"4I".to_vec()) } else { v.clone() }))
        .collect();
    assert!(!DeadLetterInfo::from_headers(&garbled).complete());
}

#[test]
fn a_dead_letter_that_fails_again_names_its_last_origin() {
    let first = DeadLetterQueue::new("d", "g").dead_letter(&original(), &failure("x"), given_up());
    let again = Incoming { topic: "d".into(), partition: 0, offset: 9, headers: first.headers, ..original() };
    let second = DeadLetterQueue::new("dd", "g").dead_letter(&again, &failure("y"), given_up());
    let info = DeadLetterInfo::from_headers(&second.headers);
    assert_eq!(info.origin(), Some(("d", 0, 9)));
    assert!(info.complete());
}

#[test]
fn error_texts_are_bounded_at_a_character() {
    assert_eq!(bounded("short", 5), "short");
    assert_eq!(bounded("longer", 5), "lo…");
    assert_eq!(bounded("äöü", 5), "ä…");
    assert_eq!(bounded("äöü", 1), "");
    let queue = DeadLetterQueue::new("d", "g").max_header_bytes(1_024);
    let long = failure(&"é".repeat(5_000));
    let letter = queue.dead_letter(&original(), &long, given_up());
    let added: usize = letter.headers[2..].iter().map(|(n, v)| n.len() + v.as_ref().unwrap().len()).sum();
    assert!((1_020..=1_024).contains(&added), "{added} bytes");
    assert!(DeadLetterInfo::from_headers(&letter.headers).complete());
    let small = queue.small_dead_letter(&original(), &long, given_up());
    assert!(last_header(&small.headers, ERROR_MESSAGE).unwrap().len() <= 64);
    assert!(DeadLetterInfo::from_headers(&small.headers).complete());
}

fn dead_letter(preset: HeaderPreset) -> Record {
    DeadLetterQueue::new("d", "billing").preset(preset).dead_letter(&original(), &failure("no"), given_up())
}

#[test]
fn spring_s_headers_are_its_names_with_big_endian_numbers() {
    let headers = dead_letter(HeaderPreset::Spring).headers;
    assert_eq!(last_header(&headers, "kafka_dlt-original-topic"), Some(&b"orders"[..]));
    assert_eq!(last_header(&headers, "kafka_dlt-original-partition"), Some(&[0, 0, 0, 2][..]));
    assert_eq!(last_header(&headers, "kafka_dlt-original-offset"), Some(&[0, 0, 0, 0, 0, 0, 0, 41][..]));
    let time = 1_700_000_000_123_i64.to_be_bytes();
    assert_eq!(last_header(&headers, "kafka_dlt-original-timestamp"), Some(&time[..]));
    assert_eq!(last_header(&headers, "kafka_dlt-original-consumer-group"), Some(&b"billing"[..]));
    assert_eq!(last_header(&headers, "kafka_dlt-exception-message"), Some(&b"no"[..]));
}

#[test]
fn connect_s_headers_are_its_names_with_text() {
    let headers = dead_letter(HeaderPreset::Connect).headers;
    for (name, value) in [
        ("__connect.errors.topic", "orders"),
        ("__connect.errors.partition", "2"),
        ("__connect.errors.offset", "41"),
        ("__connect.errors.connector.name", "billing"),
        ("__connect.errors.exception.class.name", "seaworthy.non-retriable"),
        ("__connect.errors.exception.message", "no"),
    ] {
        assert_eq!(last_header(&headers, name), Some(value.as_bytes()), "{name}");
    }
}

#[test]
fn every_convention_says_the_same_when_it_is_read_and_gives_the_original_headers_back() {
    let mut original = original();
    // Names that are ours too: the application's stay.
    original.headers.push((TIMESTAMP.into(), Some(b"its own".to_vec())));
    original.headers.push((ATTEMPTS.into(), Some(b"many".to_vec())));
    let plain = DeadLetterQueue::new("d", "billing").dead_letter(&original, &failure("no"), given_up());
    let wanted = DeadLetterInfo::from_headers(&plain.headers);
    for preset in [HeaderPreset::Plain, HeaderPreset::Spring, HeaderPreset::Connect] {
        let letter = DeadLetterQueue::new("d", "billing").preset(preset);
        let headers = letter.dead_letter(&original, &failure("no"), given_up()).headers;
        let info = DeadLetterInfo::from_headers(&headers);
        assert!(info.complete(), "{preset:?}");
        assert_eq!(info.convention, Some(preset));
        let mut same = info;
        (same.convention, same.exception) = (wanted.convention, None);
        assert_eq!(same, wanted, "{preset:?}");
        assert_eq!(original_headers(&headers), original.headers, "{preset:?}");
    }
}

#[test]
fn a_letter_that_spring_or_connect_wrote_is_read_and_the_application_s_generic_names_are_not_mistaken() {
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    let spring = vec![
        header("timestamp", b"2020-01-01T00:00:00Z"),
        header("kafka_dlt-original-topic", b"orders"),
        header("kafka_dlt-original-partition", &7_i32.to_be_bytes()),
        header("kafka_dlt-original-offset", &70_000_000_000_i64.to_be_bytes()),
        header("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
        header("kafka_dlt-exception-stacktrace", b"at ..."),
        header("retry_topic-attempts", &3_i32.to_be_bytes()),
    ];
    let info = DeadLetterInfo::from_headers(&spring);
    assert_eq!(info.origin(), Some(("orders", 7, 70_000_000_000)));
    assert_eq!(info.dead_letter_id.as_deref(), Some("orders/7/70000000000"));
    assert_eq!(info.exception.as_deref(), Some("java.lang.IllegalStateException"));
    assert_eq!((info.attempts, info.timestamp, info.complete()), (Some(3), None, true));
    let back = original_headers(&spring);
    assert_eq!(back.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["timestamp", "retry_topic-attempts"]);

    let connect = vec![
        header("__connect.errors.topic", b"orders"),
        header("__connect.errors.partition", b"x"),
        header("__connect.errors.offset", b"5"),
        header("__connect.errors.exception.class.name", b"E"),
    ];
    let info = DeadLetterInfo::from_headers(&connect);
    assert_eq!((info.origin(), info.complete(), &info.dead_letter_id), (None, false, &None));
}

#[test]
fn a_record_that_is_no_dead_letter_says_nothing() {
    let info = DeadLetterInfo::from_headers(&original().headers);
    assert_eq!(info, DeadLetterInfo::default());
    assert_eq!(original_headers(&original().headers), original().headers);
}

fn retry_topics() -> RetryTopics {
    RetryTopics::new([Duration::from_secs(10), Duration::from_secs(60)]).unwrap()
}

#[test]
fn a_record_comes_out_of_a_retry_topic_as_it_went_in_with_its_attempts() {
    let (topics, queue, original) = (retry_topics(), DeadLetterQueue::new("d", "g"), original());
    assert_eq!(topics.topics_of("orders").collect::<Vec<_>>(), ["orders.retry.1", "orders.retry.2"]);
    let record = topics.next(&queue, &original, &failure("down"), given_up(), 0, false).unwrap();
    assert_eq!((record.topic.as_str(), record.partition), ("orders.retry.1", Some(2)));
    let taken = Incoming { topic: record.topic, offset: 9, headers: record.headers, ..original.clone() };
    let retried = topics.read(taken).unwrap();
    assert_eq!((retried.level, retried.attempts), (1, 3));
    assert_eq!(retried.first_failure, Some(failure("").first_failure));
    assert_eq!(retried.not_before, given_up() + Duration::from_secs(10));
    assert_eq!(topics.wait(&retried, given_up() + Duration::from_secs(4)), Duration::from_secs(6));
    assert_eq!(topics.wait(&retried, given_up() - Duration::from_secs(999)), Duration::from_secs(10), "clocks differ");
    assert_eq!(retried.original, original);
    assert!(topics.next(&queue, &original, &failure("down"), given_up(), 2, false).is_none(), "that was the last");
}

#[test]
fn what_is_not_of_a_retry_topic_is_given_back_as_it_is() {
    assert_eq!(retry_topics().read(original()).unwrap_err(), original());
    let letter = dead_letter(HeaderPreset::Plain);
    let taken = Incoming { topic: "orders.retry.1".into(), headers: letter.headers, ..original() };
    assert!(retry_topics().read(taken).is_err(), "it does not say when it is due");
}

#[test]
fn delays_of_retry_topics_grow() {
    let delays = |seconds: &[u64]| RetryTopics::new(seconds.iter().map(|s| Duration::from_secs(*s)));
    assert!(delays(&[]).is_err() && delays(&[0]).is_err());
    assert!(delays(&[10, 5]).unwrap_err().to_string().contains("5s comes after 10s"));
    assert!(delays(&[5, 5, 6]).is_ok());
}
