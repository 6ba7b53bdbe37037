//! One repeat of one scenario, phase by phase.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::watch::{self, Gauges};
use super::{RunContext, RunError, RunEvent, RunFolder, STOP_GRACE, environment, fingerprint, folder, scrape};
use crate::clock::{Clock, Nanos};
use crate::cluster::pool::Origin;
use crate::cluster::{BackendInfo, Cluster, View};
use crate::fault::Field;
use crate::history::{Header, Op, Promises, Recorder, Topics};
use crate::judge::judge_ledger;
use crate::nemesis;
use crate::plan::{
    BackendKind, Defect, HeaderConvention, Identity, Plan, ProducerKind, StepAction, SubjectKind, Timeline,
    TopicPartition,
};
use crate::report::{self, ScenarioContext, ScenarioRef, ScenarioResult};
use crate::resilience::producer::ResilientProducer;
use crate::resilience::settings::{Profile, Settings};
use crate::rng;
use crate::subject::Subject;
use crate::subject::pipeline::dead_letter_headers;
use crate::workload::final_read::{FinalRead, no_headers_promised};
use crate::workload::{ClientLog, Effects, Load, LoadSpec, PlainProducer, SentLedger, Sink};

/// How long after a failure a backend that is breaking may take to be seen as broken.
const BREAKING: Duration = Duration::from_millis(500);

/// A finished repeat: its result, which is on disk too.
pub struct ScenarioOutcome {
    pub result: ScenarioResult,
    /// `<run folder>/<scenario>/<repeat>`.
    pub folder: PathBuf,
    /// The scenario's one line about itself.
    pub summary: String,
    /// What plots are drawn from; `None`: no record was ever due.
    pub timeline: Option<report::timeline::Timeline>,
}

/// Runs one repeat. On any error, panic of a part, or cancellation: faults are healed and members ended before this
/// returns.
pub async fn run_one(
    context: &RunContext,
    run: &RunFolder,
    path: &Path,
    plan: Plan,
    repeat: u32,
) -> Result<ScenarioOutcome, RunError> {
    let folder = run.scenario(&plan.name, repeat)?;
    let seed = rng::hash(context.seed.wrapping_add(u64::from(repeat)), plan.name.as_bytes());
    let clock = Clock::start();
    let group = format!("{}-{}-{repeat}", plan.name, run.run_id);
    let plan = Arc::new(match context.backend {
        BackendKind::External => plan.with_topic_prefix(&format!("seaworthy-{group}-")),
        BackendKind::Containers | BackendKind::Embedded => plan,
    });
    let header = header(&plan, seed, &group, clock);
    let text = toml::to_string_pretty(&*plan).map_err(|e| RunError::Internal(format!("plan.toml: {e}")))?;
    folder::write(&folder.join("plan.toml"), text.as_bytes())?;
    let history = folder.join("history.jsonl");
    let recorder = Recorder::create(&history, &header, clock)?;
    context.events.emit(RunEvent::ScenarioStarted {
        name: plan.name.clone(),
        summary: plan.summary.clone(),
        repeat,
        expected: plan.load_time() + Timeline::phase(&plan, seed),
    });
    let gauges = Arc::new(Gauges::new());
    let stage = Stage { context, path, plan, seed, group, folder, recorder, gauges, topics: header.topics.clone() };
    let played = stage.play().await;
    stage.recorder.close()?;
    let backend = played?;
    let (read, ledger) = crate::ledger::read(&history)?;
    let timeline = report::timeline::Timeline::with(&read, &ledger);
    let judgement = judge_ledger(&read, ledger);
    let environment = environment::here();
    let configuration = fingerprint::configuration(&stage.plan, &backend, environment.cpus);
    let facts = ScenarioContext {
        scenario: ScenarioRef {
            name: stage.plan.name.clone(),
            path: Some(path.display().to_string()),
            sha256: fingerprint::of_file(path),
        },
        repeat,
        fingerprint: Some(fingerprint::of(&configuration)),
        configuration,
        backend: Some(backend),
        run_seed: Some(context.seed),
        set: context.set.clone(),
        environment,
    };
    let result = ScenarioResult::new(facts, &read, judgement);
    let json = serde_json::to_vec_pretty(&result).map_err(|e| RunError::Internal(format!("result.json: {e}")))?;
    folder::write(&stage.folder.join("result.json"), &json)?;
    let summary = stage.plan.summary.clone();
    Ok(ScenarioOutcome { result, folder: stage.folder, summary, timeline })
}

