//! The sentences that text and Markdown share: short, exact, with the number.

use super::ScenarioResult;
use crate::budget::BudgetRow;
use crate::checker::Example;
use crate::clock::text_seconds;
use crate::judge::Integrity;
use crate::plan::Since;
use crate::recovery::{FaultRow, Recovery};
use crate::verdict::Verdict;

/// How a promise came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    No,
    Unknown,
    /// Nobody promised it.
    NotPromised,
}

impl Kept {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "NO",
            Self::Unknown => "unknown",
            Self::NotPromised => "-",
        }
    }
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

/// The scenario's name, and which repeat where there are several.
pub(super) fn title(result: &ScenarioResult) -> String {
    match result.repeat {
        0 | 1 => result.scenario.name.clone(),
        repeat => format!("{} #{repeat}", result.scenario.name),
    }
}

pub(super) fn ran_on(result: &ScenarioResult) -> String {
    let mut parts = Vec::new();
    if let Some(backend) = &result.backend {
        let version = backend.kafka_version.as_ref().map_or(String::new(), |version| format!(", Kafka {version}"));
        parts.push(format!("{}{version}", backend.kind));
    }
    parts.push(text_seconds(result.duration_s));
    parts.push(format!("seed {}", result.seed));
    parts.join(", ")
}

/// The first promise.
pub(super) fn integrity(result: &ScenarioResult) -> (Kept, String) {
    let counts = &result.integrity;
    let acked = number(counts.acked);
    let limit = result.budgets.iter().find(|row| row.metric == "lost").and_then(|row| match row.limit {
        crate::budget::Amount::Count(limit) if limit > 0 => Some(limit),
        _ => None,
    });
    let allowed = limit.map_or(String::new(), |limit| format!(", {limit} allowed"));
    let open = match counts.undetermined {
        0 => String::new(),
        open => format!("; the fate of {} is undetermined", number(open)),
    };
    if counts.lost > 0 {
        let (log, app) = (number(counts.lost_in_log), number(counts.lost_in_app));
        let kept = if limit.is_some_and(|limit| counts.lost <= limit) { Kept::Yes } else { Kept::No };
        let lost = number(counts.lost);
        return (
            kept,
            format!("{lost} lost of {acked} acknowledged: {log} from the log, {app} in the application{allowed}{open}"),
        );
    }
    let kept = match (counts.undetermined, counts.acked) {
        (0, 1..) if !doubted(result) => Kept::Yes,
        _ => Kept::Unknown,
    };
    (kept, format!("0 seen lost of {acked} acknowledged{allowed}{open}"))
}

/// The last look did not see everything, or there was nothing to see.
fn doubted(result: &ScenarioResult) -> bool {
    let doubts = ["no-traffic", "final-read-truncated", "history-truncated"];
    result.reasons.iter().any(|reason| doubts.contains(&reason.code.as_str()))
}

/// The second promise.
pub(super) fn recovery(result: &ScenarioResult) -> (Kept, String) {
    let budget = result.budgets.iter().find(|row| row.metric == "recovery");
    let Some(recovery) = &result.recovery else {
        return (Kept::NotPromised, "not judged: the history has no plan".into());
    };
    let zero = since(recovery.since);
    let place = recovery.worst_scope.as_ref().map_or(String::new(), |scope| format!(", slowest in {scope}"));
    let measured = match (recovery.ttr_s, recovery.lower_bound_s) {
        (Some(0.0), _) => format!("never unhealthy{zero}"),
        (Some(ttr), _) => format!("{}{zero}{place}", text_seconds(ttr)),
        (None, Some(bound)) => format!("not within {}{zero}{place}", text_seconds(bound)),
        (None, None) => "not measured".to_owned(),
    };
    match budget {
        None => (Kept::NotPromised, format!("{measured}; no budget")),
        Some(row) => {
            let kept = match (row.met, row.undecided) {
                (true, _) => Kept::Yes,
                (false, true) => Kept::Unknown,
                (false, false) => Kept::No,
            };
            (kept, format!("{measured}; budget {}", row.limit))
        }
    }
}

fn since(since: Option<Since>) -> &'static str {
    match since {
        Some(Since::Inject) => " after the injection",
        Some(Since::Heal) => " after the heal",
        None => " after the baseline",
    }
}

pub(super) fn records(counts: &Integrity) -> String {
    let mut parts = vec![
        format!("{} attempted", number(counts.attempted)),
        format!("{} acknowledged", number(counts.acked)),
        format!("{} indeterminate", number(counts.indeterminate)),
        format!("{} failed", number(counts.failed)),
        format!("{} with an effect", number(counts.effects)),
        format!("{} dead-lettered", number(counts.dead_lettered)),
    ];
    let extra = [
        (counts.filtered, "left out on purpose"),
        (counts.duplicates_in_log, "duplicates in the log"),
        (counts.duplicate_effects, "duplicate effects"),
        (counts.redelivered, "redelivered"),
        (counts.reordered, "reordered"),
    ];
    parts.extend(extra.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))));
    parts.join(", ")
}

