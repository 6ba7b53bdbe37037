//! One scenario from set-up to verdict: leases a cluster, offers the load, walks the faults, reads back, judges.
//! It emits events; what is drawn or written of them is decided elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

mod application;
mod book;
mod endpoint;
mod environment;
mod events;
mod fingerprint;
mod folder;
pub mod matrix;
mod one;
mod scrape;
mod suite;
mod watch;

pub use book::RunBook;
pub use events::{Events, RunEvent, Tick};
pub use folder::RunFolder;
pub use one::{ScenarioOutcome, run_one};
pub use suite::{Lot, Selected, Selection, SelectionError, Suite, SuiteReport, select};

use crate::cluster::ClusterError;
use crate::cluster::pool::ClusterPool;
use crate::history::RecorderError;
use crate::plan::BackendKind;
use crate::subject::SubjectError;
use crate::workload::SinkError;
use crate::workload::final_read::FinalReadError;

/// Why a scenario could not be run to its verdict: the harness's trouble, never the application's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    #[error("{0}")]
    Subject(#[from] SubjectError),
    #[error("{0}")]
    Sink(#[from] SinkError),
    #[error("{0}")]
    FinalRead(#[from] FinalReadError),
    #[error("{0}")]
    Recorder(#[from] RecorderError),
    #[error("cannot read the history back: {0}")]
    History(#[from] crate::history::HistoryError),
    #[error("the subject's settings are invalid: {0}")]
    Settings(String),
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("interrupted; every fault was healed")]
    Interrupted,
    #[error("{0}")]
    Internal(String),
}

impl RunError {
    /// Which exit code this trouble is.
    pub fn exit_code(&self) -> crate::exit_code::ExitCode {
        use crate::exit_code::ExitCode;
        match self {
            Self::Cluster(_) | Self::Subject(_) | Self::Sink(_) | Self::FinalRead(_) | Self::Io { .. } => {
                ExitCode::Unavailable
            }
            Self::Settings(_) => ExitCode::Usage,
            Self::Interrupted => ExitCode::Interrupted,
            Self::Recorder(_) | Self::History(_) | Self::Internal(_) => ExitCode::Internal,
        }
    }
}

/// Set for a process that is to be one member of a subject of kind custom: of a service given in Rust.
pub const CUSTOM_ENV: &str = "SEAWORTHY_INTERNAL_CUSTOM";

/// What a run needs besides its scenarios.
pub struct RunContext {
    pub backend: BackendKind,
    /// Why this backend, for every report.
    pub backend_reason: String,
    pub pool: Arc<ClusterPool>,
    /// The program that members run as: it must call [`crate::testing::take_over`] first thing in `main`.
    pub exe: PathBuf,
    /// The arguments with which `exe`, started with [`CUSTOM_ENV`], is a member of a subject of kind custom; `None`: it is not.
    pub custom: Option<Vec<String>>,
    pub seed: u64,
    /// What was changed in the scenario files for this run, as `key=value`: for reports.
    pub set: Vec<String>,
    pub events: Events,
    pub cancel: CancellationToken,
}

/// How long the subject may take to be ready: every member started, every input topic partition owned.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A member's patience at the end of a run.
const STOP_GRACE: Duration = Duration::from_secs(10);
