//! A validated scenario: every default filled in, every name checked. Pure data; the scenario's file is parsed
//! and validated in `scenario`, and nothing below re-checks what a plan promises.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod capability;
mod fault;
mod floor;
mod foreign;
mod metrics;
mod render;
mod request;
mod sink;
mod text;
mod timeline;
pub use capability::{Capabilities, Capability, Need};
pub use fault::{
    Between, DeadLetterEffect, Direction, FaultKind, FaultPlan, HandlerError, MemberAction, MemberSelector,
    NetworkEffect, Repeat, RestartOrder, RestartWait, Since, Target, TopicPartition,
};
pub use floor::{Floor, FloorOf, floors, heartbeat};
pub use foreign::{
    ForeignPlan, HeaderConvention, Identity, MOST_EFFECTS, Owed, PART_HEADER, PLACEHOLDERS, Ready, fill, placeholders,
};
pub use metrics::{MetricsPlan, Selector};
pub use render::duration_text;
pub use request::{REQUEST_NAMES, api_key};
pub use sink::{EffectSink, FROM};
pub use timeline::{Step, StepAction, Timeline};

/// Where brokers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// Real brokers and Toxiproxy in containers.
    Containers,
    /// librdkafka's mock cluster in a child process.
    Embedded,
    /// A cluster that somebody else runs.
    External,
}

impl BackendKind {
    /// Those that this version can run scenarios on.
    pub const RUNNABLE: [Self; 2] = [Self::Containers, Self::Embedded];
}

impl std::fmt::Display for BackendKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Containers => "containers",
            Self::Embedded => "embedded",
            Self::External => "external",
        })
    }
}

/// The Kafka version that a scenario gets unless it names another.
pub const DEFAULT_KAFKA: &str = "4.1.0";

/// A whole scenario, resolved. Durations serialise as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Kebab-case, the file's stem.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// Words to select scenarios by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Backends that may run it; empty: every one that has the faults' capabilities.
    #[serde(default)]
    pub requires: Vec<BackendKind>,
    /// Where it runs.
    pub cluster: ClusterPlan,
    /// What is written to.
    pub topic: TopicPlan,
    /// What is written.
    pub workload: WorkloadPlan,
    /// What is under test.
    pub subject: SubjectPlan,
    /// What goes wrong; none: a control run.
    #[serde(default)]
    pub faults: Vec<FaultPlan>,
    /// What is promised.
    pub budget: BudgetPlan,
    /// What must be seen.
    #[serde(default)]
    pub expect: ExpectPlan,
    /// How long it is watched.
    pub observation: ObservationPlan,
}

impl Plan {
    /// The output topic, or what stands in its place in a history when effects show elsewhere.
    pub fn effects_in(&self) -> String {
        self.subject.sink().place().map_or_else(|| self.topic.output(), str::to_owned)
    }

    /// How many lists of effects that has at least, numbered from 0: topic partitions, or members with an output each.
    pub fn effect_lists(&self) -> i32 {
        match self.subject.sink() {
            EffectSink::Topic => self.topic.partitions,
            EffectSink::Http(_) => 1,
            EffectSink::Stdout => i32::try_from(self.subject.members).unwrap_or(i32::MAX),
        }
    }

    /// The same scenario on topics with this before their names: on a cluster that has other people's topics too.
    pub fn with_topic_prefix(mut self, prefix: &str) -> Self {
        let ours = self.topic.all();
        let renamed =
            |name: &str| if ours.iter().any(|own| own == name) { format!("{prefix}{name}") } else { name.to_owned() };
        for fault in &mut self.faults {
            fault.kind.rename_topics(renamed);
        }
        self.topic.name = format!("{prefix}{}", self.topic.name);
        self
    }

    /// The text of `plan.toml` in the run folder: everything resolved, no default left to guess.
    ///
    /// # Errors
    /// None for a validated plan; the serializer's otherwise.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Reads [`Plan::to_toml`] back. Not for scenario files: nothing is validated.
    ///
    /// # Errors
    /// Text that is not a whole plan.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// The brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterPlan {
    /// How many, each broker and controller at once; numbered from 1.
    pub brokers: u32,
    /// Version of the Kafka image.
    pub kafka: String,
    /// Whether others use it too.
    pub isolation: Isolation,
    /// An image by its full name, instead of the default for `kafka`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Broker properties, verbatim.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// Whether a scenario shares its cluster with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Leased, checked and reused between scenarios.
    Shared,
    /// A cluster of its own.
    Fresh,
}

