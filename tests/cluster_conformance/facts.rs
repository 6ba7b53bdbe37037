//! What is asked of the brokers, and the topics.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use seaworthy::clock::Clock;
use seaworthy::cluster::pool::Origin;
use seaworthy::cluster::{Cluster, ClusterError, View, wire};
use seaworthy::plan::{TopicPartition, TopicPlan};

use crate::{Case, LATE, Outcome, SOON, Shared, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![
        case("the_subject_s_path_advertises_the_proxies_and_nothing_else", path),
        case("a_topic_reset_leaves_no_old_record", reset),
        case("a_group_s_coordinator_is_where_kafka_says", coordinator),
        case("committed_and_end_offsets_are_what_was_written", offsets),
        case("a_topic_s_property_is_set_and_taken_back", property),
        case("a_leader_is_moved_and_the_replicas_stay", leader),
    ]
}

pub fn topic(name: &str) -> TopicPlan {
    TopicPlan { name: name.to_owned(), partitions: 6, replication: 3, min_insync_replicas: 2 }
}

pub async fn write(cluster: &dyn Cluster, topic: &str, count: usize) -> Outcome {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap(View::Direct))
        .set("acks", "all")
        .set("message.timeout.ms", "20000")
        .create()?;
    for i in 0..count {
        let (key, value) = (i.to_string(), format!("record {i}"));
        let record = FutureRecord::to(topic).key(&key).payload(&value);
        producer.send(record, LATE).await.map_err(|(e, _)| e)?;
    }
    Ok(())
}

async fn path(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    println!("    {:?} in {:?}; {}", cluster.origin(), cluster.took(), cluster.info().notes.join("; "));
    for broker in cluster.brokers() {
        for view in [View::Subject, View::Direct] {
            let address = cluster.address(broker, view)?;
            let seen = wire::metadata(&address, LATE).await?;
            let wanted: BTreeMap<u32, String> = cluster
                .brokers()
                .into_iter()
                .map(|b| Ok((b, cluster.address(b, view)?)))
                .collect::<Result<_, ClusterError>>()?;
            ensure!(seen.brokers == wanted, "{view} of broker {broker}: {:?}, not {wanted:?}", seen.brokers);
        }
    }
    let offsets = cluster.leaders("__consumer_offsets").await;
    if shared.is_kafka() {
        ensure!(offsets?.len() == 50, "partitions are missing");
    } else {
        ensure!(offsets.is_err(), "the mock keeps groups' offsets in a topic");
    }
    Ok(cluster.verify_healthy(LATE).await?)
}

async fn reset(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    write(&*cluster, "orders", 20).await?;
    let clock = Clock::start();
    cluster.verify_healthy(LATE).await?;
    let healthy = Duration::from_nanos(clock.now());
    if !shared.is_kafka() {
        // The mock cannot delete a topic: the next scenario gets a new cluster instead.
        let again = cluster.reset_topics(&topic("orders")).await;
        ensure!(matches!(again, Err(ClusterError::Unsupported { .. })), "{again:?}");
        drop(cluster);
        let cluster = shared.lease().await?;
        ensure!(matches!(cluster.origin(), Origin::Built { .. }), "{:?}", cluster.origin());
        ensure!(cluster.leaders("orders").await.is_err(), "old topics are left");
        return Ok(());
    }
    cluster.reset_topics(&topic("orders")).await?;
    let all = Duration::from_nanos(clock.now());
    println!("    verify_healthy {healthy:?}, with topic reset {all:?}");
    let ends = cluster.end_offsets("orders").await?;
    ensure!(ends.len() == 6 && ends.values().all(|end| *end == 0), "old records are left: {ends:?}");
    ensure!(cluster.leaders("orders.dlq").await?.len() == 6, "no dead-letter topic");
    Ok(())
}

async fn coordinator(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    for group in ["orders", "", "a-group.with_signs", "größe"] {
        if group.is_empty() && !shared.is_kafka() {
            ensure!(cluster.coordinator_of(group).await.is_err(), "the mock takes a group without a name");
            continue;
        }
        let ours = cluster.coordinator_of(group).await?;
        let kafka_s = wire::find_coordinator(&cluster.address(1, View::Direct)?, group, LATE).await?;
        ensure!(ours == kafka_s, "group {group:?}: {ours}, Kafka says {kafka_s}");
    }
    let controller = cluster.controller().await;
    if !shared.is_kafka() {
        ensure!(
            matches!(controller, Err(ClusterError::Unsupported { .. })),
            "the mock has a controller: {controller:?}"
        );
        return Ok(());
    }
    let controller = controller?;
    ensure!(cluster.brokers().contains(&controller), "controller {controller}");
    Ok(())
}

async fn offsets(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    write(&*cluster, "orders", 60).await?;
    let ends = cluster.end_offsets("orders").await?;
    ensure!(ends.values().sum::<i64>() == 60, "{ends:?}");

    let tps: Vec<TopicPartition> = ends.keys().cloned().collect();
    let group = format!("group-{}", shared.run);
    ensure!(cluster.committed(&group, &tps).await?.is_empty(), "offsets of a group that never was");
    let bootstrap = cluster.bootstrap(View::Subject);
    let committer = group.clone();
    tokio::task::spawn_blocking(move || {
        let member: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", committer).create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("orders", 2, Offset::Offset(7))?;
        member.commit(&list, CommitMode::Sync)
    })
    .await??;
    let committed = cluster.committed(&group, &tps).await?;
    ensure!(committed == BTreeMap::from([(TopicPartition::new("orders", 2), 7)]), "{committed:?}");
    Ok(())
}

async fn property(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    cluster.alter_topic("orders.dlq", "max.message.bytes", Some("10")).await?;
    ensure!(takes(&*cluster, "orders.dlq", false).await, "a record of any size is taken");
    write(&*cluster, "orders", 1).await?;
    cluster.alter_topic("orders.dlq", "max.message.bytes", None).await?;
    ensure!(takes(&*cluster, "orders.dlq", true).await, "no record is taken any more");
    let nonsense = cluster.alter_topic("orders", "max.message.bytes", Some("many")).await;
    ensure!(nonsense.is_err(), "nonsense is taken");
    Ok(())
}

/// Whether the topic comes to take records, or to refuse them: its leaders act on a change a moment after
/// they know of it.
async fn takes(cluster: &dyn Cluster, topic: &str, taken: bool) -> bool {
    let clock = Clock::start();
    while write(cluster, topic, 1).await.is_ok() != taken {
        if clock.now() > (SOON * 10).as_nanos() as u64 {
            return false;
        }
    }
    true
}

async fn leader(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let tp = TopicPartition::new("orders", 3);
    for _ in 0..3 {
        let old = cluster.leader_of(&tp).await?;
        let clock = Clock::start();
        let new = cluster.move_leader(&tp, None).await?;
        println!("    moved from {old} to {new} in {:?}", Duration::from_nanos(clock.now()));
        ensure!(new != old && cluster.leader_of(&tp).await? == new, "moved from {old} to {new}");
        cluster.verify_healthy(LATE).await?;
    }
    let all: Vec<u32> = cluster.brokers();
    let mut isr = cluster.isr("orders").await?.remove(3).1;
    isr.sort_unstable();
    ensure!(isr == all, "{isr:?}");
    Ok(())
}
