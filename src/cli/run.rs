//! `seaworthy run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{Colours, Format, Scenarios, print, progress, runtime, selected, tell};
use crate::cluster::containers::Engine;
use crate::cluster::embedded::EmbeddedLauncher;
use crate::cluster::external::{ExternalLauncher, Security, SecurityError};
use crate::cluster::pool::ClusterPool;
use crate::compare::{self, Side};
use crate::exit_code::ExitCode;
use crate::plan::BackendKind;
use crate::report::{self, LeftOut};
use crate::rng::Rng;
use crate::runner::matrix::{self, Dimension, Variant};
use crate::runner::{Lot, RunContext, RunFolder, Selection, Suite, SuiteReport};

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
    /// Brokers of the cluster that `--backend external` uses
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', required_if_eq("backend", "external"))]
    bootstrap_servers: Vec<String>,
    /// Its client properties, as Kafka's own tools take them: TLS and SASL for `--backend external`
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
    /// Run every scenario this often, interleaved
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Seed of every random choice; drawn and reported when absent
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Change a scenario's key for this run, as in `--set workload.rate=1000`
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Run every scenario with each of these values of a key, interleaved, and compare them with the first; several keys:
    /// every combination
    #[arg(long, value_name = "KEY=VALUE,VALUE", value_parser = dimension)]
    matrix: Vec<Dimension>,
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
    /// A cluster that runs already, named by `--bootstrap-servers`: its network can be harmed, its brokers cannot
    External,
}

/// Which backend, and why; `Err`: why there is none.
struct Choice {
    kind: BackendKind,
    reason: Result<String, String>,
}

