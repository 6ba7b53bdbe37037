//! The few Kafka requests that the harness sends by hand, each on a connection of its own: one question to one
//! broker on one path, answered or not, with no client's retries, caches and backoff in between.
//!
//! Owns the bytes. Must not know which broker it asks or why.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

mod access;
mod bytes;
mod frame;
mod properties;
mod requests;

pub(crate) use self::bytes::{Reader, Writer};
pub(crate) use access::{create_denial, delete_acls, denials};
pub(crate) use frame::{malformed, read_frame, write_frame};
pub(crate) use properties::{incremental_alter_topic, topic_property};
pub(crate) use requests::metadata_over;
pub use requests::{Metadata, PartitionMetadata, TopicMetadata, find_coordinator, metadata};
pub(crate) use requests::{elect_preferred, end_offsets, high_watermarks, quorum_leader, reassign};

/// Replies beyond this are nonsense, not metadata.
const LARGEST_REPLY: usize = 64 << 20;

/// A request that was not answered, or not with success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The time was over during this step.
    #[error("no success within {within:?} at: {step}")]
    TimedOut { step: &'static str, within: Duration },
    #[error("{step}: {reason}")]
    Io { step: &'static str, reason: String },
    #[error("malformed reply: {0}")]
    Malformed(&'static str),
    #[error("the broker answered {}", error_name(*.0))]
    Refused(i16),
}

/// Asks a broker for its API versions. `Ok` means: it, and the path to it and back, work at this moment.
pub async fn probe(address: &str, within: Duration) -> Result<(), WireError> {
    let mut reply = call(address, ApiKey::ApiVersions, 0, &Writer::default(), within).await?;
    reply.success()
}

#[derive(Clone, Copy, Debug)]
#[repr(i16)]
pub(crate) enum ApiKey {
    ListOffsets = 2,
    Metadata = 3,
    FindCoordinator = 10,
    ApiVersions = 18,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    DescribeQuorum = 55,
}

impl ApiKey {
    /// Whether this version has tagged fields, compact strings and the longer headers.
    fn flexible(self) -> bool {
        matches!(self, Self::AlterPartitionReassignments | Self::DescribeQuorum)
    }
}

/// One request, one reply, on a new connection; the body of the reply is left to read.
pub(crate) async fn call(
    address: &str,
    api: ApiKey,
    version: i16,
    body: &Writer,
    within: Duration,
) -> Result<Reader, WireError> {
    let mut step = "connect";
    let asked = async {
        let stream = TcpStream::connect(address).await.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|e| WireError::Io { step: "connect", reason: e.to_string() })?;
        exchange(stream, api, version, body, &mut step).await
    };
    match timeout(within, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(WireError::TimedOut { step, within }),
    }
}

/// The same on a connection that is open, and closed afterwards.
pub(crate) async fn call_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    api: ApiKey,
    version: i16,
    body: &Writer,
    within: Duration,
) -> Result<Reader, WireError> {
    let mut step = "send the request";
    match timeout(within, exchange(stream, api, version, body, &mut step)).await {
        Ok(answered) => answered,
        Err(_) => Err(WireError::TimedOut { step, within }),
    }
}

/// `step`: what is being done.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    api: ApiKey,
    version: i16,
    body: &Writer,
    step: &mut &'static str,
) -> Result<Reader, WireError> {
    const CORRELATION: i32 = 0x5ea;
    let io = |step| move |e: std::io::Error| WireError::Io { step, reason: e.to_string() };
    let mut head = Writer::default();
    head.i16(api as i16).i16(version).i32(CORRELATION).string("seaworthy");
    if api.flexible() {
        head.tags();
    }
    let mut frame = Writer::default();
    frame.i32((head.len() + body.len()) as i32).append(&head).append(body);
    *step = "send the request";
    stream.write_all(frame.as_bytes()).await.map_err(io(*step))?;
    stream.flush().await.map_err(io(*step))?;

    *step = "await the reply";
    let size = stream.read_i32().await.map_err(io(*step))?;
    let size = usize::try_from(size).ok().filter(|s| (4..=LARGEST_REPLY).contains(s));
    let mut reply = vec![0; size.ok_or(WireError::Malformed("impossible size"))?];
    stream.read_exact(&mut reply).await.map_err(io(*step))?;
    let mut reader = Reader::new(reply);
    if reader.i32()? != CORRELATION {
        return Err(WireError::Malformed("another request's reply"));
    }
    if api.flexible() {
        reader.tags()?;
    }
    Ok(reader)
}

/// Kafka's name of an error code, for people.
pub(crate) fn error_name(code: i16) -> String {
    match crate::resilience::classify::error_name(i32::from(code)) {
        Some(name) => format!("{name} ({code})"),
        None => format!("error {code}"),
    }
}
