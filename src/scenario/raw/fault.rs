//! `[[fault]]`: one table, one harm.

use std::time::Duration;

use super::protocol;
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{
    Between, DeadLetterEffect, Direction, FaultKind, FaultPlan, HandlerError, MemberAction, MemberSelector,
    NetworkEffect, Repeat, RestartOrder, RestartWait, Target,
};
use crate::scenario::document::Value;
use crate::scenario::format;
use crate::scenario::reader::{Field, Fields};

/// The kinds of faults, by their keys.
pub const KINDS: [&str; 12] = [
    "network",
    "slow-network",
    "kill",
    "stop",
    "pause",
    "rolling-restart",
    "move-leader",
    "member",
    "handler-errors",
    "broker-errors",
    "dead-letter-topic",
    "poison",
];

pub(in crate::scenario) const TARGET_KEYS: [&str; 3] = ["broker", "leader-of", "follower-of"];

pub(in crate::scenario) const TARGET_WORDS: [(&str, Target); 6] = [
    ("controller", Target::Controller),
    ("coordinator", Target::Coordinator),
    ("one", Target::One),
    ("minority", Target::Minority),
    ("majority", Target::Majority),
    ("all", Target::All),
];

/// The faults that could be read, and the number of each in the file.
pub(super) fn read(root: &Fields) -> (Vec<FaultPlan>, Vec<usize>) {
    let mut faults: Vec<FaultPlan> = Vec::new();
    let mut numbers = Vec::new();
    let Some(list) = root.get("fault") else { return (faults, numbers) };
    if matches!(list.node.value, Value::Table(_)) {
        list.wrong_type::<()>(
            "a list of tables",
            Some("each fault begins with `[[fault]]`, in double brackets".into()),
        );
        return (faults, numbers);
    }
    for (number, item) in list.items().iter().enumerate() {
        let Some(mut fault) = read_one(item) else { continue };
        if fault.label.is_empty() {
            let kind = fault.kind.name();
            let earlier = faults.iter().filter(|other| other.kind.name() == kind).count();
            fault.label = format!("{kind}-{}", earlier + 1);
        }
        faults.push(fault);
        numbers.push(number);
    }
    (faults, numbers)
}

/// A fault with an empty label if the file gives none.
fn read_one(item: &Field) -> Option<FaultPlan> {
    let table = item.table(&format::FAULT)?;
    let at = table.require("at", "at = \"0s\"").and_then(|f| f.duration());
    let lasts = table.get("lasts").map(|f| f.some_duration());
    let repeat = table.get("repeat").map(|f| repeat(&f));
    let label = table.get("label").map(|f| f.text());
    let kind = kind(&table);
    Some(FaultPlan {
        label: label.map_or(Some(String::new()), |l| l)?,
        at: at?,
        lasts: flip(lasts)?,
        repeat: flip(repeat)?,
        kind: kind?,
    })
}

/// Absent is `Some(None)`, wrong is `None`.
fn flip<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn repeat(field: &Field) -> Option<Repeat> {
    let table = field.table(&format::REPEAT)?;
    let times = table.require("times", "times = 3").and_then(|f| f.count(1_000));
    let every = table.require("every", "every = \"10s\"").and_then(|f| f.some_duration());
    Some(Repeat { times: times?, every: every? })
}

fn kind(table: &Fields) -> Option<FaultKind> {
    let given = table.given(&KINDS);
    match &given[..] {
        [] => {
            table.report(
                Diagnostic::error(codes::FAULT_KIND_MISSING, "this fault does nothing: it has no kind")
                    .label("expected exactly one kind in this table")
                    .help(format!("kinds: {}", KINDS.join(", "))),
            );
            None
        }
        [one] => one_kind(one),
        [first, more @ ..] => {
            for other in more {
                let message = format!("one fault cannot be both `{}` and `{}`", first.key(), other.key());
                let diagnostic = Diagnostic::error(codes::FAULT_KIND_SEVERAL, message)
                    .label("a second kind")
                    .help("give each a [[fault]] table of its own, with the same `at`");
                let diagnostic = first.key_place.relate(diagnostic, "the first kind");
                other.sink.report(&other.path, other.key_place, diagnostic);
            }
            // Their own mistakes are shown too.
            given.iter().for_each(|field| {
                one_kind(field);
            });
            None
        }
    }
}

fn one_kind(field: &Field) -> Option<FaultKind> {
    match field.key() {
        "network" => network(field),
        "slow-network" => slow_network(field),
        "kill" => {
            let (target, restart_after) = target_and_restart(field)?;
            Some(FaultKind::Kill { target, restart_after })
        }
        "stop" => {
            let (target, restart_after) = target_and_restart(field)?;
            Some(FaultKind::Stop { target, restart_after })
        }
        "pause" => Some(FaultKind::Pause { target: target_among(field, &format::TARGETED)? }),
        "rolling-restart" => rolling_restart(field),
        "move-leader" => move_leader(field),
        "member" => member(field),
        "handler-errors" => handler_errors(field),
        "broker-errors" => broker_errors(field),
        "dead-letter-topic" => dead_letter_topic(field),
        "poison" => poison(field),
        _ => None,
    }
}

