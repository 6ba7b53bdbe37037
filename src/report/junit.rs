//! `junit.xml`, as CI systems read it: one test case a scenario and repeat.
//!
//! A `failure` is a broken promise. An `error` is a scenario that proved nothing: inconclusive, or never run to a verdict.
//! `skipped` is what the backend cannot carry: it was never to be run here, and its message says why.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::html::NotJudged;
use super::{LeftOut, ScenarioResult, phrase, scenario_block};
use crate::verdict::Verdict;

/// All scenarios of a run as a JUnit test suite.
pub fn junit(run_id: &str, results: &[&ScenarioResult], not_judged: &[NotJudged], left_out: &[LeftOut]) -> String {
    let mut suite = TestSuite::new("seaworthy");
    suite.add_property(Property::new("run", run_id));
    if let Some(backend) = results.first().and_then(|result| result.backend.as_ref()) {
        suite.add_property(Property::new("backend", backend.kind.to_string()));
        suite.add_property(Property::new("kafka", backend.kafka_version.as_deref().unwrap_or("unknown")));
    }
    suite.add_test_cases(results.iter().map(|result| case(result)));
    for NotJudged { name, error } in not_judged {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("environment").set_message(first_line(error)).set_description(error.as_str());
        suite.add_test_case(test_case(name, status));
    }
    for LeftOut { name, path, reason } in left_out {
        let mut status = TestCaseStatus::skipped();
        status.set_type("backend").set_message(first_line(reason)).set_description(format!("{path}: {reason}"));
        suite.add_test_case(test_case(name, status));
    }
    let time: f64 = results.iter().map(|result| result.duration_s).sum();
    suite.set_time(Duration::from_secs_f64(time.max(0.0)));
    let mut report = Report::new("seaworthy");
    report.set_time(Duration::from_secs_f64(time.max(0.0)));
    report.add_test_suite(suite);
    // Only a writer can fail, and this one is memory.
    report.to_string().unwrap_or_default()
}

fn case(result: &ScenarioResult) -> TestCase {
    let folder = format!("{}/{}", result.scenario.name, result.repeat);
    let block = scenario_block(result, &folder);
    let mut status = match result.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if result.verdict != Verdict::Pass {
        if let Some(reason) = result.reasons.first() {
            status.set_type(reason.code.as_str()).set_message(first_line(&reason.message));
        }
        status.set_description(block.as_str());
    }
    let mut case = test_case(&phrase::title(result), status);
    case.set_time(Duration::from_secs_f64(result.duration_s.max(0.0)));
    let [lost, recovery, outage] = phrase::cells(result);
    let properties = [
        ("verdict", phrase::verdict(result.verdict).to_owned()),
        ("seed", result.seed.to_string()),
        ("lost", lost),
        ("recovery", recovery),
        ("outage", outage),
    ];
    properties.into_iter().for_each(|(name, value)| {
        case.add_property(Property::new(name, value));
    });
    case.set_system_out(block);
    case
}

fn test_case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(XmlString::new("seaworthy"));
    case
}

/// An attribute has no lines.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
