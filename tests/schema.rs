//! The format's description (`scenario::format`), the JSON Schema made of it, and the reader agree: what one takes the
//! others take. So neither an editor nor the documentation can say what `seaworthy check` does not.

#![cfg(feature = "harness")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use seaworthy::diagnostic::{Diagnostic, Source};
use seaworthy::plan::Plan;
use seaworthy::scenario::format::{self, Absent, Kind, TABLES, Table};
use seaworthy::scenario::{self, schema};

/// Mistakes of shape, which a schema can see. All others are about what values mean together.
const OF_SHAPE: [&str; 13] = [
    "unknown-key",
    "missing-key",
    "wrong-type",
    "unknown-word",
    "bad-duration",
    "bad-size",
    "bad-topic-partition",
    "bad-target",
    "bad-identity",
    "fault-kind-missing",
    "fault-kind-several",
    "share-out-of-range",
    "number-out-of-range",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema::scenario()).expect("a schema that is one")
}

fn json(text: &str) -> Option<serde_json::Value> {
    Some(converted(toml::Value::Table(text.parse().ok()?)))
}

/// As an editor sees it; a date, which no key takes, is nothing at all.
fn converted(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, converted(value))).collect(),
        toml::Value::Array(items) => items.into_iter().map(converted).collect(),
        toml::Value::Datetime(_) => serde_json::Value::Null,
        other => serde_json::to_value(other).expect("a plain value"),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(here(folder)).expect("a folder").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn read(name: &str, text: &str) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    scenario::parse(&Source::new(format!("{name}.toml"), text))
}

#[test]
fn the_schema_that_is_checked_in_is_current() {
    let checked_in = std::fs::read_to_string(here("scenarios/schema.json")).expect("scenarios/schema.json");
    let current = serde_json::to_string_pretty(&schema::scenario()).expect("JSON") + "\n";
    assert!(checked_in == current, "run `cargo run -- schema > scenarios/schema.json`");
}

