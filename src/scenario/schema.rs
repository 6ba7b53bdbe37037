//! The JSON Schema of scenario files, made of [`format`](super::format): what an editor needs to complete, explain and
//! underline. It knows types, names and ranges; what values mean together is for `seaworthy check`.

use serde_json::{Map, Value, json};

use super::format::{self, Absent, Key, Kind, Table};
use super::raw::protocol;
use super::raw::{TARGET_KEYS, TARGET_WORDS};

/// A duration's text: one or more numbers with units. That it is at most 24 hours is not said.
const DURATION: &str = r"^\s*((\d+(\.\d*)?|\.\d+)\s*(us|µs|ms|s|m|h)\s*)+$";
const SIZE: &str = r"^\s*\d+\s*(B|KiB|MiB|GiB|KB|kB|MB|GB)\s*$";
const TOPIC_PARTITION: &str = r"^(.|\n)+/\+?\d+$";

/// The schema (draft 7, which every editor knows), as it is checked in as `scenarios/schema.json`.
pub fn scenario() -> Value {
    let mut schema = table(&format::ROOT, &[]);
    let head = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Seaworthy scenario",
    });
    let definitions = json!({ "target": target(), "topic-partition": topic_partition(), "duration": duration() });
    if let (Value::Object(schema), Value::Object(mut whole)) = (&mut schema, head) {
        whole.append(schema);
        whole.insert("definitions".into(), definitions);
        return Value::Object(whole);
    }
    schema
}

/// A table's schema; `also`: keys of the format that stand among its own.
fn table(table: &Table, also: &[(&str, Value)]) -> Value {
    let mut properties: Map<String, Value> = table.keys.iter().map(|key| (key.name.into(), property(key))).collect();
    properties.extend(also.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let required: Vec<_> = table.keys.iter().filter(|k| k.default == Absent::Required).map(|k| k.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.text,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A key's schema, with its meaning and its default.
fn property(key: &Key) -> Value {
    let mut schema = kind(key.kind);
    let description = match key.default {
        Absent::Is(_) | Absent::Required | Absent::Else("-") => key.text.to_owned(),
        Absent::Else(words) => format!("{} Default: {words}.", key.text),
    };
    if schema.get("$ref").is_some() {
        // In draft 7 what stands beside a reference does not count.
        schema = json!({ "allOf": [schema] });
    }
    schema["description"] = json!(description);
    if let Absent::Is(text) = key.default
        && let Some(value) = toml_value(text)
    {
        schema["default"] = value;
    }
    schema
}

/// A default of the format as JSON.
pub fn toml_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("x = {text}").parse().ok()?;
    serde_json::to_value(table.get("x")?).ok()
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Duration | Kind::SomeDuration => json!({ "$ref": "#/definitions/duration" }),
        Kind::Size => json!({ "type": "string", "pattern": SIZE }),
        Kind::Bytes => {
            json!({ "anyOf": [{ "type": "string", "pattern": SIZE }, { "type": "integer", "minimum": 1 }] })
        }
        Kind::Whole(least, most) if most == i64::MAX => json!({ "type": "integer", "minimum": least }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Words(words) => json!({ "type": "array", "items": { "type": "string", "enum": words } }),
        Kind::ErrorName => json!({ "type": "string", "enum": protocol::errors() }),
        Kind::TopicPartition => json!({ "$ref": "#/definitions/topic-partition" }),
        Kind::Target => json!({ "$ref": "#/definitions/target" }),
        Kind::Member => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "enum": ["any"] },
        ] }),
        Kind::Properties => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "object"] } })
        }
        Kind::Series => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Counts => {
            json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } })
        }
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Pointer => json!({ "type": "string", "pattern": "^/" }),
        Kind::Limit => json!({ "anyOf": [{ "$ref": "#/definitions/duration" }, table(&format::LIMIT, &[])] }),
        Kind::Identity => json!({ "anyOf": [
            { "type": "string", "enum": ["header", "value"] },
            table(&format::IDENTITY, &[]),
        ] }),
        Kind::Sink => json!({ "anyOf": [
            { "type": "string", "enum": ["topic", "stdout"] },
            table(&format::SINK, &[]),
        ] }),
        Kind::Table(inner) => with_rules(inner, table(inner, &[])),
        Kind::Tables(inner) => json!({ "type": "array", "items": with_rules(inner, table(inner, &[])) }),
        Kind::Targeted(inner) => {
            let keys = target_keys();
            let ways: Vec<_> =
                std::iter::once("target").chain(TARGET_KEYS).map(|key| json!({ "required": [key] })).collect();
            let mut with_target = table(inner, &keys);
            with_target["oneOf"] = json!(ways);
            json!({ "anyOf": [{ "type": "string", "enum": target_words() }, with_target] })
        }
        Kind::Progress => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, table(&format::PROGRESS, &[])] })
        }
    }
}

/// What a table's keys demand of each other.
fn with_rules(inner: &Table, mut schema: Value) -> Value {
    let either = |keys: &[&str]| json!(keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>());
    if std::ptr::eq(inner, &format::FAULT) {
        schema["oneOf"] = either(&super::FAULT_KINDS);
    } else if std::ptr::eq(inner, &format::BROKER_ERRORS) {
        schema["oneOf"] = either(&["rate", "times"]);
    } else if std::ptr::eq(inner, &format::SUBJECT) {
        let demands = |kind: &str, key: &str| {
            let of_kind = json!({ "properties": { "kind": { "const": kind } }, "required": ["kind"] });
            json!({ "if": of_kind, "then": { "required": [key] } })
        };
        schema["allOf"] = json!([demands("process", "command"), demands("container", "image")]);
    } else if std::ptr::eq(inner, &format::READY) {
        schema["oneOf"] = either(&["group-stable", "line", "http"]);
    }
    schema
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": DURATION, "description": "A number and a unit (us, ms, s, m, h): \"250ms\", \"6s\", \"1m 30s\"." })
}

fn topic_partition() -> Value {
    json!({ "type": "string", "pattern": TOPIC_PARTITION, "description": "Topic and number, as \"orders/0\"." })
}

fn target_words() -> Vec<&'static str> {
    TARGET_WORDS.iter().map(|(word, _)| *word).collect()
}

fn target_keys() -> [(&'static str, Value); 3] {
    let reference = |text: &str| json!({ "allOf": [{ "$ref": "#/definitions/topic-partition" }], "description": text });
    let broker = json!({
        "type": "integer", "minimum": 0, "maximum": u32::MAX,
        "description": "By number, from 1.",
    });
    [
        (TARGET_KEYS[0], broker),
        (TARGET_KEYS[1], reference("The leader of this topic partition, at the time of the injection.")),
        (TARGET_KEYS[2], reference("A replica that follows, drawn from the seed if there are several.")),
    ]
}

fn target() -> Value {
    let keys: Map<String, Value> = target_keys().into_iter().map(|(name, value)| (name.into(), value)).collect();
    json!({
        "description": "Which broker or brokers; roles are resolved when the fault is injected.",
        "anyOf": [
            { "type": "string", "enum": target_words() },
            {
                "type": "object",
                "properties": keys,
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
    })
}
