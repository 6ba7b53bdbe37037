//! Scenarios inside tests of the usual harness, as a service's own `tests/` has them: members are this program, started
//! again, though its `main` is not ours.

#[path = "support/port.rs"]
mod port;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seaworthy::plan::BackendKind;
use seaworthy::resilience::metrics::server::MetricsServer;
use seaworthy::resilience::{
    DeadLetterQueue, ErrorMetrics, Handler, HandlerError, Incoming, OutgoingRecord, Record, ResilientConsumer,
    ResilientProducer,
};
use seaworthy::testing::{NotPassed, ScenarioTest, Surroundings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// One at a time: each brings a cluster, and this machine may have two processors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const SHORT: &str = r#"
[workload]
warm-up = "1s"
baseline = "2s"
[[fault]]
at = "0s"
lasts = "1s"
network = { cut = { leader-of = "orders/0" }, effect = "refuse" }
[observation]
on-time = "1s"
"#;

fn file(folder: &Path, name: &str, more: &str) -> PathBuf {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, format!("name = \"{name}\"\n{SHORT}{more}")).expect("a file");
    path
}

/// The service under test: bills orders.
struct Billing {
    output: String,
    /// A bug on purpose: every tenth order is forgotten.
    forgets: bool,
}

impl Handler for Billing {
    async fn handle(&self, order: &Incoming, _attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        if self.forgets && order.offset % 10 == 0 {
            return Ok(Vec::new());
        }
        let mut bill = Record::to(&self.output).payload(order.payload.clone().unwrap_or_default());
        (bill.partition, bill.key, bill.headers) = (Some(order.partition), order.key.clone(), order.headers.clone());
        Ok(vec![bill])
    }
}

/// The whole life of a member. The scenarios have one: the mock takes most of a session for each rebalance.
fn serve(told: &Surroundings, forgets: bool) -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (mut terminate, shutdown) = (signal(SignalKind::terminate())?, CancellationToken::new());
        let metrics = Arc::new(ErrorMetrics::new(1));
        if let Ok(port) = std::env::var("METRICS_PORT") {
            let server = MetricsServer::new(Arc::clone(&metrics));
            server.serve(format!("127.0.0.1:{port}").parse()?, shutdown.clone()).await?;
        }
        let stop = shutdown.clone();
        tokio::spawn(async move { terminate.recv().await.map(|()| stop.cancel()) });
        let producer = ResilientProducer::builder(&told.bootstrap).build()?;
        let letters = DeadLetterQueue::new(&told.dead_letter, &told.group);
        let consumer = ResilientConsumer::builder(&told.bootstrap, &told.group, producer, letters);
        let billing = Billing { output: told.output.clone(), forgets };
        consumer.topics([&told.input]).metrics(metrics).build().run(billing, shutdown).await?;
        Ok(())
    })
}

#[tokio::test]
async fn a_scenario_is_one_call() -> Result<(), NotPassed> {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "one-call", "[subject]\nmembers = 2\n");
    let first = ScenarioTest::of(&path).backend(BackendKind::Embedded).run().await?;
    assert_eq!(first.result.integrity.lost, 0);
    // Once more: of its own folder.
    let second = ScenarioTest::of(&path).backend(BackendKind::Embedded).run().await?;
    assert_ne!(first.folder, second.folder);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_rust_is_part_of_the_test() -> Result<(), NotPassed> {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "own-service", "[subject]\nkind = \"custom\"\nmembers = 1\n");
    let test = ScenarioTest::of(path).backend(BackendKind::Embedded).member(|told| serve(&told, false));
    let outcome = test.run().await?;
    assert!(outcome.folder.join("logs/member-0.log").exists(), "{}", outcome.folder.display());
    assert!(outcome.result.integrity.acked > 0);
    Ok(())
}

#[tokio::test]
async fn metrics_that_a_service_exposes_are_watched_and_may_be_expected() -> Result<(), NotPassed> {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let port = port::free();
    let subject = format!(
        "[subject]\nkind = \"custom\"\nmembers = 1\nenv = {{ METRICS_PORT = \"{port}\" }}\n[subject.metrics]\n\
         url = \"http://127.0.0.1:{port}/metrics\"\nsignals = {{ attempts = \"resilience_attempts_total\" }}\n"
    );
    let path = file(folder.path(), "watched", &format!("{subject}[expect]\nsignals = {{ attempts = 100 }}\n"));
    let run = |path| ScenarioTest::of(path).backend(BackendKind::Embedded).member(|told| serve(&told, false)).run();
    let outcome = run(path).await?;
    let [watched] = &outcome.result.components.signals[..] else { panic!("{:?}", outcome.result.components) };
    assert_eq!((watched.name.as_str(), watched.actor.as_str()), ("attempts", "member-0"));
    assert!(watched.least < watched.greatest && watched.greatest == watched.last, "a counter: {watched:?}");
    let history = std::fs::read_to_string(outcome.folder.join("history.jsonl")).expect("a history");
    assert!(history.contains(r#""name":"metric""#));
    let too_much = file(folder.path(), "too-much", &format!("{subject}[expect]\nsignals = {{ attempts = 900000 }}\n"));
    let said = run(too_much).await.err().expect("not passed").to_string();
    assert!(said.contains("expected the signal attempts to reach 900000"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_forgets_orders_fails_its_test_and_says_why() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "forgetful", "[subject]\nkind = \"custom\"\nmembers = 1\n");
    let test = ScenarioTest::of(path).backend(BackendKind::Embedded).member(|told| serve(&told, true));
    let said = format!("{:?}", test.run().await.err().expect("not passed"));
    assert!(said.contains("lost-in-app") && said.contains("\n"), "{said}");
}

#[tokio::test]
async fn what_cannot_run_is_named_with_the_next_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "beyond", "[[fault]]\nat = \"1s\"\nkill = { target = \"controller\" }\n");
    let embedded = ScenarioTest::of(path).backend(BackendKind::Embedded).run().await.err().expect("refused");
    let said = embedded.to_string();
    assert!(said.contains("the backend embedded cannot carry it") && said.contains("SEAWORTHY_REQUIRE"), "{said}");
    let missing = ScenarioTest::of(folder.path().join("none.toml")).run().await.err().expect("refused").to_string();
    assert!(missing.contains("none.toml"), "{missing}");
    // A task is not on the test's thread.
    let member = |_: Surroundings| Ok::<(), String>(());
    let run = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(ScenarioTest::of("any.toml").member(member).run())
    });
    let unnamed = run.join().expect("no panic").err().expect("refused").to_string();
    assert!(unnamed.contains("on the test's own thread"), "{unnamed}");
}
