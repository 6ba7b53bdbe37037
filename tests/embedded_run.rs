//! The promise of the front page: on a machine without an engine a run is a rehearsal, says so everywhere, and ends with a
//! verdict table; and whatever ends it, no process of it stays.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SHORT: &str = r#"
name = "short"
[workload]
warm-up = "1s"
baseline = "3s"
[subject]
members = 2
[subject.client]
debug = "metadata"
[[fault]]
at = "0s"
lasts = "2s"
network = { cut = { leader-of = "orders/0" }, effect = "refuse" }
[budget]
duplicates = 0
reordered = 0
# Twice that is what it is watched for: the machine may be busy.
recovery = { within = "5s", since = "heal" }
[observation]
on-time = "1s"
"#;
/// Not said: `ready`, which is `group-stable` then.
const OWN: &str = r#"
[workload]
warm-up = "1s"
baseline = "3s"
[observation]
on-time = "1s"
[subject]
kind = "process"
members = 2
"#;
const NO_MOCK: &str = "name = \"no-mock\"\n[[fault]]\nat = \"0s\"\nkill = { target = \"controller\" }\n";

/// One run at a time: five clusters at once on two processors stall each other, and stalls are not what these tests are
/// about. It is poisoned by the test that fails, and good for the others all the same.
fn alone() -> MutexGuard<'static, ()> {
    static RUN: Mutex<()> = Mutex::new(());
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command where no engine answers.
fn seaworthy(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder).env("DOCKER_HOST", "tcp://127.0.0.1:9").args(["run", "--seed", "1", "--out", "out"]);
    command
}

fn scenarios() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("scenarios")).expect("a folder");
    for (name, text) in [("short", SHORT), ("no-mock", NO_MOCK)] {
        std::fs::write(folder.path().join(format!("scenarios/{name}.toml")), text).expect("a file");
    }
    folder
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn without_an_engine_a_folder_is_rehearsed_and_what_cannot_be_is_named() {
    let _alone = alone();
    let folder = scenarios();
    let output = seaworthy(folder.path()).output().expect("it runs");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(err.starts_with("backend: embedded, chosen because no Docker engine answers"), "{err}");
    assert!(out.contains("PASS          short") && out.contains("1 passed, 0 failed, 0 inconclusive"), "{out}");
    let of_run = |file: &str| std::fs::read_to_string(folder.path().join("out/latest").join(file)).expect(file);
    let json = |file: &str| serde_json::from_str::<serde_json::Value>(&of_run(file)).expect("JSON");
    for text in [&out, &err, &of_run("summary.md"), &json("run.json")["left_out"].to_string()] {
        assert!(text.contains("no-mock") && text.contains("find-controller"), "{text}");
    }
    for text in [&out, &err, &of_run("summary.md"), &json("short/1/result.json")["backend"].to_string()] {
        assert!(text.contains("a rehearsal") && text.contains("replication"), "{text}");
    }
    let notes = json("short/1/result.json")["backend"]["notes"].to_string();
    assert!(notes.contains("chosen because no Docker engine answers"), "{notes}");
    for log in ["member-0", "producer-0"] {
        let text = of_run(&format!("short/1/logs/{log}.log"));
        let detail = text.lines().find(|line| line.contains(" DEBUG librdkafka facility=METADATA ")).expect(log);
        let at: f64 = detail.split(' ').next().and_then(|at| at.parse().ok()).expect(detail);
        assert!((0.0..60.0).contains(&at), "{detail}");
    }
}

#[test]
fn a_service_of_one_s_own_is_rehearsed_as_the_template_for_it_says() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    // `cargo test` builds it beside this test.
    let here = std::env::current_exe().expect("this test's path");
    let service = here.parent().and_then(Path::parent).expect("target").join("examples/application");
    let text = format!("name = \"own\"\n{OWN}command = [{:?}]\n", service.display().to_string());
    std::fs::write(folder.path().join("own.toml"), text).expect("a file");
    let output = seaworthy(folder.path()).arg("own.toml").output().expect("it runs");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("PASS          own"), "{out}");
}

