//! Rules about faults: their targets exist, they end, they do something, and they leave each other alone.

use std::time::Duration;

use super::{Rules, text};
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{
    Between, Direction, FaultKind, FaultPlan, MemberAction, MemberSelector, NetworkEffect, Target, TopicPartition,
};
use crate::scenario::values;

pub(super) fn check(rules: &Rules) {
    for (index, fault) in rules.plan.faults.iter().enumerate() {
        label(rules, index, fault);
        aim(rules, index, fault);
        end(rules, index, fault);
        effect(rules, index, fault);
        repeat(rules, index, fault);
    }
    overlaps(rules);
}

fn label(rules: &Rules, index: usize, fault: &FaultPlan) {
    let path = format!("{}.label", rules.fault_path(index));
    if rules.given(&path) && !values::is_kebab_case(&fault.label) {
        let mut diagnostic =
            Diagnostic::error(codes::NOT_KEBAB_CASE, format!("the label `{}` is not kebab-case", fault.label))
                .label("expected lower-case letters, digits and hyphens");
        let kebab = values::to_kebab_case(&fault.label);
        if !kebab.is_empty() {
            diagnostic = diagnostic.help(format!("write `label = \"{kebab}\"`"));
        }
        rules.report(&path, diagnostic);
        return;
    }
    let Some(first) = rules.plan.faults[..index].iter().position(|other| other.label == fault.label) else { return };
    let first_path = format!("{}.label", rules.fault_path(first));
    // A label that the file gives may be the one that another fault gets by default.
    let (path, other) = if rules.given(&path) { (path, first_path) } else { (first_path, path) };
    let diagnostic = Diagnostic::error(codes::DUPLICATE_LABEL, format!("two faults are called `{}`", fault.label))
        .label("expected a label of its own");
    rules.report(&path, rules.place(&other).relate(diagnostic, "the other one"));
}

/// Brokers, topic partitions and members exist.
fn aim(rules: &Rules, index: usize, fault: &FaultPlan) {
    let base = rules.kind_path(index, fault);
    let inner = rules.first_given(&base, &["target", "cut"]);
    match fault.kind.target() {
        Some(Target::Broker(id)) => broker(rules, &rules.first_given(&inner, &["broker"]), *id),
        Some(Target::LeaderOf(tp)) => topic_partition(rules, &rules.first_given(&inner, &["leader-of"]), tp),
        Some(Target::FollowerOf(tp)) => {
            let path = rules.first_given(&inner, &["follower-of"]);
            topic_partition(rules, &path, tp);
            if rules.plan.topic.replication == 1 && rules.trusts(&["topic.replication", "cluster.brokers"]) {
                nobody(
                    rules,
                    &path,
                    "a topic with one replica has no followers",
                    "raise [topic] replication, or aim at the leader",
                );
            }
        }
        Some(Target::Minority) if rules.plan.cluster.brokers < 3 && rules.trusts(&["cluster.brokers"]) => {
            let message = format!("a minority of {} is none", brokers_text(rules.plan.cluster.brokers));
            nobody(
                rules,
                &inner,
                &message,
                "a minority takes three brokers or more: raise [cluster] brokers, or aim at \"one\"",
            );
        }
        _ => {}
    }
    match &fault.kind {
        FaultKind::MoveLeader { topic_partition: tp, to } => {
            topic_partition(rules, &format!("{base}.topic-partition"), tp);
            if let Some(to) = to {
                broker(rules, &format!("{base}.to"), *to);
            }
        }
        FaultKind::Member { action, member: MemberSelector::Index(member), .. } => {
            let path = format!("{base}.member");
            let members = rules.plan.subject.members;
            if *action == MemberAction::Join {
                rules.no_effect(&path, "who joins is a new member".into());
            } else if *member >= members && rules.trusts(&["subject.members"]) {
                let message = format!("there is no member {member} among {members}");
                let expected = format!("expected 0 to {}, or \"any\"", members - 1);
                rules.report(&path, Diagnostic::error(codes::MEMBER_OUT_OF_RANGE, message).label(expected));
            }
        }
        _ => {}
    }
}

