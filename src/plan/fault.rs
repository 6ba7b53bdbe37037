//! One fault of a plan: what is harmed, how, when and for how long. Names are those of the scenario file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A harm with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultPlan {
    /// Unique within the scenario: the file's label, or kind and position ("network-1").
    pub label: String,
    /// From the end of the baseline.
    #[serde(with = "super::text::duration")]
    pub at: Duration,
    /// How long it is held; `None`: an instant (a kill), or until the observation's end.
    #[serde(default, with = "super::text::duration_option", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// Several rounds of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// What is done.
    pub kind: FaultKind,
}

/// A fault that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repeat {
    /// How often in all, at least 1.
    pub times: u32,
    /// From one injection to the next.
    #[serde(with = "super::text::duration")]
    pub every: Duration,
}

/// One harm. A closed set: adding one is a change that the compiler follows through the whole crate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A network partition.
    Network {
        /// Who is cut off.
        cut: Target,
        /// What becomes of connections and bytes.
        effect: NetworkEffect,
        /// Which way.
        direction: Direction,
        /// From whom.
        between: Between,
    },
    /// A degraded link.
    #[serde(rename_all = "kebab-case")]
    SlowNetwork {
        /// To whom.
        target: Target,
        /// Added to a round trip.
        #[serde(with = "super::text::duration")]
        latency: Duration,
        /// By how much the latency varies, to both sides.
        #[serde(with = "super::text::duration")]
        jitter: Duration,
        /// Bytes per second.
        rate: Option<u64>,
    },
    /// SIGKILL of a broker.
    #[serde(rename_all = "kebab-case")]
    Kill {
        /// Who.
        target: Target,
        /// Started again this long after the kill.
        #[serde(default, with = "super::text::duration_option", skip_serializing_if = "Option::is_none")]
        restart_after: Option<Duration>,
    },
    /// Graceful shutdown of a broker.
    #[serde(rename_all = "kebab-case")]
    Stop {
        /// Who.
        target: Target,
        /// Started again this long after the stop.
        #[serde(default, with = "super::text::duration_option", skip_serializing_if = "Option::is_none")]
        restart_after: Option<Duration>,
    },
    /// A frozen broker; on resume the old leader is a zombie.
    Pause {
        /// Who.
        target: Target,
    },
    /// Every broker once.
    #[serde(rename_all = "kebab-case")]
    RollingRestart {
        /// Who first.
        order: RestartOrder,
        /// What is awaited before the next.
        wait: RestartWait,
    },
    /// An election without a failure.
    #[serde(rename_all = "kebab-case")]
    MoveLeader {
        /// Whose leader.
        topic_partition: TopicPartition,
        /// The new leader; `None`: another replica, drawn from the seed.
        to: Option<u32>,
    },
    /// Something that changes the consumer group.
    #[serde(rename_all = "kebab-case")]
    Member {
        /// What happens.
        action: MemberAction,
        /// To whom.
        member: MemberSelector,
        /// Started again this long after.
        #[serde(default, with = "super::text::duration_option", skip_serializing_if = "Option::is_none")]
        restart_after: Option<Duration>,
    },
    /// The chaos engine in the subject's handler.
    HandlerErrors {
        /// Share of calls.
        rate: f64,
        /// What they return.
        error: HandlerError,
        /// Before they return it.
        #[serde(with = "super::text::duration")]
        latency: Duration,
    },
    /// Errors in the answers of brokers.
    BrokerErrors {
        /// The request, in kebab-case.
        api: String,
        /// Kafka's name of the error.
        error: String,
        /// Share of requests.
        rate: Option<f64>,
        /// The next so many requests.
        times: Option<u32>,
    },
    /// The dead-letter queue itself fails.
    DeadLetterTopic {
        /// How.
        effect: DeadLetterEffect,
    },
    /// Unprocessable records.
    Poison {
        /// Share of records.
        rate: f64,
    },
}

impl FaultKind {
    /// The key of the scenario file, also the history's and the result's word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Network { .. } => "network",
            Self::SlowNetwork { .. } => "slow-network",
            Self::Kill { .. } => "kill",
            Self::Stop { .. } => "stop",
            Self::Pause { .. } => "pause",
            Self::RollingRestart { .. } => "rolling-restart",
            Self::MoveLeader { .. } => "move-leader",
            Self::Member { .. } => "member",
            Self::HandlerErrors { .. } => "handler-errors",
            Self::BrokerErrors { .. } => "broker-errors",
            Self::DeadLetterTopic { .. } => "dead-letter-topic",
            Self::Poison { .. } => "poison",
        }
    }

    /// The broker or brokers that it is aimed at, if it is aimed at brokers.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Network { cut: target, .. }
            | Self::SlowNetwork { target, .. }
            | Self::Kill { target, .. }
            | Self::Stop { target, .. }
            | Self::Pause { target } => Some(target),
            Self::RollingRestart { .. }
            | Self::MoveLeader { .. }
            | Self::Member { .. }
            | Self::HandlerErrors { .. }
            | Self::BrokerErrors { .. }
            | Self::DeadLetterTopic { .. }
            | Self::Poison { .. } => None,
        }
    }

    /// The same harm where topics have other names.
    pub(super) fn rename_topics(&mut self, renamed: impl Fn(&str) -> String) {
        let move_to = |tp: &mut TopicPartition| tp.topic = renamed(&tp.topic).into();
        match self {
            Self::Network { cut: target, .. }
            | Self::SlowNetwork { target, .. }
            | Self::Kill { target, .. }
            | Self::Stop { target, .. }
            | Self::Pause { target } => {
                if let Target::LeaderOf(tp) | Target::FollowerOf(tp) = target {
                    move_to(tp);
                }
            }
            Self::MoveLeader { topic_partition, .. } => move_to(topic_partition),
            Self::RollingRestart { .. }
            | Self::Member { .. }
            | Self::HandlerErrors { .. }
            | Self::BrokerErrors { .. }
            | Self::DeadLetterTopic { .. }
            | Self::Poison { .. } => {}
        }
    }

    /// How long after injection the harm itself ends, for faults that bring their own end.
    pub fn restart_after(&self) -> Option<Duration> {
        match self {
            Self::Kill { restart_after, .. }
            | Self::Stop { restart_after, .. }
            | Self::Member { restart_after, .. } => *restart_after,
            _ => None,
        }
    }

    /// Where the recovery clock starts when the budget does not say: at the heal where success is impossible
    /// meanwhile (a cut that covers what it is measured on, all handler calls failing), else at the injection.
    pub fn default_since(&self) -> Since {
        match self {
            Self::Network { .. } | Self::SlowNetwork { .. } | Self::Pause { .. } => Since::Heal,
            Self::HandlerErrors { .. } | Self::BrokerErrors { .. } | Self::DeadLetterTopic { .. } => Since::Heal,
            Self::Poison { .. }
            | Self::Kill { .. }
            | Self::Stop { .. }
            | Self::RollingRestart { .. }
            | Self::MoveLeader { .. }
            | Self::Member { .. } => Since::Inject,
        }
    }
}

