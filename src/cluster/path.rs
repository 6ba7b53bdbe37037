//! The proof that faults are no fiction: the subject's clients have no way around the proxies, and the instrument's do
//! not go through them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{join_all, try_join_all};

use super::{Cluster, ClusterError, View, wire};
use crate::plan::{Direction, NetworkEffect};

/// One look at a broker that may not be there yet.
const LOOK: Duration = Duration::from_secs(1);

/// Each path advertises its own addresses and nothing else; and with every proxy closed the subject's path is dead while
/// the direct one works. The links are clear again when it returns.
pub(super) async fn prove<C: Cluster + ?Sized>(cluster: &C) -> Result<(), ClusterError> {
    let brokers = cluster.brokers();
    for view in [View::Subject, View::Direct] {
        let wanted: BTreeMap<u32, String> =
            brokers.iter().map(|b| Ok((*b, cluster.address(*b, view)?))).collect::<Result<_, ClusterError>>()?;
        try_join_all(wanted.iter().map(|(broker, address)| {
            let wanted = &wanted;
            async move {
                let bypassed = |seen| ClusterError::PathBypassed { broker: *broker, seen };
                let seen = wire::metadata(address, LOOK * 5).await.map_err(|e| bypassed(e.to_string()))?;
                if seen.brokers == *wanted {
                    return Ok(());
                }
                Err(bypassed(format!("{view} advertises {:?}, but its addresses are {wanted:?}", seen.brokers)))
            }
        }))
        .await?;
    }
    let cut = join_all(brokers.iter().map(|b| cluster.cut(*b, NetworkEffect::Refuse, Direction::Both))).await;
    let probed = try_join_all(brokers.iter().map(|broker| async {
        let (subject, direct) =
            futures::join!(cluster.probe(*broker, View::Subject, LOOK), cluster.probe(*broker, View::Direct, LOOK * 5));
        if subject.is_ok() {
            let seen = "it answers while its proxy is closed".to_owned();
            return Err(ClusterError::PathBypassed { broker: *broker, seen });
        }
        Ok(direct?)
    }))
    .await;
    let opened = try_join_all(brokers.iter().map(|broker| async {
        cluster.mend(*broker).await?;
        cluster.await_probe(*broker, View::Subject, LOOK * 5).await
    }))
    .await;
    cut.into_iter().collect::<Result<Vec<()>, _>>()?;
    probed?;
    opened.map(drop)
}
