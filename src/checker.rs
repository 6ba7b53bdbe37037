//! Integrity: was every acknowledged record served, once, in order?
//!
//! Owns the claims, one pure file each, and the [`Ledger`] that they all read. Must not know a cluster, a client or
//! a clock: a checker sees a [`Case`] and nothing else. Each checker's page states its claim, its method and what it
//! cannot see.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::history::{History, Promises};
use crate::ledger::{Actor, Fate, Leap, Ledger, Letter, Place, Row, Sent, Tp};
use crate::plan::Plan;
use crate::recovery::{Analysis, Bite, Marks, bites};

mod example;
mod page;

mod baseline_unhealthy;
mod commit_ahead;
mod commit_regression;
mod dead_letter_incomplete;
mod double_handled;
mod duplicate_effect;
mod duplicate_in_log;
mod failed_but_present;
mod fault_without_effect;
mod filtered_but_served;
mod final_read_truncated;
mod heal_unconfirmed;
mod history_truncated;
mod inconsistent_offset;
mod lost_in_app;
mod lost_in_log;
mod no_traffic;
mod nonmonotonic_poll;
mod poll_skip;
mod redelivered;
mod reordered;
mod reordered_in_log;
mod truncation;
mod undetermined;
mod unexpected;
mod wrongly_dead_lettered;

#[cfg(test)]
mod example_stories;
#[cfg(test)]
mod group_stories;
#[cfg(test)]
mod output_stories;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod stories;

pub use page::page;
pub use truncation::HIGH_WATERMARK;

/// A claim and how it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    /// The anomaly's name.
    pub name: &'static str,
    /// The claim in one sentence, for `explain` and for reports.
    pub claim: &'static str,
    pub(crate) check: fn(&Case<'_>) -> Finding,
}

/// All claims, in the order of reports: broken promises first, then what is counted, then the run's own doubts.
pub static CHECKERS: &[Checker] = &[
    lost_in_log::CHECKER,
    lost_in_app::CHECKER,
    undetermined::CHECKER,
    unexpected::CHECKER,
    filtered_but_served::CHECKER,
    failed_but_present::CHECKER,
    inconsistent_offset::CHECKER,
    truncation::CHECKER,
    poll_skip::CHECKER,
    duplicate_in_log::CHECKER,
    duplicate_effect::CHECKER,
    redelivered::CHECKER,
    double_handled::CHECKER,
    reordered::CHECKER,
    reordered_in_log::CHECKER,
    nonmonotonic_poll::CHECKER,
    commit_regression::CHECKER,
    commit_ahead::CHECKER,
    wrongly_dead_lettered::CHECKER,
    dead_letter_incomplete::CHECKER,
    no_traffic::CHECKER,
    baseline_unhealthy::CHECKER,
    fault_without_effect::CHECKER,
    heal_unconfirmed::CHECKER,
    final_read_truncated::CHECKER,
    history_truncated::CHECKER,
];

/// Everything that a checker may look at.
#[derive(Debug)]
pub struct Case<'h> {
    pub history: &'h History,
    pub plan: Option<&'h Plan>,
    pub promises: Promises,
    pub ledger: Ledger,
    pub marks: Marks,
    /// `None`: the history has no plan.
    pub analysis: Option<Analysis>,
    /// For each of the marks' rounds, whether it bit; empty without a plan.
    pub bites: Vec<Bite>,
    /// Acknowledged records that are lost, in the log and in the application.
    pub lost: u64,
}

impl<'h> Case<'h> {
    /// Where effects show, in words.
    fn sink(&self) -> String {
        const TOPIC: &str = "the output topic";
        self.plan.map_or(TOPIC.to_owned(), |plan| plan.subject.sink().words(TOPIC))
    }

    /// Prepares a history for checking: its ledger, its marks, its scopes.
    pub fn of(history: &'h History) -> Self {
        Self::with(history, Ledger::of(history))
    }

    /// The same where the ledger was made while the history was read.
    pub fn with(history: &'h History, ledger: Ledger) -> Self {
        let marks = Marks::of(history, ledger.last);
        let analysis = Analysis::of(history, &ledger, &marks);
        let bites = analysis.as_ref().map_or(Vec::new(), |analysis| bites(history, &ledger, analysis));
        let lost = ledger.fates().filter(|(_, fate)| matches!(fate, Fate::LostInLog | Fate::LostInApp)).count() as u64;
        let plan = history.header.plan.as_deref();
        Self { history, plan, promises: history.header.promises, ledger, marks, analysis, bites, lost }
    }

