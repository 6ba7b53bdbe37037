//! One repeat of one scenario: the verdict and its reasons first, then what they rest on.

use maud::{Markup, html};

use super::{PageEntry, figure, prose, verdict_class};
use crate::budget::{Amount, BudgetRow};
use crate::checker::{Example, Finding, Severity};
use crate::clock::text_seconds;
use crate::recovery::{FaultRow, Part, Recovery};
use crate::report::phrase::{self, Kept, number};
use crate::report::{ScenarioResult, next};
use crate::verdict::Verdict;

mod parts;

/// Everything about one repeat.
pub(super) fn section(entry: &PageEntry, id: &str, several: bool) -> Markup {
    let result = &entry.result;
    let title =
        if several { format!("{} #{}", result.scenario.name, result.repeat) } else { result.scenario.name.clone() };
    html! {
        section.scenario id=(id) aria-labelledby=(format!("{id}-title")) {
            h2 id=(format!("{id}-title")) { (chip(result.verdict)) " " (title) }
            @if let Some(summary) = entry.summary.as_ref().filter(|text| !text.is_empty()) { p.soft { (summary) } }
            (verdict(result, &entry.folder))
            h3 { "Budgets" }
            (budgets(&result.budgets))
            h3 { "Timeline" }
            @match (&entry.timeline, &entry.missing) {
                (Some(line), _) => (figure::figure(result, line, id)),
                (None, Some(why)) => p { "No picture: " (why) "." },
                (None, None) => p { "No picture: this page holds the pictures of the most telling repeats only. “How to look closer” below has the command that draws this one." },
            }
            @if let Some(recovery) = &result.recovery { (measures(recovery)) }
            h3 { "Faults" }
            (faults(&result.faults))
            (parts::ledger(result))
            (anomalies(&result.integrity.anomalies))
            (parts::components(result))
            (parts::environment(result))
            (parts::closer(entry))
        }
    }
}

pub(super) fn chip(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Pass => "✓",
        Verdict::Inconclusive => "?",
        Verdict::Fail => "✗",
    };
    html! { span class=(format!("chip {}", verdict_class(verdict))) { span aria-hidden="true" { (sign) " " } (phrase::verdict(verdict)) } }
}

fn verdict(result: &ScenarioResult, folder: &str) -> Markup {
    let promises = [
        ("Nothing acknowledged was lost", phrase::integrity(result)),
        ("Service was back in time", phrase::recovery(result)),
    ];
    html! {
        div class=(format!("banner {}", verdict_class(result.verdict))) {
            dl.facts {
                @for (promise, (kept, text)) in promises {
                    dt { (promise) }
                    dd { b class=(kept_class(kept)) { (kept_word(kept)) } " — " (text) }
                }
                @if !result.reasons.is_empty() {
                    dt { @if result.reasons.len() == 1 { "Reason" } @else { "Reasons" } }
                    dd { ul.plain { @for reason in &result.reasons { li { code { (reason.code) } ": " (reason.message) } } } }
                }
                @if let Some(step) = next(result, folder) { dt { "Next step" } dd { (prose(&step)) } }
            }
        }
    }
}

fn kept_word(kept: Kept) -> &'static str {
    match kept {
        Kept::Yes => "yes",
        Kept::No => "no",
        Kept::Unknown => "unknown",
        Kept::NotPromised => "not promised",
    }
}

fn kept_class(kept: Kept) -> &'static str {
    match kept {
        Kept::Yes => "pass",
        Kept::No => "fail",
        Kept::Unknown => "open",
        Kept::NotPromised => "soft",
    }
}

fn budgets(rows: &[BudgetRow]) -> Markup {
    if rows.is_empty() {
        return html! { p { "None was judged: the history has no plan." } };
    }
    html! {
        div.scroll tabindex="0" role="group" aria-label="Budgets" { table {
            thead { tr {
                th scope="col" { "budget" } th scope="col" { "came out" } th.n scope="col" { "measured" } th.n scope="col" { "limit" }
                th.n scope="col" { "margin" } th scope="col" { "counted from" } th scope="col" { "note" }
            } }
            tbody { @for row in rows {
                tr class=(if row.met { "" } else if row.undecided { "doubt" } else { "bad" }) {
                    th scope="row" { (row.metric) }
                    td { b class=(match (row.met, row.undecided) { (true, _) => "pass", (_, true) => "open", _ => "fail" }) {
                        (match (row.met, row.undecided) { (true, _) => "met", (_, true) => "unknown", _ => "missed" })
                    } }
                    td.n { (row.measured.map_or("-".to_owned(), amount)) }
                    td.n { (amount(row.limit)) }
                    td.n { (margin(row)) }
                    td { (row.since.map_or("", |since| match since { crate::plan::Since::Inject => "injection", crate::plan::Since::Heal => "heal" })) }
                    td { (row.note.as_deref().unwrap_or("")) }
                }
            } }
        } }
    }
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Count(n) => number(n),
        Amount::Seconds(s) => text_seconds(s),
    }
}