fn network(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::NETWORK)?;
    let cut = table.require("cut", "cut = { leader-of = \"orders/0\" }").and_then(|f| target(&f));
    let effect = word_or(
        &table,
        "effect",
        &[
            ("refuse", NetworkEffect::Refuse),
            ("blackhole", NetworkEffect::Blackhole),
            ("stall", NetworkEffect::Stall),
            ("reset", NetworkEffect::Reset),
        ],
        NetworkEffect::Refuse,
    );
    let direction = word_or(
        &table,
        "direction",
        &[("both", Direction::Both), ("requests", Direction::Requests), ("replies", Direction::Replies)],
        Direction::Both,
    );
    let between = word_or(
        &table,
        "between",
        &[("clients-brokers", Between::ClientsBrokers), ("brokers", Between::Brokers)],
        Between::ClientsBrokers,
    );
    Some(FaultKind::Network { cut: cut?, effect: effect?, direction: direction?, between: between? })
}

fn slow_network(field: &Field) -> Option<FaultKind> {
    let target = target_among(field, &format::SLOW_NETWORK);
    let table = field.fields();
    let latency = duration_or_zero(&table, "latency");
    let jitter = duration_or_zero(&table, "jitter");
    let rate = table.get("rate").map(|f| match f.node.value {
        Value::Text(_) => f.size(),
        _ => f.integer(1, i64::MAX).map(|number| number as u64),
    });
    Some(FaultKind::SlowNetwork { target: target?, latency: latency?, jitter: jitter?, rate: flip(rate)? })
}

fn target_and_restart(field: &Field) -> Option<(Target, Option<Duration>)> {
    let target = target_among(field, &format::RESTARTED);
    let restart = field.fields().get("restart-after").map(|f| f.some_duration());
    Some((target?, flip(restart)?))
}

fn rolling_restart(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::ROLLING_RESTART)?;
    let order = word_or(
        &table,
        "order",
        &[
            ("ascending", RestartOrder::Ascending),
            ("descending", RestartOrder::Descending),
            ("controller-last", RestartOrder::ControllerLast),
            ("random", RestartOrder::Random),
        ],
        RestartOrder::Ascending,
    );
    let wait = word_or(&table, "wait", &[("in-sync", RestartWait::InSync)], RestartWait::InSync);
    Some(FaultKind::RollingRestart { order: order?, wait: wait? })
}

fn move_leader(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::MOVE_LEADER)?;
    let topic_partition =
        table.require("topic-partition", "topic-partition = \"orders/0\"").and_then(|f| f.topic_partition());
    let to = table.get("to").map(|f| broker_number(&f));
    Some(FaultKind::MoveLeader { topic_partition: topic_partition?, to: flip(to)? })
}

fn member(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::MEMBER)?;
    let action = table.require("action", "action = \"crash\"").and_then(|f| {
        f.word(&[
            ("crash", MemberAction::Crash),
            ("stop", MemberAction::Stop),
            ("pause", MemberAction::Pause),
            ("join", MemberAction::Join),
            ("leave", MemberAction::Leave),
        ])
    });
    let member = table.get("member").map_or(Some(MemberSelector::Any), |f| match f.node.value {
        Value::Integer(_) => f.integer(0, i64::from(u32::MAX)).map(|index| MemberSelector::Index(index as u32)),
        Value::Text(_) => f.word(&[("any", MemberSelector::Any)]),
        _ => f.wrong_type("a member's number or \"any\"", None),
    });
    let restart_after = table.get("restart-after").map(|f| f.some_duration());
    Some(FaultKind::Member { action: action?, member: member?, restart_after: flip(restart_after)? })
}

fn handler_errors(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::HANDLER_ERRORS)?;
    let rate = table.require("rate", "rate = 1.0").and_then(|f| f.share());
    let words = [
        ("retriable", HandlerError::Retriable),
        ("permanent", HandlerError::Permanent),
        ("timeout", HandlerError::Timeout),
    ];
    let error = word_or(&table, "error", &words, HandlerError::Retriable);
    let latency = duration_or_zero(&table, "latency");
    Some(FaultKind::HandlerErrors { rate: rate?, error: error?, latency: latency? })
}

