//! The page of our own figures: the shipped scenarios under every profile and under librdkafka's stock producer, as a
//! table in Markdown.
//!
//! `cargo run --example figures -- 5 network-partition broker-failure > docs/figures.md` runs both parts with 5 repeats of
//! those scenarios (all: none named); `cargo run --example figures -- FOLDER… > docs/figures.md` writes the page of run
//! folders that are there. A first argument `--note=TEXT` says what a reader must know of these runs.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use seaworthy::compare::{Metric, Repeat, Sample, Side, amounts};

const PROFILES: &str = "subject.profile=development,staging,production";
const STOCK: &str = "workload.producer=stock";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let note = arguments.first().and_then(|first| first.strip_prefix("--note=")).map(str::to_owned);
    arguments.drain(..usize::from(note.is_some()));
    let folders: Vec<PathBuf> = match arguments.first().map(|first| first.parse::<u32>()) {
        Some(Ok(repeats)) => {
            let named = &arguments[1..];
            vec![run(repeats, named, &["--matrix", PROFILES])?, run(repeats, named, &["--set", STOCK])?]
        }
        Some(Err(_)) => arguments.iter().map(PathBuf::from).collect(),
        None => return Err("expected a number of repeats, or run folders".into()),
    };
    let mut sides = Vec::new();
    for folder in &folders {
        sides.extend(variants(folder)?);
    }
    print!("{}", page(&sides, note.as_deref())?);
    Ok(())
}

/// One run on containers; gives its folder. Optimised: a slow harness takes processors from the brokers. That budgets of
/// another profile are broken is a finding, not a mistake.
fn run(repeats: u32, scenarios: &[String], more: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    let out = Path::new("target/seaworthy");
    let files = scenarios.iter().map(|name| format!("scenarios/{name}.toml"));
    let status = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--", "run", "--backend", "containers", "--repeat", &repeats.to_string()])
        .args(more)
        .args(files)
        .stdout(std::io::stderr())
        .status()?;
    match status.code() {
        Some(0..=2) => Ok(out.join("latest").canonicalize()?),
        _ => Err(format!("the run ended with {status}").into()),
    }
}

/// A run's results by variant: the folder's own, or those of each folder of a matrix.
fn variants(folder: &Path) -> Result<Vec<(String, Side)>, Box<dyn Error>> {
    if let Ok(side) = Side::read(folder) {
        let stock = side.repeats.iter().any(|repeat| repeat.configuration.values().any(|value| value == "stock"));
        return Ok(vec![(if stock { "stock producer" } else { "as shipped" }.to_owned(), side)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, value)) = name.split_once('=') {
            found.push((value.to_owned(), Side::read(&path)?));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn page(sides: &[(String, Side)], note: Option<&str>) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "# Our own figures\n\
         The shipped scenarios under the three profiles of the resilience components, and with librdkafka's stock producer in the place of\n\
         the resilient one (its consumers are those of `production`). Medians, (their 95 % interval, from six repeats on), [the least … the\n\
         greatest]. Budgets are those of the scenario files, which are made for `production`. Written by\n\
         `cargo run --example figures -- 5 > docs/figures.md`.\n\n",
    );
    let machine: BTreeMap<&str, String> = sides.iter().flat_map(|(_, side)| &side.repeats).flat_map(facts).collect();
    for (name, value) in machine {
        text += &format!("- {name}: {value}\n");
    }
    if let Some(note) = note {
        text += &format!("- {note}\n");
    }
    let metric = |name| Metric::named(name).ok_or_else(|| format!("no metric {name}"));
    let (recovery, outage) = (metric("recovery")?, metric("outage")?);
    let mut names: Vec<&str> = sides.iter().flat_map(|(_, side)| side.scenarios()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        text += &format!(
            "\n## `{name}`\n| settings | n | recovery | outage | duplicates in the log | lost | budget of recovery |\n|---|---|---|---|---|---|---|\n"
        );
        for (variant, side) in sides {
            let repeats = side.of(name);
            if repeats.is_empty() {
                continue;
            }
            let sum = |of: fn(&Repeat) -> Option<u64>| repeats.iter().filter_map(|repeat| of(repeat)).sum::<u64>();
            let kept = repeats.iter().flat_map(|repeat| &repeat.budgets).filter(|budget| budget.metric == "recovery");
            let kept: Vec<bool> = kept.map(|budget| budget.met).collect();
            text += &format!(
                "| {variant} | {} | {} | {} | {} | {} | {} |\n",
                repeats.len(),
                amounts(recovery, &Sample::of(recovery, &repeats)),
                amounts(outage, &Sample::of(outage, &repeats)),
                sum(|repeat| repeat.integrity.duplicates_in_log),
                sum(|repeat| repeat.integrity.lost),
                if kept.is_empty() {
                    "none".to_owned()
                } else {
                    format!("kept in {} of {}", kept.iter().filter(|met| **met).count(), kept.len())
                },
            );
        }
    }
    Ok(text)
}

/// What the runs themselves say of where they ran.
fn facts(repeat: &Repeat) -> impl Iterator<Item = (&str, String)> {
    let names = [("backend.kafka", "Kafka"), ("backend.kind", "backend"), ("machine.cpus", "processors")];
    let of = move |(key, shown)| repeat.configuration.get(key).map(|value| (shown, value.clone()));
    names.into_iter().filter_map(of)
}
