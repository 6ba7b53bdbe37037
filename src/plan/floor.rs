//! Times that nobody can beat under the timers that a plan sets: the sums that refuse a budget before it is run.
//!
//! A floor must never be too high, or a good scenario would be refused: each is the least that the timers allow, and a
//! fault for which no least is certain has none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Between, FaultKind, FaultPlan, MemberAction, MemberSelector, Plan, ProducerKind, Since, SubjectKind, Target,
};

/// A timer's property, its value in milliseconds when nobody sets it, and whose value that is.
type Timer = (&'static str, u64, &'static str);

/// Kafka 4's own.
const BROKER_SESSION: Timer = ("broker.session.timeout.ms", 9_000, "stock");
const BROKER_HEARTBEAT: Timer = ("broker.heartbeat.interval.ms", 2_000, "stock");
const NEW_MEMBER_SESSION: Timer = ("group.consumer.session.timeout.ms", 45_000, "stock");
const NEW_MEMBER_HEARTBEAT: Timer = ("group.consumer.heartbeat.interval.ms", 5_000, "stock");

/// Stock is 45 s and 3 s; the resilient consumer, of which the pipeline is made, chooses its own.
const MEMBER_SESSION: Timer = ("session.timeout.ms", 20_000, "the pipeline's");
const MEMBER_HEARTBEAT: Timer = ("heartbeat.interval.ms", 1_000, "the pipeline's");

/// What a floor is a floor of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorOf {
    /// `recovery`, counted from the injection.
    Recovery,
    /// `first-success`, counted from the injection.
    FirstSuccess,
    /// `outage`.
    Outage,
}

impl FloorOf {
    /// The budget's key.
    pub const fn budget(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::FirstSuccess => "first-success",
            Self::Outage => "outage",
        }
    }
}

/// The least that a measure can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// The measure.
    pub of: FloorOf,
    /// The fault that sets it: index into [`Plan::faults`].
    pub fault: usize,
    /// No run measures less.
    pub least: Duration,
    /// How it comes about, with every number and where that is from.
    pub sum: String,
}

/// All floors of a plan, in the order of its faults.
pub fn floors(plan: &Plan) -> Vec<Floor> {
    let mut floors = Vec::new();
    for (index, fault) in plan.faults.iter().enumerate() {
        let Some((least, sum, side)) = unavailable(plan, fault) else { continue };
        let mut add = |of| floors.push(Floor { of, fault: index, least, sum: sum.clone() });
        let counts_from_injection = |limit: Option<super::Limit>| {
            limit.and_then(|l| l.since).unwrap_or(fault.kind.default_since()) == Since::Inject
        };
        if counts_from_injection(plan.budget.recovery) {
            add(FloorOf::Recovery);
        }
        // Successes of sends: a fault that stops the handling of records alone leaves them be.
        if side == Side::Everything {
            if counts_from_injection(plan.budget.first_success) {
                add(FloorOf::FirstSuccess);
            }
            add(FloorOf::Outage);
        }
    }
    floors
}

/// The longest interval of the heartbeats that the plan's faults are noticed by; `None`: none is. A measured time
/// depends by up to this much on when between two heartbeats the fault strikes.
pub fn heartbeat(plan: &Plan) -> Option<Duration> {
    let broker = || timer(&plan.cluster.config, BROKER_HEARTBEAT).0;
    let of = |fault: &FaultPlan| match &fault.kind {
        FaultKind::Kill { .. } | FaultKind::Pause { .. } => Some(broker()),
        FaultKind::Network { between: Between::Brokers, .. } => Some(broker()),
        FaultKind::Member { action: MemberAction::Crash | MemberAction::Pause, .. } => {
            let client = member_client(plan);
            let new = client.get("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer"));
            let member =
                if new { timer(&plan.cluster.config, NEW_MEMBER_HEARTBEAT) } else { timer(&client, MEMBER_HEARTBEAT) };
            Some(member.0)
        }
        _ => None,
    };
    plan.faults.iter().filter_map(of).max()
}

/// What is impossible while a fault lasts.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Everything,
    HandlingOnly,
}

