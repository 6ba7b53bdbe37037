//! A proxy with both of its ends in the test's hands, and its API.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use seaworthy::clock::Clock;
use seaworthy::proxy::FaultProxy;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::real;

/// Short enough to wait for what does not come.
pub const SOON: Duration = Duration::from_millis(300);
/// Long enough for what must come, on a loaded machine.
pub const LATE: Duration = Duration::from_secs(30);

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome = Result<(), Error>;

/// Fails a trial with words.
#[macro_export]
macro_rules! ensure {
    ($fact:expr, $($words:tt)+) => { if !$fact { return Err(format!($($words)+).into()); } };
}

/// Fails a trial with both sides.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            let fact = stringify!($left);
            return Err(format!("{}:{}: {fact} is {left:?}, should be {right:?}", file!(), line!()).into());
        }
    }};
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Ours,
    Toxiproxy,
}

impl Which {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Toxiproxy => "toxiproxy",
        }
    }
}

/// One server under test.
pub struct Bench {
    pub which: Which,
    pub control: SocketAddr,
    pub runtime: Arc<Runtime>,
    agent: ureq::Agent,
}

/// An answer of the API; `body` is null where there is none, or none in JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Bench {
    pub fn new(which: Which, control: SocketAddr, runtime: Arc<Runtime>) -> Self {
        Self { which, control, runtime, agent: agent(LATE) }
    }

    /// The same server for a caller who has no patience.
    pub fn within(&self, patience: Duration) -> Self {
        Self { which: self.which, control: self.control, runtime: self.runtime.clone(), agent: agent(patience) }
    }

    pub fn is_ours(&self) -> bool {
        self.which == Which::Ours
    }

    pub fn call(&self, method: &str, path: &str, body: impl Into<String>) -> Result<Answer, Error> {
        self.call_as("seaworthy", method, path, body.into())
    }

    pub fn call_as(&self, agent: &str, method: &str, path: &str, body: String) -> Result<Answer, Error> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.control))
            .header("user-agent", agent)
            .body(body)?;
        let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = self.agent.run(request)?;
        let text = response.body_mut().read_to_string()?;
        Ok(Answer { status: response.status().as_u16(), body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    /// A proxy of a name of its own to a listener of the test.
    pub fn proxy(&self) -> Result<Proxied<'_>, Error> {
        let upstream = TcpListener::bind("127.0.0.1:0")?;
        let address = upstream.local_addr()?;
        let (accepted, inbox) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in upstream.incoming().map_while(Result::ok) {
                if accepted.send(stream).is_err() {
                    return;
                }
            }
        });
        let name = self.fresh_name();
        let listen = self.create(&name, &address.to_string())?;
        Ok(Proxied { bench: self, name, listen, upstream: address, accepted: inbox })
    }

    /// Another server of the same make, for trials that harm the whole of it.
    pub fn another(&self) -> Result<Another, Error> {
        match self.which {
            Which::Ours => self.another_with(1),
            Which::Toxiproxy => {
                let lazy = Arc::new(real::Lazy::new(self.runtime.clone(), Ok(())));
                let bench = Bench::new(self.which, lazy.control()?, self.runtime.clone());
                Ok(Another { bench, _server: Server::Container(lazy) })
            }
        }
    }

    /// Another of ours, with this seed.
    pub fn another_with(&self, seed: u64) -> Result<Another, Error> {
        let server = self.runtime.block_on(FaultProxy::start(seed))?;
        let bench = Bench::new(Which::Ours, server.control(), self.runtime.clone());
        Ok(Another { bench, _server: Server::Ours { _running: server } })
    }

    pub fn fresh_name(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives the address on which it listens.
    pub fn create(&self, name: &str, upstream: &str) -> Result<SocketAddr, Error> {
        let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream });
        let answer = self.call("POST", "/proxies", body.to_string())?;
        ensure_eq!(answer.status, 201);
        listen_of(&answer.body)
    }
}

fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build().into()
}

/// A server of a trial's own.
pub struct Another {
    bench: Bench,
    /// Ends when it is dropped.
    _server: Server,
}

enum Server {
    Ours { _running: FaultProxy },
    Container(Arc<real::Lazy>),
}

impl Another {
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Ends it; dropping does as well.
    pub fn stop(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Container(lazy) = self {
            lazy.stop();
        }
    }
}

pub fn listen_of(proxy: &Value) -> Result<SocketAddr, Error> {
    Ok(proxy["listen"].as_str().ok_or_else(|| format!("no listen in {proxy}"))?.parse()?)
}

/// A proxy of the server under test. Deleted when dropped.
pub struct Proxied<'a> {
    pub bench: &'a Bench,
    pub name: String,
    pub listen: SocketAddr,
    pub upstream: SocketAddr,
    accepted: mpsc::Receiver<TcpStream>,
}

