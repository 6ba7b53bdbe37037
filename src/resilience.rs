//! The resilience components: what a Kafka application needs to keep its promises when the cluster misbehaves.
//!
//! Each works alone and in production, without the harness. They own error classification, retrying, circuit breaking,
//! error metrics with their alerts, injected chaos and the settings per environment. They know the clock and the random
//! numbers of this crate and nothing else of it: no scenario, no history, no cluster.
//!
//! How they fit together: a failed call is *classified*; what is retriable is *retried* with growing, jittered delays;
//! a *breaker* inside the retry refuses calls while the cluster is down; everything is *counted*, and the counts raise
//! *alerts*. [`Settings`] hold the numbers.
//!
//! | module | owns |
//! |---|---|
//! | [`classify`] | what an error code means: class, action, persistence |
//! | [`backoff`] | how long to wait before a retry, and the retry numbers |
//! | [`retry`] | running an operation until it succeeds or may not be tried again |
//! | [`breaker`] | refusing calls to something that is down, and noticing that it is back |
//! | [`chaos`] | failures and latencies injected on purpose, decided by a seed |
//! | [`metrics`], [`alert`] | counting errors (with an HTTP endpoint: feature `metrics-server`), and telling people |
//! | [`record`] | records as owned bytes |
//! | [`dlq`] | dead letters: their headers, written and read; retry topics |
//! | [`reprocess`] | dead letters afterwards: looked into, watched, replayed |
//! | [`producer`], [`consumer`] | clients that apply all of this |
//! | [`client`] | putting a client's properties together |
//! | [`settings`] | the numbers of all of these for an environment, with overrides |

pub mod alert;
pub mod backoff;
pub mod breaker;
pub mod chaos;
pub mod classify;
pub mod client;
pub mod consumer;
pub mod dlq;
pub mod metrics;
pub mod producer;
pub mod record;
pub mod reprocess;
pub mod retry;
pub mod settings;
pub mod text;

mod invalid;
mod leader_search;

pub use alert::{Alert, AlertManager};
pub use backoff::{Backoff, Jitter, RetryConfig};
pub use breaker::{BreakerConfig, BreakerError, CircuitBreaker, Mode, Permit, Rejected, State, Transition};
pub use chaos::ChaosEngine;
pub use classify::{Action, Class, Classification, Classify, Persistence, classify_code};
pub use consumer::{Handler, HandlerError, Observer, ResilientConsumer};
pub use dlq::{DeadLetterInfo, DeadLetterQueue, RetryTopics};
pub use invalid::Invalid;
pub use metrics::ErrorMetrics;
pub use producer::{Delivered, ResilientProducer, SendError};
pub use record::{Incoming, OutgoingRecord, Record, TopicPartition};
pub use reprocess::DeadLetterTopic;
pub use retry::{Retry, RetryError};
pub use settings::{Profile, Settings, SettingsError};
