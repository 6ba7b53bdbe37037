//! What the ledger takes from a line, borrowed from it: of the millions of lines of a history nearly all are a record's
//! sends, deliveries, finds and the group's commits, and none of them needs memory of its own.
//!
//! Owns a parser for those lines as the recorder writes them. It never decides what a valid line is: whatever it does not
//! recognise at once (an escape, a nested or unknown field, a missing one, a float) it leaves to serde, which alone
//! accepts and refuses. That both agree where both speak is a property of the tests.

use super::{Event, Op, Outcome};
use crate::clock::Nanos;
use crate::plan::TopicPartition;

/// A line about one record, or a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    pub t: Nanos,
    pub actor: Option<&'a str>,
    pub act: Act<'a>,
}

/// A topic partition by its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    pub topic: &'a str,
    pub partition: i32,
}

/// Events that come once or more for each record. Of finds and commits only those of type `ok`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act<'a> {
    Send {
        outcome: Outcome,
        id: &'a str,
        tp: Option<At<'a>>,
        key: Option<&'a str>,
        seq: Option<u64>,
        due: Option<Nanos>,
        poison: bool,
        offset: Option<i64>,
    },
    Deliver {
        id: &'a str,
        tp: At<'a>,
        offset: i64,
    },
    LogRead {
        id: &'a str,
        tp: At<'a>,
        offset: i64,
        intact: bool,
    },
    Effect {
        id: &'a str,
        key: Option<&'a str>,
        seq: Option<u64>,
        tp: At<'a>,
        offset: i64,
        appended: Option<Nanos>,
        part: Option<u32>,
    },
    DeadLetter {
        id: &'a str,
        tp: At<'a>,
        offset: i64,
        origin: Option<(At<'a>, i64)>,
        complete: bool,
        error_class: Option<&'a str>,
        appended: Option<Nanos>,
    },
    Commit {
        tp: At<'a>,
        offset: i64,
    },
}

impl<'a> From<&'a TopicPartition> for At<'a> {
    fn from(tp: &'a TopicPartition) -> Self {
        Self { topic: &tp.topic, partition: tp.partition }
    }
}

impl<'a> At<'a> {
    /// `topic/number`; `None`: not sure.
    fn parse(text: &'a str) -> Option<Self> {
        let (topic, digits) = text.rsplit_once('/')?;
        let plain = !topic.is_empty() && (1..=9).contains(&digits.len());
        if !plain {
            return None;
        }
        let mut partition = 0;
        for byte in digits.bytes() {
            partition = partition * 10 + i32::from(digit(byte)?);
        }
        Some(Self { topic, partition })
    }
}