/// The input topic; output and dead-letter topic have the same shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TopicPlan {
    /// The input topic.
    pub name: String,
    /// Topic partitions, numbered from 0.
    pub partitions: i32,
    /// Replicas of each.
    pub replication: i32,
    /// Replicas that a write with acks=all needs.
    pub min_insync_replicas: i32,
}

impl TopicPlan {
    /// Where the subject writes its effects.
    pub fn output(&self) -> String {
        format!("{}.out", self.name)
    }

    /// Where the subject writes what it cannot process.
    pub fn dead_letter(&self) -> String {
        format!("{}.dlq", self.name)
    }

    /// Input, output and dead-letter topic.
    pub fn all(&self) -> [String; 3] {
        [self.name.clone(), self.output(), self.dead_letter()]
    }
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WorkloadPlan {
    /// Records per second, open loop.
    pub rate: u32,
    /// Distinct keys.
    pub keys: u32,
    /// Bytes of a record's value.
    pub size: usize,
    /// Share of records that no handler can process, all the time.
    pub poison: f64,
    /// Who produces.
    pub producer: ProducerKind,
    /// Load before anything counts.
    #[serde(with = "text::duration")]
    pub warm_up: Duration,
    /// Load that everything later is compared with.
    #[serde(with = "text::duration")]
    pub baseline: Duration,
}

impl WorkloadPlan {
    /// The record key of this number: they are numbered from 0.
    pub fn record_key(number: u32) -> String {
        format!("k{number}")
    }

    /// The number of a record key that this workload produces.
    pub fn number_of(&self, key: &str) -> Option<u32> {
        let number = key.strip_prefix('k')?.parse().ok()?;
        (number < self.keys && Self::record_key(number) == key).then_some(number)
    }
}

/// Who produces the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProducerKind {
    /// The library's producer on the proxied path: under test too.
    Resilient,
    /// The harness's own, on the direct path.
    Plain,
    /// librdkafka with its stock settings on the proxied path, for comparison.
    Stock,
}

/// The application under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubjectPlan {
    /// What it is.
    pub kind: SubjectKind,
    /// Consumer-group members at the start.
    pub members: u32,
    /// development | staging | production | default
    pub profile: String,
    /// Overrides of the profile's settings, dotted.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Client properties of the subject, verbatim.
    #[serde(default)]
    pub client: BTreeMap<String, String>,
    /// A bug put in on purpose, so that the harness can be seen to catch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<Defect>,
    /// Of every kind but the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignPlan>,
}

impl SubjectPlan {
    /// Where its effects show; the pipeline's always in the output topic.
    pub fn sink(&self) -> &EffectSink {
        self.foreign.as_ref().map_or(&EffectSink::Topic, |foreign| &foreign.sink)
    }

    /// What is owed for each record; of the pipeline one effect.
    pub fn owed(&self) -> Owed<'_> {
        match &self.foreign {
            Some(foreign) => Owed { effects: foreign.effects.clamp(1, MOST_EFFECTS), drops: &foreign.drops },
            None => Owed { effects: 1, drops: &[] },
        }
    }
}

/// Kinds of applications under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// The built-in pipeline of resilience components.
    Pipeline,
    /// A program on this machine.
    Process,
    /// A container beside the brokers.
    Container,
    /// Given in Rust.
    Custom,
}

impl SubjectKind {
    /// Not ours: told and judged from outside.
    pub fn is_foreign(self) -> bool {
        self != Self::Pipeline
    }
}

/// Bugs that applications have. The pipeline has each on request, to prove that the checkers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// The offset is committed before the record is processed.
    CommitBeforeProcessing,
    /// A record whose retries are exhausted is skipped.
    DropOnExhaustion,
    /// The dead-letter write's acknowledgement is not awaited.
    UnawaitedDeadLetter,
    /// The dead-letter write is awaited, and its failure ignored.
    SwallowedDeadLetterFailure,
    /// Dead letters do not say where they come from.
    BareDeadLetter,
    /// A record that fails is put aside and the offsets behind it are committed.
    CommitPastHole,
    /// The circuit breaker, once open, stays open.
    BreakerNeverCloses,
    /// What the open circuit breaker rejects is taken for done.
    RejectedAsSuccess,
    /// A record that is tried again loses its identity.
    ForgottenIdentity,
    /// Outputs are produced by a pool of tasks that overtake each other.
    UnorderedPool,
    /// The producer reports a send that may have happened as one that did not.
    IndeterminateAsFailed,
    /// The producer sends again what may be in the log.
    ResentIndeterminate,
    /// A new assignment begins at the log's end.
    SeekToEnd,
}

