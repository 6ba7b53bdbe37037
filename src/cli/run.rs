//! `seaworthy run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{Colours, Format, Scenarios, print, progress, runtime, selected, tell};
use crate::cluster::containers::Engine;
use crate::exit_code::ExitCode;
use crate::plan::BackendKind;
use crate::report;
use crate::rng::Rng;
use crate::runner::{RunContext, RunFolder, Selection, Suite};

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    scenarios: Scenarios,
    /// Where brokers come from
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    backend: Backend,
    /// Run every scenario this often, interleaved
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Seed of every random choice; drawn and reported when absent
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Change a scenario's key for this run, as in `--set workload.rate=1000`
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Run only the i-th of n parts of the selection
    #[arg(long, value_name = "i/n", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Folder of run folders
    #[arg(long, value_name = "DIR", default_value = "target/seaworthy")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Stop at the first scenario that fails
    #[arg(long)]
    fail_fast: bool,
    /// Leave the containers running, to look at them; `seaworthy clean` removes them
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Auto,
    Containers,
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in workload.rate=1000")?;
    if key.trim().is_empty() {
        return Err("the key is missing: expected KEY=VALUE, as in workload.rate=1000".into());
    }
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let expected = || format!("`{text}` is not a part: expected i/n with 1 <= i <= n, as in 2/3");
    let (index, count) = text.split_once('/').ok_or_else(expected)?;
    match (index.parse::<usize>(), count.parse::<usize>()) {
        (Ok(index), Ok(count)) if 1 <= index && index <= count => Ok((index, count)),
        _ => Err(expected()),
    }
}

impl Run {
    pub fn run(self, colour: Colours) -> ExitCode {
        let selection = Selection {
            paths: self.scenarios.paths.clone(),
            filter: self.scenarios.filter.clone(),
            set: self.set.clone(),
            shard: self.shard,
            backend: Some(BackendKind::Containers),
        };
        let scenarios = match selected(&selection, colour) {
            Ok(scenarios) => scenarios,
            Err(code) => return code,
        };
        if scenarios.is_empty() {
            tell("nothing selected: no scenario fits; `seaworthy list` shows what there is");
            return ExitCode::NothingSelected;
        }
        match runtime() {
            Ok(runtime) => runtime.block_on(self.play(scenarios, colour)),
            Err(code) => code,
        }
    }

    async fn play(self, scenarios: Vec<(PathBuf, crate::plan::Plan)>, colour: Colours) -> ExitCode {
        let cancel = CancellationToken::new();
        tokio::spawn(crate::signals::cancel_on_signal(cancel.clone()));
        let engine = match Engine::detect().await {
            Ok(engine) => engine,
            Err(error) => {
                tell(&format!(
                    "error: {error}\n\
                     next: start Docker (or set DOCKER_HOST); on a Debian machine without one, as root, \
                     `images/prepare` installs and starts it and builds the images; `seaworthy doctor` says what is missing"
                ));
                return ExitCode::Unavailable;
            }
        };
        let why = match self.backend {
            Backend::Auto => "chosen because a Docker engine answers",
            Backend::Containers => "as asked for",
        };
        let reason = format!("containers ({engine}), {why}");
        let exe = match std::env::current_exe() {
            Ok(exe) => exe,
            Err(error) => {
                tell(&format!("error: cannot find this program's own path: {error}"));
                return ExitCode::Internal;
            }
        };
        let folder = match RunFolder::create(&self.out) {
            Ok(folder) => folder,
            Err(error) => {
                tell(&format!("error: {error}"));
                return error.exit_code();
            }
        };
        let seed = self.seed.unwrap_or_else(|| Rng::from_entropy().u64() >> 32);
        let total = scenarios.len() * self.repeat as usize;
        tell(&format!("backend: {reason}\nseed:    {seed}\nrun:     {} ({total} to run)", folder.path.display()));
        let clusters = Arc::new(crate::testing::container_pool(exe.clone(), !self.keep));
        let events = progress::events(colour.err, total);
        let context = RunContext {
            backend: BackendKind::Containers,
            backend_reason: reason,
            pool: clusters.clone(),
            exe,
            seed,
            events,
            cancel,
        };
        let suite = Suite { context, folder, repeat: self.repeat, fail_fast: self.fail_fast };
        let report = suite.run(&scenarios).await;
        if self.keep {
            tell("the containers were left running (--keep); `seaworthy clean` removes them");
            // Dropping the pool would remove them.
            std::mem::forget(clusters);
        } else {
            if let Err(error) = clusters.shutdown().await {
                tell(&format!("error: {error}: `seaworthy clean` removes what is left"));
            }
        }
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                tell(&format!("error: {error}"));
                return error.exit_code();
            }
        };
        let path = &suite.folder.path;
        match self.format {
            Format::Json => match std::fs::read_to_string(path.join("run.json")) {
                Ok(json) => print(&json),
                Err(error) => tell(&format!("error: cannot read {}/run.json: {error}", path.display())),
            },
            Format::Human => {
                for (result, folder) in &report.results {
                    if result.verdict != crate::verdict::Verdict::Pass {
                        print(&report::scenario_block(result, &folder.display().to_string()));
                    }
                }
                let results: Vec<_> = report.results.iter().map(|(result, _)| result).collect();
                if !results.is_empty() {
                    print(&report::scenario_table(&results));
                }
                for (name, error) in &report.errors {
                    print(&format!("{name}: not judged: {error}"));
                }
                print(&format!("run folder: {}", path.display()));
            }
        }
        report.exit
    }
}
