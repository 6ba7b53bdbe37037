//! What keeps a cluster from doing the harness's bidding. Never the application's fault.

use std::time::Duration;

use crate::cluster::View;
use crate::plan::BackendKind;
use crate::proxy::ProxyError;

/// A probe that was not answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("broker {broker} does not answer on {view} ({address}): {reason}")]
pub struct ProbeError {
    pub broker: u32,
    pub view: View,
    pub address: String,
    /// The step that failed and how.
    pub reason: String,
}

/// The harness could not do its job with the cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No engine answers.
    #[error("no container engine: {reason}\n  start Docker, or set DOCKER_HOST; `--backend embedded` needs none")]
    NoEngine { reason: String },

    /// The engine has no such image, and could not get it.
    #[error(
        "image {image} is missing: {reason}\n  build it with images/prepare, or name another by the environment \
         variable {variable}"
    )]
    ImageMissing { image: String, variable: &'static str, reason: String },

    /// The engine refused or failed.
    #[error("the engine could not {action}: {reason}")]
    Engine { action: String, reason: String },

    /// A fact that was awaited did not come.
    #[error("{}: awaited {awaited} for {within:?}; last seen: {last}{}", subject(.broker), tail(.log))]
    NotReady {
        broker: Option<u32>,
        awaited: String,
        within: Duration,
        last: String,
        /// Tail of the broker's log, if it has one.
        log: String,
    },

    /// Faults would be fiction: the subject's clients can get around the proxy.
    #[error("the subject's path does not go through the proxy of broker {broker}: {seen}")]
    PathBypassed { broker: u32, seen: String },

    /// A broker's fault proxy failed.
    #[error("proxy of broker {broker}: {source}")]
    Proxy { broker: u32, source: ProxyError },

    /// A call to the brokers failed.
    #[error("could not {action}: {reason}")]
    Admin { action: String, reason: String },

    #[error("there is no broker {broker}: the cluster has 1 to {brokers}")]
    UnknownBroker { broker: u32, brokers: u32 },

    /// Somebody else's cluster, smaller than the scenario's.
    #[error(
        "the scenario is for {wanted} brokers, and the cluster has {has}\n  choose what it can carry: --set cluster.brokers={has} \
         --set topic.replication={} --set topic.min-insync-replicas={}", has.min(&3), if *.has >= 3 { 2 } else { 1 }
    )]
    TooFewBrokers { wanted: u32, has: u32 },

    /// The backend has no way of doing it. Planning should have said so.
    #[error("the {backend} backend cannot {what}")]
    Unsupported { backend: BackendKind, what: String },

    /// librdkafka's mock cluster is gone: it aborts on what it does not expect.
    #[error(
        "the embedded backend's mock cluster has died ({how}), which is its own defect and says nothing about the \
         application: run it again, or on real brokers with `--backend containers`{}", tail(.log)
    )]
    MockDied { how: String, log: String },

    /// An append that would have made the mock drop acknowledged records.
    #[error(
        "{topic_partition} of the embedded backend is full: it keeps {} MiB, and would drop acknowledged records for \
         more; lower `rate` or `size`, raise `partitions`, or use `--backend containers`", .bytes >> 20
    )]
    MockFull { topic_partition: String, bytes: u64 },

    /// Not enough fixed ports.
    #[error("no {wanted} free ports on 127.0.0.1 in {low}..{high}; last tried {last}")]
    NoPorts { wanted: usize, low: u16, high: u16, last: u16 },

    #[error("could not {action} {path}: {reason}")]
    File { action: &'static str, path: String, reason: String },
}

impl From<ProbeError> for ClusterError {
    fn from(e: ProbeError) -> Self {
        Self::NotReady {
            broker: Some(e.broker),
            awaited: format!("an answer on {}", e.view),
            within: Duration::ZERO,
            last: e.to_string(),
            log: String::new(),
        }
    }
}

fn subject(broker: &Option<u32>) -> String {
    broker.map_or_else(|| "the cluster is not ready".to_owned(), |b| format!("broker {b} is not ready"))
}

fn tail(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("\n  its log ends:\n{log}") }
}
