//! From nothing to a cluster that is proven ready, in a fraction of a second.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::child::Child;
use super::mock::Order;
use super::relay::{self, Relay, Shared};
use super::{EmbeddedCluster, Node, Stage};
use crate::clock::Clock;
use crate::cluster::pool::Launch;
use crate::cluster::ports::Ports;
use crate::cluster::{Admin, Cluster, ClusterError, Link, path};
use crate::plan::ClusterPlan;
use crate::proxy::{FaultProxy, Toxiproxy};

/// How long the cluster may take until it is whole.
const READY: Duration = Duration::from_secs(20);

/// What every report of this backend says.
pub const REHEARSAL: &str = "embedded, a rehearsal: librdkafka's mock cluster, not Kafka. It proves that the application and the \
                         clients ride out these faults as they look from outside; it proves nothing about Kafka itself: \
                         replication, elections, durability, fencing and transactions are not there \
                         (docs/embedded-backend.md)";

/// Starts clusters on this machine.
pub struct EmbeddedLauncher {
    exe: PathBuf,
    seed: u64,
}

impl EmbeddedLauncher {
    /// `exe` must call [`run_if_mock`](super::run_if_mock) first of all: the mock cluster is this program, started again.
    /// `seed` is the fault proxies'.
    pub fn new(exe: PathBuf, seed: u64) -> Self {
        Self { exe, seed }
    }

    /// Starts a cluster; returns when it is whole, and proven to have its subject's path through the proxies and its
    /// direct path around them.
    pub async fn start(&self, plan: &ClusterPlan) -> Result<EmbeddedCluster, ClusterError> {
        let clock = Clock::start();
        let count = plan.brokers as usize;
        let reserved = Ports::reserve(count * 3)?;
        let ports: Vec<relay::Ports> = (0..count)
            .map(|i| relay::Ports {
                proxy: reserved.get(i * 3),
                subject: reserved.get(i * 3 + 1),
                direct: reserved.get(i * 3 + 2),
            })
            .collect();
        let (child, addresses) = Child::start(&self.exe, plan.brokers).await?;
        let proxy = FaultProxy::start(self.seed).await.map_err(|e| ClusterError::File {
            action: "start",
            path: "the fault proxies' control plane".to_owned(),
            reason: e.to_string(),
        })?;
        let child = Arc::new(child);
        let shared = Arc::new(Shared {
            logs: Default::default(),
            ports: ports.clone(),
            groups: Default::default(),
            errors: Default::default(),
            child: child.clone(),
        });
        let nodes = try_join_all((1..=plan.brokers).zip(addresses).map(|(id, upstream)| {
            let (ports, shared, child, control) = (ports[id as usize - 1], shared.clone(), &child, proxy.control());
            async move {
                // Before anybody connects: clients follow what is advertised.
                child.order(Order::Advertise { broker: id, host: "127.0.0.1".to_owned(), port: ports.proxy }).await?;
                let relay = Relay::open(id, mock_address(id, &upstream)?, shared).await?;
                let link = Link::new(id, Toxiproxy::new(&control.to_string(), &format!("broker-{id}")));
                let (listen, behind) = (format!("127.0.0.1:{}", ports.proxy), format!("127.0.0.1:{}", ports.subject));
                link.create(&listen, &behind).await?;
                Ok::<_, ClusterError>(Node { id, ports, relay, link, election: Mutex::default() })
            }
        }))
        .await?;
        let direct: Vec<String> = ports.iter().map(|ports| format!("127.0.0.1:{}", ports.direct)).collect();
        let cluster = EmbeddedCluster {
            admin: Admin::new((1..).zip(direct.iter().cloned()).collect()),
            nodes,
            notes: Mutex::new(vec![REHEARSAL.to_owned()]),
            stage: Arc::new(Stage {
                child,
                seed: self.seed,
                shared,
                direct,
                topics: Mutex::default(),
                absent: Mutex::default(),
            }),
            proxy: Mutex::new(Some(proxy)),
            _ports: reserved,
        };
        path::prove(&cluster).await?;
        cluster.verify_healthy(READY).await?;
        let note = format!(
            "start: ready after {} ms, mock cluster in process {}",
            clock.now() / 1_000_000,
            cluster.stage.child.pid()
        );
        cluster.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(note);
        Ok(cluster)
    }
}

#[async_trait]
impl Launch for EmbeddedLauncher {
    async fn launch(&self, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, ClusterError> {
        Ok(Arc::new(self.start(plan).await?))
    }
}

/// Mock brokers listen on this machine, under whatever name they say.
fn mock_address(broker: u32, said: &str) -> Result<SocketAddr, ClusterError> {
    let port = said.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| ClusterError::NotReady {
        broker: Some(broker),
        awaited: "the address of its mock".to_owned(),
        within: Duration::ZERO,
        last: said.to_owned(),
        log: String::new(),
    })?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