fn header(plan: &Plan, seed: u64, group: &str, clock: Clock) -> Header {
    let client = |key: &str| plan.subject.client.get(key).map(String::as_str);
    let resilient = plan.workload.producer == ProducerKind::Resilient;
    // The resilient producer is idempotent unless the scenario's own client properties say otherwise.
    let idempotent = resilient && client("enable.idempotence") != Some("false");
    Header {
        seaworthy_history: 1,
        scenario: plan.name.clone(),
        seed,
        started_at: humantime::format_rfc3339_millis(clock.started_at()).to_string(),
        group: group.to_owned(),
        topics: Topics {
            input: plan.topic.name.clone(),
            output: plan.effects_in(),
            dead_letter: plan.topic.dead_letter(),
        },
        promises: match &plan.subject.foreign {
            // What somebody else's application promises, its scenario says.
            Some(foreign) => Promises { idempotent, ordered: foreign.ordered, exactly_once: foreign.exactly_once },
            None => Promises { idempotent, ordered: idempotent, exactly_once: false },
        },
        plan: Some(Box::new(plan.clone())),
    }
}

/// Everything that one repeat's phases share.
pub(super) struct Stage<'a> {
    pub context: &'a RunContext,
    /// The scenario's file.
    pub path: &'a Path,
    pub plan: Arc<Plan>,
    pub seed: u64,
    pub group: String,
    pub folder: PathBuf,
    pub recorder: Recorder,
    pub gauges: Arc<Gauges>,
    pub topics: Topics,
}

