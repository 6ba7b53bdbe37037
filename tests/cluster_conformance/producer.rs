//! What the resilient producer promises of a log, where only real brokers can break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use seaworthy::cluster::{Cluster, View};
use seaworthy::plan::{Direction, NetworkEffect, TopicPlan};
use seaworthy::resilience::{Record, ResilientProducer};

use crate::{Case, LATE, Outcome, Shared, case, ensure};

const PARTITIONS: i32 = 24;
const ROUNDS: u32 = 24;
const MINIMUM: &str = "min.insync.replicas";

pub fn container_cases() -> Vec<Case> {
    vec![case("nothing_is_in_the_log_twice_while_replicas_come_and_go", twice)]
}

/// Two thirds of the partitions have one replica left and reject everything while two are asked for, again and again;
/// between, connections break with requests on them. A request that follows a rejected one and comes just when the replicas
/// suffice again is out of order to the broker. librdkafka takes a new epoch then, in which the broker recognises no
/// repeat of what the broken connections left unanswered: with five requests in flight, 40 rounds had 9 and 16 records twice.
async fn twice(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    let plan = TopicPlan { name: "orders".to_owned(), partitions: PARTITIONS, replication: 2, min_insync_replicas: 1 };
    cluster.reset_topics(&plan).await?;
    let producer = Arc::new(
        ResilientProducer::builder(cluster.bootstrap(View::Subject))
            // More tries, so that more of them meet the moment.
            .overrides(
                [("retry.backoff.ms", "5"), ("retry.backoff.max.ms", "10")].map(|(k, v)| (k.into(), v.into())).into(),
            )
            .build()?,
    );
    cluster.kill(3).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(send(producer.clone(), stop.clone()));
    let storm = storm(&*cluster).await;
    stop.store(true, Ordering::Relaxed);
    let sent = load.await??;
    cluster.start(3).await?;
    cluster.verify_healthy(LATE).await?;
    storm?;
    producer.close(LATE).await.map_err(|unsettled| format!("{unsettled:?}"))?;
    let written: u64 = cluster.end_offsets("orders").await?.into_values().map(|end| end as u64).sum();
    println!("    {sent} records sent, {written} in the log");
    ensure!(sent > 1_000, "only {sent} records were sent");
    ensure!(written == sent, "{sent} records were acknowledged, the log has {written}");
    Ok(())
}

async fn storm(cluster: &dyn Cluster) -> Outcome {
    for round in 0..ROUNDS {
        let broker = 1 + round % 2;
        cluster.alter_topic("orders", MINIMUM, Some("2")).await?;
        cluster.cut(broker, NetworkEffect::Reset, Direction::Both).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        cluster.mend(broker).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.alter_topic("orders", MINIMUM, Some("1")).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Sends to all partitions in turn until told to stop, and waits for every acknowledgement; the number of records.
async fn send(
    producer: Arc<ResilientProducer>,
    stop: Arc<AtomicBool>,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let mut deliveries = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for partition in 0..PARTITIONS {
            let payload = deliveries.len().to_string();
            deliveries.push(producer.send(Record::to("orders").partition(partition).payload(payload)));
        }
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
    let sent = deliveries.len() as u64;
    for delivered in join_all(deliveries).await {
        delivered?;
    }
    Ok(sent)
}
