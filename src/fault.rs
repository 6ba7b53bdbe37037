//! How each harm is done and undone. A fault in effect is a held resource: what [`inject`] returns knows how to heal
//! itself, and every heal is confirmed by a probe, never by a call's return alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::cluster::{BrokerState, Cluster, ClusterError, TopicOperation, View};
use crate::plan::{
    Between, DeadLetterEffect, Direction, FaultKind, FaultPlan, MemberAction, MemberSelector, NetworkEffect, Plan,
    RestartWait, TopicPartition,
};
use crate::rng::Rng;
use crate::subject::{ChaosOrder, Subject, SubjectError};
use crate::workload::Load;

mod requests;
mod target;

/// How long one injection or one heal may take.
pub const FAULT_LIMIT: Duration = Duration::from_secs(240);
/// How long a probe that must not be answered is waited for.
const SILENCE: Duration = Duration::from_millis(250);
/// How long one probe that should be answered may take.
const ANSWER: Duration = Duration::from_millis(500);
const MEMBER_GRACE: Duration = Duration::from_secs(15);
/// How long a restarted broker may take until all its replicas are in sync.
const IN_SYNC: Duration = Duration::from_secs(60);

/// Why a harm could not be done, seen or undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error("no broker fits the target `{target}`: {reason}")]
    NoTarget { target: String, reason: String },
    #[error("broker {broker} still answers, 20 probes after the injection")]
    StillAnswers { broker: u32 },
    #[error("broker {broker} did not answer its proxied path within {} of the heal: {last}", humantime::format_duration(*.within))]
    StillSilent { broker: u32, within: Duration, last: String },
    #[error("no member fits: {0}")]
    NoMember(String),
    #[error("not done within {}", humantime::format_duration(*.0))]
    TooLong(Duration),
    #[error("this build cannot do `{0}` on this backend")]
    Unsupported(&'static str),
    #[error("no request `{api}` of the application came within {}; {done}", humantime::format_duration(*.within))]
    NobodyAsked { api: String, within: Duration, done: String },
    #[error("the plan names `{0}`, which is no request or error of Kafka's protocol")]
    NoSuchName(String),
}

/// Everything a fault may touch.
pub struct Field {
    pub cluster: Arc<dyn Cluster>,
    pub subject: Arc<dyn Subject>,
    pub load: Arc<Load>,
    pub plan: Arc<Plan>,
    pub group: String,
    pub clock: Clock,
}

/// A harm in effect.
#[derive(Debug)]
pub struct Held {
    /// The broker, member or topic that the target resolved to.
    pub resolved: String,
    /// Input topic partitions whose service it can harm; `None`: all.
    pub affected: Option<Vec<TopicPartition>>,
    /// What was seen that proves the harm.
    pub evidence: String,
    /// From when on it is known to be in effect: the start of the probe that went unanswered.
    pub confirmed_at: Nanos,
    undo: Undo,
}

#[derive(Debug)]
enum Undo {
    Nothing,
    Mend(Vec<u32>),
    /// Back among the other brokers.
    Rejoin(Vec<u32>),
    /// A killed broker always comes back in the end: acknowledged records may live there alone.
    Start(Vec<u32>),
    Resume(Vec<u32>),
    StartMember(u32),
    ResumeMember(u32),
    Chaos,
    Poison,
    TopicConfig {
        topic: String,
        key: &'static str,
        value: String,
    },
    /// Takes back what is denied on a topic.
    Allow(String),
    /// Requests get their answers again.
    Answers {
        api: String,
        key: i16,
        error: String,
    },
}

/// What a target resolved to, known before the harm is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// For people and the history: `broker 1`, `member-0`.
    pub name: String,
    pub affected: Option<Vec<TopicPartition>>,
    brokers: Vec<u32>,
    member: Option<u32>,
}

/// As [`resolve`]; a question that no broker answered in time (a machine out of breath) is asked again, a few times.
pub async fn resolve_patiently(kind: &FaultKind, field: &Field, rng: &mut Rng) -> Result<Resolved, FaultError> {
    for _ in 0..4 {
        match resolve(kind, field, &mut rng.clone()).await {
            Err(FaultError::Cluster(error)) => tracing::debug!(%error, "resolving a target"),
            decided => return decided,
        }
    }
    resolve(kind, field, rng).await
}