fn broker_errors(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::BROKER_ERRORS)?;
    let name = |key, example, known: &[&'static str]| {
        let words: Vec<_> = known.iter().map(|name| (*name, *name)).collect();
        table.require(key, example).and_then(|f| f.word(&words)).map(str::to_owned)
    };
    let api = name("api", "api = \"produce\"", protocol::APIS);
    let error = name("error", "error = \"NOT_LEADER_OR_FOLLOWER\"", &protocol::errors());
    let rate = table.get("rate").map(|f| f.share());
    let times = table.get("times").map(|f| f.count(u32::MAX));
    match (&rate, &times) {
        (None, None) => {
            table.require("rate", "rate = 0.5` for a share of the requests, or `times = 3");
            return None;
        }
        (Some(_), Some(_)) => {
            table.report(
                Diagnostic::error(codes::FAULT_KIND_SEVERAL, "`rate` and `times` exclude each other")
                    .label("expected one of them")
                    .help("`rate` is a share of all requests, `times` the number of requests that fail"),
            );
            return None;
        }
        _ => {}
    }
    Some(FaultKind::BrokerErrors { api: api?, error: error?, rate: flip(rate)?, times: flip(times)? })
}

fn dead_letter_topic(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::DEAD_LETTER_TOPIC)?;
    let effect = table.require("effect", "effect = \"unavailable\"")?.word(&[
        ("unavailable", DeadLetterEffect::Unavailable),
        ("forbidden", DeadLetterEffect::Forbidden),
        ("too-large", DeadLetterEffect::TooLarge),
    ]);
    Some(FaultKind::DeadLetterTopic { effect: effect? })
}

fn poison(field: &Field) -> Option<FaultKind> {
    let table = field.table(&format::POISON)?;
    Some(FaultKind::Poison { rate: table.require("rate", "rate = 0.1")?.share()? })
}

/// A target: bare, under `target`, or with its key among the kind's own.
fn target_among(field: &Field, kind: &format::Table) -> Option<Target> {
    if !matches!(field.node.value, Value::Table(_)) {
        return target(field);
    }
    let table = field.table_of(&[&format::names(kind)[..], &TARGET_KEYS[..]].concat())?;
    let among = table.given(&TARGET_KEYS);
    match (table.get("target"), &among[..]) {
        (Some(field), []) => target(&field),
        (None, [one]) => target_key(one),
        (None, []) => {
            table.require("target", "target = { leader-of = \"orders/0\" }");
            None
        }
        _ => several_targets(field),
    }
}

fn target(field: &Field) -> Option<Target> {
    match &field.node.value {
        Value::Text(text) => {
            let word = TARGET_WORDS.iter().find(|(name, _)| name == text).map(|(_, target)| target.clone());
            if word.is_none() {
                let names = TARGET_WORDS.map(|(name, _)| name);
                let near = crate::diagnostic::nearest(text, names);
                let mut diagnostic = Diagnostic::error(codes::BAD_TARGET, format!("`{text}` is not a target"))
                    .label(near.map_or("expected a target".into(), |name| format!("expected \"{name}\"?")))
                    .help(format!("words: {}; or {{ broker = 2 }}, {{ leader-of = \"orders/0\" }}", names.join(", ")));
                if text.contains('/') {
                    diagnostic = diagnostic.help(format!("did you mean {{ leader-of = \"{text}\" }}?"));
                }
                field.report(diagnostic);
            }
            word
        }
        Value::Table(_) => {
            let table = field.table_of(&TARGET_KEYS)?;
            match &table.given(&TARGET_KEYS)[..] {
                [one] => target_key(one),
                // An unknown key has been reported already.
                [] if !field.node.entries().is_empty() => None,
                [] => {
                    field.report(
                        Diagnostic::error(codes::BAD_TARGET, "this target names no broker")
                            .label("expected { broker = 2 }, { leader-of = … } or { follower-of = … }"),
                    );
                    None
                }
                _ => several_targets(field),
            }
        }
        Value::Integer(number) => {
            let help = format!("a broker's number goes into a table: {{ broker = {number} }}");
            field.report(
                Diagnostic::error(codes::BAD_TARGET, "a bare number is not a target")
                    .label("expected a target")
                    .help(help),
            );
            None
        }
        _ => field.wrong_type("a target", Some("such as { leader-of = \"orders/0\" } or \"controller\"".into())),
    }
}

fn target_key(field: &Field) -> Option<Target> {
    match field.key() {
        "broker" => broker_number(field).map(Target::Broker),
        "leader-of" => field.topic_partition().map(Target::LeaderOf),
        _ => field.topic_partition().map(Target::FollowerOf),
    }
}

fn several_targets(field: &Field) -> Option<Target> {
    field.report(
        Diagnostic::error(codes::BAD_TARGET, "more than one target")
            .label("expected exactly one")
            .help("give each a [[fault]] table of its own, or use \"minority\", \"majority\" or \"all\""),
    );
    None
}

/// Whether there is such a broker is for `validate` to say.
fn broker_number(field: &Field) -> Option<u32> {
    field.integer(0, i64::from(u32::MAX)).map(|number| number as u32)
}

fn duration_or_zero(table: &Fields, key: &str) -> Option<Duration> {
    table.get(key).map_or(Some(Duration::ZERO), |f| f.duration())
}

fn word_or<T: Copy>(table: &Fields, key: &str, words: &[(&str, T)], default: T) -> Option<T> {
    table.get(key).map_or(Some(default), |f| f.word(words))
}
