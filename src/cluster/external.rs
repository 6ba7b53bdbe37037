//! A cluster that somebody else runs, as it is: nothing of it is started, stopped or configured. The subject's path goes
//! through fault proxies in this process, and through a [relay] that puts the proxies' addresses into what the brokers
//! advertise, so that no listener has to be touched.
//!
//! ```text
//! subject ──► 127.0.0.1:P ─► fault proxy ─► 127.0.0.1:D ─► relay ─► broker N      said by the relay: 127.0.0.1:P
//! harness ───────────────────────────────────────────────────────► broker N      as the broker advertises it
//! ```
//! Where brokers want TLS or a name, the relay sees to it: whoever is on this machine speaks plaintext to a relay, and
//! the harness has relays of its own, without a fault proxy before them.
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
use super::wire::WireError;
use super::{Admin, BackendInfo, BrokerState, Cluster, ClusterError, Link, View, path, wire};
use crate::plan::{BackendKind, ClusterPlan, TopicPlan};
use crate::proxy::{FaultProxy, Toxiproxy};

mod relay;
mod sasl;
mod security;
mod tls;
mod upstream;

use relay::{Doors, Relay};
use upstream::Upstream;

pub use security::{Credentials, Mechanism, Security, SecurityError, Tls};

/// One look at a broker.
const LOOK: Duration = Duration::from_secs(5);
/// How long the cluster may take until it is seen to be whole. It runs already.
const READY: Duration = Duration::from_secs(30);

/// Joins a cluster by its bootstrap servers.
pub struct ExternalLauncher {
    /// `host:port` of some brokers.
    bootstrap: Vec<String>,
    seed: u64,
    upstream: Upstream,
    security: Security,
}

impl ExternalLauncher {
    /// # Errors
    /// [`SecurityError`] if a certificate or key cannot be read.
    pub fn new(bootstrap: Vec<String>, security: Security) -> Result<Self, SecurityError> {
        Ok(Self { bootstrap, seed: 0, upstream: Upstream::new(&security)?, security })
    }

    /// The fault proxies' seed; 0 without it.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Asks the bootstrap servers, one after the other, who is there.
    async fn brokers(&self) -> Result<BTreeMap<u32, String>, ClusterError> {
        let mut last = "none was named".to_owned();
        for address in &self.bootstrap {
            match self.metadata(address).await {
                Ok(seen) if !seen.brokers.is_empty() => return Ok(seen.brokers),
                Ok(_) => last = format!("{address} knows no broker"),
                Err(reason) => last = format!("{address}: {reason}"),
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

    async fn metadata(&self, address: &str) -> Result<wire::Metadata, String> {
        if !self.security.is_needed() {
            return wire::metadata(address, LOOK).await.map_err(|error| match error {
                // What a listener says, or does, that expects TLS or a name.
                WireError::Malformed(_) | WireError::Io { step: "await the reply", .. } => {
                    format!("{error}: if that listener wants TLS or SASL, say so by --command-config FILE")
                }
                error => error.to_string(),
            });
        }
        // Not through a relay, which tells its client of a refusal by closing. (A broker that misses our certificate says so
        // after the handshake, in place of the answer.)
        let stream = self.upstream.connect(address).await.map_err(|error| error.to_string())?;
        wire::metadata_over(stream, LOOK).await.map_err(|error| error.to_string())
    }

    fn notes(&self, brokers: u32) -> Vec<String> {
        let mut notes = vec![
            format!(
                "an external cluster of {brokers} brokers ({}), used as it is: its version and configuration are not known",
                self.bootstrap.join(",")
            ),
            "the relay rewrites the brokers' addresses in Kafka's protocol".to_owned(),
        ];
        if self.security.is_needed() {
            notes.push(format!(
                "the relay speaks {} to the brokers, and plaintext to the clients on this machine",
                self.security
            ));
        }
        notes
    }

    async fn relay(&self, port: u16, id: u32, address: &str, doors: &Doors) -> Result<Relay, ClusterError> {
        let opened = Relay::open(port, self.upstream.clone(), address.to_owned(), doors.clone()).await;
        opened.map_err(|e| ClusterError::File {
            action: "open",
            path: format!("the relay to broker {id}"),
            reason: e.to_string(),
        })
    }
}

/// A broker's number as Kafka writes it.
fn number(broker: u32) -> i32 {
    i32::try_from(broker).unwrap_or(-1)
}

#[async_trait]
impl Launch for ExternalLauncher {
    async fn launch(&self, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, ClusterError> {
        let brokers = self.brokers().await?;
        let has = brokers.len() as u32;
        if has < plan.brokers {
            return Err(ClusterError::TooFewBrokers { wanted: plan.brokers, has });
        }
        // Of each broker the fault proxy, its relay, and a relay of the harness's own.
        let reserved = Ports::reserve(brokers.len() * 3)?;
        let doors = |which: usize| -> Doors {
            Arc::new(brokers.keys().enumerate().map(|(i, id)| (number(*id), reserved.get(i * 3 + which))).collect())
        };
        let (fronts, own_doors) = (doors(0), doors(2));
        let proxy = FaultProxy::start(self.seed).await.map_err(|e| ClusterError::File {
            action: "start",
            path: "the fault proxies' control plane".to_owned(),
            reason: e.to_string(),
        })?;
        let control = proxy.control();
        let nodes = try_join_all(brokers.iter().enumerate().map(|(i, (id, address))| {
            let [front, door, own] = [0, 1, 2].map(|which| reserved.get(i * 3 + which));
            let (fronts, own_doors) = (&fronts, &own_doors);
            async move {
                let relay = self.relay(door, *id, address, fronts).await?;
                let link = Link::new(*id, Toxiproxy::new(&control.to_string(), &format!("broker-{id}")));
                link.create(&format!("127.0.0.1:{front}"), &format!("127.0.0.1:{door}")).await?;
                let (direct, own) = if self.security.is_needed() {
                    (format!("127.0.0.1:{own}"), Some(self.relay(own, *id, address, own_doors).await?))
                } else {
                    (address.clone(), None)
                };
                Ok::<_, ClusterError>(Node { id: *id, front, direct, link, _relay: relay, _own: own })
            }
        }))
        .await?;
        let cluster = ExternalCluster {
            admin: Admin::new(nodes.iter().map(|node| (node.id, node.direct.clone())).collect()),
            nodes,
            created: Mutex::default(),
            notes: self.notes(has),
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
    /// The harness's.
    _own: Option<Relay>,
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
