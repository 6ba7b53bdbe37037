//! `report.html`: one file for people, that needs no network, no script and no font but the reader's own.
//!
//! The verdict comes first, then what it rests on. Every plot has its facts as a table beside it. Text that comes from a
//! run is escaped by construction: pages are built by `maud`, which leaves nothing unescaped unless told so, and the one
//! thing that it is told so about is the style sheet.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::timeline::Timeline;
use super::{ScenarioResult, phrase};
use crate::verdict::Verdict;

mod dots;
mod figure;
mod plot;
mod scenario;
mod strips;

use dots::{METRICS, Side};
use scenario::chip;

/// One repeat of one scenario, and what a page shows of it.
#[derive(Clone, Debug)]
pub struct PageEntry {
    pub result: ScenarioResult,
    /// One line about the scenario; `None`: not known.
    pub summary: Option<String>,
    /// Where its files are, relative to the page; empty: nowhere.
    pub folder: String,
    /// Names of the files in its `logs/`.
    pub logs: Vec<String>,
    pub timeline: Option<Timeline>,
    /// Why there is no timeline, where there should be one.
    pub missing: Option<String>,
}

/// A scenario that could not be run to a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJudged {
    pub name: String,
    pub error: String,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct RunPage<'a> {
    pub run_id: &'a str,
    pub entries: &'a [PageEntry],
    pub not_judged: &'a [NotJudged],
    /// What a reader must know beside the verdicts, a line each: what was left out, what the backend cannot prove.
    pub caveats: &'a str,
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct ComparedRun<'a> {
    /// As the reader calls it: a folder's name.
    pub name: String,
    pub results: Vec<&'a ScenarioResult>,
}

/// What statistics say about one scenario and metric of a comparison: shown beside the samples, decided elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub scenario: String,
    pub metric: String,
    /// One sentence, its verdict first.
    pub text: String,
}

/// Repeats of one scenario that are shown in full, and of all scenarios together.
const SHOWN: usize = 2;
const SHOWN_IN_ALL: usize = 24;
/// Repeats that a table lists; more are summed up.
const LISTED: usize = 100;

/// Which repeats a page shows in full: of each scenario what did not pass, worst first, else the slowest. Gives indices.
pub fn telling(results: &[&ScenarioResult]) -> Vec<usize> {
    let mut chosen = Vec::new();
    for group in groups(results) {
        let mut order = group;
        order.sort_by(|a, b| {
            severity(results[*b]).partial_cmp(&severity(results[*a])).unwrap_or(std::cmp::Ordering::Equal)
        });
        let bad = order.iter().filter(|at| results[**at].verdict != Verdict::Pass).count();
        chosen.extend(order.into_iter().take(bad.clamp(1, SHOWN)));
    }
    // Where there is not room for all, what did not pass comes first.
    chosen.sort_by_key(|at| (std::cmp::Reverse(results[*at].verdict), *at));
    chosen.truncate(SHOWN_IN_ALL);
    chosen.sort_unstable();
    chosen
}

fn severity(result: &ScenarioResult) -> (Verdict, f64) {
    let slow = result.recovery.as_ref().map_or(0.0, |r| r.ttr_s.unwrap_or(f64::INFINITY));
    (result.verdict, slow)
}

