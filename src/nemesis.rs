//! Walks the timeline: injects and heals each fault when it is due, and heals everything that is in effect when the
//! run ends early, whatever the reason.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Nanos;
use crate::fault::{self, FAULT_LIMIT, FaultError, Field, Held};
use crate::history::{Op, Recorder, Stage};
use crate::plan::{StepAction, Timeline};
use crate::rng::Rng;

/// One fault's hold, from injection to confirmed heal.
struct Hold {
    index: usize,
    round: u32,
    inject_at: Duration,
    heal_at: Duration,
}

/// Runs every fault of the plan on its own task; `zero` is the end of the baseline. Returns when all are healed. When
/// `cancel` fires, nothing new is injected and everything held is healed at once.
pub async fn walk(field: Arc<Field>, recorder: Recorder, seed: u64, zero: Nanos, cancel: CancellationToken) {
    let timeline = Timeline::of(&field.plan);
    let mut tasks = tokio::task::JoinSet::new();
    for step in timeline.steps.iter().filter(|s| s.action == StepAction::Inject) {
        let same = |s: &&crate::plan::Step| (s.fault, s.round, s.action) == (step.fault, step.round, StepAction::Heal);
        let heal_at = timeline.steps.iter().find(same).map_or(timeline.load_stops, |s| s.at);
        let hold = Hold { index: step.fault, round: step.round, inject_at: step.at, heal_at };
        tasks.spawn(run(hold, field.clone(), recorder.clone(), seed, zero, cancel.clone()));
    }
    let mut panicked = false;
    while let Some(ended) = tasks.join_next().await {
        if let Err(panic) = ended {
            tracing::error!(%panic, "a fault's task panicked; everything that it may hold is healed");
            panicked = true;
        }
    }
    // Only now: the other faults' own times were kept.
    if panicked {
        fault::heal_everything(&field).await;
    }
}

async fn run(hold: Hold, field: Arc<Field>, recorder: Recorder, seed: u64, zero: Nanos, cancel: CancellationToken) {
    let fault = &field.plan.faults[hold.index];
    let rounds = fault.repeat.map_or(1, |r| r.times);
    let label = if rounds > 1 { format!("{}#{}", fault.label, hold.round + 1) } else { fault.label.clone() };
    let mark_at = |at: Nanos, stage: Stage, resolved: Option<&str>, held: Option<&Held>, evidence, error| {
        let op = Op::Fault {
            r#type: stage,
            label: label.clone(),
            kind: Some(fault.kind.name().to_owned()),
            resolved: resolved.map(str::to_owned),
            affected: held.and_then(|h| h.affected.clone()),
            evidence,
            error,
        };
        let (said, whom) = (serde_json::json!(stage), resolved.unwrap_or("nobody"));
        field.subject.mark(&format!("fault {label}: {} ({whom})", said.as_str().unwrap_or_default()));
        recorder.record_at(at, None, op);
    };
    let clock = recorder.clock();
    let mark = |stage, resolved, held, evidence, error| mark_at(clock.now(), stage, resolved, held, evidence, error);
    if !sleep_until(zero, hold.inject_at, &recorder, &cancel).await {
        return;
    }
    let mut rng = Rng::fork(seed, &format!("target {label}"));
    let resolved = match bounded(fault::resolve_patiently(&fault.kind, &field, &mut rng)).await {
        Ok(resolved) => resolved,
        Err(error) => return mark(Stage::Failed, None, None, None, Some(format!("target: {error}"))),
    };
    mark(Stage::Inject, Some(&resolved.name), None, None, None);
    let held = match bounded(fault::inject(&fault.kind, &resolved, &field)).await {
        Ok(held) => held,
        Err(error) => {
            mark(Stage::Failed, Some(&resolved.name), None, None, Some(format!("injection: {error}")));
            // Half an injection may be in effect.
            fault::undo_partial(&fault.kind, &resolved, &field).await;
            return;
        }
    };
    let evidence = Some(held.evidence.clone());
    mark_at(held.confirmed_at, Stage::Confirmed, Some(&held.resolved), Some(&held), evidence, None);
    if !held.heals() {
        return;
    }
    sleep_until(zero, hold.heal_at, &recorder, &cancel).await;
    mark(Stage::Heal, Some(&held.resolved), Some(&held), None, None);
    let healed = async {
        bounded(fault::heal(&held, &field)).await?;
        bounded(fault::confirm_healed(&held, &field)).await
    };
    match healed.await {
        Ok(evidence) => mark(Stage::Healed, Some(&held.resolved), Some(&held), Some(evidence), None),
        Err(error) => {
            mark(Stage::Failed, Some(&held.resolved), Some(&held), None, Some(format!("heal: {error}")));
        }
    }
}

/// False: cancelled meanwhile.
async fn sleep_until(zero: Nanos, at: Duration, recorder: &Recorder, cancel: &CancellationToken) -> bool {
    let due = zero + at.as_nanos() as u64;
    let left = Duration::from_nanos(due.saturating_sub(recorder.clock().now()));
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(left) => true,
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, FaultError>>) -> Result<T, FaultError> {
    match tokio::time::timeout(FAULT_LIMIT, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(FaultError::TooLong(FAULT_LIMIT)),
    }
}
