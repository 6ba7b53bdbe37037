//! `junit.xml`: one test case a scenario and repeat. A failure is a broken promise, an error a run that proved nothing.

use std::fmt::Write;

use super::{ScenarioResult, phrase, scenario_block};
use crate::verdict::Verdict;

/// All scenarios of a run as a JUnit test suite.
pub fn junit(run_id: &str, results: &[&ScenarioResult]) -> String {
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let (failures, errors) = (count(Verdict::Fail), count(Verdict::Inconclusive));
    let time: f64 = results.iter().map(|result| result.duration_s).sum();
    let totals = format!(r#"tests="{}" failures="{failures}" errors="{errors}" time="{time:.3}""#, results.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, r#"<testsuites name="seaworthy" {totals}>"#);
    let _ = writeln!(xml, r#"  <testsuite name="{}" {totals}>"#, escape(run_id));
    for result in results {
        let (name, time) = (escape(&phrase::title(result)), result.duration_s);
        let _ = write!(xml, r#"    <testcase classname="seaworthy" name="{name}" time="{time:.3}""#);
        let element = match result.verdict {
            Verdict::Pass => None,
            Verdict::Fail => Some("failure"),
            Verdict::Inconclusive => Some("error"),
        };
        match (element, result.reasons.first()) {
            (Some(element), reason) => {
                let kind = reason.map_or("", |reason| reason.code.as_str());
                let message = reason.map_or("", |reason| reason.message.as_str());
                let body = escape(&scenario_block(result, &format!("{}/{}", result.scenario.name, result.repeat)));
                let (kind, message) = (escape(kind), escape(message));
                let _ = writeln!(xml, ">\n      <{element} type=\"{kind}\" message=\"{message}\">{body}</{element}>");
                let _ = writeln!(xml, "    </testcase>");
            }
            (None, _) => xml.push_str("/>\n"),
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Markup escaped, and what XML 1.0 cannot hold left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}
