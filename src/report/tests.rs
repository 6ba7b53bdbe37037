//! What people and machines are told, against runs with a known outcome.

use super::*;
use crate::history::sim::Sim;
use crate::judge::judge;
use crate::plan::{BackendKind, Limit, Since};

/// A run with this story.
pub(super) fn of_sim(sim: &Sim) -> ScenarioResult {
    result(sim)
}

/// Back 1.3 s after the heal; the budget is 2 s.
pub(super) fn passing() -> ScenarioResult {
    result(&sim(11_300))
}

/// Back after 3 s.
pub(super) fn failing() -> ScenarioResult {
    result(&sim(13_000))
}

fn result(sim: &Sim) -> ScenarioResult {
    let history = sim.story().history();
    let backend = BackendInfo {
        kind: BackendKind::Containers,
        kafka_version: Some("4.1.0".into()),
        images: vec![],
        notes: vec![],
    };
    let context = ScenarioContext { repeat: 1, backend: Some(backend), ..ScenarioContext::default() };
    ScenarioResult::new(context, &history, judge(&history))
}

pub(super) fn sim(back: u64) -> Sim {
    let mut sim = Sim { sends: vec![(0, 6_000, back)], ..Sim::new(2) };
    sim.plan.budget.recovery = Some(Limit { within: std::time::Duration::from_secs(2), since: Some(Since::Heal) });
    sim
}

#[test]
fn a_pass_says_so_with_its_numbers() {
    insta::assert_snapshot!(scenario_block(&result(&sim(11_300)), "target/seaworthy/r1/story/1"));
}

#[test]
fn a_failure_names_the_promise_the_number_and_the_next_step() {
    insta::assert_snapshot!(scenario_block(&result(&sim(13_000)), "target/seaworthy/r1/story/1"));
}

#[test]
fn a_dark_topic_partition_is_named() {
    insta::assert_snapshot!(scenario_block(&result(&sim(u64::MAX)), "target/seaworthy/r1/story/1"));
}

#[test]
fn several_scenarios_are_a_table() {
    let (good, slow, dark) = (result(&sim(11_300)), result(&sim(13_000)), result(&sim(u64::MAX)));
    let untouched = result(&Sim::new(1));
    let all = [&good, &slow, &dark, &untouched];
    insta::assert_snapshot!(scenario_table(&all));
    insta::assert_snapshot!("summary", summary(&all, &[]));
}

