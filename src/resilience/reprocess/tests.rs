use super::*;
use crate::resilience::dlq::{DeadLetterQueue, Failure};

fn letter_of(topic: &str, partition: i32) -> Letter {
    let original = Incoming {
        topic: topic.into(),
        partition,
        offset: 3,
        timestamp: Some(5),
        key: Some(b"k".to_vec()),
        payload: None,
        headers: vec![],
    };
    let failure = Failure {
        message: "no".into(),
        class: Class::Temporary,
        code: None,
        attempts: 1,
        first_failure: SystemTime::UNIX_EPOCH,
    };
    let given_up = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    let record = DeadLetterQueue::new("d", "g").dead_letter(&original, &failure, given_up);
    let record = Incoming { topic: record.topic, headers: record.headers, ..original };
    letter(record, &BTreeMap::new())
}

#[test]
fn a_filter_takes_what_fits_all_of_it() {
    let letter = letter_of("orders", 2);
    let all = Filter::default();
    assert!(all.matches(&letter));
    let origin = |origin: &str| Filter { origin: Some(origin.into()), ..all.clone() }.matches(&letter);
    assert!(origin("orders") && origin("orders/2"));
    assert!(!origin("orders/3") && !origin("orders/") && !origin("order"));
    let class = |class: &str| Filter { error_class: Some(class.into()), ..all.clone() }.matches(&letter);
    assert!(class("temporary") && !class("retriable"));
    let since = |s| {
        let since = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        Filter { since, ..all.clone() }.matches(&letter)
    };
    assert!(since(100) && !since(101));
    let key = |key: &str| Filter { key: Some(key.into()), ..all.clone() }.matches(&letter);
    assert!(key("k") && !key("l"));
    let id = |id: &str| Filter { id: Some(id.into()), ..all.clone() }.matches(&letter);
    assert!(id("orders/2/3") && !id("orders/2/4"));
    let both = Filter { key: Some(b"l".to_vec()), origin: Some("orders".into()), ..all.clone() };
    assert!(!both.matches(&letter));
}

#[test]
fn a_letter_without_our_headers_is_counted_by_its_exception_and_its_own_time() {
    let mut letter = letter_of("orders", 2);
    letter.info = DeadLetterInfo::default();
    assert_eq!(letter.error_class(), "unknown");
    assert_eq!(letter.time(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(5)));
    letter.info.exception = Some("java.lang.Error".into());
    assert_eq!(letter.error_class(), "java.lang.Error");
}
