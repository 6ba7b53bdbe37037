//! `seaworthy dlq`: what operators do with a dead-letter topic. Beside the harness: it touches the cluster that it is
//! pointed at, and nothing else of this program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use super::{Colours, Format, print, runtime, tell};
use crate::clock::wall;
use crate::exit_code::ExitCode;
use crate::resilience::reprocess::{
    DeadLetterTopic, Filter, Letter, LetterState, Monitor, Replay, Replayed, ReprocessError,
};

mod render;

#[derive(clap::Args)]
pub(super) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count the letters that wait: by error class, origin and age
    List(List),
    /// Show one letter with its headers, key and value
    Show(Show),
    /// Send letters back to where they came from, once each; killed, it can be started again
    Replay(ReplayArguments),
    /// Show depth, age and rate again and again
    Watch(Watch),
}

/// Which topic, and how to get there.
#[derive(clap::Args)]
struct Access {
    /// Brokers to begin with
    #[arg(long, value_name = "HOST:PORT,…", env = "SEAWORTHY_BOOTSTRAP_SERVERS")]
    bootstrap_server: String,
    /// The dead-letter topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// The group whose offsets say what was replayed [default: TOPIC.replay]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// A property of librdkafka (security, mostly); repeat for more
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// A file with such properties, one a line; `-X` wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long one answer of the brokers may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Which letters.
#[derive(clap::Args)]
struct Which {
    /// Only those of this error class (retriable, temporary, non-retriable, or an exception's name)
    #[arg(long, value_name = "CLASS")]
    error_class: Option<String>,
    /// Only those from this topic, or topic partition
    #[arg(long, value_name = "TOPIC[/PARTITION]")]
    origin: Option<String>,
    /// Only those given up since: a time (RFC 3339), or how long ago ("2h")
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Only those with this key
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Only that with this dead-letter id
    #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
    id: Option<String>,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
struct Show {
    /// The letter: its dead-letter id, or partition/offset in the dead-letter topic
    #[arg(value_name = "ID|PARTITION/OFFSET")]
    letter: String,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
struct ReplayArguments {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    which: Which,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Mark them as reprocessed without sending them
    #[arg(long, conflicts_with = "to")]
    discard: bool,
    /// Send to this topic instead of each letter's own
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Leave a letter that was replayed this often: it would go round for ever
    #[arg(long, value_name = "N", default_value_t = Replay::default().max_replays)]
    max_replays: u32,
    /// No more than this
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Letters in one transaction
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

#[derive(clap::Args)]
struct Watch {
    #[command(flatten)]
    access: Access,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Look this often, then end [default: until interrupted]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Dlq {
    pub fn run(self, _colour: Colours) -> ExitCode {
        let outcome = match self.command {
            Command::List(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Watch(command) => command.run(),
        };
        outcome.unwrap_or_else(|failure| {
            tell(&format!("error: {}", failure.text));
            failure.code
        })
    }
}

/// What to say, and what to exit with.
struct Failure {
    text: String,
    code: ExitCode,
}

impl From<ReprocessError> for Failure {
    fn from(error: ReprocessError) -> Self {
        let code = match error {
            ReprocessError::Client(_) => ExitCode::Usage,
            ReprocessError::Fenced(_) => ExitCode::Interrupted,
            ReprocessError::Scattered { .. } => ExitCode::Failed,
            _ => ExitCode::Unavailable,
        };
        Self { text: error.to_string(), code }
    }
}

fn usage(text: String) -> Failure {
    Failure { text, code: ExitCode::Usage }
}

impl Access {
    fn open(&self) -> Result<DeadLetterTopic, Failure> {
        let mut properties = BTreeMap::new();
        if let Some(path) = &self.config {
            let text = std::fs::read_to_string(path).map_err(|e| usage(format!("{}: {e}", path.display())))?;
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !is_comment(line)) {
                let (name, value) =
                    property(line).map_err(|e| usage(format!("{}:{}: {e}", path.display(), number + 1)))?;
                properties.insert(name, value);
            }
        }
        properties.extend(self.properties.iter().cloned());
        let at = DeadLetterTopic::new(&self.bootstrap_server, &self.topic).timeout(self.timeout).properties(properties);
        Ok(match &self.group {
            Some(group) => at.group(group),
            None => at,
        })
    }
}

impl List {
    fn run(self) -> Result<ExitCode, Failure> {
        let overview = Monitor::new(&self.access.open()?)?.look(wall())?;
        match self.access.format {
            Format::Human => print(&render::overview(&overview, wall())),
            Format::Json => print(&render::overview_json(&overview, wall()).to_string()),
        }
        Ok(ExitCode::Passed)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let at = self.access.open()?;
        let mut found: Option<Letter> = None;
        let place = |letter: &Letter| format!("{}/{}", letter.record.partition, letter.record.offset);
        at.read(|letter| {
            let by_id = letter.info.dead_letter_id.as_deref() == Some(&*self.letter);
            let by_place = place(&letter) == self.letter;
            // Of several copies the one that is still to be done.
            if by_place || by_id && found.as_ref().is_none_or(|f| f.state == LetterState::Reprocessed) {
                found = Some(letter);
            }
            !by_place
        })?;
        let Some(letter) = found else {
            tell(&format!(
                "error: {} has no letter {}; `seaworthy dlq list` counts those it has",
                self.access.topic, self.letter
            ));
            return Ok(ExitCode::NothingSelected);
        };
        match self.access.format {
            Format::Human => print(&render::letter(&letter)),
            Format::Json => print(&render::letter_json(&letter).to_string()),
        }
        Ok(ExitCode::Passed)
    }
}

impl ReplayArguments {
    fn run(self) -> Result<ExitCode, Failure> {
        let at = self.access.open()?;
        let which = self.which;
        let filter = Filter {
            error_class: which.error_class,
            origin: which.origin,
            since: which.since,
            key: which.key.map(String::into_bytes),
            id: which.id,
        };
        let replay = Replay {
            filter,
            dry_run: self.dry_run,
            discard: self.discard,
            max_replays: self.max_replays,
            to: self.to,
            limit: self.limit,
            batch: self.batch as usize,
            ..Replay::default()
        };
        let stop = interruption()?;
        let done = at.replay(&replay, &stop, |so_far| tracing::info!(replayed = so_far.replayed, "committed"))?;
        match self.access.format {
            Format::Human => print(&render::replayed(&done, &replay)),
            Format::Json => print(&render::replayed_json(&done, &replay).to_string()),
        }
        Ok(verdict(&done))
    }
}

/// Something that should have been sent was not: failed. Nothing fitted: nothing selected.
fn verdict(done: &Replayed) -> ExitCode {
    if done.stopped {
        ExitCode::Interrupted
    } else if done.looping + done.unreplayable > 0 {
        ExitCode::Failed
    } else if done.replayed + done.duplicates == 0 {
        ExitCode::NothingSelected
    } else {
        ExitCode::Passed
    }
}

impl Watch {
    fn run(self) -> Result<ExitCode, Failure> {
        let stop = interruption()?;
        let mut monitor = Monitor::new(&self.access.open()?)?;
        let mut looks = 0;
        let waiting = runtime().map_err(|code| Failure { text: "nothing can be waited for".into(), code })?;
        loop {
            let overview = monitor.look(wall())?;
            match self.access.format {
                Format::Human => print(&render::line(&overview, wall())),
                Format::Json => print(&render::overview_json(&overview, wall()).to_string()),
            }
            looks += 1;
            if self.count.is_some_and(|count| looks >= count) {
                return Ok(ExitCode::Passed);
            }
            let interrupted = waiting.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => true,
                    () = tokio::time::sleep(self.every) => false,
                }
            });
            if interrupted {
                return Ok(ExitCode::Interrupted);
            }
        }
    }
}

/// Cancelled at Ctrl-C or SIGTERM; a second one ends the process. The thread lives as long as the process.
fn interruption() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let waiting = runtime().map_err(|code| Failure { text: "signals cannot be waited for".into(), code })?;
    std::thread::spawn(move || waiting.block_on(crate::signals::cancel_on_signal(told)));
    Ok(stop)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("{text:?} is not key=value")),
    }
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is neither a time (2026-01-31T12:00:00Z) nor a duration (2h)"))?;
    wall().checked_sub(ago).ok_or_else(|| format!("{text:?} is before time began"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_split_at_the_first_sign_and_comments_are_none() {
        assert_eq!(property(" a.b = c=d ").unwrap(), ("a.b".into(), "c=d".into()));
        assert!(property("a").is_err() && property("=b").is_err());
        assert!(is_comment("  # x") && is_comment(" ") && !is_comment("a=b"));
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        assert_eq!(since("1970-01-01T00:00:10Z").unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(10));
        assert!(since("2h").unwrap() < wall());
        assert!(since("yesterday").unwrap_err().contains("yesterday"));
    }

    #[test]
    fn what_should_have_been_sent_and_was_not_is_a_failure() {
        let done = |change: fn(&mut Replayed)| {
            let mut done = Replayed::default();
            change(&mut done);
            verdict(&done)
        };
        assert_eq!(done(|_| ()), ExitCode::NothingSelected);
        assert_eq!(done(|d| d.left = 5), ExitCode::NothingSelected);
        assert_eq!(done(|d| d.replayed = 5), ExitCode::Passed);
        assert_eq!(done(|d| d.duplicates = 1), ExitCode::Passed);
        assert_eq!(done(|d| (d.replayed, d.looping) = (5, 1)), ExitCode::Failed);
        assert_eq!(done(|d| d.unreplayable = 1), ExitCode::Failed);
        assert_eq!(done(|d| (d.replayed, d.stopped) = (5, true)), ExitCode::Interrupted);
    }
}
