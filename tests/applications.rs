//! Somebody else's application, and every way in which one misbehaves: it is run, harmed, judged and ended, what is wrong
//! with it is named, and nothing of it survives.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::plan::BackendKind;
use seaworthy::testing::{self, Bench};
use seaworthy::verdict::Verdict;
use seaworthy::{report, scenario};

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bench = Bench::new();
    let ignored = bench.ignores_containers();
    let trial = |name: &str, body: fn(&Bench) -> Result<(), Failed>| {
        let bench = bench.clone();
        Trial::test(format!("{name}::containers"), move || body(&bench)).with_ignored_flag(ignored)
    };
    let trials = vec![
        trial("one_that_floods_its_output_and_leaves_children_behind_is_judged_by_its_work", unruly),
        trial("one_that_commits_before_it_writes_is_caught", early_commit),
        trial("a_transactional_one_rides_out_a_freeze_and_a_crash_without_a_double_effect", transactional),
        trial("one_that_commits_beside_its_transaction_is_caught_when_it_thaws", zombie),
        trial("one_that_ends_by_itself_is_named_with_its_log", ends_early),
        trial("one_that_never_becomes_ready_is_named", never_ready),
        trial("a_program_that_does_not_exist_is_named", no_such_program),
        trial("one_that_does_not_answer_over_http_is_named", silent),
        trial("a_container_is_crashed_joined_and_judged_as_a_process_is", container),
        trial("a_container_that_prints_its_effects_is_judged_by_them", container_prints),
        trial("a_container_that_ends_by_itself_is_named_with_its_log", container_ends_early),
        trial("an_image_that_is_not_to_be_had_is_named", no_such_image),
        examples(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    bench.close();
    conclusion.exit_code()
}

/// An example, which `cargo test` builds beside this test.
fn application(name: &str) -> Result<PathBuf, Failed> {
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).ok_or("this test has no place")?;
    let application = target.join("examples").join(name);
    if application.exists() { Ok(application) } else { Err(format!("cargo build --example {name} comes first").into()) }
}

/// Writes the scenario beside nothing else and runs it; `{application}` and `{transactional}` are the
/// examples' paths.
fn play(bench: &Bench, name: &str, text: &str) -> Result<Result<seaworthy::runner::ScenarioOutcome, String>, Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(format!("{name}.toml"));
    let mut text = text.to_owned();
    for name in ["application", "transactional"] {
        text = text.replace(&format!("{{{name}}}"), &application(name)?.display().to_string());
    }
    std::fs::write(&file, format!("name = \"{name}\"\n{text}"))?;
    let plan = scenario::load(&file).map_err(|invalid| Failed::from(invalid.render(false)))?;
    let outcome = bench.run(file, plan, BackendKind::Containers);
    match own_processes(name)? {
        left if left.is_empty() => Ok(outcome),
        left => Err(format!("left behind: {left:?}").into()),
    }
}

/// Processes with this word in their command line or environment: every one that the trial may start has it there.
fn own_processes(word: &str) -> Result<Vec<String>, Failed> {
    let mark = format!("SEAWORTHY_GROUP_ID={word}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&mark) {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    Ok(found)
}

fn expect(
    outcome: Result<seaworthy::runner::ScenarioOutcome, String>,
    verdict: Verdict,
    reason: Option<&str>,
) -> Result<PathBuf, Failed> {
    let outcome = outcome?;
    let named = reason.is_none_or(|code| outcome.result.reasons.iter().any(|reason| reason.code == code));
    if outcome.result.verdict == verdict && named {
        return Ok(outcome.folder);
    }
    let block = report::scenario_block(&outcome.result, &outcome.folder.display().to_string());
    Err(format!("expected {verdict} {reason:?}, got:\n{block}").into())
}

const LOAD: &str = r#"
[workload]
rate = 200
producer = "plain"
baseline = "5s"
[observation]
on-time = "500ms"
"#;

/// Four languages' toolchains, their packages, and twenty runs of a minute each: not a part of every `cargo test`.
fn examples() -> Trial {
    let body = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/applications/check");
        let seaworthy = option_env!("CARGO_BIN_EXE_seaworthy").ok_or("it takes the feature `cli`")?;
        let status = std::process::Command::new(script).env("SEAWORTHY", seaworthy).status()?;
        if status.success() { Ok(()) } else { Err(format!("{script}: {status}").into()) }
    };
    Trial::test("examples_in_four_languages_pass_and_their_broken_twins_fail::containers", body).with_ignored_flag(true)
}

