//! Any valid run is clean, and what is planted in it is exactly what is found.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Case, Severity, check};
use crate::history::story::{Story, dlq, out, tp};
use crate::history::{Op, Outcome, Promises};
use crate::plan::TopicPartition;

/// What happens to one record.
#[derive(Clone, Debug)]
struct Life {
    partition: i32,
    sent: Outcome,
    /// For an indeterminate one: it is in the log all the same.
    landed: bool,
    poison: bool,
    /// How long the acknowledgement takes.
    delay: u64,
    deliveries: u8,
    effects: u8,
}

fn life() -> impl Strategy<Value = Life> {
    let sent = prop_oneof![8 => Just(Outcome::Ok), 2 => Just(Outcome::Info), 1 => Just(Outcome::Fail), 1 => Just(Outcome::Invoke)];
    (0..3, sent, any::<bool>(), prop::bool::weighted(0.1), 0..40u64, 1..3u8, 1..3u8).prop_map(
        |(partition, sent, landed, poison, delay, deliveries, effects)| Life {
            partition,
            sent,
            landed,
            poison,
            delay,
            deliveries,
            effects,
        },
    )
}

/// What goes wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    LogLoss,
    AppLoss,
}

/// A concurrent run of at-least-once processing, with harm done to some records that are in the log.
fn run(lives: &[Life], harm: &BTreeMap<usize, Harm>) -> (Story, [u64; 2]) {
    let mut story = Story::new().promising(Promises { ordered: true, ..Promises::default() });
    let mut planted = [0, 0];
    let mut ends = BTreeMap::<TopicPartition, i64>::new();
    let mut found: Vec<(usize, TopicPartition, i64)> = Vec::new();
    let mut take = |tp: TopicPartition| {
        let end = ends.entry(tp).or_insert(0);
        *end += 1;
        *end - 1
    };
    for (at, life) in lives.iter().enumerate() {
        let (id, key) = (at.to_string(), format!("k{}", life.partition));
        let send = 10 * at as u64;
        story = story.at(send).invoke_as(&id, life.partition, &key, Some(at as u64), life.poison);
        let landed = match life.sent {
            Outcome::Ok => true,
            Outcome::Info | Outcome::Invoke => life.landed,
            Outcome::Fail => false,
        };
        let offset = landed.then(|| take(tp(life.partition)));
        if life.sent != Outcome::Invoke {
            let acked = offset.filter(|_| life.sent == Outcome::Ok);
            story = story.at(send + life.delay).event(Op::Send {
                r#type: life.sent,
                id: id.clone(),
                tp: Some(tp(life.partition)),
                key: None,
                seq: None,
                due: None,
                poison: false,
                offset: acked,
                error: None,
            });
        }
        let Some(offset) = offset else { continue };
        match harm.get(&at) {
            Some(Harm::LogLoss) => {
                // A hole where the record was: the offset is gone, as after a truncation. Only an acknowledged one is owed.
                planted[0] += u64::from(life.sent == Outcome::Ok);
                continue;
            }
            Some(Harm::AppLoss) => planted[1] += 1,
            None => found.push((at, tp(life.partition), offset)),
        }
        story = story.log_in(tp(life.partition), &id, offset, true);
    }
    story = story.at(10 * lives.len() as u64 + 100);
    for (at, _, _) in &found {
        let (life, id) = (&lives[*at], at.to_string());
        let first = if life.poison { dlq(life.partition) } else { out(life.partition) };
        let copies = if life.poison { 1 } else { life.effects };
        for _ in 0..copies {
            let offset = take(first.clone());
            let (id, tp, r#type) = (id.clone(), first.clone(), Outcome::Ok);
            story = story.event(if life.poison {
                Op::DeadLetter { r#type, id, tp, offset, origin: None, complete: true, appended: None }
            } else {
                Op::Effect { r#type, id, key: None, seq: None, tp, offset, appended: None }
            });
        }
    }
    for (at, tp, offset) in &found {
        for _ in 0..lives[*at].deliveries {
            let (id, tp) = (at.to_string(), tp.clone());
            story = story.by("member-0", Op::Deliver { r#type: Outcome::Ok, id, tp, offset: *offset });
        }
    }
    for topic in [tp, out, dlq] {
        for partition in 0..3 {
            let tp = topic(partition);
            let to = ends.get(&tp).copied().unwrap_or(0);
            if tp.topic.as_ref() == "orders" {
                story = story.by("group", Op::Commit { r#type: Outcome::Ok, tp: tp.clone(), offset: to, error: None });
            }
            story = story.read(tp, 0, to, Outcome::Ok);
        }
    }
    (story, planted)
}

fn fatal(story: &Story) -> Vec<(String, u64)> {
    let history = story.history();
    let findings = check(&Case::of(&history));
    let heavy = findings.into_iter().filter(|finding| finding.found() && finding.severity != Severity::Counted);
    heavy.map(|finding| (finding.kind, finding.count)).filter(|(kind, _)| kind != "no-traffic").collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_wrong_with_any_valid_run(lives in prop::collection::vec(life(), 1..60)) {
        let (story, _) = run(&lives, &BTreeMap::new());
        prop_assert_eq!(fatal(&story), vec![]);
    }

    #[test]
    fn exactly_the_planted_losses_are_found(
        lives in prop::collection::vec(life(), 1..60),
        harm in prop::collection::btree_map(0..60usize, prop_oneof![Just(Harm::LogLoss), Just(Harm::AppLoss)], 1..8),
    ) {
        let (story, planted) = run(&lives, &harm);
        let expected: Vec<(String, u64)> = ["lost-in-log", "lost-in-app"].into_iter().map(str::to_owned)
            .zip(planted).filter(|(_, count)| *count > 0).collect();
        prop_assert_eq!(fatal(&story), expected);
    }
}
