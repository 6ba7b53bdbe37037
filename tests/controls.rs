//! Control runs: the correct application, undisturbed and through storms, again and again with other seeds. A harness that
//! cries wolf is switched off, so nothing may be flagged: neither a broken promise nor a doubt, and in undisturbed runs not
//! even a count.
//!
//! Minutes long, hence ignored unless asked for: `cargo test --test controls -- --ignored`. Each trial is a run on the
//! embedded backend with a seed of its own.

use std::path::PathBuf;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::checker::Severity;
use seaworthy::plan::BackendKind;
use seaworthy::testing::{self, Bench};
use seaworthy::verdict::Verdict;
use seaworthy::{report, scenario};

/// A storm: a file in `tests/controls`, how many runs of it, and what a correct application may leave there, counted.
struct Control {
    file: &'static str,
    runs: u32,
    counted: &'static [&'static str],
}

/// What at-least-once allows whenever a topic partition changes hands: what was handled and not yet committed is handled
/// again.
const HANDED_OVER: &[&str] = &["redelivered", "duplicate-effect", "nonmonotonic-poll", "commit-regression"];
/// A producer whose requests are cut off in flight asks again; the broker knows them. A member's output may have been
/// written twice, and its commits are answered late.
const CUT: &[&str] = &["redelivered", "duplicate-effect", "nonmonotonic-poll", "commit-regression", "commit-ahead"];

const CONTROLS: &[Control] = &[
    Control { file: "calm", runs: 8, counted: &[] },
    Control { file: "network-cut", runs: 4, counted: CUT },
    Control { file: "lost-replies", runs: 3, counted: CUT },
    Control { file: "leader-kill", runs: 4, counted: CUT },
    Control { file: "rebalance", runs: 4, counted: HANDED_OVER },
    Control { file: "member-crash", runs: 4, counted: HANDED_OVER },
    Control { file: "broker-errors", runs: 3, counted: &[] },
    Control { file: "handler-errors", runs: 4, counted: &["nonmonotonic-poll"] },
];

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    // Several clusters at once stall each other on a small machine, and stalls are not what this is about.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(1));
    let bench = Bench::new();
    let mut trials = Vec::new();
    for control in CONTROLS {
        for run in 1..=control.runs {
            let bench = bench.clone();
            let trial = Trial::test(format!("{}::{run}", control.file), move || clean(&bench, control, run));
            trials.push(trial.with_ignored_flag(true));
        }
    }
    let all: u32 = CONTROLS.iter().map(|control| control.runs).sum();
    trials.push(Trial::test("there_are_at_least_thirty_control_runs", move || {
        if all >= 30 { Ok(()) } else { Err(format!("{all} runs").into()) }
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    bench.close();
    conclusion.exit_code()
}

fn clean(bench: &Bench, control: &Control, run: u32) -> Result<(), Failed> {
    let file = PathBuf::from(format!("tests/controls/{}.toml", control.file));
    let mut plan = scenario::load(&file).map_err(|invalid| Failed::from(invalid.render(false)))?;
    // The seed of a run is drawn with its name.
    plan.name = format!("control-{}-{run}", control.file);
    let outcome = bench.run(file, plan, BackendKind::Embedded).map_err(Failed::from)?;
    let result = &outcome.result;
    let alarm = result
        .integrity
        .anomalies
        .iter()
        .find(|finding| finding.severity != Severity::Counted || !control.counted.contains(&finding.kind.as_str()));
    if let (Verdict::Pass, None) = (result.verdict, alarm) {
        return Ok(());
    }
    let block = report::scenario_block(result, &outcome.folder.display().to_string());
    Err(format!("a false alarm: {:?}\n{block}", alarm.map(|finding| (&finding.kind, &finding.message))).into())
}