/// Builds the image of `examples/application.rs`.
fn image() -> Result<&'static str, Failed> {
    const TAG: &str = "seaworthy-test-application:latest";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/applications/image");
    let built = std::process::Command::new(script).arg(application("application")?).arg(TAG).output()?;
    let said = || String::from_utf8_lossy(&built.stderr).into_owned();
    if built.status.success() { Ok(TAG) } else { Err(format!("{script}: {}", said()).into()) }
}

/// Runs a scenario whose subject is a container, and looks for containers that stay.
fn play_container(
    bench: &Bench,
    name: &str,
    text: &str,
) -> Result<Result<seaworthy::runner::ScenarioOutcome, String>, Failed> {
    let outcome = play(bench, name, text)?;
    let filter = format!("name=seaworthy-{name}-");
    let mut left = String::new();
    // The engine may still be at it.
    for _ in 0..50 {
        let seen =
            std::process::Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output()?;
        left = String::from_utf8_lossy(&seen.stdout).into_owned();
        if left.is_empty() {
            return Ok(outcome);
        }
        pause();
    }
    Err(format!("left behind after 5 s: {left}").into())
}

#[expect(clippy::disallowed_methods, reason = "waits for what the engine does")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// Two containers, of which the first crashes; what `subject` says of them, and further `faults`.
fn containers(subject: &str, faults: &str) -> Result<String, Failed> {
    // The line comes before the group has formed: that takes a few seconds of the warm-up.
    let load = LOAD.replace("baseline =", "warm-up = \"12s\"\nbaseline =");
    Ok(format!(
        r#"{load}
[subject]
kind = "container"
image = "{}"
members = 2
ready = {{ line = "ready", within = "60s" }}
{subject}
[[fault]]
label = "crash"
at = "0s"
member = {{ action = "crash", member = 0, restart-after = "2s" }}
{faults}"#,
        image()?
    ))
}

fn container(bench: &Bench) -> Result<(), Failed> {
    let text = containers(
        "command = [\"--ignore-sigterm\"]\nenv = { WHO = \"member {member}\" }\nstop-grace = \"1s\"",
        r#"
[[fault]]
label = "join"
at = "14s"
member = { action = "join" }
[[fault]]
label = "freeze"
at = "24s"
lasts = "4s"
member = { action = "pause", member = 1 }
"#,
    )?;
    let folder = expect(play_container(bench, "container", &text)?, Verdict::Pass, None)?;
    let log = std::fs::read_to_string(folder.join("logs/member-0.log"))?;
    for said in
        ["ready", "fault crash: inject", "fault freeze: healed", "member ended: exit code 137", "never heard of it"]
    {
        if !log.contains(said) {
            return Err(format!("its log does not say `{said}`").into());
        }
    }
    let history = std::fs::read_to_string(folder.join("history.jsonl"))?;
    for named in ["member-start", "member-2", "member-ignored-sigterm", "exit code 137"] {
        if !history.contains(named) {
            return Err(format!("the history does not say `{named}`").into());
        }
    }
    Ok(())
}

