//! The table of verdicts, the gate, and everything that a side may lack.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::rng::Rng;

const NEVER: f64 = f64::INFINITY;

/// A result as another version might have written it: only what a comparison reads, and a field that nobody knows.
fn result(scenario: &str, repeat: usize, ttr: f64) -> Value {
    let recovered = ttr.is_finite();
    json!({
        "scenario": { "name": scenario, "from_the_future": 1 },
        "verdict": if recovered { "pass" } else { "fail" },
        "repeat": repeat,
        "recovery": {
            "ttr_s": recovered.then_some(ttr),
            "recovered": recovered,
            "lower_bound_s": (!recovered).then_some(60.0),
        },
        "integrity": { "lost": 0, "duplicates_in_log": 0, "duplicate_effects": 0 },
        "budgets": [{ "metric": "recovery", "limit": 10.0, "measured": recovered.then_some(ttr), "met": ttr <= 10.0 }],
        "fingerprint": "f1",
    })
}

fn side_of(name: &str, results: impl IntoIterator<Item = Value>) -> Side {
    let repeats = results.into_iter().map(|value| serde_json::from_value(value).unwrap()).collect();
    Side { name: name.to_owned(), repeats }
}

fn side(name: &str, scenario: &str, times: &[f64]) -> Side {
    side_of(name, times.iter().enumerate().map(|(at, ttr)| result(scenario, at + 1, *ttr)))
}

fn compared(base: &[f64], new: &[f64]) -> Comparison {
    let (base, new) = (side("base", "kill", base), side("new", "kill", new));
    Comparison::of(&base, &new, &Axes::default(), &[Metric::named("recovery").unwrap()])
}

fn verdict(base: &[f64], new: &[f64]) -> RowVerdict {
    compared(base, new).rows[0].decision.verdict
}

#[test]
fn a_regression_is_unlikely_by_chance_and_beyond_the_noise() {
    let base = [7.6, 8.9, 9.1, 9.4, 9.9];
    let comparison = compared(&base, &[12.2, 14.0, 14.8, 15.1, 16.0]);
    let row = &comparison.rows[0];
    assert_eq!((row.decision.verdict, comparison.verdict), (RowVerdict::Regressed, RowVerdict::Regressed));
    assert!(comparison.regressed() && comparison.comparable && row.decision.clear);
    assert!((row.decision.p.unwrap() - 0.0079).abs() < 1e-4);
    assert_eq!(row.budget, Some(BudgetTally { limit: Some(10.0), met: 0, of: 5 }));
    assert_eq!(verdict(&[12.2, 14.0, 14.8, 15.1, 16.0], &base), RowVerdict::Improved);
    // As unlikely by chance, but nobody would act on it: 0.9 s is 10 % of the median.
    assert_eq!(verdict(&[9.0, 9.01, 9.02, 9.03, 9.04], &[9.1, 9.11, 9.12, 9.13, 9.14]), RowVerdict::NoChange);
    // Likely by chance.
    assert_eq!(verdict(&base, &[8.0, 9.0, 9.6, 12.0, 13.0]), RowVerdict::Inconclusive);
}

#[test]
fn a_regression_is_clear_when_its_whole_interval_is_beyond_the_noise() {
    let row = &compared(&[1.0, 2.0, 3.0, 4.0], &[4.2, 5.0, 6.0, 7.0]).rows[0];
    assert_eq!((row.decision.verdict, row.decision.clear), (RowVerdict::Regressed, false));
}

#[test]
fn identical_sides_are_no_change_from_four_values_on() {
    assert_eq!(verdict(&[2.0; 4], &[2.0; 4]), RowVerdict::NoChange);
    assert_eq!(verdict(&[2.0; 3], &[2.0; 3]), RowVerdict::Inconclusive);
    assert_eq!(verdict(&[2.0; 2], &[2.0; 5]), RowVerdict::None);
    assert_eq!(verdict(&[0.04, 0.0, 0.09, 0.05, 0.1], &[0.1, 0.06, 0.0, 0.0, 0.12]), RowVerdict::NoChange);
}

