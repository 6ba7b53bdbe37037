//! For a terminal: one scenario as a block, several as a table. Plain text; whoever prints it may colour it.

use std::fmt::Write;

use super::{ScenarioResult, phrase};
use crate::checker::{Finding, Severity};
use crate::verdict::Verdict;

/// One scenario's verdict with its numbers, the evidence, and the next step. `folder`: where its history is.
pub fn scenario_block(result: &ScenarioResult, folder: &str) -> String {
    let mut text = String::new();
    let ran = phrase::ran_on(result);
    let _ = writeln!(text, "{}  {}  ({ran})", phrase::verdict(result.verdict), result.scenario.name);
    for reason in &result.reasons {
        let _ = writeln!(text, "  {}: {}", reason.code, reason.message);
    }
    text.push('\n');
    let (kept, integrity) = phrase::integrity(result);
    let _ = writeln!(text, "  nothing acknowledged was lost   {:<8} {integrity}", kept.word());
    let (kept, recovery) = phrase::recovery(result);
    let _ = writeln!(text, "  service was back in time        {:<8} {recovery}", kept.word());
    text.push('\n');
    let _ = writeln!(text, "  records    {}", phrase::records(&result.integrity));
    if let Some(recovery) = &result.recovery {
        let _ = writeln!(text, "  recovery   {}", phrase::measures(recovery));
        for note in &recovery.notes {
            let _ = writeln!(text, "             note: {note}");
        }
    }
    labelled(&mut text, "budgets", result.budgets.iter().map(phrase::budget));
    labelled(&mut text, "faults", result.faults.iter().map(phrase::fault));
    let anomalies = result.integrity.anomalies.iter().flat_map(anomaly);
    labelled(&mut text, "anomalies", anomalies);
    labelled(&mut text, "notes", result.backend.iter().flat_map(|backend| backend.notes.iter().cloned()));
    let _ = writeln!(text, "  evidence   {folder}");
    if let Some(next) = next(result, folder) {
        let _ = writeln!(text, "  next       {next}");
    }
    text
}

/// The first line carries the label, the others stand below it.
fn labelled(text: &mut String, label: &str, lines: impl Iterator<Item = String>) {
    let mut label = label;
    for line in lines {
        let _ = writeln!(text, "  {label:<10} {line}");
        label = "";
    }
}

fn anomaly(finding: &Finding) -> Vec<String> {
    let weight = match finding.severity {
        Severity::Fatal => "broken promise",
        Severity::Inconclusive => "doubt",
        Severity::Counted => "counted",
    };
    let mut lines = vec![format!("{} ({weight}): {}", finding.kind, finding.message)];
    // What is only counted needs no hunting.
    if finding.severity != Severity::Counted {
        lines.extend(finding.examples.iter().map(|example| format!("  {}", phrase::example(example))));
        let more = finding.count.saturating_sub(finding.examples.len() as u64);
        if more > 0 && !finding.examples.is_empty() {
            lines.push(format!("  and {more} more"));
        }
    }
    lines
}

/// What a reader does next; nothing after a pass.
pub(super) fn next(result: &ScenarioResult, folder: &str) -> Option<String> {
    let reason = result.reasons.first()?;
    let step = match reason.code.as_str() {
        "undetermined" => {
            "raise observation.quiesce or observation.final-read, or look why the group stopped committing"
        }
        "final-read-truncated" => "look in logs/ whether every broker was back, or raise observation.final-read",
        "baseline-unhealthy" => "lengthen workload.warm-up, lower workload.rate, or look what else this machine does",
        "fault-without-effect" => "check the fault's target against the affected topic partitions in `seaworthy plan`",
        "heal-unconfirmed" => "look in logs/ at the proxy or the broker that did not come back",
        "no-traffic" => "look in logs/ why the subject served nothing",
        "expectation-not-met" => "make the fault longer or harder until what is expected must happen, or expect less",
        code if result.budgets.iter().any(|row| row.metric == code) => {
            return Some(format!(
                "look at `recovery.scopes` and `faults` in {folder}/result.json, then in logs/, for {code}"
            ));
        }
        _ => return Some(format!("seaworthy explain {}; then look for the ids above in {folder}", reason.code)),
    };
    Some(step.to_owned())
}

/// A line a scenario: verdict, the two promises, the first reason.
pub fn scenario_table(results: &[&ScenarioResult]) -> String {
    let width = results.iter().map(|r| phrase::title(r).chars().count()).max().unwrap_or(0).max(8);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<12}  {:<width$}  {:>8}  {:>9}  {:>9}  reason",
        "verdict", "scenario", "lost", "recovery", "outage"
    );
    for result in results {
        let reason =
            result.reasons.first().map_or(String::new(), |reason| format!("{}: {}", reason.code, reason.message));
        let [lost, recovery, outage] = phrase::cells(result);
        let line = format!(
            "{:<12}  {:<width$}  {lost:>8}  {recovery:>9}  {outage:>9}  {reason}",
            phrase::verdict(result.verdict),
            phrase::title(result),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let _ = writeln!(
        text,
        "{} passed, {} failed, {} inconclusive",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Inconclusive)
    );
    text
}

/// One line: the numbers that people look for first.
pub fn headline(result: &ScenarioResult) -> String {
    let lost = format!("{} lost of {} acknowledged", result.integrity.lost, result.integrity.acked);
    match result.reasons.first() {
        Some(reason) => format!("{lost}; {}", reason.message),
        None => match result.recovery.as_ref().and_then(|r| r.ttr_s).filter(|_| !result.faults.is_empty()) {
            Some(ttr) => format!("{lost}; recovery {}", crate::clock::text_seconds(ttr)),
            None => lost,
        },
    }
}