fn container_prints(bench: &Bench) -> Result<(), Failed> {
    let text = containers("command = [\"--sink\", \"stdout\"]\nsink = \"stdout\"", "")?;
    let folder = expect(play_container(bench, "container-prints", &text)?, Verdict::Pass, None)?;
    let history = std::fs::read_to_string(folder.join("history.jsonl"))?;
    // The engine was listened to: every effect is from there, and from both members.
    let effects =
        |place: &str| history.lines().filter(|line| line.contains("\"op\":\"effect\"") && line.contains(place)).count();
    let counts = [effects("sink:stdout/0"), effects("sink:stdout/1"), effects("orders.out/")];
    if counts[0] > 0 && counts[1] > 0 && counts[2] == 0 {
        return Ok(());
    }
    Err(format!("effects of member 0, of member 1, in the topic: {counts:?}").into())
}

fn container_ends_early(bench: &Bench) -> Result<(), Failed> {
    // Without brokers to talk to it ends; a variable of the scenario overrides ours.
    let text = format!(
        "{LOAD}\n[subject]\nkind = \"container\"\nimage = \"{}\"\n\
         env = {{ SEAWORTHY_INPUT_TOPIC = \"\" }}\nready = {{ group-stable = \"20s\" }}\n",
        image()?
    );
    refused(play_container(bench, "container-ends-early", &text)?, &["member-0", "exit code 1", "its log ends"])
}

fn no_such_image(bench: &Bench) -> Result<(), Failed> {
    let text = format!("{LOAD}\n[subject]\nkind = \"container\"\nimage = \"localhost:9/seaworthy/none:1\"\n");
    let outcome = play_container(bench, "no-such-image", &text)?;
    refused(outcome, &["member-0", "localhost:9/seaworthy/none:1", "which is not here"])
}

fn silent(bench: &Bench) -> Result<(), Failed> {
    // Nobody serves the discard port.
    let ready = "{ http = \"http://127.0.0.1:9/health/{member}\", within = \"2s\" }";
    let subject = format!("kind = \"process\"\ncommand = [\"sleep\", \"600\"]\nready = {ready}\n");
    let outcome = play(bench, "silent", &format!("{LOAD}\n[subject]\n{subject}"))?;
    refused(outcome, &["not ready within 2s", "member-0 is not ready", "http://127.0.0.1:9/health/0"])
}

fn unruly(bench: &Bench) -> Result<(), Failed> {
    let text = format!(
        r#"{LOAD}
[subject]
kind = "process"
members = 2
# 40 MB of output, a child in a session of its own, and no ear for SIGTERM.
command = ["sh", "-c", "yes flood | head -c 40000000; setsid sleep 600 & exec {{application}} --ignore-sigterm"]
stop-grace = "1s"
[[fault]]
label = "crash"
at = "0s"
member = {{ action = "crash", member = 0, restart-after = "2s" }}
[[fault]]
label = "poison"
at = "0s"
lasts = "4s"
poison = {{ rate = 0.05 }}
[expect]
dead-letters = 10
"#
    );
    let folder = expect(play(bench, "unruly", &text)?, Verdict::Pass, None)?;
    let log = std::fs::read_to_string(folder.join("logs/member-0.log"))?;
    for said in ["--- seaworthy", "fault crash: inject", "member ended: signal 9", "the rest is left out"] {
        if !log.contains(said) {
            return Err(format!("its log does not say `{said}`").into());
        }
    }
    if log.len() > 80 << 20 {
        return Err(format!("its log has {} bytes", log.len()).into());
    }
    let history = std::fs::read_to_string(folder.join("history.jsonl"))?;
    for named in ["member-strays", "member-ignored-sigterm", "member-exit"] {
        if !history.contains(named) {
            return Err(format!("the history does not say `{named}`").into());
        }
    }
    Ok(())
}