/// Which broker or brokers. Roles are resolved at injection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// By number, from 1.
    Broker(u32),
    /// Who leads it.
    LeaderOf(TopicPartition),
    /// A replica that follows; drawn from the seed if there are several.
    FollowerOf(TopicPartition),
    /// The metadata quorum's leader.
    Controller,
    /// The coordinator of the subject's group.
    Coordinator,
    /// Any one, drawn from the seed.
    One,
    /// As many as a quorum can spare, drawn from the seed.
    Minority,
    /// As many as make a quorum, drawn from the seed.
    Majority,
    /// Every broker.
    All,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::LeaderOf(tp) => write!(f, "leader of {tp}"),
            Self::FollowerOf(tp) => write!(f, "follower of {tp}"),
            Self::Controller => f.write_str("controller"),
            Self::Coordinator => f.write_str("coordinator"),
            Self::One => f.write_str("one broker"),
            Self::Minority => f.write_str("a minority of brokers"),
            Self::Majority => f.write_str("a majority of brokers"),
            Self::All => f.write_str("all brokers"),
        }
    }
}

/// A topic partition, written `topic/number`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: std::sync::Arc<str>,
    /// Its number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The topic partition of this topic and number.
    pub fn new(topic: impl Into<std::sync::Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl std::str::FromStr for TopicPartition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not a topic partition: expected `topic/number`, as in `orders/0`");
        let (topic, partition) = text.rsplit_once('/').ok_or_else(expected)?;
        if topic.is_empty() {
            return Err(expected());
        }
        match partition.parse::<i32>() {
            Ok(partition) if partition >= 0 => Ok(Self::new(topic, partition)),
            _ => Err(expected()),
        }
    }
}

impl Serialize for TopicPartition {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicPartition {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = TopicPartition;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a topic partition such as \"orders/0\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TopicPartition, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_str(Text)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[derive(schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }
    };
}

words! {
    /// What a cut does to connections.
    NetworkEffect {
        /// Existing connections are closed, new ones refused.
        Refuse,
        /// Connections stay, bytes vanish; the heal closes them.
        Blackhole,
        /// Connections stay, bytes wait and arrive after the heal.
        Stall,
        /// Connections are reset.
        Reset,
    }
}
words! {
    /// Which way is cut.
    Direction {
        /// Both ways.
        Both,
        /// What clients send.
        Requests,
        /// What brokers answer: the lost acknowledgement.
        Replies,
    }
}
words! {
    /// Who is cut off from whom.
    Between {
        /// The subject and its brokers.
        ClientsBrokers,
        /// Brokers and brokers.
        Brokers,
    }
}
words! {
    /// In which order brokers are restarted.
    RestartOrder {
        /// By number.
        Ascending,
        /// By number, the highest first.
        Descending,
        /// By number, but the metadata quorum's leader last.
        ControllerLast,
        /// Drawn from the seed.
        Random,
    }
}
words! {
    /// What is awaited between two restarts.
    RestartWait {
        /// Every replica is in sync again.
        InSync,
    }
}
words! {
    /// What happens to a consumer-group member.
    MemberAction {
        /// SIGKILL of its process: no farewell to the group.
        Crash,
        /// Ended in good order.
        Stop,
        /// Its process is frozen.
        Pause,
        /// One more member.
        Join,
        /// One member fewer, in good order.
        Leave,
    }
}
words! {
    /// What the handler's chaos engine returns.
    HandlerError {
        /// An error that is worth another try.
        Retriable,
        /// An error that no retry can cure.
        Permanent,
        /// No answer within the time allowed.
        Timeout,
    }
}
words! {
    /// How the dead-letter topic fails.
    DeadLetterEffect {
        /// It cannot be reached.
        Unavailable,
        /// It may not be written to.
        Forbidden,
        /// It takes no record of any useful size.
        TooLarge,
    }
}
words! {
    /// Where the recovery clock starts.
    Since {
        /// When the fault is confirmed in effect.
        Inject,
        /// When its removal is confirmed.
        Heal,
    }
}

/// One member of the consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberSelector {
    /// Drawn from the seed.
    Any,
    /// By number, from 0.
    Index(u32),
}
