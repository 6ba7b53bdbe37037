//! Histories written by hand, for tests: a line a thing that happened, in milliseconds.
//!
//! The topics are `orders`, `orders.out` and `orders.dlq`, one topic partition unless the story says more. `end` adds
//! what a clean run has at its end: complete final reads, and a group that has committed to the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Event, Header, History, Op, OpError, Origin, Outcome, Promises, Stage, Topics};
use crate::clock::Nanos;
use crate::plan::*;

/// Milliseconds as the history's nanoseconds.
pub(crate) fn ms(t: u64) -> Nanos {
    t * 1_000_000
}

/// A history in the making.
#[derive(Clone)]
pub(crate) struct Story {
    pub events: Vec<Event>,
    pub promises: Promises,
    pub plan: Option<Box<Plan>>,
    pub truncated: bool,
    /// The next free offset of each topic partition.
    ends: BTreeMap<TopicPartition, i64>,
    now: u64,
}

pub(crate) fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

pub(crate) fn out(partition: i32) -> TopicPartition {
    TopicPartition::new("orders.out", partition)
}

pub(crate) fn dlq(partition: i32) -> TopicPartition {
    TopicPartition::new("orders.dlq", partition)
}

impl Story {
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            promises: Promises::default(),
            plan: None,
            truncated: false,
            ends: BTreeMap::new(),
            now: 0,
        }
    }

    pub fn promising(mut self, promises: Promises) -> Self {
        self.promises = promises;
        self
    }

    pub fn planned(mut self, plan: Plan) -> Self {
        self.plan = Some(Box::new(plan));
        self
    }

    pub fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    /// The time of the next event.
    pub fn now(&self) -> Nanos {
        ms(self.now)
    }

    pub fn event(self, op: Op) -> Self {
        self.by("harness", op)
    }

    pub fn by(mut self, actor: &str, op: Op) -> Self {
        self.events.push(Event { t: ms(self.now), actor: Some(actor.to_owned()), op });
        self.now += 1;
        self
    }

    /// A send of `id` with the key `k` and its own number as sequence number.
    pub fn invoke(self, id: &str) -> Self {
        let seq = id.parse().ok();
        self.invoke_as(id, 0, "k", seq, false)
    }

    pub fn invoke_as(self, id: &str, partition: i32, key: &str, seq: Option<u64>, poison: bool) -> Self {
        let due = Some(ms(self.now));
        let (id, tp, key) = (id.to_owned(), Some(tp(partition)), Some(key.to_owned()));
        self.event(Op::Send { r#type: Outcome::Invoke, id, tp, key, seq, due, poison, offset: None, error: None })
    }

    fn outcome(self, r#type: Outcome, id: &str, partition: Option<i32>, offset: Option<i64>) -> Self {
        let error = (r#type != Outcome::Ok).then(|| OpError {
            code: -192,
            name: "MSG_TIMED_OUT".into(),
            class: "temporary".into(),
            persistence: "possibly".into(),
        });
        let (id, tp) = (id.to_owned(), partition.map(tp));
        self.event(Op::Send { r#type, id, tp, key: None, seq: None, due: None, poison: false, offset, error })
    }

    pub fn ok(self, id: &str, offset: i64) -> Self {
        self.outcome(Outcome::Ok, id, Some(0), Some(offset))
    }

    /// Acknowledged without an offset, as with acks=0.
    pub fn ok_somewhere(self, id: &str) -> Self {
        self.outcome(Outcome::Ok, id, None, Some(-1))
    }

    pub fn info(self, id: &str) -> Self {
        self.outcome(Outcome::Info, id, None, None)
    }

    pub fn fail(self, id: &str) -> Self {
        self.outcome(Outcome::Fail, id, None, None)
    }

    /// Sent, acknowledged, in the log, delivered and with an effect: all at the same offset.
    pub fn served(self, id: &str, offset: i64) -> Self {
        self.invoke(id).ok(id, offset).log(id, offset).deliver(id, offset).effect(id, offset)
    }

    pub fn log(self, id: &str, offset: i64) -> Self {
        self.log_in(tp(0), id, offset, true)
    }

    pub fn log_in(mut self, tp: TopicPartition, id: &str, offset: i64, intact: bool) -> Self {
        self.reaches(&tp, offset);
        self.event(Op::LogRead { r#type: Outcome::Ok, id: id.to_owned(), tp, offset, intact })
    }

    pub fn deliver(self, id: &str, offset: i64) -> Self {
        self.by("member-0", Op::Deliver { r#type: Outcome::Ok, id: id.to_owned(), tp: tp(0), offset })
    }

    pub fn effect(self, id: &str, offset: i64) -> Self {
        let appended = Some(ms(self.now));
        self.effect_in(out(0), id, offset, appended, None)
    }

    /// One of several effects of a record.
    pub fn part(self, id: &str, offset: i64, part: u32) -> Self {
        let appended = Some(ms(self.now));
        self.effect_in(out(0), id, offset, appended, Some(part))
    }

    pub fn effect_in(
        mut self,
        tp: TopicPartition,
        id: &str,
        offset: i64,
        appended: Option<Nanos>,
        part: Option<u32>,
    ) -> Self {
        self.reaches(&tp, offset);
        let (r#type, id, key, seq) = (Outcome::Ok, id.to_owned(), None, None);
        self.event(Op::Effect { r#type, id, key, seq, tp, offset, appended, part })
    }

    pub fn dead(self, id: &str, offset: i64) -> Self {
        self.dead_from(id, offset, None, true)
    }

    /// A dead letter whose headers name this class of errors.
    pub fn dead_of(self, id: &str, offset: i64, class: &str) -> Self {
        let mut story = self.dead(id, offset);
        if let Some(Event { op: Op::DeadLetter { error_class, .. }, .. }) = story.events.last_mut() {
            *error_class = Some(class.to_owned());
        }
        story
    }

    pub fn dead_from(mut self, id: &str, offset: i64, origin: Option<i64>, complete: bool) -> Self {
        self.reaches(&dlq(0), offset);
        let appended = Some(ms(self.now));
        let origin = origin.map(|offset| Origin { tp: tp(0), offset });
        let (id, tp) = (id.to_owned(), dlq(0));
        let error_class = None;
        self.event(Op::DeadLetter { r#type: Outcome::Ok, id, tp, offset, origin, complete, error_class, appended })
    }

    /// `actor` is given `orders/0`.
    pub fn assign(self, actor: &str) -> Self {
        self.by(actor, Op::Assign { r#type: Outcome::Ok, tps: vec![tp(0)], generation: None })
    }

    /// `actor` gives it up, or has lost it.
    pub fn revoke(self, actor: &str, r#type: Outcome) -> Self {
        self.by(actor, Op::Revoke { r#type, tps: vec![tp(0)], generation: None })
    }

    /// Deliveries to `actor`, of ids that are their offsets' successors: as `served` numbers them in `numbered`.
    pub fn delivered(mut self, actor: &str, offsets: &[i64]) -> Self {
        for offset in offsets {
            let id = (offset + 1).to_string();
            self = self.by(actor, Op::Deliver { r#type: Outcome::Ok, id, tp: tp(0), offset: *offset });
        }
        self
    }

    /// Records 1 to `count`, sent, acknowledged, in the log and with an effect at once, at the offsets 0 to `count` - 1.
    pub fn numbered(mut self, count: i64) -> Self {
        for offset in 0..count {
            let id = (offset + 1).to_string();
            self = self.invoke(&id).ok(&id, offset).log(&id, offset).effect(&id, offset);
        }
        self
    }

    /// The leader of `epoch` says that its high watermark is `offset`.
    pub fn watermark(self, epoch: i32, offset: i64) -> Self {
        let value = serde_json::json!({ "tp": tp(0), "epoch": epoch, "offset": offset });
        self.signal("harness", "high-watermark", value)
    }

    pub fn commit(self, actor: &str, offset: i64) -> Self {
        self.by(actor, Op::Commit { r#type: Outcome::Ok, tp: tp(0), offset, error: None })
    }

    pub fn read(self, tp: TopicPartition, from: i64, to: i64, r#type: Outcome) -> Self {
        self.event(Op::FinalRead { r#type, tp, from, to, error: None })
    }

    /// Complete final reads of input, output and dead-letter topic, and the group at the end.
    pub fn end(self) -> Self {
        let end = self.ends.get(&tp(0)).copied().unwrap_or(0);
        self.commit("group", end).reads()
    }

    /// Complete final reads only.
    pub fn reads(self) -> Self {
        let ends = self.ends.clone();
        let end = |tp: &TopicPartition| ends.get(tp).copied().unwrap_or(0);
        let mut story = self;
        for tp in [tp(0), out(0), dlq(0)] {
            story = story.read(tp.clone(), 0, end(&tp), Outcome::Ok);
        }
        story
    }

    pub fn phase(self, name: &str) -> Self {
        self.event(Op::Phase { name: name.to_owned() })
    }

    pub fn fault(self, r#type: Stage, label: &str) -> Self {
        self.fault_on(r#type, label, None)
    }

    pub fn fault_on(self, r#type: Stage, label: &str, affected: Option<Vec<TopicPartition>>) -> Self {
        let evidence = (r#type == Stage::Confirmed).then(|| "the probe saw it".to_owned());
        let label = label.to_owned();
        self.event(Op::Fault { r#type, label, kind: None, resolved: None, affected, evidence, error: None })
    }

    pub fn signal(self, actor: &str, name: &str, value: serde_json::Value) -> Self {
        self.by(actor, Op::Signal { name: name.to_owned(), value })
    }

    pub fn history(&self) -> History {
        History {
            header: Header {
                seaworthy_history: 1,
                scenario: "story".into(),
                seed: 7,
                started_at: "2026-01-01T00:00:00Z".into(),
                group: "g1".into(),
                topics: Topics {
                    input: "orders".into(),
                    output: "orders.out".into(),
                    dead_letter: "orders.dlq".into(),
                },
                promises: self.promises,
                plan: self.plan.clone(),
            },
            events: self.events.clone(),
            truncated: self.truncated,
        }
    }

    fn reaches(&mut self, tp: &TopicPartition, offset: i64) {
        let end = self.ends.entry(tp.clone()).or_insert(0);
        *end = (*end).max(offset + 1);
    }
}

/// A plan with one network fault ("cut"), a window of 1 s and a hold of 2 s.
pub(crate) fn plan() -> Plan {
    let s = Duration::from_secs;
    Plan {
        name: "story".into(),
        summary: String::new(),
        tags: Vec::new(),
        requires: Vec::new(),
        cluster: ClusterPlan {
            brokers: 3,
            kafka: "4.1.0".into(),
            isolation: Isolation::Shared,
            image: None,
            config: BTreeMap::new(),
        },
        topic: TopicPlan { name: "orders".into(), partitions: 1, replication: 3, min_insync_replicas: 2 },
        workload: WorkloadPlan {
            rate: 100,
            keys: 8,
            size: 64,
            poison: 0.0,
            producer: ProducerKind::Resilient,
            warm_up: s(1),
            baseline: s(5),
        },
        subject: SubjectPlan {
            kind: SubjectKind::Pipeline,
            members: 2,
            profile: "default".into(),
            settings: BTreeMap::new(),
            client: BTreeMap::new(),
            defect: None,
            foreign: None,
        },
        faults: vec![cut("cut", 0, 4)],
        budget: BudgetPlan::default(),
        expect: ExpectPlan::default(),
        observation: ObservationPlan {
            window: s(1),
            hold: s(2),
            after: s(6),
            quiesce: s(30),
            final_read: s(30),
            on_time: Duration::from_millis(50),
        },
    }
}

/// A plan without faults whose subject is somebody's own, owes so many effects and leaves these keys out.
pub(crate) fn owing(effects: u32, drops: &[&str]) -> Plan {
    let mut plan = plan();
    plan.faults.clear();
    plan.subject.kind = SubjectKind::Process;
    plan.subject.foreign = Some(ForeignPlan {
        image: None,
        command: vec!["app".into()],
        env: BTreeMap::new(),
        identity: Identity::Header,
        dead_letter_headers: HeaderConvention::None,
        ready: Ready::GroupStable(Duration::from_secs(60)),
        stop_grace: Duration::from_secs(10),
        ordered: false,
        exactly_once: false,
        metrics: None,
        sink: EffectSink::Topic,
        effects,
        drops: drops.iter().map(|key| (*key).to_owned()).collect(),
    });
    plan
}

/// A cut of `lasts` seconds, `at` seconds after the baseline.
pub(crate) fn cut(label: &str, at: u64, lasts: u64) -> FaultPlan {
    FaultPlan {
        label: label.into(),
        at: Duration::from_secs(at),
        lasts: Some(Duration::from_secs(lasts)),
        repeat: None,
        kind: FaultKind::Network {
            cut: Target::Broker(1),
            effect: NetworkEffect::Refuse,
            direction: Direction::Both,
            between: Between::ClientsBrokers,
        },
    }
}