    /// Acknowledged records that the application left out, and was to leave out.
    pub(crate) fn filtered(&self) -> u64 {
        let left_out = |row: &Row<'_>| row.filtered() && row.oks() > 0 && self.ledger.fate(*row) == Fate::Filtered;
        self.ledger.rows().filter(left_out).count() as u64
    }

    /// How a lost record weighs: fatal, unless the budget allows as many.
    fn loss(&self) -> Severity {
        match self.plan {
            Some(plan) if self.lost <= plan.budget.lost => Severity::Counted,
            _ => Severity::Fatal,
        }
    }

    /// Labels of the faults in force at `t`.
    fn faults_at(&self, t: Option<Nanos>) -> Vec<String> {
        t.map_or(Vec::new(), |t| self.marks.in_force(t))
    }
}

/// Runs every checker. One that panics is a doubt with its message, not the end of the others.
pub fn check(case: &Case<'_>) -> Vec<Finding> {
    CHECKERS.iter().map(|checker| run(checker, case)).collect()
}

fn run(checker: &Checker, case: &Case<'_>) -> Finding {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (checker.check)(case)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let message = format!("the checker panicked: {}", text.unwrap_or("without a message"));
        Finding::new(checker.name, 1, Severity::Inconclusive, message, Vec::new())
    })
}

/// How many examples a finding carries.
const EXAMPLES: usize = 5;

/// How a finding weighs on the verdict when its count is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Reported, budgeted, no verdict of its own.
    Counted,
    /// The run could not show what it was made to show.
    Inconclusive,
    /// A broken promise.
    Fatal,
}

/// What a checker found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// The anomaly's name, one of [`CHECKERS`].
    pub kind: String,
    /// The exact total; the examples are a selection.
    pub count: u64,
    /// `severity` is [`Severity::Fatal`].
    pub fatal: bool,
    pub severity: Severity,
    /// One sentence with the number.
    pub message: String,
    pub examples: Vec<Example>,
}

impl Finding {
    fn new(kind: &str, count: u64, severity: Severity, message: impl Into<String>, examples: Vec<Example>) -> Self {
        let fatal = severity == Severity::Fatal;
        Self { kind: kind.to_owned(), count, fatal, severity, message: message.into(), examples }
    }

    /// Something was found.
    pub fn found(&self) -> bool {
        self.count > 0
    }
}

/// One case of an anomaly: enough to look for it in the logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Example {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Topic partition, `topic/number`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<i64>,
    /// When the record was due to be sent, seconds since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_s: Option<f64>,
    /// When the broker's acknowledgement came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked_s: Option<f64>,
    /// Labels of the faults in force when it was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What makes it telling.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_that_panics_is_inconclusive_with_its_message() {
        let broken = Checker { name: "broken", claim: "", check: |_| panic!("row {} of 3", 7) };
        let story = crate::history::story::Story::new();
        let finding = run(&broken, &Case::of(&story.history()));
        assert_eq!((finding.count, finding.severity), (1, Severity::Inconclusive));
        assert_eq!(finding.message, "the checker panicked: row 7 of 3");
    }

    #[test]
    fn every_claim_has_its_own_name() {
        let mut names: Vec<&str> = CHECKERS.iter().map(|checker| checker.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKERS.len());
    }

    #[test]
    fn left_out_are_those_that_were_acknowledged_and_lack_nothing_but_an_effect() {
        use crate::history::story::{Story, owing};
        let drop = |story: Story, id: &str, key: &str| story.invoke_as(id, 0, key, None, false);
        let story = drop(Story::new(), "1", "d").ok("1", 0).log("1", 0);
        let story = drop(story, "2", "d").info("2").log("2", 1);
        let story = drop(story, "3", "d").ok("3", 2);
        let story = drop(story, "4", "d").ok("4", 3).log("4", 3).effect("4", 0);
        let story = drop(story, "5", "k").ok("5", 4).log("5", 4).effect("5", 1);
        let story = drop(story, "6", "k").info("6").log("6", 5).end();
        let history = story.planned(owing(1, &["d"])).history();
        assert_eq!(Case::of(&history).filtered(), 1);
    }
}
