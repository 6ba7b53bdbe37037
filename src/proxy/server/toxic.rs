//! What a toxic is: its kind with its numbers, as Toxiproxy's API names them, and whom it affects.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::proxy::Stream;
use crate::rng;

/// A harm with its numbers. Names and units are Toxiproxy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Noop,
    /// Milliseconds.
    Latency {
        latency: u64,
        jitter: u64,
    },
    /// Kilobytes (1000 bytes) per second; 0 lets nothing through.
    Bandwidth {
        rate: u64,
    },
    /// Milliseconds.
    SlowClose {
        delay: u64,
    },
    /// Milliseconds; 0 never closes.
    Timeout {
        timeout: u64,
    },
    /// Milliseconds.
    ResetPeer {
        timeout: u64,
    },
    /// Bytes, bytes, microseconds.
    Slicer {
        average_size: u64,
        size_variation: u64,
        delay: u64,
    },
    LimitData {
        bytes: u64,
    },
}

impl Kind {
    /// The kind of this name with zeros for numbers; `None`: there is none.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "noop" => Self::Noop,
            "latency" => Self::Latency { latency: 0, jitter: 0 },
            "bandwidth" => Self::Bandwidth { rate: 0 },
            "slow_close" => Self::SlowClose { delay: 0 },
            "timeout" => Self::Timeout { timeout: 0 },
            "reset_peer" => Self::ResetPeer { timeout: 0 },
            "slicer" => Self::Slicer { average_size: 0, size_variation: 0, delay: 0 },
            "limit_data" => Self::LimitData { bytes: 0 },
            _ => return None,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowClose { .. } => "slow_close",
            Self::Timeout { .. } => "timeout",
            Self::ResetPeer { .. } => "reset_peer",
            Self::Slicer { .. } => "slicer",
            Self::LimitData { .. } => "limit_data",
        }
    }

    fn fields(&mut self) -> Vec<(&'static str, &mut u64)> {
        match self {
            Self::Noop => Vec::new(),
            Self::Latency { latency, jitter } => vec![("latency", latency), ("jitter", jitter)],
            Self::Bandwidth { rate } => vec![("rate", rate)],
            Self::SlowClose { delay } => vec![("delay", delay)],
            Self::Timeout { timeout } | Self::ResetPeer { timeout } => vec![("timeout", timeout)],
            Self::Slicer { average_size, size_variation, delay } => {
                vec![("average_size", average_size), ("size_variation", size_variation), ("delay", delay)]
            }
            Self::LimitData { bytes } => vec![("bytes", bytes)],
        }
    }

    /// The same kind with the numbers that `attributes` names; unknown names are ignored, as Toxiproxy does.
    /// `Err`: a number that cannot be.
    pub(super) fn with(mut self, attributes: &Map<String, Value>) -> Result<Self, String> {
        for (name, field) in self.fields() {
            match attributes.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    *field =
                        value.as_u64().ok_or_else(|| format!("{name} must be a whole number from 0, not {value}"))?;
                }
            }
        }
        match self {
            // Toxiproxy takes it, and dies of endless recursion at the first byte.
            Self::Slicer { average_size: 0, .. } => Err("average_size must be at least 1".to_owned()),
            kind => Ok(kind),
        }
    }

    pub(super) fn attributes(&self) -> Value {
        let mut kind = self.clone();
        Value::Object(kind.fields().into_iter().map(|(name, value)| (name.to_owned(), json!(*value))).collect())
    }

    /// Whether it throws bytes away, so that a stream it was on cannot go on without it.
    pub(super) fn drops_data(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

/// A toxic on one direction of a link.
#[derive(Clone, Debug)]
pub(super) struct Toxic {
    /// One number a creation: a toxic that was removed and added again is another one.
    pub(super) id: u64,
    /// Counts updates.
    pub(super) revision: u64,
    pub(super) name: String,
    pub(super) stream: Stream,
    /// The share of connections that it affects.
    pub(super) toxicity: f32,
    pub(super) kind: Kind,
}

impl Toxic {
    pub(super) fn json(&self) -> Value {
        json!({
            "attributes": self.kind.attributes(),
            "name": self.name,
            "type": self.kind.name(),
            "stream": self.stream.word(),
            "toxicity": self.toxicity,
        })
    }

    /// Whether it affects the connection. Decided by a hash, once and for all: the answer for a connection does not
    /// change when another toxic comes or goes, and only follows `toxicity` when that is updated.
    pub(super) fn affects(&self, connection: &Identity) -> bool {
        let share = rng::hash_share(rng::hash(connection.seed, connection.purpose("toxicity", &self.name).as_bytes()));
        share < f64::from(self.toxicity)
    }
}

/// Which connection of which proxy: what every draw for it follows from.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) seed: u64,
    pub(super) proxy: Arc<str>,
    /// Counts the proxy's connections, from 1, in the order of acceptance.
    pub(super) number: u64,
}

impl Identity {
    /// The name of one use of randomness.
    pub(super) fn purpose(&self, what: &str, toxic: &str) -> String {
        format!("{what}/{}/{}/{toxic}", self.proxy, self.number)
    }
}

/// The toxics of a link, each direction in the order in which bytes meet them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) upstream: Vec<Arc<Toxic>>,
    pub(super) downstream: Vec<Arc<Toxic>>,
}

impl Rules {
    pub(super) fn of(&self, stream: Stream) -> &[Arc<Toxic>] {
        match stream {
            Stream::Upstream => &self.upstream,
            Stream::Downstream => &self.downstream,
        }
    }

    pub(super) fn of_mut(&mut self, stream: Stream) -> &mut Vec<Arc<Toxic>> {
        match stream {
            Stream::Upstream => &mut self.upstream,
            Stream::Downstream => &mut self.downstream,
        }
    }

    /// Upstream first, as Toxiproxy lists them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Toxic>> {
        self.upstream.iter().chain(&self.downstream)
    }
}