/// Finds out whom a fault hits, at the moment of injection. Choices among equals are drawn from `rng`.
async fn resolve(kind: &FaultKind, field: &Field, rng: &mut Rng) -> Result<Resolved, FaultError> {
    if let Some(target) = kind.target() {
        let brokers = target::brokers(target, field, rng).await?;
        let affected = match kind {
            // Whatever has a replica there waits for it until it is given up, whoever leads.
            FaultKind::Network { between: Between::Brokers, .. } => None,
            _ => Some(affected(&brokers, field).await?),
        };
        let name = target::name(&brokers);
        return Ok(Resolved { name, affected, brokers, member: None });
    }
    let whole = |name: String| Resolved { name, affected: None, brokers: Vec::new(), member: None };
    Ok(match kind {
        FaultKind::Member { action, member, .. } => {
            let index = pick_member(*action, *member, field, rng)?;
            Resolved { member: Some(index), ..whole(format!("member-{index}")) }
        }
        FaultKind::BrokerErrors { .. } => whole("every broker's answers".into()),
        FaultKind::HandlerErrors { .. } => whole("every member's handler".into()),
        FaultKind::Poison { .. } => whole("the workload".into()),
        FaultKind::DeadLetterTopic { .. } => whole(field.plan.topic.dead_letter()),
        FaultKind::RollingRestart { order, .. } => {
            let brokers = target::in_order(*order, field, rng).await?;
            Resolved { brokers: brokers.clone(), ..whole(target::name(&brokers)) }
        }
        FaultKind::MoveLeader { topic_partition, .. } => {
            let affected = (*topic_partition.topic == *field.plan.topic.name).then(|| vec![topic_partition.clone()]);
            Resolved { affected, ..whole(topic_partition.to_string()) }
        }
        other => return Err(FaultError::Unsupported(other.name())),
    })
}

/// Input topic partitions whose sends or effects go through these brokers: they lead it, or its partition of the output.
async fn affected(brokers: &[u32], field: &Field) -> Result<Vec<TopicPartition>, FaultError> {
    let mut hit = BTreeSet::new();
    for topic in [field.plan.topic.name.clone(), field.plan.topic.output()] {
        for (tp, leader) in field.cluster.leaders(&topic).await? {
            if brokers.contains(&leader) {
                hit.insert(TopicPartition::new(field.plan.topic.name.as_str(), tp.partition));
            }
        }
    }
    Ok(hit.into_iter().collect())
}

