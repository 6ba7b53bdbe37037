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
//! A service of one's own, in Rust, is `kind = "custom"` in its scenarios and the second argument here. Each of its members is
//! this program, started again, so that a crash is a crash:
//!
//! ```no_run
//! use seaworthy::testing::{Surroundings, run_scenarios_with};
//!
//! fn main() -> std::process::ExitCode {
//!     run_scenarios_with(&["scenarios"], |told: Surroundings| {
//!         // Consumes `told.input` as a member of `told.group`, and ends on SIGTERM.
//!         my_service::run(&told.bootstrap, &told.group, &told.input, &told.output, &told.dead_letter)
//!     })
//! }
//! # mod my_service {
//! #     pub fn run(_: &str, _: &str, _: &str, _: &str, _: &str) -> Result<(), std::io::Error> { Ok(()) }
//! # }
//! ```
//!
//! With the usual harness, [`ScenarioTest`] runs one file inside a `#[tokio::test]`.
//!
//! Files are found at run time, so a new one is a new test without a rebuild. Each is one trial a backend: on the
//! embedded one, a rehearsal that runs everywhere, and in containers. A backend that cannot carry a scenario, and
//! containers where no Docker engine answers, are ignored, loudly and with the reason. With
//! `SEAWORTHY_REQUIRE=containers` a missing engine is a failure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cluster::containers::{Engine, Launcher, Options, REAPER_VARIABLE, reaper_main};
use crate::cluster::embedded::{self, EmbeddedLauncher};
use crate::cluster::pool::ClusterPool;
use crate::exit_code::ExitCode;
use crate::plan::{BackendKind, Capabilities, Plan};
use crate::report;
use crate::rng::Rng;
use crate::runner::{CUSTOM_ENV, Events, RunBook, RunContext, RunFolder, ScenarioOutcome, run_one};
use crate::scenario;
pub use crate::subject::Surroundings;
use crate::subject::pipeline::member;
use crate::subject::process::keeper;
use crate::verdict::Verdict;

mod one_test;
pub use one_test::{NotPassed, ScenarioTest};

/// `SEAWORTHY_REQUIRE=containers`: a missing engine is a failure, not a reason to skip.
pub const REQUIRE_ENV: &str = "SEAWORTHY_REQUIRE";
/// The seed of every test run, unless set: the same faults on the same brokers each time.
pub const SEED_ENV: &str = "SEAWORTHY_SEED";

/// How many rehearsals run at a time. They spend their time waiting: so many share two processors without getting into
/// each other's way.
pub const EMBEDDED_JOBS: usize = 5;

/// Becomes a group member, a mock cluster or the reaper if this process was started as one, and never returns then. Call it first
/// thing in the `main` of every program that runs scenarios: members and mock clusters are this program, started again.
pub fn take_over() {
    if let Some(life) = role() {
        life();
    }
}

/// What this process was started as, if it was by us, and how it lives.
fn role() -> Option<fn()> {
    const ROLES: [(&str, fn()); 4] = [
        (member::MEMBER_ENV, member::run_if_member),
        (keeper::KEEPER_ENV, keeper::run_if_keeper),
        (embedded::MOCK_ENV, embedded::run_if_mock),
        (REAPER_VARIABLE, || reaper_main()),
    ];
    ROLES.iter().find(|(variable, _)| std::env::var_os(variable).is_some()).map(|(_, life)| *life)
}

/// Whether this process was started as a member of a subject of kind custom.
fn is_member() -> bool {
    std::env::var_os(CUSTOM_ENV).is_some()
}

/// Runs every scenario file below `folders` as one test a backend, with the command line of a Rust test binary
/// (`--list`, `--exact`, a filter …). Rehearsals run [`EMBEDDED_JOBS`] at a time; container trials one by one, while
/// nothing else runs (they share a cluster, and the machine).
pub fn run_scenarios(folders: &[&str]) -> std::process::ExitCode {
    take_over();
    run_all(folders, Bench::new())
}

/// As [`run_scenarios`], with a service of one's own for the scenarios of `kind = "custom"`. `member` is the whole life of one
/// member; it is called in a process of its own, which ends with it: with exit code 1 and the error in its log if it fails.
pub fn run_scenarios_with<E: std::fmt::Display>(
    folders: &[&str],
    member: impl FnOnce(Surroundings) -> Result<(), E>,
) -> std::process::ExitCode {
    take_over();
    become_member(member);
    run_all(folders, Bench::with_custom_subject())
}

