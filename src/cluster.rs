//! What a scenario needs of a Kafka cluster, whoever runs it: addresses, harm to brokers and links, facts.
//!
//! Owns the seam ([`Cluster`]), the two [`View`]s and what every backend shares: the instrument's own calls go
//! around the harm, over the direct path ([`admin::Admin`]). Must not know: scenarios' timelines, workloads, verdicts.
//!
//! Nothing here retries until it is green. What has to be awaited is a fact, polled for a bounded time; the error
//! says which fact, of which broker, and what was seen last.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plan::{BackendKind, Direction, NetworkEffect, TopicPartition, TopicPlan};
use crate::proxy::LinkState;

pub mod admin;
#[cfg(feature = "containers")]
pub mod containers;
pub mod embedded;
mod error;
pub mod external;
mod health;
mod link;
mod path;
pub mod pool;
mod ports;
mod readdress;
mod wait;
pub mod wire;

pub use admin::{Admin, GroupState};
pub use error::{ClusterError, ProbeError};
pub use link::Link;

/// Which way a client goes to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Through the fault proxies: what the application under test gets.
    Subject,
    /// Around them: what the instrument uses.
    Direct,
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Subject => "the subject's path",
            Self::Direct => "the direct path",
        })
    }
}

/// Errors in the place of answers: to a share of the requests, or to the next so many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestErrors {
    /// Kafka's API key.
    pub api: i16,
    /// Kafka's error code.
    pub error: i16,
    /// Share of requests.
    pub rate: Option<f64>,
    /// The next so many, where there is no `rate`.
    pub times: Option<u32>,
}

/// Requests that came, and of those the ones that were answered with the error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub asked: u64,
    pub refused: u64,
}

/// A broker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    Running,
    Paused,
    /// Killed, stopped or crashed.
    Down,
}

/// What clients do with a topic, as far as it can be denied to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOperation {
    /// Fetching.
    Read,
    /// Producing.
    Write,
}

/// What ran, for the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackendInfo {
    pub kind: BackendKind,
    /// As asked for in the scenario; the image's id says what it really was.
    pub kafka_version: String,
    #[serde(default)]
    pub images: Vec<ImageInfo>,
    /// What a reader of a report should know: overrides, milliseconds of each start phase.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One container image, by name and content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    pub name: String,
    /// The engine's content id, `sha256:…`.
    pub id: String,
}

/// A running cluster of brokers `1..=N`, each reachable on two paths.
///
/// Harm is a plain call here; that it is undone on error, panic and signal is the business of the fault that holds it.
#[async_trait]
pub trait Cluster: Send + Sync {
    fn kind(&self) -> BackendKind;

    /// The brokers' ids, ascending. The same for the cluster's whole life, whichever of them are up.
    fn brokers(&self) -> Vec<u32>;

    /// `host:port` of one broker, the same for the cluster's whole life: also after a kill and a restart.
    fn address(&self, broker: u32, view: View) -> Result<String, ClusterError>;

    /// `bootstrap.servers` with every broker in it.
    fn bootstrap(&self, view: View) -> String {
        let addresses: Vec<String> = self.brokers().into_iter().filter_map(|b| self.address(b, view).ok()).collect();
        addresses.join(",")
    }

    /// The instrument's calls, over the direct path.
    fn admin(&self) -> &Admin;

    /// Whether a broker's process runs, by whoever runs it.
    async fn state(&self, broker: u32) -> Result<BrokerState, ClusterError>;

    /// SIGKILL: no farewell. Returns when the process is gone. Peers fence it when its session ends (9 s stock).
    async fn kill(&self, broker: u32) -> Result<(), ClusterError>;

    /// Graceful: leaders are moved first. Up to 60 s, then the engine kills it, which is an error.
    async fn stop(&self, broker: u32) -> Result<(), ClusterError>;

    /// Freezes the process; its TCP connections stay up.
    async fn pause(&self, broker: u32) -> Result<(), ClusterError>;

    /// Thaws a paused broker.
    async fn resume(&self, broker: u32) -> Result<(), ClusterError>;

