//! The resilient clients and dead-letter queue against a real broker: what happens to records when the consumer is
//! killed, its topics are gone, forbidden or too small, its credentials wrong, its producer dead, and when a replay is
//! killed. One broker with an authorizer serves all trials in turn; each has topics of its own.
//!
//! Without an engine the trials are ignored, and say so; with `SEAWORTHY_REQUIRE=containers` they fail.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::cluster::Cluster;
use seaworthy::cluster::containers::{Engine, Launcher, Options, REAPER_VARIABLE, reaper_main};
use seaworthy::cluster::pool::ClusterPool;
use seaworthy::plan::{ClusterPlan, Isolation};

mod access;
mod bench;
mod queue;
mod replay;
mod survival;

pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One broker that asks an authorizer, in a hurry with groups.
fn plan() -> ClusterPlan {
    let config = [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "3"),
        ("transaction.state.log.num.partitions", "3"),
    ];
    ClusterPlan {
        brokers: 1,
        kafka: "4.1.0".to_owned(),
        isolation: Isolation::Shared,
        image: None,
        config: config.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

/// One named body.
pub struct Case {
    name: String,
    body: Box<dyn FnOnce(Arc<dyn Cluster>) -> Running + Send>,
}

pub fn case<F: Future<Output = Outcome> + Send + 'static>(
    name: impl Into<String>,
    body: impl FnOnce(Arc<dyn Cluster>) -> F + Send + 'static,
) -> Case {
    Case { name: name.into(), body: Box::new(move |cluster| Box::pin(body(cluster))) }
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
    survival::run_if_victim(&runtime);
    let mut arguments = Arguments::from_args();
    // One cluster, and a machine with few cores.
    arguments.test_threads = Some(1);

    let engine = runtime.block_on(Engine::detect());
    let required = std::env::var("SEAWORTHY_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "containers"));
    if let (Err(e), false, false) = (&engine, required, arguments.list) {
        eprintln!(
            "\n!!! IGNORED: {e}\n!!! The dead-letter queue is not tested against a real broker. SEAWORTHY_REQUIRE=containers makes this fail.\n"
        );
    }
    let options = Options {
        reaper: std::env::current_exe().ok(),
        ..Options::from_env(format!("letters-{}", std::process::id()))
    };
    let pool = Arc::new(ClusterPool::new(Launcher::new(options)));

    let cases = [queue::cases(), access::cases(), survival::cases(), replay::cases()].into_iter().flatten();
    let trials = cases.map(|Case { name, body }| {
        let (runtime, pool) = (runtime.clone(), pool.clone());
        let missing = engine.as_ref().err().map(ToString::to_string);
        Trial::test(name, move || match missing {
            Some(reason) => Err(Failed::from(reason)),
            None => runtime.block_on(async {
                let lease = pool.lease(&plan()).await.map_err(|e| Failed::from(e.to_string()))?;
                // As a task of its own: what a body drops must not block the thread that drives everything.
                let done = tokio::spawn(body(lease.cluster())).await;
                match done {
                    Ok(outcome) => outcome.map_err(|e| Failed::from(e.to_string())),
                    Err(panic) => Err(Failed::from(format!("panicked: {panic}"))),
                }
            }),
        })
        .with_ignored_flag(engine.is_err() && !required)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if engine.is_ok()
        && !arguments.list
        && let Err(e) = runtime.block_on(pool.shutdown())
    {
        eprintln!("FAILED: {e}");
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}