#[test]
fn three_a_side_can_only_raise_a_suspicion() {
    assert_eq!(verdict(&[2.0, 2.1, 2.2], &[5.0, 5.1, 5.2]), RowVerdict::Suspected);
    // Apart, but by less than twice the noise.
    assert_eq!(verdict(&[2.0, 2.1, 2.2], &[2.8, 2.9, 3.0]), RowVerdict::Inconclusive);
    assert_eq!(verdict(&[2.0, 2.1, 5.05], &[5.0, 5.1, 5.2]), RowVerdict::Inconclusive);
    let comparison = compared(&[2.0, 2.1, 2.2], &[5.0, 5.1, 5.2]);
    assert!(!comparison.regressed());
    assert_eq!(comparison.verdict, RowVerdict::Suspected);
    assert!(comparison.rows[0].decision.repeats.unwrap() >= 4);
}

#[test]
fn a_service_that_recovered_before_and_now_does_not_is_a_regression_outright() {
    for new in [&[2.0, 2.0, NEVER, 2.0, 2.0][..], &[NEVER], &[NEVER, NEVER]] {
        let comparison = compared(&[1.9, 2.0, 2.1, 2.2, 2.4][..new.len()], new);
        assert_eq!(comparison.rows[0].decision.verdict, RowVerdict::Regressed, "{new:?}");
        assert!(comparison.regressed() && comparison.judged());
    }
    // Not new: it did not always recover before.
    assert_eq!(verdict(&[2.0, 2.1, NEVER, 2.2, 2.3], &[2.0, 2.1, NEVER, NEVER, 2.3]), RowVerdict::Inconclusive);
    // Never before, always now.
    assert_eq!(verdict(&[NEVER; 5], &[2.0, 2.1, 2.2, 2.3, 2.4]), RowVerdict::Improved);
    // Never on either side: nobody can say.
    assert_eq!(verdict(&[NEVER; 5], &[NEVER; 5]), RowVerdict::Inconclusive);
}

#[test]
fn what_never_came_is_neither_dropped_nor_replaced_by_the_time_out() {
    let mut odd = result("kill", 1, NEVER);
    // Another writer puts the time-out beside it.
    odd["recovery"]["ttr_s"] = json!(60.0);
    let new = side_of("new", [odd, result("kill", 2, 2.0), result("kill", 3, NEVER)]);
    let comparison = Comparison::of(&side("base", "kill", &[2.0; 3]), &new, &Axes::default(), &[]);
    let row = &comparison.rows[0];
    assert_eq!((row.new.n(), row.new.never(), row.new.waited), (3, 2, Some(60.0)));
    assert_eq!(row.new.median(), Some(NEVER));
    let json = json_of(&comparison);
    assert_eq!(json["rows"][0]["new"]["samples"], json!([null, 2.0, null]));
    assert_eq!(json["rows"][0]["new"]["median"], Value::Null);
    assert_eq!(json["rows"][0]["new"]["never"], 2);
    assert!(human(&comparison, WIDE).contains("> 60 s (1/3 recovered)"), "{}", human(&comparison, WIDE));
}

#[test]
fn an_inconclusive_comparison_says_how_many_repeats_would_settle_it() {
    let needed = |base: &[f64], new: &[f64]| compared(base, new).rows[0].decision.repeats;
    let few = needed(&[7.6, 8.9, 9.1, 9.4, 9.9], &[8.0, 9.0, 11.6, 12.0, 13.0]).unwrap();
    assert!((6..=40).contains(&few), "{few}");
    // The nearer the shift is to the edge of the noise, the more it takes.
    let many = needed(&[6.0, 8.0, 10.0, 12.0, 14.0], &[6.9, 8.9, 10.9, 12.9, 14.9]).unwrap();
    assert!(many > few, "{many} and {few}");
    assert_eq!(needed(&[2.0; 3], &[2.0; 3]), Some(4));
    assert_eq!(needed(&[2.0; 4], &[2.0; 4]), None);
}

