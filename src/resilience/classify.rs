//! What an error means: whether the call may be repeated, what to do, and whether the record may be in the log already.
//!
//! It owns the table of Kafka's and librdkafka's error codes and the trait by which applications classify errors of
//! their own. It is keyed by the integer code, because rdkafka's enum lacks the newer broker codes, and it must not know
//! what anybody does with the answer.
//!
//! Kafka's own rule is whether its exception extends `RetriableException`; rdkafka has no such question for anything but
//! transactions. The table follows kafka-clients 4.1.0 in it, to the letter.

mod table;

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::{Deserialize, Serialize};

/// Whether a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Repeating is likely to succeed at once or nearly so.
    Retriable,
    /// Repeating will succeed once something is over: an election, a rebalance, a full queue, an unreachable broker.
    Temporary,
    /// Repeating the same call is in vain.
    NonRetriable,
}

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Repeat, after a delay.
    Retry,
    /// Repeat after a delay; the client fetches fresh metadata meanwhile (librdkafka does so by itself).
    RefreshAndRetry,
    /// Do nothing but poll until the client is through with something: a full local queue, a rebalance, a throttle.
    Wait,
    /// The record itself is bad: send it to the dead-letter topic.
    DeadLetter,
    /// Nothing is left to do: it was done already, or it is no failure at all.
    Skip,
    /// The client is unusable: make a new one.
    RecreateClient,
    /// Abort the transaction and begin it anew.
    AbortTransaction,
    /// A person must mend configuration, credentials, permissions or the program. Never a record's fault.
    Stop,
}

/// Whether the record that the failed call carried may be in the log. Re-sending anything but [`Persistence::Not`] can
/// duplicate it, since a re-sent record has a new sequence number and idempotence cannot recognise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// Certainly not written.
    Not,
    /// Written or not, the answer was lost.
    Possibly,
    /// Certainly written.
    Yes,
    /// The error says nothing about it.
    Unknown,
}

