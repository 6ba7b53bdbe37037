//! At most one live cluster a place, leased to one scenario after the other. Containers get one place; the embedded
//! backend, whose clusters weigh next to nothing, as many as there are scenarios at a time.
//!
//! Owns the question whether the next scenario may have the last one's cluster. Must not know: what starts it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{BrokerState, Cluster, ClusterError};
use crate::clock::Clock;
use crate::plan::{ClusterPlan, Isolation};

/// How long a used cluster may take to become whole: a broker that was killed last needs its session's end (9 s
/// stock) and its replicas' catching up.
const WHOLE: Duration = Duration::from_secs(20);

/// What starts clusters.
#[async_trait]
pub trait Launch: Send + Sync {
    /// A cluster that is ready and whole.
    async fn launch(&self, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, ClusterError>;
}

/// Keeps clusters between scenarios.
pub struct ClusterPool {
    launch: Box<dyn Launch>,
    slots: Vec<Arc<Mutex<Slot>>>,
    /// One for each slot that is not leased.
    free: Arc<Semaphore>,
}

#[derive(Default)]
struct Slot {
    cluster: Option<Arc<dyn Cluster>>,
    plan: Option<ClusterPlan>,
    /// Why it must not be used again.
    spoiled: Option<String>,
}

/// How a lease came by its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The last scenario's.
    Reused,
    /// A new one, and why.
    Built { because: String },
}

/// A cluster, for one scenario. Others wait until one is dropped. A `fresh` cluster lives on until the next lease or
/// the pool's shutdown.
pub struct Lease {
    cluster: Arc<dyn Cluster>,
    origin: Origin,
    took: Duration,
    slot: OwnedMutexGuard<Slot>,
    /// Given back after the slot.
    _place: OwnedSemaphorePermit,
}

impl ClusterPool {
    /// An empty pool for one cluster.
    pub fn new(launch: impl Launch + 'static) -> Self {
        Self::with_places(launch, 1)
    }

    /// An empty pool for so many clusters at a time, at least one.
    pub fn with_places(launch: impl Launch + 'static, places: usize) -> Self {
        let places = places.max(1);
        let slots = (0..places).map(|_| Arc::default()).collect();
        Self { launch: Box::new(launch), slots, free: Arc::new(Semaphore::new(places)) }
    }

    /// How many scenarios can have a cluster at a time.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The live cluster if it is what the plan asks for and whole, else a new one in its place.
    pub async fn lease(&self, plan: &ClusterPlan) -> Result<Lease, ClusterError> {
        let clock = Clock::start();
        let took = || Duration::from_nanos(clock.now());
        let (mut slot, place) = self.free_slot().await;
        let because = match reusable(&slot, plan).await {
            Ok(cluster) => return Ok(Lease { cluster, origin: Origin::Reused, took: took(), slot, _place: place }),
            Err(because) => because,
        };
        tracing::info!(because, "building a cluster");
        empty(&mut slot).await?;
        let cluster = self.launch.launch(plan).await?;
        *slot = Slot { cluster: Some(cluster.clone()), plan: Some(plan.clone()), spoiled: None };
        Ok(Lease { cluster, origin: Origin::Built { because }, took: took(), slot, _place: place })
    }

    /// A slot that nobody has leased, once there is one.
    async fn free_slot(&self) -> (OwnedMutexGuard<Slot>, OwnedSemaphorePermit) {
        loop {
            // Never closed; if it were, the slots alone would keep the leases apart.
            if let Ok(place) = self.free.clone().acquire_owned().await {
                if let Some(slot) = self.slots.iter().find_map(|slot| slot.clone().try_lock_owned().ok()) {
                    return (slot, place);
                }
                // A shutdown holds it for a moment.
                drop(place);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Removes the live clusters, once they are not leased.
    pub async fn shutdown(&self) -> Result<(), ClusterError> {
        let mut outcome = Ok(());
        for slot in &self.slots {
            let emptied = empty(&mut *slot.lock().await).await;
            outcome = outcome.and(emptied);
        }
        outcome
    }
}

impl Lease {
    /// Whether the cluster is new, and why.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How long it took to get it.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The cluster, to be held beside the lease; it must not be used once the lease is dropped.
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    /// Nobody shall have this cluster after us.
    pub fn spoil(&mut self, why: impl Into<String>) {
        self.slot.spoiled = Some(why.into());
    }
}

impl Deref for Lease {
    type Target = dyn Cluster;
    fn deref(&self) -> &Self::Target {
        &*self.cluster
    }
}

async fn empty(slot: &mut Slot) -> Result<(), ClusterError> {
    match std::mem::take(slot).cluster {
        Some(cluster) => cluster.teardown().await,
        None => Ok(()),
    }
}

/// The live cluster, or why it cannot be had.
async fn reusable(slot: &Slot, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, String> {
    let (Some(cluster), Some(old)) = (&slot.cluster, &slot.plan) else { return Err("it is the first".to_owned()) };
    if let Some(why) = &slot.spoiled {
        return Err(format!("the last one is spoiled: {why}"));
    }
    if let Some(why) = cluster.used_up() {
        return Err(why);
    }
    if plan.isolation == Isolation::Fresh || old.isolation == Isolation::Fresh {
        return Err("isolation is `fresh`".to_owned());
    }
    if old != plan {
        return Err("the scenario asks for another cluster than the last one".to_owned());
    }
    // What does not mend itself is not waited for.
    for broker in cluster.brokers() {
        match cluster.state(broker).await {
            Ok(BrokerState::Running) => {}
            Ok(state) => return Err(format!("broker {broker} of the last one is {state:?}").to_lowercase()),
            Err(e) => return Err(e.to_string()),
        }
        match cluster.link(broker).await {
            Ok(link) if link.is_clear() => {}
            Ok(link) => return Err(format!("the link to broker {broker} of the last one is {link}")),
            Err(e) => return Err(e.to_string()),
        }
    }
    cluster.verify_healthy(WHOLE).await.map_err(|e| e.to_string())?;
    Ok(cluster.clone())
}
