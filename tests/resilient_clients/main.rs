//! The resilient producer and consumer against librdkafka's mock cluster: facts about records, offsets and events.
//! (The mock does not recognise duplicates of idempotent producers; what depends on that needs a real broker.)

mod consumer;
mod defects;
mod mock;
mod producer;
mod side_by_side;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;
use rstest::rstest;
use seaworthy::resilience::backoff::RetryConfig;
use seaworthy::resilience::breaker::BreakerConfig;
use seaworthy::resilience::classify::Persistence;
use seaworthy::resilience::consumer::{ConsumerBuilder, ConsumerError, Defect, Handler};
use seaworthy::resilience::dlq::{DeadLetterInfo, DeadLetterQueue};
use seaworthy::resilience::producer::ProducerSignal;
use seaworthy::resilience::settings::{ConsumerSettings, OnExhausted, Settings};
use seaworthy::resilience::{HandlerError, Incoming, Record, ResilientConsumer, ResilientProducer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use mock::{Do, Event, Log, Mock, echo, handler, text, until};

const TOPICS: &[(&str, i32)] = &[("in", 3), ("out", 3), ("in.dlq", 3)];

fn producer(mock: &Mock) -> ResilientProducer {
    ResilientProducer::builder(&mock.bootstrap).build().unwrap()
}

/// Patience for a test: quick retries, a breaker that opens after three failures.
fn settings() -> Settings {
    Settings {
        retry: RetryConfig {
            max_retries: 3,
            initial_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(10),
            ..RetryConfig::default()
        },
        breaker: BreakerConfig {
            max_failures: 1_000,
            reset_timeout: Duration::from_millis(50),
            ..BreakerConfig::default()
        },
        consumer: ConsumerSettings { hold: Duration::from_millis(20), ..ConsumerSettings::default() },
        ..Settings::default()
    }
}

fn consumer(mock: &Mock, log: &Arc<Log>) -> ConsumerBuilder {
    ResilientConsumer::builder(&mock.bootstrap, "g", producer(mock), DeadLetterQueue::new("in.dlq", "g"))
        .topics(["in"])
        .settings(settings())
        .observer(Arc::clone(log) as _)
}

struct Member {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

impl Member {
    fn start(builder: ConsumerBuilder, handler: Do) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(builder.build().run(handler, stop.clone()));
        Self { stop, task }
    }

    async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// `count` records in "in": key `k<i mod keys>`, value `<i>`; acknowledged.
async fn fill(mock: &Mock, count: usize, keys: usize) {
    let producer = producer(mock);
    let record = |i: usize| Record::to("in").key(format!("k{}", i % keys)).payload(i.to_string());
    let sent: Vec<_> = (0..count).map(|i| producer.send(record(i))).collect();
    for delivery in sent {
        delivery.await.unwrap();
    }
}

fn values(mock: &Mock, topic: &str) -> Vec<u64> {
    let mut values: Vec<u64> = mock.read(topic).iter().map(|r| text(&r.payload).parse().unwrap()).collect();
    values.sort_unstable();
    values
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}
