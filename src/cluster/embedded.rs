//! A rehearsal stage that needs nothing but this machine: librdkafka's mock cluster in a child process, each broker
//! behind a [relay] that makes more of a broker of it, and the subject's path through fault proxies in this process.
//!
//! ```text
//! subject ──► 127.0.0.1:P ─► fault proxy ─► 127.0.0.1:S ─► relay ─► mock broker      advertised: 127.0.0.1:P
//! harness ──► 127.0.0.1:D ────────────────────────────────► relay ─► mock broker      said by the relay: 127.0.0.1:D
//! ```
//!
//! What the mock has not got, and what is done instead: `docs/embedded-backend.md`. The greatest: there is one log a
//! topic partition and no replica of it, so that nothing here says anything about replication; and no controller, so
//! that leaders move by this module's hand, [`ELECTION`] after a broker's last sign of life.
//!
//! Owns the child, the relays and the proxies; a cluster serves one scenario, since the mock cannot delete a topic. Must
//! not know: scenarios' timelines and workloads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::{
    Admin, BackendInfo, BrokerState, Cluster, ClusterError, GroupState, Link, Refusals, RequestErrors, View, wire,
};
use crate::plan::{BackendKind, TopicPartition};
use crate::proxy::FaultProxy;

mod child;
mod launch;
mod mock;
mod relay;

use child::Child;
pub use launch::{EmbeddedLauncher, REHEARSAL};
use mock::Order;
pub use mock::{MOCK_ENV, run_if_mock};
use relay::log::{KEPT_BYTES, Properties};
use relay::{Ports, Relay, Shared};

/// From a broker's last sign of life until others lead in its place. Kafka's controller misses it after 7 to 9 s, by its
/// stock 9 s session and 2 s heartbeats.
pub const ELECTION: Duration = Duration::from_secs(8);

/// One question to one broker.
const ASK: Duration = Duration::from_secs(2);

/// A cluster on this machine. Dropped, everything of it ends.
pub struct EmbeddedCluster {
    nodes: Vec<Node>,
    admin: Admin,
    notes: Mutex<Vec<String>>,
    stage: Arc<Stage>,
    proxy: Mutex<Option<FaultProxy>>,
    _ports: super::ports::Ports,
}

/// One broker's relay and proxy.
struct Node {
    id: u32,
    ports: Ports,
    relay: Relay,
    link: Link,
    /// Waits to give its leaderships away.
    election: Mutex<Option<AbortHandle>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.call_election_off();
    }
}

impl Node {
    fn address(&self, view: View) -> String {
        let port = match view {
            View::Subject => self.ports.proxy,
            View::Direct => self.ports.direct,
        };
        format!("127.0.0.1:{port}")
    }

    fn call_election_off(&self) {
        if let Some(election) = self.election.lock().unwrap_or_else(PoisonError::into_inner).take() {
            election.abort();
        }
    }
}

/// The mock and what is known of it: what an election needs.
struct Stage {
    child: Arc<Child>,
    /// Of everything that is drawn.
    seed: u64,
    shared: Arc<Shared>,
    /// `host:port` of each direct door, by broker from 1.
    direct: Vec<String>,
    /// Topics and their shape, by name.
    topics: Mutex<BTreeMap<String, i32>>,
    /// Brokers that take no leadership: down or frozen.
    absent: Mutex<std::collections::BTreeSet<u32>>,
}

impl Stage {
    fn absent(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<u32>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> Vec<u32> {
        let absent = self.absent();
        (1..=self.direct.len() as u32).filter(|id| !absent.contains(id)).collect()
    }

    /// Gives a broker's leaderships and groups to others, in the order of the replicas.
    async fn elect_others(&self, victim: u32) -> Result<(), ClusterError> {
        let present = self.present();
        let topics: Vec<String> = self.topics.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let Some(witness) = present.first() else { return Ok(()) };
        let address = &self.direct[*witness as usize - 1];
        let seen = wire::metadata(address, ASK).await.map_err(|e| failed("see who leads", e))?;
        for topic in topics {
            let partitions = seen.topics.get(&topic).map(|t| t.partitions.iter()).into_iter().flatten();
            for (number, partition) in partitions.filter(|(_, p)| p.leader == Some(victim)) {
                let Some(heir) = partition.replicas.iter().find(|id| present.contains(id)) else { continue };
                self.child.order(Order::Leader { topic: topic.clone(), partition: *number, broker: *heir }).await?;
            }
        }
        for group in self.shared.groups.names() {
            let now =
                wire::find_coordinator(address, &group, ASK).await.map_err(|e| failed("see who coordinates", e))?;
            if now == victim {
                let heir = present[group.len() % present.len()];
                self.child.order(Order::Coordinator { group, broker: heir }).await?;
            }
        }
        self.shared.logs.set_in_sync(victim, false);
        Ok(())
    }
}

impl EmbeddedCluster {
    fn node(&self, broker: u32) -> Result<&Node, ClusterError> {
        let unknown = ClusterError::UnknownBroker { broker, brokers: self.nodes.len() as u32 };
        self.nodes.iter().find(|node| node.id == broker).ok_or(unknown)
    }

