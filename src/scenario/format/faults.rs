//! `[[fault]]` and the table of each kind.

use super::Absent::{Else, Is, Required};
use super::Kind::{
    self, Bytes, Duration, ErrorName, Member, Share, SomeDuration, Target, Targeted, Text, TopicPartition, Whole, Word,
};
use super::{Table, key};
use crate::scenario::raw::protocol;

pub static FAULT: Table = Table {
    name: "[[fault]]",
    text: "One harm: when, for how long, and exactly one kind.",
    keys: &[
        key("at", Duration, Required, "When, from the end of the baseline."),
        key(
            "lasts",
            SomeDuration,
            Else("an instant, or the kind's own end"),
            "How long it is held; then it is healed.",
        ),
        key("repeat", Kind::Table(&REPEAT), Else("once"), "Several rounds of it."),
        key(
            "label",
            Text,
            Else("kind and position, as network-1"),
            "Its name in history and reports, kebab-case, unique.",
        ),
        key("network", Kind::Table(&NETWORK), Else("-"), "A network partition."),
        key("slow-network", Targeted(&SLOW_NETWORK), Else("-"), "A degraded link."),
        key("kill", Targeted(&RESTARTED), Else("-"), "SIGKILL of a broker."),
        key("stop", Targeted(&RESTARTED), Else("-"), "Graceful shutdown of a broker."),
        key("pause", Targeted(&TARGETED), Else("-"), "A broker freezes; on resume the old leader is a zombie."),
        key("rolling-restart", Kind::Table(&ROLLING_RESTART), Else("-"), "Every broker is restarted once."),
        key("move-leader", Kind::Table(&MOVE_LEADER), Else("-"), "An election without a failure."),
        key("member", Kind::Table(&MEMBER), Else("-"), "The consumer group changes."),
        key("handler-errors", Kind::Table(&HANDLER_ERRORS), Else("-"), "The chaos engine in the subject's handler."),
        key("broker-errors", Kind::Table(&BROKER_ERRORS), Else("-"), "Errors in the brokers' answers."),
        key("dead-letter-topic", Kind::Table(&DEAD_LETTER_TOPIC), Else("-"), "The dead-letter topic itself fails."),
        key("poison", Kind::Table(&POISON), Else("-"), "Records that no handler can process."),
    ],
};

pub static REPEAT: Table = Table {
    name: "repeat",
    text: "Several rounds of a fault.",
    keys: &[
        key("times", Whole(1, 1_000), Required, "How often in all."),
        key("every", SomeDuration, Required, "From one injection to the next."),
    ],
};

pub static NETWORK: Table = Table {
    name: "network",
    text: "A network partition.",
    keys: &[
        key("cut", Target, Required, "Who is cut off."),
        key(
            "effect",
            Word(&["refuse", "blackhole", "stall", "reset"]),
            Is("\"refuse\""),
            "refuse: connections are closed and refused; blackhole: bytes vanish; stall: bytes wait; reset: connections are reset.",
        ),
        key(
            "direction",
            Word(&["both", "requests", "replies"]),
            Is("\"both\""),
            "Which way is cut; replies with blackhole is the lost acknowledgement.",
        ),
        key(
            "between",
            Word(&["clients-brokers", "brokers"]),
            Is("\"clients-brokers\""),
            "From whom. brokers: no other broker reaches it, nor it them, while clients still do; only with effect = \"blackhole\" in both directions, on containers.",
        ),
    ],
};

pub static SLOW_NETWORK: Table = Table {
    name: "slow-network",
    text: "A degraded link: at least one of latency, jitter and rate.",
    keys: &[
        key("target", Target, Else("its keys may stand here directly"), "To whom."),
        key("latency", Duration, Is("\"0s\""), "Added to a round trip."),
        key("jitter", Duration, Is("\"0s\""), "By how much the latency varies, to both sides."),
        key("rate", Bytes, Else("no cap"), "Bytes per second: a size, or a number."),
    ],
};

pub static RESTARTED: Table = Table {
    name: "kill, stop",
    text: "A broker is gone, for good unless `restart-after` or the fault's `lasts` is given.",
    keys: &[
        key("target", Target, Else("its keys may stand here directly"), "Who."),
        key("restart-after", SomeDuration, Else("never, or the fault's `lasts`"), "Started again this long after."),
    ],
};

pub static TARGETED: Table = Table {
    name: "pause",
    text: "A frozen broker.",
    keys: &[key("target", Target, Else("its keys may stand here directly"), "Who.")],
};

pub static ROLLING_RESTART: Table = Table {
    name: "rolling-restart",
    text: "Every broker is shut down and started again, one after another.",
    keys: &[
        key(
            "order",
            Word(&["ascending", "descending", "controller-last", "random"]),
            Is("\"ascending\""),
            "Who first.",
        ),
        key("wait", Word(&["in-sync"]), Is("\"in-sync\""), "What is awaited before the next: every replica in sync."),
    ],
};

pub static MOVE_LEADER: Table = Table {
    name: "move-leader",
    text: "An election without a failure.",
    keys: &[
        key("topic-partition", TopicPartition, Required, "Whose leader."),
        key(
            "to",
            Whole(0, u32::MAX as i64),
            Else("another replica, drawn from the seed"),
            "The new leader's broker number.",
        ),
    ],
};

pub static MEMBER: Table = Table {
    name: "member",
    text: "Something that changes the consumer group.",
    keys: &[
        key(
            "action",
            Word(&["crash", "stop", "pause", "join", "leave"]),
            Required,
            "crash: SIGKILL, no farewell; stop: ended in good order; pause: frozen (needs `lasts`); join: one more; leave: one fewer.",
        ),
        key("member", Member, Is("\"any\""), "Whom: a number from 0, or \"any\", drawn from the seed."),
        key(
            "restart-after",
            SomeDuration,
            Else("never, or the fault's `lasts`"),
            "crash, stop: started again this long after.",
        ),
    ],
};

pub static HANDLER_ERRORS: Table = Table {
    name: "handler-errors",
    text: "Handler calls fail or dawdle, decided by a hash of seed and record.",
    keys: &[
        key("rate", Share, Required, "Share of calls."),
        key("error", Word(&["retriable", "permanent", "timeout"]), Is("\"retriable\""), "What they return."),
        key("latency", Duration, Is("\"0s\""), "Before they return it."),
    ],
};

pub static BROKER_ERRORS: Table = Table {
    name: "broker-errors",
    text: "The application's requests are answered with an error; either `rate` or `times`. The first must come within 15 s. Embedded backend only.",
    keys: &[
        key("api", Word(protocol::APIS), Required, "Which requests."),
        key("error", ErrorName, Required, "Kafka's name of the error, as NOT_LEADER_OR_FOLLOWER."),
        key("rate", Share, Else("`times`"), "Share of requests."),
        key("times", Whole(1, u32::MAX as i64), Else("`rate`"), "The next so many requests."),
    ],
};

pub static DEAD_LETTER_TOPIC: Table = Table {
    name: "dead-letter-topic",
    text: "The dead-letter queue itself fails.",
    keys: &[key(
        "effect",
        Word(&["unavailable", "forbidden", "too-large"]),
        Required,
        "unavailable: not reached; forbidden: not authorised; too-large: takes no record of any useful size.",
    )],
};

pub static POISON: Table = Table {
    name: "poison",
    text: "Records that no handler can process.",
    keys: &[key("rate", Share, Required, "Share of records while the fault lasts.")],
};
