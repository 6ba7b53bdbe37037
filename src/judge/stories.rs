//! Verdicts: what outweighs what, what a budget does, what an expectation does.

use std::time::Duration;

use serde_json::json;

use super::{Judgement, WatchedRow, judge};
use crate::budget::Amount;
use crate::clock::text_seconds;
use crate::history::sim::Sim;
use crate::history::story::Story;
use crate::plan::{Limit, Plan, Progress, ProgressOf, Since};
use crate::verdict::Verdict::{Fail, Inconclusive, Pass};

fn judged(story: &Story) -> Judgement {
    judge(&story.history())
}

fn codes(judgement: &Judgement) -> Vec<&str> {
    judgement.reasons.iter().map(|reason| reason.code.as_str()).collect()
}

/// A cut of four seconds on one topic partition, back 1.3 s after its heal.
fn sim(change: impl FnOnce(&mut Plan)) -> Sim {
    let mut sim = Sim { sends: vec![(0, 6_000, 11_300)], ..Sim::new(1) };
    change(&mut sim.plan);
    sim
}

fn within(seconds: f64) -> Option<Limit> {
    Some(Limit { within: Duration::from_secs_f64(seconds), since: None })
}

#[test]
fn a_run_that_kept_both_promises_passes_without_reasons() {
    let judgement = judged(&sim(|plan| plan.budget.recovery = within(2.0)).story());
    assert_eq!((judgement.verdict, codes(&judgement)), (Pass, vec![]));
    assert!(judgement.budgets.iter().all(|row| row.met));
    assert_eq!(judgement.budgets[1].since, Some(Since::Heal));
}

#[test]
fn a_missed_budget_fails_with_its_number() {
    let judgement = judged(&sim(|plan| plan.budget.recovery = within(1.0)).story());
    assert_eq!((judgement.verdict, codes(&judgement)), (Fail, vec!["recovery"]));
    assert_eq!(judgement.reasons[0].message, "1.3 s after the heal (orders/0 send); the budget is 1 s");
}

#[test]
fn each_limit_has_its_own_zero() {
    let judgement = judged(
        &sim(|plan| {
            plan.budget.recovery = Some(Limit { within: Duration::from_secs(2), since: Some(Since::Heal) });
            plan.budget.first_success = Some(Limit { within: Duration::from_secs(2), since: Some(Since::Inject) });
            plan.budget.outage = within(6.0);
        })
        .story(),
    );
    let met: Vec<(&str, bool)> = judgement.budgets.iter().map(|row| (row.metric.as_str(), row.met)).collect();
    assert_eq!(met, [("lost", true), ("recovery", true), ("first-success", false), ("outage", true)]);
}

#[test]
fn a_value_that_never_came_fails_its_budget() {
    let judgement = judged(&sim(|plan| plan.budget.detect = within(1.0)).story());
    assert_eq!((judgement.verdict, codes(&judgement)), (Fail, vec!["detect"]));
    assert_eq!((judgement.budgets[1].measured, judgement.budgets[1].met), (None, false));
}

#[test]
fn an_outage_that_is_still_open_meets_no_budget() {
    let mut sim = sim(|plan| plan.budget.outage = within(60.0));
    sim.sends = vec![(0, 6_000, u64::MAX)];
    assert_eq!(codes(&judged(&sim.story())), ["outage"]);
}

#[test]
fn a_backlog_that_never_drains_fails_its_budget() {
    let mut sim = sim(|plan| plan.budget.drain = within(60.0));
    sim.effects = vec![(0, 6_000, 25_000)];
    let judgement = judged(&sim.story());
    let row = judgement.budgets.iter().find(|row| row.metric == "drain").unwrap();
    assert_eq!((row.met, row.measured), (false, None));
}

#[test]
fn counts_have_budgets_of_their_own() {
    let mut plan = crate::history::story::plan();
    plan.faults.clear();
    plan.budget.duplicates = Some(1);
    plan.budget.redelivered = Some(0);
    plan.budget.dead_lettered = Some(0);
    let story = Story::new().served("1", 0).served("2", 1).log("2", 2).effect("2", 2).effect("2", 3).deliver("1", 0);
    let judgement = judged(&story.end().planned(plan));
    let rows: Vec<_> = judgement.budgets.iter().map(|row| (row.metric.as_str(), row.measured, row.met)).collect();
    // Two surplus effects, one of them because of the duplicate in the log: two, not three.
    let count = |n| Some(Amount::Count(n));
    assert_eq!(
        rows,
        [
            ("lost", count(0), true),
            ("duplicates", count(2), false),
            ("redelivered", count(1), false),
            ("dead-lettered", count(0), true)
        ]
    );
}

