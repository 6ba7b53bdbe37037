//! Runs with a known recovery: the measure must say that, to within 20 ms and one inter-arrival time.

use proptest::prelude::*;
use serde_json::json;

use super::{Judgement, judge};
use crate::history::sim::{Away, Sim};
use crate::history::story::{cut, owing, tp};
use crate::plan::{FaultKind, FaultPlan, Limit, Since, Target};
use crate::recovery::Recovery;
use crate::verdict::Verdict;

fn judged(sim: &Sim) -> Judgement {
    judge(&sim.story().history())
}

fn measured(sim: &Sim) -> Recovery {
    judged(sim).recovery.unwrap()
}

/// `actual` is `expected` seconds, at most 20 ms and one inter-arrival time off.
#[track_caller]
fn about(actual: Option<f64>, expected: f64) {
    let actual = actual.expect("a value");
    assert!((actual - expected).abs() <= 0.030_1, "{actual} s instead of {expected} s");
}

fn all(partitions: i32, from: u64, to: u64) -> Vec<(i32, u64, u64)> {
    (0..partitions).map(|p| (p, from, to)).collect()
}

fn since(mut sim: Sim, since: Since) -> Sim {
    sim.plan.budget.recovery = Some(Limit { within: std::time::Duration::from_secs(2), since: Some(since) });
    sim
}

fn kill(label: &str, at: u64) -> FaultPlan {
    FaultPlan {
        lasts: None,
        kind: FaultKind::Kill { target: Target::Broker(1), restart_after: None },
        ..cut(label, at, 0)
    }
}

#[test]
fn a_recovery_is_measured_exactly_whatever_the_window_and_the_thresholds_are() {
    for away in [Away::Wait, Away::Fail] {
        for back in [10_020, 10_130, 11_301, 12_777] {
            let sim = Sim { sends: all(3, 6_000, back), away, ..Sim::new(3) };
            let recovery = measured(&sim);
            about(recovery.ttr_s, (back - 10_000) as f64 / 1e3);
            assert!(recovery.recovered && recovery.lower_bound_s.is_none());
            about(recovery.ttr_since_inject_s, (back - 6_000) as f64 / 1e3);
            about(recovery.outage_s, (back - 6_000) as f64 / 1e3);
            assert_eq!(recovery.relapses, Some(0));
        }
    }
}

#[test]
fn the_window_does_not_shift_the_edge() {
    for window in [200, 1_000, 3_000] {
        let mut sim = Sim { sends: all(2, 6_000, 11_500), ..Sim::new(2) };
        sim.plan.observation.window = std::time::Duration::from_millis(window);
        about(measured(&sim).ttr_s, 1.5);
    }
}

#[test]
fn a_consumer_s_recovery_is_measured_exactly() {
    for back in [10_500, 11_250, 13_030] {
        let recovery = measured(&Sim { effects: all(2, 6_000, back), ..Sim::new(2) });
        about(recovery.ttr_s, (back - 10_000) as f64 / 1e3);
        assert!(recovery.worst_scope.unwrap().ends_with(" effect"));
    }
}

#[test]
fn what_is_left_out_on_purpose_never_was_an_operation() {
    // A key a topic partition: the last one's effects never come.
    let sim = |drops: &[&str]| {
        let mut sim = Sim { effects: vec![(0, 6_000, 11_250), (2, 0, u64::MAX)], ..Sim::new(3) };
        sim.plan.subject = owing(1, drops).subject;
        sim
    };
    let judgement = judged(&sim(&["k2"]));
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.reasons);
    let recovery = judgement.recovery.unwrap();
    about(recovery.ttr_s, 1.25);
    assert_eq!((recovery.recovered, recovery.drained), (true, Some(true)));
    assert_eq!(recovery.worst_scope.as_deref(), Some("orders/0 effect"));
    assert!(judgement.integrity.filtered > 1_900 && judgement.integrity.lost == 0);
    let judgement = judged(&sim(&[]));
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert!(!judgement.recovery.unwrap().recovered && judgement.integrity.lost > 1_900);
}

