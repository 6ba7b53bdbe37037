//! Deliberately broken applications are caught, each by the checker that names its bug, and the correct one passes the
//! same storm beside them. A harness whose checks cannot fail proves nothing.

use std::path::PathBuf;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::checker::CHECKERS;
use seaworthy::plan::{BackendKind, Defect};
use seaworthy::testing::{self, Bench};
use seaworthy::verdict::Verdict;
use seaworthy::{report, scenario};

struct Expected {
    /// The storm: a file in `tests/broken`.
    file: &'static str,
    /// The bug, where the file does not bring its own.
    defect: Option<Defect>,
    verdict: Verdict,
    /// The anomalies, doubts or budgets that must be named among the verdict's reasons.
    reasons: &'static [&'static str],
    /// In words, for `docs/oracle.md`: the bug, and what exposes it.
    words: (&'static str, &'static str),
}

const fn bug(
    file: &'static str,
    defect: Option<Defect>,
    reasons: &'static [&'static str],
    words: (&'static str, &'static str),
) -> Expected {
    Expected { file, defect, verdict: Verdict::Fail, reasons, words }
}

const fn correct(file: &'static str, fault: &'static str) -> Expected {
    Expected {
        file,
        defect: None,
        verdict: Verdict::Pass,
        reasons: &[],
        words: ("none: the correct application", fault),
    }
}

const CRASH: &str = "a member crashes while the handler is slow and sometimes fails";
const REFUSED: &str = "the dead-letter topic refuses writes for 4 s while a fifth of the records is poison";
const OUTAGE: &str = "the handler fails all calls for 3 s";
const REPLIES: &str = "a leader's replies vanish for 5 s, and sends time out in flight";
const ORPHANED: &str = "a member crashes, and its share waits 6 s for its session to end";
const ALONE: &str = "a leader whose only follower was cut off 12 s ago is killed, and the follower comes back first";
const BUSY: &str = "none: 400 records a second of six keys";

/// The correct application stands beside the broken ones in every storm that is shared, so that a catch is known to be the
/// bug's, not the storm's.
const EXPECTED: &[Expected] = &[
    Expected {
        file: "fault-without-effect",
        defect: None,
        verdict: Verdict::Inconclusive,
        reasons: &["fault-without-effect"],
        words: ("none: the fault does nothing", "one poisonous record in a million"),
    },
    bug(
        "acks-zero",
        None,
        &["lost-in-log"],
        ("takes a send for an acknowledgement (`acks=0`)", "a black hole before a leader for 4 s"),
    ),
    bug("commit-before-processing", None, &["lost-in-app"], ("commits before it processes", CRASH)),
    bug(
        "commit-before-processing",
        Some(Defect::CommitPastHole),
        &["lost-in-app"],
        ("puts a failed record aside and commits the offsets behind it", CRASH),
    ),
    bug(
        "drop-on-exhaustion",
        None,
        &["lost-in-app"],
        ("skips a record whose retries are used up", "the handler fails nine of ten calls for 5 s"),
    ),
    bug(
        "unawaited-dead-letter",
        None,
        &["lost-in-app"],
        ("does not wait for the dead letter's acknowledgement", REFUSED),
    ),
    bug(
        "awaited-dead-letter",
        Some(Defect::SwallowedDeadLetterFailure),
        &["lost-in-app"],
        ("waits for the dead letter and swallows its failure", REFUSED),
    ),
    bug(
        "awaited-dead-letter",
        Some(Defect::BareDeadLetter),
        &["dead-letter-incomplete"],
        ("writes dead letters that do not say where they come from", REFUSED),
    ),
    correct("awaited-dead-letter", REFUSED),
    bug(
        "handler-outage",
        Some(Defect::RejectedAsSuccess),
        &["lost-in-app"],
        ("takes what the open breaker rejects for done", OUTAGE),
    ),
    bug("handler-outage", Some(Defect::BreakerNeverCloses), &["outage"], ("never closes its breaker again", OUTAGE)),
    bug(
        "handler-outage",
        Some(Defect::ForgottenIdentity),
        &["unexpected"],
        ("forgets a record's identity when it tries again", OUTAGE),
    ),
    correct("handler-outage", OUTAGE),
    bug(
        "lost-acknowledgements",
        Some(Defect::IndeterminateAsFailed),
        &["failed-but-present"],
        ("reports a send that may have happened as failed, and forgets it", REPLIES),
    ),
    bug(
        "resent-acknowledgements",
        Some(Defect::ResentIndeterminate),
        &["duplicate-in-log"],
        ("sends again what may be in the log, and promises idempotence", REPLIES),
    ),
    correct("resent-acknowledgements", REPLIES),
    correct("lost-acknowledgements", REPLIES),
    bug(
        "orphaned-share",
        Some(Defect::SeekToEnd),
        &["poll-skip"],
        ("begins a new assignment at the log's end, to skip the backlog", ORPHANED),
    ),
    correct("orphaned-share", ORPHANED),
    bug(
        "busy-keys",
        Some(Defect::UnorderedPool),
        &["reordered"],
        ("produces its outputs from a pool, and promises order", BUSY),
    ),
    correct("busy-keys", BUSY),
    bug(
        "unclean-election",
        None,
        &["truncation", "lost-in-log"],
        ("none: the cluster elects a leader that lacks acknowledged records", ALONE),
    ),
    Expected {
        words: ("none: the correct application, and a cluster that does not", ALONE),
        ..correct("clean-election", ALONE)
    },
];

