//! The scenario format as data: every table and key with its type, unit, default and meaning.
//!
//! The reader takes the names that it knows from here, the JSON Schema and the tables of `docs/scenarios.md` are made of
//! it, and tests hold the defaults and types against what the reader does. So a key that is not here does not exist.

use crate::plan::MOST_EFFECTS;

use super::raw::{ALERT_KINDS, BREAKER_STATES, ERROR_CLASSES, PROFILES};

mod faults;
mod pages;

pub use faults::{
    BROKER_ERRORS, DEAD_LETTER_TOPIC, FAULT, HANDLER_ERRORS, MEMBER, MOVE_LEADER, NETWORK, POISON, REPEAT, RESTARTED,
    ROLLING_RESTART, SLOW_NETWORK, TARGETED,
};
pub use pages::{explain, home_of, markdown, words};

/// A table of the file.
#[derive(Debug)]
pub struct Table {
    /// As it is opened: `[cluster]`; for a table within a fault its key.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub text: &'static str,
    /// In the order of the documentation.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds without it.
    pub default: Absent,
    /// What it means; the unit, where the type does not say it.
    pub text: &'static str,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must be there.
    Required,
    /// This value, as TOML.
    Is(&'static str),
    /// Something that depends on the rest, in words.
    Else(&'static str),
}

/// Types of values.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Texts,
    /// "6s".
    Duration,
    /// A duration that must not be zero.
    SomeDuration,
    /// "256B".
    Size,
    /// A size, or a whole number of bytes from 1.
    Bytes,
    /// A whole number within these limits.
    Whole(i64, i64),
    /// 0 to 1.
    Share,
    /// One of these.
    Word(&'static [&'static str]),
    /// A list of these.
    Words(&'static [&'static str]),
    /// One of Kafka's error names.
    ErrorName,
    /// "orders/0".
    TopicPartition,
    Target,
    /// A member's number, or "any".
    Member,
    /// Verbatim properties.
    Properties,
    /// Time series, by names of one's own.
    Series,
    /// Whole numbers from 0, by names of one's own.
    Counts,
    /// true or false.
    Flag,
    /// A JSON pointer.
    Pointer,
    /// A duration, or a table with `within` and `since`.
    Limit,
    /// "header", "value", or { json = "/…" }.
    Identity,
    /// "topic", "stdout", or { http = "http://…" }.
    Sink,
    /// A table.
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
    /// A table that has a target among its keys, or a bare target.
    Targeted(&'static Table),
    /// A number of records, or a table with `records` and `of`.
    Progress,
}

const fn key(name: &'static str, kind: Kind, default: Absent, text: &'static str) -> Key {
    Key { name, kind, default, text }
}

/// The names of a table's keys.
pub(super) fn names(table: &Table) -> Vec<&'static str> {
    table.keys.iter().map(|key| key.name).collect()
}

use Absent::{Else, Is, Required};
use Kind::{
    Duration, Flag, Identity, Limit, Pointer, Progress, Properties, Share, Size, SomeDuration, Tables, Text, Texts,
    Whole, Word, Words,
};

const NO_LIMIT: Absent = Else("no limit");
const MANY: i64 = i64::MAX;

/// The whole file.
pub static ROOT: Table = Table {
    name: "",
    text: "A scenario: what is set up, what goes wrong, and what is promised nevertheless.",
    keys: &[
        key("name", Text, Required, "Kebab-case; the file's name without .toml."),
        key("summary", Text, Is("\"\""), "One line for people: what happens."),
        key("tags", Texts, Is("[]"), "Words to select scenarios by (`--filter`)."),
        key(
            "requires",
            Words(&["containers", "embedded", "external"]),
            Else("every backend that has the faults' capabilities"),
            "Backends that may run it.",
        ),
        key("cluster", Kind::Table(&CLUSTER), Else("all defaults"), "The brokers."),
        key("topic", Kind::Table(&TOPIC), Else("all defaults"), "The input topic."),
        key("workload", Kind::Table(&WORKLOAD), Else("all defaults"), "The load."),
        key("subject", Kind::Table(&SUBJECT), Else("all defaults"), "The application under test."),
        key("fault", Tables(&FAULT), Else("none: a control run"), "What goes wrong; each fault a table of its own."),
        key("budget", Kind::Table(&BUDGET), Else("all defaults"), "What is promised."),
        key("expect", Kind::Table(&EXPECT), Else("nothing"), "What must be seen, else the run is inconclusive."),
        key(
            "observation",
            Kind::Table(&OBSERVATION),
            Else("all defaults"),
            "How long and how finely the run is watched.",
        ),
    ],
};

