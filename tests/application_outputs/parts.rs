//! Applications of one's own that write several effects for a record, or none on purpose: whole runs of
//! `examples/application.rs` on the embedded backend, and of the ways in which it gets that wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

const SCENARIO: &str = r#"
[workload]
rate = 100
keys = 16
producer = "plain"
warm-up = "2s"
baseline = "3s"
[observation]
on-time = "1s"
"#;

/// No broker takes a record for 3 s, while reading goes on: whatever is written meanwhile has to be tried again, wherever the
/// application was when it began. (A cut of the output's leader cuts its input off, too: between two batches it would lose
/// nothing.)
const REFUSED: &str = r#"
[[fault]]
at = "0s"
lasts = "3s"
broker-errors = { api = "produce", error = "NOT_ENOUGH_REPLICAS", rate = 1.0 }
"#;

/// A run that came to an end.
struct Ran {
    exit: Option<i32>,
    told: String,
    result: Value,
    history: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ran {
    fn anomaly(&self, kind: &str) -> Option<&Value> {
        self.result["integrity"]["anomalies"].as_array()?.iter().find(|anomaly| anomaly["kind"] == kind)
    }

    /// The fatal ones by name, and what reports say about the first example of the first.
    fn fatal(&self) -> (Vec<&str>, String) {
        let all = self.result["integrity"]["anomalies"].as_array().into_iter().flatten();
        let fatal: Vec<&Value> = all.filter(|anomaly| anomaly["fatal"] == true).collect();
        let note = fatal.first().map_or(String::new(), |first| first["examples"][0]["note"].to_string());
        (fatal.iter().filter_map(|anomaly| anomaly["kind"].as_str()).collect(), note)
    }

    fn count(&self, name: &str) -> u64 {
        self.result["integrity"][name].as_u64().expect("a count")
    }

    /// What `recheck` prints of its history.
    fn rechecked(&self, format: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
        let output = command.arg("recheck").arg(&self.history).args(["--format", format]).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Judged from its history alone it comes to the same.
    fn is_judged_again_the_same(&self) {
        let again: Value = serde_json::from_str(&self.rechecked("json")).expect("JSON");
        assert_eq!((&again["integrity"], &again["verdict"]), (&self.result["integrity"], &self.result["verdict"]));
    }
}

/// Runs the example with `flags`, as what `subject` says; one run at a time, for this machine may be small.
fn run(flags: &[&str], subject: &str, fault: &str) -> Ran {
    static RUN: Mutex<()> = Mutex::new(());
    let _alone = RUN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    // `cargo test` builds it beside this test.
    let here = std::env::current_exe().expect("this test's path");
    let service = here.parent().and_then(Path::parent).expect("target").join("examples/application");
    let mut command = vec![service.display().to_string()];
    command.extend(flags.iter().map(|flag| (*flag).to_owned()));
    // One member: none has to wait for a rebalance, and the run begins with all topic partitions served.
    let subject = format!("[subject]\nkind = \"process\"\nmembers = 1\ncommand = {command:?}\n{subject}\n");
    let text = format!("name = \"own\"\n{SCENARIO}{subject}{fault}");
    std::fs::write(folder.path().join("own.toml"), text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder.path()).args([
        "run",
        "own.toml",
        "--backend",
        "embedded",
        "--seed",
        "1",
        "--out",
        "out",
    ]);
    let output = command.output().expect("it runs");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let repeat = folder.path().join("out/latest/own/1");
    let result = std::fs::read(repeat.join("result.json")).unwrap_or_else(|error| panic!("{error}: {told}"));
    let result = serde_json::from_slice(&result).expect("JSON");
    Ran { exit: output.status.code(), told, result, history: repeat.join("history.jsonl"), _folder: folder }
}

#[test]
fn a_fan_out_that_writes_every_part_passes_while_brokers_refuse_records() {
    let ran = run(&["--parts", "3"], "effects = 3", REFUSED);
    assert_eq!((ran.exit, ran.fatal()), (Some(0), (vec![], String::new())), "{}", ran.told);
    assert!(ran.count("effects") > 500 && ran.count("effects") >= ran.count("acked"), "{}", ran.told);
    let history = std::fs::read_to_string(&ran.history).expect("a history");
    for part in 0..3 {
        let effects = history.lines().filter(|line| line.contains(&format!("\"part\":{part}")));
        assert!(effects.count() as u64 >= ran.count("effects"), "part {part}");
    }
    ran.is_judged_again_the_same();
}

#[test]
fn a_fan_out_that_does_not_wait_for_its_later_parts_loses_them_while_brokers_refuse_records() {
    let ran = run(&["--parts", "3", "--unawaited-parts"], "effects = 3", REFUSED);
    let (fatal, note) = ran.fatal();
    assert_eq!((ran.exit, &fatal[..]), (Some(1), &["lost-in-app"][..]), "{}", ran.told);
    assert!(note.contains("without part ") && note.contains("of the 3 effects"), "{note}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_fan_out_that_the_scenario_does_not_know_of_is_so_many_duplicates() {
    let ran = run(&["--parts", "2"], "exactly-once = true", "");
    assert_eq!((ran.exit, ran.fatal().0), (Some(1), vec!["duplicate-effect"]), "{}", ran.told);
}

#[test]
fn a_part_too_many_is_unexpected() {
    let ran = run(&["--parts", "3"], "effects = 2", "");
    let (fatal, note) = ran.fatal();
    assert_eq!((ran.exit, &fatal[..]), (Some(1), &["unexpected"][..]), "{}", ran.told);
    assert!(note.contains("an effect of part 2, and its 2 parts are 0 to 1"), "{note}");
}

#[test]
fn a_filter_that_leaves_out_what_it_is_to_leave_out_passes() {
    // All keys of one topic partition are among them: nothing is owed there.
    let ran = run(&["--drop", "k3,k9,k15,k4"], "drops = [\"k3\", \"k9\", \"k15\", \"k4\"]", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(0), (vec![], String::new())), "{}", ran.told);
    let (filtered, effects) = (ran.count("filtered"), ran.count("effects"));
    // A quarter of the keys.
    assert!(effects > 2 * filtered && filtered > effects / 5, "{filtered} left out, {effects} served");
    assert_eq!(filtered + effects, ran.count("acked"));
    let told = ran.rechecked("human");
    assert!(told.contains(&format!("{filtered} left out on purpose")), "{told}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_filter_that_serves_what_it_is_to_leave_out_is_caught() {
    let ran = run(&["--drop", "k3"], "drops = [\"k3\", \"k4\"]", "");
    assert_eq!((ran.exit, ran.fatal().0), (Some(1), vec!["filtered-but-served"]), "{}", ran.told);
    let examples = ran.anomaly("filtered-but-served").expect("it was found")["examples"].as_array().expect("some");
    assert!(examples.iter().all(|example| example["key"] == "k4"), "{examples:?}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_filter_that_leaves_out_more_than_it_may_loses_it() {
    let ran = run(&["--drop", "k3,k5"], "drops = [\"k3\"]", "");
    assert_eq!((ran.exit, ran.fatal().0), (Some(1), vec!["lost-in-app"]), "{}", ran.told);
    let examples = ran.anomaly("lost-in-app").expect("it was found")["examples"].as_array().expect("some");
    assert!(examples.iter().all(|example| example["key"] == "k5"), "{examples:?}");
}
