//! One body of tests for every backend: what a cluster does must not depend on who runs it. Where librdkafka's mock differs
//! from Kafka, the body asserts the difference, and `docs/embedded-backend.md` has it in its table.
//!
//! `embedded::…` runs everywhere. `containers::…` is ignored where no engine answers, says so, and fails with
//! `SEAWORTHY_REQUIRE=containers`; one cluster serves all its trials in turn.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::cluster::containers::{Engine, Launcher, Options};
use seaworthy::cluster::embedded::EmbeddedLauncher;
use seaworthy::cluster::pool::{ClusterPool, Lease};
use seaworthy::plan::{BackendKind, ClusterPlan, Isolation};

mod brokers;
mod embedded;
mod facts;
mod field;
mod isolation;
mod lifecycle;
mod links;
mod log;
mod lost_fault;
mod producer;

/// Short enough to wait for what does not come.
pub const SOON: Duration = Duration::from_millis(700);
/// Long enough for what must come, on a loaded machine.
pub const LATE: Duration = Duration::from_secs(60);

pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What all trials of a backend share.
#[derive(Clone)]
pub struct Shared {
    pub backend: BackendKind,
    pub run: String,
    pub pool: Arc<ClusterPool>,
}

impl Shared {
    pub async fn lease(&self) -> Result<Lease, seaworthy::cluster::ClusterError> {
        self.pool.lease(&self.plan()).await
    }

    pub fn plan(&self) -> ClusterPlan {
        let config = if self.is_kafka() { plan().config } else { Default::default() };
        ClusterPlan { config, ..plan() }
    }

    /// Whether what is asserted is Kafka's behaviour, or the mock's.
    pub fn is_kafka(&self) -> bool {
        self.backend != BackendKind::Embedded
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
    seaworthy::testing::take_over();
    if let Ok(client) = std::env::var(log::MEMBER_VARIABLE) {
        log::be_a_member(&client);
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(e) => panic!("no runtime: {e}"),
    };
    if let Ok(run) = std::env::var(lifecycle::ORPHAN_VARIABLE) {
        runtime.block_on(lifecycle::be_an_orphan_s_parent(&run));
    }
    if std::env::var_os(embedded::PARENT_VARIABLE).is_some() {
        runtime.block_on(embedded::be_a_parent());
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
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(e) => panic!("the path of this program: {e}"),
    };
    let containers = Shared {
        backend: BackendKind::Containers,
        run: run.clone(),
        pool: Arc::new(ClusterPool::new(Launcher::new(options(&run)))),
    };
    let mock =
        Shared { backend: BackendKind::Embedded, run, pool: Arc::new(ClusterPool::new(EmbeddedLauncher::new(exe, 1))) };

    let both =
        || [facts::cases(), log::cases(), links::cases(), brokers::cases(), lost_fault::cases()].into_iter().flatten();
    let of_embedded = both().chain(embedded::cases()).map(|case| (mock.clone(), case));
    let of_containers = both()
        .chain(links::container_cases())
        .chain(isolation::container_cases())
        .chain(producer::container_cases())
        .chain(lifecycle::cases())
        .map(|case| (containers.clone(), case));
    let trials = of_embedded.chain(of_containers).map(|(shared, Case { name, body })| {
        let runtime = runtime.clone();
        let missing = engine.as_ref().err().filter(|_| shared.is_kafka()).map(ToString::to_string);
        let ignored = missing.is_some() && !required;
        Trial::test(format!("{}::{name}", shared.backend), move || match missing {
            Some(reason) => Err(Failed::from(reason)),
            None => runtime.block_on(body(shared)).map_err(|e| Failed::from(e.to_string())),
        })
        .with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Err(e) = runtime.block_on(mock.pool.shutdown()) {
        eprintln!("FAILED: {e}");
        return ExitCode::from(101);
    }
    if engine.is_ok()
        && !arguments.list
        && let Err(e) = runtime.block_on(lifecycle::nothing_is_left(&containers))
    {
        eprintln!("FAILED: {e}");
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}
