//! One member of the built-in application's group, as a process of its own: events go to standard output as lines of
//! the history, orders come in on standard input, and when that closes the harness is gone and so is the member.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::handler::PipelineHandler;
use crate::clock::Clock;
use crate::history::{Event, Op, OpError, Origin, Outcome};
use crate::plan::{Defect as PlannedDefect, TopicPartition};
use crate::resilience::alert::AlertManager;
use crate::resilience::breaker::Transition;
use crate::resilience::classify::error_name;
use crate::resilience::consumer::{Defect, HandlerError, Observer, ResilientConsumer};
use crate::resilience::dlq::{DeadLetterInfo, DeadLetterQueue};
use crate::resilience::metrics::ErrorMetrics;
use crate::resilience::producer::ResilientProducer;
use crate::resilience::record::{self, Incoming};
use crate::resilience::settings::{Profile, Settings};
use crate::subject::{ChaosOrder, Surroundings};
use crate::workload::final_read::LetterHeaders;
use crate::workload::{ClientLog, IDENTITY_HEADER};

/// A process that finds a [`MemberConfig`] in this variable is a member.
pub const MEMBER_ENV: &str = "SEAWORTHY_INTERNAL_MEMBER";

/// Everything that a member must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberConfig {
    /// [`Clock::origin`] of the run.
    pub clock_origin: u64,
    pub member: u32,
    pub surroundings: Surroundings,
    pub profile: String,
    pub settings: BTreeMap<String, String>,
    pub client: BTreeMap<String, String>,
    pub defect: Option<PlannedDefect>,
}

#[derive(Deserialize)]
struct Order {
    chaos: Option<ChaosOrder>,
}

/// If this process was started as a member: runs it, and never returns.
pub fn run_if_member() {
    let Ok(json) = std::env::var(MEMBER_ENV) else { return };
    let code = match serde_json::from_str(&json).map_err(|e| e.to_string()).and_then(run) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("member: {error}");
            1
        }
    };
    std::process::exit(code);
}

fn run(config: MemberConfig) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start an async runtime: {e}"))?;
    let outcome = runtime.block_on(consume(config));
    // Librdkafka's clients may take their time to go; the group was left already.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

async fn consume(config: MemberConfig) -> Result<(), String> {
    let clock = Clock::from_origin(config.clock_origin);
    // It fails if there is one already: then that one hears of it.
    let _ = tracing::subscriber::set_global_default(ClientLog::of_this_process(clock));
    let around = &config.surroundings;
    let (events, writer) = Teller::start(clock);
    let profile: Profile = config.profile.parse().map_err(|e| format!("profile: {e}"))?;
    let mut settings = Settings::for_profile(profile)
        .with_overrides(&config.settings)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    if config.defect == Some(PlannedDefect::BreakerNeverCloses) {
        settings.breaker.reset_timeout = Duration::from_secs(3_600);
        settings.breaker.max_reset_timeout = Duration::from_secs(3_600);
    }
    let mut client = config.client.clone();
    client.entry("client.id".into()).or_insert_with(|| format!("seaworthy-member-{}", config.member));
    let metrics = Arc::new(ErrorMetrics::new(settings.monitoring.minimum_sample));
    let teller = events.clone();
    let producer = ResilientProducer::builder(&around.bootstrap)
        .client(settings.client.clone())
        .overrides(client.clone())
        .retry(settings.retry.clone())
        .metrics(Arc::clone(&metrics))
        .on_signal(move |signal| teller.signal("producer", format!("{signal:?}")))
        .build()
        .map_err(|e| e.to_string())?;
    let handler = Arc::new(PipelineHandler::new(
        around.output.clone(),
        around.seed,
        config.defect == Some(PlannedDefect::ForgottenIdentity),
    ));
    let shutdown = CancellationToken::new();
    tokio::spawn(obey(handler.clone(), events.clone(), shutdown.clone()));
    tokio::spawn(stop_on_sigterm(shutdown.clone()));
    let told = tokio::spawn(monitor(
        AlertManager::new(settings.monitoring.clone()),
        Arc::clone(&metrics),
        events.clone(),
        shutdown.clone(),
    ));
    let consumer = ResilientConsumer::builder(
        &around.bootstrap,
        &around.group,
        producer.clone(),
        DeadLetterQueue::new(&around.dead_letter, &around.group)
            .max_header_bytes(settings.dlq.max_header_bytes)
            .preset(settings.dlq.header_preset),
    )
    .topics([&around.input])
    .settings(settings)
    .overrides(client)
    .observer(Arc::new(events.clone()))
    .metrics(metrics)
    .defect(config.defect.and_then(consumer_defect))
    .build();
    let outcome = consumer.run(handler, shutdown).await.map_err(|e| e.to_string());
    if let Err(error) = &outcome {
        events.signal("member-error", error.clone());
    }
    told.abort();
    events.finish(writer);
    outcome
}