pub static CLUSTER: Table = Table {
    name: "[cluster]",
    text: "The brokers, each a combined KRaft broker and controller behind its own fault proxy.",
    keys: &[
        key("brokers", Whole(1, 99), Is("3"), "How many; they are numbered from 1."),
        key("kafka", Text, Is("\"4.1.0\""), "Exact version of the Kafka image."),
        key(
            "isolation",
            Word(&["shared", "fresh"]),
            Is("\"shared\""),
            "shared: leased, checked and reused between scenarios; fresh: a cluster of its own.",
        ),
        key("image", Text, Else("apache/kafka of the version"), "Another image, by its full name."),
        key("config", Properties, Is("{}"), "Broker properties, verbatim."),
    ],
};

pub static TOPIC: Table = Table {
    name: "[topic]",
    text: "The input topic; the output topic NAME.out and the dead-letter topic NAME.dlq have the same shape.",
    keys: &[
        key("name", Text, Is("\"orders\""), "The input topic's name."),
        key("partitions", Whole(1, 10_000), Is("6"), "Topic partitions; they are numbered from 0."),
        key("replication", Whole(1, 10_000), Else("3, or the brokers if there are fewer"), "Replicas of each."),
        key(
            "min-insync-replicas",
            Whole(1, 10_000),
            Else("2; 1 with fewer than 3 replicas"),
            "Replicas in sync that a write with acks=all needs.",
        ),
    ],
};

pub static WORKLOAD: Table = Table {
    name: "[workload]",
    text: "What is written, in an open loop: intended times never slip, however slow the answers.",
    keys: &[
        key("rate", Whole(1, 10_000_000), Is("500"), "Records per second."),
        key("keys", Whole(1, 100_000_000), Is("64"), "Distinct keys; order is promised within a key."),
        key("size", Size, Is("\"256B\""), "A record's value, 1B to 512MiB."),
        key("poison", Share, Is("0.0"), "Share of records that no handler can process, all the time."),
        key(
            "producer",
            Word(&["resilient", "plain", "stock"]),
            Is("\"resilient\""),
            "resilient: the library's producer on the proxied path, under test too; plain: the harness's own, on the direct path; stock: librdkafka's defaults on the proxied path, for comparison.",
        ),
        key("warm-up", Duration, Is("\"3s\""), "Load before anything counts."),
        key(
            "baseline",
            SomeDuration,
            Is("\"10s\""),
            "Load that everything later is compared with; at least two windows.",
        ),
    ],
};

