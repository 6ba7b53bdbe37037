//! Edge cases of the measures: both zeros, the parts of a recovery, the group's generation, events out of order.

use serde_json::json;

use super::judge;
use crate::history::sim::Sim;
use crate::history::story::{Story, cut, tp};
use crate::history::{Op, Outcome};
use crate::plan::{FaultKind, FaultPlan, MemberAction, MemberSelector, Target};
use crate::recovery::Recovery;
use crate::rng::Rng;

fn measured(story: &Story) -> Recovery {
    judge(&story.history()).recovery.unwrap()
}

fn kill() -> FaultPlan {
    FaultPlan {
        lasts: None,
        kind: FaultKind::Kill { target: Target::LeaderOf(tp(0)), restart_after: None },
        ..cut("kill", 0, 0)
    }
}

/// Name, seconds to three digits, floor.
fn parts(recovery: &Recovery) -> Vec<(&str, f64, Option<f64>)> {
    let round = |s: f64| (s * 1e3).round() / 1e3;
    recovery.breakdown.iter().map(|part| (part.name.as_str(), round(part.seconds), part.floor_s.map(round))).collect()
}

#[test]
fn a_killed_leader_s_recovery_is_told_part_by_part_with_the_floor_that_the_timers_set() {
    let mut sim = Sim { sends: vec![(0, 6_000, 14_600)], faults: vec![("kill", 6_000, None)], ..Sim::new(1) };
    sim.signals = vec![("leader", 14_200, json!({"tp": "orders/0", "leader": 2}))];
    // Late once more after it was back: catching up is a part of its own.
    sim.sends.push((0, 14_700, 15_000));
    let recovery = measured(&sim.fault_plans(vec![kill()]).story());
    assert_eq!(recovery.zero_s, Some(6.0));
    let told = parts(&recovery);
    assert_eq!(told[0], ("detection and election by the cluster", 8.2, Some(7.0)));
    assert_eq!(told[1], ("the producer's metadata and back-off", 0.4, None));
    assert_eq!((told.len(), told[2].0), (3, "catch-up"));
    let sum: f64 = recovery.breakdown.iter().map(|part| part.seconds).sum();
    assert!((sum - recovery.ttr_s.unwrap()).abs() < 1e-9, "the parts are the whole");
    let why = recovery.breakdown[0].floor_sum.as_deref().unwrap();
    assert!(why.contains("broker.session.timeout.ms"), "{why}");
}

#[test]
fn after_a_heal_the_back_off_is_what_there_is_to_tell() {
    let recovery = measured(&Sim { sends: vec![(0, 6_000, 11_300)], ..Sim::new(1) }.story());
    assert_eq!(parts(&recovery), [("the producer's metadata and back-off", 1.3, None)]);
    assert_eq!(recovery.zero_s, Some(10.0));
}

#[test]
fn a_crashed_member_s_share_is_back_when_it_is_assigned_and_caught_up() {
    let crash = FaultKind::Member { action: MemberAction::Crash, member: MemberSelector::Any, restart_after: None };
    let mut sim =
        Sim { effects: vec![(0, 6_000, 27_000)], faults: vec![("crash", 6_000, None)], end: 40_000, ..Sim::new(1) };
    sim.plan.subject.members = 1;
    let plan = FaultPlan { lasts: None, kind: crash, ..cut("crash", 0, 0) };
    let assign = |generation| Op::Assign { r#type: Outcome::Ok, tps: vec![tp(0)], generation: Some(generation) };
    let story = sim.fault_plans(vec![plan]).story();
    let story = story.at(500).by("member-0", assign(1)).at(26_500).by("member-1", assign(2));
    let recovery = measured(&story);
    let told = parts(&recovery);
    assert_eq!(told[0], ("detection and reassignment by the group", 20.5, Some(19.0)));
    assert!(told.iter().any(|part| part.0 == "the consumer's metadata, back-off and position"), "{told:?}");
    // The group's new generation is what told of it.
    let signals: Vec<&str> = recovery.detections.iter().map(|seen| seen.signal.as_str()).collect();
    assert_eq!(signals, ["generation"]);
    assert_eq!(recovery.detect_s, Some(20.5));
}

#[test]
fn what_never_came_back_has_no_parts() {
    let recovery = measured(&Sim { sends: vec![(0, 6_000, u64::MAX)], ..Sim::new(1) }.story());
    assert_eq!((recovery.breakdown.len(), recovery.ttr_s), (0, None));
}

#[test]
fn a_recovery_says_both_zeros_whatever_the_budget_s() {
    let recovery = measured(&Sim { sends: vec![(0, 6_000, 11_300)], ..Sim::new(1) }.story());
    let about = |actual: Option<f64>, expected: f64| (actual.unwrap() - expected).abs() < 0.031;
    assert!(about(recovery.ttr_since_heal_s, 1.3) && about(recovery.ttr_since_inject_s, 5.3), "{recovery:?}");
}

#[test]
fn events_that_were_recorded_out_of_order_are_measured_the_same() {
    let mut sim = Sim { sends: vec![(0, 6_000, 11_300)], effects: vec![(1, 6_000, 11_800)], ..Sim::new(2) };
    sim.signals = vec![("client-error", 6_300, json!(-195)), ("breaker", 6_400, json!("open"))];
    let story = sim.story();
    let expected = measured(&story);
    for seed in 0..5 {
        let (mut rng, mut shuffled) = (Rng::new(seed), story.clone());
        // Marks are the harness's own and in order; all else arrives up to a second late.
        let late = |event: &crate::history::Event| !matches!(event.op, Op::Phase { .. } | Op::Fault { .. });
        let mut keyed: Vec<(u64, crate::history::Event)> = shuffled
            .events
            .drain(..)
            .map(|event| (event.t + if late(&event) { rng.u64() % 1_000_000_000 } else { 0 }, event))
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        shuffled.events = keyed.into_iter().map(|(_, event)| event).collect();
        assert_eq!(measured(&shuffled), expected, "seed {seed}");
    }
}

#[test]
fn faults_that_strike_together_are_told_of_by_the_same_signal() {
    let mut sim = Sim { sends: vec![(0, 6_000, 11_300)], ..Sim::new(1) };
    sim.faults = vec![("one", 6_000, Some(10_000)), ("two", 6_001, Some(10_000))];
    sim.signals = vec![("breaker", 6_400, json!("open"))];
    let recovery = measured(&sim.fault_plans(vec![cut("one", 0, 4), cut("two", 0, 4)]).story());
    let told: Vec<&str> = recovery.detections.iter().map(|seen| seen.fault.as_str()).collect();
    assert_eq!(told, ["one", "two"]);
    assert!((recovery.detect_s.unwrap() - 0.4).abs() < 1e-9, "{:?}", recovery.detect_s);
}