#[test]
fn a_failure_outweighs_a_doubt_and_comes_first() {
    let mut story = Story::new().served("1", 0).invoke("2").ok("2", 1).served("3", 2).end();
    story.truncated = true;
    let judgement = judged(&story);
    assert_eq!((judgement.verdict, codes(&judgement)), (Fail, vec!["lost-in-log", "history-truncated"]));
    let mut story = Story::new().served("1", 0).end();
    story.truncated = true;
    assert_eq!(judged(&story).verdict, Inconclusive);
}

#[test]
fn what_is_only_counted_leaves_a_pass_a_pass() {
    let judgement = judged(&Story::new().served("1", 0).effect("1", 1).end());
    assert_eq!((judgement.verdict, judgement.integrity.duplicate_effects), (Pass, 1));
    assert_eq!(judgement.integrity.anomalies.len(), 1);
}

#[test]
fn lost_is_undecided_while_fates_are_open() {
    let mut plan = crate::history::story::plan();
    plan.faults.clear();
    let story = Story::new().served("1", 0).invoke("2").ok("2", 1).log("2", 1).commit("group", 1).reads();
    let judgement = judged(&story.planned(plan));
    let lost = &judgement.budgets[0];
    assert_eq!((lost.measured, lost.met, lost.undecided), (None, false, true));
    assert_eq!(judgement.verdict, Inconclusive);
}

#[test]
fn without_a_plan_integrity_alone_is_judged() {
    let judgement = judged(&Story::new().served("1", 0).end());
    assert_eq!(judgement.verdict, Pass);
    assert!(judgement.recovery.is_none() && judgement.budgets.is_empty());
}

fn breaker(states: &[(&str, &str)]) -> Judgement {
    let mut sim = sim(|plan| plan.expect.breaker = ["open", "half-open", "closed"].map(Into::into).to_vec());
    sim.sends = vec![(0, 6_000, 11_300)];
    let mut story = sim.story();
    for (at, (actor, state)) in states.iter().enumerate() {
        story = story.at(7_000 + at as u64).signal(actor, "breaker", json!(state));
    }
    judged(&story)
}

#[test]
fn an_expected_breaker_must_go_through_its_states_in_one_member() {
    let whole = [("a", "open"), ("a", "half-open"), ("a", "open"), ("a", "half-open"), ("a", "closed")];
    assert_eq!(breaker(&whole).verdict, Pass);
    let split = breaker(&[("a", "open"), ("b", "half-open"), ("b", "closed")]);
    assert_eq!((split.verdict, codes(&split)), (Inconclusive, vec!["expectation-not-met"]));
    assert_eq!(split.reasons[0].message, "expected a breaker to go through open, half-open, closed: saw open");
    assert_eq!(split.components.breaker.transitions.len(), 3);
}

/// What speaks against a run with these alerts (time, member, kind, status).
fn with_alerts(change: impl FnOnce(&mut Plan), alerts: &[(u64, &str, &str, &str)]) -> Vec<String> {
    let mut story = sim(change).story();
    for (at, actor, kind, status) in alerts {
        story = story.at(*at).signal(actor, "alert", json!({"kind": kind, "status": status, "severity": "critical"}));
    }
    judged(&story).reasons.into_iter().map(|reason| format!("{}: {}", reason.code, reason.message)).collect()
}

#[test]
fn an_expected_alert_must_fire_in_some_member() {
    let alerts = |alerts: &[_]| with_alerts(|plan| plan.expect.alerts = vec!["error-rate".into()], alerts);
    assert!(alerts(&[(7_000, "b", "error-rate", "firing")]).is_empty());
    let other = alerts(&[(7_000, "b", "dead-letters", "firing"), (8_000, "b", "error-rate", "resolved")]);
    assert_eq!(other, ["expectation-not-met: expected the alert error-rate to fire: no member told of it"]);
}