/// How long, at the least, some topic partition gets no service after the injection.
fn unavailable(plan: &Plan, fault: &FaultPlan) -> Option<(Duration, String, Side)> {
    let held = fault.lasts.or(fault.kind.restart_after());
    match &fault.kind {
        // A leader that no follower reaches acknowledges nothing, and shows consumers nothing new, until it is given up.
        FaultKind::Network { cut: target, between: Between::Brokers, .. }
            if plan.topic.replication > 1
                && plan.topic.min_insync_replicas > 1
                && matches!(target, Target::LeaderOf(_)) =>
        {
            let failover = session(&plan.cluster.config, BROKER_SESSION, BROKER_HEARTBEAT);
            let (least, sum) = match held {
                Some(held) if held < failover.0 => (held, held_sum(held)),
                _ => failover,
            };
            Some((least, sum, Side::HandlingOnly))
        }
        FaultKind::Kill { target, .. } | FaultKind::Pause { target } if leads(plan, target) => {
            let failover = session(&plan.cluster.config, BROKER_SESSION, BROKER_HEARTBEAT);
            let (least, sum) = match (target, held) {
                // Nobody is left to take over.
                (Target::All | Target::Majority, held) => (held?, held_sum(held?)),
                (_, held) if plan.topic.replication == 1 => (held?, held_sum(held?)),
                (_, Some(held)) if held < failover.0 => (held, held_sum(held)),
                _ => failover,
            };
            Some((least, sum, Side::Everything))
        }
        FaultKind::Stop { target, .. } if leads(plan, target) => {
            // A graceful shutdown hands its leaders over first, where there is somebody to take them.
            let nobody = matches!(target, Target::All) || plan.topic.replication == 1;
            nobody.then_some(held)?.map(|held| (held, held_sum(held), Side::Everything))
        }
        FaultKind::Network { cut, between: Between::ClientsBrokers, .. } if leads(plan, cut) => {
            // Clients are cut off, brokers see each other: the leader stays leader, out of reach.
            let side = match plan.workload.producer {
                ProducerKind::Plain => Side::HandlingOnly,
                ProducerKind::Resilient | ProducerKind::Stock => Side::Everything,
            };
            held.map(|held| (held, held_sum(held), side))
        }
        FaultKind::HandlerErrors { rate, .. } if *rate >= 1.0 => {
            held.map(|held| (held, held_sum(held), Side::HandlingOnly))
        }
        FaultKind::Member { action: MemberAction::Crash, member, .. } if works(plan, *member) => {
            let (least, sum) = member_session(plan)?;
            Some((least, sum, Side::HandlingOnly))
        }
        FaultKind::Member { action: MemberAction::Pause, member, .. } if works(plan, *member) => {
            let (least, sum) = member_session(plan)?;
            let held = held?;
            Some(if held < least {
                (held, held_sum(held), Side::HandlingOnly)
            } else {
                (least, sum, Side::HandlingOnly)
            })
        }
        _ => None,
    }
}

/// Is the target certain to lead some topic partition of the input topic?
fn leads(plan: &Plan, target: &Target) -> bool {
    match target {
        Target::LeaderOf(_) | Target::All => true,
        // Kafka deals leaders out in turn, so with as many topic partitions as brokers each has one.
        _ => i64::from(plan.topic.partitions) >= i64::from(plan.cluster.brokers),
    }
}

/// Is the member certain to have topic partitions assigned?
fn works(plan: &Plan, member: MemberSelector) -> bool {
    let known = match member {
        MemberSelector::Any => true,
        MemberSelector::Index(index) => index < plan.subject.members,
    };
    known && i64::from(plan.topic.partitions) >= i64::from(plan.subject.members)
}

/// The member's own timers, as far as the plan sets them.
fn member_client(plan: &Plan) -> BTreeMap<String, String> {
    // The settings' own client table counts too, under whatever prefix it has there.
    let mut client = BTreeMap::new();
    for (key, value) in plan.subject.settings.iter().chain(&plan.subject.client) {
        for property in ["group.instance.id", "group.protocol", MEMBER_SESSION.0, MEMBER_HEARTBEAT.0] {
            if key.ends_with(property) {
                client.insert(property.to_owned(), value.clone());
            }
        }
    }
    client
}