#[test]
fn recovery_during_the_fault_takes_no_time_after_it() {
    let recovery = measured(&Sim { sends: all(2, 6_000, 8_000), ..Sim::new(2) });
    assert_eq!((recovery.ttr_s, recovery.recovered), (Some(0.0), true));
    about(recovery.ttr_since_inject_s, 2.0);
    about(recovery.unavailable_s, 2.0);
    // What waited for less than the limit was served on time.
    about(recovery.lost_service_s, 1.95);
}

#[test]
fn a_service_that_never_recovers_has_a_lower_bound_and_no_time() {
    let recovery = measured(&since(Sim { sends: all(2, 6_000, u64::MAX), ..Sim::new(2) }, Since::Heal));
    assert_eq!((recovery.ttr_s, recovery.recovered, recovery.lower_bound_s), (None, false, Some(10.0)));
    assert!(recovery.outage_open);
    assert_eq!(recovery.first_success_s, None);
    assert_eq!(recovery.drain_s, Some(0.0));
}

#[test]
fn one_dark_topic_partition_among_twelve_decides() {
    let sim = since(Sim { sends: vec![(7, 6_000, u64::MAX)], ..Sim::new(12) }, Since::Heal);
    let judgement = judged(&sim);
    let recovery = judgement.recovery.unwrap();
    assert_eq!((recovery.ttr_s, recovery.recovered), (None, false));
    assert_eq!(recovery.worst_scope.as_deref(), Some("orders/7 send"));
    assert_eq!(recovery.first_success_s, None);
    assert!(!judgement.budgets.iter().find(|row| row.metric == "recovery").unwrap().met);
    let bright = recovery.scopes.iter().find(|row| row.scope == "orders/3" && row.stream == "send").unwrap();
    assert_eq!((bright.ttr_s, bright.recovered), (Some(0.0), true));
}

#[test]
fn a_relapse_moves_the_recovery_to_its_end() {
    let sends = vec![(0, 6_000, 11_000), (0, 14_000, 15_000)];
    let recovery = measured(&Sim { sends, ..Sim::new(1) });
    about(recovery.ttr_s, 5.0);
    assert_eq!((recovery.relapses, recovery.recovered), (Some(1), true));
    about(recovery.unavailable_s, 6.0);
}

#[test]
fn health_that_does_not_hold_until_the_end_is_no_recovery() {
    let recovery = measured(&Sim { sends: vec![(0, 6_000, 18_500)], ..Sim::new(1) });
    assert_eq!((recovery.ttr_s, recovery.recovered, recovery.lower_bound_s), (None, false, Some(10.0)));
}

#[test]
fn a_lone_late_record_after_the_recovery_moves_nothing() {
    let sim = Sim { sends: all(1, 6_000, 11_000), hiccups: vec![(0, 11_400), (0, 15_000)], ..Sim::new(1) };
    about(measured(&sim).ttr_s, 1.0);
}

#[test]
fn records_that_were_in_flight_at_the_injection_do_not_spoil_the_baseline() {
    // Due before the cut, and caught by it.
    let sim = Sim { sends: all(2, 5_990, 11_000), effects: all(2, 5_950, 11_000), ..Sim::new(2) };
    let judgement = judged(&sim);
    assert_eq!(judgement.reasons, vec![]);
    about(judgement.recovery.unwrap().ttr_s, 1.0);
}

#[test]
fn nothing_due_after_the_zero_is_not_a_recovery() {
    let sim = since(Sim { silent: vec![(0, 9_000)], sends: all(1, 6_000, 7_000), ..Sim::new(1) }, Since::Heal);
    let judgement = judged(&sim);
    let recovery = judgement.recovery.unwrap();
    assert_eq!((recovery.ttr_s, recovery.recovered, recovery.first_success_s), (None, false, None));
    assert!(recovery.notes.iter().any(|note| note.contains("orders/0 send")), "{:?}", recovery.notes);
    assert!(!judgement.budgets.iter().find(|row| row.metric == "recovery").unwrap().met);
}

#[test]
fn few_records_per_window_are_judged_in_a_wider_one() {
    let mut sim = Sim { every: 400, sends: all(1, 6_000, 11_000), ..Sim::new(1) };
    sim.hiccups = vec![(0, 16_000)];
    let recovery = measured(&sim);
    assert!((recovery.ttr_s.unwrap() - 1.0).abs() <= 0.42, "{recovery:?}");
}