fn early_commit(bench: &Bench) -> Result<(), Failed> {
    let text = format!(
        r#"{LOAD}
[subject]
kind = "process"
members = 2
command = ["{{application}}", "--early-commit"]
# It works on a batch for 3 s, and has committed it before: a crash loses it, but for the moment between two batches.
[[fault]]
label = "crash"
at = "0s"
member = {{ action = "crash", member = 0, restart-after = "1s" }}
[[fault]]
label = "crash-other"
# Half a batch later: the members work in step, and both may be between two batches at one moment.
at = "1500ms"
member = {{ action = "crash", member = 1, restart-after = "1s" }}
"#
    );
    expect(play(bench, "early-commit", &text)?, Verdict::Fail, Some("lost-in-app")).map(drop)
}

/// Two of three members freeze in the middle of a transaction, for longer than their session, and thaw as zombies; later
/// one crashes in the middle of one, whose records must not be read.
fn exactly_once(flag: &str) -> String {
    format!(
        r#"[workload]
rate = 200
producer = "plain"
baseline = "5s"
[observation]
# A record is worked on for 1 s, and waits for the batch before its own.
on-time = "4s"
[subject]
kind = "process"
members = 3
exactly-once = true
command = ["{{transactional}}"{flag}]
[[fault]]
label = "freeze"
at = "0s"
lasts = "10s"
member = {{ action = "pause", member = 0 }}
[[fault]]
label = "freeze-other"
# Half a batch later: the members work in step, and both may be between two transactions at one moment.
at = "500ms"
lasts = "10s"
member = {{ action = "pause", member = 1 }}
[[fault]]
label = "crash"
at = "14s"
member = {{ action = "crash", member = 2, restart-after = "1s" }}
[budget]
lost = 0
duplicates = 0
"#
    )
}

fn transactional(bench: &Bench) -> Result<(), Failed> {
    let folder = expect(play(bench, "transactional", &exactly_once(""))?, Verdict::Pass, None)?;
    // They were zombies, and one was told so: else this proves nothing.
    let log = |member: u32| std::fs::read_to_string(folder.join(format!("logs/member-{member}.log")));
    let logs = log(0)? + &log(1)?;
    if logs.contains("beginning anew") { Ok(()) } else { Err(format!("no zombie was refused:\n{logs}").into()) }
}

fn zombie(bench: &Bench) -> Result<(), Failed> {
    let outcome = play(bench, "zombie", &exactly_once(", \"--commit-apart\""))?;
    expect(outcome, Verdict::Fail, Some("duplicate-effect")).map(drop)
}

/// What is wrong with the application must be in the error.
fn refused(outcome: Result<seaworthy::runner::ScenarioOutcome, String>, parts: &[&str]) -> Result<(), Failed> {
    let error = match outcome {
        Ok(outcome) => return Err(format!("expected an error, got {}", outcome.result.verdict).into()),
        Err(error) => error,
    };
    match parts.iter().find(|part| !error.contains(**part)) {
        None => Ok(()),
        Some(missing) => Err(format!("`{missing}` is not in: {error}").into()),
    }
}

fn ends_early(bench: &Bench) -> Result<(), Failed> {
    let text = format!(
        "{LOAD}\n[subject]\nkind = \"process\"\ncommand = [\"sh\", \"-c\", \"echo no license for {{group}}; exit 3\"]\n"
    );
    refused(play(bench, "ends-early", &text)?, &["member-0", "exit code 3", "no license for ends-early-"])
}

fn never_ready(bench: &Bench) -> Result<(), Failed> {
    let subject = "kind = \"process\"\ncommand = [\"sleep\", \"600\"]\nready = { group-stable = \"2s\" }\n";
    let outcome = play(bench, "never-ready", &format!("{LOAD}\n[subject]\n{subject}"))?;
    refused(outcome, &["not ready within 2s", "0 members"])
}

fn no_such_program(bench: &Bench) -> Result<(), Failed> {
    let text = format!("{LOAD}\n[subject]\nkind = \"process\"\ncommand = [\"./no-such-program\"]\n");
    refused(play(bench, "no-such-program", &text)?, &["member-0", "./no-such-program", "No such file"])
}
