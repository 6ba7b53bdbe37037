//! `seaworthy report`: run folders as one HTML page.

use std::path::{Path, PathBuf};

use super::{Colours, tell};
use crate::compare::{self, Axes, Comparison, RowVerdict};
use crate::exit_code::ExitCode;
use crate::ledger;
use crate::plan::Plan;
use crate::recheck::recheck;
use crate::report::ScenarioResult;
use crate::report::html::{ComparedRun, PageEntry, RunPage, Said, comparison_page, run_page, telling};
use crate::report::timeline::Timeline;

#[derive(clap::Args)]
pub(super) struct Report {
    /// Run folders, repeats' folders or history files; of several, every sample side by side
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// What two runs are meant to differ in, as `compare` takes it
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    axis: Vec<String>,
}

/// A result and the folder that it is from.
struct Found {
    result: ScenarioResult,
    folder: PathBuf,
}

impl Report {
    pub fn run(self, _colour: Colours) -> ExitCode {
        let mut runs = Vec::new();
        for path in &self.runs {
            match found(path) {
                Ok(results) => runs.push((name(path), results)),
                Err(error) => {
                    tell(&format!("error: {error}"));
                    return ExitCode::Usage;
                }
            }
        }
        let page = match &runs[..] {
            [(name, results)] => one(name, results, &self.output),
            _ => several(&runs, self.comparison().as_ref()),
        };
        if let Err(error) = std::fs::write(&self.output, page) {
            tell(&format!("error: cannot write {}: {error}", self.output.display()));
            return ExitCode::Unavailable;
        }
        let count: usize = runs.iter().map(|(_, results)| results.len()).sum();
        tell(&format!("{}: {count} results of {} runs", self.output.display(), runs.len()));
        ExitCode::Passed
    }

    /// Two runs are judged as `compare BASE NEW` does; of more, nobody says which is to be compared with which.
    /// Of a side that `compare` cannot read, such as a bare history, nothing is said.
    fn comparison(&self) -> Option<Comparison> {
        let [base, new] = &self.runs[..] else { return None };
        let (base, new) = (compare::Side::read(base).ok()?, compare::Side::read(new).ok()?);
        Some(Comparison::of(&base, &new, &Axes::of(&self.axis), &[]))
    }
}

/// What a reader calls a run: the folder's own name, also behind a link such as `latest`.
fn name(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real.file_name().unwrap_or(real.as_os_str()).to_string_lossy().into_owned()
}

/// Every `result.json` below a folder; where there is none, the histories are judged.
fn found(path: &Path) -> Result<Vec<Found>, String> {
    let mut folders = vec![path.to_owned()];
    let mut results = Vec::new();
    for _ in 0..3 {
        for folder in folders.iter().filter(|folder| folder.join("result.json").is_file()) {
            let file = folder.join("result.json");
            let bytes = std::fs::read(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            let result =
                serde_json::from_slice(&bytes).map_err(|e| format!("{}: not a result: {e}", file.display()))?;
            results.push(Found { result, folder: folder.clone() });
        }
        if !results.is_empty() {
            break;
        }
        folders = folders.iter().flat_map(|folder| subfolders(folder)).collect();
    }
    if results.is_empty() {
        let judged = recheck(path).map_err(|e| e.to_string())?;
        let folder = |history: &Path| history.parent().map(Path::to_owned).unwrap_or_default();
        results = judged.into_iter().map(|one| Found { folder: folder(&one.history), result: one.result }).collect();
    }
    results.sort_by(|a, b| {
        let key = |f: &Found| (f.result.scenario.name.clone(), f.result.repeat, f.folder.clone());
        key(a).cmp(&key(b))
    });
    Ok(results)
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

/// The page of one run; only the repeats that it shows in full have their histories read, all at once.
fn one(name: &str, found: &[Found], output: &Path) -> String {
    let results: Vec<&ScenarioResult> = found.iter().map(|found| &found.result).collect();
    let telling = telling(&results);
    let base = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    let drawn: Vec<(usize, Result<Option<Timeline>, String>)> = std::thread::scope(|scope| {
        let read = |at: usize| {
            let path = found[at].folder.join("history.jsonl");
            scope.spawn(move || {
                if !path.is_file() {
                    return (at, Err("its history.jsonl is missing, and plots are drawn from it".to_owned()));
                }
                (
                    at,
                    ledger::read(&path)
                        .map(|(history, ledger)| Timeline::with(&history, &ledger))
                        .map_err(|e| e.to_string()),
                )
            })
        };
        let threads: Vec<_> = telling.iter().map(|at| read(*at)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut entries: Vec<PageEntry> = found.iter().map(|found| entry(found, &base)).collect();
    for (at, outcome) in drawn {
        match outcome {
            Ok(Some(line)) => entries[at].timeline = Some(line),
            Ok(None) => entries[at].missing = Some("no record was ever due in its history".to_owned()),
            Err(why) => entries[at].missing = Some(why),
        }
    }
    run_page(RunPage { run_id: name, entries: &entries, not_judged: &[], caveats: "" })
}

fn entry(found: &Found, base: &Path) -> PageEntry {
    let plan =
        std::fs::read_to_string(found.folder.join("plan.toml")).ok().and_then(|text| Plan::from_toml(&text).ok());
    PageEntry {
        result: found.result.clone(),
        summary: plan.map(|plan| plan.summary),
        folder: relative(&found.folder, base),
        logs: crate::report::log_names(&found.folder),
        timeline: None,
        missing: None,
    }
}

/// A path from one folder to another, by way of their common one.
fn relative(folder: &Path, base: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let shared = folder.components().zip(base.components()).take_while(|(a, b)| a == b).count();
    let up = base.components().count() - shared;
    let mut path: PathBuf = std::iter::repeat_n("..", up).collect();
    path.extend(folder.components().skip(shared));
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}

fn several(runs: &[(String, Vec<Found>)], comparison: Option<&Comparison>) -> String {
    let mut sides: Vec<ComparedRun<'_>> = Vec::new();
    for (name, found) in runs {
        sides.push(ComparedRun { name: name.clone(), results: found.iter().map(|found| &found.result).collect() });
    }
    let conclusion = comparison.map(compare::conclusion);
    comparison_page(&sides, &comparison.map(said).unwrap_or_default(), conclusion.as_deref())
}

fn said(comparison: &Comparison) -> Vec<Said> {
    let rows = comparison.rows.iter().filter(|row| row.decision.verdict != RowVerdict::None);
    rows.map(|row| Said {
        scenario: row.scenario.clone(),
        metric: row.metric.name.to_owned(),
        text: compare::sentence(row),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_the_page_to_the_folder() {
        let relative = |folder: &str| relative(Path::new(folder), Path::new("/a/run"));
        assert_eq!(relative("/a/run/story/1"), "story/1");
        assert_eq!(relative("/a/other/story/1"), "../other/story/1");
        assert_eq!(relative("/a/run"), ".");
    }
}