fn broker(rules: &Rules, path: &str, id: u32) {
    let brokers = rules.plan.cluster.brokers;
    if rules.trusts(&["cluster.brokers"]) && !(1..=brokers).contains(&id) {
        let diagnostic = Diagnostic::error(codes::UNKNOWN_BROKER, format!("there is no broker {id} among {brokers}"))
            .label(format!("expected 1 to {brokers}"))
            .help("brokers are numbered from 1");
        rules.report(path, diagnostic);
    }
}

fn topic_partition(rules: &Rules, path: &str, tp: &TopicPartition) {
    let topic = &rules.plan.topic;
    if !rules.trusts(&["topic.name"]) {
        return;
    }
    if !topic.all().iter().any(|name| **name == *tp.topic) {
        let near = rules.nearest_topic(&tp.topic).unwrap_or_else(|| topic.name.clone());
        let diagnostic = Diagnostic::error(codes::UNKNOWN_TOPIC, format!("the scenario has no topic `{}`", tp.topic))
            .label(format!("expected \"{near}/{}\"?", tp.partition))
            .help(format!("topics: {}", topic.all().join(", ")));
        rules.report(path, diagnostic);
    } else if tp.partition >= topic.partitions && rules.trusts(&["topic.partitions"]) {
        let message = format!("{} has {} topic partitions, and no number {}", tp.topic, topic.partitions, tp.partition);
        let diagnostic = Diagnostic::error(codes::TOPIC_PARTITION_OUT_OF_RANGE, message).label(format!(
            "expected \"{0}/0\" to \"{0}/{1}\"",
            tp.topic,
            topic.partitions - 1
        ));
        rules.report(path, diagnostic);
    }
}

/// A fault that is a state has an end, and only one.
fn end(rules: &Rules, index: usize, fault: &FaultPlan) {
    let path = rules.fault_path(index);
    let kind = rules.kind_path(index, fault);
    let lasts = format!("{path}.lasts");
    match &fault.kind {
        FaultKind::Network { .. }
        | FaultKind::SlowNetwork { .. }
        | FaultKind::Pause { .. }
        | FaultKind::HandlerErrors { .. }
        | FaultKind::BrokerErrors { rate: Some(_), .. }
        | FaultKind::DeadLetterTopic { .. }
        | FaultKind::Poison { .. }
        | FaultKind::Member { action: MemberAction::Pause, .. } => {
            if fault.lasts.is_none() {
                let diagnostic = Diagnostic::error(codes::LASTS_MISSING, format!("`{}` has no end", fault.kind.name()))
                    .label("expected `lasts` in this [[fault]]")
                    .help("add `lasts = \"6s\"`: without a heal there is no recovery to measure");
                rules.report(&kind, diagnostic);
            }
        }
        FaultKind::RollingRestart { .. }
        | FaultKind::MoveLeader { .. }
        | FaultKind::BrokerErrors { rate: None, .. } => {
            if fault.lasts.is_some() {
                rules.no_effect(&lasts, format!("`{}` brings its own end", fault.kind.name()));
            }
        }
        FaultKind::Kill { .. } | FaultKind::Stop { .. } | FaultKind::Member { .. } => {}
    }
    if let Some(after) = fault.kind.restart_after() {
        let restart = format!("{kind}.restart-after");
        if let FaultKind::Member { action: MemberAction::Join | MemberAction::Leave | MemberAction::Pause, .. } =
            fault.kind
        {
            rules.no_effect(&restart, "only a member that crashed or stopped is started again".into());
        } else if let Some(held) = fault.lasts {
            let diagnostic = Diagnostic::error(
                codes::LASTS_AND_RESTART_AFTER,
                format!("started again after {}, and after {} too", text(after), text(held)),
            )
            .label("expected this or `lasts`, not both")
            .help("they mean the same here: keep one");
            rules.report(&restart, rules.place(&lasts).relate(diagnostic, "the other end"));
        }
    }
}