#[test]
fn the_noise_band_knows_the_measure_and_the_heartbeat() {
    let recovery = Metric::named("recovery").unwrap();
    let band = |median: f64, more: Value| {
        let mut repeat = result("kill", 1, median);
        repeat["recovery"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        recovery.band(Some(median), &[&serde_json::from_value::<Repeat>(repeat).unwrap()])
    };
    assert_eq!(band(1.0, json!({})), 0.5);
    assert!((band(9.0, json!({})) - 0.9).abs() < 1e-12);
    // Finer where the measure is, but never finer than a machine's hiccup.
    assert_eq!(band(1.0, json!({ "resolution_s": 0.1 })), 0.2);
    assert_eq!(band(0.1, json!({ "resolution_s": 0.001 })), 0.1);
    assert_eq!(band(1.0, json!({ "resolution_s": 3.0 })), 0.5);
    assert_eq!(band(9.0, json!({ "heartbeat_s": 2.0 })), 2.0);
    assert_eq!(Metric::named("lost").unwrap().band(Some(0.0), &[]), 0.5);
    assert_eq!(recovery.band(Some(NEVER), &[]), 0.1);
}

#[test]
fn every_metric_stands_where_the_contract_says() {
    let value = json!({
        "scenario": { "name": "kill" },
        "verdict": "pass",
        "recovery": { "detect_s": 1.0, "first_success_s": 2.0, "outage_s": 3.0, "unavailable_s": 4.0,
            "lost_service_s": 5.0, "ttr_s": 6.0, "recovered": true, "drain_s": 7.0, "drained": true, "after_leader_s": 8.0 },
        "integrity": { "lost": 10, "duplicates_in_log": 3, "duplicate_effects": 11, "redelivered": 12, "reordered": 13,
            "dead_lettered": 99, "wrongly_dead_lettered": 14 },
        "budgets": [{ "metric": "progress-during-fault", "limit": 5, "measured": 9, "met": true }],
    });
    let repeat: Repeat = serde_json::from_value(value).unwrap();
    let read = |name: &str| Metric::named(name).unwrap().read(&repeat);
    for (name, expected) in [
        ("detect", 1.0),
        ("first-success", 2.0),
        ("outage", 3.0),
        ("unavailable", 4.0),
        ("lost-service", 5.0),
        ("recovery", 6.0),
        ("drain", 7.0),
        ("after-leader", 8.0),
        ("progress-during-fault", 9.0),
        ("lost", 10.0),
        ("duplicates", 11.0),
        ("redelivered", 12.0),
        ("reordered", 13.0),
        ("dead-lettered", 14.0),
    ] {
        assert_eq!(read(name), Reading::Value(expected), "{name}");
    }
}

#[test]
fn open_outages_and_undrained_backlogs_never_came() {
    let value = json!({ "recovery": { "ttr_s": null, "recovered": false, "lower_bound_s": 9.0, "outage_s": 15.0,
        "outage_open": true, "drain_s": null, "drained": false, "unavailable_s": 15.0 } });
    let repeat: Repeat = serde_json::from_value(value).unwrap();
    for (name, bound) in
        [("recovery", 9.0), ("first-success", 9.0), ("outage", 15.0), ("drain", 9.0), ("unavailable", 15.0)]
    {
        assert_eq!(Metric::named(name).unwrap().read(&repeat), Reading::Never(Some(bound)), "{name}");
    }
    assert_eq!(Metric::named("detect").unwrap().read(&repeat), Reading::Missing);
}

#[test]
fn a_result_with_nothing_but_its_name_and_one_full_of_nulls_are_read() {
    let bare = json!({ "scenario": { "name": "kill" } });
    let nulls = json!({ "scenario": { "name": "kill" }, "verdict": null, "repeat": null, "recovery": null, "integrity": null,
        "budgets": null, "fingerprint": null, "configuration": null });
    let comparison = Comparison::of(&side_of("base", [bare]), &side_of("new", [nulls]), &Axes::default(), &[]);
    assert!(comparison.rows.is_empty() && !comparison.regressed() && !comparison.judged() && !comparison.comparable);
    assert_eq!(comparison.verdict, RowVerdict::None);
    assert!(comparison.notes[0].contains("fingerprint"), "{:?}", comparison.notes);
}

#[test]
fn more_progress_is_better() {
    let of = |name: &str, records: [u64; 5]| {
        let row = |n: u64| json!({ "metric": "progress-during-fault", "limit": 100, "measured": n, "met": n >= 100 });
        side_of(name, records.map(|n| json!({ "scenario": { "name": "kill" }, "budgets": [row(n)] })))
    };
    let (many, few) = (of("many", [200, 210, 220, 230, 240]), of("few", [20, 21, 22, 23, 24]));
    let verdict = |base, new| Comparison::of(base, new, &Axes::default(), &[]).rows[0].decision.verdict;
    assert_eq!(verdict(&many, &few), RowVerdict::Regressed);
    assert_eq!(verdict(&few, &many), RowVerdict::Improved);
}

#[test]
fn inconclusive_repeats_prove_nothing_and_it_is_said() {
    let mut doubtful = result("kill", 5, 0.0);
    doubtful["verdict"] = json!("inconclusive");
    let mut new = side("new", "kill", &[2.0, 2.1, 2.2, 2.3]);
    new.repeats.push(serde_json::from_value(doubtful).unwrap());
    let comparison = Comparison::of(&side("base", "kill", &[2.0; 5]), &new, &Axes::default(), &[]);
    assert_eq!((comparison.rows[0].new.n(), comparison.rows[0].new.left_out), (4, 1));
    assert!(comparison.notes.iter().any(|note| note.contains("1 of 5 repeats of new was inconclusive")));
}

fn configured(name: &str, print: &str, configuration: Value) -> Side {
    let mut all = Vec::new();
    for (at, ttr) in [2.0, 2.1, 2.2, 2.3, 2.4].into_iter().enumerate() {
        let mut value = result("kill", at + 1, ttr);
        value["fingerprint"] = json!(print);
        value["configuration"] = configuration.clone();
        all.push(value);
    }
    side_of(name, all)
}

#[test]
fn different_conditions_are_not_comparable_unless_they_are_the_declared_axis() {
    let base = configured(
        "base",
        "a",
        json!({ "subject.profile": "development", "workload.rate": "200", "backend.kafka": "4.1.0" }),
    );
    let new = configured(
        "new",
        "b",
        json!({ "subject.profile": "production", "workload.rate": "200", "backend.kafka": "4.1.0" }),
    );
    let with = |axes: &[&str]| Comparison::of(&base, &new, &Axes::of(axes), &[]);
    let refused = with(&[]);
    assert!(!refused.comparable && !refused.judged() && !refused.regressed());
    assert_eq!(refused.verdict, RowVerdict::NotComparable);
    assert!(refused.rows.iter().all(|row| row.decision.p.is_none() && row.base.n() == 5), "values are shown");
    let note = &refused.notes[0];
    assert!(
        note.contains("subject.profile (development → production)") && note.contains("--axis subject.profile"),
        "{note}"
    );
    for axes in [&["subject.profile"][..], &["subject"], &["any"], &["cluster.kafka", "subject.\"profile\""]] {
        assert!(with(axes).comparable, "{axes:?}");
    }
    assert!(!with(&["workload.rate"]).comparable && !with(&["subject.prof"]).comparable);
}

#[test]
fn a_key_of_an_application_of_one_s_own_is_an_axis_as_its_file_has_it() {
    let of = |client: &str| configured(client, client, json!({ "subject.foreign.env.CLIENT": client }));
    let with = |axes: &[&str]| Comparison::of(&of("python"), &of("go"), &Axes::of(axes), &[]);
    let refused = with(&[]);
    assert!(!refused.comparable && refused.notes[0].contains("`--axis subject.env.CLIENT`"), "{:?}", refused.notes);
    for axes in [&["subject.env.CLIENT"][..], &["subject.env"], &["subject.foreign.env.CLIENT"]] {
        assert!(with(axes).comparable, "{axes:?}");
    }
    assert!(!with(&["subject.env.OTHER"]).comparable);
}

#[test]
fn a_kafka_version_as_axis_stands_for_its_images_too() {
    let of = |name, version: &str| {
        let lines =
            json!({ "cluster.kafka": version, "backend.kafka": version, "backend.image": format!("kafka:{version}") });
        configured(name, version, lines)
    };
    let (old, new) = (of("old", "4.0.0"), of("new", "4.1.0"));
    assert!(!Comparison::of(&old, &new, &Axes::default(), &[]).comparable);
    assert!(Comparison::of(&old, &new, &Axes::of(["cluster.kafka"]), &[]).comparable);
}

#[test]
fn fingerprints_that_do_not_say_what_they_are_made_of_can_still_be_waived() {
    let (base, new) = (configured("base", "a", json!({})), configured("new", "b", json!({})));
    let refused = Comparison::of(&base, &new, &Axes::of(["subject.profile"]), &[]);
    assert!(!refused.comparable && refused.notes[0].contains("--axis any"), "{:?}", refused.notes);
    assert!(Comparison::of(&base, &new, &Axes::of(["any"]), &[]).comparable);
    // One side that is a mixture of two conditions is no side.
    let mut mixed = base.clone();
    mixed.repeats[4].fingerprint = Some("c".into());
    let refused = Comparison::of(&mixed, &base, &Axes::default(), &[]);
    assert!(!refused.comparable && refused.notes[0].contains("among themselves"), "{:?}", refused.notes);
}

#[test]
fn the_gate_takes_all_scenarios_together_and_five_at_n_5_still_stop_a_regression() {
    let base = [7.6, 8.9, 9.1, 9.4, 9.9];
    let worse = [12.2, 14.0, 14.8, 15.1, 16.0];
    let suite = |name: &str, scenarios: usize, first: &[f64]| {
        let times = |at| if at == 0 { first } else { &base[..] };
        let all = (0..scenarios).flat_map(|at| side(name, &format!("s{at}"), times(at)).repeats);
        Side { name: name.to_owned(), repeats: all.collect() }
    };
    let gate = |scenarios| {
        Comparison::of(&suite("base", scenarios, &base), &suite("new", scenarios, &worse), &Axes::default(), &[])
    };
    assert!(gate(1).regressed() && gate(6).regressed());
    // p = 0.008 is nothing remarkable among eight.
    let eight = gate(8);
    assert!(!eight.regressed());
    assert_eq!(eight.verdict, RowVerdict::Suspected);
    assert!(eight.notes.iter().any(|note| note.contains("8 scenarios") && note.contains("0.063")), "{:?}", eight.notes);
    // What does not recover any more needs no p.
    let never = Comparison::of(&suite("base", 8, &base), &suite("new", 8, &[NEVER; 5]), &Axes::default(), &[]);
    assert!(never.regressed());
}

#[test]
fn a_scenario_that_one_side_alone_has_is_named_and_not_judged() {
    let comparison = Comparison::of(&side("base", "a", &[1.0; 5]), &side("new", "b", &[1.0; 5]), &Axes::default(), &[]);
    assert!(!comparison.judged() && !comparison.regressed() && !comparison.comparable);
    assert_eq!(comparison.rows.len(), 2);
    assert!(comparison.notes[0].starts_with("a: only in base"), "{:?}", comparison.notes);
}

const WIDE: Style = Style { width: 160, colour: false, all: false };

fn example() -> Comparison {
    let mut base = side("target/seaworthy/a", "broker-kill", &[7.6, 8.9, 9.1, 9.4, 9.9]);
    base.repeats.extend(side("", "partition", &[1.9, 2.0, 2.1, 2.2, 2.4]).repeats);
    let mut new = side("target/seaworthy/b", "broker-kill", &[12.2, 14.0, 14.8, 9.5, 16.0]);
    new.repeats.extend(side("", "partition", &[2.0, 2.1, 2.3, NEVER, NEVER]).repeats);
    Comparison::of(&base, &new, &Axes::default(), &[])
}

#[test]
fn the_table_is_one_line_a_row_where_it_fits_and_blocks_where_it_does_not() {
    insta::assert_snapshot!("wide", human(&example(), WIDE));
    insta::assert_snapshot!("narrow", human(&example(), Style { width: 80, ..WIDE }));
    insta::assert_snapshot!("markdown", markdown(&example(), false));
    insta::assert_snapshot!("one-side", summary(&side("base", "kill", &[7.6, 8.9, 9.1, NEVER, 11.0, 9.0]), false));
    let narrow = human(&example(), Style { width: 80, all: true, ..WIDE });
    let widest = narrow.lines().filter(|line| !line.starts_with("note:")).map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}\n{narrow}");
    let coloured = human(&example(), Style { colour: true, ..WIDE });
    assert!(coloured.contains("\u{1b}[1;31mREGRESSED"));
    let strip = coloured
        .replace("\u{1b}[1;31m", "")
        .replace("\u{1b}[32m", "")
        .replace("\u{1b}[33m", "")
        .replace("\u{1b}[0m", "");
    let without = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(without(&strip), without(&human(&example(), WIDE)));
}

