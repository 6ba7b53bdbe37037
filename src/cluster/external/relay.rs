//! One broker's relay: requests go through untouched, and replies that name brokers' addresses get other ones. Before the
//! broker it speaks as the broker's listener wants it (TLS, SASL), to its clients plaintext.
//! Must not know: faults, topics, who leads what.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::upstream::Upstream;
use crate::cluster::readdress;
use crate::cluster::wire::{malformed, read_frame, write_frame};

/// The size of a request or a reply that makes sense.
const FRAME: RangeInclusive<usize> = 4..=256 << 20;

/// Dropping it closes its connections.
pub(super) struct Relay {
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// By broker: the port on this machine where its clients are to find it.
pub(super) type Doors = Arc<BTreeMap<i32, u16>>;

impl Relay {
    /// Listens on the port and relays to `broker`, `host:port`.
    pub async fn open(port: u16, upstream: Upstream, broker: String, doors: Doors) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self { task: tokio::spawn(serve(listener, upstream, broker, doors)).abort_handle() })
    }
}

async fn serve(listener: TcpListener, upstream: Upstream, broker: String, doors: Doors) {
    // Aborted, and its connections with it, when the relay is dropped.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (upstream, broker, doors) = (upstream.clone(), broker.clone(), doors.clone());
                connections.spawn(async move {
                    if let Err(error) = converse(client, &upstream, &broker, &doors).await {
                        tracing::debug!(%broker, %error, "a connection to a broker ended");
                    }
                });
            }
            Err(error) => tracing::warn!(%broker, %error, "a connection could not be taken"),
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A request that may be answered.
#[derive(Clone, Copy)]
struct Asked {
    correlation: i32,
    api: i16,
    version: i16,
}

/// One connection; it ends when either side does.
async fn converse(client: TcpStream, upstream: &Upstream, broker: &str, doors: &BTreeMap<i32, u16>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = upstream.connect(broker).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let asked = Mutex::new(VecDeque::new());
    let requests = async {
        while let Some(frame) = read_frame(&mut from_client, FRAME).await? {
            asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(header(&frame)?);
            write_frame(&mut to_server, &frame).await?;
            // TLS keeps what it has not been asked to send.
            to_server.flush().await?;
        }
        Ok(())
    };
    let replies = async {
        while let Some(frame) = read_frame(&mut from_server, FRAME).await? {
            let request = {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                answered(&mut asked, &frame)?
            };
            let reply = readdress::reply(request.api, request.version, frame, |broker| doors.get(&broker).copied());
            write_frame(&mut to_client, &reply.map_err(|e| malformed(&e.to_string()))?).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = requests => ended,
        ended = replies => ended,
    }
}

fn header(frame: &[u8]) -> io::Result<Asked> {
    let [a, b, c, d, e, f, g, h, ..] = *frame else { return Err(malformed("a request without a header")) };
    Ok(Asked {
        api: i16::from_be_bytes([a, b]),
        version: i16::from_be_bytes([c, d]),
        correlation: i32::from_be_bytes([e, f, g, h]),
    })
}

/// The request that a reply answers. Replies come in the order of their requests; some requests have none (`acks=0`).
fn answered(asked: &mut VecDeque<Asked>, reply: &[u8]) -> io::Result<Asked> {
    let [a, b, c, d, ..] = *reply else { return Err(malformed("a reply without a header")) };
    let correlation = i32::from_be_bytes([a, b, c, d]);
    while let Some(request) = asked.pop_front() {
        if request.correlation == correlation {
            return Ok(request);
        }
    }
    Err(malformed("a reply that nobody asked for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_finds_its_request_past_those_that_have_none() {
        let asked = |correlation| Asked { correlation, api: 0, version: correlation as i16 };
        let mut queue: VecDeque<Asked> = (1..=4).map(asked).collect();
        assert_eq!(answered(&mut queue, &3i32.to_be_bytes()).unwrap().version, 3);
        assert_eq!(queue.len(), 1, "the two before it have no reply");
        assert!(answered(&mut queue, &9i32.to_be_bytes()).is_err());
    }
}
