//! A cluster that somebody else runs, as it is: nothing of it is started, stopped or configured. The subject's path goes
//! through fault proxies in this process, and through a [relay] that puts the proxies' addresses into what the brokers
//! advertise, so that no listener has to be touched.
//!
//! ```text
//! subject ──► 127.0.0.1:P ─► fault proxy ─► 127.0.0.1:D ─► relay ─► broker N      said by the relay: 127.0.0.1:P
//! harness ───────────────────────────────────────────────────────► broker N      as the broker advertises it
//! ```
//!
//! It has other people's topics: only what this run created is ever deleted, and a run's topics have a prefix of its own.
//! Owns the proxies and the relays. Must not know: scenarios' timelines and workloads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::pool::Launch;
use super::ports::Ports;
use super::{Admin, BackendInfo, BrokerState, Cluster, ClusterError, Link, View, path, wire};
use crate::plan::{BackendKind, ClusterPlan, TopicPlan};
use crate::proxy::{FaultProxy, Toxiproxy};

mod relay;

use relay::Relay;

/// One look at a broker.
const LOOK: Duration = Duration::from_secs(5);
/// How long the cluster may take until it is seen to be whole. It runs already.
const READY: Duration = Duration::from_secs(30);

/// Joins a cluster by its bootstrap servers.
pub struct ExternalLauncher {
    /// `host:port` of some brokers.
    bootstrap: Vec<String>,
    seed: u64,
}

impl ExternalLauncher {
    /// `seed` is the fault proxies'.
    pub fn new(bootstrap: Vec<String>, seed: u64) -> Self {
        Self { bootstrap, seed }
    }