pub static SUBJECT: Table = Table {
    name: "[subject]",
    text: "The application under test.",
    keys: &[
        key(
            "kind",
            Word(&["pipeline", "process", "container", "custom"]),
            Is("\"pipeline\""),
            "pipeline: built in; process: a program of one's own; container: an image of one's own; custom: given in Rust.",
        ),
        key("members", Whole(1, 1_000), Is("2"), "Consumer-group members at the start; they are numbered from 0."),
        key("profile", Word(&PROFILES), Is("\"production\""), "The profile of the resilience components' settings."),
        key(
            "settings",
            Properties,
            Is("{}"),
            "Overrides of the profile's settings, dotted: \"retry.max-retries\" = 8.",
        ),
        key(
            "client",
            Properties,
            Is("{}"),
            r#"Kafka client properties, verbatim. What debug = "broker,metadata" asks for is in the run folder's logs/member-N.log and logs/producer-0.log, with the history's times in seconds."#,
        ),
        key(
            "defect",
            Word(&[
                "commit-before-processing",
                "drop-on-exhaustion",
                "unawaited-dead-letter",
                "swallowed-dead-letter-failure",
                "bare-dead-letter",
                "commit-past-hole",
                "breaker-never-closes",
                "rejected-as-success",
                "forgotten-identity",
                "unordered-pool",
                "indeterminate-as-failed",
                "resent-indeterminate",
                "seek-to-end",
            ]),
            Else("none"),
            "A bug put into the pipeline on purpose, so that the harness can be seen to catch it.",
        ),
        key(
            "command",
            Texts,
            Else("required for kind process; the image's own for kind container"),
            "Program and arguments. A process is run in the file's folder.",
        ),
        key(
            "image",
            Text,
            Else("required for kind container"),
            "The image; pulled when it is not here. Its containers share the host's network.",
        ),
        key(
            "env",
            Properties,
            Is("{}"),
            "not for the pipeline: variables besides the SEAWORTHY_… ones. Here and in `command` {bootstrap}, {input}, {output}, {dead-letter}, {group}, {member} and {seed} are filled in.",
        ),
        key(
            "identity",
            Identity,
            Is("\"header\""),
            "not for the pipeline: where a record's identity is in the output: the header seaworthy-id, the value, or a JSON pointer into it.",
        ),
        key(
            "dead-letter-headers",
            Word(&["none", "seaworthy", "spring", "connect"]),
            Is("\"none\""),
            "not for the pipeline: what a complete dead letter has (the pipeline's always has seaworthy's); spring and connect are not yet supported.",
        ),
        key(
            "ready",
            Kind::Table(&READY),
            Else("{ group-stable = \"60s\" }"),
            "not for the pipeline: when load may count.",
        ),
        key("stop-grace", SomeDuration, Is("\"10s\""), "not for the pipeline: from SIGTERM to SIGKILL."),
        key(
            "ordered",
            Flag,
            Is("false"),
            "not for the pipeline: effects of a key come in the order of their sends; `reordered` is fatal.",
        ),
        key(
            "exactly-once",
            Flag,
            Is("false"),
            "not for the pipeline: one record, one effect (of each part); `duplicate-effect` is fatal.",
        ),
        key(
            "effects",
            Whole(1, MOST_EFFECTS as i64),
            Is("1"),
            "not for the pipeline: effects of each record. Several are told apart by the header seaworthy-part: 0, 1, … as text.",
        ),
        key(
            "sink",
            Kind::Sink,
            Is("\"topic\""),
            "not for the pipeline: where effects show. topic: the output topic; stdout: lines of JSON with seaworthy-id on the members' standard output; { http = \"…\" }: the same lines from an endpoint. Dead letters are in their topic.",
        ),
        key(
            "drops",
            Texts,
            Is("[]"),
            "not for the pipeline: keys whose records it leaves out on purpose, of the workload's k0, k1, …; they need no effect, and one is `filtered-but-served`.",
        ),
        key(
            "metrics",
            Kind::Table(&METRICS),
            Else("none"),
            "not for the pipeline: metrics that the application exposes and the run watches.",
        ),
    ],
};

pub static METRICS: Table = Table {
    name: "metrics",
    text: "Metrics that an application of one's own exposes in Prometheus' text format. Each member is asked once a second; a value that changed is a signal in the history, drawn in the report, and may be named in `[expect] signals`.",
    keys: &[
        key("url", Text, Required, "Of each member, with placeholders as in `env`, so that each has its own port."),
        key(
            "signals",
            Kind::Series,
            Required,
            "A name of one's own for each: `retries = 'orders_retries_total{topic=\"orders\"}'`. Series that fit are added up.",
        ),
    ],
};

pub static READY: Table = Table {
    name: "ready",
    text: "When an application of one's own counts as ready: one of `group-stable`, `line` and `http`.",
    keys: &[
        key(
            "group-stable",
            SomeDuration,
            Else("`line` or `http`"),
            "The group is stable and owns every topic partition within this time.",
        ),
        key("line", Text, Else("`group-stable`"), "Every member has written this text to its output."),
        key(
            "http",
            Text,
            Else("`group-stable`"),
            "Every member answers a GET of this URL with 2xx; placeholders as in `env`, so that each has its own port.",
        ),
        key("within", SomeDuration, Else("60s"), "Beside `line` or `http`: the longest that it may take."),
    ],
};

/// Where a record's identity is, when it is within the value.
pub static IDENTITY: Table = Table {
    name: "identity",
    text: "Where a record's identity is in the output.",
    keys: &[key("json", Pointer, Required, "A JSON pointer into the value, as \"/order/id\".")],
};

pub static SINK: Table = Table {
    name: "sink",
    text: "The endpoint at which an application of one's own lists its effects: a GET is answered with a line of JSON for each, `{\"seaworthy-id\":\"17\"}`, in an order that never changes but by what is added at the end.",
    keys: &[key(
        "http",
        Text,
        Required,
        "The URL, with placeholders as in `env`. {from}: the number of the entry, from 0, that the answer begins with; without it the answer is the whole list. With {member} the running members are asked in turn until one answers.",
    )],
};

