//! The command line: one file a subcommand. Results go to standard output, progress and logs to standard error.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit_code::ExitCode;
use crate::runner::{Selected, Selection, SelectionError, select};

mod check;
mod checklist;
mod clean;
mod compare;
mod dlq;
mod doctor;
mod explain;
mod generate;
mod list;
mod metrics;
mod new;
mod plan;
mod progress;
mod recheck;
mod report;
mod run;
mod schema;

const AFTER_HELP: &str = "\
Exit codes:
  0    every selected scenario passed
  1    failed: a record was lost, or a budget was not met
  2    inconclusive: nothing was proved
  3    regressed (compare --gate)
  4    nothing selected
  64   wrong usage, or an invalid scenario, history or run folder
  69   environment unavailable: no Docker engine, image missing, broker not ready
  70   internal error
  130  interrupted, after healing and cleaning up";

/// Proves, before production does, that a Kafka application survives the storm.
#[derive(Parser)]
#[command(name = "seaworthy", version, after_help = AFTER_HELP, max_term_width = 120)]
struct Arguments {
    /// Colour in output and messages.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Log what the harness does, to standard error (repeat for more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios and judge them
    Run(run::Run),
    /// Validate scenario files, every mistake at once; touches no cluster
    Check(check::Check),
    /// Write a commented scenario file from a template
    New(new::New),
    /// Print the JSON Schema of scenario files, for editors
    Schema(schema::Schema),
    /// Explain a word: a diagnostic's code, an anomaly, a verdict, a key, a Kafka or librdkafka error
    Explain(explain::Explain),
    /// List scenario files
    List(list::List),
    /// Show the resolved plan of a scenario: timeline, budgets, floors, expected duration
    Plan(plan::Plan),
    /// Judge a recorded run again, from its history alone
    Recheck(recheck::Recheck),
    /// Write run folders as one self-contained HTML page; of several, every sample side by side
    Report(report::Report),
    /// Compare the recovery times and counts of two runs
    Compare(compare::Compare),
    /// Go through the production checklist against a settings file, item by item, with evidence
    Checklist(checklist::Checklist),
    /// Print what monitors the resilience components: a dashboard, alert rules, the list of metrics
    Metrics(metrics::Metrics),
    /// Look into a dead-letter topic, watch it, replay it
    Dlq(dlq::Dlq),
    /// Show which backends work here, and what to do about what is missing
    Doctor(doctor::Doctor),
    /// Remove what a dead run left: containers, networks and processes
    Clean(clean::Clean),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page
    Man(generate::Man),
}

/// Which scenarios, for the commands that take several.
#[derive(clap::Args)]
struct Scenarios {
    /// Scenario files, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Only those with this text in their name, or this tag
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Reads the selected scenarios and shows what is wrong with them; `Err`: what to exit with.
fn selected(selection: &Selection, colour: Colours) -> Result<Selected, ExitCode> {
    match select(selection, colour.err) {
        Ok(selected) => {
            selected.warnings.iter().for_each(|warning| tell(warning));
            Ok(selected)
        }
        Err(SelectionError::Invalid(text)) => {
            tell(&text);
            Err(ExitCode::Usage)
        }
        Err(error) => {
            tell(&format!("error: {error}"));
            Err(ExitCode::Usage)
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // Help and version are what was asked for; everything else is wrong usage.
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Passed };
        }
    };
    log(arguments.verbose);
    let colour = Colours::of(arguments.color);
    match arguments.command {
        Command::Run(command) => command.run(colour),
        Command::Check(command) => command.run(colour),
        Command::Explain(command) => command.run(colour),
        Command::List(command) => command.run(colour),
        Command::Plan(command) => command.run(colour),
        Command::Recheck(command) => command.run(colour),
        Command::Report(command) => command.run(colour),
        Command::Compare(command) => command.run(colour),
        Command::Checklist(command) => command.run(colour),
        Command::Metrics(command) => command.run(),
        Command::Dlq(command) => command.run(colour),
        Command::Doctor(command) => command.run(),
        Command::Clean(command) => command.run(),
        Command::New(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}

/// Whether each stream takes colour.
#[derive(Clone, Copy)]
struct Colours {
    out: bool,
    err: bool,
}

impl Colours {
    fn of(choice: Colour) -> Self {
        let auto = |terminal: bool| terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        match choice {
            Colour::Always => Self { out: true, err: true },
            Colour::Never => Self { out: false, err: false },
            Colour::Auto => {
                Self { out: auto(std::io::stdout().is_terminal()), err: auto(std::io::stderr().is_terminal()) }
            }
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        // The clients' own complaints about a harm that was ordered are no news.
        0 => "error,librdkafka=off,rdkafka=off",
        1 => "seaworthy=info",
        2 => "seaworthy=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEAWORTHY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Prints a result. A closed pipe (`| head`) is not an error worth a message.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Prints a result byte for byte.
fn write(bytes: &[u8]) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(bytes);
}

/// Prints a message to people beside the result.
fn tell(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end_matches('\n'));
}

/// A runtime for commands that talk to an engine or a cluster.
fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        tell(&format!("error: cannot start an async runtime: {error}"));
        ExitCode::Internal
    })
}
