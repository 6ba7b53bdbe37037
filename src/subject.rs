//! The application under test, as members of a consumer group that can be started, crashed, stopped, paused and
//! resumed. Members are processes, so that a crash is a crash.

use std::time::Duration;

use crate::plan::{HandlerError, TopicPartition};

#[cfg(feature = "containers")]
pub mod container;
pub mod http;
mod log;
pub mod orphans;
mod os;
pub mod pipeline;
pub mod process;
mod roster;
mod surroundings;

pub use log::log_tail;
pub use surroundings::Surroundings;

/// What the harness could not do with the application.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    #[error("cannot start member-{member} from {exe}: {source}")]
    Spawn { member: u32, exe: String, source: std::io::Error },
    #[error("cannot start member-{member} (`{command}`): {reason}")]
    CannotStart { member: u32, command: String, reason: String },
    #[error("member-{member} ended by itself before it was ready: {status}; {log}")]
    EndedEarly { member: u32, status: String, log: String },
    #[error("the application was not ready within {}: {awaited}; {log}", humantime::format_duration(*.within))]
    NotReady { within: Duration, awaited: String, log: String },
    #[error("member-{member} is not running: {state}")]
    NotRunning { member: u32, state: String },
    #[error("cannot {what} member-{member} (process {pid}): {source}")]
    Signal { what: &'static str, member: u32, pid: u32, source: std::io::Error },
    #[error("{0}")]
    Engine(#[from] crate::cluster::ClusterError),
    #[error("the chaos order is impossible: {0}")]
    Chaos(String),
    #[error("member-{member} did not {what} within {}: last seen {last}", humantime::format_duration(*.limit))]
    Timeout { member: u32, what: &'static str, limit: Duration, last: String },
}

/// An order to every member's chaos engine.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ChaosOrder {
    /// Share of handler calls that fail.
    pub rate: f64,
    pub error: HandlerError,
    /// Milliseconds added to each call.
    pub latency_ms: u64,
}

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    pub index: u32,
    pub pid: Option<u32>,
    /// Topic partitions it owns, by its own account; empty if it gives none.
    pub assigned: Vec<TopicPartition>,
    /// It has said that it is ready, if it can say so.
    pub ready: bool,
    /// How its process ended.
    pub ended: Option<String>,
}

/// An application under test.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// Starts the member with this index (a new one, or one that is gone).
    async fn start(&self, member: u32) -> Result<(), SubjectError>;
    /// SIGKILL: no goodbye to the group. Returns once the process is gone.
    async fn crash(&self, member: u32) -> Result<String, SubjectError>;
    /// SIGTERM: drains, commits, leaves the group. Returns once the process is gone, by force after `grace`.
    async fn stop(&self, member: u32, grace: Duration) -> Result<String, SubjectError>;
    /// Freezes it; confirmed by the process's state.
    async fn pause(&self, member: u32) -> Result<String, SubjectError>;
    async fn resume(&self, member: u32) -> Result<(), SubjectError>;
    /// Switches every member's chaos engine, those that start later too; confirmed by their answers.
    async fn chaos(&self, order: Option<ChaosOrder>) -> Result<String, SubjectError>;
    /// Members that have a process, in the order of their index.
    fn members(&self) -> Vec<MemberState>;
    /// Writes what the harness does into every member's log, where a reader looks for it.
    fn mark(&self, _text: &str) {}
    /// Ends every member, gracefully within `grace`.
    async fn shutdown(&self, grace: Duration);
    /// Ends every member at once. Must be safe to call at any time.
    fn kill_all(&self);
}
