//! From a history to a verdict: checkers and recovery measurement, then budgets and expectations, then the worst of
//! them. Pure: the same history always gives the same judgement, on any machine, years later.
//!
//! Owns the verdict and its reasons. Must not know how a claim is checked or a time measured.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::{self, BudgetRow, Counts};
use crate::checker::{self, Case, Finding, Severity};
use crate::clock::seconds;
use crate::history::{History, Op};
use crate::ledger::{Ledger, Sent};
use crate::plan::Since;
use crate::recovery::{self, FaultRow, Recovery};
use crate::verdict::{Reason, Verdict};

mod expect;

/// Everything that was decided about one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Why it is not a pass; the worst first. Empty for a pass.
    pub reasons: Vec<Reason>,
    pub integrity: Integrity,
    /// `None`: the history has no plan.
    pub recovery: Option<Recovery>,
    pub budgets: Vec<BudgetRow>,
    pub faults: Vec<FaultRow>,
    pub phases: Vec<PhaseRow>,
    pub components: Components,
    /// When the last event was, seconds since the start.
    pub duration_s: f64,
}

/// The counts of the first promise. A count that was not reached by the final read is in `undetermined`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Integrity {
    /// Distinct records that a send was begun for.
    pub attempted: u64,
    pub acked: u64,
    pub indeterminate: u64,
    pub failed: u64,
    /// Deliveries to members, every one counted. 0 where the subject does not report them.
    pub delivered: u64,
    /// Distinct records found in the dead-letter topic.
    pub dead_lettered: u64,
    /// `lost_in_log + lost_in_app`.
    pub lost: u64,
    pub lost_in_log: u64,
    pub lost_in_app: u64,
    pub undetermined: u64,
    pub duplicates_in_log: u64,
    pub duplicate_effects: u64,
    pub redelivered: u64,
    pub reordered: u64,
    pub unexpected: u64,
    /// Good records in the dead-letter topic: what the budget `dead-lettered` limits.
    #[serde(default)]
    pub wrongly_dead_lettered: u64,
    /// Distinct records with an effect.
    #[serde(default)]
    pub effects: u64,
    /// Acknowledged records that the application left out, as the scenario's `drops` say.
    #[serde(default)]
    pub filtered: u64,
    /// Every finding whose count is not 0, in the order of the checkers.
    pub anomalies: Vec<Finding>,
}

/// A phase of the run, in seconds since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PhaseRow {
    pub name: String,
    pub start_s: f64,
    pub end_s: f64,
}

/// What the subject's own resilience components reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Components {
    pub retry: RetryReport,
    pub breaker: BreakerReport,
    pub dlq: DlqReport,
    pub alerts: Vec<SignalRow>,
    /// The last metrics that each actor reported.
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// Metrics of an application of one's own that the scenario names, by name and member.
    pub signals: Vec<WatchedRow>,
}

