//! Entry points for `cargo test`: every scenario file as one test.
//!
//! A test binary with `harness = false` needs three lines:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     seaworthy::testing::run_scenarios(&["scenarios"])
//! }
//! ```
//!
//! Files are found at run time, so a new one is a new test without a rebuild. Trials that need a Docker engine are
//! ignored, loudly, where none answers, and fail where `SEAWORTHY_REQUIRE=containers` is set.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio_util::sync::CancellationToken;

use crate::cluster::containers::{Engine, Launcher, Options, REAPER_VARIABLE, reaper_main};
use crate::cluster::pool::ClusterPool;
use crate::plan::{BackendKind, Capabilities, Plan};
use crate::report;
use crate::rng::Rng;
use crate::runner::{Events, RunContext, RunFolder, ScenarioOutcome, run_one};
use crate::scenario;
use crate::subject::pipeline::member;
use crate::subject::process::keeper;
use crate::verdict::Verdict;

/// `SEAWORTHY_REQUIRE=containers`: a missing engine is a failure, not a reason to skip.
pub const REQUIRE_ENV: &str = "SEAWORTHY_REQUIRE";
/// The seed of every test run, unless set: the same faults on the same brokers each time.
pub const SEED_ENV: &str = "SEAWORTHY_SEED";

/// Becomes a group member or the reaper if this process was started as one, and never returns then. Call it first
/// thing in the `main` of every program that runs scenarios: members are this program, started again.
pub fn take_over() {
    member::run_if_member();
    keeper::run_if_keeper();
    if std::env::var_os(REAPER_VARIABLE).is_some() {
        reaper_main();
    }
}

/// Runs every scenario file below `folders` as one test each, one at a time (they share a cluster), with the command
/// line of a Rust test binary (`--list`, `--exact`, a filter …).
pub fn run_scenarios(folders: &[&str]) -> ExitCode {
    take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bench = Bench::new();
    let paths: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let trials = match scenario::discover(&paths) {
        Ok(files) => files.into_iter().map(|file| bench.trial(file)).collect(),
        Err(error) => {
            let message = format!("cannot look for scenarios: {error}");
            vec![Trial::test("scenarios", move || Err(Failed::from(message)))]
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    bench.close();
    conclusion.exit_code()
}

/// What a scenario run in a test came to.
pub type BenchOutcome = Result<ScenarioOutcome, String>;

/// A place to run scenarios from a test binary: one cluster at a time, reused while it is healthy.
#[derive(Clone)]
pub struct Bench(Arc<Inner>);

struct Inner {
    runtime: tokio::runtime::Runtime,
    pool: Arc<ClusterPool>,
    engine: Result<String, String>,
    folder: Mutex<Option<RunFolder>>,
    cancel: CancellationToken,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// Looks for an engine; starts nothing yet.
    ///
    /// # Panics
    /// When no async runtime can be started.
    #[expect(clippy::expect_used, reason = "a test binary without a runtime has nothing to say but this")]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("an async runtime");
        let engine = runtime.block_on(Engine::detect()).map(|e| e.to_string()).map_err(|e| e.to_string());
        let exe = std::env::current_exe().expect("the path of this program");
        let pool = Arc::new(container_pool(exe, true));
        let cancel = CancellationToken::new();
        runtime.spawn(crate::signals::cancel_on_signal(cancel.clone()));
        Self(Arc::new(Inner { runtime, pool, engine, folder: Mutex::default(), cancel }))
    }

    /// `Err`: why container trials cannot run here.
    pub fn engine(&self) -> Result<&str, &str> {
        self.0.engine.as_deref().map_err(String::as_str)
    }

    /// Whether trials that need containers are to be ignored: no engine, and none required. Says so on standard error.
    pub fn ignores_containers(&self) -> bool {
        let ignored = self.0.engine.is_err() && !containers_required();
        static ONCE: std::sync::Once = std::sync::Once::new();
        if let (true, Err(reason)) = (ignored, &self.0.engine) {
            ONCE.call_once(|| {
                eprintln!(
                    "\nseaworthy: NO CONTAINER ENGINE: container trials are IGNORED, nothing is proved about Kafka.\n\
                     seaworthy: {reason}\n\
                     seaworthy: set {REQUIRE_ENV}=containers to make this a failure.\n"
                );
            });
        }
        ignored
    }

    /// A trial for one file: it fails on any verdict but pass.
    pub fn trial(&self, file: PathBuf) -> Trial {
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let ignored = self.ignores_containers();
        let bench = self.clone();
        let name = format!("{stem}::containers");
        Trial::test(name, move || {
            let plan = scenario::load(&file).map_err(|invalid| Failed::from(invalid.render(false)))?;
            let cannot = scenario::check(&plan, &Capabilities::of(BackendKind::Containers));
            if let Some(reason) = cannot.first() {
                return Err(format!("{}: {}", file.display(), reason.message).into());
            }
            let outcome = bench.run(file, plan).map_err(Failed::from)?;
            match outcome.result.verdict {
                Verdict::Pass => Ok(()),
                Verdict::Inconclusive | Verdict::Fail => {
                    Err(report::scenario_block(&outcome.result, &outcome.folder.display().to_string()).into())
                }
            }
        })
        .with_ignored_flag(ignored)
    }

    /// Runs a scenario and gives its outcome, whatever the verdict. `Err`: it could not be run.
    pub fn run(&self, path: PathBuf, plan: Plan) -> BenchOutcome {
        let inner = &self.0;
        if let Err(reason) = &inner.engine {
            return Err(format!("no container engine: {reason}"));
        }
        let folder = {
            let mut slot = inner.folder.lock().unwrap_or_else(|e| e.into_inner());
            match &*slot {
                Some(folder) => folder.clone(),
                None => {
                    let out = PathBuf::from("target/seaworthy");
                    slot.insert(RunFolder::create(&out).map_err(|e| e.to_string())?).clone()
                }
            }
        };
        let exe = std::env::current_exe().map_err(|e| format!("the path of this program: {e}"))?;
        let context = RunContext {
            backend: BackendKind::Containers,
            backend_reason: "containers: a Docker engine answers".into(),
            pool: inner.pool.clone(),
            exe,
            seed: std::env::var(SEED_ENV).ok().and_then(|s| s.parse().ok()).unwrap_or(1),
            events: Events::none(),
            cancel: inner.cancel.clone(),
        };
        inner.runtime.block_on(run_one(&context, &folder, &path, plan, 1)).map_err(|e| e.to_string())
    }

    /// Removes the cluster. Call it before leaving `main`.
    pub fn close(&self) {
        if let Err(error) = self.0.runtime.block_on(self.0.pool.shutdown()) {
            eprintln!("seaworthy: {error}: the reaper, or `seaworthy clean`, removes what is left");
        }
    }
}

/// A pool of container clusters of a run of its own. With `reap`, a child of `exe` removes them should this process die.
pub(crate) fn container_pool(exe: PathBuf, reap: bool) -> ClusterPool {
    let run = format!("{}-{:08x}", std::process::id(), Rng::from_entropy().u64() >> 32);
    let options = Options { reaper: reap.then_some(exe), ..Options::from_env(run) };
    ClusterPool::new(Launcher::new(options))
}

fn containers_required() -> bool {
    std::env::var(REQUIRE_ENV).is_ok_and(|value| value.split(',').any(|word| word.trim() == "containers"))
}