#[test]
fn an_alert_that_is_to_be_resolved_must_be_in_the_member_where_it_fired() {
    let alerts = |alerts: &[_]| with_alerts(|plan| plan.expect.alerts_resolved = vec!["error-rate".into()], alerts);
    let fired = (7_000, "a", "error-rate", "firing");
    assert!(alerts(&[fired, (7_100, "b", "error-rate", "firing"), (9_000, "a", "error-rate", "resolved")]).is_empty());
    let open =
        "expectation-not-met: expected the alert error-rate to fire and be resolved: it fired and was not resolved";
    assert_eq!(alerts(&[fired]), [open]);
    assert_eq!(alerts(&[fired, (9_000, "b", "error-rate", "resolved")]), [open], "another member's");
    assert_eq!(alerts(&[(6_500, "a", "error-rate", "resolved"), fired]), [open], "an older one's");
    assert!(alerts(&[])[0].ends_with("it did not fire"));
}

#[test]
fn expected_retries_are_counted_over_all_members() {
    let run = |count: u64| {
        let mut story = sim(|plan| plan.expect.retries = Some(3)).story();
        for number in 0..count {
            story = story.at(7_000 + number).signal(["a", "b"][number as usize % 2], "retry", json!({}));
        }
        judged(&story)
    };
    assert_eq!(run(3).verdict, Pass);
    let few = run(2);
    assert_eq!((few.verdict, codes(&few)), (Inconclusive, vec!["expectation-not-met"]));
    assert_eq!(few.reasons[0].message, "expected at least 3 retries, saw 2");
}

#[test]
fn a_named_metric_must_reach_its_value_in_some_one_member() {
    let run = |values: &[(&str, f64)]| {
        let mut story = sim(|plan| plan.expect.signals = [("retries".to_owned(), 3)].into()).story();
        for (number, (actor, value)) in values.iter().enumerate() {
            let value = json!({ "name": "retries", "value": value });
            story = story.at(7_000 + number as u64).signal(actor, "metric", value);
        }
        judged(&story)
    };
    let message = |judgement: Judgement| judgement.reasons.first().map(|reason| reason.message.clone());
    assert_eq!(message(run(&[("a", 0.0), ("a", 3.0), ("a", 1.0)])), None);
    let split = "expected the signal retries to reach 3: the greatest value was 2";
    assert_eq!(message(run(&[("a", 2.0), ("b", 1.0)])).as_deref(), Some(split));
    let silent = "expected the signal retries to reach 3: no member exposed it";
    assert_eq!(message(run(&[])).as_deref(), Some(silent));
    let rows = run(&[("b", 2.0), ("a", 4.0), ("b", 1.0)]).components.signals;
    let row = |actor: &str, least, greatest, last| WatchedRow {
        name: "retries".to_owned(),
        actor: actor.to_owned(),
        least,
        greatest,
        last,
    };
    assert_eq!(rows, [row("a", 4.0, 4.0, 4.0), row("b", 1.0, 2.0, 1.0)]);
}

#[test]
fn expected_error_classes_must_stand_in_the_dead_letters() {
    let run = |classes: &[&str]| {
        let mut story = sim(|plan| plan.expect.dead_letter_errors = vec!["non-retriable".into()]).story();
        for (offset, class) in classes.iter().enumerate() {
            story = story.dead_of("no-such-record", offset as i64, class);
        }
        let judgement = judged(&story);
        let missed = judgement.reasons.iter().find(|reason| reason.code == "expectation-not-met");
        (missed.map(|reason| reason.message.clone()), judgement.components.dlq.error_classes)
    };
    let (missed, counts) = run(&["retriable", "non-retriable", "non-retriable"]);
    assert_eq!((missed, counts["non-retriable"], counts["retriable"]), (None, 2, 1));
    let text = |found: &str| Some(format!("expected dead letters of non-retriable errors: found {found}"));
    assert_eq!(run(&["retriable"]).0, text("retriable"));
    assert_eq!(run(&[]).0, text("none at all"));
}

#[test]
fn expected_dead_letters_must_come() {
    let judgement = judged(&sim(|plan| plan.expect.dead_letters = Some(3)).story());
    assert_eq!((judgement.verdict, codes(&judgement)), (Inconclusive, vec!["expectation-not-met"]));
}