impl Stage<'_> {
    /// From set-up to teardown.
    async fn play(&self) -> Result<report::BackendInfo, RunError> {
        self.phase("setup", None);
        let cancel = &self.context.cancel;
        let mut lease = or_cancelled(cancel, self.context.pool.lease(&self.plan.cluster)).await??;
        let cluster = lease.cluster();
        let took = lease.took().as_secs_f64();
        let text = match lease.origin() {
            Origin::Reused => format!("cluster: reused, verified in {took:.1} s"),
            Origin::Built { because } => format!("cluster: ready in {took:.1} s ({because})"),
        };
        self.context.events.emit(RunEvent::Note { name: self.plan.name.clone(), text });
        // A backend that breaks is nobody's failure but its own, and ends the scenario at once.
        let outcome = tokio::select! {
            outcome = self.on_cluster(&cluster) => outcome,
            error = cluster.broken() => Err(error.into()),
        };
        // What failed because the backend was breaking may be told before that is: the cause is what counts.
        let outcome = match outcome {
            Err(RunError::Interrupted) | Ok(()) => outcome,
            Err(consequence) => Err(match tokio::time::timeout(BREAKING, cluster.broken()).await {
                Ok(cause) => cause.into(),
                Err(_) => consequence,
            }),
        };
        let mut backend = cluster.info();
        backend.notes.push(self.context.backend_reason.clone());
        self.phase("teardown", None);
        if let Err(error) = cluster.collect_logs(&self.folder.join("logs")).await {
            tracing::warn!(%error, "collecting the brokers' logs");
        }
        if let Err(error) = &outcome {
            lease.spoil(format!("{} ended with: {error}", self.plan.name));
        }
        outcome.map(|()| report_backend(backend))
    }

    async fn on_cluster(&self, cluster: &Arc<dyn Cluster>) -> Result<(), RunError> {
        let cancel = &self.context.cancel;
        let plan = &self.plan;
        // Effects and dead letters carry the broker's own time of append: it is what recovery is measured by.
        let (output, dead_letter) = (plan.topic.output(), plan.topic.dead_letter());
        let stamp = |topic| cluster.alter_topic(topic, "message.timestamp.type", Some("LogAppendTime"));
        let reset = async {
            cluster.reset_topics(&plan.topic).await?;
            tokio::try_join!(stamp(&output), stamp(&dead_letter))
        };
        or_cancelled(cancel, reset).await??;
        let settings = settings(plan)?;
        // An application of one's own brings its clients' properties with it.
        let client = match plan.subject.kind {
            SubjectKind::Pipeline => cluster.suit_client(&settings.client, &plan.subject.client).await?,
            SubjectKind::Process | SubjectKind::Container | SubjectKind::Custom => plan.subject.client.clone(),
        };
        let sent = Arc::new(SentLedger::of(plan));
        let effects = Effects::of(plan, self.recorder.clone(), sent.clone()).map(Arc::new);
        let subject = self.subject(cluster, client, effects.clone())?;
        let sink = self.sink(cluster, &settings, &sent)?;
        for member in 0..plan.subject.members {
            subject.start(member).await?;
        }
        let stop = CancellationToken::new();
        let _stop_watches = stop.clone().drop_guard();
        let work =
            watch::Work { plan: plan.clone(), cluster: cluster.clone(), sent: sent.clone(), effects: effects.clone() };
        tokio::spawn(watch::ticks(
            work,
            self.gauges.clone(),
            self.recorder.clone(),
            self.context.events.clone(),
            stop.clone(),
        ));
        tokio::spawn(watch::leaders(
            cluster.clone(),
            self.topics.input.clone(),
            self.recorder.clone(),
            self.gauges.clone(),
            stop.clone(),
        ));
        tokio::spawn(watch::high_watermarks(
            cluster.clone(),
            self.topics.input.clone(),
            self.recorder.clone(),
            stop.clone(),
        ));
        if let Some(metrics) = plan.subject.foreign.as_ref().and_then(|foreign| foreign.metrics.clone()) {
            tokio::spawn(scrape::metrics(
                metrics,
                subject.clone(),
                self.surroundings(&**cluster),
                self.recorder.clone(),
                stop.clone(),
            ));
        }
        let url = plan.subject.sink().url();
        let endpoint = url.zip(effects.clone()).map(|(url, effects)| {
            let clock = self.recorder.clock();
            Arc::new(Endpoint::new(url.to_owned(), self.surroundings(&**cluster), subject.clone(), effects, clock))
        });
        if let Some(endpoint) = endpoint.clone() {
            let stop = stop.clone();
            tokio::spawn(async move { endpoint.follow(stop).await });
        }
        let (effects, endpoint) = (effects.as_deref(), endpoint.as_deref());
        let played = self.under_load(cluster, &subject, sink, &sent, effects, endpoint).await;
        if played.is_err() {
            subject.kill_all();
        }
        played
    }

    async fn under_load(
        &self,
        cluster: &Arc<dyn Cluster>,
        subject: &Arc<dyn Subject>,
        sink: Sink,
        sent: &Arc<SentLedger>,
        effects: Option<&Effects>,
        endpoint: Option<&Endpoint>,
    ) -> Result<(), RunError> {
        let (cancel, plan) = (&self.context.cancel, &self.plan);
        self.phase("warm-up", Some(plan.workload.warm_up));
        let load = Load::start(LoadSpec::of(plan, self.seed), sink, self.recorder.clone(), sent.clone())
            .map_err(|e| RunError::Internal(format!("cannot start the load's thread: {e}")))?;
        let load = Arc::new(load);
        or_cancelled(cancel, tokio::time::sleep(plan.workload.warm_up)).await?;
        or_cancelled(cancel, self.ready(&**subject, &**cluster, effects)).await??;
        self.phase("baseline", Some(plan.workload.baseline));
        or_cancelled(cancel, tokio::time::sleep(plan.workload.baseline)).await?;

        let timeline = Timeline::of(plan);
        let phase = Timeline::phase(plan, self.seed);
        if !phase.is_zero() {
            self.signal("injection-phase", serde_json::json!({ "ms": phase.as_secs_f64() * 1e3 }));
            or_cancelled(cancel, tokio::time::sleep(phase)).await?;
        }
        let zero = self.recorder.clock().now();
        let last_heal = timeline.steps.iter().filter(|s| s.action == StepAction::Heal).map(|s| s.at).max();
        self.phase("fault", Some(last_heal.unwrap_or(timeline.load_stops)));
        if let Some(first) = timeline.steps.iter().map(|s| s.at).min() {
            self.gauges.injected(zero + first.as_nanos() as u64);
        }
        let field = Arc::new(Field {
            cluster: cluster.clone(),
            subject: subject.clone(),
            load: load.clone(),
            plan: plan.clone(),
            group: self.group.clone(),
            clock: self.recorder.clock(),
        });
        // The nemesis heals everything it holds before it returns, also when cancelled.
        nemesis::walk(field.clone(), self.recorder.clone(), self.seed, zero, cancel.clone()).await;
        drop(field);
        let left = timeline.load_stops.saturating_sub(Duration::from_nanos(self.recorder.clock().now() - zero));
        let rest = left.max(if last_heal.is_some() { plan.observation.hold } else { Duration::ZERO });
        self.phase("heal", Some(rest));
        or_cancelled(cancel, tokio::time::sleep(rest)).await?;

        self.phase("settle", None);
        let stopping = load.clone();
        tokio::task::spawn_blocking(move || stopping.stop())
            .await
            .map_err(|e| RunError::Internal(format!("the load's thread: {e}")))?;
        or_cancelled(cancel, outstanding_done(sent)).await?;
        self.signal(
            "send-lateness",
            serde_json::json!({
                "p50_ms": sent.lateness(0.5).map(|n| n as f64 / 1e6),
                "p99_ms": sent.lateness(0.99).map(|n| n as f64 / 1e6),
                "max_ms": sent.lateness(1.0).map(|n| n as f64 / 1e6),
            }),
        );

        self.phase("quiesce", None);
        or_cancelled(cancel, self.quiesce(&**cluster)).await?;
        if let Some(endpoint) = endpoint {
            // It may be a member that answers.
            or_cancelled(cancel, endpoint.to_its_end(plan.observation.final_read)).await?;
        }
        subject.shutdown(STOP_GRACE).await;

        self.phase("final-read", None);
        if let Some(endpoint) = endpoint {
            endpoint.rest(plan.observation.final_read).await;
        }
        self.record_commits(&**cluster, &mut BTreeMap::new()).await;
        let (bootstrap, topics) = (cluster.bootstrap(View::Direct), self.topics.clone());
        let (partitions, limit) = (plan.topic.partitions, plan.observation.final_read);
        let (recorder, sent) = (self.recorder.clone(), sent.clone());
        let foreign = plan.subject.foreign.as_ref();
        let identity = foreign.map_or(Identity::Header, |foreign| foreign.identity.clone());
        let (several, in_topic) = (plan.subject.owed().effects > 1, effects.is_none());
        let dead_letter_headers = match foreign.map(|foreign| foreign.dead_letter_headers) {
            Some(HeaderConvention::None) => no_headers_promised,
            Some(HeaderConvention::Seaworthy) | None => dead_letter_headers,
        };
        let read = tokio::task::spawn_blocking(move || {
            let identity = &identity;
            let (bootstrap, topics) = (&bootstrap, &topics);
            let effects = in_topic;
            let read =
                FinalRead { bootstrap, topics, partitions, limit, dead_letter_headers, identity, several, effects };
            read.run(&recorder, &sent)
        });
        if let Some(effects) = effects {
            effects.finish();
        }
        read.await.map_err(|e| RunError::Internal(format!("the final read: {e}")))??;
        Ok(())
    }

    /// Waits until the group has committed to the end of every input topic partition, or the plan's limit.
    async fn quiesce(&self, cluster: &dyn Cluster) {
        let deadline = self.recorder.clock().now() + self.plan.observation.quiesce.as_nanos() as Nanos;
        let mut committed = BTreeMap::new();
        loop {
            self.record_commits(cluster, &mut committed).await;
            let ends = cluster.end_offsets(&self.topics.input).await;
            let done = ends.is_ok_and(|ends| {
                ends.iter().all(|(tp, end)| *end == 0 || committed.get(tp).is_some_and(|at| at >= end))
            });
            if done || self.recorder.clock().now() >= deadline {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Records what the group has committed, as far as it moved.
    async fn record_commits(&self, cluster: &dyn Cluster, known: &mut BTreeMap<TopicPartition, i64>) {
        let tps: Vec<_> =
            (0..self.plan.topic.partitions).map(|p| TopicPartition::new(self.topics.input.as_str(), p)).collect();
        match cluster.committed(&self.group, &tps).await {
            Ok(now) => {
                for (tp, offset) in now {
                    if known.insert(tp.clone(), offset) != Some(offset) {
                        let r#type = crate::history::Outcome::Ok;
                        self.recorder.record(Some("group"), Op::Commit { r#type, tp, offset, error: None });
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the group's committed offsets"),
        }
    }

    /// The load's client; its log is beside the members'.
    fn sink(&self, cluster: &Arc<dyn Cluster>, settings: &Settings, sent: &Arc<SentLedger>) -> Result<Sink, RunError> {
        let path = self.folder.join("logs").join("producer-0.log");
        let file = std::fs::File::create(&path).map_err(folder::io("cannot write", &path))?;
        let log = ClientLog::new(self.recorder.clock(), file);
        tracing::subscriber::with_default(log, || self.client(cluster, settings, sent))
    }

    fn client(
        &self,
        cluster: &Arc<dyn Cluster>,
        settings: &Settings,
        sent: &Arc<SentLedger>,
    ) -> Result<Sink, RunError> {
        let client = &self.plan.subject.client;
        let plain = |view, client: &BTreeMap<String, String>| {
            let bootstrap = cluster.bootstrap(view);
            Ok(Sink::Plain(PlainProducer::new(&bootstrap, client, self.recorder.clone(), sent.clone())?))
        };
        match self.plan.workload.producer {
            ProducerKind::Plain => plain(View::Direct, &BTreeMap::new()),
            ProducerKind::Stock => plain(View::Subject, client),
            ProducerKind::Resilient => {
                let recorder = self.recorder.clone();
                let defect = self.plan.subject.defect;
                let mut overrides = client.clone();
                overrides.entry("client.id".into()).or_insert_with(|| "seaworthy-producer-0".into());
                let producer = ResilientProducer::builder(cluster.bootstrap(View::Subject))
                    .client(settings.client.clone())
                    .overrides(overrides)
                    .retry(settings.retry.clone())
                    .at_least_once(defect == Some(Defect::ResentIndeterminate))
                    .on_signal(move |signal| {
                        let value = serde_json::json!(format!("{signal:?}"));
                        recorder.record(Some("producer-0"), Op::Signal { name: "producer".into(), value });
                    })
                    .build()
                    .map_err(|e| RunError::Settings(e.to_string()))?;
                let runtime = tokio::runtime::Handle::current();
                let doubt_is_failure = defect == Some(Defect::IndeterminateAsFailed);
                Ok(Sink::resilient(producer, runtime, self.recorder.clone(), sent.clone(), doubt_is_failure))
            }
        }
    }

    fn phase(&self, name: &'static str, lasts: Option<Duration>) {
        self.recorder.phase(name);
        self.gauges.phase(name);
        self.context.events.emit(RunEvent::Phase { name: self.plan.name.clone(), phase: name, lasts });
    }

    pub(super) fn signal(&self, name: &str, value: serde_json::Value) {
        self.recorder.record(None, Op::Signal { name: name.to_owned(), value });
    }
}

fn report_backend(info: BackendInfo) -> report::BackendInfo {
    let images = info.images.into_iter().map(|i| report::Image { name: i.name, id: Some(i.id) }).collect();
    report::BackendInfo { kind: info.kind, kafka_version: Some(info.kafka_version), images, notes: info.notes }
}

/// The subject's settings as the plan has them.
fn settings(plan: &Plan) -> Result<Settings, RunError> {
    let profile: Profile = plan.subject.profile.parse().map_err(|e| RunError::Settings(format!("{e}")))?;
    Settings::for_profile(profile)
        .with_overrides(&plan.subject.settings)
        .map_err(|errors| RunError::Settings(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}

async fn outstanding_done(sent: &SentLedger) {
    let _ = tokio::time::timeout(crate::workload::SETTLE_LIMIT, async {
        while sent.counters.outstanding() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn or_cancelled<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, RunError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(RunError::Interrupted),
        done = work => Ok(done),
    }
}
