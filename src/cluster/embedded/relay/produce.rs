//! Produce requests (versions 3 to 8), taken apart: each topic partition's batch is judged by the log's rules, goes to
//! the mock by itself, and all answers go back together.

use std::io;

use super::log::{Batch, CORRUPT_MESSAGE, Decision, Logs};
use super::{PRODUCE, Upstream};
use crate::clock;
use crate::cluster::wire::{Reader, WireError, Writer, malformed};

/// The version in which the mock is asked.
const ASKED: i16 = 7;
const ALL: i16 = -1;

struct Request {
    correlation: i32,
    transactional: Option<String>,
    acks: i16,
    topics: Vec<(String, Vec<Batches>)>,
}

/// A topic partition's number, and the bytes for it.
type Batches = (i32, Vec<u8>);

/// What became of one batch.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    error: i16,
    offset: i64,
    /// The broker's time of append, milliseconds since the epoch; else -1.
    time: i64,
    log_start: i64,
}

impl Outcome {
    fn refused(error: i16) -> Self {
        Self { error, offset: -1, time: -1, log_start: -1 }
    }
}

/// The reply to a Produce request; none with `acks=0`. With an `error`, nothing is appended and every batch gets it.
pub(super) async fn answer(
    request: Vec<u8>,
    version: i16,
    error: Option<i16>,
    logs: &Logs,
    upstream: &mut Upstream,
) -> io::Result<Option<Vec<u8>>> {
    if !(3..=8).contains(&version) {
        return Err(malformed("a Produce request of a version that was not offered"));
    }
    let request = read(request).map_err(|e| malformed(&e.to_string()))?;
    let (acks, transactional) = (request.acks, request.transactional.as_deref());
    let mut reply = Writer::default();
    reply.i32(request.correlation).i32(request.topics.len() as i32);
    for (topic, partitions) in request.topics {
        reply.string(&topic).i32(partitions.len() as i32);
        for (number, records) in partitions {
            let outcome = match error {
                Some(error) => Outcome::refused(error),
                None => append(logs, upstream, (&topic, number), records, acks, transactional).await?,
            };
            let Outcome { error, offset, time, log_start } = outcome;
            reply.i32(number).i16(error).i64(offset).i64(time);
            if version >= 5 {
                reply.i64(log_start);
            }
            if version >= 8 {
                reply.i32(0).nullable_string(None);
            }
        }
    }
    reply.i32(0); // throttle time
    Ok((acks != 0).then(|| reply.into_bytes()))
}

async fn append(
    logs: &Logs,
    upstream: &mut Upstream,
    (topic, number): (&str, i32),
    mut records: Vec<u8>,
    acks: i16,
    transactional: Option<&str>,
) -> io::Result<Outcome> {
    let Some(batch) = Batch::read(&records) else { return Ok(Outcome::refused(CORRUPT_MESSAGE)) };
    let rules = logs.rules(topic, number);
    let partition = logs.partition(topic, number);
    // Until the mock has answered: a retry on another connection must find what came of the first try.
    let mut partition = partition.lock().await;
    match partition.decide(&batch, &rules, acks == ALL) {
        Decision::Append => {}
        Decision::Duplicate(first) => {
            return Ok(Outcome { error: 0, offset: first.offset, time: first.time, log_start: 0 });
        }
        Decision::Refuse(error) => return Ok(Outcome::refused(error)),
        Decision::Full => return Ok(Outcome::refused(logs.overflow(topic, number))),
    }
    let time = if rules.append_time() {
        let millis = clock::wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        Batch::stamped(&mut records, millis);
        millis
    } else {
        -1
    };
    let mut request = Writer::default();
    request.i16(PRODUCE).i16(ASKED).i32(0).string("relay");
    request.nullable_string(transactional).i16(acks).i32(0);
    request.i32(1).string(topic).i32(1).i32(number).i32(records.len() as i32).raw(&records);
    let reply = upstream.exchange(request.as_bytes()).await?;
    let outcome = outcome(reply).map_err(|e| malformed(&e.to_string()))?;
    if outcome.error == 0
        && let Some(batch) = Batch::read(&records)
    {
        partition.appended(&batch, outcome.offset, time);
    }
    Ok(Outcome { time: if outcome.error == 0 { time } else { -1 }, ..outcome })
}

fn read(request: Vec<u8>) -> Result<Request, WireError> {
    let mut reader = Reader::new(request);
    reader.take(4)?; // API and version
    let correlation = reader.i32()?;
    reader.string()?; // client id
    let transactional = reader.string()?;
    let acks = reader.i16()?;
    reader.i32()?; // its patience
    let topics = reader.items(|r| {
        let topic = r.string()?;
        let partitions = r.items(|r| {
            let number = r.i32()?;
            let size = r.i32()?.max(0) as usize;
            Ok((number, r.take(size)?.to_vec()))
        })?;
        Ok((topic, partitions))
    })?;
    let transactional = Some(transactional).filter(|id| !id.is_empty());
    Ok(Request { correlation, transactional, acks, topics })
}

/// The mock's reply about one topic partition.
fn outcome(reply: Vec<u8>) -> Result<Outcome, WireError> {
    let mut reader = Reader::new(reply);
    reader.i32()?; // correlation id
    let outcomes = reader.items(|r| {
        r.string()?;
        r.items(|r| {
            r.i32()?;
            Ok(Outcome { error: r.i16()?, offset: r.i64()?, time: r.i64()?, log_start: r.i64()? })
        })
    })?;
    outcomes.into_iter().flatten().next().ok_or(WireError::Malformed("no topic partition in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_request_and_no_reply_makes_it_panic(bytes: Vec<u8>) {
            let _ = read(bytes.clone());
            let _ = outcome(bytes);
        }
    }
}
