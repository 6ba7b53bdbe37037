//! The run folder's own files: `run.json`, `summary.md`, `junit.xml`, `report.html`, kept up as results come in, so that
//! a run that is cut off leaves what it had.

use std::path::Path;
use std::time::Duration;

use super::{RunError, RunFolder, ScenarioOutcome, folder};
use crate::clock::{self, Clock};
use crate::exit_code::ExitCode;
use crate::plan::BackendKind;
use crate::report::html::{NotJudged, PageEntry, RunPage, run_page, telling};
use crate::report::{self, LeftOut, RunEntry, RunResult, SCHEMA_VERSION, ScenarioResult};
use crate::verdict::{Reason, Verdict};

/// Everything that a run came to so far.
pub struct RunBook {
    pub folder: RunFolder,
    clock: Clock,
    started_at: String,
    entries: Vec<PageEntry>,
    not_judged: Vec<NotJudged>,
    backend: BackendKind,
    left_out: Vec<LeftOut>,
}

impl RunBook {
    /// An empty book; its run begins now. `left_out`: what the backend cannot carry.
    pub fn new(folder: RunFolder, backend: BackendKind, left_out: Vec<LeftOut>) -> Self {
        Self {
            folder,
            clock: Clock::start(),
            started_at: clock::wall_rfc3339(),
            entries: Vec::new(),
            not_judged: Vec::new(),
            backend,
            left_out,
        }
    }

    /// Takes a repeat in, after all others. See [`insert`](Self::insert).
    pub fn add(&mut self, outcome: &ScenarioOutcome) {
        self.insert(self.entries.len(), outcome);
    }

    /// Takes a repeat in at its place: concurrent ones end in another order than they are told in. Its timeline is kept only while it is one of those that the page shows.
    pub fn insert(&mut self, place: usize, outcome: &ScenarioOutcome) {
        self.entries.insert(
            place,
            PageEntry {
                result: outcome.result.clone(),
                summary: Some(outcome.summary.clone()),
                folder: self.relative(&outcome.folder),
                logs: report::log_names(&outcome.folder),
                missing: outcome.timeline.is_none().then(|| "no record was ever due".to_owned()),
                timeline: outcome.timeline.clone(),
            },
        );
        let shown = telling(&self.results());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if !shown.contains(&at) {
                (entry.timeline, entry.missing) = (None, None);
            }
        }
    }

    /// Takes in a repeat that could not be run to a verdict.
    pub fn add_error(&mut self, name: &str, error: &RunError) {
        self.not_judged.push(NotJudged { name: name.to_owned(), error: error.to_string() });
    }

    /// What was judged so far.
    pub fn results(&self) -> Vec<&ScenarioResult> {
        self.entries.iter().map(|entry| &entry.result).collect()
    }

    /// Writes all four files.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, exit: ExitCode) -> Result<(), RunError> {
        let results = self.results();
        let caveats = report::caveats(self.backend, &self.left_out);
        let page = RunPage {
            run_id: &self.folder.run_id,
            entries: &self.entries,
            not_judged: &self.not_judged,
            caveats: &caveats,
        };
        let json =
            serde_json::to_vec_pretty(&self.run(exit)).map_err(|e| RunError::Internal(format!("run.json: {e}")))?;
        let write = |name: &str, content: &[u8]| folder::write(&self.folder.path.join(name), content);
        write("run.json", &json)?;
        let caveats = report::caveats_markdown(self.backend, &self.left_out);
        write("summary.md", (report::summary(&results, &self.not_judged) + &caveats).as_bytes())?;
        write("junit.xml", report::junit(&self.folder.run_id, &results, &self.not_judged, &self.left_out).as_bytes())?;
        write("report.html", run_page(page).as_bytes())
    }

    fn run(&self, exit: ExitCode) -> RunResult {
        let finished = self.entries.iter().map(|PageEntry { result, folder, .. }| RunEntry {
            name: result.scenario.name.clone(),
            path: result.scenario.path.clone(),
            repeat: result.repeat,
            verdict: result.verdict,
            reasons: result.reasons.clone(),
            folder: folder.clone(),
        });
        let failed = self.not_judged.iter().map(|NotJudged { name, error }| RunEntry {
            name: name.clone(),
            path: None,
            repeat: 0,
            verdict: Verdict::Inconclusive,
            reasons: vec![Reason { code: "environment".into(), message: error.clone() }],
            folder: name.clone(),
        });
        let scenarios: Vec<RunEntry> = finished.chain(failed).collect();
        RunResult {
            schema_version: SCHEMA_VERSION,
            run_id: self.folder.run_id.clone(),
            started_at: self.started_at.clone(),
            duration_s: Duration::from_nanos(self.clock.now()).as_secs_f64(),
            verdict: scenarios.iter().map(|s| s.verdict).max().unwrap_or(Verdict::Inconclusive),
            exit_code: exit.code(),
            backend: self.entries.first().and_then(|entry| entry.result.backend.clone()),
            seaworthy_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenarios,
            left_out: self.left_out.clone(),
        }
    }

    fn relative(&self, folder: &Path) -> String {
        folder.strip_prefix(&self.folder.path).unwrap_or(folder).display().to_string()
    }
}