    /// Starts a killed or stopped broker with its data, at its old addresses. Returns when the process runs; that it
    /// serves is confirmed by [`Cluster::await_probe`], that it is back in sync by [`Cluster::verify_healthy`].
    async fn start(&self, broker: u32) -> Result<(), ClusterError>;

    /// The subject's path to a broker, as its fault proxy is driven.
    fn path(&self, broker: u32) -> Result<&Link, ClusterError>;

    /// Cuts the subject's path to a broker. The effect is confirmed at the proxy, not yet by a probe.
    async fn cut(&self, broker: u32, effect: NetworkEffect, direction: Direction) -> Result<(), ClusterError> {
        self.path(broker)?.cut(self.kind(), effect, direction).await
    }

    /// Degrades the subject's path to a broker. `latency` ± `jitter` is added to what a round trip takes; `rate` is in
    /// bytes per second and caps both directions.
    async fn slow(
        &self,
        broker: u32,
        latency: Duration,
        jitter: Duration,
        rate: Option<u64>,
    ) -> Result<(), ClusterError> {
        self.path(broker)?.slow(latency, jitter, rate).await
    }

    /// Answers requests of the subject's path with an error from now on; see [`Cluster::answer_requests`].
    async fn refuse_requests(&self, errors: RequestErrors) -> Result<(), ClusterError> {
        let what = format!("answer requests with error {}", errors.error);
        Err(ClusterError::Unsupported { backend: self.kind(), what })
    }

    /// What has come of [`Cluster::refuse_requests`] for these requests so far, also after its end.
    fn refusals(&self, _api: i16) -> Refusals {
        Refusals::default()
    }

    /// Ends [`Cluster::refuse_requests`]. Idempotent.
    async fn answer_requests(&self, _api: i16) -> Result<(), ClusterError> {
        Ok(())
    }

    /// Undoes every cut and slowdown of the subject's path to a broker. A proxy whose control plane does not answer
    /// is restarted (which closes its connections).
    async fn mend(&self, broker: u32) -> Result<(), ClusterError> {
        self.path(broker)?.mend().await
    }

    /// Cuts a broker off from the other brokers and controllers; clients still reach it on both paths.
    async fn isolate(&self, broker: u32) -> Result<(), ClusterError>;

    /// Undoes [`Cluster::isolate`].
    async fn rejoin(&self, broker: u32) -> Result<(), ClusterError>;

    /// What the subject's path to a broker does at this moment, read from its proxy.
    async fn link(&self, broker: u32) -> Result<LinkState, ClusterError> {
        self.path(broker)?.state().await
    }

    /// One request that must be answered: how cuts and heals are confirmed.
    async fn probe(&self, broker: u32, view: View, within: Duration) -> Result<(), ProbeError> {
        match self.address(broker, view) {
            Ok(address) => wire::probe(&address, within).await.map_err(|e| ProbeError {
                broker,
                view,
                address,
                reason: e.to_string(),
            }),
            Err(e) => Err(ProbeError { broker, view, address: String::new(), reason: e.to_string() }),
        }
    }

    /// Probes until a broker answers.
    async fn await_probe(&self, broker: u32, view: View, within: Duration) -> Result<(), ClusterError> {
        wait::until(within, || self.probe(broker, view, Duration::from_secs(1))).await.map_err(|last| {
            ClusterError::NotReady {
                broker: Some(broker),
                awaited: format!("an answer on {view}"),
                within,
                last,
                log: String::new(),
            }
        })
    }

    /// Leader of a topic partition, by the highest leader epoch that any broker knows.
    async fn leader_of(&self, tp: &TopicPartition) -> Result<u32, ClusterError> {
        self.admin().leader_of(tp).await
    }

    /// Leaders of all partitions of a topic.
    async fn leaders(&self, topic: &str) -> Result<Vec<(TopicPartition, u32)>, ClusterError> {
        self.admin().leaders(topic).await
    }

    /// In-sync replicas of all partitions of a topic.
    async fn isr(&self, topic: &str) -> Result<Vec<(TopicPartition, Vec<u32>)>, ClusterError> {
        self.admin().isr(topic).await
    }

    /// The broker that coordinates a consumer group.
    async fn coordinator_of(&self, group: &str) -> Result<u32, ClusterError> {
        self.admin().coordinator_of(group).await
    }