/// The values of one named metric of one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WatchedRow {
    pub name: String,
    pub actor: String,
    pub least: f64,
    pub greatest: f64,
    pub last: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct RetryReport {
    /// Signals named `retry`. 0 where the subject does not report them.
    pub retries: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct BreakerReport {
    pub transitions: Vec<SignalRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct DlqReport {
    /// Records in the dead-letter topic, every one counted.
    pub records: u64,
    /// Those that lack a header which the subject's convention promises.
    pub incomplete: u64,
    /// How many name each class of errors. Empty where the subject's convention has no header for it.
    pub error_classes: BTreeMap<String, u64>,
}

/// One sign of life of a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SignalRow {
    pub t_s: f64,
    pub actor: Option<String>,
    pub value: serde_json::Value,
}

/// Judges a history. Never fails: what cannot be decided is a reason to be inconclusive.
pub fn judge(history: &History) -> Judgement {
    judge_case(&Case::of(history))
}

/// The same of a history that was read into its ledger.
pub fn judge_ledger(history: &History, ledger: Ledger) -> Judgement {
    judge_case(&Case::with(history, ledger))
}

/// The same of what was prepared.
pub fn judge_case(case: &Case<'_>) -> Judgement {
    let history = case.history;
    let findings = checker::check(case);
    let integrity = integrity(case, &findings);
    let analysis = case.analysis.as_ref();
    // Budgets ask for the same few zeros again and again.
    let known: RefCell<Vec<(Option<Since>, Recovery)>> = RefCell::default();
    let measure = |since| {
        let analysis = analysis?;
        let same = |(other, recovery): &(_, Recovery)| (*other == since).then(|| recovery.clone());
        if let Some(recovery) = known.borrow().iter().find_map(same) {
            return Some(recovery);
        }
        let recovery = recovery::measure_since(history, &case.ledger, analysis, since);
        known.borrow_mut().push((since, recovery.clone()));
        Some(recovery)
    };
    let since = case.plan.and_then(|plan| plan.budget.recovery?.since);
    let recovery = measure(since).map(|main| {
        let ttr = |since| if case.marks.rounds.is_empty() { None } else { measure(Some(since)).and_then(|r| r.ttr_s) };
        Recovery { ttr_since_inject_s: ttr(Since::Inject), ttr_since_heal_s: ttr(Since::Heal), ..main }
    });
    let observed = case.marks.end.is_some() && case.marks.rounds.iter().all(|round| round.zero().is_some());
    let budgets = case.plan.map_or(Vec::new(), |plan| {
        let counts = Counts {
            lost: integrity.lost,
            undetermined: integrity.undetermined,
            duplicates: integrity.duplicates_in_log.max(integrity.duplicate_effects),
            redelivered: integrity.redelivered,
            reordered: integrity.reordered,
            dead_lettered: integrity.wrongly_dead_lettered,
        };
        budget::hold(&plan.budget, counts, observed, measure)
    });
    let components = components(case);
    let mut reasons = reasons(&findings, &budgets);
    reasons.extend(case.plan.into_iter().flat_map(|plan| expect::missed(&plan.expect, &integrity, &components)));
    reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    Judgement {
        verdict: reasons.first().map_or(Verdict::Pass, |(verdict, _)| *verdict),
        reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
        integrity,
        recovery,
        budgets,
        faults: recovery::fault_rows(&case.marks, &case.bites, case.plan),
        phases: phases(case),
        components,
        duration_s: seconds(case.ledger.last),
    }
}

/// What speaks against a pass, in the order of checkers and budgets.
fn reasons(findings: &[Finding], budgets: &[BudgetRow]) -> Vec<(Verdict, Reason)> {
    let mut reasons = Vec::new();
    for finding in findings.iter().filter(|finding| finding.found()) {
        let verdict = match finding.severity {
            Severity::Fatal => Verdict::Fail,
            Severity::Inconclusive => Verdict::Inconclusive,
            Severity::Counted => continue,
        };
        reasons.push((verdict, Reason { code: finding.kind.clone(), message: finding.message.clone() }));
    }
    // A loss over its budget is a fatal finding already, an open fate a doubt.
    for row in budgets.iter().filter(|row| !row.met && row.metric != "lost") {
        let verdict = if row.undecided { Verdict::Inconclusive } else { Verdict::Fail };
        reasons.push((verdict, Reason { code: row.metric.clone(), message: row.sentence() }));
    }
    reasons
}

fn integrity(case: &Case<'_>, findings: &[Finding]) -> Integrity {
    let count = |kind: &str| findings.iter().find(|finding| finding.kind == kind).map_or(0, |finding| finding.count);
    let rows = || case.ledger.rows();
    let sent = |sent: Sent| rows().filter(|row| row.sent() == sent).count() as u64;
    Integrity {
        attempted: case.ledger.len() as u64 - sent(Sent::Never),
        acked: sent(Sent::Acked),
        indeterminate: sent(Sent::Indeterminate),
        failed: sent(Sent::Failed),
        delivered: case.ledger.delivered,
        dead_lettered: rows().filter(|row| row.dead_letters() > 0).count() as u64,
        lost: count("lost-in-log") + count("lost-in-app"),
        lost_in_log: count("lost-in-log"),
        lost_in_app: count("lost-in-app"),
        undetermined: count("undetermined"),
        duplicates_in_log: count("duplicate-in-log"),
        duplicate_effects: count("duplicate-effect"),
        redelivered: count("redelivered"),
        reordered: count("reordered"),
        unexpected: count("unexpected"),
        wrongly_dead_lettered: count("wrongly-dead-lettered"),
        effects: rows().filter(|row| row.effects() > 0).count() as u64,
        filtered: case.filtered(),
        anomalies: findings.iter().filter(|finding| finding.found()).cloned().collect(),
    }
}

fn phases(case: &Case<'_>) -> Vec<PhaseRow> {
    let row = |phase: &recovery::Phase| PhaseRow {
        name: phase.name.clone(),
        start_s: seconds(phase.start),
        end_s: seconds(phase.end),
    };
    case.marks.phases.iter().map(row).collect()
}

fn components(case: &Case<'_>) -> Components {
    let mut components = Components::default();
    for event in &case.history.events {
        let Op::Signal { name, value } = &event.op else { continue };
        let row = || SignalRow { t_s: seconds(event.t), actor: event.actor.clone(), value: value.clone() };
        match name.as_str() {
            "retry" => components.retry.retries += 1,
            "breaker" => components.breaker.transitions.push(row()),
            "alert" => components.alerts.push(row()),
            "metrics" => {
                let actor = event.actor.clone().unwrap_or_default();
                components.metrics.insert(actor, value.clone());
            }
            _ => {
                if let Some((name, value)) = event.op.as_metric() {
                    watched(&mut components.signals, event.actor.as_deref().unwrap_or_default(), name, value);
                }
            }
        }
    }
    components.signals.sort_by(|a, b| (&a.name, &a.actor).cmp(&(&b.name, &b.actor)));
    components.dlq.error_classes = case.ledger.error_classes();
    components.dlq.records = case.ledger.letters.len() as u64;
    components.dlq.incomplete = case.ledger.letters.iter().filter(|letter| !letter.complete).count() as u64;
    components
}

fn watched(rows: &mut Vec<WatchedRow>, actor: &str, name: &str, value: f64) {
    match rows.iter_mut().find(|row| row.name == name && row.actor == actor) {
        Some(row) => {
            (row.least, row.greatest, row.last) = (row.least.min(value), row.greatest.max(value), value);
        }
        None => {
            let (name, actor) = (name.to_owned(), actor.to_owned());
            rows.push(WatchedRow { name, actor, least: value, greatest: value, last: value });
        }
    }
}

#[cfg(test)]
mod edges;
#[cfg(test)]
mod recoveries;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod streamed;
