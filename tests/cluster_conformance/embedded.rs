//! What only the embedded backend has: a child process that can die, a memory that can be full, and nothing to clean.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use seaworthy::clock::Clock;
use seaworthy::cluster::embedded::EmbeddedLauncher;
use seaworthy::cluster::pool::Launch;
use seaworthy::cluster::{Cluster, ClusterError, RequestErrors, View};

use crate::facts::{topic, write};
use crate::{Case, LATE, Outcome, Shared, case, ensure};

/// Makes this executable start a cluster, say which process is its mock, and wait to be killed.
pub const PARENT_VARIABLE: &str = "SEAWORTHY_TEST_EMBEDDED_PARENT";

pub fn cases() -> Vec<Case> {
    vec![
        case("a_used_cluster_is_not_leased_again", used),
        case("a_mock_that_aborts_is_named_and_nobody_hangs", aborted),
        case("a_topic_partition_s_memory_is_never_overrun", full),
        case("a_request_is_refused_as_often_as_ordered_and_on_the_subject_s_path_alone", refused),
        case("after_a_kill_no_process_is_left", killed),
        case("a_cluster_dropped_without_teardown_leaves_no_process", dropped),
    ]
}

/// The mock's process, by the cluster's own account.
fn mock_of(cluster: &dyn Cluster) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    let notes = cluster.info().notes.join("\n");
    let (_, rest) = notes.split_once("mock cluster in process ").ok_or_else(|| notes.clone())?;
    Ok(rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse()?)
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; who waits for it does so later.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

async fn gone(pid: u32) -> Outcome {
    let clock = Clock::start();
    while lives(pid) {
        ensure!(clock.now() < LATE.as_nanos() as u64, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("    gone after {:?}", Duration::from_nanos(clock.now()));
    Ok(())
}

async fn used(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let first = mock_of(&*cluster)?;
    println!("    {}", cluster.info().notes.join("; "));
    drop(cluster);
    let second = mock_of(&*shared.lease().await?)?;
    ensure!(first != second, "it was leased again");
    gone(first).await
}

async fn aborted(shared: Shared) -> Outcome {
    let mut cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let pid = mock_of(&*cluster)?;
    let killed = Command::new("kill").arg("-ABRT").arg(pid.to_string()).status()?;
    ensure!(killed.success(), "kill: {killed}");
    let error = tokio::time::timeout(LATE, cluster.broken()).await?;
    let text = error.to_string();
    ensure!(matches!(error, ClusterError::MockDied { .. }), "{text}");
    ensure!(text.contains("SIGABRT") && text.contains("--backend containers"), "{text}");
    // Whatever is asked of it now ends, too.
    let asked = tokio::time::timeout(LATE, cluster.leaders("orders")).await?;
    ensure!(asked.is_err(), "a dead cluster answered");
    let ordered =
        tokio::time::timeout(LATE, cluster.create_topics(&["t".to_owned()], 1, 1, &Default::default())).await?;
    ensure!(matches!(ordered, Err(ClusterError::MockDied { .. })), "{ordered:?}");
    cluster.spoil("it is dead");
    Ok(())
}

async fn full(shared: Shared) -> Outcome {
    let mut cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap(View::Direct))
        .set("message.timeout.ms", "3000")
        .create()?;
    let half = "x".repeat(500_000);
    let mut acked = 0;
    for _ in 0..12 {
        let record = FutureRecord::to("orders").key("k").payload(&half).partition(0);
        acked += i64::from(producer.send(record, LATE).await.is_ok());
        if acked == 10 {
            break;
        }
    }
    let record = FutureRecord::to("orders").key("k").payload(&half).partition(0);
    ensure!(producer.send(record, LATE).await.is_err(), "more was taken than is kept");
    let error = tokio::time::timeout(LATE, cluster.broken()).await?.to_string();
    ensure!(error.contains("orders/0") && error.contains("5 MiB"), "{error}");
    let (low, high) = tokio::task::spawn_blocking({
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let reader: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap(View::Direct)).create()?;
        move || reader.fetch_watermarks("orders", 0, LATE)
    })
    .await??;
    ensure!((low, high) == (0, acked), "{acked} were acknowledged, {low}..{high} are there");
    cluster.spoil("it is full");
    Ok(())
}