impl Backend {
    async fn choose(self, servers: &[String]) -> Choice {
        let engine = match self {
            Self::External => {
                let reason = Ok(format!("external ({}), as asked for", servers.join(",")));
                return Choice { kind: BackendKind::External, reason };
            }
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

fn dimension(text: &str) -> Result<Dimension, String> {
    text.parse().map_err(|error: matrix::NoDimension| error.to_string())
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
        if self.backend != Backend::External && !self.bootstrap_servers.is_empty() {
            tell("error: --bootstrap-servers is for --backend external: the other backends bring their own cluster");
            return ExitCode::Usage;
        }
        if self.backend != Backend::External && self.command_config.is_some() {
            tell("error: --command-config is for --backend external: the other backends' clusters speak plaintext");
            return ExitCode::Usage;
        }
        let external = match self.external() {
            Ok(external) => external,
            Err(error) => {
                tell(&format!("error: {error}"));
                return ExitCode::Usage;
            }
        };
        let Choice { kind, reason } = runtime.block_on(self.backend.choose(&self.bootstrap_servers));
        let selection = Selection {
            paths: self.scenarios.paths.clone(),
            filter: self.scenarios.filter.clone(),
            set: self.set.clone(),
            shard: self.shard,
            backend: Some(kind),
            leave_out: kind != BackendKind::Containers,
        };
        // A matrix has a selection a variant; without one there is a single variant that changes nothing.
        let (mut variants, mut left_out) = (Vec::new(), Vec::new());
        for variant in matrix::variants(&self.matrix) {
            let set = selection.set.iter().chain(&variant.set).cloned().collect();
            match selected(&Selection { set, ..selection.clone() }, colour) {
                Ok(found) => {
                    variants.push((variant, found.scenarios));
                    left_out = found.left_out;
                }
                Err(code) => return code,
            }
        }
        if variants.iter().all(|(_, scenarios)| scenarios.is_empty()) {
            if !left_out.is_empty() {
                tell(&report::caveats(kind, &left_out));
            }
            tell("nothing selected: no scenario fits; `seaworthy list` shows what there is");
            return ExitCode::NothingSelected;
        }
        if self.keep && kind != BackendKind::Containers {
            tell(&format!("error: --keep is for containers: the {kind} backend has none that could stay"));
            return ExitCode::Usage;
        }
        match reason {
            Ok(reason) => runtime.block_on(self.play(variants, left_out, kind, reason, external, colour)),
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

    /// For `--backend external`, with what is said of its security.
    fn external(&self) -> Result<ExternalLauncher, SecurityError> {
        let variable = |name: &str| std::env::var(name).ok();
        let security = self.command_config.as_deref().map(|path| Security::read(path, variable)).transpose()?;
        ExternalLauncher::new(self.bootstrap_servers.clone(), security.unwrap_or_default())
    }

    async fn play(
        self,
        variants: Vec<(Variant, Vec<(PathBuf, crate::plan::Plan)>)>,
        left_out: Vec<LeftOut>,
        backend: BackendKind,
        reason: String,
        external: ExternalLauncher,
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
        let lots = variants.into_iter().enumerate().map(|(at, (variant, scenarios))| {
            let own = if self.matrix.is_empty() { Ok(folder.clone()) } else { folder.variant(at + 1, &variant.name) };
            own.map(|folder| Lot { folder, scenarios })
        });
        let lots = match lots.collect::<Result<Vec<Lot>, _>>() {
            Ok(lots) => lots,
            Err(error) => {
                tell(&format!("error: {error}"));
                return error.exit_code();
            }
        };
        let seed = self.seed.unwrap_or_else(|| Rng::from_entropy().u64() >> 32);
        let total = lots.iter().map(|lot| lot.scenarios.len()).sum::<usize>() * self.repeat as usize;
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
            BackendKind::External => ClusterPool::new(external.seed(seed)),
            BackendKind::Containers => crate::testing::container_pool(exe.clone(), !self.keep),
        });
        let events = progress::events(colour.err, total, clusters.places());
        let set = self.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pool = clusters.clone();
        let context =
            RunContext { backend, backend_reason: reason, pool, exe, custom: None, seed, set, events, cancel };
        let suite = Suite { context, folder, repeat: self.repeat, fail_fast: self.fail_fast, left_out };
        let report = suite.run_lots(&lots).await;
        if self.keep {
            tell("the containers were left running (--keep); `seaworthy clean` removes them");
            // Dropping the pool would remove them.
            std::mem::forget(clusters);
        } else {
            if let Err(error) = clusters.shutdown().await {
                tell(&format!("error: {error}: `seaworthy clean` removes what is left"));
            }
        }
        let reports = match report {
            Ok(reports) => reports,
            Err(error) => {
                tell(&format!("error: {error}"));
                return error.exit_code();
            }
        };
        let judged: Vec<_> = reports.iter().flat_map(|report| &report.results).map(|(result, _)| result).collect();
        report::annotations(&judged).iter().for_each(|line| tell(line));
        for (lot, report) in lots.iter().zip(&reports) {
            self.show(&lot.folder, report);
        }
        let folders: Vec<RunFolder> = lots.into_iter().map(|lot| lot.folder).collect();
        if folders.len() > 1 {
            self.show_matrix(&folders, colour);
        }
        if self.format == Format::Human {
            if !caveats.is_empty() {
                print(&caveats);
            }
            for lot in &folders {
                print(&format!("run folder: {0}\nreport:     {0}/report.html", lot.path.display()));
            }
        }
        ExitCode::worst(reports.iter().map(|report| report.exit))
    }

    /// One variant's results, or all there are without a matrix.
    fn show(&self, folder: &RunFolder, report: &SuiteReport) {
        let path = &folder.path;
        match self.format {
            Format::Json => match std::fs::read_to_string(path.join("run.json")) {
                Ok(json) => print(&json),
                Err(error) => tell(&format!("error: cannot read {}/run.json: {error}", path.display())),
            },
            Format::Human => {
                if !self.matrix.is_empty() {
                    print(&format!("\n{}", path.file_name().unwrap_or_default().to_string_lossy()));
                }
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
                if self.repeat > 1 && !results.is_empty() {
                    match Side::read(path) {
                        Ok(side) => print(&format!("\n{}", compare::summary(&side, false))),
                        Err(error) => tell(&format!("error: {error}")),
                    }
                }
            }
        }
    }

    /// Every variant against the first. The results are what counts: that they cannot be compared is told, no more.
    fn show_matrix(&self, folders: &[RunFolder], colour: Colours) {
        match matrix::compare(folders, &self.matrix) {
            Ok(comparisons) if self.format == Format::Human => {
                for comparison in &comparisons {
                    print(&format!("\n{}", compare::human(comparison, super::compare::style(colour, false))));
                }
            }
            Ok(_) => {}
            Err(error) => tell(&format!("the variants cannot be compared: {error}")),
        }
    }
}
