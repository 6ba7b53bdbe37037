//! Wrong credentials and denied topics: a person must mend them. The consumer stops with an alert, nothing is
//! dead-lettered, and once they are mended everything is processed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seaworthy::cluster::{Cluster, TopicOperation};
use seaworthy::resilience::consumer::ConsumerError;
use seaworthy::resilience::{HandlerError, ResilientProducer};

use crate::bench::{Bench, Do, Log, Member, properties};
use crate::{Case, Outcome, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![
        case("a_consumer_with_a_wrong_password_stops_and_dead_letters_nothing", wrong_password),
        case("a_producer_with_a_wrong_password_stops_the_consumer_and_dead_letters_nothing", producer_s_password),
        case("a_denied_input_topic_stops_the_consumer_and_dead_letters_nothing", denied_input),
        case("a_denied_output_topic_stops_the_consumer_and_dead_letters_nothing", denied_output),
        case("a_handler_that_cannot_go_on_stops_the_consumer_and_dead_letters_nothing", handler_stops),
    ]
}

const AUTHENTICATION: i32 = -169;
const TOPIC_DENIED: i32 = 29;

/// Nobody has this password.
fn wrong() -> std::collections::BTreeMap<String, String> {
    properties(&[
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "broker"),
        ("sasl.password", "wrong"),
    ])
}

/// It ended with this code, said so, and dead-lettered nothing; mended, everything is processed.
async fn stopped_cleanly(bench: &Bench, log: &Log, error: ConsumerError, wanted: i32) -> Outcome {
    let ConsumerError::Stopped { code, .. } = &error else { return Err(format!("it ended with: {error}").into()) };
    ensure!(*code == wanted, "it ended with: {error}");
    ensure!(log.signals("stopped", &wanted.to_string()) == 1, "it gave no alert");
    let letters = bench.values(bench.dlq()).await?;
    ensure!(letters.is_empty(), "dead-lettered: {letters:?}");
    Ok(())
}

async fn works_again(bench: &Bench) -> Outcome {
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(|_| false));
    bench.nothing_is_lost(20, |_| false).await?;
    member.leave().await?;
    bench.all_is_committed().await
}

/// The controller's listener of the same broker asks for a password; the brokers' own do not.
fn with_password(bench: &Bench) -> Result<String, String> {
    bench.cluster.controller_address(1).ok_or_else(|| "there is no listener with a password".to_owned())
}

async fn wrong_password(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "password").await?;
    bench.fill(0, 20).await?;
    let log = Log::new();
    let mut overrides = wrong();
    overrides.insert("bootstrap.servers".into(), with_password(&bench)?);
    let member = Member::start(bench.consumer(&log).overrides(overrides), bench.handler(|_| false));
    let error = member.ends().await?;
    stopped_cleanly(&bench, &log, error, AUTHENTICATION).await?;
    works_again(&bench).await
}

async fn producer_s_password(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "producer").await?;
    bench.fill(0, 20).await?;
    let log = Log::new();
    let producer = ResilientProducer::builder(with_password(&bench)?).overrides(wrong()).build()?;
    let mut settings = crate::bench::settings();
    // The records in flight can have no outcome.
    settings.consumer.drain_timeout = std::time::Duration::from_millis(500);
    let builder = bench.consumer_with(&log, producer).settings(settings);
    let member = Member::start(builder, bench.handler(|value| value % 2 == 0));
    let error = member.ends().await?;
    stopped_cleanly(&bench, &log, error, AUTHENTICATION).await?;
    works_again(&bench).await
}

async fn denied_input(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "denied-in").await?;
    bench.fill(0, 20).await?;
    bench.cluster.deny(&bench.input(), TopicOperation::Read).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(|_| false));
    let error = member.ends().await?;
    stopped_cleanly(&bench, &log, error, TOPIC_DENIED).await?;
    bench.cluster.undeny(&bench.input()).await?;
    works_again(&bench).await
}

async fn denied_output(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "denied-out").await?;
    bench.fill(0, 20).await?;
    bench.cluster.deny(&bench.output(), TopicOperation::Write).await?;
    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(|_| false));
    let error = member.ends().await?;
    stopped_cleanly(&bench, &log, error, TOPIC_DENIED).await?;
    bench.cluster.undeny(&bench.output()).await?;
    works_again(&bench).await
}

async fn handler_stops(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "stops").await?;
    bench.fill(0, 20).await?;
    let log = Log::new();
    let handler = Do(Box::new(|_, _| Err(HandlerError::stop("the database refuses the password"))));
    let error = Member::start(bench.consumer(&log), handler).ends().await?;
    ensure!(matches!(error, ConsumerError::StoppedByHandler(_)), "it ended with: {error}");
    ensure!(log.signals("stopped", "the database refuses") == 1, "it gave no alert");
    ensure!(log.dead_letters.load(Ordering::SeqCst) == 0, "something was dead-lettered");
    works_again(&bench).await
}
