//! librdkafka's properties that win recovery time, each with its reason.
//!
//! Together they took the recovery of a producer after a refused or paused leader from 1–6 s to 0–0.1 s, and after a
//! killed leader from 10–11 s to 8–9 s (the broker's own session is 9 s of that).

/// Which client a property belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientRole {
    /// Producers.
    Producer,
    /// Consumers.
    Consumer,
}

/// A property chosen for recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientProperty {
    /// librdkafka's name.
    pub key: &'static str,
    /// The value chosen.
    pub value: &'static str,
    /// librdkafka's own default.
    pub stock: &'static str,
    /// The client that knows it; `None`: both.
    pub role: Option<ClientRole>,
    /// Why this value.
    pub reason: &'static str,
}

/// The properties chosen for recovery.
pub const RECOVERY: &[ClientProperty] = &[
    ClientProperty {
        key: "enable.idempotence",
        value: "true",
        stock: "false",
        role: Some(ClientRole::Producer),
        reason: "retries inside the client can neither duplicate nor reorder, which makes short time-outs safe; implies acks=all",
    },
    ClientProperty {
        key: "acks",
        value: "all",
        stock: "-1",
        role: Some(ClientRole::Producer),
        reason: "said aloud: an acknowledged record is on all in-sync replicas",
    },
    ClientProperty {
        key: "max.in.flight.requests.per.connection",
        value: "1",
        stock: "1000000",
        role: Some(ClientRole::Producer),
        reason: "with more (5 with idempotence) librdkafka 2.12 takes a new epoch when a request follows a rejected one, and what other partitions sent again before that is in the log twice (librdkafka #4953)",
    },
    ClientProperty {
        key: "reconnect.backoff.ms",
        value: "10",
        stock: "100",
        role: None,
        reason: "the first try after a silence is 15 ms away at most: a broker that was out of reach closes the connections of before as it comes back; while it refuses, the time doubles up to the maximum at once",
    },
    ClientProperty {
        key: "reconnect.backoff.max.ms",
        value: "50",
        stock: "10000",
        role: None,
        reason: "recovery then does not depend on where a ten-second back-off stood when the broker came back; librdkafka caps after its jitter, so that the next try is 0.05 s away at most. N clients of a dead broker try up to 27 N times a second: raise it where thousands share one",
    },
    ClientProperty {
        key: "socket.timeout.ms",
        value: "3000",
        stock: "60000",
        role: None,
        reason: "a broker that no longer answers is noticed after 3 s instead of a minute; fetches add fetch.wait.max.ms",
    },
    ClientProperty {
        key: "socket.connection.setup.timeout.ms",
        value: "3000",
        stock: "30000",
        role: None,
        reason: "so is one that no longer accepts connections",
    },
    ClientProperty {
        key: "socket.nagle.disable",
        value: "true",
        stock: "false",
        role: None,
        reason: "small requests are not held back for more bytes",
    },
    ClientProperty {
        key: "socket.keepalive.enable",
        value: "true",
        stock: "false",
        role: None,
        reason: "the system notices a dead peer behind an idle connection",
    },
    ClientProperty {
        key: "request.timeout.ms",
        value: "3000",
        stock: "30000",
        role: Some(ClientRole::Producer),
        reason: "the broker answers a produce request that waits for replicas before the socket times out",
    },
    ClientProperty {
        key: "message.timeout.ms",
        value: "300000",
        stock: "300000",
        role: Some(ClientRole::Producer),
        reason: "said aloud: retries inside the client are the only ones that a broker can recognise, so they get five minutes for each attempt to ride out an outage before a record is handed back as perhaps persisted",
    },
    ClientProperty {
        key: "message.max.bytes",
        value: "10485760",
        stock: "1000000",
        role: Some(ClientRole::Producer),
        reason: "the broker decides what is too large: a dead letter is its record and some headers, and must not be refused here below the topic's own limit",
    },
    ClientProperty {
        key: "topic.metadata.refresh.fast.interval.ms",
        value: "50",
        stock: "100",
        role: None,
        reason: "a new leader is found sooner while metadata is being refreshed",
    },
    ClientProperty {
        key: "retry.backoff.ms",
        value: "50",
        stock: "100",
        role: None,
        reason: "the first retry after an election is not late",
    },
    ClientProperty {
        key: "retry.backoff.max.ms",
        value: "200",
        stock: "1000",
        role: None,
        reason: "neither are those after a long outage; it bounds the search for a new leader as well",
    },
    ClientProperty {
        key: "partition.assignment.strategy",
        value: "cooperative-sticky",
        stock: "range,roundrobin",
        role: Some(ClientRole::Consumer),
        reason: "a rebalance takes away only what moves, everybody else keeps working",
    },
    ClientProperty {
        key: "auto.offset.reset",
        value: "earliest",
        stock: "largest",
        role: Some(ClientRole::Consumer),
        reason: "a group without a commit begins at the beginning: the records before its first commit are not lost",
    },
    ClientProperty {
        key: "session.timeout.ms",
        value: "20000",
        stock: "45000",
        role: Some(ClientRole::Consumer),
        reason: "a crashed member's share moves after 20 s instead of 45; less, and a coordinator out of reach for some seconds costs the whole group its share, and repeats",
    },
    ClientProperty {
        key: "heartbeat.interval.ms",
        value: "1000",
        stock: "3000",
        role: Some(ClientRole::Consumer),
        reason: "a member learns of a rebalance within a second; twenty heartbeats fit into a session",
    },
    ClientProperty {
        key: "auto.commit.interval.ms",
        value: "1000",
        stock: "5000",
        role: Some(ClientRole::Consumer),
        reason: "after a crash a second's records are processed again instead of five seconds'",
    },
    ClientProperty {
        key: "fetch.wait.max.ms",
        value: "100",
        stock: "500",
        role: Some(ClientRole::Consumer),
        reason: "data is answered at once anyway; a lost fetch is noticed this much sooner",
    },
    ClientProperty {
        key: "fetch.error.backoff.ms",
        value: "50",
        stock: "500",
        role: Some(ClientRole::Consumer),
        reason: "the first fetch after an election is not late",
    },
    ClientProperty {
        key: "queued.max.messages.kbytes",
        value: "16384",
        stock: "65536",
        role: Some(ClientRole::Consumer),
        reason: "each topic partition has a queue of its own, so that this bounds each of them, while its handler is behind",
    },
    ClientProperty {
        key: "fetch.queue.backoff.ms",
        value: "50",
        stock: "1000",
        role: Some(ClientRole::Consumer),
        reason: "a queue that was full is looked at again soon",
    },
];

/// Other names that librdkafka has for properties of [`RECOVERY`].
pub(in crate::resilience) const ALIASES: [(&str, &str); 3] = [
    ("acks", "request.required.acks"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("message.timeout.ms", "delivery.timeout.ms"),
];

/// The client that a property belongs to, if it is one of [`RECOVERY`] and not both's, or a known one of others.
pub(in crate::resilience) fn role_of(key: &str) -> Option<ClientRole> {
    if let Some(chosen) = RECOVERY.iter().find(|property| property.key == key) {
        return chosen.role;
    }
    if PRODUCER_ONLY.contains(&key) {
        return Some(ClientRole::Producer);
    }
    CONSUMER_ONLY.contains(&key).then_some(ClientRole::Consumer)
}

/// Properties that mean something to producers only, beside those in [`RECOVERY`].
const PRODUCER_ONLY: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "linger.ms",
    "max.in.flight",
    "message.send.max.retries",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// The same for consumers.
const CONSUMER_ONLY: &[&str] = &[
    "check.crcs",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "queued.min.messages",
];
