//! `summary.md`: the same for a pull request. The table first, then every scenario that did not pass.

use std::fmt::Write;

use super::html::NotJudged;
use super::{ScenarioResult, phrase};
use crate::checker::Severity;
use crate::verdict::Verdict;

/// GitHub takes a step summary of 1 MiB and shows none of a longer one. Room is left for what else the step says.
const LIMIT: usize = 900 * 1024;

/// All scenarios of a run in Markdown, cut off where GitHub would refuse it, and saying so.
pub fn summary(results: &[&ScenarioResult], not_judged: &[NotJudged]) -> String {
    within(results, not_judged, LIMIT)
}

pub(super) fn within(results: &[&ScenarioResult], not_judged: &[NotJudged], limit: usize) -> String {
    let mut text = String::new();
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let (passed, failed, open) = (count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Inconclusive));
    let unjudged = if not_judged.is_empty() { String::new() } else { format!(", {} not judged", not_judged.len()) };
    let _ = writeln!(text, "## Seaworthy: {passed} passed, {failed} failed, {open} inconclusive{unjudged}\n");
    let _ = writeln!(text, "| verdict | scenario | lost | recovery | outage | ran on |");
    let _ = writeln!(text, "|---|---|---:|---:|---:|---|");
    let errors =
        not_judged.iter().map(|one| format!("| NOT JUDGED | {} | | | | {} |\n", cell(&one.name), cell(&one.error)));
    // What did not pass comes first where not all can be shown.
    let worst_first = |wanted: bool| results.iter().filter(move |r| (r.verdict != Verdict::Pass) == wanted);
    let whole = results.len() * 400 < limit;
    let order: Vec<&&ScenarioResult> =
        if whole { results.iter().collect() } else { worst_first(true).chain(worst_first(false)).collect() };
    let mut left = order.len() + not_judged.len();
    let rows: Vec<String> = errors.chain(order.iter().map(|result| row(result))).collect();
    for row in &rows {
        // Half for the table, half for the details.
        if text.len() + row.len() > limit / 2 {
            break;
        }
        text.push_str(row);
        left -= 1;
    }
    if left > 0 {
        let _ = writeln!(text, "\n{left} more rows did not fit: they are in `report.html` and `run.json`.");
    }
    let bad: Vec<&&ScenarioResult> = results.iter().filter(|result| result.verdict != Verdict::Pass).collect();
    for (at, result) in bad.iter().enumerate() {
        let details = details(result);
        if text.len() + details.len() > limit - 200 {
            let _ = writeln!(text, "\nThe details of {} more did not fit: they are in `report.html`.", bad.len() - at);
            break;
        }
        text.push_str(&details);
    }
    text
}

fn row(result: &ScenarioResult) -> String {
    let [lost, recovery, outage] = phrase::cells(result);
    let (verdict, title) = (phrase::verdict(result.verdict), cell(&phrase::title(result)));
    let ran = cell(&phrase::ran_on(result));
    format!("| {verdict} | {title} | {lost} | {recovery} | {outage} | {ran} |\n")
}

fn details(result: &ScenarioResult) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\n### {}: {}\n", inline(&phrase::title(result)), phrase::verdict(result.verdict));
    for reason in &result.reasons {
        let _ = writeln!(text, "- **{}**: {}", inline(&reason.code), inline(&reason.message));
    }
    let (_, integrity) = phrase::integrity(result);
    let (_, recovery) = phrase::recovery(result);
    let _ = writeln!(text, "\nIntegrity: {}  \nRecovery: {}", inline(&integrity), inline(&recovery));
    for fault in &result.faults {
        let _ = writeln!(text, "- {}", inline(&phrase::fault(fault)));
    }
    let heavy = result.integrity.anomalies.iter().filter(|finding| finding.severity != Severity::Counted);
    for finding in heavy.filter(|finding| !finding.examples.is_empty()) {
        let _ = writeln!(text, "\n<details><summary>{}: {}</summary>\n", inline(&finding.kind), finding.count);
        for example in &finding.examples {
            let _ = writeln!(text, "- {}", inline(&phrase::example(example)));
        }
        let _ = writeln!(text, "\n</details>");
    }
    text
}

/// A pipe would end the cell.
fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// One line without markup of its own: what is in a name or a key must not become a tag, a link or a mention.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '`' | '[' | '*' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            // A zero-width joiner after it, and nobody is called.
            '@' => safe.push_str("@\u{200d}"),
            c => safe.push(c),
        }
    }
    safe
}
