//! How exact the measures of recovery are: outages of known length on the embedded backend, measured by whole runs.
//!
//! `cargo bench --bench accuracy` (about a quarter of an hour); `-- --repeat 3` for a quick look. One topic partition, a
//! record every 5 ms, and a stall of all links: what is under way stays under way, so that service is back the moment the
//! stall ends. What was true is known from the history: the stall took hold between the order and its confirmation, and
//! let go between the order to heal and the first answered probe.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use seaworthy::history::{Op, Stage, read_history};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Milliseconds.
const OUTAGES: [u64; 3] = [500, 2_000, 5_000];
/// Beyond the inter-arrival time, which is that of the effects before the fault: the mock cluster hands records out in bursts,
/// up to 0.1 s apart.
const TOLERANCE_MS: f64 = 20.0;

fn scenario(millis: u64) -> String {
    format!(
        r#"name = "stall-{millis}"
[topic]
partitions = 1
[workload]
rate = 200
warm-up = "2s"
baseline = "3s"
[subject]
members = 1
[[fault]]
at = "0s"
lasts = "{millis}ms"
network = {{ cut = "all", effect = "stall" }}
[budget]
recovery = {{ within = "3s", since = "heal" }}
"#
    )
}

/// Milliseconds by which a measure was off; what is within `from..=to` is not off at all.
fn off(measured: f64, from: f64, to: f64) -> f64 {
    if measured < from { measured - from } else { (measured - to).max(0.0) }
}

struct Sample {
    outage_off: f64,
    /// The longest time between two effects before the fault.
    inter_arrival: f64,
    ttr: f64,
    /// How well the truth itself is known.
    known_within: f64,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs it too, to see that it compiles.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let repeats = arguments.iter().skip_while(|argument| *argument != "--repeat").nth(1);
    let repeats = repeats.map_or("20", String::as_str);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "milliseconds, min / median / max of {repeats} repeats; the bar: off by at most {} beyond one inter-arrival time",
        TOLERANCE_MS
    )?;
    let mut kept = true;
    for millis in OUTAGES {
        let samples = run(millis, repeats)?;
        let column = |of: fn(&Sample) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            (values[0], values[values.len() / 2], values[values.len() - 1])
        };
        let text = |(least, middle, most): (f64, f64, f64)| format!("{least:.1} / {middle:.1} / {most:.1}");
        let (off, ttr, known) = (column(|s| s.outage_off), column(|s| s.ttr), column(|s| s.known_within));
        let between = column(|s| s.inter_arrival);
        writeln!(
            out,
            "{:>4} ms  outage off by {}   recovery after the heal {}   truth known within {}   inter-arrival {}",
            millis,
            text(off),
            text(ttr),
            text(known),
            text(between)
        )?;
        let bar = |s: &Sample| TOLERANCE_MS + s.inter_arrival;
        let missed = samples.iter().filter(|s| s.outage_off.abs() > bar(s) || s.ttr > bar(s)).count();
        if missed > 0 {
            kept = false;
            writeln!(out, "         {missed} of {} repeats miss the bar", samples.len())?;
        }
    }
    if kept { Ok(()) } else { Err("the bar was missed; on a busy machine that says little".into()) }
}

fn run(millis: u64, repeats: &str) -> Outcome<Vec<Sample>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(format!("stall-{millis}.toml"));
    std::fs::write(&file, scenario(millis))?;
    let output = Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .args(["run", "--backend", "embedded", "--jobs", "1", "--repeat", repeats, "--out"])
        .arg(folder.path().join("out"))
        .arg(&file)
        .output()?;
    let repeats = folder.path().join(format!("out/latest/stall-{millis}"));
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(&repeats).map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))? {
        samples.push(sample(&entry?.path())?);
    }
    Ok(samples)
}

fn sample(folder: &Path) -> Outcome<Sample> {
    const STAGES: [Stage; 4] = [Stage::Inject, Stage::Confirmed, Stage::Heal, Stage::Healed];
    let (mut times, mut effects) = ([0.0; 4], Vec::new());
    for event in read_history(&folder.join("history.jsonl"))?.events {
        match event.op {
            Op::Effect { appended: Some(appended), .. } => effects.push(appended as f64 / 1e6),
            Op::Fault { r#type, .. } => {
                if let Some(stage) = STAGES.iter().position(|stage| *stage == r#type) {
                    times[stage] = event.t as f64 / 1e6;
                }
            }
            _ => {}
        }
    }
    let [inject, confirmed, heal, healed] = times;
    // The last second before it: what went on while the members warmed up does not count.
    effects.retain(|t| (inject - 1_000.0..inject).contains(t));
    effects.sort_by(f64::total_cmp);
    let inter_arrival = effects.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
    let result: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("result.json"))?)?;
    let of = |name: &str| result["recovery"][name].as_f64().ok_or(format!("{name} was not measured: {result:#}"));
    // A gap between two successes is longer than the outage by an inter-arrival time at most: that is the bar's part.
    let outage_off = off(of("outage_s")? * 1e3, heal - confirmed, healed - inject);
    let known_within = (healed - inject) - (heal - confirmed);
    Ok(Sample { outage_off, inter_arrival, ttr: of("ttr_since_heal_s")? * 1e3, known_within })
}
