//! Rules about budgets and expectations: they can be kept, they can be broken, and they can be measured.

use super::{Rules, text};
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{
    FaultKind, FaultPlan, HandlerError, HeaderConvention, Limit, MemberAction, MemberSelector, Since, Target, Timeline,
    floors,
};
use crate::scenario::raw::least_observation;

pub(super) fn check(rules: &Rules) {
    lost(rules);
    without_fault(rules);
    since_heal(rules);
    below_floor(rules);
    observation(rules);
    progress(rules);
    recovery_possible(rules);
    expectations(rules);
}

/// No more can come through than is sent.
fn progress(rules: &Rules) {
    let plan = rules.plan;
    let Some(least) = plan.budget.progress_during_fault else { return };
    if plan.faults.is_empty() || !rules.trusts(&["fault", "workload.rate", "topic.partitions", "budget"]) {
        return;
    }
    let stops = Timeline::of(plan).load_stops;
    let held = |fault: &FaultPlan| fault.lasts.or(fault.kind.restart_after()).unwrap_or(stops);
    let longest = plan.faults.iter().map(held).max().unwrap_or_default();
    let most = longest.as_secs_f64() * f64::from(plan.workload.rate) / f64::from(plan.topic.partitions.max(1));
    if least.records as f64 > most {
        rules.report(
            &rules.first_given("budget.progress-during-fault", &["records"]),
            Diagnostic::error(
                codes::PROGRESS_IMPOSSIBLE,
                format!("{} records cannot come through in one topic partition while the fault lasts", least.records),
            )
            .label(format!("expected at most {most:.0}"))
            .help("that is workload.rate × the longest fault ÷ topic.partitions: all that is sent there meanwhile"),
        );
    }
}

fn lost(rules: &Rules) {
    let budget = &rules.plan.budget;
    if !rules.trusts(&["budget.lost", "budget.because"]) {
        return;
    }
    let reason = budget.because.as_deref().is_some_and(|why| !why.trim().is_empty());
    if budget.lost > 0 && !reason {
        rules.report(
            "budget.lost",
            Diagnostic::error(
                codes::LOST_WITHOUT_BECAUSE,
                format!("{} acknowledged records may be lost, and nobody says why", budget.lost),
            )
            .label("expected 0, or a reason beside it")
            .help("add `because = \"…\"`: the sentence stands in every report"),
        );
    } else if budget.lost == 0 && budget.because.is_some() {
        rules.no_effect("budget.because", "no loss is permitted, so none needs a reason".into());
    }
}

