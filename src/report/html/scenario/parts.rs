//! What a verdict rests on besides the measures: the ledger, the components, the machine, and how to look closer.

use maud::{Markup, html};

use crate::clock::text_seconds;
use crate::recovery::breaker_state;
use crate::report::ScenarioResult;
use crate::report::html::{PageEntry, link};
use crate::report::phrase::number;

pub(super) fn ledger(result: &ScenarioResult) -> Markup {
    let counts = &result.integrity;
    let rows = [
        ("attempted", counts.attempted, "distinct records that a send was begun for"),
        ("acknowledged", counts.acked, ""),
        ("indeterminate", counts.indeterminate, "may have happened: timed out in flight, or no outcome"),
        ("failed", counts.failed, "certainly did not happen"),
        ("with an effect", counts.effects, "distinct records in the output topic"),
        ("left out on purpose", counts.filtered, "acknowledged, with a key that the application drops"),
        ("dead-lettered", counts.dead_lettered, "distinct records in the dead-letter topic"),
        ("deliveries", counts.delivered, "to members, every one counted"),
        ("lost from the log", counts.lost_in_log, "acknowledged, and not in the log where the final read passed"),
        ("lost in the application", counts.lost_in_app, "in the log, committed past, without effect or dead letter"),
        ("undetermined", counts.undetermined, "acknowledged and not found, but nobody looked far enough"),
        ("duplicates in the log", counts.duplicates_in_log, ""),
        ("duplicate effects", counts.duplicate_effects, ""),
        ("redelivered", counts.redelivered, "normal under at-least-once"),
        ("reordered", counts.reordered, "first effects of a key out of order"),
        ("unexpected", counts.unexpected, "read, never attempted, or altered"),
        ("wrongly dead-lettered", counts.wrongly_dead_lettered, "good records in the dead-letter topic"),
    ];
    html! {
        h3 { "Ledger" }
        div.scroll tabindex="0" role="group" aria-label="Ledger" { table { tbody { @for (name, count, meaning) in rows {
            tr class=(if name.starts_with("lost") && count > 0 { "bad" } else if name == "undetermined" && count > 0 { "doubt" } else { "" }) {
                th scope="row" { (name) } td.n { (number(count)) } td.soft { (meaning) }
            }
        } } } }
    }
}

/// This many transitions and alerts are told one by one.
const MOST: usize = 40;

pub(super) fn components(result: &ScenarioResult) -> Markup {
    let parts = &result.components;
    let transitions = &parts.breaker.transitions;
    let value = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    html! {
        h3 { "Components" }
        dl.facts {
            dt { "retries" } dd { (number(parts.retry.retries)) }
            dt { "dead letters" } dd { (number(parts.dlq.records)) @if parts.dlq.incomplete > 0 { ", " (number(parts.dlq.incomplete)) " of them incomplete" } }
            dt { "breaker transitions" } dd { (transitions.len()) }
            dt { "alerts" } dd { (parts.alerts.len()) }
        }
        @if !transitions.is_empty() {
            details { summary { "Breaker transitions" } div.scroll tabindex="0" role="group" aria-label="Breaker transitions" { table {
                thead { tr { th.n scope="col" { "at" } th scope="col" { "actor" } th scope="col" { "to" } } }
                tbody { @for row in transitions.iter().take(MOST) { tr {
                    td.n { (format!("{:.3} s", row.t_s)) } td { (row.actor.as_deref().unwrap_or("")) }
                    td { (breaker_state(&row.value).unwrap_or("?")) }
                } } }
            } } (rest(transitions.len())) }
        }
        @if !parts.alerts.is_empty() {
            details open { summary { "Alerts" } div.scroll tabindex="0" role="group" aria-label="Alerts" { table {
                thead { tr { th.n scope="col" { "at" } th scope="col" { "actor" } th scope="col" { "alert" } } }
                tbody { @for row in parts.alerts.iter().take(MOST) { tr {
                    td.n { (format!("{:.3} s", row.t_s)) } td { (row.actor.as_deref().unwrap_or("")) } td.w { (value(&row.value)) }
                } } }
            } } (rest(parts.alerts.len())) }
        }
        @if !parts.metrics.is_empty() {
            details { summary { "Last metrics by actor" }
                pre tabindex="0" { (serde_json::to_string_pretty(&parts.metrics).unwrap_or_default()) }
            }
        }
    }
}