/// Indices by scenario and backend, in the order of first appearance.
fn groups(results: &[&ScenarioResult]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, result) in results.iter().enumerate() {
        match groups.iter_mut().find(|group| same(results[group[0]], result)) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// Repeats of one another.
fn same(a: &ScenarioResult, b: &ScenarioResult) -> bool {
    let backend = |result: &ScenarioResult| result.backend.as_ref().map(|backend| backend.kind);
    a.scenario.name == b.scenario.name && backend(a) == backend(b)
}

/// The page of one run.
pub fn run_page(page: RunPage<'_>) -> String {
    let results: Vec<&ScenarioResult> = page.entries.iter().map(|entry| &entry.result).collect();
    let groups = groups(&results);
    let shown = telling(&results);
    let headline = headline(&results, page.not_judged);
    let worst = results.iter().map(|r| r.verdict).max();
    let worst = if page.not_judged.is_empty() {
        worst.unwrap_or(Verdict::Inconclusive)
    } else {
        worst.unwrap_or(Verdict::Inconclusive).max(Verdict::Inconclusive)
    };
    let body = html! {
        header.top {
            p.soft { "Seaworthy run " span.mono { (page.run_id) } @if let Some(first) = results.first() { ", " (first.started_at) } }
            h1 { (chip(worst)) " " (headline) }
            (run_facts(&results))
            @if !page.caveats.is_empty() { div class="banner open" { @for line in page.caveats.lines() { p { (line) } } } }
        }
        main id="main" {
            (overview(page.entries, &groups, &shown, page.not_judged))
            @for group in groups.iter().filter(|group| group.len() > 1) { (repeats(page.entries, group)) }
            @for at in &shown {
                @let several = groups.iter().any(|group| group.len() > 1 && group.contains(at));
                (scenario::section(&page.entries[*at], &id(*at), several))
            }
        }
    };
    document(&format!("{}: {headline}", phrase::verdict(worst)), body)
}

fn headline(results: &[&ScenarioResult], not_judged: &[NotJudged]) -> String {
    if let ([one], []) = (results, not_judged) {
        return one.scenario.name.clone();
    }
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let mut parts = vec![format!("{} passed", count(Verdict::Pass))];
    for (verdict, word) in [(Verdict::Fail, "failed"), (Verdict::Inconclusive, "inconclusive")] {
        if count(verdict) > 0 {
            parts.push(format!("{} {word}", count(verdict)));
        }
    }
    if !not_judged.is_empty() {
        parts.push(format!("{} not judged", not_judged.len()));
    }
    parts.join(", ")
}

fn run_facts(results: &[&ScenarioResult]) -> Markup {
    let Some(first) = results.first() else { return html! {} };
    let environment = &first.environment;
    html! {
        p.soft {
            @if let Some(backend) = &first.backend {
                (backend.kind) @if let Some(version) = &backend.kafka_version { ", Kafka " (version) }
            }
            @if let Some(version) = &environment.seaworthy_version { ", Seaworthy " (version) }
            @if let Some(commit) = &environment.git_commit { ", commit " span.mono { (commit.chars().take(12).collect::<String>()) } }
            @if let Some(cpus) = environment.cpus { ", " (cpus) " processors" }
        }
    }
}

fn id(at: usize) -> String {
    format!("repeat-{at}")
}

/// A row a scenario.
fn overview(entries: &[PageEntry], groups: &[Vec<usize>], shown: &[usize], not_judged: &[NotJudged]) -> Markup {
    let kinds = || entries.iter().filter_map(|entry| Some(entry.result.backend.as_ref()?.kind));
    let mixed = kinds().min() != kinds().max();
    html! {
        h2 { "Scenarios" }
        div.scroll tabindex="0" role="group" aria-label="Scenarios" { table {
            thead { tr {
                th scope="col" { "verdict" } th scope="col" { "scenario" } th.n scope="col" { "lost" } th.n scope="col" { "recovery" }
                th.n scope="col" { "outage" } th scope="col" { "why, and the next step" }
            } }
            tbody {
                @for group in groups {
                    @let results: Vec<_> = group.iter().map(|at| &entries[*at].result).collect();
                    @let worst = results.iter().map(|r| r.verdict).max().unwrap_or(Verdict::Inconclusive);
                    @let telling = group.iter().copied().filter(|at| shown.contains(at)).max_by(|a, b| entries[*a].result.verdict.cmp(&entries[*b].result.verdict));
                    @let passed = results.iter().filter(|r| r.verdict == Verdict::Pass).count();
                    tr {
                        td { (chip(worst)) @if results.len() > 1 { br; (passed) " of " (results.len()) " passed" } }
                        th scope="row" { @match telling {
                            Some(at) => a href=(format!("#{}", id(at))) { (results[0].scenario.name) },
                            None => (results[0].scenario.name),
                        }
                        @if let Some(backend) = results[0].backend.as_ref().filter(|_| mixed) { br; span.soft { (backend.kind) } } }
                        (numbers(&results))
                        td.w { @if let Some(at) = telling {
                            @let result = &entries[at].result;
                            @if let Some(reason) = result.reasons.first() { code { (reason.code) } ": " (reason.message) "." }
                            @if let Some(step) = super::next(result, &entries[at].folder) { br; "Next: " (prose(&step)) }
                        } }
                    }
                }
                @for one in not_judged { tr.doubt {
                    td { span class="chip open" { "NOT JUDGED" } } th scope="row" { (one.name) } td.n { "-" } td.n { "-" } td.n { "-" } td.w { (one.error) }
                } }
            }
        } }
    }
}

fn numbers(results: &[&ScenarioResult]) -> Markup {
    if let [one] = results {
        return html! { @for cell in phrase::cells(one) { td.n { (cell) } } };
    }
    let lost: u64 = results.iter().map(|r| r.integrity.lost).sum();
    let of = |name: &str| {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        metric.map_or("-".to_owned(), |metric| Side::of("", *metric, results).brief())
    };
    html! { td.n { (lost) } td.n { (of("recovery")) } td.n { (of("outage")) } }
}

/// All repeats of one scenario: the samples, then the table.
fn repeats(entries: &[PageEntry], group: &[usize]) -> Markup {
    let results: Vec<&ScenarioResult> = group.iter().map(|at| &entries[*at].result).collect();
    let name = &results[0].scenario.name;
    let mut listed: Vec<usize> = group.to_vec();
    if listed.len() > LISTED {
        listed.sort_by(|a, b| {
            let (a, b) = (severity(&entries[*a].result), severity(&entries[*b].result));
            b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal)
        });
        listed.truncate(LISTED);
    }
    html! {
        section.scenario {
            h2 { (name) ": " (results.len()) " repeats" }
            (samples(&[ComparedRun { name: "all repeats".into(), results: results.clone() }], name, &[]))
            details open[results.len() <= 10] {
                summary { "Every repeat as a table" @if listed.len() < results.len() { " (the " (LISTED) " worst of " (results.len()) ")" } }
                div.scroll tabindex="0" role="group" aria-label=(format!("Repeats of {name}")) { table {
                    thead { tr {
                        th.n scope="col" { "repeat" } th scope="col" { "verdict" } th.n scope="col" { "lost" } th.n scope="col" { "recovery" } th.n scope="col" { "outage" }
                        th scope="col" { "first reason" } th scope="col" { "files" }
                    } }
                    tbody { @for at in &listed { (repeat(&entries[*at])) } }
                } }
                @if listed.len() < results.len() { p.soft { "The others are in run.json and in their folders." } }
            }
        }
    }
}