    /// Asks the bootstrap servers, one after the other, who is there.
    async fn brokers(&self) -> Result<BTreeMap<u32, String>, ClusterError> {
        let mut last = "none was named".to_owned();
        for address in &self.bootstrap {
            match wire::metadata(address, LOOK).await {
                Ok(seen) if !seen.brokers.is_empty() => return Ok(seen.brokers),
                Ok(_) => last = format!("{address} knows no broker"),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(ClusterError::NotReady {
            broker: None,
            awaited: format!("an answer of a bootstrap server ({})", self.bootstrap.join(", ")),
            within: LOOK,
            last,
            log: String::new(),
        })
    }
}

#[async_trait]
impl Launch for ExternalLauncher {
    async fn launch(&self, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, ClusterError> {
        let brokers = self.brokers().await?;
        let has = brokers.len() as u32;
        if has < plan.brokers {
            return Err(ClusterError::TooFewBrokers { wanted: plan.brokers, has });
        }
        let reserved = Ports::reserve(brokers.len() * 2)?;
        let proxy = FaultProxy::start(self.seed).await.map_err(|e| ClusterError::File {
            action: "start",
            path: "the fault proxies' control plane".to_owned(),
            reason: e.to_string(),
        })?;
        let places = |i: usize| (reserved.get(i * 2), reserved.get(i * 2 + 1));
        let doors: BTreeMap<i32, u16> =
            brokers.keys().enumerate().map(|(i, id)| (i32::try_from(*id).unwrap_or(-1), places(i).0)).collect();
        let doors = Arc::new(doors);
        let nodes = try_join_all(brokers.iter().enumerate().map(|(i, (id, direct))| {
            let ((front, door), doors, control) = (places(i), doors.clone(), proxy.control());
            async move {
                let relay = Relay::open(door, direct.clone(), doors).await.map_err(|e| ClusterError::File {
                    action: "open",
                    path: format!("the relay to broker {id}"),
                    reason: e.to_string(),
                })?;
                let link = Link::new(*id, Toxiproxy::new(&control.to_string(), &format!("broker-{id}")));
                link.create(&format!("127.0.0.1:{front}"), &format!("127.0.0.1:{door}")).await?;
                Ok::<_, ClusterError>(Node { id: *id, front, direct: direct.clone(), link, _relay: relay })
            }
        }))
        .await?;
        let cluster = ExternalCluster {
            admin: Admin::new(brokers.into_iter().collect()),
            nodes,
            created: Mutex::default(),
            notes: vec![
                format!(
                    "an external cluster of {has} brokers ({}), used as it is: its version and configuration are not known",
                    self.bootstrap.join(",")
                ),
                "the relay rewrites the brokers' addresses in Kafka's protocol".to_owned(),
            ],
            proxy: Mutex::new(Some(proxy)),
            _ports: reserved,
        };
        cluster.admin.create_offsets_topic(READY).await?;
        path::prove(&cluster).await?;
        cluster.verify_healthy(READY).await?;
        Ok(Arc::new(cluster))
    }
}

struct ExternalCluster {
    nodes: Vec<Node>,
    admin: Admin,
    /// Topics that this run made, and nobody else.
    created: Mutex<Vec<String>>,
    notes: Vec<String>,
    proxy: Mutex<Option<FaultProxy>>,
    _ports: Ports,
}

/// One broker, with the proxy and the relay before it.
struct Node {
    id: u32,
    /// The fault proxy's port: what the subject gets.
    front: u16,
    direct: String,
    link: Link,
    _relay: Relay,
}

impl ExternalCluster {
    fn node(&self, broker: u32) -> Result<&Node, ClusterError> {
        let unknown = ClusterError::UnknownBroker { broker, brokers: self.nodes.len() as u32 };
        self.nodes.iter().find(|node| node.id == broker).ok_or(unknown)
    }

    fn cannot<T>(&self, what: &str) -> Result<T, ClusterError> {
        let what = format!("{what}: its brokers are not ours");
        Err(ClusterError::Unsupported { backend: BackendKind::External, what })
    }

    fn take_created(&self) -> Vec<String> {
        std::mem::take(&mut *self.created.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Cluster for ExternalCluster {
    fn kind(&self) -> BackendKind {
        BackendKind::External
    }

    fn brokers(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    fn address(&self, broker: u32, view: View) -> Result<String, ClusterError> {
        let node = self.node(broker)?;
        Ok(match view {
            View::Subject => format!("127.0.0.1:{}", node.front),
            View::Direct => node.direct.clone(),
        })
    }

    fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Nobody tells, so a broker that answers runs.
    async fn state(&self, broker: u32) -> Result<BrokerState, ClusterError> {
        let answers = self.probe(broker, View::Direct, LOOK).await.is_ok();
        Ok(if answers { BrokerState::Running } else { BrokerState::Down })
    }

    async fn kill(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("kill a broker")
    }

    async fn stop(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("stop a broker")
    }

    async fn pause(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("freeze a broker")
    }

    async fn resume(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("thaw a broker")
    }

    async fn start(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("start a broker")
    }

    fn path(&self, broker: u32) -> Result<&Link, ClusterError> {
        Ok(&self.node(broker)?.link)
    }

    async fn isolate(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("cut a broker off from the others")
    }

    async fn rejoin(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("bring a broker back to the others")
    }

    /// Deletes what an earlier scenario of this run created, and nothing else.
    async fn reset_topics(&self, topics: &TopicPlan) -> Result<(), ClusterError> {
        self.delete_topics(&self.take_created()).await?;
        let names = topics.all();
        // Before they are there: a creation that fails half-way leaves some.
        self.created.lock().unwrap_or_else(PoisonError::into_inner).extend(names.iter().cloned());
        let config = BTreeMap::from([("min.insync.replicas".to_owned(), topics.min_insync_replicas.to_string())]);
        self.create_topics(&names, topics.partitions, topics.replication, &config).await
    }

    fn info(&self) -> BackendInfo {
        BackendInfo {
            kind: self.kind(),
            kafka_version: "unknown: an external cluster".to_owned(),
            images: Vec::new(),
            notes: self.notes.clone(),
        }
    }

    /// They are where its owners keep them.
    async fn collect_logs(&self, _: &Path) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        drop(self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.delete_topics(&self.take_created()).await
    }
}
