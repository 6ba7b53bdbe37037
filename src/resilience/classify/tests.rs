use std::collections::BTreeMap;

use proptest::prelude::*;
use rdkafka::types::RDKafkaRespErr;

use super::*;

const BROKER: &str = include_str!("../../../tests/data/kafka-error-codes.csv");
const LOCAL: &str = include_str!("../../../tests/data/librdkafka-local-errors.csv");

/// The rows of a CSV file, each as its columns by name. Fields may be quoted.
fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let fields = |line: &str| {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    };
    let mut lines = csv.lines();
    let names = fields(lines.next().unwrap());
    lines.map(|line| names.iter().cloned().zip(fields(line)).collect()).collect()
}

fn code(row: &BTreeMap<String, String>) -> i32 {
    row["code"].parse().unwrap()
}

/// The class that a suggestion like "non_retriable(record poison)" begins with.
fn suggested(text: &str) -> Class {
    match text.split('(').next().unwrap() {
        "retriable" => Class::Retriable,
        "temporary" => Class::Temporary,
        "non_retriable" | "none" => Class::NonRetriable,
        other => panic!("{other}"),
    }
}

#[test]
fn every_broker_code_has_kafka_s_name_and_kafka_s_retriability() {
    let rows = rows(BROKER);
    assert_eq!(rows.len(), 135);
    for row in &rows {
        let (code, got) = (code(row), classify_code(code(row)));
        assert_eq!(error_name(code), Some(row["name"].as_str()));
        assert_eq!(got.is_retriable(), row["retriable"] == "true", "{code}: {got}");
        // Kafka's rule is the truth, the suggestion is judgement: where the rule says "not retriable" it wins.
        let wanted = if row["retriable"] == "true" { suggested(&row["suggested"]) } else { Class::NonRetriable };
        assert_eq!(got.class, wanted, "{code}");
        // What clients get over all the same is waited for and never held against a record.
        if wanted != suggested(&row["suggested"]) {
            assert_eq!(got.action, Action::Wait, "{code}");
        }
    }
}

#[test]
fn broker_codes_lead_to_the_action_that_their_rows_ask_for() {
    for row in rows(BROKER) {
        let (code, action) = (code(&row), classify_code(code(&row)).action);
        let hint = row["suggested"].as_str();
        if row["refresh_retriable"] == "true" {
            assert_eq!(action, Action::RefreshAndRetry, "{code}");
        }
        let asks_for = [
            ("record poison", Action::DeadLetter),
            ("rejoin", Action::Wait),
            ("config/auth", Action::Stop),
            ("fatal", Action::RecreateClient),
            ("abort txn", Action::AbortTransaction),
        ];
        for (words, wanted) in asks_for {
            if hint.contains(words) {
                assert_eq!(action, wanted, "{code}: {hint}");
            }
        }
        if row["requestutils_fatal"] == "true" {
            assert_eq!(action, Action::Stop, "{code}");
        }
    }
}

#[test]
fn every_local_code_has_its_name_its_class_and_its_persistence() {
    let rows = rows(LOCAL);
    assert_eq!(rows.len(), 63);
    for row in &rows {
        let (code, got) = (code(row), classify_code(code(row)));
        assert_eq!(error_name(code), row["name"].strip_prefix("RD_KAFKA_RESP_ERR__"));
        let hint = row["suggested_class"].as_str();
        assert_eq!(got.class, suggested(hint), "{code}");
        if hint == "none" {
            assert_eq!(got.action, Action::Skip, "{code}");
        }
        if hint.contains("fatal") {
            assert_eq!(got.action, Action::RecreateClient, "{code}");
        }
        if row["note"].contains("poison pill") {
            assert_eq!(got.action, Action::DeadLetter, "{code}");
        }
        if row["librdkafka_action"].contains("possibly_persisted") {
            assert_eq!(got.persistence, Persistence::Possibly, "{code}");
        }
        if row["librdkafka_action"].contains("not_persisted") {
            assert_eq!(got.persistence, Persistence::Not, "{code}");
        }
    }
}

