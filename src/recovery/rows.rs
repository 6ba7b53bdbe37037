//! The faults of a run as rows of its result.

use super::bite::Bite;
use super::marks::{Marks, Round};
use super::{FaultEffect, FaultRow};
use crate::clock::seconds;
use crate::plan::{FaultKind, MemberSelector, Plan};

/// A row an injection, in order. `bites` may be empty: then only the confirmation's own evidence is shown.
pub fn fault_rows(marks: &Marks, bites: &[Bite], plan: Option<&Plan>) -> Vec<FaultRow> {
    let row = |(at, round): (usize, &Round)| FaultRow {
        label: round.label.clone(),
        kind: round.kind.clone(),
        target: round.planned.and_then(|at| plan?.faults.get(at)).and_then(|fault| target(&fault.kind)),
        resolved: round.resolved.clone(),
        inject_s: round.inject.map(seconds),
        confirmed_s: round.confirmed.map(seconds),
        heal_s: round.heal.map(seconds),
        healed_s: round.healed.map(seconds),
        effect: effect(round, bites.get(at)),
    };
    marks.rounds.iter().enumerate().map(row).collect()
}

fn effect(round: &Round, bite: Option<&Bite>) -> FaultEffect {
    let mut evidence: Vec<String> = round.evidence.iter().cloned().collect();
    evidence.extend(bite.into_iter().flat_map(|bite| bite.traces.iter().cloned()));
    FaultEffect {
        evidence: (!evidence.is_empty()).then(|| evidence.join("; ")),
        ops_affected: bite.map_or(0, |bite| bite.ops_affected),
    }
}

/// As the scenario names it.
fn target(kind: &FaultKind) -> Option<String> {
    match kind {
        FaultKind::Member { member: MemberSelector::Any, .. } => Some("any member".to_owned()),
        FaultKind::Member { member: MemberSelector::Index(index), .. } => Some(format!("member {index}")),
        FaultKind::MoveLeader { topic_partition, .. } => Some(format!("leader of {topic_partition}")),
        FaultKind::RollingRestart { .. } => Some("every broker".to_owned()),
        kind => kind.target().map(ToString::to_string),
    }
}
