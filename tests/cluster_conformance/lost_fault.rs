//! A fault whose task panicked took the knowledge of its harm with it: everything that any fault can do is undone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy::clock::Clock;
use seaworthy::cluster::{BrokerState, View};
use seaworthy::fault::{Field, heal_everything};
use seaworthy::history::{Header, Promises, Recorder, Topics};
use seaworthy::plan::{Direction, NetworkEffect, Plan};
use seaworthy::subject::{ChaosOrder, MemberState, Subject, SubjectError};
use seaworthy::workload::{Load, LoadSpec, PlainProducer, SentLedger, Sink};

use crate::facts::topic;
use crate::{Case, LATE, Outcome, Shared, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![case("whatever_a_lost_fault_held_is_healed", lost)]
}

async fn lost(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let folder = tempfile::tempdir()?;
    let (plan, clock) = (plan_of_orders()?, Clock::start());
    let recorder = Recorder::create(&folder.path().join("history.jsonl"), &header(), clock)?;
    let sent = Arc::new(SentLedger::default());
    let direct = cluster.bootstrap(View::Direct);
    let plain = PlainProducer::new(&direct, &Default::default(), recorder.clone(), sent.clone())?;
    let load = Load::start(LoadSpec::of(&plan, 1), Sink::Plain(plain), recorder, sent)?;
    load.set_poison(1.0);
    let subject = Arc::new(Frozen::default());
    let field = Field {
        cluster: cluster.cluster(),
        subject: subject.clone(),
        load: Arc::new(load),
        plan: Arc::new(plan),
        group: "g".into(),
        clock,
    };

    cluster.kill(1).await?;
    cluster.pause(2).await?;
    cluster.cut(3, NetworkEffect::Blackhole, Direction::Both).await?;
    heal_everything(&field).await;

    for broker in 1..=3 {
        ensure!(cluster.state(broker).await? == BrokerState::Running, "broker {broker} does not run");
        cluster.await_probe(broker, View::Subject, LATE).await?;
    }
    cluster.verify_healthy(LATE).await?;
    let told = subject.0.lock().map_err(|e| e.to_string())?.clone();
    ensure!(told == ["no chaos", "resume 7"], "the subject was told {told:?}");
    Ok(())
}

fn plan_of_orders() -> Result<Plan, String> {
    let source = seaworthy::diagnostic::Source::new("lost.toml", "name = \"lost\"\n".to_owned());
    seaworthy::scenario::parse(&source).map(|(plan, _)| plan).map_err(|e| format!("{e:?}"))
}

fn header() -> Header {
    Header {
        seaworthy_history: 1,
        scenario: "lost".into(),
        seed: 1,
        started_at: String::new(),
        group: "g".into(),
        topics: Topics { input: "orders".into(), output: "orders.out".into(), dead_letter: "orders.dlq".into() },
        promises: Promises::default(),
        plan: None,
    }
}

/// Writes down what it is told. One member, number 7.
#[derive(Default)]
struct Frozen(Mutex<Vec<String>>);

impl Frozen {
    fn told(&self, what: String) {
        if let Ok(mut told) = self.0.lock() {
            told.push(what);
        }
    }
}

#[async_trait::async_trait]
impl Subject for Frozen {
    async fn start(&self, member: u32) -> Result<(), SubjectError> {
        self.told(format!("start {member}"));
        Ok(())
    }
    async fn crash(&self, member: u32) -> Result<String, SubjectError> {
        self.told(format!("crash {member}"));
        Ok(String::new())
    }
    async fn stop(&self, member: u32, _: Duration) -> Result<String, SubjectError> {
        self.told(format!("stop {member}"));
        Ok(String::new())
    }
    async fn pause(&self, member: u32) -> Result<String, SubjectError> {
        self.told(format!("pause {member}"));
        Ok(String::new())
    }
    async fn resume(&self, member: u32) -> Result<(), SubjectError> {
        self.told(format!("resume {member}"));
        Ok(())
    }
    async fn chaos(&self, order: Option<ChaosOrder>) -> Result<String, SubjectError> {
        self.told(if order.is_some() { "chaos".into() } else { "no chaos".into() });
        Ok(String::new())
    }
    fn members(&self) -> Vec<MemberState> {
        vec![MemberState { index: 7, pid: Some(1), assigned: Vec::new(), ready: true, ended: None }]
    }
    async fn shutdown(&self, _: Duration) {}
    fn kill_all(&self) {}
}
