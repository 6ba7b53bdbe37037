//! Effects that show elsewhere than in a topic: lines of JSON, as `[subject] sink` says.
//!
//! Owns what a line means, and the lists of those that were found: each list is in the history what a topic partition of
//! the output topic is, and a place in it is its number there. Must not know where lines come from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::IDENTITY_HEADER;
use super::ledger::SentLedger;
use crate::clock::Nanos;
use crate::history::{Op, Outcome, Recorder};
use crate::plan::{PART_HEADER, Plan, TopicPartition, WorkloadPlan};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// An effect of the record of this identity, and which of its effects, where that is said.
    Effect { id: String, part: Option<u32> },
    /// Meant as an effect, and none that can be told: why.
    Malformed(&'static str),
    /// Something else, such as a line of a log.
    Other,
}

/// A line may be meant as an effect: a cheap look, for all that an application writes.
pub fn may_be_effect(line: &[u8]) -> bool {
    const KEY: &[u8] = b"\"seaworthy-id\"";
    line.trim_ascii_start().starts_with(b"{") && line.windows(KEY.len()).any(|window| window == KEY)
}

/// Reads a line: an object with the key `seaworthy-id`, text or a number, is an effect. What was meant as one is never passed
/// over in silence.
pub fn read_effect(line: &str) -> Reading {
    if !may_be_effect(line.as_bytes()) {
        return Reading::Other;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return Reading::Malformed("the line is no JSON object");
    };
    // A log's line may have it further in.
    let id = match object.get(IDENTITY_HEADER) {
        None => return Reading::Other,
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Reading::Malformed("its seaworthy-id is neither text nor a number"),
    };
    let part = object.get(PART_HEADER).and_then(|part| match part {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    });
    Reading::Effect { id, part }
}

/// The effects that were found so far.
pub struct Effects {
    recorder: Recorder,
    sent: Arc<SentLedger>,
    /// In the output topic's place.
    place: &'static str,
    several: bool,
    lists: Mutex<BTreeMap<i32, List>>,
    count: AtomicU64,
    /// Why they cannot be read at present.
    trouble: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct List {
    /// Places so far.
    len: i64,
    /// Where more may come from.
    open: u32,
    /// Why it may lack some.
    cut: Option<String>,
}

impl Effects {
    /// `None`: they are in the output topic.
    pub fn of(plan: &Plan, recorder: Recorder, sent: Arc<SentLedger>) -> Option<Self> {
        let place = plan.subject.sink().place()?;
        let lists = (0..plan.effect_lists()).map(|list| (list, List::default())).collect();
        let several = plan.subject.owed().effects > 1;
        Some(Self {
            recorder,
            sent,
            place,
            several,
            lists: Mutex::new(lists),
            count: AtomicU64::new(0),
            trouble: Mutex::default(),
        })
    }

    /// How many were found.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    fn with<T>(&self, list: i32, change: impl FnOnce(&mut List) -> T) -> T {
        change(self.lists.lock().unwrap_or_else(PoisonError::into_inner).entry(list).or_default())
    }