fn effect(rules: &Rules, index: usize, fault: &FaultPlan) {
    let base = rules.kind_path(index, fault);
    let below = |key: &str| format!("{base}.{key}");
    match &fault.kind {
        FaultKind::Network { effect, direction, between, .. } => {
            if *effect == NetworkEffect::Refuse && *direction != Direction::Both {
                let why = "a refused connection carries neither requests nor replies".into();
                rules.no_effect(&below("direction"), why);
            }
            let alone = rules.plan.cluster.brokers == 1 && rules.trusts(&["cluster.brokers"]);
            if *between == Between::Brokers && alone {
                let why = "one broker alone has no other brokers to be cut off from";
                nobody(rules, &below("between"), why, "raise [cluster] brokers");
            }
        }
        FaultKind::SlowNetwork { latency, jitter, rate: None, .. } if latency.is_zero() && jitter.is_zero() => {
            nothing(rules, &base, "no latency, no jitter, no rate: the network is as fast as ever");
        }
        FaultKind::HandlerErrors { rate, .. } if *rate == 0.0 => {
            nothing(rules, &below("rate"), "no handler call is hit");
        }
        FaultKind::BrokerErrors { rate: Some(rate), .. } if *rate == 0.0 => {
            nothing(rules, &below("rate"), "no request is answered with the error");
        }
        FaultKind::Poison { rate } if *rate == 0.0 => nothing(rules, &below("rate"), "no record is poison"),
        FaultKind::MoveLeader { .. }
            if rules.plan.topic.replication == 1 && rules.trusts(&["topic.replication", "cluster.brokers"]) =>
        {
            nobody(
                rules,
                &base,
                "a topic with one replica has nobody to move the leader to",
                "raise [topic] replication",
            );
        }
        _ => {}
    }
}

fn nothing(rules: &Rules, path: &str, why: &str) {
    let diagnostic = Diagnostic::error(codes::FAULT_WITHOUT_EFFECT, format!("the fault changes nothing: {why}"))
        .label("expected something that does harm")
        .help("a run whose fault has no effect proves nothing; for a control run take the [[fault]] out");
    rules.report(path, diagnostic);
}

/// A role that nobody has.
fn nobody(rules: &Rules, path: &str, why: &str, help: &str) {
    let diagnostic = Diagnostic::error(codes::ROLE_CANNOT_EXIST, format!("this fault finds nobody to hit: {why}"))
        .label("expected a role that somebody has")
        .help(help);
    rules.report(path, diagnostic);
}

fn brokers_text(brokers: u32) -> String {
    if brokers == 1 { "1 broker".into() } else { format!("{brokers} brokers") }
}

fn repeat(rules: &Rules, index: usize, fault: &FaultPlan) {
    let (Some(repeat), Some(held)) = (fault.repeat, held(fault)) else { return };
    if repeat.times > 1 && repeat.every <= held {
        let message = format!("repeated every {}, while each time lasts {}", text(repeat.every), text(held));
        let diagnostic = Diagnostic::error(codes::REPEAT_OVERLAPS, message)
            .label(format!("expected more than {}", text(held)))
            .help("`every` counts from one injection to the next");
        rules.report(&format!("{}.repeat.every", rules.fault_path(index)), diagnostic);
    }
}

fn held(fault: &FaultPlan) -> Option<Duration> {
    fault.lasts.or(fault.kind.restart_after())
}

fn overlaps(rules: &Rules) {
    let faults = &rules.plan.faults;
    for (index, fault) in faults.iter().enumerate() {
        // One message a fault, whatever else it collides with.
        let Some(other) = (0..index).find(|other| {
            same_thing(&faults[*other].kind, &fault.kind) && meet(&faults[*other], fault, rules.plan.cluster.brokers)
        }) else {
            continue;
        };
        let diagnostic = Diagnostic::error(
            codes::FAULTS_OVERLAP,
            format!("`{}` comes while `{}` holds the same target", fault.label, faults[other].label),
        )
        .label("expected a time at which the other is over")
        .help("the first heal would end both: move one, give them different targets, or make one fault of them");
        let place = rules.place(&rules.kind_path(other, &faults[other]));
        rules.report(&rules.kind_path(index, fault), place.relate(diagnostic, "still in force"));
    }
}