#[test]
fn the_tables_hold_exactly_the_codes_of_the_files_in_order() {
    let mut wanted: Vec<i32> = rows(BROKER).iter().chain(&rows(LOCAL)).map(code).collect();
    wanted.sort();
    assert_eq!(all_codes().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_traps_of_kafka_s_rule_are_not_fallen_into() {
    for code in [2, 84, 88] {
        assert!(classify_code(code).is_retriable(), "{code}");
    }
    for code in [-1, 8, 11, 22, 25, 27, 45, 46, 77, 79, 108, 113] {
        assert!(!classify_code(code).is_retriable(), "{code}");
    }
}

#[test]
fn only_bad_records_are_dead_lettered() {
    let dead: Vec<i32> = all_codes().filter(|code| classify_code(*code).action == Action::DeadLetter).collect();
    assert_eq!(dead, [-162, -161, -160, -159, 10, 18, 32, 87]);
}

#[test]
fn a_record_that_may_be_in_the_log_is_never_said_to_be_missing() {
    // A broker answers these to a produce request also after the append: lost leadership, lost disk, too few replicas.
    for code in [-1, 3, 6, 7, 13, 20, 56, -195, -192, -185, -151] {
        assert_eq!(classify_code(code).persistence, Persistence::Possibly, "{code}");
    }
    assert_eq!(classify_code(46).persistence, Persistence::Yes);
    for code in [19, 10, -184, -166, -152, -138] {
        assert_eq!(classify_code(code).persistence, Persistence::Not, "{code}");
    }
}

#[test]
fn a_full_queue_a_rebalance_and_a_bad_record_do_not_speak_against_the_broker() {
    for code in [-184, 27, 89, 10, -159, -168] {
        assert!(!classify_code(code).speaks_against_the_callee(), "{code}");
    }
    for code in [-195, -185, 6, 7, 19, 58, -150] {
        assert!(classify_code(code).speaks_against_the_callee(), "{code}");
    }
}

#[test]
fn rdkafka_s_enum_leads_to_the_same_row_as_its_number() {
    let mut known = 0;
    for code in all_codes() {
        let Ok(native) = RDKafkaRespErr::try_from(code) else { continue };
        // rdkafka has no variant for it: its number is the enum's end mark.
        if native == RDKafkaRespErr::RD_KAFKA_RESP_ERR_END_ALL {
            continue;
        }
        let error = RDKafkaErrorCode::from(native);
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.classify(), classify_code(code));
        assert_eq!(code_of(&KafkaError::MessageProduction(error)), Some(code));
        known += 1;
    }
    assert!(known > 165, "rdkafka knew {known} codes when this was written");
}

#[test]
fn the_end_mark_of_rdkafka_s_enum_is_not_mistaken_for_a_broker_code() {
    assert_eq!(RDKafkaErrorCode::EndAll as i32, 130);
    assert_eq!(error_name(130), Some("STREAMS_INVALID_TOPOLOGY"));
    assert_eq!(RDKafkaErrorCode::EndAll.code(), None);
    assert_eq!(RDKafkaErrorCode::EndAll.classify(), Classification::UNKNOWN);
}

#[test]
fn the_code_of_an_admin_operation_is_found_although_rdkafka_leaves_it_out() {
    let error = KafkaError::AdminOp(RDKafkaErrorCode::NotController);
    assert_eq!(error.rdkafka_error_code(), None);
    assert_eq!(code_of(&error), Some(41));
    assert_eq!(error.classify(), classify_code(41));
}

#[test]
fn a_fatal_consumer_error_recreates_the_client_whatever_its_code() {
    let error = KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::RequestTimedOut);
    assert_eq!(error.classify().action, Action::RecreateClient);
    assert_eq!(error.classify().class, Class::NonRetriable);
    assert_eq!(error.code(), Some(7));
}