#[test]
fn a_result_survives_its_json_and_keeps_unknown_fields() {
    let result = result(&sim(11_300));
    let mut json = serde_json::to_value(&result).unwrap();
    assert_eq!(serde_json::from_value::<ScenarioResult>(json.clone()).unwrap(), result);
    json["from_the_future"] = serde_json::json!({"x": 1});
    let read: ScenarioResult = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

#[test]
fn the_json_has_every_field_of_the_contract() {
    let json = serde_json::to_value(result(&sim(11_300))).unwrap();
    let has = |path: &str, names: &str| {
        let object = json.pointer(path).unwrap_or_else(|| panic!("{path}"));
        for name in names.split(',') {
            assert!(object.get(name).is_some(), "{path}/{name}");
        }
    };
    has(
        "",
        "schema_version,scenario,verdict,reasons,seed,repeat,started_at,duration_s,backend,phases,faults,integrity",
    );
    has("", "recovery,budgets,components,environment,fingerprint");
    has("/scenario", "name,path,sha256");
    has("/backend", "kind,kafka_version,images,notes");
    has("/phases/0", "name,start_s,end_s");
    has("/faults/0", "label,kind,target,resolved,inject_s,confirmed_s,heal_s,healed_s,effect");
    has("/faults/0/effect", "evidence,ops_affected");
    has("/integrity", "attempted,acked,indeterminate,failed,delivered,dead_lettered,lost,lost_in_log,lost_in_app");
    has("/integrity", "undetermined,duplicates_in_log,duplicate_effects,redelivered,reordered,unexpected,anomalies");
    has(
        "/recovery",
        "since,worst_scope,detect_s,first_success_s,outage_s,unavailable_s,lost_service_s,ttr_s,recovered",
    );
    has("/recovery", "lower_bound_s,relapses,drain_s,drained");
    has("/budgets/0", "metric,limit,measured,met");
    has("/components", "retry,breaker,dlq,alerts,metrics");
    has("/components/breaker", "transitions");
    has("/environment", "host,cpus,memory_bytes,os,seaworthy_version,git_commit");
    assert_eq!(json.pointer("/recovery/detect_s"), Some(&serde_json::Value::Null));
    assert_eq!(json.pointer("/budgets/1/since").unwrap(), "heal");
}

#[test]
fn junit_tells_failures_from_errors_and_is_well_formed_in_the_face_of_markup() {
    let (good, mut slow, untouched) = (passing(), failing(), result(&Sim::new(1)));
    slow.scenario.name = "a<b>&\"c\"\u{1b}".into();
    let gone = html::NotJudged { name: "gone".into(), error: "no engine\nat all".into() };
    let left = LeftOut { name: "far".into(), path: "far.toml".into(), reason: "no brokers to cut".into() };
    let xml = junit("run", &[&good, &slow, &untouched], &[gone], &[left]);
    let report = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((report.tests, report.failures, report.errors), (5, 1, 2));
    assert!(xml.contains(r#"<skipped message="no brokers to cut" type="backend">"#), "{xml}");
    let cases = &report.test_suites[0].test_cases;
    assert_eq!(cases[1].name.as_str(), "a<b>&\"c\"");
    assert!(xml.contains(r#"type="recovery""#) && xml.contains(r#"type="fault-without-effect""#), "{xml}");
    assert!(xml.contains(r#"message="no engine""#) && xml.contains("<property name=\"recovery\" value=\"3 s\"/>"));
    assert!(cases.iter().take(3).all(|case| case.system_out.is_some() && case.time.is_some()));
}

#[test]
fn a_summary_too_long_for_github_is_cut_and_says_so() {
    let (good, bad) = (passing(), failing());
    let many: Vec<&ScenarioResult> = (0..500).map(|at| if at % 2 == 0 { &good } else { &bad }).collect();
    let text = summary::within(&many, &[], 40_000);
    assert!(text.len() <= 40_000, "{}", text.len());
    assert!(text.contains("more rows did not fit") && text.contains("more did not fit: they are in `report.html`"));
    let whole = summary(&many, &[]);
    assert!(!whole.contains("did not fit") && whole.matches("### story: FAIL").count() == 250);
}

#[test]
fn a_summary_takes_nothing_for_markup() {
    let mut bad = failing();
    bad.reasons[0].message = "<img src=x> | [click](javascript:x) @team\n# big".into();
    let text = summary(&[&bad], &[]);
    assert!(text.contains("&lt;img src=x> | \\[click](javascript:x) @\u{200d}team # big"), "{text}");
}

#[test]
fn every_result_fits_its_schema_and_a_spoilt_one_does_not() {
    let validator = jsonschema::validator_for(&crate::report::schema()).unwrap();
    for sim in [sim(11_300), sim(13_000), sim(u64::MAX)] {
        let json = serde_json::to_value(result(&sim)).unwrap();
        let errors: Vec<_> = validator.iter_errors(&json).map(|e| format!("{}: {e}", e.instance_path)).collect();
        assert!(errors.is_empty(), "{errors:?}");
        for (field, value) in [("verdict", "perhaps"), ("integrity", "none"), ("duration_s", "long")] {
            let mut spoilt = json.clone();
            spoilt[field] = value.into();
            assert!(!validator.is_valid(&spoilt), "{field}");
        }
        let mut newer = json;
        newer["invented_later"] = 1.into();
        assert!(validator.is_valid(&newer), "a newer version's field");
    }
}
