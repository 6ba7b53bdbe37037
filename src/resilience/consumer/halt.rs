//! What makes a consumer end itself: errors that only a person can mend. Everything else heals, or shows itself by what
//! does not arrive; a resilience component that ends itself over it would be the outage.

use std::sync::{Mutex, PoisonError};

use super::ConsumerError;
use crate::resilience::classify::error_name;

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

/// Whether an error must end the consumer.
pub(super) fn stops(code: i32) -> bool {
    STOPS.contains(&code)
}

pub(super) fn name(code: i32) -> String {
    error_name(code).map_or_else(|| format!("code {code}"), str::to_owned)
}

/// Why the consumer is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A client's error, and what was being done.
    Code(i32, String),
    /// The handler's words.
    Handler(String),
}

impl Reason {
    pub fn text(&self) -> String {
        match self {
            Self::Code(code, doing) => format!("{code} {} ({doing})", name(*code)),
            Self::Handler(message) => format!("the handler: {message}"),
        }
    }

    pub fn into_error(self) -> ConsumerError {
        match self {
            Self::Code(code, doing) => ConsumerError::Stopped { code, name: name(code), doing },
            Self::Handler(message) => ConsumerError::StoppedByHandler(message),
        }
    }
}

/// By which the tasks tell the polling thread to end; it looks at every rest.
#[derive(Debug, Default)]
pub(super) struct Halt(Mutex<Option<Reason>>);

impl Halt {
    /// The first reason stays.
    pub fn order(&self, reason: Reason) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    pub fn reason(&self) -> Option<Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