#[test]
fn errors_without_a_code_have_a_meaning_too() {
    assert_eq!(KafkaError::Canceled.classify().action, Action::RecreateClient);
    assert!(KafkaError::NoMessageReceived.classify().is_retriable());
    assert_eq!(KafkaError::ClientCreation("no".into()).classify().action, Action::Stop);
    assert_eq!(KafkaError::PartitionEOF(3).classify().action, Action::Skip);
    assert_eq!(code_of(&KafkaError::Seek("timed out".into())), None);
}

#[derive(Debug, thiserror::Error)]
#[error("handling failed")]
struct Handling(#[source] KafkaError);

#[test]
fn causes_are_walked_to_the_first_kafka_error() {
    let error = Handling(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
    assert_eq!(classify_causes(&error), Some(classify_code(-184)));
    assert_eq!(classify_causes(&std::fmt::Error), None);
}

#[test]
fn unknown_codes_are_not_retried_unless_told_otherwise_and_are_counted() {
    assert_eq!(classify_code(9_999), Classification::UNKNOWN);
    assert_eq!(error_name(9_999), None);
    let lenient = Classification::new(Class::Temporary, Action::Retry, Persistence::Possibly);
    let classifier = Classifier::new(lenient);
    assert_eq!(classifier.classify(9_999), lenient);
    assert_eq!(classifier.classify(10), classify_code(10));
    assert_eq!(classifier.unknown_seen(), 1);
}

#[test]
fn names_are_those_that_files_hold() {
    let got = classify_code(6);
    let text = toml::to_string(&got).unwrap();
    assert_eq!(text, "class = \"temporary\"\naction = \"refresh-and-retry\"\npersistence = \"possibly\"\n");
    assert_eq!(toml::from_str::<Classification>(&text).unwrap(), got);
    assert_eq!(format!("{got}"), "temporary, refresh-and-retry, persisted: possibly");
}

#[derive(Debug, thiserror::Error)]
#[error("the account is closed")]
struct Closed;

impl Classify for Closed {
    fn classify(&self) -> Classification {
        Classification::new(Class::NonRetriable, Action::DeadLetter, Persistence::Not)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("billing failed")]
struct Billing(#[source] Box<dyn Error + Send + Sync>);

#[test]
fn an_application_s_own_error_is_recognised_among_the_causes_once_its_type_is_known() {
    let error = Billing(Box::new(Closed));
    assert_eq!(Classifier::default().classify_error(&error), None);
    let classifier = Classifier::default().knowing::<Closed>();
    assert_eq!(classifier.classify_error(&error), Some(Closed.classify()));
    let kafka = Billing(Box::new(Handling(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))));
    assert_eq!(classifier.classify_error(&kafka), Some(classify_code(-184)));
    assert_eq!(classifier.find(&kafka).unwrap().1, Some(-184));
}

#[derive(Debug, thiserror::Error)]
#[error("a code from the future")]
struct Future;

impl Classify for Future {
    fn classify(&self) -> Classification {
        classify_code(9_999)
    }

    fn code(&self) -> Option<i32> {
        Some(9_999)
    }
}

#[test]
fn an_unknown_code_among_the_causes_is_counted_and_means_what_it_was_told_to() {
    let lenient = Classification::new(Class::Temporary, Action::Retry, Persistence::Possibly);
    let classifier = Classifier::new(lenient).knowing::<Future>();
    assert_eq!(classifier.classify_error(&Billing(Box::new(Future))), Some(lenient));
    assert_eq!(classifier.unknown_seen(), 1);
}

proptest! {
    #[test]
    fn an_action_that_retries_goes_with_a_class_that_may_be_retried(code in prop_oneof![any::<i32>(), -200..140i32]) {
        let got = classify_code(code);
        if matches!(got.action, Action::Retry | Action::RefreshAndRetry) {
            prop_assert!(got.is_retriable(), "{code}");
        }
        if matches!(got.action, Action::DeadLetter | Action::Skip | Action::Stop | Action::RecreateClient) {
            prop_assert!(!got.is_retriable(), "{code}");
        }
        prop_assert_eq!(error_name(code).is_some(), all_codes().any(|known| known == code));
    }
}