fn repeat(entry: &PageEntry) -> Markup {
    let result = &entry.result;
    html! { tr class=(match result.verdict { Verdict::Fail => "bad", Verdict::Inconclusive => "doubt", Verdict::Pass => "" }) {
        th.n scope="row" { (result.repeat) }
        td { (phrase::verdict(result.verdict)) }
        @for cell in phrase::cells(result) { td.n { (cell) } }
        td.w { @if let Some(reason) = result.reasons.first() { (reason.code) ": " (reason.message) } }
        td { @if !entry.folder.is_empty() { a href=(link(&format!("{}/", entry.folder))) { (entry.folder) } } }
    } }
}

/// Every sample of one scenario, metric by metric, and what statistics say.
fn samples(sides: &[ComparedRun<'_>], scenario: &str, said: &[Said]) -> Markup {
    let of = |run: &ComparedRun<'_>| -> Vec<ScenarioResult> {
        run.results.iter().filter(|r| r.scenario.name == scenario).map(|r| (*r).clone()).collect()
    };
    let owned: Vec<(String, Vec<ScenarioResult>)> = sides.iter().map(|run| (run.name.clone(), of(run))).collect();
    let rows = METRICS.iter().filter_map(|metric| {
        let sides: Vec<Side<'_>> =
            owned.iter().map(|(name, results)| Side::of(name, *metric, &results.iter().collect::<Vec<_>>())).collect();
        let drawn = dots::strip(*metric, &sides)?;
        Some((*metric, drawn, said.iter().find(|said| said.scenario == scenario && said.metric == metric.name)))
    });
    html! {
        figure {
            figcaption.soft { "Each dot is a repeat; the heavy line is the median, the thin one reaches from the least to the most, the dashed one is the budget. ▷: it never came." }
            @for (_, drawn, said) in rows {
                (drawn)
                @if let Some(said) = said { p { b { (said.text) } } }
            }
        }
    }
}