fn json_of(comparison: &Comparison) -> Value {
    json(comparison)
}

#[test]
fn the_json_has_every_field_of_the_contract() {
    let json = json_of(&example());
    for field in ["schema_version", "comparable", "rows", "verdict"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    let row = &json["rows"][0];
    for field in ["scenario", "metric", "base", "new", "shift", "interval", "p", "verdict", "budget"] {
        assert!(row.get(field).is_some(), "{field}");
    }
    for side in ["base", "new"] {
        for field in ["n", "median", "min", "max", "samples"] {
            assert!(row[side].get(field).is_some(), "{side}.{field}");
        }
    }
    assert_eq!(row["budget"], json!({ "limit": 10.0, "met": 1, "of": 5 }));
    assert_eq!((row["verdict"].as_str(), json["verdict"].as_str()), (Some("regressed"), Some("regressed")));
    assert_eq!(row["interval"].as_array().map(Vec::len), Some(2));
    assert_eq!(row["base"]["samples"], json!([7.6, 8.9, 9.1, 9.4, 9.9]));
}

fn stored(folder: &Path, scenario: &str, times: &[f64]) {
    for (at, ttr) in times.iter().enumerate() {
        let repeat = folder.join(scenario).join((at + 1).to_string());
        std::fs::create_dir_all(&repeat).unwrap();
        std::fs::write(repeat.join("result.json"), result(scenario, at + 1, *ttr).to_string()).unwrap();
    }
}

#[test]
fn a_side_is_a_run_folder_any_folder_in_it_or_a_stored_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Eleven: as text, 10 and 11 come before 2.
    let times: Vec<f64> = (1..=11).map(f64::from).collect();
    stored(&run, "kill", &times);
    stored(&run, "cut", &[1.0]);
    let side = Side::read(&run).unwrap();
    assert_eq!(side.scenarios(), ["cut", "kill"]);
    let read: Vec<u64> = side.of("kill").iter().map(|repeat| repeat.repeat.unwrap()).collect();
    assert_eq!(read, (1..=11).collect::<Vec<u64>>());
    assert_eq!(Side::read(&run.join("kill")).unwrap().repeats.len(), 11);
    assert_eq!(Side::read(&run.join("kill/3")).unwrap().repeats.len(), 1);
    let file = folder.path().join("baseline.json");
    write_baseline(&side, &file).unwrap();
    let again = Side::read(&file).unwrap();
    assert_eq!(again.repeats, side.repeats);
    let comparison = Comparison::of(&again, &side, &Axes::default(), &[]);
    assert!(comparison.comparable && !comparison.regressed());
}

