//! A fault whose task panicked took the knowledge of its harm with it: everything that any fault can do is undone.

use std::sync::Arc;

use seaworthy::cluster::{BrokerState, View};
use seaworthy::fault::heal_everything;
use seaworthy::plan::{Direction, NetworkEffect};

use crate::facts::topic;
use crate::field::{Frozen, field};
use crate::{Case, LATE, Outcome, Shared, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![case("whatever_a_lost_fault_held_is_healed", lost)]
}

async fn lost(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let subject = Arc::new(Frozen::default());
    let (field, _folder) = field("name = \"field\"\n", cluster.cluster(), subject.clone())?;
    field.load.set_poison(1.0);

    cluster.kill(1).await?;
    cluster.pause(2).await?;
    cluster.cut(3, NetworkEffect::Blackhole, Direction::Both).await?;
    heal_everything(&field).await;

    for broker in 1..=3 {
        ensure!(cluster.state(broker).await? == BrokerState::Running, "broker {broker} does not run");
        cluster.await_probe(broker, View::Subject, LATE).await?;
    }
    cluster.verify_healthy(LATE).await?;
    let told = subject.0.lock().map_err(|e| e.to_string())?.clone();
    ensure!(told == ["no chaos", "resume 7"], "the subject was told {told:?}");
    Ok(())
}
