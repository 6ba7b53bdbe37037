//! What happened, as data: one line an event. Written by a single recorder, read by the pure part (checkers,
//! recovery, `recheck`). Knows nothing of clusters, clients or verdicts.

mod file;
mod line;
mod op;
mod recorder;
#[cfg(test)]
mod schema;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
pub(crate) mod story;

pub use file::{Entry, History, HistoryError, Reader, read_history};
pub use line::{Act, At, Line};
pub use op::{Event, Header, Op, OpError, Origin, Outcome, Promises, Stage, Topics};
pub use recorder::{Recorder, RecorderError};