pub static BUDGET: Table = Table {
    name: "[budget]",
    text: "What is promised. A limit that is not met fails the run.",
    keys: &[
        key("lost", Whole(0, MANY), Is("0"), "Acknowledged records that may be lost; above 0 only with `because`."),
        key("because", Text, Else("none"), "Why any may be lost; stands in every report."),
        key("duplicates", Whole(0, MANY), NO_LIMIT, "Records that are in the log, or have an effect, twice."),
        key("redelivered", Whole(0, MANY), NO_LIMIT, "Deliveries beyond the first."),
        key("reordered", Whole(0, MANY), NO_LIMIT, "Records out of order within their key."),
        key("dead-lettered", Whole(0, MANY), NO_LIMIT, "Good records in the dead-letter topic."),
        key("recovery", Limit, NO_LIMIT, "Time to full recovery of the worst scope."),
        key("first-success", Limit, NO_LIMIT, "Time to the first success in the slowest scope."),
        key("outage", Limit, NO_LIMIT, "The largest gap between two successes of a scope."),
        key("drain", Limit, NO_LIMIT, "Time until the backlog is back to normal."),
        key("detect", Limit, NO_LIMIT, "Time to the first signal of the application."),
        key("progress-during-fault", Progress, NO_LIMIT, "Records that must come through while a fault lasts."),
    ],
};

pub static PROGRESS: Table = Table {
    name: "progress-during-fault",
    text: "A number of records alone, or a table that says in which topic partitions.",
    keys: &[
        key("records", Whole(0, MANY), Required, "The fewest that must come through while the fault is in force."),
        key("of", Word(&["all", "any"]), Is("\"all\""), "In each topic partition, or in any one."),
    ],
};

pub static LIMIT: Table = Table {
    name: "recovery, first-success, outage, drain, detect",
    text: "A duration alone, or a table that says where its clock starts.",
    keys: &[
        key("within", Duration, Required, "The longest that is allowed."),
        key(
            "since",
            Word(&["inject", "heal"]),
            Else("by fault kind; `seaworthy plan` shows it"),
            "Where the clock starts: when the injection, or the heal, is confirmed.",
        ),
    ],
};

pub static EXPECT: Table = Table {
    name: "[expect]",
    text: "What must be seen, else the run is inconclusive.",
    keys: &[
        key(
            "breaker",
            Words(&BREAKER_STATES),
            Is("[]"),
            "States that some member's circuit breaker passes through, in this order.",
        ),
        key("alerts", Words(&ALERT_KINDS), Is("[]"), "Alerts that fire in some member, in any order."),
        key(
            "alerts-resolved",
            Words(&ALERT_KINDS),
            Is("[]"),
            "Alerts that fire in some member and are resolved in it before the run ends.",
        ),
        key("retries", Whole(0, MANY), Else("none"), "At least this many times a member's handler is tried again."),
        key("dead-letters", Whole(0, MANY), Else("none"), "At least this many dead letters."),
        key(
            "dead-letter-errors",
            Words(&ERROR_CLASSES),
            Is("[]"),
            "Error classes that the dead letters' headers name, each at least once.",
        ),
        key(
            "signals",
            Kind::Counts,
            Is("{}"),
            "For signals of `[subject.metrics]`, by name: what some member's value reaches at least.",
        ),
    ],
};

pub static OBSERVATION: Table = Table {
    name: "[observation]",
    text: "How long and how finely the run is watched.",
    keys: &[
        key("window", SomeDuration, Is("\"1s\""), "Trailing window in which health is judged."),
        key("hold", SomeDuration, Is("\"3s\""), "How long health must hold to count as recovered."),
        key(
            "after",
            SomeDuration,
            Else("the larger of 2 × recovery and recovery + hold; 5s without that budget"),
            "The load goes on this long after the last fault's zero.",
        ),
        key(
            "quiesce",
            SomeDuration,
            Is("\"60s\""),
            "How long the group may take to commit to the end once the load is off.",
        ),
        key("final-read", SomeDuration, Is("\"30s\""), "How long the final read may take."),
        key(
            "on-time",
            SomeDuration,
            Is("\"50ms\""),
            "A send acknowledged within this of its intended time is on time, however fast the baseline.",
        ),
    ],
};

/// Every table, in the order of the documentation.
pub static TABLES: &[&Table] = &[
    &ROOT,
    &CLUSTER,
    &TOPIC,
    &WORKLOAD,
    &SUBJECT,
    &READY,
    &IDENTITY,
    &SINK,
    &METRICS,
    &FAULT,
    &REPEAT,
    &NETWORK,
    &SLOW_NETWORK,
    &RESTARTED,
    &TARGETED,
    &ROLLING_RESTART,
    &MOVE_LEADER,
    &MEMBER,
    &HANDLER_ERRORS,
    &BROKER_ERRORS,
    &DEAD_LETTER_TOPIC,
    &POISON,
    &BUDGET,
    &LIMIT,
    &PROGRESS,
    &EXPECT,
    &OBSERVATION,
];
