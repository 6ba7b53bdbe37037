//! `seaworthy checklist`: the lesson's production checklist against a settings file, item by item, with evidence.
//!
//! It judges what can be seen: the settings, the scenarios beside them, and the last run. Each item says by what it was
//! judged, so that nobody takes a tick for more than it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{Colours, Format, print, tell};
use crate::clock::wall;
use crate::exit_code::ExitCode;
use crate::plan::{FaultKind, Plan};
use crate::report::RunResult;
use crate::resilience::breaker::Mode;
use crate::resilience::classify::{Class, all_codes, classify_code};
use crate::resilience::settings::{MonitoringSettings, Profile, Settings};
use crate::resilience::{Jitter, SettingsError};
use crate::verdict::Verdict;

/// A run older than this proves nothing about today's code.
const RUN_AGE: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A review older than this is due again.
const REVIEW_AGE: Duration = Duration::from_secs(180 * 24 * 3_600);

/// Go through the production checklist against a settings file, item by item, with evidence
#[derive(clap::Args)]
pub(super) struct Checklist {
    /// The settings file; without one, the profile's own settings
    #[arg(value_name = "SETTINGS.toml")]
    settings: Option<PathBuf>,
    /// The profile to judge where no file is given: development, staging, production or default
    #[arg(long, conflicts_with = "settings", default_value_t = Profile::Production)]
    profile: Profile,
    /// Where the scenarios are that test failures
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    scenarios: PathBuf,
    /// The run folder that shows when they last ran
    #[arg(long, value_name = "RUN", default_value = "target/seaworthy/latest")]
    run: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// One item.
#[derive(Serialize)]
struct Item {
    item: &'static str,
    met: bool,
    /// What it was judged by.
    evidence: Vec<String>,
    /// What to do; empty if it is met.
    next: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    settings: Option<String>,
    profile: &'static str,
    met: usize,
    items: Vec<Item>,
}

impl Checklist {
    pub fn run(self, colour: Colours) -> ExitCode {
        let read = self.settings.as_ref().map(|path| (path.display().to_string(), std::fs::read_to_string(path)));
        let (path, text) = match read {
            None => (None, None),
            Some((path, Ok(text))) => (Some(path), Some(text)),
            Some((path, Err(error))) => {
                tell(&format!("error: {path}: cannot be read: {error}"));
                return ExitCode::Usage;
            }
        };
        let settings =
            match text.as_deref().map_or_else(|| Ok(Settings::for_profile(self.profile)), Settings::from_toml) {
                Ok(settings) => settings,
                Err(mistakes) => {
                    let path = path.unwrap_or_default();
                    mistakes.iter().for_each(|mistake: &SettingsError| tell(&format!("error: {path}: {mistake}")));
                    return ExitCode::Usage;
                }
            };
        let now = wall();
        let items = vec![
            classify(&settings),
            retry(&settings),
            breaker(&settings),
            dead_letters(&settings),
            monitor(&settings),
            test(&self.scenarios, &self.run, now),
            document(text.as_deref(), settings.profile),
            review(text.as_deref(), now),
        ];
        let met = items.iter().filter(|item| item.met).count();
        let all = met == items.len();
        let answer = Answer { settings: path, profile: settings.profile.as_str(), met, items };
        match self.format {
            Format::Human => print(&human(&answer, colour.out)),
            Format::Json => print(&serde_json::to_string_pretty(&answer).unwrap_or_default()),
        }
        if all { ExitCode::Passed } else { ExitCode::Failed }
    }
}

fn human(answer: &Answer, colour: bool) -> String {
    let mark = |met| match (met, colour) {
        (true, true) => "\x1b[32m[x]\x1b[0m",
        (true, false) => "[x]",
        (false, true) => "\x1b[31m[ ]\x1b[0m",
        (false, false) => "[ ]",
    };
    let of = answer.settings.as_deref().unwrap_or("the profile's own settings");
    let mut out = format!("Production checklist for {of} (profile {})\n\n", answer.profile);
    for Item { item, met, evidence, next } in &answer.items {
        out += &format!("{} {item}\n", mark(*met));
        evidence.iter().for_each(|line| out += &format!("      {line}\n"));
        next.iter().for_each(|line| out += &format!("      next: {line}\n"));
    }
    out + &format!("\n{} of {} met\n", answer.met, answer.items.len())
}

/// Collects an item's demands.
struct Demands(Item);

impl Demands {
    fn of(item: &'static str) -> Self {
        Self(Item { item, met: true, evidence: Vec::new(), next: Vec::new() })
    }