#[test]
fn a_baseline_keeps_what_the_fingerprint_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("baseline.json");
    let side = configured("base", "a", json!({ "workload.rate": "200" }));
    write_baseline(&side, &file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("workload.rate").count(), 1, "once for all repeats");
    assert_eq!(Side::read(&file).unwrap().repeats, side.repeats);
}

#[test]
fn what_is_no_side_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |path: &Path| Side::read(path).unwrap_err().to_string();
    assert!(refused(&path.join("nothing")).contains("does not exist"));
    assert!(refused(path).contains("no result.json"));
    let file = path.join("baseline.json");
    for (text, part) in
        [("{", "no stored baseline"), ("{}", "seaworthy_baseline"), ("{\"seaworthy_baseline\":2}", "version 2")]
    {
        std::fs::write(&file, text).unwrap();
        assert!(refused(&file).contains(part), "{text}: {}", refused(&file));
    }
    let run = path.join("run");
    stored(&run, "kill", &[1.0]);
    std::fs::write(run.join("kill/1/result.json"), "{\"recovery\": {\"ttr_s\": \"soon\"}}").unwrap();
    assert!(refused(&run).contains("kill/1/result.json") && refused(&run).contains("recheck"), "{}", refused(&run));
    let matrix = path.join("matrix");
    stored(&matrix.join("subject.profile=a"), "kill", &[1.0]);
    stored(&matrix.join("subject.profile=b"), "kill", &[1.0]);
    assert!(refused(&matrix).contains("subject.profile=a and "), "{}", refused(&matrix));
}

