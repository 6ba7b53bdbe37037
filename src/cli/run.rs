//! `seaworthy run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{Colours, Format, Scenarios, print, progress, runtime, selected, tell};
use crate::cluster::containers::Engine;
use crate::cluster::embedded::EmbeddedLauncher;
use crate::cluster::pool::ClusterPool;
use crate::exit_code::ExitCode;
use crate::plan::BackendKind;
use crate::report::{self, LeftOut};
use crate::rng::Rng;
use crate::runner::{RunContext, RunFolder, Selected, Selection, Suite};

/// Scenarios spend their time waiting: so many of the embedded backend share two processors without getting into each
/// other's way.
const EMBEDDED_JOBS: u32 = crate::testing::EMBEDDED_JOBS as u32;

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
    /// How many scenarios run at a time on the embedded backend; containers run one by one
    #[arg(long, value_name = "N", default_value_t = EMBEDDED_JOBS, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Leave the containers running, to look at them; `seaworthy clean` removes them
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// Containers where a Docker engine answers, else embedded
    Auto,
    /// Real brokers and Toxiproxy
    Containers,
    /// librdkafka's mock cluster on this machine: a rehearsal in seconds
    Embedded,
}

/// Which backend, and why; `Err`: why there is none.
struct Choice {
    kind: BackendKind,
    reason: Result<String, String>,
}

impl Backend {
    async fn choose(self) -> Choice {
        let engine = match self {
            Self::Embedded => {
                return Choice { kind: BackendKind::Embedded, reason: Ok("embedded, as asked for".into()) };
            }
            Self::Auto | Self::Containers => Engine::detect().await,
        };
        match (self, engine) {
            (Self::Auto, Ok(engine)) => {
                let reason = Ok(format!("containers ({engine}), chosen because a Docker engine answers"));
                Choice { kind: BackendKind::Containers, reason }
            }
            (Self::Auto, Err(error)) => {
                let error = error.to_string();
                let error = error.lines().next().unwrap_or_default();
                let reason = Ok(format!("embedded, chosen because no Docker engine answers ({error})"));
                Choice { kind: BackendKind::Embedded, reason }
            }
            (_, engine) => {
                let reason = engine.map(|engine| format!("containers ({engine}), as asked for"));
                Choice { kind: BackendKind::Containers, reason: reason.map_err(|error| error.to_string()) }
            }
        }
    }
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
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(code) => return code,
        };
        let Choice { kind, reason } = runtime.block_on(self.backend.choose());
        let selection = Selection {
            paths: self.scenarios.paths.clone(),
            filter: self.scenarios.filter.clone(),
            set: self.set.clone(),
            shard: self.shard,
            backend: Some(kind),
            leave_out: kind == BackendKind::Embedded,
        };
        let Selected { scenarios, left_out, .. } = match selected(&selection, colour) {
            Ok(selected) => selected,
            Err(code) => return code,
        };
        if scenarios.is_empty() {
            if !left_out.is_empty() {
                tell(&report::caveats(kind, &left_out));
            }
            tell("nothing selected: no scenario fits; `seaworthy list` shows what there is");
            return ExitCode::NothingSelected;
        }
        if self.keep && kind == BackendKind::Embedded {
            tell("error: --keep is for containers: the embedded backend ends with this process");
            return ExitCode::Usage;
        }
        match reason {
            Ok(reason) => runtime.block_on(self.play(scenarios, left_out, kind, reason, colour)),
            Err(error) => {
                tell(&format!(
                    "error: {error}\n\
                     next: start Docker (or set DOCKER_HOST); on a Debian machine without one, as root, \
                     `images/prepare` installs and starts it and builds the images; `seaworthy doctor` says what is missing"
                ));
                ExitCode::Unavailable
            }
        }
    }

    async fn play(
        self,
        scenarios: Vec<(PathBuf, crate::plan::Plan)>,
        left_out: Vec<LeftOut>,
        backend: BackendKind,
        reason: String,
        colour: Colours,
    ) -> ExitCode {
        let cancel = CancellationToken::new();
        tokio::spawn(crate::signals::cancel_on_signal(cancel.clone()));
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
        let caveats = report::caveats(backend, &left_out);
        if !caveats.is_empty() {
            tell(&caveats);
        }
        let clusters = Arc::new(match backend {
            BackendKind::Embedded => {
                let at_a_time = total.min(self.jobs as usize);
                ClusterPool::with_places(EmbeddedLauncher::new(exe.clone(), seed), at_a_time)
            }
            BackendKind::Containers | BackendKind::External => crate::testing::container_pool(exe.clone(), !self.keep),
        });
        let events = progress::events(colour.err, total, clusters.places());
        let set = self.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pool = clusters.clone();
        let context = RunContext { backend, backend_reason: reason, pool, exe, seed, set, events, cancel };
        let suite = Suite { context, folder, repeat: self.repeat, fail_fast: self.fail_fast, left_out };
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
        let judged: Vec<_> = report.results.iter().map(|(result, _)| result).collect();
        report::annotations(&judged).iter().for_each(|line| tell(line));
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
                if !caveats.is_empty() {
                    print(&caveats);
                }
                print(&format!("run folder: {0}\nreport:     {0}/report.html", path.display()));
            }
        }
        report.exit
    }
}
