//! What a plan needs and what a backend can do, as data: compared while planning, so that no fault is ever left out
//! silently.

use std::collections::BTreeSet;

use super::{
    BackendKind, Between, DeadLetterEffect, Direction, FaultKind, MemberAction, NetworkEffect, Plan, RestartOrder,
    Target,
};

macro_rules! capabilities {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal),* $(,)?) => {
        /// One thing that a backend can or cannot do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Capability { $($(#[doc = $doc])* $variant),* }

        impl Capability {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

capabilities! {
    /// Connections to a broker are closed and refused.
    CutRefuse = "cut-refuse",
    /// Bytes vanish.
    CutBlackhole = "cut-blackhole",
    /// Bytes wait.
    CutStall = "cut-stall",
    /// Connections are reset.
    CutReset = "cut-reset",
    /// Requests or replies alone are hit.
    OneWayCut = "one-way-cut",
    /// A broker that no other broker reaches, nor it them.
    BrokerLinks = "broker-links",
    /// Connections between brokers refused, reset or held, or hit one way.
    BrokerLinkEffects = "broker-link-effects",
    /// Latency and bandwidth.
    SlowNetwork = "slow-network",
    /// SIGKILL of a broker.
    KillBroker = "kill-broker",
    /// Graceful shutdown of a broker.
    StopBroker = "stop-broker",
    /// Freezing a broker.
    PauseBroker = "pause-broker",
    /// Every broker once.
    RollingRestart = "rolling-restart",
    /// An election on demand.
    MoveLeader = "move-leader",
    /// SIGKILL of a member's process.
    CrashMember = "crash-member",
    /// Freezing a member's process.
    PauseMember = "pause-member",
    /// Members that join and leave.
    ChangeMembers = "change-members",
    /// The chaos engine in the handler.
    HandlerErrors = "handler-errors",
    /// Errors in the brokers' answers.
    BrokerErrors = "broker-errors",
    /// The dead-letter topic is gone.
    DeadLetterUnavailable = "dead-letter-unavailable",
    /// The dead-letter topic may not be written.
    DeadLetterForbidden = "dead-letter-forbidden",
    /// The dead-letter topic takes no record.
    DeadLetterTooLarge = "dead-letter-too-large",
    /// Records that no handler can process.
    Poison = "poison",
    /// Knowing the metadata quorum's leader.
    FindController = "find-controller",
    /// Knowing the group's coordinator.
    FindCoordinator = "find-coordinator",
    /// Replicas that follow.
    Followers = "followers",
    /// Broker properties.
    BrokerConfig = "broker-config",
    /// Another image.
    ChooseImage = "choose-image",
}

/// What takes no power over the brokers: their links, the application, the run's own topics.
const EVERYWHERE: [Capability; 13] = {
    use Capability::*;
    [
        CutRefuse,
        CutBlackhole,
        CutStall,
        CutReset,
        OneWayCut,
        SlowNetwork,
        CrashMember,
        PauseMember,
        ChangeMembers,
        HandlerErrors,
        DeadLetterTooLarge,
        Poison,
        FindCoordinator,
    ]
};

/// A capability that a plan needs, and the fault that needs it (`None`: the cluster itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What is needed.
    pub capability: Capability,
    /// Index into [`Plan::faults`].
    pub fault: Option<usize>,
}

/// What one backend can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Which backend.
    pub backend: BackendKind,
    /// What it can do.
    pub can: BTreeSet<Capability>,
    /// Data that a topic partition keeps before acknowledged records are dropped; `None`: all of it.
    pub bytes_per_topic_partition: Option<u64>,
}