/// Skewed like recovery times: the logarithm is normal, `spread` is about the relative deviation.
fn recovery_times(rng: &mut Rng, n: usize, median: f64, spread: f64) -> Vec<f64> {
    let normal = |rng: &mut Rng| {
        let (a, b) = (1.0 - rng.share(), rng.share());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    };
    (0..n).map(|_| median * (spread * normal(rng)).exp()).collect()
}

/// In how many of `trials` the verdict is `regressed`, when new's median is `factor` times the base's.
fn regressed_share(seed: u64, trials: u32, n: usize, spread: f64, factor: f64) -> f64 {
    let recovery = Metric::named("recovery").unwrap();
    let mut rng = Rng::new(seed);
    let mut regressed = 0;
    for _ in 0..trials {
        let of = |values: Vec<f64>| Sample { values, ..Sample::default() };
        let base = of(recovery_times(&mut rng, n, 9.0, spread));
        let new = of(recovery_times(&mut rng, n, 9.0 * factor, spread));
        let band = recovery.band(base.median(), &[]);
        regressed += u32::from(judge(&base, &new, band, false).verdict == RowVerdict::Regressed);
    }
    f64::from(regressed) / f64::from(trials)
}

/// `cargo bench --bench comparison` prints the whole table from many more trials. Here the bounds leave four standard
/// deviations of 1 000 trials, so that the seed decides nothing.
#[test]
fn false_regressions_are_rare_and_slowdowns_are_caught() {
    for spread in [0.15, 0.30] {
        let share = regressed_share(1, 1_000, 5, spread, 1.0);
        assert!(share <= 0.03, "{share} false regressions at a spread of {spread}");
    }
    for (n, least) in [(5, 0.85), (7, 0.95), (10, 0.99)] {
        let share = regressed_share(2, 1_000, n, 0.15, 1.5);
        assert!(share >= least, "{share} caught at n = {n}");
    }
}