    fn cannot<T>(&self, what: &str) -> Result<T, ClusterError> {
        Err(ClusterError::Unsupported { backend: BackendKind::Embedded, what: what.to_owned() })
    }

    /// Others lead in its place after [`ELECTION`], unless it is back by then.
    fn call_election(&self, node: &Node, gone: bool) {
        let (stage, victim) = (self.stage.clone(), node.id);
        let election = tokio::spawn(async move {
            tokio::time::sleep(ELECTION).await;
            let held = async {
                stage.elect_others(victim).await?;
                if gone {
                    stage.child.order(Order::Registered { broker: victim, registered: false }).await?;
                }
                Ok::<(), ClusterError>(())
            };
            if let Err(error) = held.await {
                tracing::warn!(%error, broker = victim, "electing others");
            }
        });
        let mut slot = node.election.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = slot.replace(election.abort_handle()) {
            earlier.abort();
        }
    }

    /// A broker is back: in the metadata, in sync, and ready to lead.
    async fn welcome(&self, node: &Node) -> Result<(), ClusterError> {
        node.call_election_off();
        self.stage.child.order(Order::Registered { broker: node.id, registered: true }).await?;
        self.stage.shared.logs.set_in_sync(node.id, true);
        self.stage.absent().remove(&node.id);
        node.relay.become_(node.id, BrokerState::Running).await
    }

    fn present_address(&self) -> Result<String, ClusterError> {
        let present = self.stage.present();
        let first = present.first().ok_or_else(|| failed("ask a broker", "none is up"))?;
        Ok(self.node(*first)?.address(View::Direct))
    }
}

#[async_trait]
impl Cluster for EmbeddedCluster {
    fn kind(&self) -> BackendKind {
        BackendKind::Embedded
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

    async fn state(&self, broker: u32) -> Result<BrokerState, ClusterError> {
        Ok(self.node(broker)?.relay.state())
    }

    async fn kill(&self, broker: u32) -> Result<(), ClusterError> {
        let node = self.node(broker)?;
        self.stage.absent().insert(broker);
        node.relay.become_(broker, BrokerState::Down).await?;
        self.call_election(node, true);
        Ok(())
    }

    async fn stop(&self, broker: u32) -> Result<(), ClusterError> {
        let node = self.node(broker)?;
        node.call_election_off();
        self.stage.absent().insert(broker);
        self.stage.elect_others(broker).await?;
        node.relay.become_(broker, BrokerState::Down).await?;
        self.stage.child.order(Order::Registered { broker, registered: false }).await
    }

    async fn pause(&self, broker: u32) -> Result<(), ClusterError> {
        let node = self.node(broker)?;
        self.stage.absent().insert(broker);
        node.relay.become_(broker, BrokerState::Paused).await?;
        self.call_election(node, false);
        Ok(())
    }

    async fn resume(&self, broker: u32) -> Result<(), ClusterError> {
        self.welcome(self.node(broker)?).await
    }

    async fn start(&self, broker: u32) -> Result<(), ClusterError> {
        self.welcome(self.node(broker)?).await
    }

    async fn refuse_requests(&self, errors: RequestErrors) -> Result<(), ClusterError> {
        self.stage.shared.errors.set(errors, self.stage.seed);
        Ok(())
    }

    fn refusals(&self, api: i16) -> Refusals {
        self.stage.shared.errors.seen(api)
    }

    async fn answer_requests(&self, api: i16) -> Result<(), ClusterError> {
        self.stage.shared.errors.end(api);
        Ok(())
    }

    fn path(&self, broker: u32) -> Result<&Link, ClusterError> {
        Ok(&self.node(broker)?.link)
    }

    async fn isolate(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("cut a broker off from the others: they do not talk to each other")
    }

    async fn rejoin(&self, _: u32) -> Result<(), ClusterError> {
        self.cannot("bring a broker back to the others: they do not talk to each other")
    }

    async fn coordinator_of(&self, group: &str) -> Result<u32, ClusterError> {
        let address = self.present_address()?;
        wire::find_coordinator(&address, group, ASK).await.map_err(|e| failed("find the coordinator", e))
    }

    async fn controller(&self) -> Result<u32, ClusterError> {
        self.cannot("find the controller: there is none")
    }

    async fn move_leader(&self, tp: &TopicPartition, to: Option<u32>) -> Result<u32, ClusterError> {
        let action = format!("move the leader of {tp}");
        let now = self.admin.partitions(&tp.topic).await?.remove(&tp.partition);
        let now = now.ok_or_else(|| failed(&action, "there is no such topic partition"))?;
        let present = self.stage.present();
        let fit = |id: &u32| present.contains(id) && now.replicas.contains(id);
        let next = || now.replicas.iter().copied().find(|id| fit(id) && Some(*id) != now.leader);
        let to = to.or_else(next).ok_or_else(|| failed(&action, "it has no other replica that is up"))?;
        if !fit(&to) {
            return Err(failed(&action, format!("broker {to} is not in sync")));
        }
        if now.leader != Some(to) {
            let (topic, partition) = (tp.topic.to_string(), tp.partition);
            self.stage.child.order(Order::Leader { topic, partition, broker: to }).await?;
        }
        let leader = self.leader_of(tp).await?;
        if leader == to { Ok(to) } else { Err(failed(&action, format!("broker {leader} leads it, not {to}"))) }
    }

    async fn create_topics(
        &self,
        names: &[String],
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
    ) -> Result<(), ClusterError> {
        let action = || format!("create {}", names.join(", "));
        let mut properties = Properties::default();
        for (name, value) in config {
            properties.set(name, Some(value)).map_err(|e| failed(action(), e))?;
        }
        if replication < 1 || replication as usize > self.nodes.len() {
            let reason = format!("replication {replication} with {} brokers", self.nodes.len());
            return Err(failed(action(), reason));
        }
        for topic in names {
            let order = Order::Create { topic: topic.clone(), partitions, replication };
            self.stage.child.order(order).await?;
            let made = self.admin.partitions(topic).await?;
            if made.len() != partitions as usize {
                return Err(failed(action(), format!("{topic} has {} topic partitions", made.len())));
            }
            let replicas = made.into_iter().map(|(number, p)| (number, p.replicas)).collect();
            self.stage.shared.logs.create(topic, replicas, properties);
            self.stage.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), partitions);
        }
        Ok(())
    }