/// The bug in the consumer, if it is one of the consumer's.
fn consumer_defect(defect: PlannedDefect) -> Option<Defect> {
    Some(match defect {
        PlannedDefect::CommitBeforeProcessing => Defect::CommitBeforeProcessing,
        PlannedDefect::DropOnExhaustion => Defect::DropOnExhaustion,
        PlannedDefect::UnawaitedDeadLetter => Defect::UnawaitedDeadLetter,
        PlannedDefect::SwallowedDeadLetterFailure => Defect::SwallowedDeadLetterFailure,
        PlannedDefect::BareDeadLetter => Defect::BareDeadLetter,
        PlannedDefect::CommitPastHole => Defect::CommitPastHole,
        PlannedDefect::RejectedAsSuccess => Defect::RejectedAsSuccess,
        PlannedDefect::UnorderedPool => Defect::UnorderedPool,
        PlannedDefect::SeekToEnd => Defect::SeekToEnd,
        PlannedDefect::BreakerNeverCloses
        | PlannedDefect::ForgottenIdentity
        | PlannedDefect::IndeterminateAsFailed
        | PlannedDefect::ResentIndeterminate => return None,
    })
}

/// How often metrics are told and thresholds looked at.
const MONITOR_EVERY: Duration = Duration::from_secs(1);

/// Tells alerts as they fire and are resolved, and the metrics once a second.
async fn monitor(alerts: AlertManager, metrics: Arc<ErrorMetrics>, events: Teller, shutdown: CancellationToken) {
    let tell = |name: &str, value: serde_json::Result<serde_json::Value>| {
        if let Ok(value) = value {
            events.tell(Op::Signal { name: name.into(), value });
        }
    };
    let watch = alerts.watch(&metrics, MONITOR_EVERY, shutdown.clone(), |alert| {
        tell("alert", serde_json::to_value(&alert));
    });
    let report = async {
        let mut ticks = tokio::time::interval(MONITOR_EVERY);
        loop {
            ticks.tick().await;
            tell("metrics", serde_json::to_value(metrics.snapshot()));
        }
    };
    tokio::select! {
        () = watch => {}
        () = report => {}
    }
    tell("metrics", serde_json::to_value(metrics.snapshot()));
}

/// Follows the harness's orders; its end is the member's end.
async fn obey(handler: Arc<PipelineHandler>, events: Teller, shutdown: CancellationToken) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Order>(&line).map_err(|e| e.to_string()).map(|order| handler.obey(order.chaos)) {
            Ok(Ok(())) => {
                let counts = handler.chaos.counts();
                let value = serde_json::json!({
                    "on": handler.chaos.is_enabled(),
                    "decided": counts.decisions,
                    "failed": counts.failures,
                });
                events.tell(Op::Signal { name: "chaos".into(), value });
            }
            Ok(Err(error)) => eprintln!("member: order refused: {error}"),
            Err(error) => eprintln!("member: not an order: {line}: {error}"),
        }
    }
    // Nobody would hear of anything that happens from here on.
    shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(5)).await;
    std::process::exit(1);
}

async fn stop_on_sigterm(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        terminate.recv().await;
        shutdown.cancel();
    }
}

/// Writes events to standard output from a thread of its own, in batches: telling costs the consumer a send.
#[derive(Clone)]
struct Teller {
    clock: Clock,
    queue: mpsc::Sender<Option<Event>>,
}

