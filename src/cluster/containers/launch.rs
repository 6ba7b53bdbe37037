//! From nothing to a cluster that is proven ready, everything at once and nothing "first": all addresses are known
//! before the first container exists.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use sha2::{Digest, Sha256};
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use super::engine::{Engine, refused, split_image};
use super::removal::{REAPER_VARIABLE, Reaper, labels, spawn_reaper};
use super::settings::{self, HostPorts};
use super::{CONTROL_PORT, ContainerCluster, Node, PROXY_PORT, create_proxy, driver};
use crate::clock::{Clock, Nanos};
use crate::cluster::pool::Launch;
use crate::cluster::ports::Ports;
use crate::cluster::{Admin, BackendInfo, BrokerState, Cluster, ClusterError, View, path, wait};
use crate::plan::{BackendKind, ClusterPlan};

/// Overrides the broker's image by its full name.
pub(super) const KAFKA_VARIABLE: &str = "SEAWORTHY_KAFKA_IMAGE";
/// Overrides the proxy's.
pub(super) const TOXIPROXY_VARIABLE: &str = "SEAWORTHY_TOXIPROXY_IMAGE";

/// One look at a broker that may not be there yet.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether the containers still run.
const INSPECT_EVERY: Duration = Duration::from_secs(1);

/// How a cluster is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    /// On every container's label; letters, digits and dashes.
    pub run: String,
    /// An executable that calls [`reaper_main`](super::reaper_main) first of all when [`REAPER_VARIABLE`] is set.
    /// Without it, a SIGKILL of this process leaks containers (`seaworthy clean` finds them).
    pub reaper: Option<PathBuf>,
    /// How long the cluster may take until it is ready. It takes 10 s on two idle cores.
    pub ready_within: Duration,
    pub kafka_image: Option<String>,
    pub toxiproxy_image: String,
}

impl Options {
    /// The defaults, with the images that the environment names.
    pub fn from_env(run: impl Into<String>) -> Self {
        let image = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
        Self {
            run: run.into(),
            reaper: None,
            ready_within: Duration::from_secs(90),
            kafka_image: image(KAFKA_VARIABLE),
            toxiproxy_image: image(TOXIPROXY_VARIABLE).unwrap_or_else(|| "ghcr.io/shopify/toxiproxy:2.12.0".to_owned()),
        }
    }
}

/// Starts clusters of one run, and sees to it that nothing of the run is left.
pub struct Launcher {
    options: Options,
    /// Started with the first cluster; lives as long as the launcher.
    reaper: std::sync::Mutex<Option<Reaper>>,
}

impl Launcher {
    /// Starts nothing yet.
    pub fn new(options: Options) -> Self {
        Self { options, reaper: std::sync::Mutex::default() }
    }

    fn ensure_reaper(&self) -> Result<(), ClusterError> {
        let mut reaper = self.reaper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (None, Some(exe)) = (&*reaper, &self.options.reaper) {
            *reaper = Some(spawn_reaper(exe, &self.options.run)?);
        }
        Ok(())
    }
}

#[async_trait]
impl Launch for Launcher {
    async fn launch(&self, plan: &ClusterPlan) -> Result<Arc<dyn Cluster>, ClusterError> {
        self.ensure_reaper()?;
        Ok(Arc::new(ContainerCluster::launch(plan, &self.options).await?))
    }
}

/// Milliseconds of each phase.
struct Laps {
    clock: Clock,
    last: Nanos,
    notes: Vec<String>,
}

impl Laps {
    fn lap(&mut self, phase: &str) {
        let now = self.clock.now();
        self.notes.push(format!("{phase} {} ms", (now - self.last) / 1_000_000));
        self.last = now;
    }
}

