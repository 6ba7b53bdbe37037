//! What applications of one's own make of a record: whole runs of `examples/application.rs` on the embedded backend, and of
//! the ways in which it gets that wrong.

mod parts;
#[path = "../support/port.rs"]
mod port;
mod sinks;

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
"#;

/// A run that came to an end.
struct Ran {
    exit: Option<i32>,
    told: String,
    result: Value,
    folder: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ran {
    fn anomalies(&self) -> impl Iterator<Item = &Value> {
        self.result["integrity"]["anomalies"].as_array().into_iter().flatten()
    }

    fn anomaly(&self, kind: &str) -> Option<&Value> {
        self.anomalies().find(|anomaly| anomaly["kind"] == kind)
    }

    /// The anomalies that count as failures, by name.
    fn fatal(&self) -> Vec<&str> {
        self.anomalies().filter(|anomaly| anomaly["fatal"] == true).filter_map(|a| a["kind"].as_str()).collect()
    }

    /// What reports say about the first example of the first of them.
    fn note(&self) -> String {
        let first = self.anomalies().find(|anomaly| anomaly["fatal"] == true);
        first.map_or(String::new(), |first| first["examples"][0]["note"].to_string())
    }

    fn count(&self, name: &str) -> u64 {
        self.result["integrity"][name].as_u64().expect("a count")
    }

    fn history(&self) -> String {
        std::fs::read_to_string(self.folder.join("history.jsonl")).expect("a history")
    }

    /// What `recheck` prints of its history.
    fn rechecked(&self, format: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
        let history = self.folder.join("history.jsonl");
        let output = command.arg("recheck").arg(history).args(["--format", format]).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Judged from its history alone it comes to the same.
    fn is_judged_again_the_same(&self) {
        let again: Value = serde_json::from_str(&self.rechecked("json")).expect("JSON");
        for part in ["verdict", "integrity", "recovery"] {
            assert_eq!(again[part], self.result[part], "{part}");
        }
    }
}

/// Runs the example with `flags`, as what `subject` says; `rest` is the rest of the scenario.
fn run(flags: &[&str], subject: &str, rest: &str) -> Ran {
    let (exit, told, folder) = attempt(flags, subject, rest);
    let repeat = folder.path().join("out/latest/own/1");
    let result = std::fs::read(repeat.join("result.json")).unwrap_or_else(|error| panic!("{error}: {told}"));
    let result = serde_json::from_slice(&result).expect("JSON");
    Ran { exit, told, result, folder: repeat, _folder: folder }
}

/// The same, with or without a result: the exit code, what it says, and where. One at a time, for this machine may be small.
fn attempt(flags: &[&str], subject: &str, rest: &str) -> (Option<i32>, String, tempfile::TempDir) {
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
    let text = format!("name = \"own\"\n{SCENARIO}{subject}{rest}");
    std::fs::write(folder.path().join("own.toml"), text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder.path());
    command.args(["run", "own.toml", "--backend", "embedded", "--seed", "1", "--out", "out"]);
    let output = command.output().expect("it runs");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), told, folder)
}
