//! The real thing: KRaft brokers, each behind a Toxiproxy of its own, in containers.
//!
//! ```text
//! subject ──► 127.0.0.1:S ─► toxiproxy-N ─► broker-N SUBJECT     advertised: 127.0.0.1:S
//! harness ──► 127.0.0.1:D ─────────────────► broker-N DIRECT      advertised: 127.0.0.1:D
//!                                            broker-N INTERNAL    on a network of the brokers' own
//! ```
//!
//! Owns the containers, their networks and fixed ports; `testcontainers` is used here and nowhere else. Must not know:
//! scenarios' timelines and workloads.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use testcontainers::{ContainerAsync, GenericImage};
use tokio::sync::Mutex;

use super::{Admin, BackendInfo, BrokerState, Cluster, ClusterError, Link, View, ports, wait};
use crate::plan::BackendKind;
use crate::proxy::{LinkState, ProxyError, Toxiproxy};

mod engine;
mod guest;
mod launch;
mod removal;
mod settings;

pub use engine::{Engine, EngineInfo};
pub use guest::{Guest, GuestSpec};
pub use launch::{Launcher, Options};
pub use removal::{
    PID_LABEL, REAPER_VARIABLE, RUN_LABEL, Reaper, Removed, clean, reaper_main, remove_run, spawn_reaper,
};

/// How long a broker may take to stop by itself.
const GRACEFUL: Duration = Duration::from_secs(60);
/// How long a restarted proxy may take to answer again.
const PROXY_RESTART: Duration = Duration::from_secs(10);
/// Where a proxy listens inside its container, and its control plane.
const PROXY_PORT: u16 = 19_092;
const CONTROL_PORT: u16 = 8474;

/// A cluster in containers. [`Cluster::teardown`] removes it; dropped without, its containers are removed too, slower.
pub struct ContainerCluster {
    engine: Engine,
    nodes: Vec<Node>,
    admin: Admin,
    info: BackendInfo,
    /// For clients and proxies, and for brokers among themselves.
    networks: [String; 2],
    containers: Mutex<Vec<ContainerAsync<GenericImage>>>,
    _ports: ports::Ports,
}

/// One broker, and its proxy.
struct Node {
    id: u32,
    ports: settings::HostPorts,
    broker: String,
    proxy: String,
    link: Link,
}

impl Node {
    /// A driver with a thread and connections of its own, in place of one that is stuck.
    fn new_driver(&self) {
        self.link.set_driver(driver(self.id, self.ports.control));
    }

    fn upstream(&self) -> String {
        format!("{}:{}", self.broker, settings::SUBJECT)
    }

    fn address(&self, view: View) -> String {
        let port = match view {
            View::Subject => self.ports.subject,
            View::Direct => self.ports.direct,
        };
        format!("127.0.0.1:{port}")
    }
}

fn driver(broker: u32, control: u16) -> Toxiproxy {
    Toxiproxy::new(&format!("127.0.0.1:{control}"), &settings::inner_name(broker))
}

impl ContainerCluster {
    fn node(&self, broker: u32) -> Result<&Node, ClusterError> {
        let unknown = ClusterError::UnknownBroker { broker, brokers: self.nodes.len() as u32 };
        self.nodes.iter().find(|node| node.id == broker).ok_or(unknown)
    }

    /// Reads back whether a broker is on the brokers' network: an order's return proves nothing.
    async fn has(&self, broker: u32, joined: bool) -> Result<(), ClusterError> {
        if self.engine.is_on(&self.networks[1], &self.node(broker)?.broker).await? == joined {
            return Ok(());
        }
        let (action, reason) = match joined {
            true => ("joining", "the engine gave it no address there"),
            false => ("leaving", "the engine still has it there"),
        };
        Err(engine::refused(format!("broker {broker} {action} the brokers' network"), reason))
    }

    /// Restarts a proxy whose control plane is stuck. Its connections are closed, its address stays, and it comes back
    /// open and without toxics.
    async fn restart_proxy(&self, node: &Node) -> Result<LinkState, ClusterError> {
        tracing::warn!(broker = node.id, "the proxy's control plane is stuck: restarting its container");
        match self.engine.state(&node.proxy).await?.0 {
            // A restart was cut short.
            BrokerState::Down => {}
            // The engine does not kill what is frozen.
            BrokerState::Paused => {
                self.engine.unpause(&node.proxy).await?;
                self.engine.kill(&node.proxy).await?;
            }
            BrokerState::Running => self.engine.kill(&node.proxy).await?,
        }
        node.new_driver();
        self.engine.start(&node.proxy).await?;
        create_proxy(node, PROXY_RESTART).await
    }
}

/// Waits for the control plane, then creates the proxy.
async fn create_proxy(node: &Node, within: Duration) -> Result<LinkState, ClusterError> {
    let (listen, upstream) = (format!("0.0.0.0:{PROXY_PORT}"), node.upstream());
    wait::until(within, || {
        // The engine takes connections before the process does: a call may hang, so each look has its own driver.
        let driver = node.link.driver();
        let (listen, upstream) = (&listen, &upstream);
        async move {
            let outcome = driver.create(listen, upstream).await;
            if matches!(outcome, Err(ProxyError::Stuck { .. })) {
                node.new_driver();
            }
            outcome
        }
    })
    .await
    .map_err(|last| ClusterError::NotReady {
        broker: Some(node.id),
        awaited: "its fault proxy's control plane".to_owned(),
        within,
        last,
        log: String::new(),
    })
}

