//! Whether a cluster is whole.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;

use super::{Cluster, ClusterError, View, wait};

/// One look at one broker.
const LOOK: Duration = Duration::from_secs(1);

/// Polls until everything is in order. The facts are looked at together, in one look: a cluster that is whole in
/// parts, at different moments, is not whole.
pub(super) async fn verify<C: Cluster + ?Sized>(cluster: &C, within: Duration) -> Result<(), ClusterError> {
    wait::until(within, || look(cluster)).await.map_err(|last| ClusterError::NotReady {
        broker: None,
        awaited: "a whole cluster (all brokers, full in-sync replicas, clear links)".to_owned(),
        within,
        last,
        log: String::new(),
    })
}

async fn look<C: Cluster + ?Sized>(cluster: &C) -> Result<(), String> {
    let brokers = cluster.brokers();
    let links = try_join_all(brokers.iter().map(|b| async move {
        let link = cluster.link(*b).await.map_err(|e| e.to_string())?;
        if !link.is_clear() {
            return Err(format!("the link to broker {b} is {link}"));
        }
        cluster.probe(*b, View::Subject, LOOK).await.map_err(|e| e.to_string())
    }));
    let facts = async {
        let all: BTreeSet<u32> = brokers.iter().copied().collect();
        for (asked, view) in cluster.admin().every_view(LOOK).await {
            let view = view.map_err(|e| format!("broker {asked} on the direct path: {e}"))?;
            let known: BTreeSet<u32> = view.brokers.keys().copied().collect();
            if known != all {
                return Err(format!("broker {asked} knows brokers {known:?} of {all:?}"));
            }
            for (topic, metadata) in &view.topics {
                for (number, p) in &metadata.partitions {
                    if p.leader.is_none() || p.isr.len() < p.replicas.len() {
                        return Err(format!(
                            "{topic}/{number}: in-sync replicas {:?} of {:?}, leader {:?} (by broker {asked})",
                            p.isr, p.replicas, p.leader
                        ));
                    }
                }
            }
        }
        match cluster.controller().await {
            // What has no controllers is whole without them.
            Ok(_) | Err(ClusterError::Unsupported { .. }) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    };
    let (links, facts) = futures::join!(links, facts);
    links?;
    facts?;
    Ok(())
}
