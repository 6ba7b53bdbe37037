//! What stands in front of each mock broker, on both paths, and makes it more of a broker than it is.
//!
//! ```text
//! subject ──► fault proxy N ──► relay N, subject's door ──┐
//! harness ────────────────────► relay N, direct door ─────┴──► mock broker N (advertises fault proxy N)
//! ```
//!
//! It reads the protocol, one request of a connection at a time, as a Kafka broker does, and adds what the mock lacks:
//! - **a direct path**: the mock advertises one address per broker, the fault proxy's; answers through the direct door
//!   name the direct doors instead ([`readdress`](crate::cluster::readdress));
//! - **a broker's life**: down (nobody listens, connections end), paused (connections are taken, nothing is answered);
//! - **errors** in the place of its answers, on the subject's path alone ([`errors`]);
//! - **the log's rules** ([`log`]): sequences of idempotent producers, append times, `min.insync.replicas`,
//!   `max.message.bytes`; and no append that would make the mock drop older records;
//! - **a group's state** ([`groups`]), as the traffic tells it.
//!
//! Must not know: faults, scenarios, who leads what.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::child::Child;
use super::mock::Order;
use crate::cluster::readdress::{self, FIND_COORDINATOR, METADATA, PRODUCE};
use crate::cluster::wire::{malformed, read_frame, write_frame};
use crate::cluster::{BrokerState, ClusterError, View, wait};
use errors::Errors;
use groups::Groups;
use log::Logs;

pub(super) mod errors;
pub(super) mod groups;
pub(super) mod log;
mod produce;

/// The size of a request or a reply that makes sense.
const FRAME: RangeInclusive<usize> = 8..=100 << 20;
/// How long a change of a broker's state may take.
const CHANGE: Duration = Duration::from_secs(5);

/// Where a broker's doors and the broker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// The fault proxy: what the subject gets.
    pub proxy: u16,
    /// The relay's door behind the fault proxy.
    pub subject: u16,
    /// The relay's other door.
    pub direct: u16,
}

/// What all relays of a cluster share.
pub(super) struct Shared {
    pub logs: Logs,
    /// By broker, counted from 1.
    pub ports: Vec<Ports>,
    /// Groups that somebody has asked the coordinator of, and what their members' traffic tells.
    pub groups: Groups,
    /// Errors in the place of the mocks' answers.
    pub errors: Errors,
    /// The mocks' process.
    pub child: Arc<Child>,
}

impl Shared {
    /// The direct door of a broker.
    fn direct(&self, broker: i32) -> Option<u16> {
        let index = usize::try_from(broker).ok()?.checked_sub(1)?;
        Some(self.ports.get(index)?.direct)
    }
}

/// One broker's relay. Dropping it closes everything.
pub(super) struct Relay {
    wanted: watch::Sender<BrokerState>,
    is: watch::Receiver<Result<BrokerState, String>>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Opens the doors of a broker to the mock broker at `upstream`.
    pub async fn open(broker: u32, upstream: SocketAddr, shared: Arc<Shared>) -> Result<Self, ClusterError> {
        let ports = shared.ports[broker as usize - 1];
        let (wanted, orders) = watch::channel(BrokerState::Running);
        let (report, is) = watch::channel(Err("it has not opened yet".to_owned()));
        let front = Front { broker, upstream, shared, life: orders };
        let task = tokio::spawn(front.serve(ports, report)).abort_handle();
        let relay = Self { wanted, is, task };
        relay.reached(broker, BrokerState::Running).await?;
        Ok(relay)
    }

    /// What the broker is to clients.
    pub fn state(&self) -> BrokerState {
        *self.wanted.borrow()
    }

    /// Changes it; returns when it is so.
    pub async fn become_(&self, broker: u32, state: BrokerState) -> Result<(), ClusterError> {
        self.wanted.send_replace(state);
        self.reached(broker, state).await
    }

    async fn reached(&self, broker: u32, state: BrokerState) -> Result<(), ClusterError> {
        let mut is = self.is.clone();
        let reached = tokio::time::timeout(CHANGE, is.wait_for(|is| *is == Ok(state))).await;
        if matches!(reached, Ok(Ok(_))) {
            return Ok(());
        }
        Err(ClusterError::NotReady {
            broker: Some(broker),
            awaited: format!("its relay to be {state:?}").to_lowercase(),
            within: CHANGE,
            last: format!("{:?}", *self.is.borrow()),
            log: String::new(),
        })
    }
}

#[derive(Clone)]
struct Front {
    broker: u32,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    life: watch::Receiver<BrokerState>,
}

