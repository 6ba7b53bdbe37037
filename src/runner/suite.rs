//! Several scenarios, each several times: selection, order, and the run folder's own files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};

use super::{RunBook, RunContext, RunError, RunEvent, RunFolder, ScenarioOutcome, run_one};
use crate::clock::Clock;
use crate::diagnostic;
use crate::exit_code::ExitCode;
use crate::plan::{BackendKind, Capabilities, Plan};
use crate::report::{self, LeftOut, ScenarioResult};
use crate::scenario;
use crate::verdict::Verdict;

/// Which scenarios to run, and with what changed.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Files and folders; empty: `scenarios/`.
    pub paths: Vec<PathBuf>,
    /// Part of a name, or a whole tag.
    pub filter: Option<String>,
    /// `key=value` overrides of every file.
    pub set: Vec<(String, String)>,
    /// Where they are to run: what it cannot do is a mistake too. `None`: nowhere, they are only looked at.
    pub backend: Option<BackendKind>,
    /// A file that was not named itself, but found in a folder, is left out where `backend` cannot run it, and told of.
    pub leave_out: bool,
    /// (i, n): every n-th scenario, beginning with the i-th, from 1.
    pub shard: Option<(usize, usize)>,
}

/// Why a selection cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    #[error("cannot look for scenarios: {0}")]
    Io(std::io::Error),
    /// The rendered diagnostics of every invalid file.
    #[error("{0}")]
    Invalid(String),
}

/// What was selected.
pub struct Selected {
    pub scenarios: Vec<(PathBuf, Plan)>,
    /// Rendered warnings of valid files.
    pub warnings: Vec<String>,
    /// What the backend cannot run.
    pub left_out: Vec<LeftOut>,
}

/// Reads every selected scenario. All invalid files are reported together.
pub fn select(selection: &Selection, colour: bool) -> Result<Selected, SelectionError> {
    let default = [PathBuf::from("scenarios")];
    let paths = if selection.paths.is_empty() { &default[..] } else { &selection.paths };
    let files = scenario::discover(paths).map_err(SelectionError::Io)?;
    let (mut plans, mut invalid, mut warnings, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match scenario::load_with(&file, &selection.set) {
            Ok(loaded) => {
                let capabilities = selection.backend.map(Capabilities::of);
                let cannot = capabilities.map_or(Vec::new(), |capabilities| {
                    scenario::check_in(&loaded.source, &selection.set, &loaded.plan, &capabilities)
                });
                let errors: Vec<&str> = cannot.iter().filter(|d| d.is_error()).map(|d| d.message.as_str()).collect();
                if !errors.is_empty() && selection.leave_out && !paths.contains(&file) {
                    let reason = errors.join("; ");
                    let keep = selection.filter.as_ref().is_none_or(|text| fits(&loaded.plan, text));
                    let path = file.display().to_string();
                    left_out.extend(keep.then_some(LeftOut { name: loaded.plan.name, path, reason }));
                    continue;
                }
                if !errors.is_empty() {
                    invalid.push(diagnostic::render_all(&cannot, &loaded.source, colour));
                    continue;
                }
                if !loaded.warnings.is_empty() {
                    warnings.push(diagnostic::render_all(&loaded.warnings, &loaded.source, colour));
                }
                plans.push((file, loaded.plan));
            }
            Err(error) => invalid.push(error.render(colour)),
        }
    }
    if !invalid.is_empty() {
        return Err(SelectionError::Invalid(invalid.join("\n")));
    }
    if let Some(filter) = &selection.filter {
        plans.retain(|(_, plan)| fits(plan, filter));
    }
    if let Some((index, count)) = selection.shard {
        let mut position = 0;
        plans.retain(|_| {
            position += 1;
            (position - 1) % count.max(1) == index.saturating_sub(1)
        });
    }
    Ok(Selected { scenarios: plans, warnings, left_out })
}

fn fits(plan: &Plan, filter: &str) -> bool {
    plan.name.contains(filter) || plan.tags.iter().any(|tag| tag == filter)
}

/// One command's run.
pub struct Suite {
    pub context: RunContext,
    pub folder: RunFolder,
    pub repeat: u32,
    pub fail_fast: bool,
    /// What the backend could not run, for the reports.
    pub left_out: Vec<LeftOut>,
}

