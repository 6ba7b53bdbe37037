//! Pages as text: what must be on them, what must never come through, and how large they may become.

use super::*;
use crate::history::sim::{Away, Sim};
use crate::report::tests::{failing, of_sim, passing, sim};
use crate::report::timeline::Timeline;

fn entry(result: ScenarioResult, timeline: Option<Timeline>) -> PageEntry {
    let folder = format!("{}/{}", result.scenario.name, result.repeat);
    PageEntry { result, summary: None, folder, logs: vec!["broker-1.log".into()], timeline, missing: None }
}

fn page(entries: &[PageEntry]) -> String {
    run_page(RunPage { run_id: "20260101-000000-abcd", entries, not_judged: &[], caveats: "" })
}

fn drawn(sim: &Sim) -> PageEntry {
    entry(of_sim(sim), Timeline::of(&sim.story().history()))
}

/// Every tag that was opened is closed, in order; attributes are quoted. Not a parser, but no page of ours fails it.
fn assert_well_formed(html: &str) {
    const VOID: &[&str] = &["meta", "br"];
    let mut open: Vec<&str> = Vec::new();
    let body = html.strip_prefix("<!DOCTYPE html>").unwrap();
    for piece in body.split('<').skip(1) {
        let tag = piece.split('>').next().unwrap();
        assert!(piece.contains('>'), "unclosed tag {piece:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name)),
            false if VOID.contains(&name) => {}
            false => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_verdict_comes_first_then_the_promises_the_numbers_and_the_next_step() {
    let html = page(&[drawn(&sim(13_000))]);
    assert_well_formed(&html);
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(at("FAIL") < at("Nothing acknowledged was lost") && at("Nothing acknowledged") < at("Budgets"));
    assert!(at("Budgets") < at("Throughput, records a second"));
    for text in [
        "3 s after the heal, slowest in orders/0 send; budget 2 s",
        "look at <code>recovery.scopes</code>",
        "−1 s (−50 %)",
        "The curves as a table",
        "recovered, slowest first success 13 s",
        "recovery budget ends 12 s",
        "broker-1.log",
        "Where the 3 s went",
    ] {
        at(text);
    }
}

#[test]
fn nothing_that_a_run_says_is_markup() {
    let hostile = "</script><script>alert(1)</script><img src=x onerror='alert(\"2\")'>&amp;\u{202e}ü";
    let mut sim = sim(13_000);
    sim.signals = vec![
        ("breaker", 6_500, serde_json::json!(hostile)),
        ("leader", 6_500, serde_json::json!({"tp": hostile, "leader": hostile})),
        ("leader", 7_500, serde_json::json!({"tp": hostile, "leader": 2})),
        ("alert", 6_600, serde_json::json!({"name": hostile})),
        ("metrics", 6_600, serde_json::json!({hostile: 1})),
    ];
    let mut one = drawn(&sim);
    let result = &mut one.result;
    result.scenario.name = hostile.to_owned();
    result.reasons[0] = crate::verdict::Reason { code: hostile.to_owned(), message: hostile.to_owned() };
    result.scenario.path = Some(hostile.to_owned());
    result.run_seed = Some(1);
    result.set = vec![hostile.to_owned()];
    result.environment.host = Some(hostile.to_owned());
    result.faults[0].label = hostile.to_owned();
    result.faults[0].effect.evidence = Some(hostile.to_owned());
    result.backend.as_mut().unwrap().notes.push(hostile.to_owned());
    result.recovery.as_mut().unwrap().notes.push(hostile.to_owned());
    result.integrity.anomalies = vec![crate::checker::Finding {
        kind: hostile.into(),
        count: 1,
        fatal: true,
        severity: crate::checker::Severity::Fatal,
        message: hostile.into(),
        examples: vec![crate::checker::Example {
            id: Some(hostile.into()),
            key: Some(hostile.into()),
            note: hostile.into(),
            ..Default::default()
        }],
    }];
    one.summary = Some(hostile.to_owned());
    one.folder = format!("javascript:{hostile}");
    one.logs = vec![hostile.to_owned()];
    let mut several = vec![one.clone(), one.clone()];
    several[1].result.repeat = 2;
    let not_judged = [NotJudged { name: hostile.into(), error: hostile.into() }];
    let run = run_page(RunPage { run_id: hostile, entries: &several, not_judged: &not_judged, caveats: hostile });
    let side = |name: &str| ComparedRun { name: name.into(), results: vec![&one.result] };
    let said = [Said { scenario: hostile.into(), metric: "recovery".into(), text: hostile.into() }];
    for html in [run, comparison_page(&[side(hostile), side("b")], &said, Some(hostile))] {
        assert_well_formed(&html);
        assert!(html.contains("&lt;script&gt;") && html.contains('ü'));
        for never in ["<script", "<img", "\"javascript:", " onerror='"] {
            let inside = html.to_lowercase().replace("&lt;img src=x onerror='", "");
            assert!(!inside.contains(never), "{never}");
        }
    }
}

#[test]
fn a_page_needs_nothing_from_anywhere() {
    let html = page(&[drawn(&sim(11_300))]);
    for wanting in ["http://", "https://", "@import", "url(", "<script", "<link", "<img", "<iframe", " src="] {
        assert!(!html.contains(wanting), "{wanting}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_thousand_repeats_of_five_scenarios_stay_under_five_megabytes() {
    let (good, bad) = (passing(), failing());
    let line = Timeline::of(&sim(13_000).story().history());
    let mut entries = Vec::new();
    for repeat in 1..=1_000u32 {
        for scenario in 0..5 {
            let mut result = if repeat % 97 == 0 { bad.clone() } else { good.clone() };
            (result.scenario.name, result.repeat) = (format!("scenario-{scenario}"), repeat);
            let ttr = f64::from(repeat * 31 % 400) / 100.0;
            result.recovery.as_mut().unwrap().ttr_s = Some(ttr);
            entries.push(entry(result, line.clone()));
        }
    }
    let html = page(&entries);
    assert_well_formed(&html);
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    assert!(html.contains("990 of 1000 passed"), "k of N");
}

#[test]
fn an_hour_of_history_stays_readable_and_small() {
    let sim =
        Sim { end: 3_600_000, every: 100, sends: vec![(0, 6_000, 9_000), (0, 1_800_000, 1_802_000)], ..Sim::new(2) };
    let html = page(&[drawn(&sim)]);
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("10:00 min") && html.contains("1:00 h"), "round ticks");
}

#[test]
fn a_run_that_left_no_history_says_why_it_has_no_picture() {
    let mut one = entry(failing(), None);
    one.missing = Some("its history.jsonl is missing, and plots are drawn from it".into());
    let html = page(&[one]);
    assert!(html.contains("No picture: its history.jsonl is missing") && html.contains("Ledger"));
    // An older result knows neither its recovery nor the seed of its run.
    let mut old = passing();
    (old.recovery, old.budgets, old.run_seed) = (None, vec![], None);
    let html = page(&[entry(old, None)]);
    assert!(html.contains("the command that repeats it is not known"));
}

#[test]
fn what_never_came_is_no_number() {
    let sim = Sim { away: Away::Fail, ..sim(u64::MAX) };
    let html = page(&[drawn(&sim)]);
    assert!(
        html.contains("not within 10 s") && html.contains("at least 14 s") && html.contains("due, never acknowledged")
    );
    let never = of_sim(&sim);
    let (a, b) = (passing(), passing());
    let runs = [
        ComparedRun { name: "base".into(), results: vec![&a, &b] },
        ComparedRun { name: "new".into(), results: vec![&never, &never, &a] },
    ];
    let said = [Said { scenario: "story".into(), metric: "recovery".into(), text: "regressed: never back".into() }];
    let html = comparison_page(&runs, &said, None);
    assert_well_formed(&html);
    for text in
        ["▷", "never in most of 3 [1.3 s … &gt; 10 s], came 1 of 3; budget 2 s met 1 of 3", "regressed: never back"]
    {
        assert!(html.contains(text), "{text} in {html}");
    }
}

#[test]
fn the_page_shows_what_did_not_pass_in_full_and_of_passes_the_slowest() {
    let mut results: Vec<ScenarioResult> = (1..=5).map(|repeat| ScenarioResult { repeat, ..passing() }).collect();
    results[3].recovery.as_mut().unwrap().ttr_s = Some(1.9);
    assert_eq!(telling(&results.iter().collect::<Vec<_>>()), [3]);
    results[1] = failing();
    assert_eq!(telling(&results.iter().collect::<Vec<_>>()), [1]);
}