impl Front {
    /// The broker's life: listens while it is up, takes connections while it runs.
    async fn serve(mut self, ports: Ports, report: watch::Sender<Result<BrokerState, String>>) {
        // Aborted, and its connections with it, when the relay is dropped.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let bound = wait::until(CHANGE, || async {
                let (subject, direct) = futures::join!(bind(ports.subject), bind(ports.direct));
                Ok::<_, io::Error>([subject?, direct?])
            });
            let [subject, direct] = match bound.await {
                Ok(doors) => doors,
                Err(last) => {
                    let _ = report.send_replace(Err(last));
                    return;
                }
            };
            loop {
                let state = *self.life.borrow_and_update();
                if state == BrokerState::Down {
                    break;
                }
                let _ = report.send_replace(Ok(state));
                let (stream, view) = tokio::select! {
                    changed = self.life.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                    // What a frozen process does not accept waits in the kernel's queue, connected.
                    Ok((stream, _)) = subject.accept(), if state == BrokerState::Running => (stream, View::Subject),
                    Ok((stream, _)) = direct.accept(), if state == BrokerState::Running => (stream, View::Direct),
                };
                let front = self.clone();
                connections.spawn(async move {
                    if let Err(error) = front.converse(stream, view).await {
                        tracing::debug!(%view, %error, "a connection to a mock broker ended");
                    }
                });
                while connections.try_join_next().is_some() {}
            }
            drop((subject, direct));
            let _ = report.send_replace(Ok(BrokerState::Down));
            if self.life.wait_for(|state| *state != BrokerState::Down).await.is_err() {
                return;
            }
        }
    }

    /// One connection. It ends when the client goes, the broker goes down, or the mock hangs up.
    async fn converse(mut self, mut client: TcpStream, view: View) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut upstream = Upstream(TcpStream::connect(self.upstream).await?);
        upstream.0.set_nodelay(true)?;
        let mut life = self.life.clone();
        loop {
            let request = tokio::select! {
                biased;
                _ = life.wait_for(|state| *state == BrokerState::Down) => return Ok(()),
                request = read_frame(&mut client, FRAME) => match request? {
                    Some(request) => request,
                    None => return Ok(()),
                },
            };
            if !self.awake().await {
                return Ok(());
            }
            let Some(reply) = self.answer(request, view, &mut upstream).await? else { continue };
            if !self.awake().await {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = life.wait_for(|state| *state == BrokerState::Down) => return Ok(()),
                written = write_frame(&mut client, &reply) => written?,
            }
        }
    }

    /// Waits while the broker is paused; false: it is down.
    async fn awake(&mut self) -> bool {
        let state = self.life.wait_for(|state| *state != BrokerState::Paused).await;
        state.is_ok_and(|state| *state == BrokerState::Running)
    }

    /// The reply to one request; `None`: there is none.
    async fn answer(&mut self, request: Vec<u8>, view: View, upstream: &mut Upstream) -> io::Result<Option<Vec<u8>>> {
        let [a, b, c, d] = request[..4] else { return Err(malformed("a request without a header")) };
        let (api, version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
        let error = if view == View::Subject { self.shared.errors.draw(api) } else { None };
        if api == PRODUCE {
            // Not given up when the broker goes down: what the mock has taken must be known to the log's rules.
            return produce::answer(request, version, error, &self.shared.logs, upstream).await;
        }
        if let Some(error) = error {
            // The mock knows what such an answer looks like. Should another request of this kind come to it in between,
            // that one gets the error and this one does not: the number stays right.
            let order = Order::Refuse { broker: self.broker, api, error };
            self.shared.child.order(order).await.map_err(io::Error::other)?;
        }
        if api == FIND_COORDINATOR
            && let Some(group) = readdress::group(&request, version)
        {
            self.shared.groups.note(group);
        }
        let turn = self.shared.groups.begin(api, version, &request);
        let reply = upstream.exchange(&request).await?;
        if let Some(turn) = turn {
            turn.end(&reply);
        }
        if view == View::Subject || ![METADATA, FIND_COORDINATOR].contains(&api) {
            return Ok(Some(reply));
        }
        let readdressed = readdress::reply(api, version, reply, |broker| self.shared.direct(broker));
        readdressed.map(Some).map_err(|e| malformed(&e.to_string()))
    }
}

/// The connection to a mock broker, one request at a time.
pub(super) struct Upstream(TcpStream);

impl Upstream {
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        write_frame(&mut self.0, request).await?;
        read_frame(&mut self.0, FRAME).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}