impl Defect {
    /// Every defect, by its word in a scenario file.
    pub const ALL: [(&'static str, Self); 13] = [
        ("commit-before-processing", Self::CommitBeforeProcessing),
        ("drop-on-exhaustion", Self::DropOnExhaustion),
        ("unawaited-dead-letter", Self::UnawaitedDeadLetter),
        ("swallowed-dead-letter-failure", Self::SwallowedDeadLetterFailure),
        ("bare-dead-letter", Self::BareDeadLetter),
        ("commit-past-hole", Self::CommitPastHole),
        ("breaker-never-closes", Self::BreakerNeverCloses),
        ("rejected-as-success", Self::RejectedAsSuccess),
        ("forgotten-identity", Self::ForgottenIdentity),
        ("unordered-pool", Self::UnorderedPool),
        ("indeterminate-as-failed", Self::IndeterminateAsFailed),
        ("resent-indeterminate", Self::ResentIndeterminate),
        ("seek-to-end", Self::SeekToEnd),
    ];
}

/// A duration's limit and where its clock starts (`None`: by fault kind).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    /// The longest that is allowed.
    #[serde(with = "text::duration")]
    pub within: Duration,
    /// Where the clock starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

/// What must come through while a fault is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// At least this many records, in each of the topic partitions that count.
    pub records: u64,
    /// Which count.
    #[serde(default)]
    pub of: ProgressOf,
}

/// Which topic partitions of the input topic must make progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressOf {
    /// Every one that records were due in.
    #[default]
    All,
    /// The one that makes most.
    Any,
}

/// Limits; `None` is no promise. Each metric is named as in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct BudgetPlan {
    /// Acknowledged records that may be lost.
    pub lost: u64,
    /// Why any may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Records that may be in the log, or have an effect, twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Deliveries beyond the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redelivered: Option<u64>,
    /// Records out of order within their key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordered: Option<u64>,
    /// Good records dead-lettered because of the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<u64>,
    /// Time to full recovery of the worst scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Limit>,
    /// Time to the first success in the slowest scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_success: Option<Limit>,
    /// Largest gap between two successes of a scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Limit>,
    /// Time until the backlog is back to normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Limit>,
    /// Time to the first signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect: Option<Limit>,
    /// Records that must come through while a fault is in force: the one limit that is a least, not a most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_during_fault: Option<Progress>,
}

/// What must be seen, else the run is inconclusive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ExpectPlan {
    /// Breaker states that some member must pass through, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaker: Vec<String>,
    /// Alerts that some member must fire.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// Alerts that some member must fire and then resolve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts_resolved: Vec<String>,
    /// Handlers are tried again at least this often, all members together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// At least this many dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
    /// Error classes that dead letters must name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dead_letter_errors: Vec<String>,
    /// What some member's value of each of these [signals](MetricsPlan) must reach.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<String, u64>,
}

/// How long and how finely the run is watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObservationPlan {
    /// Trailing window in which health is judged.
    #[serde(with = "text::duration")]
    pub window: Duration,
    /// How long health must hold to count.
    #[serde(with = "text::duration")]
    pub hold: Duration,
    /// Load goes on for this long after the last fault's zero: max(2 × recovery budget, budget + hold).
    #[serde(with = "text::duration")]
    pub after: Duration,
    /// How long the group may take to commit to the end once the load is off.
    #[serde(with = "text::duration")]
    pub quiesce: Duration,
    /// How long the final read may take.
    #[serde(with = "text::duration")]
    pub final_read: Duration,
    /// A send that is acknowledged within this of its intended time is on time, however fast the baseline. Default 50 ms;
    /// a machine whose processors the brokers and the application share may need more.
    #[serde(with = "text::duration", default = "on_time")]
    pub on_time: Duration,
}

fn on_time() -> Duration {
    Duration::from_millis(50)
}