/// Several runs side by side, every sample; above all the `conclusion`, where somebody has drawn one.
pub fn comparison_page(runs: &[ComparedRun<'_>], said: &[Said], conclusion: Option<&str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for result in runs.iter().flat_map(|run| &run.results) {
        if !names.contains(&result.scenario.name.as_str()) {
            names.push(&result.scenario.name);
        }
    }
    let title = format!("{} runs compared", runs.len());
    let fingerprints = |name: &str| {
        let mut all: Vec<Option<&str>> = runs
            .iter()
            .flat_map(|run| &run.results)
            .filter(|r| r.scenario.name == name)
            .map(|r| r.fingerprint.as_deref())
            .collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let body = html! {
        header.top {
            h1 { (title) }
            @if let Some(conclusion) = conclusion { p { b { (conclusion) } } }
            div.scroll tabindex="0" role="group" aria-label="Runs" { table {
                thead { tr { th scope="col" { "run" } th scope="col" { "started" } th.n scope="col" { "results" } th.n scope="col" { "passed" } th scope="col" { "Kafka" } th scope="col" { "commit" } } }
                tbody { @for run in runs { tr {
                    th scope="row" { (run.name) }
                    td { (run.results.first().map_or("", |r| r.started_at.as_str())) }
                    td.n { (run.results.len()) }
                    td.n { (run.results.iter().filter(|r| r.verdict == Verdict::Pass).count()) }
                    td { (run.results.first().and_then(|r| r.backend.as_ref()?.kafka_version.as_deref()).unwrap_or("")) }
                    td.mono { (run.results.first().and_then(|r| r.environment.git_commit.as_deref()).unwrap_or("").chars().take(12).collect::<String>()) }
                } } }
            } }
        }
        main id="main" {
            @for (at, name) in names.iter().enumerate() {
                section.scenario id=(format!("scenario-{at}")) {
                    h2 { (name) }
                    @if fingerprints(name) > 1 {
                        p { b.open { "Not the same set-up: " } "the fingerprints differ, so a difference may come from the plan, the images or the backend." }
                    }
                    (samples(runs, name, said))
                    (counts(runs, name))
                }
            }
        }
    };
    document(&title, body)
}

/// The same facts as a table.
fn counts(runs: &[ComparedRun<'_>], scenario: &str) -> Markup {
    html! {
        details open { summary { "The same as a table" } div.scroll tabindex="0" role="group" aria-label="Measures" { table {
            thead { tr { th scope="col" { "measure" } @for run in runs { th scope="col" { (run.name) } } } }
            tbody { @for metric in METRICS {
                @let sides: Vec<String> = runs.iter().map(|run| {
                    let results: Vec<_> = run.results.iter().copied().filter(|r| r.scenario.name == scenario).collect();
                    Side::of(&run.name, *metric, &results).sentence(*metric)
                }).collect();
                tr { th scope="row" { (metric.name) } @for side in sides { td { (side) } } }
            } }
        } } }
    }
}

fn document(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { (title) " · Seaworthy" }
                style { (PreEscaped(include_str!("html/style.css"))) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                (body)
                footer { p { "Written by Seaworthy " (env!("CARGO_PKG_VERSION")) ". Times are seconds since each repeat’s start, on one monotonic clock. Plots are drawn from buckets; verdicts and measures are not." } }
            }
        }
    };
    page.into_string()
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "open",
        Verdict::Fail => "fail",
    }
}

/// A sentence of the terminal's: what it puts in backticks is code, and its ids stand elsewhere on a page.
fn prose(text: &str) -> Markup {
    let text = text.replace("the ids above", "the ids under “Anomalies”");
    html! { @for (at, piece) in text.split('`').enumerate() { @if at % 2 == 1 { code { (piece) } } @else { (piece) } } }
}

/// A relative path as a link: what could be anything but a path is percent-encoded.
fn link(path: &str) -> String {
    let mut text = String::from("./");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
