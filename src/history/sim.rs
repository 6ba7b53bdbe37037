//! Whole runs with a known recovery, for tests: an open-loop load, and a service that is away for known stretches.

use std::collections::BTreeMap;

use super::story::{Story, dlq, ms, out, tp};
use super::{Op, Outcome, Stage};
use crate::plan::{FaultPlan, Plan};

/// What becomes of sends that are due while the service is away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Away {
    /// They wait, and are done when it is back.
    Wait,
    /// They fail half a second later.
    Fail,
}

/// The load begins at 0, the baseline is 1 s to 6 s, the load stops at `end`. All times in milliseconds.
#[derive(Clone)]
pub(crate) struct Sim {
    pub partitions: i32,
    /// Between two records of one topic partition.
    pub every: u64,
    pub end: u64,
    pub away: Away,
    /// (topic partition, from, to): sends are away.
    pub sends: Vec<(i32, u64, u64)>,
    /// The same for effects.
    pub effects: Vec<(i32, u64, u64)>,
    /// Single late sends: (topic partition, due).
    pub hiccups: Vec<(i32, u64)>,
    /// Label, inject, healed; without the second, never healed.
    pub faults: Vec<(&'static str, u64, Option<u64>)>,
    /// Topic partitions that no record goes to from this time on.
    pub silent: Vec<(i32, u64)>,
    /// How long an undisturbed send takes.
    pub latency: u64,
    /// Name, actor, time, value.
    pub signals: Vec<(&'static str, u64, serde_json::Value)>,
    pub plan: Plan,
}

impl Sim {
    /// Twenty seconds, 100 records a second in each topic partition, one cut from 6 s to 10 s.
    pub fn new(partitions: i32) -> Self {
        let mut plan = super::story::plan();
        plan.topic.partitions = partitions;
        Self {
            partitions,
            every: 10,
            end: 20_000,
            away: Away::Wait,
            sends: Vec::new(),
            effects: Vec::new(),
            hiccups: Vec::new(),
            faults: vec![("cut", 6_000, Some(10_000))],
            silent: Vec::new(),
            latency: 3,
            signals: Vec::new(),
            plan,
        }
    }

    pub fn fault_plans(mut self, faults: Vec<FaultPlan>) -> Self {
        self.plan.faults = faults;
        self
    }

    pub fn story(&self) -> Story {
        let mut story = Story::new().planned(self.plan.clone());
        for (name, at) in [("warm-up", 0), ("baseline", 1_000), ("fault", 6_000), ("settle", self.end)] {
            story = story.at(at).phase(name);
        }
        for (label, inject, healed) in &self.faults {
            story = story.at(*inject).fault(Stage::Inject, label).at(*inject).fault(Stage::Confirmed, label);
            if let Some(healed) = healed {
                story = story.at(*healed).fault(Stage::Heal, label).at(*healed).fault(Stage::Healed, label);
            }
        }
        for (name, at, value) in &self.signals {
            story = story.at(*at).signal("member-0", name, value.clone());
        }
        let mut ends = BTreeMap::<_, i64>::new();
        let mut next = 0;
        let mut served = Vec::new();
        for partition in 0..self.partitions {
            // Topic partitions are not in step.
            let mut due = partition as u64 % self.every;
            let quiet = self.silent.iter().find(|(p, _)| *p == partition).map_or(u64::MAX, |(_, from)| *from);
            while due < self.end.min(quiet) {
                let id = next.to_string();
                next += 1;
                let key = format!("k{partition}");
                story = story.at(due).invoke_as(&id, partition, &key, Some(due), false);
                let done = match away(&self.sends, partition, due) {
                    None if self.hiccups.contains(&(partition, due)) => Ok(due + 80),
                    None => Ok(due + self.latency),
                    Some(back) if self.away == Away::Wait && back < u64::MAX => Ok(back),
                    Some(_) => Err(due + 500),
                };
                let offset = ends.entry(tp(partition)).or_insert(0);
                match done {
                    Ok(done) => {
                        story = story.at(done).event(Op::Send {
                            r#type: Outcome::Ok,
                            id: id.clone(),
                            tp: Some(tp(partition)),
                            key: None,
                            seq: None,
                            due: None,
                            poison: false,
                            offset: Some(*offset),
                            error: None,
                        });
                        served.push((id, partition, *offset, done));
                        *offset += 1;
                    }
                    Err(at) => story = story.at(at).info(&id),
                }
                due += self.every;
            }
        }
        story = story.at(self.end + 5_000);
        for (id, partition, offset, acked) in served {
            story = story.log_in(tp(partition), &id, offset, true);
            let at = match away(&self.effects, partition, acked + 10) {
                Some(u64::MAX) => continue,
                Some(back) => back,
                None => acked + 10,
            };
            let place = ends.entry(out(partition)).or_insert(0);
            let (tp, appended) = (out(partition), Some(ms(at)));
            story = story.effect_in(tp, &id, *place, appended, None);
            *place += 1;
        }
        for partition in 0..self.partitions {
            let end = |tp| ends.get(&tp).copied().unwrap_or(0);
            let (r#type, offset) = (Outcome::Ok, end(tp(partition)));
            story = story.by("group", Op::Commit { r#type, tp: tp(partition), offset, error: None });
            for tp in [tp(partition), out(partition), dlq(partition)] {
                story = story.read(tp.clone(), 0, end(tp), Outcome::Ok);
            }
        }
        story
    }
}

/// When the service is back, if it is away at `t`.
fn away(stretches: &[(i32, u64, u64)], partition: i32, t: u64) -> Option<u64> {
    stretches.iter().find(|(p, from, to)| *p == partition && (*from..*to).contains(&t)).map(|(_, _, to)| *to)
}
