//! The container backend against a real engine, real brokers and real proxies. One cluster serves all trials in turn.
//!
//! Without an engine the trials are ignored, and say so; with `SEAWORTHY_REQUIRE=containers` they fail.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::cluster::containers::{Engine, Launcher, Options, REAPER_VARIABLE, reaper_main};
use seaworthy::cluster::pool::{ClusterPool, Lease};
use seaworthy::plan::{ClusterPlan, Isolation};

mod brokers;
mod facts;
mod lifecycle;
mod links;
mod lost_fault;

/// Short enough to wait for what does not come.
pub const SOON: Duration = Duration::from_millis(700);
/// Long enough for what must come, on a loaded machine.
pub const LATE: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What all trials share.
#[derive(Clone)]
pub struct Shared {
    pub run: String,
    pub pool: Arc<ClusterPool>,
}

impl Shared {
    pub async fn lease(&self) -> Result<Lease, seaworthy::cluster::ClusterError> {
        self.pool.lease(&plan()).await
    }
}

/// Three brokers with the time-outs of a scenario that is in a hurry.
pub fn plan() -> ClusterPlan {
    let config = [("broker.session.timeout.ms", "3000"), ("replica.lag.time.max.ms", "3000")];
    ClusterPlan {
        brokers: 3,
        kafka: "4.1.0".to_owned(),
        isolation: Isolation::Shared,
        image: None,
        config: config.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

pub fn options(run: &str) -> Options {
    let reaper =
        std::env::current_exe().ok().filter(|_| std::env::var("SEAWORTHY_TEST_NO_REAPER") != Ok("1".to_owned()));
    Options { reaper, ..Options::from_env(run) }
}

/// One named body.
pub struct Case {
    name: String,
    body: Box<dyn FnOnce(Shared) -> Running + Send>,
}

pub fn case<F: Future<Output = Outcome> + Send + 'static>(
    name: impl Into<String>,
    body: impl FnOnce(Shared) -> F + Send + 'static,
) -> Case {
    Case { name: name.into(), body: Box::new(move |shared| Box::pin(body(shared))) }
}

/// Fails a trial with words.
#[macro_export]
macro_rules! ensure {
    ($fact:expr, $($words:tt)+) => { if !$fact { return Err(format!($($words)+).into()); } };
}

fn main() -> ExitCode {
    if std::env::var_os(REAPER_VARIABLE).is_some() {
        reaper_main();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(e) => panic!("no runtime: {e}"),
    };
    if let Ok(run) = std::env::var(lifecycle::ORPHAN_VARIABLE) {
        runtime.block_on(lifecycle::be_an_orphan_s_parent(&run));
    }
    let mut arguments = Arguments::from_args();
    // They harm the same cluster.
    arguments.test_threads = Some(1);

    let engine = runtime.block_on(Engine::detect());
    let required = std::env::var("SEAWORTHY_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "containers"));
    if let (Err(e), false, false) = (&engine, required, arguments.list) {
        eprintln!(
            "\n!!! IGNORED: {e}\n!!! Nothing of the container backend is tested. SEAWORTHY_REQUIRE=containers makes this fail.\n"
        );
    }
    let run = format!("test-{}", std::process::id());
    let shared = Shared { run: run.clone(), pool: Arc::new(ClusterPool::new(Launcher::new(options(&run)))) };

    let cases = [facts::cases(), links::cases(), brokers::cases(), lost_fault::cases(), lifecycle::cases()]
        .into_iter()
        .flatten();
    let trials = cases.map(|Case { name, body }| {
        let (runtime, shared) = (runtime.clone(), shared.clone());
        let missing = engine.as_ref().err().map(ToString::to_string);
        Trial::test(name, move || match missing {
            Some(reason) => Err(Failed::from(reason)),
            None => runtime.block_on(body(shared)).map_err(|e| Failed::from(e.to_string())),
        })
        .with_ignored_flag(engine.is_err() && !required)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if engine.is_ok()
        && !arguments.list
        && let Err(e) = runtime.block_on(lifecycle::nothing_is_left(&shared))
    {
        eprintln!("FAILED: {e}");
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}
