//! Whatever ends a run, nothing of it stays: Ctrl-C in the middle of a fault heals and cleans up before it exits with 130;
//! after a SIGKILL the reaper removes the containers, and the members end by themselves.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::testing::{self, Bench};

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let ignored = Bench::new().ignores_containers();
    let trials = vec![
        Trial::test("ctrl_c_in_mid_fault_heals_and_leaves_nothing::containers", ctrl_c).with_ignored_flag(ignored),
        Trial::test("a_sigkill_leaves_nothing::containers", sigkill).with_ignored_flag(ignored),
        Trial::test("a_sigkill_leaves_no_container_of_an_application::containers", sigkill_beside_containers)
            .with_ignored_flag(ignored),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn ctrl_c() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let mut run = in_mid_fault(out.path())?;
    signal(&run, "INT")?;
    let status = run.wait()?;
    if status.code() != Some(130) {
        return Err(format!("expected exit code 130, got {status}").into());
    }
    if !left_of(run.id())?.is_empty() {
        return Err(format!("left behind: {:?}", left_of(run.id())?).into());
    }
    let history = std::fs::read_to_string(out.path().join("latest/network-partition/1/history.jsonl"))?;
    let healed = history.lines().any(|line| line.contains("\"fault\"") && line.contains("\"healed\""));
    if healed { Ok(()) } else { Err("the history says nothing of the heal".into()) }
}

fn sigkill() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let run = in_mid_fault(out.path())?;
    killed(run)
}

/// The brokers are rehearsed: the only containers are the application's, which does nothing, in an image that is here.
fn sigkill_beside_containers() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let image = std::env::var("SEAWORTHY_KAFKA_IMAGE").unwrap_or_else(|_| "apache/kafka:4.1.0".to_owned());
    let file = folder.path().join("idle.toml");
    let text = format!(
        "name = \"idle\"\n[subject]\nkind = \"container\"\nimage = \"{image}\"\ncommand = [\"sleep\", \"600\"]\n"
    );
    std::fs::write(&file, text)?;
    let run = in_phase("warm-up", &[&file.display().to_string(), "--backend", "embedded"], folder.path())?;
    let members = left_of(run.id())?.into_iter().filter(|what| what.starts_with("ps ")).count();
    if members != 2 {
        return Err(format!("{members} members run in containers, not 2").into());
    }
    killed(run)
}

fn killed(mut run: Child) -> Result<(), Failed> {
    let before = left_of(run.id())?;
    if before.is_empty() {
        return Err("there was nothing to leave behind".into());
    }
    run.kill()?;
    run.wait()?;
    let mut left = before;
    for _ in 0..100 {
        left = left_of(run.id())?;
        if left.is_empty() {
            return Ok(());
        }
        pause();
    }
    Err(format!("10 s after the SIGKILL: {left:?}").into())
}

/// A run of `network-partition`, once its fault phase has begun.
fn in_mid_fault(out: &std::path::Path) -> Result<Child, Failed> {
    in_phase("fault", &["scenarios/network-partition.toml", "--backend", "containers"], out)
}

/// A run, one second into a phase.
fn in_phase(phase: &str, arguments: &[&str], out: &std::path::Path) -> Result<Child, Failed> {
    let mut run = Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .arg("run")
        .args(arguments)
        .args(["--seed", "1"])
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = run.stderr.take().ok_or("no standard error")?;
    let mut seen = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        let reached = line.trim_start().starts_with(phase);
        seen.push_str(&line);
        seen.push('\n');
        if reached {
            // Somebody must go on reading, or the run would wait at a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            for _ in 0..10 {
                pause();
            }
            return Ok(run);
        }
    }
    Err(format!("it ended before its {phase} phase:\n{seen}").into())
}

fn signal(child: &Child, name: &str) -> Result<(), Failed> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status()?;
    if status.success() { Ok(()) } else { Err(format!("kill: {status}").into()) }
}

/// Containers, networks and member processes of that run.
fn left_of(pid: u32) -> Result<Vec<String>, Failed> {
    let label = format!("label={}={pid}", seaworthy::cluster::containers::PID_LABEL);
    let mut left = Vec::new();
    for what in [["ps", "-aq"], ["network", "ls"]] {
        let quiet: &[&str] = if what[0] == "network" { &["-q"] } else { &[] };
        let output = Command::new("docker").args(what).args(quiet).args(["--filter", &label]).output()?;
        left.extend(String::from_utf8_lossy(&output.stdout).lines().map(|id| format!("{} {id}", what[0])));
    }
    let group = Command::new("pgrep").args(["-P", &pid.to_string()]).output()?;
    left.extend(String::from_utf8_lossy(&group.stdout).lines().map(|id| format!("process {id}")));
    Ok(left)
}

#[expect(clippy::disallowed_methods, reason = "waits for what other processes do")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