macro_rules! kebab {
    ($kind:ty { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $kind {
            /// The kebab-case name, as in files.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

kebab!(Class { Retriable => "retriable", Temporary => "temporary", NonRetriable => "non-retriable" });
kebab!(Action {
    Retry => "retry",
    RefreshAndRetry => "refresh-and-retry",
    Wait => "wait",
    DeadLetter => "dead-letter",
    Skip => "skip",
    RecreateClient => "recreate-client",
    AbortTransaction => "abort-transaction",
    Stop => "stop",
});
kebab!(Persistence { Not => "not", Possibly => "possibly", Yes => "yes", Unknown => "unknown" });

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Classification {
    /// Whether the call may be repeated.
    pub class: Class,
    /// What to do.
    pub action: Action,
    /// Whether the record may be in the log.
    pub persistence: Persistence,
}

impl Classification {
    /// What a code that is in neither table means, unless a [`Classifier`] says otherwise.
    pub const UNKNOWN: Self = Self::new(Class::NonRetriable, Action::Stop, Persistence::Unknown);

    /// A classification from its parts.
    pub const fn new(class: Class, action: Action, persistence: Persistence) -> Self {
        Self { class, action, persistence }
    }

    /// True if the same call may be repeated.
    pub const fn is_retriable(self) -> bool {
        matches!(self.class, Class::Retriable | Class::Temporary)
    }

    /// True if the failure speaks against what was called, so that a breaker should count it. A bad record, a full
    /// local queue or a rebalance does not: tripping on them would turn one poisoned record into an outage.
    pub const fn speaks_against_the_callee(self) -> bool {
        match self.action {
            Action::Retry | Action::RefreshAndRetry | Action::RecreateClient | Action::Stop => true,
            Action::Wait | Action::DeadLetter | Action::Skip | Action::AbortTransaction => false,
        }
    }
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, persisted: {}", self.class, self.action, self.persistence)
    }
}

/// An error that knows what it means. Applications implement it for their own errors; a handler's permanent error is
/// `NonRetriable` with [`Action::DeadLetter`].
pub trait Classify {
    /// What this error means.
    fn classify(&self) -> Classification;

    /// The Kafka or librdkafka code behind it.
    fn code(&self) -> Option<i32> {
        None
    }

    /// `Some` if the operation was never begun, because something in front of it refused (a circuit breaker), with how
    /// long to stay away. A retry then waits without using up an attempt.
    fn refused_for(&self) -> Option<std::time::Duration> {
        None
    }
}

/// What a code means: Kafka's (−1 and up) or librdkafka's own (−199 to −137). A code in neither table is
/// [`Classification::UNKNOWN`].
pub fn classify_code(code: i32) -> Classification {
    table::find(code).map_or(Classification::UNKNOWN, |row| Classification::new(row.2, row.3, row.4))
}

/// A code's name: Kafka's ("NOT_LEADER_OR_FOLLOWER"), or librdkafka's without its prefix ("MSG_TIMED_OUT").
pub fn error_name(code: i32) -> Option<&'static str> {
    table::find(code).map(|row| row.1)
}

/// The code of an error's name, such as `NOT_LEADER_OR_FOLLOWER`.
pub fn error_code(name: &str) -> Option<i32> {
    all_codes().find(|code| error_name(*code) == Some(name))
}

/// All codes in the tables, rising.
pub fn all_codes() -> impl Iterator<Item = i32> {
    table::LOCAL.iter().chain(table::BROKER).map(|row| row.0)
}

/// What an error means to somebody who knows its type, and the code behind it.
type Known = fn(&(dyn Error + 'static)) -> Option<(Classification, Option<i32>)>;

/// [`classify_code`] with a choice of what unknown codes mean and a count of them (a growing count says that the cluster
/// is newer than this table), and the walk through an error's causes, with the application's own errors in it. Shared
/// by reference.
///
/// ```
/// use seaworthy::resilience::{Action, Class, Classification, Classify, Persistence, classify::Classifier};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("customer {0} is unknown")]
/// struct UnknownCustomer(u64);
///
/// impl Classify for UnknownCustomer {
///     fn classify(&self) -> Classification {
///         Classification::new(Class::NonRetriable, Action::DeadLetter, Persistence::Not)
///     }
/// }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("billing failed")]
/// struct Billing(#[source] UnknownCustomer);
///
/// let classifier = Classifier::default().knowing::<UnknownCustomer>();
/// let meant = classifier.classify_error(&Billing(UnknownCustomer(7))).unwrap();
/// assert_eq!(meant.action, Action::DeadLetter);
/// ```
#[derive(Debug)]
pub struct Classifier {
    unknown: Classification,
    known: Vec<Known>,
    seen: AtomicU64,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new(Classification::UNKNOWN)
    }
}

impl Classifier {
    /// Unknown codes will mean `unknown`. rdkafka's errors are recognised among causes from the start.
    pub fn new(unknown: Classification) -> Self {
        Self { unknown, known: vec![], seen: AtomicU64::new(0) }.knowing::<KafkaError>().knowing::<RDKafkaErrorCode>()
    }

    /// Recognises `E` among an error's causes, too.
    pub fn knowing<E: Error + Classify + 'static>(mut self) -> Self {
        self.known.push(|error| error.downcast_ref::<E>().map(|error| (error.classify(), error.code())));
        self
    }

    /// What a code means.
    pub fn classify(&self, code: i32) -> Classification {
        if table::find(code).is_some() {
            return classify_code(code);
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.unknown
    }

    /// What the first recognised error in an error's chain of causes means, the error itself included. `None` without
    /// one.
    pub fn classify_error(&self, error: &(dyn Error + 'static)) -> Option<Classification> {
        self.find(error).map(|(classification, _)| classification)
    }

    /// The same, with the code behind it.
    pub(super) fn find(&self, error: &(dyn Error + 'static)) -> Option<(Classification, Option<i32>)> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some((meant, code)) = self.known.iter().find_map(|known| known(error)) {
                let unknown = code.filter(|code| table::find(*code).is_none() && meant == Classification::UNKNOWN);
                return Some((unknown.map_or(meant, |code| self.classify(code)), code));
            }
            next = error.source();
        }
        None
    }

    /// How many unknown codes were asked for.
    pub fn unknown_seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

/// The code behind an rdkafka error, also where [`KafkaError::rdkafka_error_code`] leaves it out.
pub fn code_of(error: &KafkaError) -> Option<i32> {
    match error {
        KafkaError::AdminOp(code) => code.code(),
        KafkaError::PartitionEOF(_) => RDKafkaErrorCode::PartitionEOF.code(),
        error => error.rdkafka_error_code().and_then(|code| code.code()),
    }
}

/// What the first rdkafka error in an error's chain of causes means, the error itself included. `None` without one.
/// A [`Classifier`] recognises the application's errors as well.
pub fn classify_causes(error: &(dyn Error + 'static)) -> Option<Classification> {
    Classifier::default().classify_error(error)
}

impl Classify for RDKafkaErrorCode {
    fn classify(&self) -> Classification {
        self.code().map_or(Classification::UNKNOWN, classify_code)
    }

    /// `None` for the enum's own end marks: `EndAll` has the number of a real broker code that rdkafka lacks.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Begin | Self::End | Self::EndAll => None,
            code => Some(*code as i32),
        }
    }
}

impl Classify for KafkaError {
    fn classify(&self) -> Classification {
        let with = |action| Classification { class: Class::NonRetriable, action, ..by_code(self) };
        match self {
            // Whatever the code says: librdkafka declared this client dead.
            Self::MessageConsumptionFatal(_) => with(Action::RecreateClient),
            Self::Transaction(error) if error.is_fatal() => with(Action::RecreateClient),
            Self::Transaction(error) if error.txn_requires_abort() => with(Action::AbortTransaction),
            Self::Transaction(error) if error.is_retriable() => {
                Classification { class: Class::Retriable, action: Action::Retry, ..by_code(self) }
            }
            error => by_code(error),
        }
    }

    fn code(&self) -> Option<i32> {
        code_of(self)
    }
}

fn by_code(error: &KafkaError) -> Classification {
    if let Some(code) = code_of(error) {
        return classify_code(code);
    }
    match error {
        KafkaError::Canceled => Classification::new(Class::NonRetriable, Action::RecreateClient, Persistence::Possibly),
        KafkaError::NoMessageReceived => Classification::new(Class::Retriable, Action::Retry, Persistence::Not),
        // Both carry text only, and fail when the topic partition was revoked or its leader is unknown at the moment.
        KafkaError::PauseResume(_) | KafkaError::Seek(_) => {
            Classification::new(Class::Temporary, Action::Wait, Persistence::Not)
        }
        KafkaError::ClientConfig(..)
        | KafkaError::ClientCreation(_)
        | KafkaError::AdminOpCreation(_)
        | KafkaError::Subscription(_)
        | KafkaError::Nul(_) => Classification::new(Class::NonRetriable, Action::Stop, Persistence::Not),
        _ => Classification::UNKNOWN,
    }
}

#[cfg(test)]
mod tests;