pub(super) fn measures(recovery: &Recovery) -> String {
    let time = |value: Option<f64>| value.map_or("not measured".to_owned(), text_seconds);
    let ttr = match (recovery.ttr_s, recovery.lower_bound_s) {
        (None, Some(bound)) => format!("> {}", text_seconds(bound)),
        (ttr, _) => time(ttr),
    };
    let outage = if recovery.outage_open { ">= " } else { "" };
    let mut parts = vec![
        format!("recovery {ttr}"),
        format!("outage {outage}{}", time(recovery.outage_s)),
        format!("first success {}", time(recovery.first_success_s)),
        format!("unavailable {}", time(recovery.unavailable_s)),
        format!("lost service {}", time(recovery.lost_service_s)),
    ];
    parts.extend(recovery.detect_s.map(|s| format!("detected after {}", text_seconds(s))));
    parts.extend(recovery.drained.map(|drained| match (drained, recovery.drain_s) {
        (true, Some(s)) => format!("drained after {}", text_seconds(s)),
        _ => "backlog not drained".to_owned(),
    }));
    parts.extend(recovery.after_leader_s.map(|s| format!("{} after the new leader was known", text_seconds(s))));
    parts.extend(recovery.relapses.filter(|n| *n > 0).map(|n| format!("{n} relapses")));
    parts.join(", ")
}

pub(super) fn budget(row: &BudgetRow) -> String {
    let mark = match (row.met, row.undecided) {
        (true, _) => "met",
        (false, true) => "unknown",
        (false, false) => "MISSED",
    };
    format!("{mark:<8} {}: {}", row.metric, row.sentence())
}

pub(super) fn fault(row: &FaultRow) -> String {
    let aim = match (&row.target, &row.resolved) {
        (Some(target), Some(resolved)) if target != resolved => format!(" on {target} = {resolved}"),
        (Some(one), _) | (None, Some(one)) => format!(" on {one}"),
        (None, None) => String::new(),
    };
    let time = |s: f64| format!("{s:.1} s");
    let span = match (row.confirmed_s.or(row.inject_s), row.healed_s.or(row.heal_s)) {
        (Some(from), Some(to)) => format!("{} to {}", time(from), time(to)),
        (Some(from), None) => format!("from {}", time(from)),
        (None, _) => "never injected".to_owned(),
    };
    let evidence = row.effect.evidence.as_ref().map_or(String::new(), |evidence| format!("; {evidence}"));
    format!(
        "{} ({}{aim}), {span}: {} operations affected{evidence}",
        row.label,
        row.kind,
        number(row.effect.ops_affected)
    )
}

pub(super) fn example(example: &Example) -> String {
    let mut parts = Vec::new();
    parts.extend(example.id.as_ref().map(|id| format!("id {id:?}")));
    parts.extend(example.key.as_ref().map(|key| format!("key {key:?}")));
    let offsets: Vec<String> = example.offsets.iter().map(ToString::to_string).collect();
    match (&example.tp, offsets.is_empty()) {
        (Some(tp), true) => parts.push(tp.clone()),
        (Some(tp), false) => parts.push(format!("{tp} offset {}", offsets.join(", "))),
        (None, _) => {}
    }
    parts.extend(example.sent_s.map(|s| format!("sent {s:.3} s")));
    parts.extend(example.acked_s.map(|s| format!("acknowledged {s:.3} s")));
    if !example.faults.is_empty() {
        parts.push(format!("during {}", example.faults.join(", ")));
    }
    let note = if example.note.is_empty() { String::new() } else { example.note.clone() };
    if parts.is_empty() {
        return note;
    }
    if note.is_empty() { parts.join(", ") } else { format!("{}: {note}", parts.join(", ")) }
}

/// Lost, recovery and outage for a table.
pub(super) fn cells(result: &ScenarioResult) -> [String; 3] {
    let lost = match integrity(result) {
        (Kept::Unknown, _) => "?".to_owned(),
        _ => number(result.integrity.lost),
    };
    let Some(recovery) = &result.recovery else { return [lost, "-".into(), "-".into()] };
    let ttr = match (recovery.ttr_s, recovery.lower_bound_s) {
        (Some(s), _) => text_seconds(s),
        (None, Some(bound)) => format!("> {}", text_seconds(bound)),
        (None, None) => "-".to_owned(),
    };
    let open = if recovery.outage_open { ">= " } else { "" };
    let outage = recovery.outage_s.map_or("-".to_owned(), |s| format!("{open}{}", text_seconds(s)));
    [lost, ttr, outage]
}

/// In groups of three: 18 990.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
