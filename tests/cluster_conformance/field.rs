//! What a fault may touch, for trials of faults without a run around them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy::clock::Clock;
use seaworthy::cluster::{Cluster, View};
use seaworthy::diagnostic::Source;
use seaworthy::fault::Field;
use seaworthy::history::{Header, Promises, Recorder, Topics};
use seaworthy::subject::{ChaosOrder, MemberState, Subject, SubjectError};
use seaworthy::workload::{Load, LoadSpec, PlainProducer, SentLedger, Sink};
use tempfile::TempDir;

/// The field of a scenario, with its load running on the direct path, and the folder of its history.
pub fn field(
    scenario: &str,
    cluster: Arc<dyn Cluster>,
    subject: Arc<dyn Subject>,
) -> Result<(Field, TempDir), Box<dyn std::error::Error + Send + Sync>> {
    let source = Source::new("field.toml", scenario.to_owned());
    let (plan, _) = seaworthy::scenario::parse(&source).map_err(|e| format!("{e:?}"))?;
    let (folder, clock) = (tempfile::tempdir()?, Clock::start());
    let recorder = Recorder::create(&folder.path().join("history.jsonl"), &header(), clock)?;
    let sent = Arc::new(SentLedger::default());
    let direct = cluster.bootstrap(View::Direct);
    let plain = PlainProducer::new(&direct, &Default::default(), recorder.clone(), sent.clone())?;
    let load = Load::start(LoadSpec::of(&plan, 1), Sink::Plain(plain), recorder, sent)?;
    let field = Field { cluster, subject, load: Arc::new(load), plan: Arc::new(plan), group: "g".into(), clock };
    Ok((field, folder))
}

fn header() -> Header {
    Header {
        seaworthy_history: 1,
        scenario: "field".into(),
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
pub struct Frozen(pub Mutex<Vec<String>>);

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