    /// They cannot be read, for this reason; or they can again.
    pub fn trouble(&self, reason: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why they cannot be read at present.
    pub fn troubled(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A line among others, which was there at `at`.
    pub fn take(&self, list: i32, at: Nanos, line: &str) {
        match read_effect(line) {
            Reading::Effect { id, part } => self.record(list, at, Ok(id), part),
            Reading::Malformed(why) => self.record(list, at, Err(why), None),
            Reading::Other => {}
        }
    }

    /// A line of which every one is to be an effect.
    pub fn entry(&self, list: i32, at: Nanos, line: &str) {
        match read_effect(line) {
            Reading::Other => self.record(list, at, Err("the line is no JSON object with a seaworthy-id"), None),
            Reading::Effect { .. } | Reading::Malformed(_) => self.take(list, at, line),
        }
    }

    fn record(&self, list: i32, at: Nanos, id: Result<String, &str>, part: Option<u32>) {
        let tp = TopicPartition::new(self.place, list);
        // Recorded in the order of their places.
        self.with(list, |list| {
            let offset = list.len;
            list.len += 1;
            let id = id.unwrap_or_else(|why| format!("without identity at {tp}@{offset}: {why}"));
            let row = id.parse().ok().and_then(|id| self.sent.row(id));
            let (key, seq) = (row.map(|row| WorkloadPlan::record_key(row.key)), row.map(|row| row.seq));
            let part = part.filter(|_| self.several);
            let (r#type, appended) = (Outcome::Ok, Some(at));
            self.recorder.record(Some("sink"), Op::Effect { r#type, id, key, seq, tp, offset, appended, part });
        });
        self.count.fetch_add(1, Relaxed);
    }

    /// More of a list comes, through what is returned and until that is closed.
    pub fn tap(self: &Arc<Self>, list: i32) -> Tap {
        self.with(list, |list| list.open += 1);
        Tap { effects: Arc::clone(self), list }
    }

    /// A list may lack effects from now on.
    pub fn cut(&self, list: i32, why: String) {
        self.with(list, |found| {
            if found.cut.is_none() {
                tracing::warn!(place = self.place, list, why, "effects may be lacking");
                found.cut = Some(why);
            }
        });
    }

    /// Nothing comes any more: how far each list was read.
    pub fn finish(&self) {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, list) in &*lists {
            let tp = TopicPartition::new(self.place, *number);
            let (r#type, error) = match &list.cut {
                None if list.open > 0 => (Outcome::Fail, Some("it had not come to its end".to_owned())),
                None => (Outcome::Ok, None),
                Some(why) => (Outcome::Fail, Some(why.clone())),
            };
            self.recorder.record(None, Op::FinalRead { r#type, tp, from: 0, to: list.len, error });
        }
    }
}

/// One that adds to a list, such as a start of a member. Never closed, it leaves the list without an end.
pub struct Tap {
    effects: Arc<Effects>,
    list: i32,
}

impl Tap {
    /// Lines among which effects are, all of them there at `at`.
    pub fn take(&self, at: Nanos, lines: &[String]) {
        lines.iter().for_each(|line| self.effects.take(self.list, at, line));
    }

    /// It may lack effects from now on.
    pub fn cut(&self, why: String) {
        self.effects.cut(self.list, why);
    }

    /// It has come to its end.
    pub fn close(self) {
        self.effects.with(self.list, |list| list.open = list.open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::clock::Clock;
    use crate::history::story::{Story, owing};
    use crate::history::{Event, read_history};
    use crate::plan::EffectSink;

    fn effect(id: &str, part: Option<u32>) -> Reading {
        Reading::Effect { id: id.to_owned(), part }
    }

    #[rstest]
    #[case(r#"{"seaworthy-id":"17"}"#, effect("17", None))]
    #[case(r#"  { "total": 3, "seaworthy-id" : 17 } "#, effect("17", None))]
    #[case("{\"seaworthy-id\":\"17\",\"seaworthy-part\":2}\r\n", effect("17", Some(2)))]
    #[case(r#"{"seaworthy-id":"17","seaworthy-part":"02"}"#, effect("17", Some(2)))]
    #[case(r#"{"seaworthy-id":"17","seaworthy-part":-1}"#, effect("17", None))]
    #[case(r#"{"seaworthy-id":"17","seaworthy-part":"+1"}"#, effect("17", None))]
    #[case(r#"{"seaworthy-id":"order \"17\""}"#, effect("order \"17\"", None))]
    #[case(r#"{"seaworthy-id":null}"#, Reading::Malformed("its seaworthy-id is neither text nor a number"))]
    #[case(r#"{"seaworthy-id":["17"]}"#, Reading::Malformed("its seaworthy-id is neither text nor a number"))]
    #[case(r#"{"seaworthy-id":"17""#, Reading::Malformed("the line is no JSON object"))]
    #[case(r#"{"seaworthy-id":"1WARN slow"#, Reading::Malformed("the line is no JSON object"))]
    #[case(r#"{"seaworthy-id":"17"}{"seaworthy-id":"18"}"#, Reading::Malformed("the line is no JSON object"))]
    #[case(r#"{"level":"info","headers":{"seaworthy-id":"17"}}"#, Reading::Other)]
    #[case(r#"INFO {"seaworthy-id":"17"}"#, Reading::Other)]
    #[case(r#"["seaworthy-id"]"#, Reading::Other)]
    #[case("ready", Reading::Other)]
    #[case("", Reading::Other)]
    fn what_a_line_says(#[case] line: &str, #[case] says: Reading) {
        assert_eq!(read_effect(line), says);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC*|\\{\"seaworthy-id\":.*") {
            let _ = read_effect(&line);
        }
    }

    fn recorded(play: impl FnOnce(&Arc<Effects>)) -> Vec<Event> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let mut plan = owing(1, &[]);
        plan.subject.foreign.as_mut().unwrap().sink = EffectSink::Stdout;
        plan.subject.members = 1;
        let recorder = Recorder::create(&path, &Story::new().history().header, Clock::start()).unwrap();
        let effects = Arc::new(Effects::of(&plan, recorder.clone(), Arc::default()).unwrap());
        play(&effects);
        effects.finish();
        recorder.close().unwrap();
        read_history(&path).unwrap().events
    }

    #[test]
    fn a_list_is_as_a_topic_partition_and_one_that_was_cut_says_why() {
        let events = recorded(|effects| {
            for (at, line) in (5..).zip([r#"{"seaworthy-id":"0"}"#, "a log", r#"{"seaworthy-id":{}}"#]) {
                effects.take(0, at, line);
            }
            effects.tap(0).close();
            effects.tap(2);
            effects.cut(1, "its keeper died".into());
            effects.cut(1, "again".into());
            assert_eq!(effects.count(), 2);
        });
        let lines: Vec<Value> = events.iter().map(|event| serde_json::to_value(&event.op).unwrap()).collect();
        let strange = "without identity at sink:stdout/0@1: its seaworthy-id is neither text nor a number";
        let effect = |id, offset, at| serde_json::json!({ "op": "effect", "type": "ok", "id": id, "tp": "sink:stdout/0", "offset": offset, "appended": at });
        let read = |tp, to| serde_json::json!({ "op": "final-read", "type": "ok", "tp": tp, "from": 0, "to": to });
        let mut cut = read("sink:stdout/1", 0);
        cut["type"] = "fail".into();
        cut["error"] = "its keeper died".into();
        let mut open = read("sink:stdout/2", 0);
        open["type"] = "fail".into();
        open["error"] = "it had not come to its end".into();
        assert_eq!(lines, [effect("0", 0, 5), effect(strange, 1, 7), read("sink:stdout/0", 2), cut, open]);
    }

    #[test]
    fn effects_in_the_output_topic_are_read_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path, &Story::new().history().header, Clock::start()).unwrap();
        assert!(Effects::of(&owing(1, &[]), recorder, Arc::default()).is_none());
    }
}