/// Does the harm and sees it in effect.
pub async fn inject(kind: &FaultKind, at: &Resolved, field: &Field) -> Result<Held, FaultError> {
    let mut seen = Seen::default();
    let (undo, evidence) = match kind {
        FaultKind::Network { between: Between::Brokers, .. } => {
            for broker in &at.brokers {
                field.cluster.isolate(*broker).await?;
            }
            let evidence = format!("{} is on no network with other brokers", target::name(&at.brokers));
            (Undo::Rejoin(at.brokers.clone()), evidence)
        }
        FaultKind::Network { effect, direction, .. } => {
            (cut(at, *effect, *direction, field, &mut seen).await?, seen.text())
        }
        FaultKind::SlowNetwork { latency, jitter, rate, .. } => {
            for broker in &at.brokers {
                field.cluster.slow(*broker, *latency, *jitter, *rate).await?;
            }
            (Undo::Mend(at.brokers.clone()), "the proxies' read-back state carries the toxics".to_owned())
        }
        FaultKind::Kill { .. } => {
            for broker in &at.brokers {
                field.cluster.kill(*broker).await?;
                seen.silence(*broker, View::Direct, field).await?;
            }
            (Undo::Start(at.brokers.clone()), seen.text())
        }
        FaultKind::Stop { .. } => {
            for broker in &at.brokers {
                field.cluster.stop(*broker).await?;
                seen.silence(*broker, View::Direct, field).await?;
            }
            (Undo::Start(at.brokers.clone()), seen.text())
        }
        FaultKind::Pause { .. } => {
            for broker in &at.brokers {
                field.cluster.pause(*broker).await?;
                seen.silence(*broker, View::Direct, field).await?;
            }
            (Undo::Resume(at.brokers.clone()), seen.text())
        }
        FaultKind::Member { action, restart_after, .. } => member(*action, restart_after.is_some(), at, field).await?,
        FaultKind::HandlerErrors { rate, error, latency } => {
            let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
            let order = ChaosOrder { rate: *rate, error: *error, latency_ms };
            (Undo::Chaos, field.subject.chaos(Some(order)).await?)
        }
        FaultKind::Poison { rate } => {
            field.load.set_poison(*rate);
            (Undo::Poison, format!("the load carries {} % poison", rate * 100.0))
        }
        FaultKind::DeadLetterTopic { effect } => dead_letter_topic(*effect, field).await?,
        FaultKind::RollingRestart { wait: RestartWait::InSync, .. } => {
            for broker in &at.brokers {
                field.cluster.stop(*broker).await?;
                seen.silence(*broker, View::Direct, field).await?;
                field.cluster.start(*broker).await?;
                // In sync again before the next one goes: that is what makes it a rolling restart.
                field.cluster.verify_healthy(IN_SYNC).await?;
            }
            (Undo::Nothing, seen.text())
        }
        FaultKind::MoveLeader { topic_partition, to } => {
            let leader = field.cluster.move_leader(topic_partition, *to).await?;
            (Undo::Nothing, format!("broker {leader} leads {topic_partition}"))
        }
        FaultKind::BrokerErrors { api, error, rate, times } => {
            requests::refuse(api, error, (*rate, *times), field, &mut seen).await?
        }
    };
    let confirmed_at = seen.since.unwrap_or_else(|| field.clock.now());
    Ok(Held { resolved: at.name.clone(), affected: at.affected.clone(), evidence, confirmed_at, undo })
}

/// Undoes the harm as ordered; [`confirm_healed`] sees that it is gone.
pub async fn heal(held: &Held, field: &Field) -> Result<(), FaultError> {
    match &held.undo {
        Undo::Nothing => {}
        Undo::Mend(brokers) => {
            for broker in brokers {
                field.cluster.mend(*broker).await?;
            }
        }
        Undo::Rejoin(brokers) => {
            for broker in brokers {
                field.cluster.rejoin(*broker).await?;
            }
        }
        Undo::Start(brokers) => {
            for broker in brokers {
                field.cluster.start(*broker).await?;
            }
        }
        Undo::Resume(brokers) => {
            for broker in brokers {
                field.cluster.resume(*broker).await?;
            }
        }
        Undo::StartMember(member) => field.subject.start(*member).await?,
        Undo::ResumeMember(member) => field.subject.resume(*member).await?,
        Undo::Chaos => drop(field.subject.chaos(None).await?),
        Undo::Poison => field.load.set_poison(0.0),
        Undo::TopicConfig { topic, key, value } => field.cluster.alter_topic(topic, key, Some(value)).await?,
        Undo::Allow(topic) => field.cluster.undeny(topic).await?,
        Undo::Answers { key, .. } => field.cluster.answer_requests(*key).await?,
    }
    Ok(())
}

/// Returns what was seen once the harm is gone.
pub async fn confirm_healed(held: &Held, field: &Field) -> Result<String, FaultError> {
    match &held.undo {
        Undo::Mend(brokers) | Undo::Start(brokers) | Undo::Resume(brokers) => {
            let mut seen = Vec::new();
            for broker in brokers {
                seen.push(answers(*broker, field).await?);
            }
            Ok(seen.join("; "))
        }
        Undo::Rejoin(brokers) => Ok(format!("{} is on the brokers' network again", target::name(brokers))),
        Undo::StartMember(member) | Undo::ResumeMember(member) => Ok(format!("member-{member} runs")),
        Undo::Chaos => Ok("every member confirmed".into()),
        Undo::Poison => Ok("the load carries no poison of this fault".into()),
        Undo::TopicConfig { topic, key, value } => Ok(format!("{topic} has {key}={value} again")),
        Undo::Allow(topic) => Ok(format!("nothing is denied on {topic}")),
        Undo::Answers { api, key, error } => Ok(requests::told(field.cluster.refusals(*key), api, error)),
        Undo::Nothing => Ok("nothing to undo".into()),
    }
}