impl ContainerCluster {
    /// Starts a cluster and returns when it is ready, and proven to have its subject's path through the proxies.
    pub async fn launch(plan: &ClusterPlan, options: &Options) -> Result<Self, ClusterError> {
        if std::env::var_os(REAPER_VARIABLE).is_some() {
            // An executable that does not know about reapers was started as one: do not multiply.
            let action = "start a cluster inside a reaper".to_owned();
            return Err(refused(action, format!("the program does not call reaper_main ({REAPER_VARIABLE} is set)")));
        }
        let mut laps = Laps { clock: Clock::start(), last: 0, notes: Vec::new() };
        let (engine, found) = Engine::connect().await?;
        let kafka = plan.image.clone().or_else(|| options.kafka_image.clone());
        let kafka = kafka.unwrap_or_else(|| format!("apache/kafka:{}", plan.kafka));
        let (kafka, toxiproxy) = futures::future::try_join(
            engine.image(&kafka, KAFKA_VARIABLE),
            engine.image(&options.toxiproxy_image, TOXIPROXY_VARIABLE),
        )
        .await?;
        laps.lap("images");

        let name = cluster_name(&options.run);
        let ports = Ports::reserve(plan.brokers as usize * 4)?;
        let nodes: Vec<Node> = (1..=plan.brokers).map(|id| node(id, &ports, &name)).collect();
        let direct = nodes.iter().map(|node| (node.id, node.address(View::Direct))).collect();
        // Behind a password they are asked through the brokers instead.
        let asked = nodes.iter().filter(|_| !settings::has_authorizer(plan));
        let controllers = asked.map(|node| (node.id, format!("127.0.0.1:{}", node.ports.controller))).collect();
        let networks = [name.clone(), format!("{name}-inner")];
        try_join_all(
            networks
                .iter()
                .enumerate()
                .map(|(i, network)| engine.create_network(network, i == 1, labels(&options.run))),
        )
        .await?;
        laps.lap("networks");

        let mut notes = vec![format!("engine {} (API {})", found.version, found.api)];
        if options.reaper.is_none() {
            notes.push("no reaper: a SIGKILL of the harness leaks containers".to_owned());
        }
        let mut cluster = Self {
            engine,
            nodes,
            admin: Admin::new(direct).with_controllers(controllers),
            info: BackendInfo {
                kind: BackendKind::Containers,
                kafka_version: plan.kafka.clone(),
                images: vec![kafka, toxiproxy],
                notes,
            },
            networks,
            containers: tokio::sync::Mutex::default(),
            _ports: ports,
        };
        let outcome = cluster.bring_up(plan, options, &mut laps).await;
        cluster.info.notes.push(format!("start: {} (ready after {} ms)", laps.notes.join(", "), laps.last / 1_000_000));
        match outcome {
            Ok(()) => Ok(cluster),
            Err(e) => {
                if let Err(left) = cluster.teardown().await {
                    tracing::warn!("after a failed start: {left}");
                }
                Err(e)
            }
        }
    }