impl<'a> Line<'a> {
    /// The same of an event in memory; `None`: it is about no record.
    pub fn of(event: &'a Event) -> Option<Self> {
        let act = match &event.op {
            Op::Send { r#type, id, tp, key, seq, due, poison, offset, error: _ } => Act::Send {
                outcome: *r#type,
                id,
                tp: tp.as_ref().map(At::from),
                key: key.as_deref(),
                seq: *seq,
                due: *due,
                poison: *poison,
                offset: *offset,
            },
            Op::Deliver { id, tp, offset, r#type: Outcome::Ok } => Act::Deliver { id, tp: tp.into(), offset: *offset },
            Op::LogRead { id, tp, offset, intact, r#type: Outcome::Ok } => {
                Act::LogRead { id, tp: tp.into(), offset: *offset, intact: *intact }
            }
            Op::Effect { id, key, seq, tp, offset, appended, part, r#type: Outcome::Ok } => Act::Effect {
                id,
                key: key.as_deref(),
                seq: *seq,
                tp: tp.into(),
                offset: *offset,
                appended: *appended,
                part: *part,
            },
            Op::DeadLetter { id, tp, offset, origin, complete, error_class, appended, r#type: Outcome::Ok } => {
                Act::DeadLetter {
                    id,
                    tp: tp.into(),
                    offset: *offset,
                    origin: origin.as_ref().map(|origin| (At::from(&origin.tp), origin.offset)),
                    complete: *complete,
                    error_class: error_class.as_deref(),
                    appended: *appended,
                }
            }
            Op::Commit { tp, offset, r#type: Outcome::Ok, error: _ } => Act::Commit { tp: tp.into(), offset: *offset },
            _ => return None,
        };
        Some(Self { t: event.t, actor: event.actor.as_deref(), act })
    }

    /// Reads a line without its end. `None`: perhaps valid, perhaps not, perhaps about no record.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        Fields::scan(std::str::from_utf8(line).ok()?)?.line()
    }
}

/// The fields as they came.
#[derive(Default)]
struct Fields<'a> {
    t: Option<u64>,
    actor: Option<&'a str>,
    op: Option<&'a str>,
    outcome: Option<&'a str>,
    id: Option<&'a str>,
    tp: Option<At<'a>>,
    key: Option<&'a str>,
    seq: Option<u64>,
    due: Option<u64>,
    offset: Option<i64>,
    appended: Option<u64>,
    part: Option<u32>,
    poison: Option<bool>,
    intact: Option<bool>,
    complete: Option<bool>,
    error_class: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn scan(text: &'a str) -> Option<Self> {
        let mut fields = Self::default();
        let mut cursor = Cursor { text, bytes: text.as_bytes(), at: 0 };
        cursor.expect(b'{')?;
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            cursor.blanks();
            // A field that comes twice is an error for serde, or not: let it say so.
            let fresh = match name {
                "t" => fields.t.replace(cursor.unsigned()?).is_none(),
                "actor" => fields.actor.replace(cursor.string()?).is_none(),
                "op" => fields.op.replace(cursor.string()?).is_none(),
                "type" => fields.outcome.replace(cursor.string()?).is_none(),
                "id" => fields.id.replace(cursor.string()?).is_none(),
                "tp" => fields.tp.replace(At::parse(cursor.string()?)?).is_none(),
                "key" => fields.key.replace(cursor.string()?).is_none(),
                "seq" => fields.seq.replace(cursor.unsigned()?).is_none(),
                "due" => fields.due.replace(cursor.unsigned()?).is_none(),
                "offset" => fields.offset.replace(cursor.signed()?).is_none(),
                "appended" => fields.appended.replace(cursor.unsigned()?).is_none(),
                "part" => fields.part.replace(u32::try_from(cursor.unsigned()?).ok()?).is_none(),
                "poison" => fields.poison.replace(cursor.boolean()?).is_none(),
                "intact" => fields.intact.replace(cursor.boolean()?).is_none(),
                "complete" => fields.complete.replace(cursor.boolean()?).is_none(),
                "error_class" => fields.error_class.replace(cursor.string()?).is_none(),
                _ => return None,
            };
            if !fresh {
                return None;
            }
            cursor.blanks();
            match cursor.next()? {
                b',' => cursor.blanks(),
                b'}' if cursor.at == text.len() => return Some(fields),
                _ => return None,
            }
        }
    }

    fn line(self) -> Option<Line<'a>> {
        let (t, actor, outcome) = (self.t?, self.actor, self.outcome?);
        let found = |act| (outcome == "ok").then_some(act);
        let act = match self.op? {
            "send" => Act::Send {
                outcome: match outcome {
                    "invoke" => Outcome::Invoke,
                    "ok" => Outcome::Ok,
                    "fail" => Outcome::Fail,
                    "info" => Outcome::Info,
                    _ => return None,
                },
                id: self.id?,
                tp: self.tp,
                key: self.key,
                seq: self.seq,
                due: self.due,
                poison: self.poison.unwrap_or(false),
                offset: self.offset,
            },
            "deliver" => found(Act::Deliver { id: self.id?, tp: self.tp?, offset: self.offset? })?,
            "log-read" => {
                let intact = self.intact.unwrap_or(true);
                found(Act::LogRead { id: self.id?, tp: self.tp?, offset: self.offset?, intact })?
            }
            "effect" => found(Act::Effect {
                id: self.id?,
                key: self.key,
                seq: self.seq,
                tp: self.tp?,
                offset: self.offset?,
                appended: self.appended,
                part: self.part,
            })?,
            "dead-letter" => found(Act::DeadLetter {
                id: self.id?,
                tp: self.tp?,
                offset: self.offset?,
                origin: None,
                complete: self.complete.unwrap_or(true),
                error_class: self.error_class,
                appended: self.appended,
            })?,
            "commit" => found(Act::Commit { tp: self.tp?, offset: self.offset? })?,
            _ => return None,
        };
        Some(Line { t, actor, act })
    }
}

struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn blanks(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.next()? {
                b'"' => return Some(&self.text[from..self.at - 1]),
                b'\\' | ..0x20 => return None,
                _ => {}
            }
        }
    }

    fn unsigned(&mut self) -> Option<u64> {
        let from = self.at;
        let mut number = u64::from(digit(self.next()?)?);
        while let Some(digit) = self.peek().and_then(digit) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
            self.at += 1;
        }
        // JSON knows no leading zeros.
        (self.at == from + 1 || self.bytes[from] != b'0').then_some(number)
    }

    fn signed(&mut self) -> Option<i64> {
        if self.peek() != Some(b'-') {
            return i64::try_from(self.unsigned()?).ok();
        }
        self.at += 1;
        // "-0" is a float for serde.
        let number = i64::try_from(self.unsigned()?).ok()?;
        (number != 0).then_some(-number)
    }

    fn boolean(&mut self) -> Option<bool> {
        let rest = &self.bytes[self.at..];
        let value = rest.starts_with(b"true");
        if !value && !rest.starts_with(b"false") {
            return None;
        }
        self.at += if value { 4 } else { 5 };
        Some(value)
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(text: &str) -> Result<(), TestCaseError> {
        let serde = serde_json::from_str::<Event>(text);
        if let Some(line) = Line::parse(text.as_bytes()) {
            let event = serde.map_err(|e| TestCaseError::fail(format!("serde refuses {text}: {e}")))?;
            prop_assert_eq!(Some(line), Line::of(&event), "{}", text);
        }
        Ok(())
    }

    #[test]
    fn the_lines_that_the_recorder_writes_for_records_are_read_without_serde() {
        let lines = [
            r#"{"t":10,"actor":"producer-0","op":"send","type":"invoke","id":"17","tp":"orders/3","key":"k7","seq":4,"due":9}"#,
            r#"{"t":10,"actor":"producer-0","op":"send","type":"invoke","id":"ü","tp":"a/b/3","poison":true}"#,
            r#"{"t":25,"actor":"producer-0","op":"send","type":"ok","id":"17","tp":"orders/3","offset":12}"#,
            r#"{"t":40,"actor":"member-0","op":"deliver","type":"ok","id":"17","tp":"orders/3","offset":12}"#,
            r#"{"t":50,"actor":"member-0","op":"commit","type":"ok","tp":"orders/3","offset":13}"#,
            r#"{"t":100,"op":"log-read","type":"ok","id":"17","tp":"orders/3","offset":12,"intact":false}"#,
            r#"{"t":110,"op":"effect","type":"ok","id":"17","key":"k7","seq":4,"tp":"orders.out/3","offset":11,"appended":7}"#,
            r#"{"t":110,"op":"effect","type":"ok","id":"17","tp":"orders.out/3","offset":11,"part":1}"#,
            r#"{"t":120, "op": "dead-letter","type":"ok","id":"20","tp":"orders.dlq/3","offset":-1,"complete":true}"#,
        ];
        for line in lines {
            assert!(Line::parse(line.as_bytes()).is_some(), "{line}");
            same(line).unwrap();
        }
    }

    #[test]
    fn what_is_not_certain_is_left_to_serde() {
        let lines = [
            "",
            "{}",
            r#"{"t":1,"op":"phase","name":"baseline"}"#,
            r#"{"t":1,"op":"deliver","type":"fail","id":"1","tp":"orders/0","offset":1}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0"}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"\u0031","tp":"orders/0","offset":1}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":-0}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":01}"#,
            r#"{"t":1.5,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":1}"#,
            r#"{"t":1,"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":1}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/-1","offset":1}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":1,"newer":1}"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":1}x"#,
            r#"{"t":1,"op":"deliver","type":"ok","id":"1","tp":"orders/0","offset":99999999999999999999}"#,
        ];
        for line in lines {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line}");
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<u64>().prop_map(|n| n.to_string()),
            (-3..100i64).prop_map(|n| n.to_string()),
            Just("-0".to_owned()),
            Just("007".to_owned()),
            Just("1.0".to_owned()),
            Just("1e3".to_owned()),
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just("{}".to_owned()),
            "\"[a-z0-9/+\\\\ü-]{0,6}\"",
            "\"orders/[0-9+-]{0,11}\"",
        ]
    }

    fn field() -> impl Strategy<Value = String> {
        let own = |names: &'static [&'static str], value: BoxedStrategy<String>| {
            (prop::sample::select(names), value).prop_map(|(name, value)| format!("\"{name}\":{value}"))
        };
        let number = any::<u32>().prop_map(|n| n.to_string()).boxed();
        let word = "\"[a-z0-9]{1,5}\"".boxed();
        let names = &["t", "actor", "id", "tp", "key", "seq", "due", "offset", "appended", "part", "poison", "intact"];
        prop_oneof![
            4 => own(&["seq", "due", "appended", "part"], number),
            4 => own(&["actor", "key"], word),
            1 => own(names, value().boxed()),
            1 => own(&["complete", "type", "op", "x"], value().boxed()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Valid lines with fields added in any place, of the right kind or not.
        #[test]
        fn what_it_reads_is_what_serde_reads(
            op in prop::sample::select(&["send", "deliver", "log-read", "effect", "dead-letter", "commit"][..]),
            outcome in prop::sample::select(&["ok", "ok", "invoke", "fail", "info", "odd"][..]),
            more in prop::collection::vec((field(), any::<prop::sample::Index>()), 0..4),
            gone in prop::option::weighted(0.1, any::<prop::sample::Index>()),
            gap in prop::sample::select(&[",", ", ", " ,", "\t,"][..]),
        ) {
            let mut fields: Vec<String> = [
                "\"t\":7".to_owned(), format!("\"op\":\"{op}\""), format!("\"type\":\"{outcome}\""),
                "\"id\":\"12\"".to_owned(), "\"tp\":\"orders/3\"".to_owned(), "\"offset\":5".to_owned(),
            ].into();
            for (field, at) in more {
                let at = at.index(fields.len() + 1);
                fields.insert(at, field);
            }
            if let Some(at) = gone {
                fields.remove(at.index(fields.len()));
            }
            same(&format!("{{{}}}", fields.join(gap)))?;
        }
    }
}