/// After a failed injection: undoes what may be half in effect, as far as that goes.
pub async fn undo_partial(kind: &FaultKind, at: &Resolved, field: &Field) {
    let undo = match kind {
        FaultKind::Network { between: Between::Brokers, .. } => Undo::Rejoin(at.brokers.clone()),
        FaultKind::Network { .. } | FaultKind::SlowNetwork { .. } => Undo::Mend(at.brokers.clone()),
        FaultKind::Kill { .. } | FaultKind::Stop { .. } | FaultKind::RollingRestart { .. } => {
            Undo::Start(at.brokers.clone())
        }
        FaultKind::Pause { .. } => Undo::Resume(at.brokers.clone()),
        FaultKind::HandlerErrors { .. } => Undo::Chaos,
        FaultKind::Poison { .. } => Undo::Poison,
        FaultKind::DeadLetterTopic { effect: DeadLetterEffect::Forbidden } => {
            Undo::Allow(field.plan.topic.dead_letter())
        }
        FaultKind::BrokerErrors { api, error, .. } => match requests::key(api) {
            Ok(key) => Undo::Answers { api: api.clone(), key, error: error.clone() },
            Err(_) => Undo::Nothing,
        },
        _ => Undo::Nothing,
    };
    let held = Held { resolved: at.name.clone(), affected: None, evidence: String::new(), confirmed_at: 0, undo };
    if let Err(error) = heal(&held, field).await {
        tracing::warn!(%error, fault = kind.name(), "undoing a failed injection");
    }
}

/// Undoes every harm that any fault can do, held by whomever: for when the one who knew is gone. What fails is logged;
/// a cluster that is not whole is never used again.
pub async fn heal_everything(field: &Field) {
    field.load.set_poison(0.0);
    let told = |what: String, outcome: Result<(), FaultError>| {
        if let Err(error) = outcome {
            tracing::warn!(%error, "healing everything: {what}");
        }
    };
    told("the handlers' chaos".into(), field.subject.chaos(None).await.map(drop).map_err(FaultError::from));
    for member in field.subject.members().into_iter().filter(|member| member.pid.is_some()) {
        let resumed = field.subject.resume(member.index).await;
        told(format!("member-{}", member.index), resumed.map_err(FaultError::from));
    }
    for kind in field.plan.faults.iter().map(|fault| &fault.kind) {
        if let FaultKind::BrokerErrors { api, .. } = kind
            && let Ok(key) = requests::key(api)
        {
            told(format!("{api} requests"), field.cluster.answer_requests(key).await.map_err(FaultError::from));
        }
    }
    let between_brokers =
        |fault: &FaultPlan| matches!(fault.kind, FaultKind::Network { between: Between::Brokers, .. });
    if field.plan.faults.iter().any(between_brokers) {
        for broker in field.cluster.brokers() {
            told(format!("broker {broker}"), field.cluster.rejoin(broker).await.map_err(FaultError::from));
        }
    }
    for broker in field.cluster.brokers() {
        let whole = async {
            match field.cluster.state(broker).await? {
                BrokerState::Running => {}
                BrokerState::Paused => field.cluster.resume(broker).await?,
                BrokerState::Down => field.cluster.start(broker).await?,
            }
            field.cluster.mend(broker).await
        };
        told(format!("broker {broker}"), whole.await.map_err(FaultError::from));
    }
}

impl Held {
    /// Whether healing it does anything; an instant fault (a crash without restart) has nothing to undo.
    pub fn heals(&self) -> bool {
        !matches!(self.undo, Undo::Nothing)
    }
}

async fn cut(
    at: &Resolved,
    effect: NetworkEffect,
    direction: Direction,
    field: &Field,
    seen: &mut Seen,
) -> Result<Undo, FaultError> {
    for broker in &at.brokers {
        field.cluster.cut(*broker, effect, direction).await?;
    }
    for broker in &at.brokers {
        seen.silence(*broker, View::Subject, field).await?;
    }
    Ok(Undo::Mend(at.brokers.clone()))
}

