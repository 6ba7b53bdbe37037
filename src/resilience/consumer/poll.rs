//! The polling thread: the only owner of the client. It polls, feeds the tasks, stores offsets, and decides what an
//! error of the client means for the consumer.

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
use super::queue::Waker;
use super::{ConsumerError, Defect, Observer};
use crate::clock::{Clock, Nanos};
use crate::resilience::classify::{code_of, error_name};
use crate::resilience::record::{Incoming, TopicPartition};

/// How long the thread rests when nothing wakes it.
const REST: Duration = Duration::from_millis(20);
/// How often finished offsets are stored.
const STORE: Nanos = 5_000_000;
/// How long to wait before a client is made again after a fatal error.
const RECREATE: Duration = Duration::from_millis(500);

/// Errors that only a person can mend. Everything else heals, or shows itself by what does not arrive; a resilience
/// component that ends itself over it would be the outage.
const STOPS: &[i32] = &[
    -186, // INVALID_ARG
    -169, // AUTHENTICATION
    -145, // NOT_CONFIGURED
    -140, // AUTO_OFFSET_RESET: no committed offset, and the configuration says to fail then
    17,   // INVALID_TOPIC_EXCEPTION
    23,   // INCONSISTENT_GROUP_PROTOCOL: other members have another assignment strategy
    24,   // INVALID_GROUP_ID
    26,   // INVALID_SESSION_TIMEOUT: outside the broker's limits
    29,   // TOPIC_AUTHORIZATION_FAILED
    30,   // GROUP_AUTHORIZATION_FAILED
    31,   // CLUSTER_AUTHORIZATION_FAILED
    33,   // UNSUPPORTED_SASL_MECHANISM
    34,   // ILLEGAL_SASL_STATE
    35,   // UNSUPPORTED_VERSION
    58,   // SASL_AUTHENTICATION_FAILED
    81,   // GROUP_MAX_SIZE_REACHED
    82,   // FENCED_INSTANCE_ID: another member has our instance id; a new client would fence that one
    112,  // UNSUPPORTED_ASSIGNOR
];

pub(super) struct Poller {
    pub config: ClientConfig,
    pub topics: Vec<String>,
    pub spawn: Spawn,
    pub observer: Arc<dyn Observer>,
    pub max_in_flight: usize,
    pub drain_timeout: Duration,
    pub defect: Option<Defect>,
    pub stop: CancellationToken,
}

enum End {
    Shutdown,
    Stop(i32),
    Fatal(String),
}

impl Poller {
    /// The thread's whole life: clients one after another, until shutdown or an error that must stop.
    pub fn run(self) -> Result<(), ConsumerError> {
        loop {
            let waker = Waker::of_this_thread();
            let assignment = Assignment::new(Arc::clone(&self.spawn), self.max_in_flight, waker.clone());
            let context = Context::new(assignment, Arc::clone(&self.observer), self.drain_timeout);
            let mut client = Client::from_config_and_context(&self.config, context)?;
            client.set_nonempty_callback(move || waker.wake());
            let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            client.subscribe(&topics)?;
            let end = self.serve(&client);
            // Closing the client below revokes what is assigned, with the callbacks called; by then nothing is in
            // flight, so that it takes no time.
            let tps = client.context().assignment().all();
            client.context().drain_and_commit(&client, &tps, true);
            client.context().assignment().close();
            drop(client);
            match end {
                End::Shutdown => return Ok(()),
                End::Stop(code) => return Err(ConsumerError::Stopped { code, name: name(code) }),
                End::Fatal(reason) => {
                    self.observer.on_signal("client-recreated", &reason);
                    std::thread::park_timeout(RECREATE);
                }
            }
        }
    }

    fn serve(&self, client: &Client) -> End {
        let clock = Clock::start();
        let mut stored = 0;
        while !self.stop.is_cancelled() {
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
                    if client.context().assignment().accept(&record) {
                        self.feed(client, record);
                    }
                }
                None => busy = false,
            }
            let (records, errors) = client.context().assignment().take();
            busy |= !records.is_empty();
            for record in records {
                self.feed(client, record);
            }
            for code in errors {
                self.observer.on_signal("client-error", &format!("{code} {}", name(code)));
                if let Some(end) = self.judge(client, Some(code), false) {
                    return end;
                }
            }
            let now = clock.now();
            if !busy || now - stored >= STORE {
                stored = now;
                client.context().store_finished(client);
            }
            if !busy {
                std::thread::park_timeout(REST);
            }
        }
        End::Shutdown
    }

    fn feed(&self, client: &Client, record: Incoming) {
        if self.defect == Some(Defect::CommitBeforeProcessing) {
            self.commit_unprocessed(client, &record.topic_partition(), record.offset + 1);
        }
        client.context().assignment().feed(record);
    }

    fn judge(&self, client: &Client, code: Option<i32>, fatal: bool) -> Option<End> {
        if let Some(code) = code.filter(|code| STOPS.contains(code)) {
            return Some(End::Stop(code));
        }
        if let Some((fatal, reason)) = client.client().fatal_error() {
            let code = fatal as i32;
            return Some(if STOPS.contains(&code) { End::Stop(code) } else { End::Fatal(reason) });
        }
        // An error that is not said to be fatal heals by itself; librdkafka goes on trying.
        fatal.then(|| End::Fatal(name(code.unwrap_or_default())))
    }

    /// The bug of [`Defect::CommitBeforeProcessing`].
    fn commit_unprocessed(&self, client: &Client, tp: &TopicPartition, next: i64) {
        client.context().assignment().note_stored(tp, next);
        let offsets = [(tp.clone(), next)];
        let done = client
            .store_offset(&tp.topic, tp.partition, next - 1)
            .and_then(|()| client.commit(&list(&offsets)?, CommitMode::Sync));
        client.context().committed(tp, next, done.map_err(|error| code_of(&error).unwrap_or(-1)));
    }
}

fn name(code: i32) -> String {
    error_name(code).map_or_else(|| format!("code {code}"), str::to_owned)
}