/// What came of it.
pub struct SuiteReport {
    pub results: Vec<(ScenarioResult, PathBuf)>,
    /// Scenarios that could not be run to a verdict.
    pub errors: Vec<(String, RunError)>,
    pub exit: ExitCode,
}

/// One variant of a selection, with a run folder of its own.
pub struct Lot {
    pub folder: RunFolder,
    pub scenarios: Vec<(PathBuf, Plan)>,
}

impl Suite {
    /// Runs all repeats of all scenarios, interleaved: every scenario once, then again. As many at a time as the pool has
    /// places. Writes the run folder's own files after each, so that a run cut off
    /// leaves what it had.
    pub async fn run(&self, scenarios: &[(PathBuf, Plan)]) -> Result<SuiteReport, RunError> {
        let lots = [Lot { folder: self.folder.clone(), scenarios: scenarios.to_vec() }];
        let mut reports = self.run_lots(&lots).await?;
        Ok(reports.remove(0))
    }

    /// The same for several variants of one selection, interleaved too: a scenario in every variant, then the next
    /// scenario, then all again. Whatever drifts on this machine meanwhile drifts for all of them.
    pub async fn run_lots(&self, lots: &[Lot]) -> Result<Vec<SuiteReport>, RunError> {
        let clock = Clock::start();
        let book = |lot: &Lot| RunBook::new(lot.folder.clone(), self.context.backend, self.left_out.clone());
        let mut books: Vec<RunBook> = lots.iter().map(book).collect();
        let none = || SuiteReport { results: Vec::new(), errors: Vec::new(), exit: ExitCode::NothingSelected };
        let mut reports: Vec<SuiteReport> = lots.iter().map(|_| none()).collect();
        let most = lots.iter().map(|lot| lot.scenarios.len()).max().unwrap_or(0);
        let mut order = Vec::new();
        for repeat in 1..=self.repeat.max(1) {
            for place in 0..most {
                let of_lot = |(number, lot): (usize, &Lot)| {
                    let (path, plan) = lot.scenarios.get(place)?.clone();
                    Some((repeat, number, path, plan))
                };
                order.extend(lots.iter().enumerate().filter_map(of_lot));
            }
        }
        let mut waiting = order.into_iter().enumerate();
        let mut running = FuturesUnordered::new();
        // By their place in the order, which concurrent scenarios do not keep.
        let mut done = vec![BTreeSet::new(); lots.len()];
        let mut stop = false;
        loop {
            while !stop && running.len() < self.context.pool.places() {
                let Some((place, (repeat, lot, path, plan))) = waiting.next() else { break };
                let folder = &lots[lot].folder;
                running.push(async move {
                    let began = clock.now();
                    let outcome = run_one(&self.context, folder, &path, plan.clone(), repeat).await;
                    (place, lot, plan, outcome, Duration::from_nanos(clock.now() - began))
                });
            }
            let Some((place, lot, plan, outcome, took)) = running.next().await else { break };
            self.note(&plan, &outcome, took);
            let report = &mut reports[lot];
            stop |= match &outcome {
                Err(RunError::Interrupted) => true,
                Err(_) => self.fail_fast,
                Ok(done) => self.fail_fast && done.result.verdict == Verdict::Fail,
            };
            match outcome {
                Ok(outcome) => {
                    let before = done[lot].range(..place).count();
                    done[lot].insert(place);
                    books[lot].insert(before, &outcome);
                    report.results.insert(before, (outcome.result, outcome.folder));
                }
                Err(error) => {
                    books[lot].add_error(&plan.name, &error);
                    report.errors.push((plan.name.clone(), error));
                }
            }
            report.exit = exit_of(report);
            books[lot].write(report.exit)?;
        }
        Ok(reports)
    }

    fn note(&self, plan: &Plan, outcome: &Result<ScenarioOutcome, RunError>, took: Duration) {
        let name = plan.name.clone();
        self.context.events.emit(match outcome {
            Ok(done) => RunEvent::ScenarioFinished {
                name,
                verdict: done.result.verdict,
                headline: report::headline(&done.result),
                folder: done.folder.clone(),
                took,
            },
            Err(error) => RunEvent::ScenarioError { name, error: error.to_string(), took },
        });
    }
}

fn exit_of(report: &SuiteReport) -> ExitCode {
    let verdicts = report.results.iter().map(|(result, _)| ExitCode::from(result.verdict));
    ExitCode::worst(verdicts.chain(report.errors.iter().map(|(_, error)| error.exit_code())))
}