#[async_trait]
impl Cluster for ContainerCluster {
    fn kind(&self) -> BackendKind {
        BackendKind::Containers
    }

    fn brokers(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    fn address(&self, broker: u32, view: View) -> Result<String, ClusterError> {
        Ok(self.node(broker)?.address(view))
    }

    fn admin(&self) -> &Admin {
        &self.admin
    }

    fn controller_address(&self, broker: u32) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.node(broker).ok()?.ports.controller))
    }

    async fn state(&self, broker: u32) -> Result<BrokerState, ClusterError> {
        Ok(self.engine.state(&self.node(broker)?.broker).await?.0)
    }

    async fn kill(&self, broker: u32) -> Result<(), ClusterError> {
        self.engine.kill(&self.node(broker)?.broker).await
    }

    async fn stop(&self, broker: u32) -> Result<(), ClusterError> {
        let container = &self.node(broker)?.broker;
        self.engine.stop(container, GRACEFUL).await?;
        match self.engine.state(container).await? {
            // 128 + SIGTERM is Java's normal end after its shutdown hooks; 128 + SIGKILL is the engine's impatience.
            (BrokerState::Down, Some(137)) => Err(ClusterError::Engine {
                action: format!("stop broker {broker} gracefully"),
                reason: format!("it did not end within {GRACEFUL:?} and was killed"),
            }),
            _ => Ok(()),
        }
    }

    async fn pause(&self, broker: u32) -> Result<(), ClusterError> {
        self.engine.pause(&self.node(broker)?.broker).await
    }

    async fn resume(&self, broker: u32) -> Result<(), ClusterError> {
        self.engine.unpause(&self.node(broker)?.broker).await
    }

    async fn start(&self, broker: u32) -> Result<(), ClusterError> {
        self.engine.start(&self.node(broker)?.broker).await
    }

    async fn mend(&self, broker: u32) -> Result<(), ClusterError> {
        let node = self.node(broker)?;
        let _one = node.link.alone().await;
        match node.link.driver().clear().await {
            Ok(_) => Ok(()),
            Err(e) => {
                tracing::warn!(broker, "{e}");
                self.restart_proxy(node).await.map(drop)
            }
        }
    }

    fn path(&self, broker: u32) -> Result<&Link, ClusterError> {
        Ok(&self.node(broker)?.link)
    }

    async fn isolate(&self, broker: u32) -> Result<(), ClusterError> {
        let container = &self.node(broker)?.broker;
        self.engine.leave(&self.networks[1], container).await?;
        self.has(broker, false).await
    }

    async fn rejoin(&self, broker: u32) -> Result<(), ClusterError> {
        let alias = settings::inner_name(broker);
        self.engine.join(&self.networks[1], &self.node(broker)?.broker, &alias).await?;
        self.has(broker, true).await
    }

    fn info(&self) -> BackendInfo {
        self.info.clone()
    }

    async fn collect_logs(&self, dir: &Path) -> Result<(), ClusterError> {
        let file = |action, path: &Path, e: std::io::Error| ClusterError::File {
            action,
            path: path.display().to_string(),
            reason: e.to_string(),
        };
        std::fs::create_dir_all(dir).map_err(|e| file("create", dir, e))?;
        let logs = self.nodes.iter().flat_map(|node| {
            [(format!("broker-{}.log", node.id), &node.broker), (format!("proxy-{}.log", node.id), &node.proxy)]
        });
        try_join_all(logs.map(|(name, container)| async move {
            let path = dir.join(name);
            let log = self.engine.log(container, None).await?;
            std::fs::write(&path, log).map_err(|e| file("write", &path, e))
        }))
        .await
        .map(drop)
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        let containers = std::mem::take(&mut *self.containers.lock().await);
        remove(&self.engine, containers, &self.networks).await
    }
}

/// Without a teardown (a panic, an early return). `testcontainers` would do it too, but not outside a runtime, and not
/// the networks.
impl Drop for ContainerCluster {
    fn drop(&mut self) {
        let containers = std::mem::take(self.containers.get_mut());
        if containers.is_empty() {
            return;
        }
        let (engine, networks) = (self.engine.clone(), self.networks.clone());
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return std::mem::forget(containers) };
            runtime.block_on(remove(&engine, containers, &networks)).unwrap_or_else(|e| tracing::warn!("{e}"));
        });
        let _ = removal.join();
    }
}

/// At once: nobody is asked, every one is tried.
async fn remove(
    engine: &Engine,
    containers: Vec<ContainerAsync<GenericImage>>,
    networks: &[String],
) -> Result<(), ClusterError> {
    let removed = join_all(containers.into_iter().map(ContainerAsync::rm)).await;
    let mut failures: Vec<ClusterError> = removed
        .into_iter()
        .filter_map(Result::err)
        .map(|e| engine::refused("remove a container".to_owned(), e))
        .collect();
    for network in networks {
        failures.extend(engine.remove_network(network).await.err());
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}
