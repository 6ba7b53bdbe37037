//! From a role to brokers, at the moment of injection.

use super::{FaultError, Field};
use crate::plan::{RestartOrder, Target};
use crate::rng::Rng;

/// The brokers that a target means now, ascending.
pub(super) async fn brokers(target: &Target, field: &Field, rng: &mut Rng) -> Result<Vec<u32>, FaultError> {
    let all = field.cluster.brokers();
    let some = |count: usize, rng: &mut Rng| {
        let mut pool = all.clone();
        let mut chosen: Vec<u32> =
            (0..count.min(pool.len())).map(|_| pool.swap_remove(rng.index(pool.len()))).collect();
        chosen.sort_unstable();
        chosen
    };
    Ok(match target {
        Target::Broker(id) => vec![*id],
        Target::LeaderOf(tp) => vec![field.cluster.leader_of(tp).await?],
        Target::FollowerOf(tp) => {
            let leader = field.cluster.leader_of(tp).await?;
            let followers: Vec<u32> = field
                .cluster
                .isr(&tp.topic)
                .await?
                .into_iter()
                .filter(|(of, _)| of == tp)
                .flat_map(|(_, isr)| isr)
                .filter(|broker| *broker != leader)
                .collect();
            if followers.is_empty() {
                let reason = "it has no follower in sync".to_owned();
                return Err(FaultError::NoTarget { target: target.to_string(), reason });
            }
            vec![followers[rng.index(followers.len())]]
        }
        Target::Controller => vec![field.cluster.controller().await?],
        Target::Coordinator => vec![field.cluster.coordinator_of(&field.group).await?],
        Target::One => some(1, rng),
        Target::Minority => some((all.len().saturating_sub(1)) / 2, rng),
        Target::Majority => some(all.len() / 2 + 1, rng),
        Target::All => all,
    })
}

/// All brokers in the order of a rolling restart.
pub(super) async fn in_order(order: RestartOrder, field: &Field, rng: &mut Rng) -> Result<Vec<u32>, FaultError> {
    let mut brokers = field.cluster.brokers();
    match order {
        RestartOrder::Ascending => {}
        RestartOrder::Descending => brokers.reverse(),
        RestartOrder::Random => {
            for left in (1..brokers.len()).rev() {
                brokers.swap(left, rng.index(left + 1));
            }
        }
        RestartOrder::ControllerLast => {
            let controller = field.cluster.controller().await?;
            brokers.sort_by_key(|broker| (*broker == controller, *broker));
        }
    }
    Ok(brokers)
}

/// `broker 1`, or `brokers 1, 3`.
pub(super) fn name(brokers: &[u32]) -> String {
    let list = brokers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    if brokers.len() == 1 { format!("broker {list}") } else { format!("brokers {list}") }
}