/// Becomes a member of the custom subject if this process was started as one, and never returns then.
pub fn become_member<E: std::fmt::Display>(member: impl FnOnce(Surroundings) -> Result<(), E>) {
    if !is_member() {
        return;
    }
    let outcome = Surroundings::from_env().and_then(|told| member(told).map_err(|error| error.to_string()));
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    std::process::exit(i32::from(outcome.is_err()));
}

fn run_all(folders: &[&str], bench: Bench) -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(EMBEDDED_JOBS).clamp(1, EMBEDDED_JOBS));
    let paths: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let trials = match scenario::discover(&paths) {
        // Rehearsals first: whatever they say comes within the minute.
        Ok(files) => [BackendKind::Embedded, BackendKind::Containers]
            .into_iter()
            .flat_map(|backend| files.iter().map(move |file| (backend, file)))
            .map(|(backend, file)| bench.trial(file.clone(), backend))
            .collect(),
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

/// A place to run scenarios from a test binary: one cluster of containers at a time, reused while it is healthy, or some
/// embedded ones.
#[derive(Clone)]
pub struct Bench(Arc<Inner>);

struct Inner {
    runtime: tokio::runtime::Runtime,
    containers: Arc<ClusterPool>,
    embedded: Arc<ClusterPool>,
    /// The machine: a container trial needs all of it, a rehearsal one share.
    machine: Semaphore,
    engine: Result<String, String>,
    /// The runs that this binary's trials are part of, one a backend, each begun with its first: repeats of both would
    /// have one folder.
    books: Mutex<BTreeMap<BackendKind, RunBook>>,
    cancel: CancellationToken,
    /// How many runs of a scenario were begun, by folder of the run: each needs its own.
    begun: Mutex<BTreeMap<(BackendKind, String), u32>>,
    /// As in [`RunContext`].
    custom: Option<Vec<String>>,
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
    pub fn new() -> Self {
        Self::with(None)
    }

    /// As [`Bench::new`], for a program that calls [`become_member`] after [`take_over`].
    ///
    /// # Panics
    /// When no async runtime can be started.
    pub fn with_custom_subject() -> Self {
        Self::with(Some(Vec::new()))
    }

    #[expect(clippy::expect_used, reason = "a test binary without a runtime has nothing to say but this")]
    fn with(custom: Option<Vec<String>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("an async runtime");
        let engine = runtime.block_on(Engine::detect()).map(|e| e.to_string()).map_err(|e| e.to_string());
        let exe = std::env::current_exe().expect("the path of this program");
        let containers = Arc::new(container_pool(exe.clone(), true));
        let embedded = Arc::new(ClusterPool::with_places(EmbeddedLauncher::new(exe, seed()), EMBEDDED_JOBS));
        let machine = Semaphore::new(EMBEDDED_JOBS);
        let cancel = CancellationToken::new();
        runtime.spawn(crate::signals::cancel_on_signal(cancel.clone()));
        Self(Arc::new(Inner {
            runtime,
            containers,
            embedded,
            machine,
            engine,
            books: Mutex::default(),
            begun: Mutex::default(),
            cancel,
            custom,
        }))
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

    /// A trial for one file on one backend: it fails on any verdict but pass, and is ignored where the backend cannot
    /// carry the scenario, or is not to be had. An invalid file fails its trials.
    pub fn trial(&self, file: PathBuf, backend: BackendKind) -> Trial {
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{stem}::{backend}");
        let loaded = scenario::load(&file).map_err(|invalid| invalid.render(false));
        let cannot = loaded.as_ref().ok().and_then(|plan| Self::cannot(plan, backend));
        if let Some(reason) = &cannot {
            eprintln!("seaworthy: IGNORED {name}: {reason}");
        }
        let ignored = cannot.is_some() || (backend == BackendKind::Containers && self.ignores_containers());
        let bench = self.clone();
        Trial::test(name, move || {
            let plan = loaded.map_err(Failed::from)?;
            // Somebody runs the ignored ones too.
            if let Some(reason) = cannot {
                return Err(format!("{}: {reason}", file.display()).into());
            }
            let outcome = bench.run(file, plan, backend).map_err(Failed::from)?;
            passed(outcome).map(drop).map_err(Failed::from)
        })
        .with_ignored_flag(ignored)
    }

    /// What a backend lacks for a scenario; `None`: nothing.
    fn cannot(plan: &Plan, backend: BackendKind) -> Option<String> {
        let messages: Vec<String> =
            scenario::check(plan, &Capabilities::of(backend)).into_iter().map(|d| d.message).collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }

    /// Runs a scenario on a backend and gives its outcome, whatever the verdict. `Err`: it could not be run.
    pub fn run(&self, path: PathBuf, plan: Plan, backend: BackendKind) -> BenchOutcome {
        self.run_as(path, plan, backend, self.0.custom.clone())
    }

    fn run_as(&self, path: PathBuf, plan: Plan, backend: BackendKind, custom: Option<Vec<String>>) -> BenchOutcome {
        let inner = &self.0;
        let (pool, share, backend_reason) = match backend {
            BackendKind::Embedded => (&inner.embedded, 1, "embedded, as every scenario is rehearsed".to_owned()),
            BackendKind::Containers => {
                let engine = inner.engine.as_ref().map_err(|reason| format!("no container engine: {reason}"))?;
                (&inner.containers, EMBEDDED_JOBS as u32, format!("containers ({engine}), as a Docker engine answers"))
            }
            BackendKind::External => {
                return Err("an external cluster is for `seaworthy run --backend external`, not for tests".to_owned());
            }
        };
        let folder = self.book(backend, |book| book.folder.clone())?;
        let exe = std::env::current_exe().map_err(|e| format!("the path of this program: {e}"))?;
        let context = RunContext {
            backend,
            backend_reason,
            pool: pool.clone(),
            exe,
            custom,
            seed: seed(),
            set: Vec::new(),
            events: Events::none(),
            cancel: inner.cancel.clone(),
        };
        let name = plan.name.clone();
        let repeat = {
            let mut begun = inner.begun.lock().unwrap_or_else(|e| e.into_inner());
            let count = begun.entry((backend, name.clone())).or_default();
            *count += 1;
            *count
        };
        let outcome = inner.runtime.block_on(async {
            // Never closed.
            let _machine = inner.machine.acquire_many(share).await;
            run_one(&context, &folder, &path, plan, repeat).await
        });
        self.book(backend, |book| {
            match &outcome {
                Ok(done) => book.add(done),
                Err(error) => book.add_error(&name, error),
            }
            let exit = book.results().iter().map(|result| ExitCode::from(result.verdict)).collect::<Vec<_>>();
            book.write(ExitCode::worst(exit))
        })?
        .map_err(|e| e.to_string())?;
        outcome.map_err(|e| e.to_string())
    }

    /// Does something with this binary's run on a backend, which begins with the first call.
    fn book<T>(&self, backend: BackendKind, work: impl FnOnce(&mut RunBook) -> T) -> Result<T, String> {
        let mut books = self.0.books.lock().unwrap_or_else(|e| e.into_inner());
        let book = match books.entry(backend) {
            Entry::Occupied(book) => book.into_mut(),
            Entry::Vacant(place) => {
                let folder = RunFolder::create(&PathBuf::from("target/seaworthy")).map_err(|e| e.to_string())?;
                place.insert(RunBook::new(folder, backend, Vec::new()))
            }
        };
        Ok(work(book))
    }

    /// Removes the clusters. Call it before leaving `main`.
    pub fn close(&self) {
        for pool in [&self.0.embedded, &self.0.containers] {
            if let Err(error) = self.0.runtime.block_on(pool.shutdown()) {
                eprintln!("seaworthy: {error}: the reaper, or `seaworthy clean`, removes what is left");
            }
        }
    }
}

/// Any verdict but pass is an error, said in its block of the report.
fn passed(outcome: ScenarioOutcome) -> BenchOutcome {
    match outcome.result.verdict {
        Verdict::Pass => Ok(outcome),
        Verdict::Inconclusive | Verdict::Fail => {
            report::annotations(&[&outcome.result]).iter().for_each(|line| eprintln!("{line}"));
            Err(report::scenario_block(&outcome.result, &outcome.folder.display().to_string()))
        }
    }
}

/// A pool of container clusters of a run of its own. With `reap`, a child of `exe` removes them should this process die.
pub(crate) fn container_pool(exe: PathBuf, reap: bool) -> ClusterPool {
    let run = format!("{}-{:08x}", std::process::id(), Rng::from_entropy().u64() >> 32);
    let options = Options { reaper: reap.then_some(exe), ..Options::from_env(run) };
    ClusterPool::new(Launcher::new(options))
}

fn seed() -> u64 {
    std::env::var(SEED_ENV).ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn containers_required() -> bool {
    std::env::var(REQUIRE_ENV).is_ok_and(|value| value.split(',').any(|word| word.trim() == "containers"))
}
