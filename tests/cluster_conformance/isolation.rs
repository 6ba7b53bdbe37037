//! A broker without the other brokers, as a scenario declares it: clients reach it, and it acknowledges nothing.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use seaworthy::cluster::View;
use seaworthy::fault::{confirm_healed, heal, heal_everything, inject, resolve_patiently};
use seaworthy::rng::Rng;

use crate::facts::topic;
use crate::field::{Frozen, field};
use crate::{Case, LATE, Outcome, Shared, case, ensure};

/// Mock brokers do not talk to each other.
pub fn container_cases() -> Vec<Case> {
    vec![case("a_leader_without_the_other_brokers_acknowledges_nothing_until_it_is_back", isolated)]
}

const SCENARIO: &str = r#"
name = "field"
fault = [{ at = "0s", lasts = "6s", network = { cut = { leader-of = "orders/0" }, effect = "blackhole", between = "brokers" } }]
"#;

async fn isolated(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let (field, _folder) = field(SCENARIO, cluster.cluster(), Arc::new(Frozen::default()))?;
    let kind = &field.plan.faults[0].kind;
    let at = resolve_patiently(kind, &field, &mut Rng::new(1)).await?;
    let leader: u32 = at.name.trim_start_matches("broker ").parse()?;
    ensure!(at.affected.is_none(), "every topic partition has a replica there: {:?}", at.affected);

    let held = inject(kind, &at, &field).await?;
    let (subject, direct) =
        (cluster.probe(leader, View::Subject, LATE).await, cluster.probe(leader, View::Direct, LATE).await);
    // Sooner than anybody can give the leader up.
    let meanwhile = send(&cluster.address(leader, View::Direct)?, Duration::from_secs(1)).await;
    heal(&held, &field).await?;
    let healed = confirm_healed(&held, &field).await?;
    cluster.verify_healthy(LATE).await?;
    let after = send(&cluster.bootstrap(View::Direct), LATE).await;
    // Nothing is left to undo, and saying so twice does no harm.
    heal_everything(&field).await;
    cluster.verify_healthy(LATE).await?;

    println!("    {}; {healed}", held.evidence);
    subject?;
    direct?;
    let timed_out = Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
    ensure!(meanwhile == timed_out, "without the followers: {meanwhile:?}");
    after?;
    Ok(())
}

/// To topic partition 0, acknowledged by all in sync or not at all.
async fn send(bootstrap: &str, within: Duration) -> Result<(), KafkaError> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("message.timeout.ms", within.as_millis().to_string())
        .create()?;
    let record = FutureRecord::to("orders").partition(0).key("k").payload("x");
    producer.send(record, within).await.map(drop).map_err(|(error, _)| error)
}