impl Capabilities {
    /// What a backend of this kind can do at best. A backend that knows itself better says so instead.
    pub fn of(backend: BackendKind) -> Self {
        use Capability::*;
        let (can, bytes): (BTreeSet<_>, _) = match backend {
            // Errors in answers take a proxy that speaks the protocol; a broker can leave the brokers' network, but nothing
            // stands between brokers that could refuse or hold. A topic that asks for more replicas in sync than it has is taken for one
            // that asks for all (Kafka 4.1), so that way of making one unavailable is none.
            BackendKind::Containers => {
                let cannot = [BrokerErrors, BrokerLinkEffects, DeadLetterUnavailable];
                (Capability::ALL.iter().copied().filter(|c| !cannot.contains(c)).collect(), None)
            }
            // There is no replication and no controller. A dead broker is rehearsed: nobody listens, and others lead after
            // a while; its data are safe whatever happens.
            BackendKind::Embedded => {
                let own = [
                    KillBroker,
                    StopBroker,
                    PauseBroker,
                    RollingRestart,
                    MoveLeader,
                    BrokerErrors,
                    DeadLetterUnavailable,
                ];
                (EVERYWHERE.into_iter().chain(own).collect(), Some(5 << 20))
            }
            // Its brokers and its configuration are not ours; the way to them is, and the run's own topics.
            BackendKind::External => (EVERYWHERE.into_iter().chain([Followers]).collect(), None),
        };
        Self { backend, can, bytes_per_topic_partition: bytes }
    }
}

impl Plan {
    /// Everything that a backend must be able to do for this plan, in the order of the faults.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        if !self.cluster.config.is_empty() {
            needs.push(Need { capability: Capability::BrokerConfig, fault: None });
        }
        if self.cluster.image.is_some() {
            needs.push(Need { capability: Capability::ChooseImage, fault: None });
        }
        for (index, fault) in self.faults.iter().enumerate() {
            let of_kind = needs_of(&fault.kind);
            needs.extend(of_kind.into_iter().map(|capability| Need { capability, fault: Some(index) }));
        }
        needs
    }
}

fn needs_of(kind: &FaultKind) -> Vec<Capability> {
    let mut needs = vec![match kind {
        FaultKind::Network { between: Between::Brokers, effect, direction, .. } => match (effect, direction) {
            (NetworkEffect::Blackhole, Direction::Both) => Capability::BrokerLinks,
            _ => Capability::BrokerLinkEffects,
        },
        FaultKind::Network { effect, .. } => match effect {
            NetworkEffect::Refuse => Capability::CutRefuse,
            NetworkEffect::Blackhole => Capability::CutBlackhole,
            NetworkEffect::Stall => Capability::CutStall,
            NetworkEffect::Reset => Capability::CutReset,
        },
        FaultKind::SlowNetwork { .. } => Capability::SlowNetwork,
        FaultKind::Kill { .. } => Capability::KillBroker,
        FaultKind::Stop { .. } => Capability::StopBroker,
        FaultKind::Pause { .. } => Capability::PauseBroker,
        FaultKind::RollingRestart { .. } => Capability::RollingRestart,
        FaultKind::MoveLeader { .. } => Capability::MoveLeader,
        FaultKind::Member { action, .. } => match action {
            MemberAction::Crash => Capability::CrashMember,
            MemberAction::Pause => Capability::PauseMember,
            MemberAction::Stop | MemberAction::Join | MemberAction::Leave => Capability::ChangeMembers,
        },
        FaultKind::HandlerErrors { .. } => Capability::HandlerErrors,
        FaultKind::BrokerErrors { .. } => Capability::BrokerErrors,
        FaultKind::DeadLetterTopic { effect } => match effect {
            DeadLetterEffect::Unavailable => Capability::DeadLetterUnavailable,
            DeadLetterEffect::Forbidden => Capability::DeadLetterForbidden,
            DeadLetterEffect::TooLarge => Capability::DeadLetterTooLarge,
        },
        FaultKind::Poison { .. } => Capability::Poison,
    }];
    // A refused connection has no direction.
    if let FaultKind::Network { direction, between: Between::ClientsBrokers, effect, .. } = kind
        && *direction != Direction::Both
        && *effect != NetworkEffect::Refuse
    {
        needs.push(Capability::OneWayCut);
    }
    if matches!(kind, FaultKind::RollingRestart { order: RestartOrder::ControllerLast, .. }) {
        needs.push(Capability::FindController);
    }
    match kind.target() {
        Some(Target::Controller) => needs.push(Capability::FindController),
        Some(Target::Coordinator) => needs.push(Capability::FindCoordinator),
        Some(Target::FollowerOf(_)) => needs.push(Capability::Followers),
        _ => {}
    }
    needs
}