#[test]
fn the_first_success_counts_only_what_was_due_after_the_zero_and_the_slowest_scope() {
    let sim = Sim { sends: vec![(0, 6_000, 10_001), (1, 6_000, 10_700)], ..Sim::new(2) };
    about(measured(&sim).first_success_s, 0.7);
}

#[test]
fn a_fault_that_touches_some_topic_partitions_is_measured_on_those() {
    let sim = Sim { sends: vec![(0, 6_000, 11_000), (1, 12_000, 15_000)], ..Sim::new(2) };
    let mut story = sim.story();
    for event in &mut story.events {
        if let crate::history::Op::Fault { affected, .. } = &mut event.op {
            *affected = Some(vec![tp(0)]);
        }
    }
    let recovery = judge(&story.history()).recovery.unwrap();
    about(recovery.ttr_s, 1.0);
    assert!(recovery.scopes.iter().all(|row| row.scope == "orders/0"));
}

#[test]
fn of_several_injections_the_worst_counts() {
    let mut sim = Sim { end: 40_000, sends: vec![(0, 6_000, 9_000), (0, 20_000, 21_000)], ..Sim::new(1) };
    sim.faults = vec![("kill-1", 6_000, None), ("kill-2", 20_000, None)];
    let recovery = measured(&sim.fault_plans(vec![kill("kill-1", 0), kill("kill-2", 14)]));
    about(recovery.ttr_s, 3.0);
    assert_eq!(recovery.since, Some(Since::Inject));
}

#[test]
fn what_is_under_way_at_an_injection_is_that_injection_s_victim_and_what_is_overdue_is_not() {
    let two = |effects| {
        let mut sim = Sim { end: 40_000, effects, ..Sim::new(1) };
        sim.faults = vec![("kill-1", 6_000, None), ("kill-2", 20_000, None)];
        measured(&sim.fault_plans(vec![kill("kill-1", 0), kill("kill-2", 14)]))
    };
    // Not yet late when the second injection came.
    about(two(vec![(0, 6_000, 9_000), (0, 19_500, 26_000)]).ttr_s, 6.0);
    // Late before it.
    about(two(vec![(0, 18_000, 21_000)]).ttr_s, 15.0);
    // Begun and over shortly before it.
    about(two(vec![(0, 18_900, 19_950)]).ttr_s, 13.95);
}

#[test]
fn a_heal_while_another_fault_is_in_force_is_no_zero() {
    let mut sim = Sim { end: 30_000, sends: vec![(0, 6_000, 15_500)], ..Sim::new(1) };
    sim.faults = vec![("long", 6_000, Some(15_000)), ("short", 7_000, Some(8_000))];
    let recovery = measured(&sim.fault_plans(vec![cut("long", 0, 9), cut("short", 1, 1)]));
    about(recovery.ttr_s, 0.5);
}

#[test]
fn a_run_without_faults_is_measured_from_the_end_of_its_baseline() {
    let sim = Sim { faults: vec![], ..Sim::new(3) }.fault_plans(vec![]);
    let judgement = judged(&sim);
    assert_eq!(judgement.reasons, vec![]);
    let recovery = judgement.recovery.unwrap();
    assert_eq!((recovery.ttr_s, recovery.recovered, recovery.since), (Some(0.0), true, None));
}

#[test]
fn the_backlog_drains_when_it_is_back_at_the_baseline() {
    let recovery = measured(&Sim { effects: all(1, 6_000, 13_000), ..Sim::new(1) });
    about(recovery.drain_s, 3.0);
    assert_eq!(recovery.drained, Some(true));
    let recovery = measured(&Sim { effects: all(1, 6_000, u64::MAX), ..Sim::new(1) });
    assert_eq!((recovery.drain_s, recovery.drained), (None, Some(false)));
}

#[test]
fn the_first_telling_signal_after_the_fault_is_the_detection() {
    let mut sim = Sim { sends: all(1, 6_000, 10_500), ..Sim::new(1) };
    sim.signals = vec![
        ("breaker", 3_000, json!("open")),
        ("progress", 6_100, json!(1)),
        ("breaker", 6_200, json!("half-open")),
        ("breaker", 6_400, json!("open")),
        ("client-error", 6_300, json!({"code": -195})),
    ];
    let recovery = measured(&sim);
    about(recovery.detect_s, 0.3);
    assert_eq!(recovery.detections.len(), 2);
}