    /// Leader of the metadata quorum.
    async fn controller(&self) -> Result<u32, ClusterError> {
        self.admin().controller().await
    }

    /// Moves the leader of a topic partition to another of its replicas (to the next one if `to` is `None`).
    /// Returns the new leader once every reachable broker has heard of it.
    async fn move_leader(&self, tp: &TopicPartition, to: Option<u32>) -> Result<u32, ClusterError> {
        self.admin().move_leader(tp, to).await
    }

    /// Creates topics; returns when every broker knows them with a leader and a full ISR.
    async fn create_topics(
        &self,
        names: &[String],
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
    ) -> Result<(), ClusterError> {
        self.admin().create_topics(names, partitions, replication, config).await
    }

    /// Deletes those of the topics that exist; returns when no broker knows them.
    async fn delete_topics(&self, names: &[String]) -> Result<(), ClusterError> {
        self.admin().delete_topics(names).await
    }

    /// Between scenarios: every topic of people's making is deleted, then the scenario's three are created.
    async fn reset_topics(&self, topics: &TopicPlan) -> Result<(), ClusterError> {
        let old = self.admin().user_topics().await?;
        self.delete_topics(&old).await?;
        let config = BTreeMap::from([("min.insync.replicas".to_owned(), topics.min_insync_replicas.to_string())]);
        self.create_topics(&topics.all(), topics.partitions, topics.replication, &config).await
    }

    /// Waits until the cluster is whole: every broker registered and answering on both paths, a metadata leader, every
    /// partition (those of `__consumer_offsets` too) with a leader and a full ISR, no cut or slowdown on any link.
    async fn verify_healthy(&self, within: Duration) -> Result<(), ClusterError> {
        health::verify(self, within).await
    }

    /// Sets one property of a topic (`None`: back to its default), leaving the others.
    async fn alter_topic(&self, topic: &str, property: &str, value: Option<&str>) -> Result<(), ClusterError> {
        self.admin().alter_topic(topic, property, value).await
    }

    /// A consumer group's state, its members and what they own.
    async fn group(&self, group: &str) -> Result<GroupState, ClusterError> {
        self.admin().group(group).await
    }

    /// Denies an operation on a topic to every client; brokers may still do everything. Takes brokers with an authorizer
    /// (`authorizer.class.name` in the cluster's config).
    async fn deny(&self, topic: &str, operation: TopicOperation) -> Result<(), ClusterError> {
        self.admin().deny(topic, operation).await
    }

    /// Takes back every denial about a topic.
    async fn undeny(&self, topic: &str) -> Result<(), ClusterError> {
        self.admin().undeny(topic).await
    }

    /// `host:port` of a broker's controller listener, where it can be reached. Not for the subject.
    fn controller_address(&self, _broker: u32) -> Option<String> {
        None
    }

    /// Committed offsets of a group that is not joined for it; partitions without one are left out.
    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ClusterError> {
        self.admin().committed(group, partitions).await
    }

    /// Where each partition of a topic ends (high watermark).
    async fn end_offsets(&self, topic: &str) -> Result<BTreeMap<TopicPartition, i64>, ClusterError> {
        self.admin().end_offsets(topic).await
    }

    /// What ran.
    fn info(&self) -> BackendInfo;

    /// Writes each broker's and proxy's log into a directory, one file each.
    async fn collect_logs(&self, dir: &Path) -> Result<(), ClusterError>;

    /// What the subject's clients must be told on this backend beside what the scenario says: their `overrides`, changed
    /// as it needs; `settings` are what those stand on. Said in [`Cluster::info`].
    async fn suit_client(
        &self,
        settings: &BTreeMap<String, String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let _ = settings;
        Ok(overrides.clone())
    }

    /// Ends, with the reason, when the backend itself is broken so that nothing which is seen of it counts any more.
    async fn broken(&self) -> ClusterError {
        std::future::pending().await
    }

    /// Why no second scenario may have this cluster; `None`: it may.
    fn used_up(&self) -> Option<String> {
        None
    }

    /// Removes everything at once, without asking the brokers. Idempotent.
    async fn teardown(&self) -> Result<(), ClusterError>;
}