/// What was left of the limit.
fn margin(row: &BudgetRow) -> String {
    match (row.limit, row.measured) {
        (Amount::Seconds(limit), Some(Amount::Seconds(measured))) if limit > 0.0 => {
            let left = limit - measured;
            let share = (100.0 * left / limit).round();
            let text = text_seconds(left.abs());
            if left < 0.0 { format!("−{text} (−{:.0} %)", share.abs()) } else { format!("{text} ({share:.0} %)") }
        }
        (Amount::Count(limit), Some(Amount::Count(measured))) if measured > limit => {
            format!("−{}", number(measured - limit))
        }
        (Amount::Count(limit), Some(Amount::Count(measured))) => number(limit - measured),
        _ => "-".to_owned(),
    }
}

fn measures(recovery: &Recovery) -> Markup {
    let time = |value: Option<f64>| value.map_or("not measured".to_owned(), text_seconds);
    let ttr = match (recovery.ttr_s, recovery.lower_bound_s) {
        (None, Some(bound)) => format!("not within {}", text_seconds(bound)),
        (ttr, _) => time(ttr),
    };
    let both = match (recovery.ttr_since_inject_s, recovery.ttr_since_heal_s) {
        (None, None) => String::new(),
        (inject, heal) => format!("{} after the injection, {} after the heal", time(inject), time(heal)),
    };
    let open = if recovery.outage_open { "at least " } else { "" };
    let drain = match recovery.drained {
        Some(false) => "not drained when the load stopped".to_owned(),
        _ => time(recovery.drain_s),
    };
    let rows = [
        ("recovery", ttr, "the last unhealthy moment at or after the zero; the worst scope"),
        ("recovery from both zeros", both, ""),
        ("slowest scope", recovery.worst_scope.clone().unwrap_or_default(), ""),
        ("outage", format!("{open}{}", time(recovery.outage_s)), "the largest gap between successes of a scope"),
        ("first success", time(recovery.first_success_s), "of a record due after the zero, in the slowest scope"),
        ("detected", time(recovery.detect_s), "the first signal after the fault took effect"),
        ("unavailable", time(recovery.unavailable_s), "the length of all unhealthy stretches together"),
        ("lost service", time(recovery.lost_service_s), "what was not served on time, as seconds of full outage"),
        (
            "relapses",
            recovery.relapses.map_or("not measured".to_owned(), number),
            "unhealthy stretches after health had held",
        ),
        ("backlog drained", drain, "after the zero, with the load still on"),
    ];
    html! {
        h3 { "Recovery in numbers" }
        (breakdown(&recovery.breakdown))
        div.scroll tabindex="0" role="group" aria-label="Recovery in numbers" { table {
            tbody { @for (name, value, meaning) in rows.iter().filter(|(_, value, _)| !value.is_empty()) {
                tr { th scope="row" { (name) } td { (value) } td.soft { (meaning) } }
            } }
        } }
        @if !recovery.notes.is_empty() { ul.plain { @for note in &recovery.notes { li { "Note: " (note) } } } }
        @if !recovery.detections.is_empty() {
            p { "First signals: "
                @for (at, seen) in recovery.detections.iter().enumerate() {
                    @if at > 0 { "; " }
                    code { (seen.signal) } " " (text_seconds(seen.after_s)) " after " (seen.fault)
                    @if let Some(actor) = &seen.actor { " (" (actor) ")" }
                }
                "."
            }
        }
        (scopes(recovery))
    }
}

/// Where the time went, floor and rest.
fn breakdown(parts: &[Part]) -> Markup {
    let total: f64 = parts.iter().map(|part| part.seconds).sum();
    if total <= 0.0 {
        return html! {};
    }
    html! {
        p { "Where the " (text_seconds(total)) " went:" }
        div.bar aria-hidden="true" { @for (at, part) in parts.iter().enumerate() {
            span class=(format!("b{}", at % 5)) style=(format!("flex:{:.4}", part.seconds / total)) {}
        } }
        div.scroll tabindex="0" role="group" aria-label="Parts of the recovery" { table {
            thead { tr { th scope="col" { "part" } th.n scope="col" { "took" } th.n scope="col" { "of it the timers set" } th.n scope="col" { "rest" } th scope="col" { "known by" } } }
            tbody { @for (at, part) in parts.iter().enumerate() { tr {
                th scope="row" { span class=(format!("swatch b{}", at % 5)) {} (part.name) }
                td.n { (text_seconds(part.seconds)) }
                td.n { (part.floor_s.map_or("-".to_owned(), text_seconds)) }
                td.n { (text_seconds((part.seconds - part.floor_s.unwrap_or(0.0)).max(0.0))) }
                td { (part.known_by) @if let Some(sum) = &part.floor_sum { "; floor: " (sum) } }
            } } }
        } }
    }
}

