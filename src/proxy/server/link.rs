//! One proxy: the door at which it listens, the connections that came through, and the toxics on them.
//!
//! Every change is made under one lock that nobody holds for longer than it takes to say so: nothing here awaits,
//! dials, reads or writes. That is why no harm to the data can hold up a heal.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::connection::Connection;
use super::toxic::{Identity, Rules, Toxic};

/// Connections that the system completes before they are accepted.
const BACKLOG: u32 = 1024;
/// How long to leave the door alone when accepting fails, for want of file descriptors most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Link {
    name: Arc<str>,
    seed: u64,
    /// Where connections are carried.
    data: tokio::runtime::Handle,
    rules: watch::Sender<Arc<Rules>>,
    inner: Mutex<Inner>,
}

struct Inner {
    listen: SocketAddr,
    /// Bound and never listening: keeps the port ours while the door is closed. Where the system does not let two
    /// sockets share a port, there is none, and a closed door may lose its port.
    _reserved: Option<TcpSocket>,
    upstream: String,
    door: Option<TcpListener>,
    /// Counts openings: an accept loop ends when its own is over.
    opening: u64,
    accepted: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
}

impl Link {
    /// A closed proxy with its port reserved. Port 0: any free one.
    pub(super) fn new(
        name: &str,
        seed: u64,
        data: tokio::runtime::Handle,
        listen: SocketAddr,
        upstream: String,
    ) -> io::Result<Self> {
        let (reserved, listen) = reserve(listen)?;
        Ok(Self {
            name: name.into(),
            seed,
            data,
            rules: watch::Sender::default(),
            inner: Mutex::new(Inner {
                listen,
                _reserved: reserved,
                upstream,
                door: None,
                opening: 0,
                accepted: 0,
                connections: BTreeMap::new(),
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.inner().listen
    }

    pub(super) fn upstream(&self) -> String {
        self.inner().upstream.clone()
    }

    pub(super) fn enabled(&self) -> bool {
        self.inner().door.is_some()
    }

    /// Takes connections from now on. In a runtime's context.
    pub(super) fn open(self: &Arc<Self>) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.door.is_some() {
            return Ok(());
        }
        inner.door = Some(socket(inner.listen)?.listen(BACKLOG)?);
        inner.opening += 1;
        tokio::spawn(self.clone().accept(inner.opening));
        Ok(())
    }

    /// Takes none any more, and ends those that it has: both ends have been sent FIN when this returns.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.door = None;
        std::mem::take(&mut inner.connections).into_values().for_each(|connection| connection.close());
    }

    /// Moves a closed proxy. `Err`: the new place is taken; it stays where it is then.
    pub(super) fn relocate(&self, listen: SocketAddr, upstream: String) -> io::Result<()> {
        let mut inner = self.inner();
        if listen != inner.listen {
            (inner._reserved, inner.listen) = reserve(listen)?;
        }
        inner.upstream = upstream;
        Ok(())
    }

    async fn accept(self: Arc<Self>, opening: u64) {
        loop {
            let outcome = poll_fn(|cx| {
                let mut inner = self.inner();
                let accepted = match &inner.door {
                    Some(door) if inner.opening == opening => door.poll_accept(cx),
                    _ => return Poll::Ready(None),
                };
                // Under the same lock: a connection is either refused by a closing door, or ended by its closer.
                accepted.map(|accepted| Some(accepted.and_then(|(stream, _)| self.admit(&mut inner, stream))))
            })
            .await;
            match outcome {
                None => return,
                Some(Ok(())) => {}
                Some(Err(e)) => {
                    tracing::warn!(proxy = &*self.name, "a connection could not be taken: {e}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, inner: &mut Inner, stream: tokio::net::TcpStream) -> io::Result<()> {
        inner.accepted += 1;
        let number = inner.accepted;
        let identity = Identity { seed: self.seed, proxy: self.name.clone(), number };
        let stream = stream.into_std()?;
        let connection = Arc::new(Connection::new(identity, stream.try_clone()?));
        inner.connections.insert(number, connection.clone());
        let (link, upstream, rules) = (self.clone(), inner.upstream.clone(), self.rules.subscribe());
        self.data.spawn(async move {
            connection.run(stream, upstream, rules).await;
            link.inner().connections.remove(&number);
        });
        Ok(())
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }

    /// Appends a toxic. The caller has seen to it that its name is new.
    pub(super) fn add(&self, toxic: Toxic) {
        let mut rules = Rules::clone(&self.rules());
        rules.of_mut(toxic.stream).push(Arc::new(toxic));
        self.rules.send_replace(Arc::new(rules));
    }

    /// Puts a new revision in the place of a toxic.
    pub(super) fn update(&self, toxic: Toxic) {
        let mut rules = Rules::clone(&self.rules());
        for slot in rules.of_mut(toxic.stream).iter_mut().filter(|slot| slot.id == toxic.id) {
            *slot = Arc::new(toxic.clone());
        }
        self.rules.send_replace(Arc::new(rules));
    }

    /// Removes a toxic. Of those that throw bytes away, the connections that it affected are closed when this returns.
    pub(super) fn remove(&self, toxic: &Toxic) {
        let mut rules = Rules::clone(&self.rules());
        rules.of_mut(toxic.stream).retain(|other| other.id != toxic.id);
        self.rules.send_replace(Arc::new(rules));
        if toxic.kind.drops_data() {
            let inner = self.inner();
            let affected = inner.connections.values().filter(|connection| toxic.affects(&connection.identity));
            affected.for_each(|connection| connection.end(toxic.stream));
        }
    }

    /// As Toxiproxy's API shows it, with the number of connections besides.
    pub(super) fn json(&self) -> Value {
        let toxics: Vec<Value> = self.rules().iter().map(|toxic| toxic.json()).collect();
        let inner = self.inner();
        json!({
            "name": &*self.name,
            "listen": inner.listen.to_string(),
            "upstream": inner.upstream,
            "enabled": inner.door.is_some(),
            "toxics": toxics,
            "connections": inner.connections.len(),
        })
    }
}

/// Binds without listening: the system refuses connections, and gives the port to nobody else.
fn reserve(listen: SocketAddr) -> io::Result<(Option<TcpSocket>, SocketAddr)> {
    let reserved = socket(listen)?;
    let listen = reserved.local_addr()?;
    // Only where the door can be opened beside it.
    match socket(listen) {
        Ok(_) => Ok((Some(reserved), listen)),
        Err(_) => Ok((None, listen)),
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
