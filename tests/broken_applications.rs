//! Deliberately broken applications are caught, each by the checker that names its bug, and the correct one passes the
//! same storm beside them. A harness whose checks cannot fail proves nothing.

use std::path::PathBuf;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::plan::BackendKind;
use seaworthy::testing::{self, Bench};
use seaworthy::verdict::Verdict;
use seaworthy::{report, scenario};

struct Expected {
    file: &'static str,
    verdict: Verdict,
    /// The anomaly or doubt that must be named among the verdict's reasons.
    reason: Option<&'static str>,
}

const EXPECTED: &[Expected] = &[
    Expected { file: "commit-before-processing", verdict: Verdict::Fail, reason: Some("lost-in-app") },
    Expected { file: "drop-on-exhaustion", verdict: Verdict::Fail, reason: Some("lost-in-app") },
    Expected { file: "unawaited-dead-letter", verdict: Verdict::Fail, reason: Some("lost-in-app") },
    Expected { file: "awaited-dead-letter", verdict: Verdict::Pass, reason: None },
    Expected { file: "acks-zero", verdict: Verdict::Fail, reason: Some("lost-in-log") },
    Expected { file: "fault-without-effect", verdict: Verdict::Inconclusive, reason: Some("fault-without-effect") },
];

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let bench = Bench::new();
    let ignored = bench.ignores_containers();
    let trials = EXPECTED
        .iter()
        .map(|expected| {
            let bench = bench.clone();
            Trial::test(format!("{}::containers", expected.file), move || caught(&bench, expected))
                .with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    bench.close();
    conclusion.exit_code()
}

fn caught(bench: &Bench, expected: &Expected) -> Result<(), Failed> {
    let file = PathBuf::from(format!("tests/broken/{}.toml", expected.file));
    let plan = scenario::load(&file).map_err(|invalid| Failed::from(invalid.render(false)))?;
    let outcome = bench.run(file, plan, BackendKind::Containers).map_err(Failed::from)?;
    let result = &outcome.result;
    let named = expected.reason.is_none_or(|code| result.reasons.iter().any(|reason| reason.code == code));
    if result.verdict == expected.verdict && named {
        return Ok(());
    }
    let block = report::scenario_block(result, &outcome.folder.display().to_string());
    Err(format!("expected {} for {:?}, got:\n{block}", expected.verdict, expected.reason).into())
}
