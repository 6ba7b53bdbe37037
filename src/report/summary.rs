//! `summary.md`: the same for a pull request. The table first, then every scenario that did not pass.

use std::fmt::Write;

use super::{ScenarioResult, phrase};
use crate::checker::Severity;
use crate::verdict::Verdict;

/// All scenarios of a run in Markdown.
pub fn summary(results: &[&ScenarioResult]) -> String {
    let mut text = String::new();
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let (passed, failed, open) = (count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Inconclusive));
    let _ = writeln!(text, "## Seaworthy: {passed} passed, {failed} failed, {open} inconclusive\n");
    let _ = writeln!(text, "| verdict | scenario | lost | recovery | outage | ran on |");
    let _ = writeln!(text, "|---|---|---:|---:|---:|---|");
    for result in results {
        let [lost, recovery, outage] = phrase::cells(result);
        let (verdict, title) = (phrase::verdict(result.verdict), cell(&phrase::title(result)));
        let ran = cell(&phrase::ran_on(result));
        let _ = writeln!(text, "| {verdict} | {title} | {lost} | {recovery} | {outage} | {ran} |");
    }
    for result in results.iter().filter(|result| result.verdict != Verdict::Pass) {
        let _ = writeln!(text, "\n### {}: {}\n", phrase::title(result), phrase::verdict(result.verdict));
        for reason in &result.reasons {
            let _ = writeln!(text, "- **{}**: {}", reason.code, reason.message);
        }
        let (_, integrity) = phrase::integrity(result);
        let (_, recovery) = phrase::recovery(result);
        let _ = writeln!(text, "\nIntegrity: {integrity}  \nRecovery: {recovery}");
        for fault in &result.faults {
            let _ = writeln!(text, "- {}", phrase::fault(fault));
        }
        let heavy = result.integrity.anomalies.iter().filter(|finding| finding.severity != Severity::Counted);
        for finding in heavy.filter(|finding| !finding.examples.is_empty()) {
            let _ = writeln!(text, "\n<details><summary>{}: {}</summary>\n", finding.kind, finding.count);
            for example in &finding.examples {
                let _ = writeln!(text, "- {}", phrase::example(example));
            }
            let _ = writeln!(text, "\n</details>");
        }
    }
    text
}

/// A pipe would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
