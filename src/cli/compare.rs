//! `seaworthy compare`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Colours, print, tell};
use crate::compare::{self, Axes, Comparison, METRICS, Metric, Side, Style};
use crate::exit_code::ExitCode;

const LONG: &str = "\
Compare the recovery times and counts of two runs. A side is a run folder, `latest` or a run's id in the default folder, or a \
stored baseline.

With BASE alone its own figures are shown, and --save-baseline stores them in a file that can be committed:

  seaworthy run --repeat 5
  seaworthy compare latest --save-baseline baseline.json
  ...
  seaworthy run --repeat 5
  seaworthy compare baseline.json latest --gate";

#[derive(Args)]
#[command(long_about = LONG)]
pub(super) struct Compare {
    /// A run folder, or a stored baseline
    base: PathBuf,
    /// What is compared with it
    new: Option<PathBuf>,
    /// Exit with 3 if something regressed, with 2 if nothing could be judged
    #[arg(long, requires = "new")]
    gate: bool,
    /// What the two sides are meant to differ in, such as subject.profile or cluster.kafka; `any`: whatever it is
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    axis: Vec<String>,
    /// Only this metric, named as budgets are (repeatable)
    #[arg(long, value_name = "NAME", value_parser = metric)]
    metric: Vec<&'static Metric>,
    /// Show metrics without a change too
    #[arg(long)]
    all: bool,
    /// Store the last side named as a baseline
    #[arg(long, value_name = "FILE")]
    save_baseline: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    format: CompareFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    Human,
    Json,
    Markdown,
}

fn metric(name: &str) -> Result<&'static Metric, String> {
    let names = || METRICS.iter().map(|metric| metric.name).collect::<Vec<_>>().join(", ");
    Metric::named(name).ok_or_else(|| format!("expected one of {}", names()))
}

impl Compare {
    pub fn run(self, colour: Colours) -> ExitCode {
        let read = |path: &Path| Side::read(&place(path)).map_err(|error| tell(&format!("error: {error}")));
        let Ok(base) = read(&self.base) else { return ExitCode::Usage };
        let new = match self.new.as_deref().map(read).transpose() {
            Ok(new) => new,
            Err(()) => return ExitCode::Usage,
        };
        if let Some(file) = &self.save_baseline {
            let side = new.as_ref().unwrap_or(&base);
            if let Err(error) = compare::write_baseline(side, file) {
                tell(&format!("error: cannot write {}: {error}", file.display()));
                return ExitCode::Usage;
            }
            tell(&format!("stored {} repeats of {} as {}", side.repeats.len(), side.name, file.display()));
        }
        let Some(new) = new else {
            return match self.format {
                CompareFormat::Human => {
                    print(&compare::summary(&base, self.all));
                    ExitCode::Passed
                }
                CompareFormat::Json | CompareFormat::Markdown => {
                    tell("error: --format json and markdown need two sides: seaworthy compare BASE NEW");
                    ExitCode::Usage
                }
            };
        };
        let comparison = Comparison::of(&base, &new, &Axes::of(&self.axis), &self.metric);
        match self.format {
            CompareFormat::Human => print(&compare::human(&comparison, style(colour, self.all))),
            CompareFormat::Json => print(&format!("{:#}", compare::json(&comparison))),
            CompareFormat::Markdown => print(&compare::markdown(&comparison, self.all)),
        }
        if self.gate { gate(&comparison) } else { ExitCode::Passed }
    }
}

/// The terminal's width where there is one; pipes and files get the whole table.
pub(super) fn style(colour: Colours, all: bool) -> Style {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Style { width: columns.or_else(terminal_columns).unwrap_or(usize::MAX), colour: colour.out, all }
}

fn terminal_columns() -> Option<usize> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    // SAFETY: a zeroed winsize is a valid one, and the call writes into it or fails.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.map(|size| size.ws_col.into()).filter(|columns| *columns > 0)
}

fn gate(comparison: &Comparison) -> ExitCode {
    if comparison.regressed() {
        return ExitCode::Regressed;
    }
    if !comparison.judged() {
        tell("the gate: nothing could be judged, so nothing was proved: see the notes and the number of repeats");
        return ExitCode::Inconclusive;
    }
    ExitCode::Passed
}

/// `latest` and a run's id stand for folders in the default place, unless there is something of that name here.
fn place(path: &Path) -> PathBuf {
    let there = Path::new("target/seaworthy").join(path);
    if !path.exists() && path.is_relative() && there.exists() { there } else { path.to_owned() }
}