/// The budgets that count from a fault's zero.
fn from_a_fault<'a>(rules: &'a Rules) -> impl Iterator<Item = (&'static str, Limit)> + use<'a> {
    let budget = &rules.plan.budget;
    [
        ("recovery", budget.recovery),
        ("first-success", budget.first_success),
        ("drain", budget.drain),
        ("detect", budget.detect),
    ]
    .into_iter()
    .filter_map(|(name, limit)| limit.map(|limit| (name, limit)))
}

fn without_fault(rules: &Rules) {
    // A fault that could not be read is a fault.
    if !rules.plan.faults.is_empty() || !rules.trusts(&["fault"]) {
        return;
    }
    let progress = rules.plan.budget.progress_during_fault.map(|_| "progress-during-fault");
    for name in from_a_fault(rules).map(|(name, _)| name).chain(progress) {
        rules.report(
            &format!("budget.{name}"),
            Diagnostic::error(codes::BUDGET_WITHOUT_FAULT, format!("`{name}` counts from a fault, and there is none"))
                .label("expected a [[fault]] in this scenario")
                .help("a control run has no faults and no such budgets"),
        );
    }
}

fn since_heal(rules: &Rules) {
    let faults = &rules.plan.faults;
    let healed = faults.iter().any(|f| f.lasts.or(f.kind.restart_after()).is_some());
    // A rolling restart's heal is its own end.
    let ends = |kind: &FaultKind| matches!(kind, FaultKind::RollingRestart { .. } | FaultKind::BrokerErrors { .. });
    if faults.is_empty() || !rules.trusts(&["fault"]) || healed || faults.iter().any(|f| ends(&f.kind)) {
        return;
    }
    for (name, limit) in from_a_fault(rules) {
        if limit.since == Some(Since::Heal) {
            rules.report(
                &format!("budget.{name}.since"),
                Diagnostic::error(
                    codes::SINCE_HEAL_WITHOUT_HEAL,
                    format!("`{name}` counts from the heal, and no fault is healed"),
                )
                .label("expected \"inject\"")
                .help("or give the fault an end: `lasts`, or `restart-after` of a broker"),
            );
        }
    }
}

fn below_floor(rules: &Rules) {
    let budget = &rules.plan.budget;
    if !rules.trusts(&["cluster", "topic.partitions", "topic.replication", "subject", "workload.producer"]) {
        return;
    }
    let floors = floors(rules.plan);
    for (name, limit) in
        [("recovery", budget.recovery), ("first-success", budget.first_success), ("outage", budget.outage)]
    {
        let Some(limit) = limit else { continue };
        // The highest floor says all: who clears it clears the others.
        let highest = floors.iter().filter(|f| f.of.budget() == name).max_by_key(|f| f.least);
        let Some(floor) = highest.filter(|floor| limit.within < floor.least) else { continue };
        let fault = &rules.plan.faults[floor.fault];
        if !rules.trusts(&[&rules.fault_path(floor.fault)]) {
            continue;
        }
        let counted = if name == "outage" { "" } else { ", counted from the injection" };
        let message = format!(
            "no application can keep `{name}` within {}{counted}: the least is {}",
            text(limit.within),
            text(floor.least)
        );
        let diagnostic = Diagnostic::error(codes::BUDGET_BELOW_FLOOR, message)
            .label(format!("expected at least {}", text(floor.least)))
            .help(format!("the least comes from {}; shorten that, or raise the budget", floor.sum));
        let place = rules.place(&rules.kind_path(floor.fault, fault));
        let path = rules.first_given(&format!("budget.{name}"), &["within"]);
        rules.report(&path, place.relate(diagnostic, "this fault sets it"));
    }
}

fn observation(rules: &Rules) {
    let watch = &rules.plan.observation;
    if !rules.trusts(&["budget.recovery", "observation"]) {
        return;
    }
    let Some(least) = least_observation(&rules.plan.budget, watch.hold) else { return };
    if watch.after < least {
        rules.report(
            "observation.after",
            Diagnostic::error(
                codes::OBSERVATION_TOO_SHORT,
                format!("{} are too short to judge the recovery budget by", text(watch.after)),
            )
            .label(format!("expected at least {}", text(least)))
            .help("that is the larger of twice the budget and budget + hold; without `after` it is chosen"),
        );
    }
}

/// Brokers and members that stay away for good leave enough behind.
fn recovery_possible(rules: &Rules) {
    let plan = rules.plan;
    if plan.budget.recovery.is_none()
        || !rules.trusts(&["cluster.brokers", "topic", "subject.members", "budget.recovery"])
    {
        return;
    }
    let brokers = i64::from(plan.cluster.brokers);
    for (index, fault) in plan.faults.iter().enumerate() {
        if fault.lasts.or(fault.kind.restart_after()).is_some() || !rules.trusts(&[&rules.fault_path(index)]) {
            continue;
        }
        let why = match &fault.kind {
            FaultKind::Kill { target, .. } | FaultKind::Stop { target, .. } => {
                let left = brokers
                    - match target {
                        Target::All => brokers,
                        Target::Majority => brokers / 2 + 1,
                        Target::Minority => (brokers - 1) / 2,
                        _ => 1,
                    };
                let (needed, replication) =
                    (i64::from(plan.topic.min_insync_replicas), i64::from(plan.topic.replication));
                if left <= brokers / 2 {
                    format!("{left} of {brokers} brokers left are no quorum")
                } else if replication == brokers && left < needed {
                    format!("{left} replicas left, and writes need {needed}")
                } else {
                    continue;
                }
            }
            FaultKind::Member { action, member, .. } => {
                let ends = matches!(action, MemberAction::Crash | MemberAction::Stop | MemberAction::Leave);
                let aimed = matches!(member, MemberSelector::Any | MemberSelector::Index(0));
                if !(ends && aimed && plan.subject.members == 1) {
                    continue;
                }
                "the only member never comes back".into()
            }
            _ => continue,
        };
        rules.report(
            &rules.kind_path(index, fault),
            Diagnostic::error(codes::RECOVERY_IMPOSSIBLE, format!("after this fault nothing can recover: {why}"))
                .label("expected `restart-after`, or more of them to begin with")
                .help("add `restart-after = \"12s\"`, or `lasts` beside `at`"),
        );
    }
}

/// Only what is certain: that nothing in the scenario can cause what is awaited.
fn expectations(rules: &Rules) {
    let plan = rules.plan;
    if !rules.trusts(&["fault", "expect", "workload", "subject.kind", "budget"]) {
        return;
    }
    let impossible = |path: &str, message: &str, help: &str| {
        rules.report(
            path,
            Diagnostic::error(codes::EXPECTATION_IMPOSSIBLE, message)
                .label("expected something that causes it")
                .help(help),
        );
    };
    let states = &plan.expect.breaker;
    if let Some(state) = states.iter().find(|state| matches!(state.as_str(), "forced-open" | "disabled")) {
        let message = format!("a breaker is `{state}` only when a program orders it, and none does in a run");
        impossible("expect.breaker", &message, "expect \"open\", \"half-open\" and \"closed\"");
    } else if states.iter().any(|state| matches!(state.as_str(), "open" | "half-open"))
        && !plan.faults.iter().any(|fault| trips(&fault.kind))
    {
        let help = "add a [[fault]], such as handler-errors = { rate = 1.0 } or a network cut; members that come and go, and bad \
                    records, do not count against a breaker";
        impossible("expect.breaker", "nothing in this scenario can open a circuit breaker", help);
    }
    if plan.expect.retries.is_some_and(|least| least > 0) && !plan.faults.iter().any(|fault| trips(&fault.kind)) {
        let help = "add a [[fault]], such as handler-errors = { rate = 0.5 }; a record that cannot be processed is not tried again";
        impossible("expect.retries", "nothing in this scenario can make a handler fail for a while", help);
    }
    let classes = &plan.expect.dead_letter_errors;
    let unknown = plan.subject.foreign.as_ref().is_some_and(|its| its.dead_letter_headers == HeaderConvention::None);
    if !classes.is_empty() && unknown {
        let help = "set [subject] dead-letter-headers, if the application writes any";
        impossible("expect.dead-letter-errors", "the application promises no headers that name an error's class", help);
    }
    let count = plan.expect.dead_letters.unwrap_or(0).max(classes.len().min(1) as u64);
    if count == 0 {
        return;
    }
    let path = if plan.expect.dead_letters.is_some() { "expect.dead-letters" } else { "expect.dead-letter-errors" };
    let group_only = plan.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Member { .. }));
    if group_only && plan.workload.poison == 0.0 {
        let help = "set [workload] poison, or add a [[fault]] with poison or handler-errors";
        impossible(path, "nothing in this scenario can make a dead letter", help);
        return;
    }
    let records = plan.load_time().as_secs_f64() * f64::from(plan.workload.rate);
    if count as f64 > records {
        let message = format!("{count} dead letters are expected of {records:.0} records");
        impossible(path, &message, "expect fewer, or raise [workload] rate");
    }
}

/// Can it count against a circuit breaker?
fn trips(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Member { .. } | FaultKind::Poison { .. } => false,
        // The record's fault, unless the call takes long enough to time out.
        FaultKind::HandlerErrors { error: HandlerError::Permanent, latency, .. } => !latency.is_zero(),
        _ => true,
    }
}