fn rest(count: usize) -> Markup {
    html! { @if count > MOST { p.soft { "and " (count - MOST) " more, in result.json" } } }
}

pub(super) fn environment(result: &ScenarioResult) -> Markup {
    let machine = &result.environment;
    let memory = machine.memory_bytes.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)));
    let known = [
        ("host", machine.host.clone()),
        ("processors", machine.cpus.map(|n| n.to_string())),
        ("memory", memory),
        ("system", machine.os.clone()),
        ("Seaworthy", machine.seaworthy_version.clone()),
        ("commit", machine.git_commit.clone()),
        ("fingerprint", result.fingerprint.clone()),
        ("scenario file", result.scenario.path.clone()),
        ("its SHA-256", result.scenario.sha256.clone()),
    ];
    html! {
        h3 { "Environment" }
        dl.facts {
            dt { "started" } dd { (result.started_at) ", took " (text_seconds(result.duration_s)) }
            @if let Some(backend) = &result.backend {
                dt { "backend" }
                dd { (backend.kind) @if let Some(version) = &backend.kafka_version { ", Kafka " (version) } }
                @for image in &backend.images {
                    dt { "image" } dd { (image.name) @if let Some(id) = &image.id { " " span.mono.soft { (id) } } }
                }
                @for note in &backend.notes { dt { "note" } dd { (note) } }
            }
            @for (name, value) in &known {
                @if let Some(value) = value { dt { (name) } dd { (value) } }
            }
        }
        @if !result.phases.is_empty() {
            details { summary { "Phases" } div.scroll tabindex="0" role="group" aria-label="Phases" { table {
                thead { tr { th scope="col" { "phase" } th.n scope="col" { "from" } th.n scope="col" { "to" } th.n scope="col" { "took" } } }
                tbody { @for phase in &result.phases { tr {
                    th scope="row" { (phase.name) } td.n { (format!("{:.3} s", phase.start_s)) } td.n { (format!("{:.3} s", phase.end_s)) }
                    td.n { (text_seconds(phase.end_s - phase.start_s)) }
                } } }
            } } }
        }
    }
}

pub(super) fn closer(entry: &PageEntry) -> Markup {
    let result = &entry.result;
    let path = result.scenario.path.as_deref();
    let folder = &entry.folder;
    html! {
        h3 { "How to look closer" }
        @match (path, result.run_seed) {
            (Some(path), Some(seed)) => {
                p { "Run it again, with the same draws:" }
                pre tabindex="0" { (command(path, seed.wrapping_add(u64::from(result.repeat.max(1)) - 1), &result.set)) }
            },
            _ => p { "The seed of this repeat was " (result.seed) ". This result does not say with what seed its run was started, so the command that repeats it is not known." },
        }
        @if !folder.is_empty() {
            p { "Judge the recording again, or draw it: " code { "seaworthy recheck " (shell(folder)) } ", " code { "seaworthy report " (shell(folder)) " -o report.html" } " (in the run folder)." }
            p { "Evidence: "
                @for (at, file) in ["result.json", "history.jsonl", "plan.toml", "logs/"].iter().enumerate() {
                    @if at > 0 { ", " }
                    a href=(link(&format!("{folder}/{file}"))) { (file) }
                }
                "."
            }
            @if !entry.logs.is_empty() {
                details { summary { "Logs (" (entry.logs.len()) ")" } ul.plain {
                    @for log in &entry.logs { li { a href=(link(&format!("{folder}/logs/{log}"))) { (log) } } }
                } }
            }
        }
    }
}

/// The command that makes the same draws again.
pub(super) fn command(path: &str, seed: u64, set: &[String]) -> String {
    let mut text = format!("seaworthy run {} --seed {seed}", shell(path));
    for change in set {
        text.push_str(&format!(" --set {}", shell(change)));
    }
    text
}

/// Quoted for a POSIX shell where it must be.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_survives_a_shell() {
        let set = vec!["workload.rate=5".to_owned(), "subject.client.\"a b\"='x'".to_owned()];
        let text = command("my scenarios/x.toml", 7, &set);
        assert_eq!(
            text,
            r#"seaworthy run 'my scenarios/x.toml' --seed 7 --set workload.rate=5 --set 'subject.client."a b"='\''x'\'''"#
        );
    }
}