impl Proxied<'_> {
    pub fn path(&self) -> String {
        format!("/proxies/{}", self.name)
    }

    /// Both ends of a new connection: the client's, the upstream's.
    pub fn pair(&self) -> Result<(TcpStream, TcpStream), Error> {
        let client = connect(self.listen)?;
        let server = self.accepted.recv_timeout(LATE).map_err(|_| "no connection came out of the proxy")?;
        server.set_read_timeout(Some(LATE))?;
        server.set_write_timeout(Some(LATE))?;
        server.set_nodelay(true)?;
        Ok((client, server))
    }

    /// The two ends of a new connection as (source, receiver) of one direction.
    pub fn stream(&self, direction: &str) -> Result<(TcpStream, TcpStream), Error> {
        let (client, server) = self.pair()?;
        Ok(if direction == "upstream" { (client, server) } else { (server, client) })
    }

    /// Adds a toxic under its default name, which it gives back.
    pub fn toxic(&self, kind: &str, direction: &str, attributes: Value) -> Result<String, Error> {
        self.toxic_for(kind, direction, attributes, 1.0)
    }

    pub fn toxic_for(&self, kind: &str, direction: &str, attributes: Value, toxicity: f32) -> Result<String, Error> {
        let body = json!({ "type": kind, "stream": direction, "attributes": attributes, "toxicity": toxicity });
        let answer = self.bench.call("POST", &format!("{}/toxics", self.path()), body.to_string())?;
        ensure_eq!((answer.status, &answer.body["type"]), (200, &json!(kind)));
        Ok(format!("{kind}_{direction}"))
    }

    pub fn update_toxic(&self, toxic: &str, body: Value) -> Outcome {
        let answer = self.bench.call("POST", &format!("{}/toxics/{toxic}", self.path()), body.to_string())?;
        ensure_eq!(answer.status, 200);
        Ok(())
    }

    pub fn remove_toxic(&self, toxic: &str) -> Outcome {
        let answer = self.bench.call("DELETE", &format!("{}/toxics/{toxic}", self.path()), "")?;
        ensure_eq!(answer.status, 204);
        Ok(())
    }

    pub fn enable(&self, enabled: bool) -> Outcome {
        let answer = self.bench.call("POST", &self.path(), json!({ "enabled": enabled }).to_string())?;
        ensure_eq!((answer.status, &answer.body["enabled"]), (200, &json!(enabled)));
        Ok(())
    }

    pub fn show(&self) -> Result<Value, Error> {
        let answer = self.bench.call("GET", &self.path(), "")?;
        ensure_eq!(answer.status, 200);
        Ok(answer.body)
    }

    /// A new connection carries bytes both ways.
    pub fn works(&self) -> Outcome {
        let (mut client, mut server) = self.pair()?;
        client.write_all(b"ping")?;
        ensure_eq!(take(&mut server, 4)?, b"ping");
        server.write_all(b"pong")?;
        ensure_eq!(take(&mut client, 4)?, b"pong");
        Ok(())
    }
}

impl Drop for Proxied<'_> {
    fn drop(&mut self) {
        let path = self.path();
        if let Err(e) = self.bench.call("DELETE", &path, "") {
            eprintln!("{path} is left on {}: {e}", self.bench.control);
        }
        // The listener's thread ends at the next connection that nobody wants.
        self.accepted = mpsc::channel().1;
        let _ = TcpStream::connect(self.upstream);
    }
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let client = TcpStream::connect_timeout(&address, LATE)?;
    client.set_read_timeout(Some(LATE))?;
    client.set_write_timeout(Some(LATE))?;
    client.set_nodelay(true)?;
    Ok(client)
}

/// The next `count` bytes.
pub fn take(from: &mut TcpStream, count: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).map_err(|e| format!("{count} bytes should come: {e}"))?;
    Ok(bytes)
}

/// Nothing comes for a while, and the connection stays.
pub fn stays_silent(socket: &mut TcpStream) -> Outcome {
    socket.set_read_timeout(Some(SOON))?;
    let outcome = socket.read(&mut [0; 64]);
    socket.set_read_timeout(Some(LATE))?;
    match outcome {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        Ok(0) => Err("it should stay open, and was closed".into()),
        Ok(count) => Err(format!("nothing should come, and {count} bytes did").into()),
        Err(e) => Err(format!("it should stay open: {e}").into()),
    }
}

/// How a connection ends, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

/// Waits for the end, and gives the bytes before it.
pub fn end_of(socket: &mut TcpStream) -> Result<(Vec<u8>, End), Error> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok((bytes, End::Fin)),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok((bytes, End::Rst)),
            Err(e) => return Err(format!("it should end: {e}").into()),
        }
    }
}

/// Waits for an end without a byte before it.
pub fn ends(socket: &mut TcpStream, how: End) -> Outcome {
    let (bytes, end) = end_of(socket)?;
    ensure_eq!((bytes.len(), end), (0, how));
    Ok(())
}

pub fn refuses(address: SocketAddr) -> Outcome {
    match TcpStream::connect_timeout(&address, LATE) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) => Err(format!("connections should be refused: {e}").into()),
        Ok(_) => Err("connections should be refused, and one was taken".into()),
    }
}

pub fn half_close(socket: &TcpStream) -> Outcome {
    Ok(socket.shutdown(Shutdown::Write)?)
}

/// Writes until nothing more goes in: the receiver is dead. Gives how many bytes went.
pub fn flood(source: &mut TcpStream) -> Result<usize, Error> {
    source.set_write_timeout(Some(SOON))?;
    let (chunk, mut written) = (vec![7; 256 * 1024], 0);
    loop {
        match source.write(&chunk) {
            Ok(count) => written += count,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                source.set_write_timeout(Some(LATE))?;
                return Ok(written);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Bytes in which a loss or a swap shows.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8 ^ (i / 251) as u8).collect()
}

/// Milliseconds that `body` takes.
pub fn timed<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<(u64, T), Error> {
    let clock = Clock::start();
    let result = body()?;
    Ok((clock.now() / 1_000_000, result))
}