    async fn bring_up(&self, plan: &ClusterPlan, options: &Options, laps: &mut Laps) -> Result<(), ClusterError> {
        let [kafka, toxiproxy] = [0, 1].map(|i| self.info.images[i].name.as_str());
        let cluster_id = cluster_id(&self.networks[0]);
        let started = join_all(self.nodes.iter().flat_map(|node| {
            let environment = settings::environment(plan, split_image(kafka).1, node.id, node.ports, &cluster_id);
            let broker = self.container(
                kafka,
                &node.broker,
                environment,
                Some(settings::SECURITY_FILE),
                [(node.ports.direct, settings::DIRECT), (node.ports.controller, settings::CONTROLLER)],
                options,
            );
            let ports = [(node.ports.subject, PROXY_PORT), (node.ports.control, CONTROL_PORT)];
            let proxy = self.container(toxiproxy, &node.proxy, BTreeMap::new(), None, ports, options);
            let broker: futures::future::BoxFuture<'_, Result<(), ClusterError>> = Box::pin(async move {
                broker.await?;
                self.engine.join(&self.networks[1], &node.broker, &settings::inner_name(node.id)).await
            });
            [broker, Box::pin(proxy)]
        }));
        started.await.into_iter().collect::<Result<Vec<()>, _>>()?;
        laps.lap("containers");

        let (proxies, brokers) = futures::join!(
            try_join_all(self.nodes.iter().map(|node| create_proxy(node, options.ready_within))),
            self.await_registered(options.ready_within),
        );
        proxies?;
        brokers?;
        laps.lap("brokers");

        let (offsets, path) = futures::join!(self.admin.create_offsets_topic(options.ready_within), path::prove(self));
        path?;
        offsets?;
        laps.lap("path proven, offsets topic");
        self.verify_healthy(options.ready_within).await?;
        laps.lap("healthy");
        Ok(())
    }

    /// Creates and starts one container. A file is (path inside, text), ports are (on the host, inside).
    async fn container(
        &self,
        image: &str,
        name: &str,
        environment: BTreeMap<String, String>,
        file: Option<(&str, &str)>,
        ports: [(u16, u16); 2],
        options: &Options,
    ) -> Result<(), ClusterError> {
        let (repository, tag) = split_image(image);
        let mut request = GenericImage::new(repository, tag)
            .with_container_name(name)
            .with_network(&self.networks[0])
            .with_labels(labels(&options.run));
        for (host, inside) in ports {
            request = request.with_mapped_port(host, inside.tcp());
        }
        for (variable, value) in environment {
            request = request.with_env_var(variable, value);
        }
        if let Some((path, text)) = file {
            request = request.with_copy_to(path, text.as_bytes().to_vec());
        }
        let bindings: HashMap<String, Option<Vec<PortBinding>>> = ports
            .into_iter()
            .map(|(host, inside)| {
                let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(host.to_string()) };
                (format!("{inside}/tcp"), Some(vec![binding]))
            })
            .collect();
        let request = request.with_host_config_modifier(move |host: &mut HostConfig| {
            host.port_bindings = Some(bindings.clone());
            // The engine asks the outer world for the names of dead containers, and waits: 10 s in a proxy's dial,
            // which blocks its other connections, and in a broker's. Told how many dots a name of the outer world
            // has, it says at once that it does not know ours, which have none.
            host.dns_options = Some(["ndots:1", "timeout:1", "attempts:1"].map(str::to_owned).into());
            host.dns_search = Some(vec![".".to_owned()]);
            host.dns = Some(vec!["127.0.0.1".to_owned()]);
        });
        let container: ContainerAsync<GenericImage> =
            request.start().await.map_err(|e| refused(format!("start {name}"), e))?;
        self.containers.lock().await.push(container);
        Ok(())
    }

    /// Waits until every broker knows every other; stops waiting when one has ended.
    async fn await_registered(&self, within: Duration) -> Result<(), ClusterError> {
        let wanted = self.nodes.len();
        let look = || async {
            for (id, view) in self.admin.every_view(LOOK).await {
                let known = view.map_err(|e| (id, e.to_string()))?.brokers.len();
                if known < wanted {
                    return Err((id, format!("it knows {known} of {wanted} brokers")));
                }
            }
            Ok(())
        };
        // What was seen last, for the error: the wait's own words name no broker.
        let last = std::sync::Mutex::new((1, String::new()));
        let registered = wait::until(within, || async {
            look().await.map_err(|seen| {
                let text = seen.1.clone();
                *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = seen;
                text
            })
        });
        let not_ready = async |broker: u32, last: String| ClusterError::NotReady {
            broker: Some(broker),
            awaited: "every broker in its metadata, on the direct path".to_owned(),
            within,
            last,
            log: self.engine.log_tail(&self.nodes[broker as usize - 1].broker).await,
        };
        let (broker, seen) = tokio::select! {
            outcome = registered => match outcome {
                Ok(()) => return Ok(()),
                Err(_) => last.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
            },
            (broker, code) = self.first_to_end() => (broker, format!("its process ended with code {code:?}")),
        };
        Err(not_ready(broker, seen).await)
    }

    /// Ends when a broker's container has ended.
    async fn first_to_end(&self) -> (u32, Option<i64>) {
        let mut looks = tokio::time::interval(INSPECT_EVERY);
        loop {
            looks.tick().await;
            for node in &self.nodes {
                if let Ok((BrokerState::Down, code)) = self.engine.state(&node.broker).await {
                    return (node.id, code);
                }
            }
        }
    }
}

fn node(id: u32, ports: &Ports, cluster: &str) -> Node {
    let port = |which| ports.get((id as usize - 1) * 4 + which);
    let ports = HostPorts { subject: port(0), direct: port(1), control: port(2), controller: port(3) };
    Node {
        id,
        ports,
        broker: format!("{cluster}-broker-{id}"),
        proxy: format!("{cluster}-proxy-{id}"),
        link: super::Link::new(id, driver(id, ports.control)),
    }
}

/// Names must be unique in the engine: a run may have several clusters, one after the other.
fn cluster_name(run: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let run: String =
        run.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("seaworthy-{run}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A Kafka cluster id of 22 letters of URL-safe base64, from the cluster's name.
fn cluster_id(name: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = Sha256::digest(name.as_bytes());
    // The last letter has 2 bits; the first must not be a dash, which tools take for an option.
    let letter = |i: usize| match i {
        0 => LETTERS[usize::from(hash[0]) % 26],
        21 => LETTERS[usize::from(hash[21] & 3) << 4],
        i => LETTERS[usize::from(hash[i]) % 64],
    };
    (0..22).map(|i| char::from(letter(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_has_another_id_of_kafka_s_form() {
        let (a, b) = (cluster_id("a"), cluster_id("b"));
        assert_ne!(a, b);
        assert!(a.len() == 22 && !a.starts_with('-'), "{a}");
        assert!("AQgw".contains(a.chars().last().unwrap()), "{a}");
    }
}
