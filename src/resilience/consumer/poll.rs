//! The polling thread: the only owner of the client. It polls, stores offsets, and decides what an error of the client
//! means for the consumer. Records do not come through here: the tasks take them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Spawn};
use super::commit::list;
use super::context::{Client, Context};
use super::halt::{Halt, Reason, name, stops};
use super::lane::{Report, Waker};
use super::{ConsumerError, Defect, Observer};
use crate::clock::{Clock, Nanos};
use crate::resilience::classify::code_of;
use crate::resilience::leader_search;
use crate::resilience::producer::ResilientProducer;
use crate::resilience::record::{Incoming, TopicPartition};

/// How long the thread rests when nothing wakes it.
const REST: Duration = Duration::from_millis(20);
/// How often finished offsets are stored, at most.
const STORE: Nanos = 5_000_000;
/// How long to wait before a client is made again after a fatal error.
const RECREATE: Duration = Duration::from_millis(500);

pub(super) struct Poller {
    pub config: ClientConfig,
    pub topics: Vec<String>,
    pub spawn: Spawn,
    pub observer: Arc<dyn Observer>,
    pub drain_timeout: Duration,
    pub stop: CancellationToken,
    pub halt: Arc<Halt>,
    /// Its credentials may be refused while the consumer's are good.
    pub producer: ResilientProducer,
    pub defect: Option<Defect>,
}

enum End {
    Shutdown,
    Stop(Reason),
    Fatal(String),
}

impl Poller {
    /// The thread's whole life: clients one after another, until shutdown or an error that must stop.
    pub fn run(self) -> Result<(), ConsumerError> {
        loop {
            let waker = Waker::of_this_thread();
            let assignment = Assignment::new(Arc::clone(&self.spawn), waker.clone());
            let context = Context::new(assignment, Arc::clone(&self.observer), self.drain_timeout, self.defect);
            let mut client = Client::from_config_and_context(&self.config, context)?;
            let main_queue = waker.clone();
            client.set_nonempty_callback(move || main_queue.wake());
            let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            client.subscribe(&topics)?;
            let ask = || leader_search::ask(client.client());
            let end = client.context().search.beside(ask, || self.serve(&client, &waker));
            if let End::Stop(reason) = &end {
                self.observer.on_signal("stopped", &reason.text());
            }
            // Closing the client below revokes what is assigned, with the callbacks called; by then nothing is in
            // flight, so that it takes no time.
            let tps = client.context().assignment().all();
            client.context().drain_and_commit(&client, &tps, true);
            client.context().assignment().close();
            drop(client);
            match end {
                End::Shutdown => return Ok(()),
                End::Stop(reason) => return Err(reason.into_error()),
                End::Fatal(reason) => {
                    self.observer.on_signal("client-recreated", &reason);
                    std::thread::park_timeout(RECREATE);
                }
            }
        }
    }

    fn serve(&self, client: &Client, waker: &Waker) -> End {
        let clock = Clock::start();
        let mut stored = 0;
        while !self.stop.is_cancelled() {
            if let Some(reason) = self.halt.reason() {
                return End::Stop(reason);
            }
            if let Some(code) = self.producer.refused() {
                return End::Stop(Reason::Code(code, "producing".into()));
            }
            // Rebalances, and errors of the client; records come through the queues of their topic partitions.
            let mut busy = true;
            match client.poll(Duration::ZERO) {
                Some(Err(error)) => {
                    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
                    if let Some(end) = self.judge(client, code_of(&error), fatal) {
                        return end;
                    }
                }
                // Would be one of an assignment whose queue could not be diverted in time.
                Some(Ok(message)) => {
                    // SAFETY: the message is borrowed, and thereby valid.
                    let record = unsafe { Incoming::copy_of(message.ptr()) };
                    client.context().assignment().stray(record);
                }
                None => busy = client.context().take_logged(),
            }
            let reports = client.context().assignment().reports();
            for report in reports {
                match report {
                    Report::Error(code) => {
                        self.observer.on_signal("client-error", &format!("{code} {}", name(code)));
                        if let Some(end) = self.judge(client, Some(code), false) {
                            return end;
                        }
                    }
                    Report::Delivered(tp, next, answer) => {
                        // Nobody waits any more: the task was stopped, and somebody else may own its records.
                        if !answer.is_closed() {
                            self.commit_unprocessed(client, &tp, next);
                        }
                        let _ = answer.send(());
                    }
                }
            }
            let mut since = clock.now() - stored;
            if since >= STORE {
                stored += since;
                since = 0;
                waker.take_progress();
                client.context().store_finished(client);
            }
            if !busy {
                std::thread::park_timeout(if waker.has_progress() {
                    Duration::from_nanos(STORE - since)
                } else {
                    REST
                });
            }
        }
        End::Shutdown
    }

    fn judge(&self, client: &Client, code: Option<i32>, fatal: bool) -> Option<End> {
        let stop = |code| End::Stop(Reason::Code(code, "consuming".into()));
        if let Some(code) = code.filter(|code| stops(*code)) {
            return Some(stop(code));
        }
        if let Some((fatal, reason)) = client.client().fatal_error() {
            let code = fatal as i32;
            return Some(if stops(code) { stop(code) } else { End::Fatal(reason) });
        }
        // An error that is not said to be fatal heals by itself; librdkafka goes on trying.
        fatal.then(|| End::Fatal(name(code.unwrap_or_default())))
    }

    /// The bug of [`Defect::CommitBeforeProcessing`](super::Defect::CommitBeforeProcessing).
    fn commit_unprocessed(&self, client: &Client, tp: &TopicPartition, next: i64) {
        client.context().assignment().note_stored(tp, next);
        let offsets = [(tp.clone(), next)];
        let done = client
            .store_offset(&tp.topic, tp.partition, next - 1)
            .and_then(|()| client.commit(&list(&offsets)?, CommitMode::Sync));
        client.context().committed(tp, next, done.map_err(|error| code_of(&error).unwrap_or(-1)));
    }
}