/// This many rows are shown at once; more are folded away.
const ROWS: usize = 8;
/// And this many at all, the slowest.
const MOST_ROWS: usize = 200;

fn scopes(recovery: &Recovery) -> Markup {
    let mut rows: Vec<_> = recovery.scopes.iter().collect();
    rows.sort_by(|a, b| b.ttr_s.unwrap_or(f64::INFINITY).total_cmp(&a.ttr_s.unwrap_or(f64::INFINITY)));
    let time = |value: Option<f64>| value.map_or("-".to_owned(), text_seconds);
    let table = html! {
        div.scroll tabindex="0" role="group" aria-label="Recovery by topic partition" { table {
            thead { tr { th scope="col" { "scope" } th.n scope="col" { "recovery" } th.n scope="col" { "outage" } th.n scope="col" { "first success" } } }
            tbody { @for row in rows.iter().take(MOST_ROWS) { tr class=(if row.recovered { "" } else { "bad" }) {
                th scope="row" { (row.scope) " " (row.stream) }
                td.n { @if row.recovered { (time(row.ttr_s)) } @else { "not recovered" } }
                td.n { (time(row.outage_s)) }
                td.n { (time(row.first_success_s)) }
            } } }
        } }
        @if rows.len() > MOST_ROWS { p.soft { "The slowest " (MOST_ROWS) " of " (rows.len()) "; all are in result.json." } }
    };
    html! {
        @if !rows.is_empty() {
            details open[rows.len() <= ROWS] { summary { "By topic partition and stream, slowest first (" (rows.len()) ")" } (table) }
        }
    }
}

fn faults(rows: &[FaultRow]) -> Markup {
    if rows.is_empty() {
        return html! { p { "None: a control run, measured from the end of its baseline." } };
    }
    let time = |value: Option<f64>| value.map_or("-".to_owned(), |s| format!("{s:.3} s"));
    let aim = |row: &FaultRow| match (&row.target, &row.resolved) {
        (Some(target), Some(resolved)) if target != resolved => format!("{target} = {resolved}"),
        (Some(one), _) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="Faults" { table {
            thead { tr {
                th scope="col" { "fault" } th scope="col" { "on" } th.n scope="col" { "injected" } th.n scope="col" { "in effect" }
                th.n scope="col" { "heal" } th.n scope="col" { "healed" } th.n scope="col" { "operations affected" } th scope="col" { "evidence" }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { (row.label) @if row.label != row.kind { " (" (row.kind) ")" } }
                td { (aim(row)) }
                td.n { (time(row.inject_s)) } td.n { (time(row.confirmed_s)) } td.n { (time(row.heal_s)) } td.n { (time(row.healed_s)) }
                td.n { (number(row.effect.ops_affected)) }
                td.w { (row.effect.evidence.as_deref().unwrap_or("none")) }
            } } }
        } }
    }
}

fn anomalies(findings: &[Finding]) -> Markup {
    html! {
        h3 { "Anomalies" }
        @if findings.is_empty() { p { "None was found." } }
        @for finding in findings {
            details open[finding.severity != Severity::Counted] {
                summary {
                    b class=(match finding.severity { Severity::Fatal => "fail", Severity::Inconclusive => "open", Severity::Counted => "soft" }) {
                        (match finding.severity { Severity::Fatal => "broken promise", Severity::Inconclusive => "doubt", Severity::Counted => "counted" })
                    }
                    " " code { (finding.kind) } ", " (number(finding.count))
                }
                p { (finding.message) }
                @if !finding.examples.is_empty() { (examples(&finding.examples, finding.count)) }
            }
        }
    }
}

fn examples(examples: &[Example], count: u64) -> Markup {
    let time = |value: Option<f64>| value.map_or(String::new(), |s| format!("{s:.3} s"));
    html! {
        div.scroll tabindex="0" role="group" aria-label="Examples" { table {
            thead { tr {
                th scope="col" { "id" } th scope="col" { "key" } th scope="col" { "topic partition" } th scope="col" { "offsets" }
                th.n scope="col" { "due" } th.n scope="col" { "acknowledged" } th scope="col" { "during" } th scope="col" { "what" }
            } }
            tbody { @for one in examples { tr {
                td.mono { (one.id.as_deref().unwrap_or("")) }
                td.mono { (one.key.as_deref().unwrap_or("")) }
                td { (one.tp.as_deref().unwrap_or("")) }
                td { (one.offsets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                td.n { (time(one.sent_s)) } td.n { (time(one.acked_s)) }
                td { (one.faults.join(", ")) }
                td.w { (one.note) }
            } } }
        } }
        @if count > examples.len() as u64 { p.soft { "and " (number(count - examples.len() as u64)) " more" } }
    }
}