async fn member(
    action: MemberAction,
    comes_back: bool,
    at: &Resolved,
    field: &Field,
) -> Result<(Undo, String), FaultError> {
    let index = at.member.unwrap_or_default();
    let back = if comes_back { Undo::StartMember(index) } else { Undo::Nothing };
    Ok(match action {
        MemberAction::Crash => (back, field.subject.crash(index).await?),
        MemberAction::Stop => (back, field.subject.stop(index, MEMBER_GRACE).await?),
        MemberAction::Leave => (Undo::Nothing, field.subject.stop(index, MEMBER_GRACE).await?),
        MemberAction::Pause => (Undo::ResumeMember(index), field.subject.pause(index).await?),
        MemberAction::Join => {
            field.subject.start(index).await?;
            (Undo::Nothing, format!("member-{index} started"))
        }
    })
}

fn pick_member(
    action: MemberAction,
    selector: MemberSelector,
    field: &Field,
    rng: &mut Rng,
) -> Result<u32, FaultError> {
    let members = field.subject.members();
    if action == MemberAction::Join {
        let next = members.iter().map(|m| m.index + 1).max().unwrap_or(0);
        return Ok(match selector {
            MemberSelector::Any => next,
            MemberSelector::Index(index) => index,
        });
    }
    let running: Vec<u32> = members.iter().filter(|m| m.pid.is_some()).map(|m| m.index).collect();
    match selector {
        MemberSelector::Index(index) if running.contains(&index) => Ok(index),
        MemberSelector::Index(index) => {
            Err(FaultError::NoMember(format!("member-{index} is not running; running: {running:?}")))
        }
        MemberSelector::Any if running.is_empty() => Err(FaultError::NoMember("none is running".into())),
        MemberSelector::Any => Ok(running[rng.index(running.len())]),
    }
}

async fn dead_letter_topic(effect: DeadLetterEffect, field: &Field) -> Result<(Undo, String), FaultError> {
    let topic = field.plan.topic.dead_letter();
    let (key, value) = match effect {
        // More replicas in sync than there are: every write is refused as NOT_ENOUGH_REPLICAS.
        DeadLetterEffect::Unavailable => ("min.insync.replicas", (field.plan.cluster.brokers + 1).to_string()),
        DeadLetterEffect::TooLarge => ("max.message.bytes", "1".to_owned()),
        DeadLetterEffect::Forbidden => {
            field.cluster.deny(&topic, TopicOperation::Write).await?;
            return Ok((Undo::Allow(topic.clone()), format!("writing to {topic} is denied to every client")));
        }
    };
    let before = match key {
        "min.insync.replicas" => field.plan.topic.min_insync_replicas.to_string(),
        _ => "1048588".to_owned(),
    };
    field.cluster.alter_topic(&topic, key, Some(&value)).await?;
    Ok((Undo::TopicConfig { topic: topic.clone(), key, value: before }, format!("{topic} has {key}={value}")))
}

/// Silences that were seen, and since when.
#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    since: Option<Nanos>,
}

impl Seen {
    /// Probes until the path is silent. The harm counts from the start of the first probe that went unanswered.
    async fn silence(&mut self, broker: u32, view: View, field: &Field) -> Result<(), FaultError> {
        for _ in 0..20 {
            let asked = field.clock.now();
            match field.cluster.probe(broker, view, SILENCE).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => {
                    self.since.get_or_insert(asked);
                    self.texts.push(format!("broker {broker}: {error}"));
                    return Ok(());
                }
            }
        }
        Err(FaultError::StillAnswers { broker })
    }

    fn text(&self) -> String {
        self.texts.join("; ")
    }
}

/// Probes the proxied path until the broker answers.
async fn answers(broker: u32, field: &Field) -> Result<String, FaultError> {
    let within = Duration::from_secs(45);
    let mut last = String::new();
    let probes = async {
        loop {
            match field.cluster.probe(broker, View::Subject, ANSWER).await {
                Ok(()) => return,
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(within, probes).await {
        Ok(()) => Ok(format!("broker {broker} answers its proxied path")),
        Err(_) => Err(FaultError::StillSilent { broker, within, last }),
    }
}
