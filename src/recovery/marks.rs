//! The moments that everything is measured from: faults' injections and heals, the phases, the end of the load.

use crate::clock::Nanos;
use crate::history::{History, Op, Stage};
use crate::plan::{FaultPlan, Plan, Since, StepAction, Timeline, TopicPartition};

/// One injection of one fault, from its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    pub label: String,
    /// The scenario file's word; empty when the history does not say.
    pub kind: String,
    pub resolved: Option<String>,
    /// Input topic partitions whose service it can harm; `None`: all.
    pub affected: Option<Vec<TopicPartition>>,
    pub inject: Option<Nanos>,
    pub confirmed: Option<Nanos>,
    pub heal: Option<Nanos>,
    pub healed: Option<Nanos>,
    /// What was seen when it was confirmed.
    pub evidence: Option<String>,
    /// What went wrong while injecting, confirming or healing.
    pub error: Option<String>,
    /// The plan, or an event, says that it must be healed.
    pub heal_due: bool,
    /// Where the recovery clock starts, by the fault's kind.
    pub since: Option<Since>,
    /// Index into the plan's faults.
    pub planned: Option<usize>,
}

impl Round {
    /// `F`: when it was in effect.
    pub fn start(&self) -> Option<Nanos> {
        self.confirmed.or(self.inject)
    }

    /// `H`: when it was gone.
    pub fn end(&self) -> Option<Nanos> {
        self.healed.or(self.heal)
    }

    /// The zero of the recovery clock, if it came.
    pub fn zero(&self) -> Option<Nanos> {
        match self.since? {
            Since::Inject => self.start(),
            Since::Heal => self.end(),
        }
    }

    /// Ordered before `t` and not yet seen gone.
    pub fn in_force(&self, t: Nanos) -> bool {
        let failed = self.error.is_some() && self.confirmed.is_none();
        !failed
            && self.inject.or(self.confirmed).is_some_and(|start| start <= t)
            && self.end().is_none_or(|end| t < end)
    }

    /// Whether the topic partition's service can be harmed by it.
    pub fn affects(&self, tp: &TopicPartition) -> bool {
        // A send that never learned its topic partition can belong to any.
        tp.partition < 0 || self.affected.as_ref().is_none_or(|affected| affected.contains(tp))
    }
}

/// A phase with its beginning and end.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub name: String,
    pub start: Nanos,
    pub end: Nanos,
}

/// All marks of a history.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    pub phases: Vec<Phase>,
    /// In the order of injection.
    pub rounds: Vec<Round>,
    /// The phase "baseline".
    pub baseline: Option<(Nanos, Nanos)>,
    /// `E`: when the load stopped.
    pub end: Option<Nanos>,
    pub last: Nanos,
}

impl Marks {
    /// Reads the marks of a history whose latest event was at `last`. Planned injections that left no event are rounds without times.
    pub fn of(history: &History, last: Nanos) -> Self {
        let plan = history.header.plan.as_deref();
        let mut marks = Self { last, ..Self::default() };
        for event in &history.events {
            match &event.op {
                Op::Phase { name } => {
                    if let Some(before) = marks.phases.last_mut() {
                        before.end = event.t;
                    }
                    marks.phases.push(Phase { name: name.clone(), start: event.t, end: last });
                }
                Op::Fault { r#type, label, kind, resolved, affected, evidence, error } => {
                    let round = marks.round(label, *r#type, plan);
                    match r#type {
                        Stage::Inject => round.inject = Some(event.t),
                        Stage::Confirmed => {
                            round.confirmed = round.confirmed.or(Some(event.t));
                            round.evidence = round.evidence.take().or_else(|| evidence.clone());
                        }
                        Stage::Heal => {
                            round.heal = round.heal.or(Some(event.t));
                            round.heal_due = true;
                        }
                        Stage::Healed => round.healed = round.healed.or(Some(event.t)),
                        Stage::Failed => round.error = round.error.take().or_else(|| error.clone()),
                    }
                    if let Some(kind) = kind {
                        round.kind.clone_from(kind);
                    }
                    round.resolved = resolved.clone().or(round.resolved.take());
                    round.affected = affected.clone().or(round.affected.take());
                }
                _ => {}
            }
        }
        let phase = |name: &str| marks.phases.iter().find(|phase| phase.name == name);
        marks.baseline = phase("baseline").map(|phase| (phase.start, phase.end));
        marks.end = phase("settle").map(|phase| phase.start);
        marks.complete(plan);
        marks
    }

    /// The round that an event belongs to: an injection begins one, the rest goes to the label's latest.
    fn round(&mut self, label: &str, stage: Stage, plan: Option<&Plan>) -> &mut Round {
        let open = self.rounds.iter().rposition(|round| round.label == label);
        let at = match open {
            Some(at) if stage != Stage::Inject => at,
            _ => {
                let planned = plan.and_then(|plan| plan.faults.iter().position(|fault| fault.label == label));
                self.rounds.push(Round { label: label.to_owned(), planned, ..Round::default() });
                self.rounds.len() - 1
            }
        };
        &mut self.rounds[at]
    }

    fn complete(&mut self, plan: Option<&Plan>) {
        for round in &mut self.rounds {
            let fault = round.planned.and_then(|at| plan?.faults.get(at));
            if let Some(fault) = fault {
                round.kind = fault.kind.name().to_owned();
            }
            round.since = Some(default_since(fault, &round.kind));
        }
        let Some(plan) = plan else { return };
        let steps = Timeline::of(plan).steps;
        for (at, fault) in plan.faults.iter().enumerate() {
            let count = |action| steps.iter().filter(|step| step.fault == at && step.action == action).count();
            let (injections, heals) = (count(StepAction::Inject), count(StepAction::Heal));
            let seen = self.rounds.iter().filter(|round| round.planned == Some(at)).count();
            for _ in seen..injections {
                self.rounds.push(Round {
                    label: fault.label.clone(),
                    kind: fault.kind.name().to_owned(),
                    since: Some(fault.kind.default_since()),
                    planned: Some(at),
                    ..Round::default()
                });
            }
            for round in self.rounds.iter_mut().filter(|round| round.planned == Some(at)).take(heals) {
                round.heal_due |= round.inject.is_some();
            }
        }
    }

    /// Labels of the faults in force at `t`.
    pub fn in_force(&self, t: Nanos) -> Vec<String> {
        self.rounds.iter().filter(|round| round.in_force(t)).map(|round| round.label.clone()).collect()
    }
}

/// By the plan's kind, else by the event's word: harms that leave nothing to succeed meanwhile start at the heal.
fn default_since(fault: Option<&FaultPlan>, kind: &str) -> Since {
    match (fault, kind) {
        (Some(fault), _) => fault.kind.default_since(),
        (None, "kill" | "stop" | "member" | "poison" | "rolling-restart" | "move-leader") => Since::Inject,
        (None, _) => Since::Heal,
    }
}
