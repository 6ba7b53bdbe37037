//! Did the fault bite? A fault that nobody felt proves nothing about recovery.

use super::analysis::Analysis;
use super::health::MILLISECOND;
use super::marks::Round;
use super::signals::signals;
use crate::clock::Nanos;
use crate::history::{Event, History, Op as HistoryOp};
use crate::ledger::Ledger;
use crate::plan::{Between, Direction, FaultKind, MemberAction, Plan};

/// The proof that one injection had an effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bite {
    /// Operations that were slow or failed in affected scopes while the fault was in force, and good records that were
    /// dead-lettered; for poison, its dead letters.
    pub ops_affected: u64,
    /// Other traces: signals, reassignments, dead letters.
    pub traces: Vec<String>,
    /// Why it does not count as having bitten; `None`: it did.
    pub doubt: Option<String>,
}

/// What must be seen of a fault besides its own confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Nothing: its probe saw all that there is to see.
    Confirmation,
    /// Slow or failed operations, or a component's or the cluster's signal.
    Disturbance,
    /// Dead letters of poison records that were sent meanwhile.
    Poison,
}

/// For each round, whether it bit.
pub fn bites(history: &History, ledger: &Ledger, analysis: &Analysis) -> Vec<Bite> {
    let plan = history.header.plan.as_deref();
    analysis.marks.rounds.iter().map(|round| bite(history, ledger, analysis, round, plan)).collect()
}

fn bite(history: &History, ledger: &Ledger, analysis: &Analysis, round: &Round, plan: Option<&Plan>) -> Bite {
    let mut bite = Bite::default();
    let Some(from) = round.inject else {
        bite.doubt = Some("it was never injected".to_owned());
        return bite;
    };
    // A kill has no end: its harm shows within the first seconds.
    let until = round.end().unwrap_or(from + 15_000 * MILLISECOND).min(analysis.end).max(from);
    let sent = |due: Option<Nanos>| due.is_some_and(|due| (from..=until).contains(&due));
    let given_up = ledger.rows().filter(|row| row.dead_letters() > 0 && !row.poison() && sent(row.due())).count();
    bite.ops_affected = ops_affected(ledger, analysis, round, from, until) + given_up as u64;
    bite.traces = traces(history, ledger, from, until);
    let Some(_) = round.confirmed else {
        let why = round.error.as_deref().map_or(String::new(), |error| format!(": {error}"));
        bite.doubt = Some(format!("it was never confirmed in effect{why}"));
        return bite;
    };
    let owed = owed(round, plan);
    bite.doubt = match owed {
        Owed::Confirmation => None,
        Owed::Disturbance if bite.ops_affected > 0 || !bite.traces.is_empty() => None,
        Owed::Disturbance => Some("no operation was slow or failed while it was in force".to_owned()),
        Owed::Poison => {
            let poisoned = ledger.rows().filter(|row| row.poison() && sent(row.due()));
            let (all, dead) = poisoned.fold((0, 0), |(n, d), row| (n + 1, d + u64::from(row.dead_letters() > 0)));
            bite.ops_affected = dead;
            (dead == 0).then(|| format!("none of {all} poison records that were sent meanwhile was dead-lettered"))
        }
    };
    bite
}

fn owed(round: &Round, plan: Option<&Plan>) -> Owed {
    if round.affected.as_ref().is_some_and(Vec::is_empty) {
        return Owed::Confirmation;
    }
    let Some(kind) = round.planned.and_then(|at| plan?.faults.get(at)).map(|fault| &fault.kind) else {
        return match round.kind.as_str() {
            "network" | "slow-network" | "kill" | "stop" | "pause" | "handler-errors" => Owed::Disturbance,
            "poison" => Owed::Poison,
            _ => Owed::Confirmation,
        };
    };
    match kind {
        FaultKind::Network { between: Between::ClientsBrokers, direction: Direction::Both, .. }
        | FaultKind::SlowNetwork { .. }
        | FaultKind::Kill { .. }
        | FaultKind::Stop { .. }
        | FaultKind::Pause { .. }
        | FaultKind::HandlerErrors { .. } => Owed::Disturbance,
        FaultKind::Member { action, .. } => match action {
            MemberAction::Crash | MemberAction::Stop | MemberAction::Pause | MemberAction::Leave => Owed::Disturbance,
            MemberAction::Join => Owed::Confirmation,
        },
        FaultKind::Poison { .. } => Owed::Poison,
        FaultKind::Network { .. }
        | FaultKind::RollingRestart { .. }
        | FaultKind::MoveLeader { .. }
        | FaultKind::BrokerErrors { .. }
        | FaultKind::DeadLetterTopic { .. } => Owed::Confirmation,
    }
}

/// Operations that were under way in `from..until` and took more than twice the baseline's p99 (10 ms at least), or
/// never succeeded. Finer than the limit of health: a slow network need not make service unhealthy to be felt.
fn ops_affected(ledger: &Ledger, analysis: &Analysis, round: &Round, from: Nanos, until: Nanos) -> u64 {
    let mut count = 0;
    for scope in analysis.affected(Some(round)) {
        let slow = scope.baseline_p99.map_or(scope.limit, |p99| (2 * p99).max(10 * MILLISECOND));
        let due = scope.track.ops(ledger).take_while(|op| op.due < until);
        let felt = due.filter(|op| op.done.is_none_or(|done| done > from) && !op.on_time(slow));
        count += felt.count() as u64;
    }
    count
}

/// Signals and reassignments in `from..until`, each kind with its number.
fn traces(history: &History, ledger: &Ledger, from: Nanos, until: Nanos) -> Vec<String> {
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    let assigned = |event: &Event| matches!(event.op, HistoryOp::Assign { .. });
    let assigns = history.events.iter().filter(|event| assigned(event)).map(|event| (event.t, "assigned"));
    let all = signals(history, ledger).into_iter().map(|signal| (signal.t, signal.kind)).chain(assigns);
    for (_, kind) in all.filter(|(t, _)| (from..=until).contains(t)) {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect()
}
