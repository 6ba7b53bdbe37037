//! Bytes from one socket to another, through a chain of toxics that may change at any time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::chain::Chain;
use super::stage::{End, Item};
use super::toxic::{Identity, Rules};
use crate::proxy::Stream;

/// Bytes read at once where nothing is in the way.
const GULP: usize = 256 * 1024;
/// Bytes read at once, at most, where a toxic is: what Toxiproxy reads, so that per-chunk draws are comparable.
const CHUNK: usize = 32 * 1024;

thread_local! {
    /// One buffer for all connections of the data plane's thread: bytes stay in it only while nobody else runs.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; GULP].into_boxed_slice());
}

/// Runs until the direction is over, and tells how it ended. Cancelling it loses what waits in the chain.
pub(super) async fn pump(
    direction: Stream,
    identity: &Identity,
    from: &mut OwnedReadHalf,
    to: &OwnedWriteHalf,
    mut rules: watch::Receiver<Arc<Rules>>,
) -> End {
    let mut chain = Chain::new(identity.clone(), rules.borrow_and_update().of(direction), Instant::now());
    // Cut short by a receiver that did not take all of it.
    let mut rest = Bytes::new();
    let mut source_is_open = true;
    loop {
        let now = Instant::now();
        if rest.is_empty() {
            match chain.next(now) {
                Some(Item::Data(bytes, _)) => rest = bytes,
                Some(Item::End(end)) => return end,
                None => {}
            }
        }
        if !rest.is_empty() {
            match to.try_write(&rest) {
                Ok(written) => {
                    rest.advance(written);
                    if rest.is_empty() {
                        // A long queue that may go must not keep the other connections waiting.
                        tokio::task::coop::consume_budget().await;
                        continue;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return End::Closed,
            }
        }
        let blocked = !rest.is_empty();
        // While the receiver takes nothing, only a reset can happen.
        let due = if blocked { chain.reset_due() } else { chain.due() };
        tokio::select! {
            biased;
            changed = rules.changed() => match changed {
                Ok(()) => chain.apply(rules.borrow_and_update().of(direction), Instant::now()),
                // The proxy is gone.
                Err(_) => return End::Closed,
            },
            taken = take(from, to, &mut chain, &mut rest), if !blocked && source_is_open && chain.wants_more() => {
                source_is_open = taken;
            }
            _ = to.writable(), if blocked => {}
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                if blocked {
                    return End::Reset;
                }
            }
        }
    }
}

/// Reads once and passes on: directly where nothing is in the way, into the chain otherwise. `false`: the source has
/// ended, and the chain knows.
async fn take(from: &mut OwnedReadHalf, to: &OwnedWriteHalf, chain: &mut Chain, rest: &mut Bytes) -> bool {
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let clear = chain.is_clear();
            let mut read = ReadBuf::new(if clear { &mut buffer[..] } else { &mut buffer[..CHUNK] });
            let outcome = ready!(Pin::new(&mut *from).poll_read(cx, &mut read));
            let bytes = read.filled();
            match outcome {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    chain.feed(Item::End(End::Closed));
                    return Poll::Ready(false);
                }
                Ok(()) if bytes.is_empty() => {
                    chain.feed(Item::End(End::Half));
                    return Poll::Ready(false);
                }
                // A receiver that is broken or full is found out when the rest is written.
                Ok(()) if clear => {
                    let written = to.try_write(bytes).unwrap_or(0);
                    *rest = Bytes::copy_from_slice(&bytes[written..]);
                }
                Ok(()) => chain.feed(Item::Data(Bytes::copy_from_slice(bytes), Instant::now())),
            }
            Poll::Ready(true)
        })
    })
    .await
}