#[test]
fn a_file_that_was_named_and_cannot_be_rehearsed_is_a_mistake() {
    let folder = scenarios();
    let output = seaworthy(folder.path()).arg("scenarios/no-mock.toml").output().expect("it runs");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(64), "{out}{err}");
    assert!(err.contains("unsupported-by-backend") && err.contains("no-mock.toml:4:1"), "{err}");
}

#[test]
fn ctrl_c_in_mid_fault_heals_and_leaves_no_process() {
    let _alone = alone();
    let folder = scenarios();
    let (mut run, children) = in_mid_fault(folder.path());
    signal(run.id(), "INT");
    let status = run.wait().expect("an end");
    assert!(children.len() >= 3, "two members and a mock: {children:?}");
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(living(&children), Vec::<u32>::new());
    let history = std::fs::read_to_string(folder.path().join("out/latest/short/1/history.jsonl")).expect("a history");
    let healed = history.lines().any(|line| line.contains("\"fault\"") && line.contains("\"healed\""));
    assert!(healed, "the history says nothing of the heal");
}

#[test]
fn a_sigkill_leaves_no_process() {
    let _alone = alone();
    let folder = scenarios();
    let (mut run, children) = in_mid_fault(folder.path());
    run.kill().expect("a kill");
    run.wait().expect("an end");
    assert!(children.len() >= 3, "two members and a mock: {children:?}");
    // Members may take 5 s to drain and leave.
    for _ in 0..300 {
        if living(&children).is_empty() {
            return;
        }
        pause();
    }
    panic!("30 s after the SIGKILL: {:?}", living(&children));
}

#[test]
fn a_mock_that_aborts_is_the_environment_s_fault_and_not_the_application_s() {
    let _alone = alone();
    let folder = scenarios();
    let (mut run, children) = in_mid_fault(folder.path());
    let mock = children.iter().find(|pid| is_mock(**pid)).expect("a mock cluster");
    signal(*mock, "ABRT");
    let mut out = String::new();
    std::io::Read::read_to_string(&mut run.stdout.take().expect("standard output"), &mut out).expect("text");
    let status = run.wait().expect("an end");
    assert_eq!(status.code(), Some(69), "{status}: {out}");
    assert!(out.contains("mock cluster has died") && out.contains("SIGABRT"), "{out}");
    assert_eq!(living(&children), Vec::<u32>::new());
}

/// A run of `short` once its fault phase has begun, and its children.
fn in_mid_fault(folder: &Path) -> (Child, Vec<u32>) {
    let mut run = seaworthy(folder)
        .args(["scenarios/short.toml", "--backend", "embedded"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(run.stderr.take().expect("standard error")).lines();
    let mut seen = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        let reached = line.trim_start().starts_with("fault");
        seen = seen + &line + "\n";
        if reached {
            // Somebody must go on reading, or the run would wait at a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            let history = PathBuf::from(folder).join("out/latest/short/1/history.jsonl");
            for _ in 0..100 {
                let history = std::fs::read_to_string(&history).unwrap_or_default();
                if history.contains("\"confirmed\"") {
                    break;
                }
                pause();
            }
            let children = children(run.id());
            return (run, children);
        }
    }
    let ended = run.wait();
    panic!("it ended before its fault phase ({ended:?}):\n{seen}");
}

fn children(parent: u32) -> Vec<u32> {
    let found = Command::new("pgrep").args(["-P", &parent.to_string()]).output().expect("pgrep");
    String::from_utf8_lossy(&found.stdout).lines().filter_map(|line| line.parse().ok()).collect()
}

fn is_mock(pid: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.windows(24).any(|part| part == b"SEAWORTHY_INTERNAL_MOCK=")
}

/// Those that have not ended; a zombie has.
fn living(pids: &[u32]) -> Vec<u32> {
    let lives = |pid: &&u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    pids.iter().filter(lives).copied().collect()
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().expect("kill");
    assert!(status.success(), "kill: {status}");
}

#[expect(clippy::disallowed_methods, reason = "waits for what other processes do")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