/// Do two faults certainly change one and the same state? Drawn targets and roles that move on a kill may differ.
fn same_thing(a: &FaultKind, b: &FaultKind) -> bool {
    use FaultKind::{
        BrokerErrors, DeadLetterTopic, HandlerErrors, Kill, Member, Network, Pause, Poison, RollingRestart,
        SlowNetwork, Stop,
    };
    match (a, b) {
        (Kill { .. } | Stop { .. } | Pause { .. }, Kill { .. } | Stop { .. } | Pause { .. }) => {
            match (a.target(), b.target()) {
                (Some(Target::Broker(a)), Some(Target::Broker(b))) => a == b,
                (a, b) => a == Some(&Target::All) || b == Some(&Target::All),
            }
        }
        // It restarts every broker, and waits for one that is not there.
        (RollingRestart { .. }, Kill { .. } | Stop { .. } | Pause { .. } | RollingRestart { .. })
        | (Kill { .. } | Stop { .. } | Pause { .. }, RollingRestart { .. }) => true,
        (
            Network { cut: a, direction: from, between: here, .. },
            Network { cut: b, direction: to, between: there, .. },
        ) => here == there && (from == to || [from, to].contains(&&Direction::Both)) && same_link(a, b),
        (SlowNetwork { target: a, .. }, SlowNetwork { target: b, .. }) => same_link(a, b),
        (Member { member: MemberSelector::Index(x), .. }, Member { member: MemberSelector::Index(y), .. }) => {
            let joins = |kind: &FaultKind| matches!(kind, Member { action: MemberAction::Join, .. });
            x == y && !joins(a) && !joins(b)
        }
        (BrokerErrors { api: a, .. }, BrokerErrors { api: b, .. }) => a == b,
        (HandlerErrors { .. }, HandlerErrors { .. })
        | (DeadLetterTopic { .. }, DeadLetterTopic { .. })
        | (Poison { .. }, Poison { .. }) => true,
        _ => false,
    }
}

/// A cut does not move leaders, so the leader of one topic partition is one broker.
fn same_link(a: &Target, b: &Target) -> bool {
    match (a, b) {
        (Target::All, _) | (_, Target::All) => true,
        (Target::Broker(a), Target::Broker(b)) => a == b,
        (Target::LeaderOf(a), Target::LeaderOf(b)) => a == b,
        (Target::Controller, Target::Controller) | (Target::Coordinator, Target::Coordinator) => true,
        _ => false,
    }
}

/// The least that a broker's restart takes, shutdown and start.
const A_RESTART: Duration = Duration::from_secs(3);

/// Are both in force at some moment? What has no end of its own is in force until the load's end.
fn meet(a: &FaultPlan, b: &FaultPlan, brokers: u32) -> bool {
    let (a, b) = (intervals(a, brokers), intervals(b, brokers));
    let (mut i, mut j) = (0, 0);
    while let (Some((a_from, a_to)), Some((b_from, b_to))) = (a.get(i), b.get(j)) {
        if a_from < b_to && b_from < a_to {
            return true;
        }
        if a_to <= b_to { i += 1 } else { j += 1 }
    }
    false
}

fn intervals(fault: &FaultPlan, brokers: u32) -> Vec<(Duration, Duration)> {
    let held = match fault.kind {
        FaultKind::RollingRestart { .. } => Some(A_RESTART * brokers),
        _ => held(fault),
    };
    let rounds = fault.repeat.map_or(1, |r| r.times);
    let every = fault.repeat.map_or(Duration::ZERO, |r| r.every);
    (0..rounds)
        .map(|round| {
            let from = fault.at + every * round;
            (from, held.map_or(Duration::MAX, |held| from + held))
        })
        .collect()
}
