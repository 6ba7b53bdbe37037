//! The order of things in a run, computed before anything runs: a pure function of plan and seed.

use std::time::Duration;

use super::{FaultPlan, Plan, Since};
use crate::rng::Rng;

/// What happens when, from the end of the baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// In the order in which they are due.
    pub steps: Vec<Step>,
    /// When the load stops.
    pub load_stops: Duration,
}

/// One injection or one heal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// From the end of the baseline.
    pub at: Duration,
    /// Index into [`Plan::faults`].
    pub fault: usize,
    /// Which repetition of that fault, from 0.
    pub round: u32,
    /// What is done.
    pub action: StepAction,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepAction {
    /// The harm begins.
    Inject,
    /// The harm ends.
    Heal,
}

impl Timeline {
    /// How much later than written a run's whole timeline begins, drawn from its seed: the baseline is that much
    /// longer. Without it every repeat would strike at the same phase of the heartbeats that notice the fault, and five
    /// repeats would be one. Evenly from zero to [`Timeline::phase_range`]; a control run begins as written.
    pub fn phase(plan: &Plan, seed: u64) -> Duration {
        Self::phase_range(plan).mul_f64(Rng::fork(seed, "injection phase").share())
    }

    /// One heartbeat of the detectors at play; a second where only clients' own timers notice.
    pub fn phase_range(plan: &Plan) -> Duration {
        if plan.faults.is_empty() {
            return Duration::ZERO;
        }
        super::heartbeat(plan).unwrap_or_default().max(Duration::from_secs(1))
    }

    /// Lays the faults out. A fault heals after `lasts`, else after its own `restart-after`, else when the load
    /// stops; the load stops once the observation time has passed after the last fault's zero.
    pub fn of(plan: &Plan) -> Self {
        let mut steps = Vec::new();
        let mut load_stops = plan.observation.after;
        for (index, fault) in plan.faults.iter().enumerate() {
            let rounds = fault.repeat.map_or(1, |r| r.times.max(1));
            for round in 0..rounds {
                let at = fault.at + fault.repeat.map_or(Duration::ZERO, |r| r.every * round);
                let held = fault.lasts.or(fault.kind.restart_after());
                let zero =
                    match plan.budget.recovery.and_then(|limit| limit.since).unwrap_or(fault.kind.default_since()) {
                        Since::Inject => at,
                        Since::Heal => at + held.unwrap_or_default(),
                    };
                let end = at + held.unwrap_or_default();
                load_stops = load_stops.max(zero + plan.observation.after).max(end + plan.observation.hold);
                load_stops = load_stops.max(last_moment(plan, fault, at, end));
                steps.push(Step { at, fault: index, round, action: StepAction::Inject });
                if let Some(held) = held {
                    steps.push(Step { at: at + held, fault: index, round, action: StepAction::Heal });
                }
            }
        }
        // A heal before an injection that is due at the same moment.
        steps.sort_by_key(|s| (s.at, std::cmp::Reverse(s.action), s.fault));
        Self { steps, load_stops }
    }
}

/// The last moment at which a limit beside `recovery` can still be kept: with the load off before it, a run that would have
/// kept it could not.
fn last_moment(plan: &Plan, fault: &FaultPlan, injected: Duration, healed: Duration) -> Duration {
    let budget = &plan.budget;
    let counted = [budget.first_success, budget.drain].into_iter().flatten().map(|limit| {
        let zero = match limit.since.unwrap_or(fault.kind.default_since()) {
            Since::Inject => injected,
            Since::Heal => healed,
        };
        zero + limit.within
    });
    // A gap begins, and a signal is awaited, with the harm itself.
    let from_the_harm = [budget.outage, budget.detect].into_iter().flatten().map(|limit| injected + limit.within);
    counted.chain(from_the_harm).max().map_or(Duration::ZERO, |last| last + plan.observation.window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn timeline(text: &str) -> Timeline {
        let (plan, _) = crate::scenario::parse(&Source::new("x.toml", format!("name = \"x\"\n{text}"))).unwrap();
        Timeline::of(&plan)
    }

    fn steps(text: &str) -> Vec<(u64, usize, StepAction)> {
        timeline(text).steps.iter().map(|s| (s.at.as_secs(), s.fault, s.action)).collect()
    }

    #[test]
    fn a_heal_comes_before_an_injection_of_the_same_moment() {
        use StepAction::{Heal, Inject};
        let text = r#"fault = [
            { at = "6s", lasts = "2s", pause = { broker = 1 } },
            { at = "0s", lasts = "6s", pause = { broker = 1 } },
        ]"#;
        assert_eq!(steps(text), [(0, 1, Inject), (6, 1, Heal), (6, 0, Inject), (8, 0, Heal)]);
    }

    #[test]
    fn the_phase_follows_from_the_seed_and_covers_one_heartbeat() {
        let plan =
            |text: &str| crate::scenario::parse(&Source::new("x.toml", format!("name = \"x\"\n{text}"))).unwrap().0;
        let kill = plan("fault = [{ at = \"0s\", kill = { broker = 1 } }]");
        let phases: Vec<Duration> = (0..200).map(|seed| Timeline::phase(&kill, seed)).collect();
        assert_eq!(phases[7], Timeline::phase(&kill, 7));
        let (min, max) = (phases.iter().min().unwrap(), phases.iter().max().unwrap());
        assert!(*min < Duration::from_millis(100) && *max > Duration::from_millis(1_900), "{min:?} {max:?}");
        assert!(*max < Duration::from_secs(2));
        assert_eq!(Timeline::phase(&plan(""), 7), Duration::ZERO);
        let cut = plan("fault = [{ at = \"0s\", lasts = \"6s\", network = { cut = \"all\" } }]");
        assert_eq!(Timeline::phase_range(&cut), Duration::from_secs(1));
    }

    #[test]
    fn a_repeated_fault_has_its_rounds_in_order() {
        let text = r#"fault = [{ at = "1s", lasts = "2s", repeat = { times = 2, every = "10s" }, pause = "one" }]"#;
        let rounds: Vec<_> = timeline(text).steps.iter().map(|s| (s.at.as_secs(), s.round)).collect();
        assert_eq!(rounds, [(1, 0), (3, 0), (11, 1), (13, 1)]);
    }

    #[test]
    fn no_limit_ends_after_the_load() {
        let stops = |budget: &str| {
            let fault = "fault = [{ at = \"5s\", lasts = \"4s\", kill = { broker = 1 } }]";
            timeline(&format!("budget = {{ {budget} }}\n{fault}")).load_stops.as_secs()
        };
        assert_eq!(stops("lost = 0"), 5 + 4 + 3);
        assert_eq!(stops("outage = \"20s\""), 5 + 20 + 1);
        assert_eq!(stops("first-success = { within = \"20s\", since = \"heal\" }"), 5 + 4 + 20 + 1);
        assert_eq!(stops("drain = { within = \"20s\", since = \"inject\" }, detect = \"1s\""), 5 + 20 + 1);
    }

    #[test]
    fn the_load_outlasts_the_last_zero_by_the_observation_and_the_last_heal_by_the_hold() {
        let since = |since| {
            let budget = format!("budget.recovery = {{ within = \"10s\", since = \"{since}\" }}");
            let text = format!("{budget}\nfault = [{{ at = \"5s\", lasts = \"30s\", kill = {{ broker = 1 }} }}]");
            timeline(&text).load_stops.as_secs()
        };
        assert_eq!(since("heal"), 5 + 30 + 20);
        assert_eq!(since("inject"), 5 + 30 + 3);
        assert_eq!(timeline("").load_stops.as_secs(), 5);
    }
}
