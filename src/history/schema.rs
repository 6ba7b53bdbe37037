//! The shipped schema of a history's lines agrees with what is written and with what is read.

use serde_json::{Value, json};

use super::sim::Sim;
use super::story::Story;
use super::{Event, Op, OpError, Origin, Outcome};
use crate::plan::TopicPartition;

const SCHEMA: &str = include_str!("../../docs/history.schema.json");

/// The keywords that the schema uses, and no others: one that is not known here is a failure.
fn wrong(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let text = |what: &str| Some(format!("{what} {rule}: {value}"));
        let found = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => None,
            "$ref" => {
                let name = rule.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a local reference");
                wrong(root, &root["$defs"][name], value)
            }
            "oneOf" => {
                let fits = rule.as_array().expect("a list").iter().filter(|one| wrong(root, one, value).is_none());
                (fits.count() != 1).then(|| format!("not exactly one: {value}"))
            }
            "not" => wrong(root, rule, value).is_none().then(|| format!("forbidden: {value}")),
            "const" => (value != rule).then(|| format!("not {rule}: {value}")),
            "enum" => {
                if rule.as_array().expect("a list").contains(value) {
                    None
                } else {
                    text("not one of")
                }
            }
            "type" => {
                let words = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                let is = |word: &Value| match word.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("unknown type {other}"),
                };
                if words.iter().any(is) { None } else { text("not of type") }
            }
            "minimum" => {
                if value.is_u64() {
                    None
                } else {
                    text("below")
                }
            }
            "required" => {
                let names = rule.as_array().expect("a list").iter().filter_map(Value::as_str);
                names.filter(|name| value.get(name).is_none()).map(|name| format!("without {name}: {value}")).next()
            }
            "items" => value.as_array().into_iter().flatten().find_map(|item| wrong(root, rule, item)),
            "properties" => rule
                .as_object()
                .expect("an object")
                .iter()
                .filter_map(|(name, rule)| Some((rule, value.get(name)?)))
                .find_map(|(rule, value)| wrong(root, rule, value)),
            other => panic!("the schema uses a keyword that this test does not know: {other}"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn check(schema: &Value, line: &Value) -> Option<String> {
    wrong(schema, schema, line)
}

fn tp() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

/// One event of every kind, with every field.
fn every_event() -> Vec<Op> {
    let (r#type, id, tp) = (Outcome::Ok, "17".to_owned(), tp());
    let error = Some(OpError {
        code: -192,
        name: "MSG_TIMED_OUT".into(),
        class: "temporary".into(),
        persistence: "possibly".into(),
    });
    let (key, seq, appended) = (Some("k7".to_owned()), Some(4), Some(9));
    let origin = Some(Origin { tp: tp.clone(), offset: 14 });
    vec![
        Op::Send {
            r#type: Outcome::Info,
            id: id.clone(),
            tp: Some(tp.clone()),
            key: key.clone(),
            seq,
            due: Some(9),
            poison: true,
            offset: Some(1),
            error: error.clone(),
        },
        Op::Assign { r#type, tps: vec![tp.clone()], generation: Some(1) },
        Op::Revoke { r#type: Outcome::Fail, tps: vec![tp.clone()], generation: None },
        Op::Deliver { r#type, id: id.clone(), tp: tp.clone(), offset: 1 },
        Op::Commit { r#type, tp: tp.clone(), offset: 2, error },
        Op::LogRead { r#type, id: id.clone(), tp: tp.clone(), offset: 1, intact: false },
        Op::Effect { r#type, id: id.clone(), key, seq, tp: tp.clone(), offset: 1, appended, part: Some(1) },
        Op::DeadLetter {
            r#type,
            id,
            tp: tp.clone(),
            offset: 1,
            origin,
            complete: true,
            error_class: Some("non-retriable".into()),
            appended,
        },
        Op::FinalRead { r#type, tp, from: 0, to: 15, error: Some("unreachable".into()) },
    ]
}

#[test]
fn every_line_that_is_written_fits_the_schema() {
    let schema = schema();
    let histories = [
        Sim { end: 7_000, ..Sim::new(1) }.story().history(),
        Story::new().served("1", 0).dead("1", 0).assign("a").watermark(1, 1).end().history(),
    ];
    for history in histories {
        assert_eq!(check(&schema, &serde_json::to_value(&history.header).unwrap()), None);
        for event in &history.events {
            assert_eq!(check(&schema, &serde_json::to_value(event).unwrap()), None);
        }
    }
    for op in every_event() {
        assert_eq!(check(&schema, &serde_json::to_value(Event { t: 1, actor: Some("x".into()), op }).unwrap()), None);
    }
}

#[test]
fn every_field_that_is_written_is_in_the_schema() {
    let schema = schema();
    for op in every_event() {
        let line = serde_json::to_value(Event { t: 1, actor: Some("x".into()), op }).unwrap();
        let known = &schema["$defs"][line["op"].as_str().unwrap()]["properties"];
        for name in line.as_object().unwrap().keys() {
            assert!(known.get(name).is_some(), "{name} of {line} is not in the schema");
        }
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema();
    for line in [
        json!({ "t": -1, "op": "phase", "name": "x" }),
        json!({ "op": "phase", "name": "x" }),
        json!({ "t": 1, "op": "deliver", "type": "ok", "tp": "orders/3", "offset": 1 }),
        json!({ "t": 1, "op": "send", "type": "maybe", "id": "1" }),
        json!({ "t": 1, "op": "final-read", "type": "ok", "tp": "orders/3", "from": "0", "to": 1 }),
    ] {
        assert!(check(&schema, &line).is_some(), "{line}");
        assert!(serde_json::from_value::<Event>(line.clone()).is_err(), "{line}");
    }
    // A newer event is for both to be passed over.
    let newer = json!({ "t": 1, "op": "something-newer", "x": 1 });
    assert_eq!(check(&schema, &newer), None);
    assert_eq!(serde_json::from_value::<Event>(newer).unwrap().op, Op::Unknown);
}