impl Expected {
    fn name(&self) -> String {
        let defect = self.defect.and_then(|defect| Defect::ALL.iter().find(|(_, known)| *known == defect));
        defect.map_or(self.file.to_owned(), |(word, _)| format!("{}+{word}", self.file))
    }
}

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bench = Bench::new();
    let ignored = bench.ignores_containers();
    let mut trials: Vec<Trial> = EXPECTED
        .iter()
        .map(|expected| {
            let bench = bench.clone();
            Trial::test(format!("{}::containers", expected.name()), move || caught(&bench, expected))
                .with_ignored_flag(ignored)
        })
        .collect();
    trials.push(Trial::test("the_tables_in_the_docs_are_current", tables_are_current));
    let conclusion = libtest_mimic::run(&arguments, trials);
    bench.close();
    conclusion.exit_code()
}

fn caught(bench: &Bench, expected: &Expected) -> Result<(), Failed> {
    let file = PathBuf::from(format!("tests/broken/{}.toml", expected.file));
    let mut plan = scenario::load(&file).map_err(|invalid| Failed::from(invalid.render(false)))?;
    if let Some(defect) = expected.defect {
        plan.subject.defect = Some(defect);
        plan.name = expected.name();
    }
    let outcome = bench.run(file, plan, BackendKind::Containers).map_err(Failed::from)?;
    let result = &outcome.result;
    let named = expected.reasons.iter().all(|code| result.reasons.iter().any(|reason| reason.code == *code));
    if result.verdict == expected.verdict && named {
        return Ok(());
    }
    let block = report::scenario_block(result, &outcome.folder.display().to_string());
    Err(format!("expected {} for {:?}, got:\n{block}", expected.verdict, expected.reasons).into())
}

/// Where the tables stand. Set `SEAWORTHY_UPDATE_DOCS` to write them anew.
const DOCS: &str = "docs/oracle.md";

fn tables_are_current() -> Result<(), Failed> {
    let old = std::fs::read_to_string(DOCS)?;
    let new = with_table(&old, "broken", &broken_table())?;
    let new = with_table(&new, "claims", &claims_table())?;
    if std::env::var_os("SEAWORTHY_UPDATE_DOCS").is_some() {
        std::fs::write(DOCS, &new)?;
        return Ok(());
    }
    if new == old { Ok(()) } else { Err(format!("{DOCS} is out of date: run with SEAWORTHY_UPDATE_DOCS=1").into()) }
}

fn with_table(text: &str, name: &str, table: &str) -> Result<String, Failed> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let missing = || Failed::from(format!("{DOCS} has no table `{name}`"));
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

fn broken_table() -> String {
    let mut table = "| bug | fault that exposes it | caught as | verdict |\n|---|---|---|---|\n".to_owned();
    for expected in EXPECTED {
        let reasons: Vec<String> = expected.reasons.iter().map(|reason| format!("`{reason}`")).collect();
        let reason = if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") };
        let (bug, fault) = expected.words;
        table.push_str(&format!("| {bug} | {fault} | {reason} | {} |\n", expected.verdict));
    }
    table
}

fn claims_table() -> String {
    let mut table = "| anomaly | claim that it breaks |\n|---|---|\n".to_owned();
    for checker in CHECKERS {
        table.push_str(&format!("| `{}` | {} |\n", checker.name, checker.claim));
    }
    table
}
