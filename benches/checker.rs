//! How fast a recorded run is judged again and in how much memory, and what recording costs the workload.
//!
//! `cargo bench --bench checker` judges a generated history of a million operations, `-- 10000000` one of ten million.
//! One core; each pass reads the file anew (from the page cache). Parsing includes reading the file; judging is all the
//! rest: the ledger, every checker, and with a plan the recovery measures.

#[path = "checker/generate.rs"]
mod generate;
#[path = "checker/recording.rs"]
mod recording;

use std::io::Write;
use std::path::Path;

use seaworthy::checker::Case;
use seaworthy::clock::Clock;
use seaworthy::history::Reader;
use seaworthy::judge::judge_case;
use seaworthy::ledger::Intake;
use seaworthy::verdict::Verdict;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PASSES: usize = 5;

/// What one pass took, in seconds and bytes.
struct Pass {
    parsing: f64,
    judging: f64,
    /// At its peak more than before it.
    memory: f64,
}

fn pass(path: &Path, operations: u64) -> Outcome<Pass> {
    let before = memory("VmRSS")?;
    // The highest mark begins anew.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let clock = Clock::start();
    let mut reader = Reader::open(path)?;
    let mut intake = Intake::of(&reader.header);
    let (mut parsing, mut judging, mut lines, mut at) = (0, 0, 0, clock.now());
    let mut lap = || {
        let now = clock.now();
        now - std::mem::replace(&mut at, now)
    };
    while let Some(entries) = reader.batch()? {
        parsing += lap();
        lines += entries.len() as u64;
        intake.take(entries);
        judging += lap();
    }
    let (history, ledger) = intake.finish(reader);
    let case = Case::with(&history, ledger);
    let judgement = judge_case(&case);
    judging += lap();
    let memory = memory("VmHWM")? - before;
    if judgement.verdict != Verdict::Pass || lines != operations {
        return Err(format!("{lines} lines, {:?}: {:?}", judgement.verdict, judgement.reasons).into());
    }
    Ok(Pass { parsing: parsing as f64 / 1e9, judging: judging as f64 / 1e9, memory })
}

/// A line of this process's status, in bytes.
fn memory(name: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?;
    Ok(1024.0 * kilobytes.parse::<f64>()?)
}

/// Minimum, median and maximum.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn recheck(operations: u64, plan: bool) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.jsonl");
    let generated = generate::history(&path, operations, plan)?;
    let mut passes = Vec::new();
    for _ in 0..PASSES {
        passes.push(pass(&path, generated.operations)?);
    }
    let of = |value: fn(&Pass) -> f64| spread(passes.iter().map(value).collect());
    let rates = |seconds: [f64; 3]| seconds.map(|s| generated.operations as f64 / s / 1e6);
    let mut out = std::io::stdout().lock();
    let with = if plan { "with a plan: recovery is measured too" } else { "without a plan: integrity alone" };
    writeln!(
        out,
        "{} operations, {} records, {:.0} bytes a line, {with}",
        generated.operations,
        generated.records,
        std::fs::metadata(&path)?.len() as f64 / generated.operations as f64
    )?;
    let [slow, median, fast] = spread(rates(of(|pass| pass.parsing)).into());
    writeln!(out, "  parsing   {median:6.2} million lines a second ({slow:.2} to {fast:.2})")?;
    let [slow, median, fast] = spread(rates(of(|pass| pass.judging)).into());
    writeln!(out, "  judging   {median:6.2} million operations a second ({slow:.2} to {fast:.2})")?;
    // What the first pass gave back to the allocator would hide what the later ones take.
    let memory = passes[0].memory;
    let record = memory / generated.records as f64;
    writeln!(out, "  memory    {record:6.1} bytes a record at the peak ({:.1} MB in all)", memory / 1e6)?;
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs it too, to see that it compiles.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let operations = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    // Memory is measured in the first pass of a process: the two kinds of history have a process each.
    if has("--planned") {
        return recheck(operations, true);
    }
    if !has("--recording") {
        recheck(operations, false)?;
        let planned = std::process::Command::new(&arguments[0])
            .args(["--bench", "--planned", &operations.to_string()])
            .status()?;
        if !planned.success() {
            return Err("the planned half failed".into());
        }
    }
    recording::cost()
}
