//! `truncation`: a leader that has less than was acknowledged.
//!
//! **Claim**: a topic partition's high watermark, once seen, is never seen lower where records were acknowledged.
//! **Method**: the signals `high-watermark`: the harness asks the leader, naming the leader epoch that it knows, and the
//! leader answers only if that is its own epoch. A look that finds the high watermark below an earlier one, and at or
//! below an offset that was acknowledged before the look, is one case. An answer of an older epoch is a deposed leader's
//! and says nothing, unless no later answer reaches the newer epoch again: then the epoch itself went back.
//! **Blind spots**: truncation between two looks that is filled up by the second (shown by `lost-in-log` and
//! `inconsistent-offset`); acknowledgements without an offset; backends that cannot be asked.

use std::collections::BTreeMap;

use super::{Case, Checker, EXAMPLES, Example, Finding, Severity};
use crate::clock::{Nanos, seconds};
use crate::history::Op;
use crate::plan::TopicPartition;

pub(super) const CHECKER: Checker =
    Checker { name: "truncation", claim: "no leader has less than an earlier one had acknowledged", check };

/// The signal that carries `{ tp, epoch, offset }`; its time is that of the question.
pub const HIGH_WATERMARK: &str = "high-watermark";

#[derive(Clone, Copy, Debug)]
struct Look {
    t: Nanos,
    epoch: i64,
    offset: i64,
}

fn check(case: &Case<'_>) -> Finding {
    let (mut count, mut examples) = (0, Vec::new());
    for (name, looks) in looks(case) {
        let Some(tp) = case.ledger.tps.find(&name) else { continue };
        let acked = |before: Nanos| {
            let places = case.ledger.acks_in(tp);
            let told = places.filter(|place| case.ledger.row(place.row).acked().is_some_and(|t| t < before));
            told.map(|place| place.offset).max()
        };
        let (mut epoch, mut highest) = (i64::MIN, i64::MIN);
        for (at, look) in looks.iter().enumerate() {
            let stale = look.epoch < epoch && looks[at + 1..].iter().any(|later| later.epoch >= epoch);
            if stale {
                continue;
            }
            epoch = look.epoch;
            if look.offset < highest
                && let Some(acked) = acked(look.t).filter(|acked| look.offset <= *acked)
            {
                count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(Example {
                        tp: Some(name.to_string()),
                        offsets: vec![highest, look.offset],
                        faults: case.faults_at(Some(look.t)),
                        note: format!(
                            "high watermark {highest}, then {} in epoch {} at {:.3} s; {acked} was acknowledged",
                            look.offset,
                            look.epoch,
                            seconds(look.t)
                        ),
                        ..Example::default()
                    });
                }
            }
            highest = look.offset;
        }
    }
    let message = format!("{count} times a leader had less than was acknowledged");
    Finding::new(CHECKER.name, count, Severity::Fatal, message, examples)
}

/// The looks of each topic partition, by time.
fn looks(case: &Case<'_>) -> BTreeMap<TopicPartition, Vec<Look>> {
    let mut looks = BTreeMap::<_, Vec<Look>>::new();
    for event in &case.history.events {
        let Op::Signal { name, value } = &event.op else { continue };
        if name != HIGH_WATERMARK {
            continue;
        }
        let tp = value.get("tp").and_then(|tp| serde_json::from_value::<TopicPartition>(tp.clone()).ok());
        let number = |field: &str| value.get(field).and_then(serde_json::Value::as_i64);
        if let (Some(tp), Some(offset)) = (tp, number("offset")) {
            let look = Look { t: event.t, epoch: number("epoch").unwrap_or(0), offset };
            looks.entry(tp).or_default().push(look);
        }
    }
    for looks in looks.values_mut() {
        looks.sort_by_key(|look| look.t);
    }
    looks
}