#[test]
fn without_a_signal_there_is_no_detection() {
    assert_eq!(measured(&Sim { sends: all(1, 6_000, 10_500), ..Sim::new(1) }).detect_s, None);
}

#[test]
fn recovery_after_the_new_leader_was_known_is_told_apart() {
    let mut sim = Sim { sends: all(1, 6_000, 14_600), faults: vec![("kill", 6_000, None)], ..Sim::new(1) };
    sim.signals = vec![("leader", 14_200, json!({"tp": "orders/0", "leader": 2, "epoch": 5}))];
    let recovery = measured(&sim.fault_plans(vec![kill("kill", 0)]));
    about(recovery.ttr_s, 8.6);
    about(recovery.after_leader_s, 0.4);
}

#[test]
fn an_unhealthy_baseline_is_inconclusive() {
    for (sends, away) in [(all(1, 3_000, 4_000), Away::Wait), (vec![(0, 3_000, 3_020)], Away::Fail)] {
        let sim = Sim { sends, away, faults: vec![], ..Sim::new(1) }.fault_plans(vec![]);
        let codes: Vec<String> = judged(&sim).reasons.into_iter().map(|reason| reason.code).collect();
        assert_eq!(codes, ["baseline-unhealthy"]);
    }
}

#[test]
fn a_full_cut_that_nobody_felt_is_inconclusive() {
    let judgement = judged(&Sim::new(2));
    let codes: Vec<&str> = judgement.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(codes, ["fault-without-effect"]);
    assert_eq!(judgement.faults[0].effect.ops_affected, 0);
    let felt = judged(&Sim { sends: all(2, 6_000, 6_200), ..Sim::new(2) });
    assert!(felt.faults[0].effect.ops_affected > 10);
    assert_eq!(felt.reasons, vec![]);
}

#[test]
fn a_planned_fault_that_never_came_is_inconclusive_and_fails_no_budget() {
    let judgement = judged(&since(Sim { faults: vec![], ..Sim::new(1) }, Since::Heal));
    let codes: Vec<&str> = judgement.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(codes, ["fault-without-effect", "recovery"]);
    assert_eq!(judgement.verdict, crate::verdict::Verdict::Inconclusive);
    assert!(judgement.budgets.iter().any(|row| row.metric == "recovery" && !row.met && row.undecided));
}

#[test]
fn a_lasting_slowness_is_unhealthy_though_most_are_on_time() {
    // One record in twenty late, for five seconds at 1 000 records a second.
    let hiccups = (10_000..15_000).step_by(20).map(|due| (0, due)).collect();
    let sim = Sim { every: 1, sends: all(1, 6_000, 9_000), hiccups, ..Sim::new(1) };
    let recovery = measured(&sim);
    assert!((recovery.ttr_s.unwrap() - 5.0).abs() < 0.1, "{:?}", recovery.ttr_s);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_recovery_is_measured_to_within_one_record(
        back in 10_000..14_000u64,
        every in prop_oneof![Just(4u64), Just(10), Just(25)],
        window in 300..2_000u64,
        fails in any::<bool>(),
        consumer in any::<bool>(),
        // Lone late records, more than a window apart, are the machine's noise.
        noise in prop::collection::btree_set(1..10u64, 0..8),
    ) {
        // A late record among the first ten after the return is no lone one: that share is not tolerated.
        let shaky = back..back + 10 * every;
        let hiccups = noise.into_iter().map(|at| (0, at * 2_100)).filter(|(_, due)| !shaky.contains(due)).collect();
        let away = if fails { Away::Fail } else { Away::Wait };
        let mut sim = Sim { every, hiccups, away, ..Sim::new(1) };
        let outage = all(1, 6_000, back);
        if consumer { sim.effects = outage } else { sim.sends = outage }
        sim.plan.observation.window = std::time::Duration::from_millis(window);
        let recovery = measured(&sim);
        let expected = (back - 10_000) as f64 / 1e3;
        let ttr = recovery.ttr_s.unwrap();
        // A record that was late just when service came back delays the next on-time one.
        let tolerance = 0.020 + 2.0 * every as f64 / 1e3;
        prop_assert!((ttr - expected).abs() <= tolerance, "{} instead of {}", ttr, expected);
        prop_assert!(recovery.recovered);
    }
}
