//! The consumer is killed, loses its topic partitions, or its producer dies; nothing is lost.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seaworthy::cluster::{Cluster, View};
use seaworthy::resilience::consumer::{Handler, Observer};
use seaworthy::resilience::record::{Incoming, OutgoingRecord, TopicPartition};
use seaworthy::resilience::reprocess::{DeadLetterTopic, Replay};
use seaworthy::resilience::{DeadLetterInfo, HandlerError, ResilientProducer};
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, Do, Log, Member, Names, properties, until};
use crate::{Case, Outcome, case, ensure};

/// A process that finds the bootstrap addresses here is a consumer that kills itself.
const VICTIM: &str = "SEAWORTHY_TEST_VICTIM";
const KILLED: &str = "killed";

pub fn cases() -> Vec<Case> {
    vec![
        case("a_consumer_killed_between_a_dead_letter_s_acknowledgement_and_its_commit_loses_nothing", killed),
        case("records_in_flight_at_a_revocation_are_finished_and_committed_first", revoked),
        case("a_fatal_producer_error_costs_no_record", fatal),
    ]
}

fn bad(value: u64) -> bool {
    value % 5 == 2
}

/// Dies as the third dead letter is acknowledged: before its offset is even stored.
struct KillItself(AtomicUsize);

impl Observer for KillItself {
    fn on_dead_letter(&self, _: &TopicPartition, _: i64) {
        if self.0.fetch_add(1, Ordering::SeqCst) == 2 {
            // SAFETY: SIGKILL to this very process; nothing comes after it.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }
}

pub fn run_if_victim(runtime: &tokio::runtime::Runtime) {
    let Ok(bootstrap) = std::env::var(VICTIM) else { return };
    runtime.block_on(async {
        let names = Names { name: KILLED.to_owned(), bootstrap };
        // Its group notices its death soon.
        let late = properties(&[("auto.commit.interval.ms", "3600000"), ("session.timeout.ms", "6000")]);
        let builder = names.consumer(&Log::new()).overrides(late).observer(Arc::new(KillItself(AtomicUsize::new(0))));
        let outcome = builder.build().run(names.handler(bad), CancellationToken::new()).await;
        eprintln!("the victim survived: {outcome:?}");
    });
    std::process::exit(3);
}

async fn killed(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, KILLED).await?;
    bench.fill(0, 60).await?;
    let bootstrap = bench.cluster.bootstrap(View::Direct);
    let mut victim = Command::new(std::env::current_exe()?).env(VICTIM, bootstrap).spawn()?;
    let status = tokio::task::spawn_blocking(move || victim.wait()).await??;
    ensure!(std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL), "it ended with {status}");
    let before = bench.read(bench.dlq()).await?.len();
    ensure!(before >= 3, "{before} dead letters were acknowledged before it died");

    let log = Log::new();
    let member = Member::start(bench.consumer(&log), bench.handler(bad));
    bench.nothing_is_lost(60, bad).await?;
    until("all dead letters again", || log.dead_letters.load(Ordering::SeqCst) == 12).await?;
    member.leave().await?;
    bench.all_is_committed().await?;
    let letters = bench.read(bench.dlq()).await?;
    let ids: BTreeSet<_> =
        letters.iter().filter_map(|r| DeadLetterInfo::from_headers(&r.headers).dead_letter_id).collect();
    ensure!(letters.len() >= before + 12, "{} letters, {before} of them before", letters.len());
    ensure!(ids.len() == 12, "{} ids for 12 records", ids.len());
    let copies = letters.len() as u64 - 12;

    // Written twice around the crash, sent once.
    let at = DeadLetterTopic::new(&bench.bootstrap, bench.dlq());
    let replay = move || at.replay(&Replay::default(), &CancellationToken::new(), |_| ());
    let done = tokio::task::spawn_blocking(replay).await??;
    ensure!((done.replayed, done.duplicates) == (12, copies), "{done:?}");
    let input = bench.values(bench.input()).await?;
    ensure!(input.len() == 72, "{} records in the input after the replay", input.len());
    Ok(())
}

/// Takes its time with each record, asynchronously.
struct Slow(Do, Arc<AtomicUsize>);

impl Handler for Slow {
    async fn handle(&self, record: &Incoming, attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(40)).await;
        let done = self.0.handle(record, attempt).await;
        self.1.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

async fn revoked(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "revoked").await?;
    bench.fill(0, 400).await?;
    let (in_flight, none) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let logs = [Log::new(), Log::new()];
    let first = Member::start(bench.consumer(&logs[0]), Slow(bench.handler(bad), Arc::clone(&in_flight)));
    until("work in both topic partitions", || in_flight.load(Ordering::SeqCst) == 2).await?;
    let second = Member::start(bench.consumer(&logs[1]), Slow(bench.handler(bad), none));
    until("a revocation", || logs[0].signals("revoking", "revoked.in") > 0).await?;
    until("the other's share", || logs[1].delivered.load(Ordering::SeqCst) > 0).await?;
    bench.nothing_is_lost(400, bad).await?;
    first.leave().await?;
    second.leave().await?;
    ensure!(logs[0].signals("drain-timeout", "") == 0, "what was in flight was cut off");
    bench.all_is_committed().await
}

async fn fatal(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "fatal").await?;
    bench.fill(0, 200).await?;
    let recreated = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&recreated);
    let producer = ResilientProducer::builder(&bench.bootstrap)
        .on_signal(move |signal| {
            if matches!(signal, seaworthy::resilience::producer::ProducerSignal::Recreated { .. }) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        })
        .build()?;
    let (log, dies) = (Log::new(), producer.clone());
    let handler = bench.handler(bad);
    let raised = AtomicUsize::new(0);
    let handler = Do(Box::new(move |record, attempt| {
        if raised.fetch_add(1, Ordering::SeqCst) == 50 {
            dies.raise_fatal_error();
        }
        (handler.0)(record, attempt)
    }));
    let member = Member::start(bench.consumer_with(&log, producer), handler);
    bench.nothing_is_lost(200, bad).await?;
    member.leave().await?;
    ensure!(recreated.load(Ordering::SeqCst) == 1, "the producer was made anew {recreated:?} times");
    bench.all_is_committed().await
}