    fn evidence(&mut self, text: impl Into<String>) {
        self.0.evidence.push(text.into());
    }

    fn demand(&mut self, met: bool, next: impl Into<String>) {
        if !met {
            self.0.met = false;
            self.0.next.push(next.into());
        }
    }
}

fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn classify(settings: &Settings) -> Item {
    let mut item = Demands::of("Classify errors (retriable vs non-retriable)");
    let count = |class| all_codes().filter(|code| classify_code(*code).class == class).count();
    let (retriable, temporary, not) = (count(Class::Retriable), count(Class::Temporary), count(Class::NonRetriable));
    item.evidence(format!(
        "{} codes of Kafka and librdkafka are classified: {retriable} retriable, {temporary} temporary, {not} non-retriable",
        all_codes().count()
    ));
    let hold = settings.consumer.on_exhausted == crate::resilience::settings::OnExhausted::Hold;
    item.evidence(format!(
        "consumer.on-exhausted = {:?}: a record whose failures are retriable {}",
        if hold { "hold" } else { "dead-letter" },
        if hold { "is never dead-lettered" } else { "ends in the dead-letter topic when its retries are used up" }
    ));
    item.demand(
        hold,
        "set consumer.on-exhausted = \"hold\": an outage must not flush good records into the dead-letter topic",
    );
    item.0
}

fn retry(settings: &Settings) -> Item {
    let mut item = Demands::of("Implement retry logic with exponential backoff");
    let retry = &settings.retry;
    item.evidence(format!(
        "retry: {} retries, {} to {}, times {}, {} jitter, {}",
        retry.max_retries,
        text(retry.initial_delay),
        text(retry.max_delay),
        retry.multiplier,
        format!("{:?}", retry.jitter).to_lowercase(),
        retry.deadline.map_or("no deadline".into(), |deadline| format!("{} in all", text(deadline)))
    ));
    item.demand(retry.max_retries > 0, "set retry.max-retries above 0");
    let grows = retry.multiplier > 1.0 || retry.jitter == Jitter::Decorrelated;
    item.demand(grows, "set retry.multiplier above 1, so that the delays grow");
    item.demand(retry.jitter != Jitter::None, "set retry.jitter = \"full\", or all clients come back together");
    item.demand(retry.longest().is_some(), "set retry.deadline, or attempts without a limit never end");
    item.0
}

fn breaker(settings: &Settings) -> Item {
    let mut item = Demands::of("Use circuit breakers for external dependencies");
    let breaker = &settings.breaker;
    let rate = breaker
        .failure_rate
        .map_or(String::new(), |rate| format!(" or {} % of {} calls", rate * 100.0, breaker.window));
    item.evidence(format!(
        "breaker: opens at {} failures in a row{rate}, for {} to {}, closes after {} good probes",
        breaker.max_failures,
        text(breaker.reset_timeout),
        text(breaker.max_reset_timeout),
        breaker.half_open_probes
    ));
    item.demand(
        breaker.mode == Mode::Normal,
        format!("set breaker.mode = \"normal\": in mode {:?} it does not protect", breaker.mode),
    );
    item.demand(
        breaker.failure_rate.is_some(),
        "set breaker.failure-rate: failures with successes between them never open it otherwise",
    );
    let limited = breaker.timeout.or(settings.retry.attempt_timeout).or(settings.retry.deadline).is_some();
    item.demand(limited, "set breaker.timeout or retry.attempt-timeout: a call that hangs is no failure otherwise");
    item.0
}

fn dead_letters(settings: &Settings) -> Item {
    let mut item = Demands::of("Set up dead letter queues for failed messages");
    let client = |key: &str| settings.client.get(key).map_or("(librdkafka's default)", String::as_str);
    item.evidence(format!(
        "dlq: TOPIC{}, headers within {} bytes, replayed {} times at most; acks = {}, enable.idempotence = {}",
        settings.dlq.topic_suffix,
        settings.dlq.max_header_bytes,
        settings.dlq.max_replays,
        client("acks"),
        client("enable.idempotence")
    ));
    let durable = matches!(client("acks"), "all" | "-1") && client("enable.idempotence") == "true";
    item.demand(
        durable,
        "set client.acks = \"all\" and client.enable.idempotence = \"true\": a dead letter must survive",
    );
    item.demand(settings.dlq.max_replays > 0, "set dlq.max-replays above 0, or nothing can be replayed");
    item.0
}

fn monitor(settings: &Settings) -> Item {
    let mut item = Demands::of("Monitor error rates and set up alerting");
    let (have, lesson) = (&settings.monitoring, MonitoringSettings::default());
    item.evidence(format!(
        "monitoring: error rate above {} % warns, above {} % is critical; breaker trips above {}, dead letters above {} in {}; \
         recovery above {}",
        have.error_rate_warning * 100.0,
        have.error_rate_critical * 100.0,
        have.breaker_trips,
        have.dead_letters,
        text(have.window),
        text(have.recovery_time)
    ));
    for (key, met, limit) in [
        (
            "error-rate-warning",
            have.error_rate_warning <= lesson.error_rate_warning,
            lesson.error_rate_warning.to_string(),
        ),
        (
            "error-rate-critical",
            have.error_rate_critical <= lesson.error_rate_critical,
            lesson.error_rate_critical.to_string(),
        ),
        ("breaker-trips", have.breaker_trips <= lesson.breaker_trips, lesson.breaker_trips.to_string()),
        ("dead-letters", have.dead_letters <= lesson.dead_letters, lesson.dead_letters.to_string()),
        ("recovery-time", have.recovery_time <= lesson.recovery_time, format!("{:?}", text(lesson.recovery_time))),
    ] {
        item.demand(met, format!("set monitoring.{key} = {limit} or below"));
    }
    item.0
}

/// Whether a fault is of the kind.
type IsKind = fn(&FaultKind) -> bool;

/// What the lesson wants to be tested, and whether a scenario's faults do it.
const TESTED: &[(&str, IsKind)] = &[
    ("a network partition", |kind| matches!(kind, FaultKind::Network { .. })),
    ("a broker failure", |kind| {
        matches!(kind, FaultKind::Kill { .. } | FaultKind::Stop { .. } | FaultKind::Pause { .. })
    }),
    ("a rebalance", |kind| matches!(kind, FaultKind::Member { .. })),
    ("a high error rate", |kind| matches!(kind, FaultKind::HandlerErrors { .. })),
];

fn test(folder: &Path, run: &Path, now: SystemTime) -> Item {
    let mut item = Demands::of("Test failure scenarios regularly");
    let plans = plans(folder);
    let faults: Vec<&FaultKind> = plans.iter().flat_map(|plan| &plan.faults).map(|fault| &fault.kind).collect();
    let missing: Vec<&str> =
        TESTED.iter().filter(|(_, is)| !faults.iter().any(|kind| is(kind))).map(|(name, _)| *name).collect();
    item.evidence(format!("{}: {} valid scenarios with {} faults", folder.display(), plans.len(), faults.len()));
    item.demand(missing.is_empty(), format!("write scenarios for {}: `seaworthy new`", missing.join(", ")));
    let file = run.join("run.json");
    let result: Option<RunResult> =
        std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
    match result {
        None => {
            item.evidence(format!("{}: no run", file.display()));
            item.demand(false, "run them: `seaworthy run`, or name the run folder with --run");
        }
        Some(result) => {
            let age = humantime::parse_rfc3339_weak(&result.started_at).ok().and_then(|at| now.duration_since(at).ok());
            let days = age.map_or("at an unknown time".into(), |age| format!("{} days ago", age.as_secs() / 86_400));
            item.evidence(format!(
                "{}: {} scenarios ran {days}, verdict {}",
                file.display(),
                result.scenarios.len(),
                result.verdict
            ));
            item.demand(age.is_some_and(|age| age <= RUN_AGE), "run them again: the last run is more than 30 days old");
            item.demand(result.verdict == Verdict::Pass, "mend what the last run found");
        }
    }
    item.0
}

fn plans(folder: &Path) -> Vec<Plan> {
    let selection = crate::runner::Selection { paths: vec![folder.to_owned()], ..Default::default() };
    match crate::runner::select(&selection, false) {
        Ok(selected) => selected.scenarios.into_iter().map(|(_, plan)| plan).collect(),
        Err(_) => Vec::new(),
    }
}

/// Each value that is changed has a comment that says why, above it or behind it.
fn document(text: Option<&str>, profile: Profile) -> Item {
    let mut item = Demands::of("Document error handling strategies");
    let Some(text) = text else {
        item.evidence(format!(
            "no file: the settings of profile {profile}, whose reasons stand in the crate's documentation"
        ));
        return item.0;
    };
    let (explained, bare) = comments(text);
    item.evidence(format!("{explained} of {} values have a comment that says why", explained + bare.len()));
    item.demand(bare.is_empty(), format!("write a comment above or behind each of: {}", bare.join(", ")));
    item.0
}

/// How many values have a comment, and the keys of those that have none. A comment above a block of values without a blank
/// line between them is a comment on all of them.
fn comments(text: &str) -> (usize, Vec<String>) {
    let (mut explained, mut bare) = (0, Vec::new());
    let mut said = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('[') {
            // What is said about a table is said about its values.
            said = said && line.starts_with('[') || line.contains('#');
            continue;
        }
        if line.starts_with('#') {
            said = true;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        // The file's own name for what it starts from needs no reason.
        if key.trim() == "profile" {
            continue;
        }
        // A `#` within quotes is no comment; one behind the last quote is.
        if said || value.rsplit('"').next().unwrap_or(value).contains('#') {
            explained += 1;
        } else {
            bare.push(key.trim().to_owned());
        }
    }
    (explained, bare)
}

fn review(text: Option<&str>, now: SystemTime) -> Item {
    let mut item = Demands::of("Review and update error handling regularly");
    const LINE: &str = "put a line `# reviewed: YYYY-MM-DD` into the settings file after each review";
    let Some(text) = text else {
        item.evidence("no file: nothing says when it was reviewed");
        item.demand(false, LINE);
        return item.0;
    };
    let dates = text.lines().filter_map(|line| line.trim().strip_prefix('#')?.trim().strip_prefix("reviewed:"));
    let date = |text: &str| humantime::parse_rfc3339_weak(&format!("{} 00:00:00", text.trim())).ok();
    match dates.filter_map(date).max() {
        None => {
            item.evidence("no line says when it was reviewed");
            item.demand(false, LINE);
        }
        Some(at) => {
            let age = now.duration_since(at).unwrap_or_default();
            item.evidence(format!("reviewed {} days ago", age.as_secs() / 86_400));
            item.demand(age <= REVIEW_AGE, "review it again: the last review is more than 180 days old");
        }
    }
    item.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400)
    }

    #[test]
    fn the_production_profile_meets_what_settings_can_meet_and_development_does_not() {
        let production = Settings::for_profile(Profile::Production);
        for item in [
            classify(&production),
            retry(&production),
            breaker(&production),
            dead_letters(&production),
            monitor(&production),
        ] {
            assert!(item.met, "{}: {:?}", item.item, item.next);
            assert!(!item.evidence.is_empty() && item.next.is_empty());
        }
        assert!(!breaker(&Settings::for_profile(Profile::Development)).met);
    }

    #[test]
    fn each_item_can_fail_and_says_what_to_do() {
        let mut bad = Settings::for_profile(Profile::Production);
        bad.consumer.on_exhausted = crate::resilience::settings::OnExhausted::DeadLetter;
        bad.retry.jitter = Jitter::None;
        bad.breaker.mode = Mode::MetricsOnly;
        bad.client.insert("acks".into(), "1".into());
        bad.monitoring.dead_letters = 101;
        for item in [classify(&bad), retry(&bad), breaker(&bad), dead_letters(&bad), monitor(&bad)] {
            assert!(!item.met, "{}", item.item);
            assert_eq!(item.next.len(), 1, "{}: {:?}", item.item, item.next);
        }
        assert_eq!(monitor(&bad).next, ["set monitoring.dead-letters = 100 or below"]);
    }

    #[test]
    fn values_without_a_reason_are_named() {
        let text = "profile = \"production\"\n\n# Patience of the payment service.\n[retry]\nmax-retries = 8\ndeadline = \"40s\"\n\n\
                    [breaker]\nwindow = 50 # a second's worth\nmax-failures = 4\n[client]\n\"client.id\" = \"a#b\"\n";
        assert_eq!(comments(text), (3, vec!["max-failures".into(), "\"client.id\"".into()]));
        assert!(!document(Some(text), Profile::Production).met);
    }

    #[test]
    fn a_review_grows_old() {
        let text = "# reviewed: 1970-01-11\n# reviewed: 1970-04-11\n";
        assert!(review(Some(text), day(100 + 180)).met);
        let late = review(Some(text), day(100 + 181));
        assert!(!late.met && late.evidence == ["reviewed 181 days ago"], "{:?}", late.evidence);
        assert!(!review(Some("# reviewed: soon"), day(1)).met);
        assert!(!review(None, day(1)).met);
    }

    #[test]
    fn the_shipped_scenarios_test_what_the_lesson_wants() {
        let item = test(Path::new("scenarios"), Path::new("no/such/run"), day(1));
        assert_eq!(item.next, ["run them: `seaworthy run`, or name the run folder with --run"]);
        let item = test(Path::new("no/such/folder"), Path::new("no/such/run"), day(1));
        assert_eq!(item.next.len(), 2, "{:?}", item.next);
    }
}