#[test]
fn times_are_short_and_exact() {
    let texts: Vec<String> = [0.0, 0.0123, 0.9996, 1.0, 1.3, 9.876, 12.34, 60.0].map(text_seconds).to_vec();
    assert_eq!(texts, ["0 s", "12 ms", "1 s", "1 s", "1.3 s", "9.88 s", "12.3 s", "60 s"]);
}

#[test]
fn progress_during_a_fault_is_counted_a_topic_partition_and_is_a_least() {
    let run = |records, of| {
        let mut sim = Sim { sends: vec![(0, 6_000, 11_000)], ..Sim::new(3) };
        sim.plan.budget.progress_during_fault = Some(Progress { records, of });
        judged(&sim.story())
    };
    let all = run(10, ProgressOf::All);
    let made = all.recovery.as_ref().unwrap().progress.clone().unwrap();
    assert_eq!((made.least, made.least_scope.as_str()), (0, "orders/0 send"));
    assert!((395..=401).contains(&made.most), "{made:?}");
    assert_eq!(all.verdict, Fail);
    assert_eq!(all.reasons[0].code, "progress-during-fault");
    assert_eq!(all.reasons[0].message, "0 (orders/0 send); the budget is at least 10");
    let any = run(390, ProgressOf::Any);
    assert_eq!((any.verdict, any.budgets[1].met), (Pass, true), "{:?}", any.reasons);
    assert_eq!(run(402, ProgressOf::Any).verdict, Fail);
}

#[test]
fn every_budget_of_the_format_is_read_measured_judged_and_reported() {
    let text = r#"
        name = "x"
        fault = [{ at = "0s", lasts = "4s", label = "cut", network = { cut = { leader-of = "orders/0" } } }]
        [budget]
        lost = 0
        duplicates = 0
        redelivered = 9
        reordered = 0
        dead-lettered = 0
        recovery = { within = "2s", since = "heal" }
        first-success = "4s"
        outage = "9s"
        drain = "5s"
        detect = "3s"
        progress-during-fault = { records = 100, of = "any" }
    "#;
    let source = crate::diagnostic::Source::new("x.toml", text);
    let (plan, _) = crate::scenario::parse(&source).unwrap();
    let mut sim = Sim { sends: vec![(0, 6_000, 11_300)], effects: vec![(0, 6_000, 13_000)], ..Sim::new(3) };
    sim.plan.budget = plan.budget;
    sim.signals = vec![("client-error", 6_500, json!("broken pipe"))];
    let judgement = judged(&sim.story());
    assert_eq!(codes(&judgement), ["recovery"], "the effects took 3 s");
    let names: Vec<&str> = judgement.budgets.iter().map(|row| row.metric.as_str()).collect();
    let mut expected = vec!["lost", "duplicates", "redelivered", "reordered", "dead-lettered", "progress-during-fault"];
    expected.extend(["recovery", "first-success", "outage", "drain", "detect"]);
    assert_eq!(names, expected);
    for row in &judgement.budgets {
        assert!(row.measured.is_some() && row.met == (row.metric != "recovery"), "{row:?}");
        assert!(row.sentence().contains("the budget is"), "{row:?}");
    }
    // Each alone is broken by a tighter limit.
    let tight = |change: fn(&mut crate::plan::BudgetPlan)| {
        let mut tight = sim.clone();
        tight.plan.budget.recovery = within(4.0);
        change(&mut tight.plan.budget);
        judged(&tight.story())
    };
    assert_eq!(tight(|_| ()).verdict, Pass);
    for (name, judgement) in [
        ("first-success", tight(|budget| budget.first_success = within(1.0))),
        ("outage", tight(|budget| budget.outage = within(5.0))),
        ("drain", tight(|budget| budget.drain = within(1.0))),
        ("detect", tight(|budget| budget.detect = within(0.4))),
        (
            "progress-during-fault",
            tight(|budget| budget.progress_during_fault = Some(Progress { records: 402, of: ProgressOf::Any })),
        ),
    ] {
        assert_eq!((judgement.verdict, codes(&judgement)), (Fail, vec![name]));
    }
}