    async fn delete_topics(&self, names: &[String]) -> Result<(), ClusterError> {
        if names.is_empty() { Ok(()) } else { self.cannot("delete a topic") }
    }

    async fn group(&self, group: &str) -> Result<GroupState, ClusterError> {
        Ok(self.stage.shared.groups.state(group))
    }

    async fn alter_topic(&self, topic: &str, property: &str, value: Option<&str>) -> Result<(), ClusterError> {
        let action = || format!("set {property} of {topic} to {}", value.unwrap_or("its default"));
        self.stage.shared.logs.alter(topic, property, value).map_err(|e| failed(action(), e))
    }

    fn info(&self) -> BackendInfo {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((topic_partition, bytes)) = self.stage.shared.logs.fullest() {
            notes.push(format!(
                "fullest topic partition: {topic_partition} with {bytes} of the {KEPT_BYTES} bytes it may have"
            ));
        }
        BackendInfo {
            kind: self.kind(),
            kafka_version: "none: librdkafka's mock cluster".to_owned(),
            images: Vec::new(),
            notes,
        }
    }

    async fn suit_client(
        &self,
        settings: &BTreeMap<String, String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        const PROTOCOL: &str = "group.protocol";
        let mut client = overrides.clone();
        // The mock lets every rebalance of a classic group take a session's time. Who asks for it gets it.
        let asked = overrides.get(PROTOCOL).or_else(|| settings.get(PROTOCOL));
        if asked.is_some_and(|protocol| protocol == "classic") {
            return Ok(client);
        }
        let timer = |name: &str, stock: i32| -> i32 {
            let value = overrides.get(name).or_else(|| settings.get(name));
            value.and_then(|text| text.parse().ok()).unwrap_or(stock)
        };
        let (session_ms, heartbeat_ms) = (timer("session.timeout.ms", 45_000), timer("heartbeat.interval.ms", 3_000));
        self.stage.child.order(Order::GroupTimers { session_ms, heartbeat_ms }).await?;
        for classic in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            client.remove(classic);
        }
        client.insert(PROTOCOL.to_owned(), "consumer".to_owned());
        let note = format!(
            "members use the group protocol of KIP-848, with a session of {session_ms} ms and heartbeats of \
             {heartbeat_ms} ms: the mock's rebalances of classic groups take a whole session"
        );
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        Ok(client)
    }

    async fn broken(&self) -> ClusterError {
        tokio::select! {
            error = self.stage.child.ended() => error,
            topic_partition = self.stage.shared.logs.overflowed() => {
                ClusterError::MockFull { topic_partition, bytes: KEPT_BYTES }
            }
        }
    }

    fn used_up(&self) -> Option<String> {
        let topics = self.stage.topics.lock().unwrap_or_else(PoisonError::into_inner);
        (!topics.is_empty()).then(|| "the embedded backend cannot delete the last scenario's topics".to_owned())
    }

    async fn collect_logs(&self, dir: &Path) -> Result<(), ClusterError> {
        let path = dir.join("mock.log");
        let log = self.stage.child.log_text(usize::MAX);
        std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, log)).map_err(|e| ClusterError::File {
            action: "write",
            path: path.display().to_string(),
            reason: e.to_string(),
        })
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        for node in &self.nodes {
            node.call_election_off();
        }
        drop(self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.stage.child.shutdown().await
    }
}

fn failed(action: impl Into<String>, reason: impl ToString) -> ClusterError {
    ClusterError::Admin { action: action.into(), reason: reason.to_string() }
}