async fn refused(shared: Shared) -> Outcome {
    const OFFSET_COMMIT: i16 = 8;
    let mut cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    write(&*cluster, "orders", 1).await?;
    // What librdkafka does not repeat by itself: an answer that it hands on.
    let order = RequestErrors { api: OFFSET_COMMIT, error: 30, rate: None, times: Some(2) };
    cluster.refuse_requests(order).await?;
    let commit = |view| {
        let made = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap(view))
            .set("group.id", "refused")
            .create::<BaseConsumer>();
        tokio::task::spawn_blocking(move || {
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset("orders", 0, Offset::Offset(1))?;
            made?.commit(&offsets, CommitMode::Sync)
        })
    };
    ensure!(commit(View::Direct).await?.is_ok(), "the instrument's own commit was refused");
    for round in 0..4 {
        let outcome = commit(View::Subject).await?;
        let code = outcome.as_ref().err().and_then(|e| e.rdkafka_error_code());
        let wanted = (round < 2).then_some(RDKafkaErrorCode::GroupAuthorizationFailed);
        ensure!(code == wanted, "commit {round}: {outcome:?}");
    }
    let seen = cluster.refusals(OFFSET_COMMIT);
    ensure!(seen.refused == 2 && seen.asked >= 4, "{seen:?}");

    // A produce request: nothing of it is appended until it is answered again.
    let order = RequestErrors { api: 0, error: 6, rate: Some(1.0), times: None };
    cluster.refuse_requests(order).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap(View::Subject))
        .set("retry.backoff.ms", "20")
        .set("enable.idempotence", "true")
        .create()?;
    let record = FutureRecord::to("orders").key("k").payload("v").partition(1);
    let sent = tokio::spawn(async move { producer.send(record, LATE).await });
    let clock = Clock::start();
    while cluster.refusals(0).refused < 3 {
        ensure!(clock.now() < LATE.as_nanos() as u64, "nobody asks: {:?}", cluster.refusals(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ensure!(cluster.end_offsets("orders").await?.values().sum::<i64>() == 1, "it was appended");
    cluster.answer_requests(0).await?;
    sent.await?.map_err(|(e, _)| e)?;
    ensure!(cluster.end_offsets("orders").await?.values().sum::<i64>() == 2, "it is not there, or twice");
    cluster.spoil("it is used");
    Ok(())
}

/// The child's life: never ends by itself.
pub async fn be_a_parent() {
    let launched = match std::env::current_exe() {
        Ok(exe) => EmbeddedLauncher::new(exe, 1).launch(&crate::plan()).await,
        Err(e) => return println!("{e}"),
    };
    match launched.map_err(|e| e.to_string()).and_then(|c| Ok((mock_of(&*c).map_err(|e| e.to_string())?, c))) {
        Ok((pid, _cluster)) => {
            println!("{pid}");
            std::future::pending().await
        }
        Err(e) => println!("{e}"),
    }
}

async fn killed(_: Shared) -> Outcome {
    let mut child = Command::new(std::env::current_exe()?).env(PARENT_VARIABLE, "1").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        std::io::BufReader::new(out).read_line(&mut line)?;
    }
    child.kill()?;
    child.wait()?;
    gone(line.trim().parse().map_err(|_| line.clone())?).await
}

async fn dropped(shared: Shared) -> Outcome {
    let cluster = EmbeddedLauncher::new(std::env::current_exe()?, 1).start(&shared.plan()).await?;
    cluster.reset_topics(&topic("orders")).await?;
    write(&cluster, "orders", 1).await?;
    let pid = mock_of(&cluster)?;
    ensure!(lives(pid), "it is not there");
    drop(cluster);
    gone(pid).await
}
