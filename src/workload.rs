//! The instrument: offers the load, keeps the books, reads back what became of every record. It uses plain clients;
//! only the producer on the proxied path (`producer = "resilient"`) belongs to the system under test.

mod client_log;
pub mod effects;
pub mod final_read;
mod followed;
mod identity;
mod ledger;
mod open_loop;
mod plain;
pub mod record;
mod sink;

pub use client_log::ClientLog;
pub use effects::{Effects, Tap};
pub use followed::Followed;
pub use ledger::{Counters, SentLedger};
pub use open_loop::{Load, LoadSpec, Pace};
pub use plain::PlainProducer;
pub use sink::{SETTLE_LIMIT, Sink, SinkError};

/// The header that carries a record's identity from the input topic to its effect.
pub const IDENTITY_HEADER: &str = "seaworthy-id";
