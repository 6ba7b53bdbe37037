//! How a record is recognised in what the application wrote.

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::IDENTITY_HEADER;
use super::record::{POISON_PREFIX, RecordBody};
use crate::plan::{Identity, PART_HEADER};

/// The record's identity by the scenario's convention, or a name that says where the stranger stands.
pub(super) fn of(message: &BorrowedMessage<'_>, convention: &Identity) -> String {
    let found = match convention {
        Identity::Header => header(message),
        Identity::Value => message.payload().and_then(by_value),
        Identity::Json(pointer) => message.payload().and_then(|value| by_pointer(value, pointer)),
    };
    found.unwrap_or_else(|| {
        format!("without identity at {}/{}@{}", message.topic(), message.partition(), message.offset())
    })
}

/// Which of its record's effects it is; `None`: it does not say, or says something else than a number.
pub(super) fn part(message: &BorrowedMessage<'_>) -> Option<u32> {
    message.headers()?.iter().find(|header| header.key == PART_HEADER)?.value.and_then(number)
}

/// Digits alone, as text.
fn number(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn header(message: &BorrowedMessage<'_>) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == IDENTITY_HEADER)?;
    header.value.map(|value| String::from_utf8_lossy(value).into_owned())
}

fn by_value(value: &[u8]) -> Option<String> {
    RecordBody::decode(value).ok().map(|body| body.id.to_string())
}

/// A poison record's JSON begins after the bytes that make it poison.
fn by_pointer(value: &[u8], pointer: &str) -> Option<String> {
    let json = value.strip_prefix(POISON_PREFIX.as_bytes()).unwrap_or(value);
    let document: serde_json::Value = serde_json::from_slice(json).ok()?;
    match document.pointer(pointer)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_numbers_and_text_in_good_and_in_poison_records() {
        let body = RecordBody { id: 17, key: "k1".into(), seq: 3, poison: false }.encode(100);
        assert_eq!(by_pointer(&body, "/id").as_deref(), Some("17"));
        assert_eq!(by_pointer(&body, "/key").as_deref(), Some("k1"));
        let poison = RecordBody { id: 18, key: "k1".into(), seq: 4, poison: true }.encode(100);
        assert_eq!(by_pointer(&poison, "/id").as_deref(), Some("18"));
        for nothing in [&b"no json"[..], br#"{"id":null}"#, br#"{"order":{"id":[1]}}"#] {
            assert_eq!(by_pointer(nothing, "/id"), None);
        }
        assert_eq!(by_pointer(br#"{"order":{"id":"o-1"}}"#, "/order/id").as_deref(), Some("o-1"));
    }

    #[test]
    fn a_part_s_number_is_digits_as_text() {
        assert_eq!([&b"0"[..], b"31", b"007"].map(number), [Some(0), Some(31), Some(7)]);
        for other in [&b""[..], b"+1", b"-1", b" 1", b"1.0", b"one", &[0, 0, 0, 1], b"99999999999", b"\xff"] {
            assert_eq!(number(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_value_that_was_passed_on_unchanged_is_recognised_and_another_is_not() {
        let body = RecordBody { id: 17, key: "k1".into(), seq: 3, poison: false }.encode(100);
        assert_eq!(by_value(&body).as_deref(), Some("17"));
        assert_eq!(by_value(&body[1..]), None);
    }
}
