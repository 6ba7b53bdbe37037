//! What happens in a run, for whoever shows it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::verdict::Verdict;

/// One thing worth showing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunEvent {
    ScenarioStarted { name: String, summary: String, repeat: u32, expected: Duration },
    Phase { name: String, phase: &'static str, lasts: Option<Duration> },
    Note { name: String, text: String },
    Tick(Tick),
    ScenarioFinished { name: String, verdict: Verdict, headline: String, folder: PathBuf, took: Duration },
    ScenarioError { name: String, error: String, took: Duration },
}

/// A second's figures.
#[derive(Clone, Debug)]
pub struct Tick {
    pub name: String,
    pub phase: &'static str,
    /// Acknowledged records in the last second.
    pub rate: u64,
    /// Share of sends in the last second that failed or stayed unknown.
    pub error_rate: f64,
    /// Acknowledged records without an effect or dead letter yet; `None` when it could not be measured.
    pub backlog: Option<u64>,
    pub since_injection: Option<Duration>,
}

/// Where events go.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(RunEvent) + Send + Sync>);

impl Events {
    pub fn new(sink: impl Fn(RunEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Shows nothing.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub fn emit(&self, event: RunEvent) {
        (self.0)(event);
    }
}
