//! The fault proxies on the subject's path: what they can do to a link, and how that fails.
//!
//! Owns the vocabulary, the driver for Toxiproxy (whose client crate is used here and nowhere else), and a proxy of our
//! own that speaks the same HTTP API, so that one driver serves both.
//! Must not know: brokers, containers, scenarios.

use std::time::Duration;

mod server;
mod toxiproxy;

pub use server::FaultProxy;
pub use toxiproxy::{Toxic, Toxiproxy};

/// One direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// From client to broker: requests.
    Upstream,
    /// From broker to client: replies.
    Downstream,
}

impl Stream {
    /// The word of Toxiproxy's API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

/// What a link does, as its proxy tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Whether connections are taken at all.
    pub enabled: bool,
    /// The toxics in force with their attributes, sorted: `latency_downstream(jitter=0 latency=200)`.
    pub toxics: Vec<String>,
}

impl LinkState {
    /// Open, nothing in the way.
    pub fn is_clear(&self) -> bool {
        self.enabled && self.toxics.is_empty()
    }
}

impl std::fmt::Display for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let door = if self.enabled { "open" } else { "refusing connections" };
        if self.toxics.is_empty() { f.write_str(door) } else { write!(f, "{door}, with {}", self.toxics.join(", ")) }
    }
}

/// A proxy that does not do as told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Its control plane does not answer. It is not coming back: restart the proxy.
    #[error("the control plane at {control} is stuck: no answer to `{action}` within {within:?}")]
    Stuck { control: String, action: String, within: Duration },

    /// It cannot be reached, or answers with an error.
    #[error("`{action}` failed at {control}: {reason}")]
    Failed { control: String, action: String, reason: String },

    /// It took the command and is in another state.
    #[error("after `{action}` the link should be {wanted}, but is {seen}")]
    NotApplied { action: String, wanted: String, seen: String },
}