#[test]
fn every_good_scenario_fits_the_schema() {
    let validator = validator();
    let applications = ["clients", "python", "java", "go", "node"].map(|name| format!("examples/applications/{name}"));
    let own = ["scenarios", "src/cli/new", "src/scenario/tests", "tests/broken", "tests/controls"].map(str::to_owned);
    let folders = own.into_iter().chain(applications);
    for path in folders.flat_map(|folder| files(&folder)) {
        let text = std::fs::read_to_string(&path).expect("text");
        let document = json(&text).expect("TOML");
        let errors: Vec<_> = validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn every_shipped_scenario_names_its_schema_in_the_first_line() {
    for path in ["scenarios", "src/cli/new"].iter().flat_map(|folder| files(folder)) {
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.starts_with("#:schema schema.json\n"), "{}", path.display());
    }
}

#[test]
fn of_the_bad_scenarios_the_schema_refuses_those_whose_shape_is_wrong_and_no_others() {
    let validator = validator();
    let mut wrong = Vec::new();
    for path in files("tests/bad-scenarios") {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("bytes")).into_owned();
        let (Some(document), code) = (json(&text), path.file_stem().unwrap().to_string_lossy().into_owned()) else {
            continue;
        };
        let Err(found) = read(&code, &text).map(|_| ()) else {
            assert!(validator.is_valid(&document), "{code}: a file that is read fits");
            continue;
        };
        let shape = found.iter().any(|d| OF_SHAPE.contains(&d.code) || integer_zero(d));
        if validator.is_valid(&document) == shape {
            wrong.push(format!("{code}: {:?}", found.iter().map(|d| d.code).collect::<Vec<_>>()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A count of zero is a matter of shape, a duration or size of zero is not.
fn integer_zero(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == "zero" && diagnostic.label == "expected at least 1"
}

/// Values of every type, good for some key and bad for others.
const PROBES: &[&str] = &[
    "0",
    "1",
    "7",
    "-1",
    "250",
    "1.5",
    "0.5",
    "-0.5",
    "true",
    "\"\"",
    "\"6s\"",
    "\"1m 30s\"",
    "\".5s\"",
    "\"6 parsecs\"",
    "\"6\"",
    "\"256B\"",
    "\"4 KiB\"",
    "\"4kib\"",
    "\"orders/0\"",
    "\"orders\"",
    "\"orders/x\"",
    "\"/0\"",
    "\"any\"",
    "\"all\"",
    "\"one\"",
    "\"everyone\"",
    "\"refuse\"",
    "\"header\"",
    "\"heal\"",
    "\"produce\"",
    "\"NOT_CONTROLLER\"",
    "[]",
    "[\"open\"]",
    "[\"containers\"]",
    "[1]",
    "[[]]",
    "{}",
    "{ a = 1 }",
    "{ a = \"b\" }",
    "{ a = { b = \"c\" } }",
    "{ a = [1] }",
    "{ broker = 1 }",
    "{ broker = -1 }",
    "{ leader-of = \"orders/0\" }",
    "{ leader-of = \"orders/0\", broker = 1 }",
    "{ target = \"all\" }",
    "{ target = \"all\", broker = 1 }",
    "{ cut = \"all\" }",
    "{ within = \"6s\" }",
    "{ within = \"6s\", since = \"heal\" }",
    "{ since = \"heal\" }",
    "{ json = \"/a\" }",
    "{ rate = 0.5 }",
    "{ action = \"join\" }",
    "{ effect = \"unavailable\" }",
    "{ times = 2, every = \"9s\" }",
    "{ group-stable = \"9s\" }",
    "{ line = \"a\" }",
    "{ line = \"a\", group-stable = \"9s\" }",
    "\"/a\"",
    "{ topic-partition = \"orders/0\" }",
    "[{ at = \"0s\", pause = \"one\" }]",
    "[{ at = \"0s\" }]",
    "[{ pause = \"one\" }]",
    "[{ at = \"0s\", pause = \"one\", kill = \"one\" }]",
    "{ api = \"produce\", error = \"NOT_CONTROLLER\" }",
    "{ api = \"produce\", error = \"NOT_CONTROLLER\", times = 2 }",
    "{ api = \"produce\", error = \"NOT_CONTROLLER\", times = 2, rate = 0.5 }",
    "1979-05-27",
];

/// A good value of a kind, as TOML.
fn sample(kind: Kind) -> String {
    match kind {
        Kind::Text => "\"a\"".into(),
        Kind::Pointer => "\"/a\"".into(),
        Kind::Duration | Kind::SomeDuration => "\"6s\"".into(),
        Kind::Whole(least, _) => least.max(1).to_string(),
        Kind::Share => "0.5".into(),
        Kind::Word(words) => format!("\"{}\"", words[0]),
        Kind::ErrorName => "\"NOT_CONTROLLER\"".into(),
        Kind::TopicPartition => "\"orders/0\"".into(),
        Kind::Target => "\"one\"".into(),
        Kind::Series => "{ a = \"b\" }".into(),
        other => panic!("no required key is {other:?}"),
    }
}

/// A whole file in which only this one table says anything, with `key = value` in it (empty: without it).
fn file_with(table: &Table, key: &str, value: &str) -> String {
    let required = table.keys.iter().filter(|k| k.default == Absent::Required && k.name != key);
    let mut entries: Vec<String> = required.map(|k| format!("{} = {}", k.name, sample(k.kind))).collect();
    // Where one of several keys must be given.
    match table.name {
        "[[fault]]" => {
            entries.retain(|e| !e.starts_with("at "));
            if key != "at" {
                entries.push("at = \"0s\"".into());
            }
            if !scenario::FAULT_KINDS.contains(&key) {
                entries.push("pause = \"one\"".into());
            }
        }
        "slow-network" | "kill, stop" | "pause" if key != "target" => entries.push("target = \"one\"".into()),
        "ready" if key == "within" => entries.push("line = \"a\"".into()),
        "ready" if !["group-stable", "line", "http"].contains(&key) => entries.push("group-stable = \"9s\"".into()),
        "broker-errors" if key != "rate" && key != "times" => entries.push("times = 3".into()),
        _ => {}
    }
    if !value.is_empty() {
        entries.push(format!("{key} = {value}"));
    }
    let inline = format!("{{ {} }}", entries.join(", "));
    let fault = |kind: &str| format!("name = \"x\"\nfault = [{{ at = \"0s\", lasts = \"6s\", {kind} = {inline} }}]");
    match table.name {
        "" => entries.join("\n").replace("name = \"a\"", "name = \"x\""),
        "[[fault]]" => format!("name = \"x\"\nfault = [{inline}]"),
        "repeat" => {
            format!("name = \"x\"\nfault = [{{ at = \"0s\", lasts = \"1s\", pause = \"one\", repeat = {inline} }}]")
        }
        "ready" | "identity" | "sink" | "metrics" => format!("name = \"x\"\nsubject = {{ {} = {inline} }}", table.name),
        "recovery, first-success, outage, drain, detect" => format!("name = \"x\"\nbudget = {{ outage = {inline} }}"),
        "progress-during-fault" => format!("name = \"x\"\nbudget = {{ progress-during-fault = {inline} }}"),
        "kill, stop" => fault("kill"),
        name if name.starts_with('[') => format!("name = \"x\"\n{} = {inline}", name.trim_matches(['[', ']'])),
        name => fault(name),
    }
}

#[test]
fn whatever_a_key_is_given_schema_and_reader_agree() {
    let validator = validator();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for table in TABLES {
        for key in table.keys {
            let words: Vec<String> = match key.kind {
                Kind::Word(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
                Kind::Words(words) => words.iter().map(|word| format!("[\"{word}\"]")).collect(),
                _ => Vec::new(),
            };
            for probe in PROBES.iter().map(|p| (*p).to_owned()).chain(words).chain([String::new()]) {
                let text = file_with(table, key.name, &probe);
                let Some(document) = json(&text) else { panic!("not TOML: {text}") };
                let found = match read("x", &text) {
                    Ok((_, warnings)) => warnings,
                    Err(all) => all,
                };
                let bad = |d: &Diagnostic| OF_SHAPE.contains(&d.code) || integer_zero(d);
                let refused: Vec<_> = found.iter().filter(|d| bad(d)).map(|d| d.message.clone()).collect();
                asked += 1;
                if validator.is_valid(&document) != refused.is_empty() {
                    wrong.push(format!("{text}\n    reader: {refused:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 4_000, "{asked}");
}

#[test]
fn the_words_of_the_format_are_those_of_the_reader() {
    let mut seen = 0;
    for table in TABLES {
        for key in table.keys {
            let (words, probe) = match key.kind {
                Kind::Word(words) => (words, "\"zzzzzzzzz\""),
                Kind::Words(words) => (words, "[\"zzzzzzzzz\"]"),
                _ => continue,
            };
            let found = read("x", &file_with(table, key.name, probe)).unwrap_err();
            let help = found.iter().find(|d| d.code == "unknown-word").and_then(|d| d.help.clone());
            let known = help.unwrap_or_else(|| panic!("{}: {found:?}", key.name));
            assert_eq!(known, format!("known words: {}", words.join(", ")), "{} {}", table.name, key.name);
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let mut compared = 0;
    for table in TABLES {
        for key in table.keys {
            let Absent::Is(value) = key.default else { continue };
            let plan = |text: &str| read("x", text).map(|(plan, _)| plan);
            let (without, with) = (plan(&file_with(table, key.name, "")), plan(&file_with(table, key.name, value)));
            match (without, with) {
                (Ok(without), Ok(with)) => {
                    assert_eq!(without, with, "{} {} = {value}", table.name, key.name);
                    compared += 1;
                }
                // What a table of defaults alone lacks is another rule's matter.
                (Err(without), Err(with)) => {
                    let codes = |all: Vec<Diagnostic>| all.iter().map(|d| d.code).collect::<BTreeSet<_>>();
                    assert_eq!(codes(without), codes(with), "{} {} = {value}", table.name, key.name);
                }
                (without, with) => panic!("{} {}: {without:?} {with:?}", table.name, key.name),
            }
        }
    }
    assert!(compared > 25, "{compared}");
}

#[test]
fn the_guide_s_tables_are_those_of_the_format() {
    let path = here("docs/scenarios.md");
    let page = std::fs::read_to_string(&path).expect("docs/scenarios.md");
    let (begin, end) = ("<!-- keys: generated -->\n", "<!-- /keys -->");
    let (before, rest) = page.split_once(begin).expect("the mark where the tables begin");
    let (_, after) = rest.split_once(end).expect("the mark where they end");
    let current = format!("{before}{begin}{}{end}{after}", format::markdown());
    if std::env::var_os("SEAWORTHY_BLESS").is_some() {
        std::fs::write(&path, current).expect("written");
        return;
    }
    assert!(page == current, "run `SEAWORTHY_BLESS=1 cargo test --test schema guide`");
}