fn member_session(plan: &Plan) -> Option<(Duration, String)> {
    let subject = &plan.subject;
    let client = member_client(plan);
    // A static member gets its share back the moment it returns.
    if client.contains_key("group.instance.id") {
        return None;
    }
    if client.get("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer")) {
        return Some(session(&plan.cluster.config, NEW_MEMBER_SESSION, NEW_MEMBER_HEARTBEAT));
    }
    // What an application of one's own sets by itself is not known.
    let known = subject.kind == SubjectKind::Pipeline
        || (client.contains_key(MEMBER_SESSION.0) && client.contains_key(MEMBER_HEARTBEAT.0));
    known.then(|| session(&client, MEMBER_SESSION, MEMBER_HEARTBEAT))
}

/// A session is counted from the last heartbeat, which was at most one interval before the harm.
fn session(config: &BTreeMap<String, String>, session: Timer, heartbeat: Timer) -> (Duration, String) {
    let ((timeout, timeout_text), (interval, interval_text)) = (timer(config, session), timer(config, heartbeat));
    let least = timeout.saturating_sub(interval);
    (least, format!("{timeout_text} - {interval_text} = {}", text(least)))
}

fn timer(config: &BTreeMap<String, String>, (name, default, whose): Timer) -> (Duration, String) {
    match config.get(name).and_then(|value| value.trim().parse::<u32>().ok()) {
        Some(millis) => {
            let value = Duration::from_millis(millis.into());
            (value, format!("{} {name}", text(value)))
        }
        None => {
            let value = Duration::from_millis(default);
            (value, format!("{} {name} ({whose})", text(value)))
        }
    }
}

fn held_sum(held: Duration) -> String {
    format!("the fault itself, {}", text(held))
}