impl Teller {
    fn start(clock: Clock) -> (Self, std::thread::JoinHandle<()>) {
        let (queue, events) = mpsc::channel::<Option<Event>>();
        let writer = std::thread::spawn(move || {
            let mut out = std::io::BufWriter::new(std::io::stdout());
            while let Ok(Some(event)) = events.recv() {
                let mut next = Some(event);
                while let Some(event) = next.take() {
                    if serde_json::to_writer(&mut out, &event).is_err() || out.write_all(b"\n").is_err() {
                        return;
                    }
                    match events.try_recv() {
                        Ok(Some(event)) => next = Some(event),
                        Ok(None) => {
                            let _ = out.flush();
                            return;
                        }
                        Err(_) => {}
                    }
                }
                if out.flush().is_err() {
                    return;
                }
            }
        });
        (Self { clock, queue }, writer)
    }

    fn tell(&self, op: Op) {
        // The actor is added by the harness, which knows whose pipe this is.
        let _ = self.queue.send(Some(Event { t: self.clock.now(), actor: None, op }));
    }

    fn signal(&self, name: &str, value: String) {
        self.tell(Op::Signal { name: name.to_owned(), value: value.into() });
    }

    fn finish(&self, writer: std::thread::JoinHandle<()>) {
        let _ = self.queue.send(None);
        let _ = writer.join();
    }
}

fn tps(tps: &[record::TopicPartition]) -> Vec<TopicPartition> {
    tps.iter().map(|tp| TopicPartition::new(tp.topic.as_str(), tp.partition)).collect()
}

fn identity(record: &Incoming) -> String {
    record.header(IDENTITY_HEADER).map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default()
}

impl Observer for Teller {
    fn on_assign(&self, assigned: &[record::TopicPartition], generation: Option<i32>) {
        self.tell(Op::Assign { r#type: Outcome::Ok, tps: tps(assigned), generation });
    }

    fn on_revoke(&self, revoked: &[record::TopicPartition], generation: Option<i32>, lost: bool) {
        let r#type = if lost { Outcome::Fail } else { Outcome::Ok };
        self.tell(Op::Revoke { r#type, tps: tps(revoked), generation });
    }

    fn on_deliver(&self, record: &Incoming) {
        let tp = TopicPartition::new(record.topic.as_str(), record.partition);
        self.tell(Op::Deliver { r#type: Outcome::Ok, id: identity(record), tp, offset: record.offset });
    }

    fn on_commit(&self, tp: &record::TopicPartition, next_offset: i64, result: Result<(), i32>) {
        let tp = TopicPartition::new(tp.topic.as_str(), tp.partition);
        let error = result.err().map(|code| OpError {
            code,
            name: error_name(code).unwrap_or("unknown").to_owned(),
            class: String::new(),
            persistence: String::new(),
        });
        let r#type = if error.is_some() { Outcome::Fail } else { Outcome::Ok };
        self.tell(Op::Commit { r#type, tp, offset: next_offset, error });
    }

    fn on_breaker(&self, transition: &Transition) {
        self.signal("breaker", transition.to.to_string());
    }

    fn on_retry(&self, record: &Incoming, attempt: u32, delay: Duration, error: &HandlerError) {
        let value = serde_json::json!({
            "id": identity(record),
            "attempt": attempt,
            "delay_ms": delay.as_secs_f64() * 1e3,
            "error": error.message,
        });
        self.tell(Op::Signal { name: "retry".into(), value });
    }

    fn on_dead_letter(&self, origin: &record::TopicPartition, offset: i64) {
        self.signal("dead-letter", format!("{origin}@{offset}"));
    }

    fn on_signal(&self, name: &str, value: &str) {
        self.signal(name, value.to_owned());
    }
}

/// What the headers say that the resilience components write.
pub fn dead_letter_headers(message: &BorrowedMessage<'_>) -> LetterHeaders {
    let info = DeadLetterInfo::from_headers(&record::headers_of(message));
    let origin =
        info.origin().map(|(topic, partition, offset)| Origin { tp: TopicPartition::new(topic, partition), offset });
    let error_class = info.error_class.map(|class| class.as_str().to_owned());
    LetterHeaders { origin, complete: info.complete(), error_class }
}
