//! One connection through a proxy: dialled, pumped in both directions, and closed from outside whenever that is wanted.
//!
//! Whoever closes it never waits for its task: the sockets are shut down there and then, and the task finds out.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pump::pump;
use super::stage::End;
use super::toxic::{Identity, Rules};
use crate::proxy::Stream;

/// How long a connection to the upstream may take. The client sees an open connection meanwhile, then its end.
const DIAL: Duration = Duration::from_secs(5);

/// What others hold of a connection.
pub(super) struct Connection {
    pub(super) identity: Identity,
    /// Duplicates of the two sockets, to shut them down with.
    client: std::net::TcpStream,
    upstream: OnceLock<std::net::TcpStream>,
    closing: CancellationToken,
    /// By [`index`]: that direction is over.
    cut: [CancellationToken; 2],
    reset: AtomicBool,
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Upstream => 0,
        Stream::Downstream => 1,
    }
}

impl Connection {
    pub(super) fn new(identity: Identity, client: std::net::TcpStream) -> Self {
        Self {
            identity,
            client,
            upstream: OnceLock::new(),
            closing: CancellationToken::new(),
            cut: Default::default(),
            reset: AtomicBool::new(false),
        }
    }

    /// Ends it: both sides have been sent FIN when this returns.
    pub(super) fn close(&self) {
        self.closing.cancel();
        self.shut(Stream::Upstream);
        self.shut(Stream::Downstream);
    }

    /// Closes the socket at the end of one direction, as Toxiproxy does; the other direction then runs dry.
    pub(super) fn end(&self, direction: Stream) {
        self.cut[index(direction)].cancel();
        self.shut(direction);
    }

    /// The receiver of `direction`. That it is gone already is as good.
    fn shut(&self, direction: Stream) {
        let socket = match direction {
            Stream::Upstream => self.upstream.get(),
            Stream::Downstream => Some(&self.client),
        };
        if let Some(socket) = socket {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Carries bytes until both directions are over. On the data plane's runtime.
    pub(super) async fn run(
        self: Arc<Self>,
        client: std::net::TcpStream,
        upstream: String,
        rules: watch::Receiver<Arc<Rules>>,
    ) {
        let carried = tokio::select! {
            biased;
            () = self.closing.cancelled() => Ok(()),
            carried = self.carry(client, &upstream, rules) => carried,
        };
        if let Err(e) = carried {
            tracing::debug!(proxy = &*self.identity.proxy, connection = self.identity.number, upstream, "{e}");
        }
    }

    async fn carry(
        &self,
        client: std::net::TcpStream,
        upstream: &str,
        rules: watch::Receiver<Arc<Rules>>,
    ) -> io::Result<()> {
        let client = TcpStream::from_std(client)?;
        client.set_nodelay(true)?;
        let upstream = tokio::time::timeout(DIAL, TcpStream::connect(upstream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the upstream did not answer the dial"))??;
        upstream.set_nodelay(true)?;
        let upstream = upstream.into_std()?;
        // Set once, here: the other value cannot be there.
        let _ = self.upstream.set(upstream.try_clone()?);
        if self.closing.is_cancelled() {
            // Closed between the dial's end and now, when there was no socket to shut down yet.
            self.close();
            return Ok(());
        }
        let upstream = TcpStream::from_std(upstream)?;

        let (mut client_in, client_out) = client.into_split();
        let (mut upstream_in, upstream_out) = upstream.into_split();
        tokio::join!(
            self.direction(Stream::Upstream, &mut client_in, &upstream_out, rules.clone()),
            self.direction(Stream::Downstream, &mut upstream_in, &client_out, rules.clone()),
        );
        if self.reset.load(Ordering::Relaxed) {
            // Closing such a socket sends RST.
            client_out.as_ref().set_zero_linger()?;
            upstream_out.as_ref().set_zero_linger()?;
        }
        // Dropping a half would send FIN, before the RST or in its place.
        client_out.forget();
        upstream_out.forget();
        Ok(())
    }

    async fn direction(
        &self,
        direction: Stream,
        from: &mut tokio::net::tcp::OwnedReadHalf,
        to: &tokio::net::tcp::OwnedWriteHalf,
        rules: watch::Receiver<Arc<Rules>>,
    ) {
        let cut = &self.cut[index(direction)];
        let end = tokio::select! {
            biased;
            () = cut.cancelled() => End::Closed,
            end = pump(direction, &self.identity, from, to, rules) => end,
        };
        match end {
            End::Half => {
                let socket = match direction {
                    Stream::Upstream => self.upstream.get(),
                    Stream::Downstream => Some(&self.client),
                };
                if let Some(socket) = socket {
                    let _ = socket.shutdown(Shutdown::Write);
                }
            }
            // The other direction has reset the connection: no FIN ahead of the RST.
            End::Closed if self.reset.load(Ordering::Relaxed) => {}
            End::Closed => self.shut(direction),
            End::Reset => {
                self.reset.store(true, Ordering::Relaxed);
                self.cut.iter().for_each(CancellationToken::cancel);
            }
        }
    }
}