fn text(d: Duration) -> String {
    super::duration_text(d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn floors_of(text: &str) -> Vec<(&'static str, u64, String)> {
        let source = Source::new("x.toml", format!("name = \"x\"\n{text}"));
        let (plan, _) = crate::scenario::parse(&source).unwrap();
        floors(&plan).into_iter().map(|f| (f.of.budget(), f.least.as_millis() as u64, f.sum)).collect()
    }

    #[test]
    fn the_pipeline_s_timers_are_those_of_the_resilient_consumer() {
        for (key, millis, _) in [MEMBER_SESSION, MEMBER_HEARTBEAT] {
            let chosen = crate::resilience::settings::RECOVERY.iter().find(|p| p.key == key).map(|p| p.value);
            assert_eq!(chosen, Some(millis.to_string().as_str()), "{key}");
        }
    }

    fn least_of(text: &str) -> Vec<(&'static str, u64)> {
        floors_of(text).into_iter().map(|(of, least, _)| (of, least)).collect()
    }

    #[test]
    fn a_killed_leader_is_replaced_when_its_session_ends_at_the_earliest() {
        let kill = "fault = [{ at = \"0s\", kill = { leader-of = \"orders/0\" } }]\n";
        let stock = floors_of(kill);
        assert_eq!(least_of(kill), [("recovery", 7_000), ("first-success", 7_000), ("outage", 7_000)]);
        assert_eq!(stock[0].2, "9s broker.session.timeout.ms (stock) - 2s broker.heartbeat.interval.ms (stock) = 7s");
        let fast = format!("{kill}[cluster.config]\n\"broker.session.timeout.ms\" = 3000");
        assert_eq!(least_of(&fast)[0], ("recovery", 1_000));
    }

    #[test]
    fn a_broker_back_before_its_session_ends_sets_a_lower_floor() {
        let text = "fault = [{ at = \"0s\", lasts = \"4s\", pause = { broker = 1 } }]\nbudget.recovery = { within = \"9s\", since = \"inject\" }";
        assert_eq!(least_of(text)[0], ("recovery", 4_000));
    }

    #[test]
    fn a_cut_lasts_as_long_as_it_lasts_but_counts_from_its_heal() {
        let cut = "fault = [{ at = \"0s\", lasts = \"6s\", network = { cut = \"all\" } }]\n";
        assert_eq!(least_of(cut), [("outage", 6_000)]);
        // The harness's own producer goes around the cut.
        assert_eq!(least_of(&format!("{cut}workload.producer = \"plain\"")), []);
    }

    #[test]
    fn a_leader_that_lost_the_other_brokers_is_given_up_when_its_session_ends() {
        let cut = |whom: &str, lasts: &str| {
            format!(
                "fault = [{{ at = \"0s\", lasts = \"{lasts}\", network = {{ cut = {whom}, effect = \"blackhole\", \
                 between = \"brokers\" }} }}]\nbudget.recovery = {{ within = \"60s\", since = \"inject\" }}"
            )
        };
        let leader = "{ leader-of = \"orders/0\" }";
        assert_eq!(least_of(&cut(leader, "20s"))[0], ("recovery", 7_000));
        assert_eq!(least_of(&cut(leader, "3s"))[0], ("recovery", 3_000));
        // Alone in sync it needs nobody's acknowledgement; a broker by number may lead nothing.
        assert_eq!(least_of(&format!("{}\ntopic.replication = 1", cut(leader, "20s"))), []);
        assert_eq!(least_of(&cut("{ broker = 1 }", "20s")), []);
    }

    #[test]
    fn a_crashed_member_s_share_moves_when_its_session_ends() {
        let crash = "fault = [{ at = \"0s\", member = { action = \"crash\" } }]\n";
        assert_eq!(least_of(crash), [("recovery", 19_000)]);
        let stock = format!("{crash}subject.client = {{ session.timeout.ms = 45000, heartbeat.interval.ms = 3000 }}");
        assert_eq!(least_of(&stock), [("recovery", 42_000)]);
        let new_protocol = format!("{crash}[subject.client]\n\"group.protocol\" = \"consumer\"");
        assert_eq!(least_of(&new_protocol), [("recovery", 40_000)]);
        let fixed = format!("{crash}[subject.client]\n\"group.instance.id\" = \"a\"");
        assert_eq!(least_of(&fixed), []);
        assert_eq!(least_of(&format!("{crash}subject.kind = \"custom\"")), []);
    }

    #[test]
    fn the_heartbeat_at_play_is_that_of_who_notices() {
        let of = |text: &str| {
            let (plan, _) = crate::scenario::parse(&Source::new("x.toml", format!("name = \"x\"\n{text}"))).unwrap();
            heartbeat(&plan).map(|d| d.as_millis())
        };
        let kill = "fault = [{ at = \"0s\", kill = { leader-of = \"orders/0\" } }]\n";
        assert_eq!(of(kill), Some(2_000));
        assert_eq!(of(&format!("{kill}[cluster.config]\n\"broker.heartbeat.interval.ms\" = 500")), Some(500));
        let crash = "fault = [{ at = \"0s\", member = { action = \"crash\" } }]\n";
        assert_eq!(of(crash), Some(1_000));
        assert_eq!(of(&format!("{crash}[subject.client]\n\"group.protocol\" = \"consumer\"")), Some(5_000));
        assert_eq!(of("fault = [{ at = \"0s\", lasts = \"6s\", network = { cut = \"all\" } }]"), None);
    }

    #[test]
    fn what_is_not_certain_has_no_floor() {
        for fault in [
            "stop = { leader-of = \"orders/0\" }",
            "rolling-restart = {}",
            "move-leader = { topic-partition = \"orders/0\" }",
            "member = { action = \"leave\" }",
        ] {
            assert_eq!(least_of(&format!("fault = [{{ at = \"0s\", {fault} }}]")), [], "{fault}");
        }
        // With fewer topic partitions than brokers some broker leads none.
        let idle = "topic.partitions = 2\nfault = [{ at = \"0s\", kill = { broker = 3 } }]";
        assert_eq!(least_of(idle), []);
    }
}
