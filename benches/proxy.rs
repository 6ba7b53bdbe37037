//! What a fault proxy costs while it does nothing: ours, the real Toxiproxy where an engine answers, and no proxy at all.
//!
//! `cargo bench --bench proxy`. Rounds alternate between the paths, so that a busy moment of the machine hits all of
//! them; each figure is the median of the rounds.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use seaworthy::clock::Clock;
use seaworthy::proxy::FaultProxy;

#[path = "../tests/proxy_conformance/real.rs"]
mod real;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 7;
/// One connection, one direction, written 64 KiB at a time.
const BULK: usize = 512 * 1024 * 1024;
/// A small request and its reply.
const PING: usize = 100;
const PINGS: usize = 10_000;
const CONNECTIONS: usize = 500;
/// As an idempotent producer without batches would send them: each acknowledged, five in flight.
const MESSAGES: usize = 10_000;
const MESSAGE: usize = 1_100;
const ACK: usize = 60;
const IN_FLIGHT: usize = 5;

struct Figures {
    megabytes_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    connections_per_second: f64,
    messages_ms: f64,
}

fn main() -> Outcome<()> {
    // `cargo test --benches` runs it too, to see that it compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build()?);
    let upstream = upstream()?;
    let ours = runtime.block_on(FaultProxy::start(1))?;
    let mut paths = vec![("no proxy", upstream), ("ours", create(ours.control(), upstream)?)];
    let toxiproxy = real::Lazy::new(runtime.clone(), runtime.block_on(real::engine()));
    match toxiproxy.control() {
        Ok(control) => paths.push(("Toxiproxy 2.12.0", create(control, upstream)?)),
        Err(reason) => eprintln!("without the real Toxiproxy: {reason}"),
    }
    let mut rounds: Vec<Vec<Figures>> = paths.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, address), figures) in paths.iter().zip(&mut rounds) {
            figures.push(measure(*address)?);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "median of {ROUNDS} rounds, {PING}-byte round trips, {MESSAGES} messages of {MESSAGE} bytes, {IN_FLIGHT} in flight"
    )?;
    writeln!(
        out,
        "{:<18}{:>10}{:>12}{:>12}{:>14}{:>14}",
        "path", "MB/s", "p50 µs", "p99 µs", "connections/s", "messages ms"
    )?;
    for ((name, _), figures) in paths.iter().zip(&rounds) {
        let median = |of: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = figures.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        writeln!(
            out,
            "{name:<18}{:>10.0}{:>12.1}{:>12.1}{:>14.0}{:>14.1}",
            median(|f| f.megabytes_per_second),
            median(|f| f.p50_us),
            median(|f| f.p99_us),
            median(|f| f.connections_per_second),
            median(|f| f.messages_ms),
        )?;
    }
    toxiproxy.stop();
    Ok(())
}

fn create(control: SocketAddr, upstream: SocketAddr) -> Outcome<SocketAddr> {
    let body = serde_json::json!({ "name": "bench", "listen": "127.0.0.1:0", "upstream": upstream.to_string() });
    let mut answer = ureq::post(format!("http://{control}/proxies")).send_json(body)?;
    let proxy: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    Ok(proxy["listen"].as_str().unwrap_or_default().parse()?)
}

/// The first byte of a connection says what is wanted of it.
fn upstream() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that breaks shows at the measuring end.
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    match kind[0] {
        b'b' => {
            let (mut buffer, mut left) = (vec![0; 256 * 1024], BULK);
            while left > 0 {
                left -= match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => count,
                };
            }
            stream.write_all(b"!")
        }
        b'm' => {
            let mut message = [0; MESSAGE];
            loop {
                stream.read_exact(&mut message)?;
                stream.write_all(&[0; ACK])?;
            }
        }
        _ => {
            let mut ping = [0; PING];
            loop {
                stream.read_exact(&mut ping)?;
                stream.write_all(&ping)?;
            }
        }
    }
}

fn connect(address: SocketAddr, kind: u8) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[kind])?;
    Ok(stream)
}

fn measure(address: SocketAddr) -> Outcome<Figures> {
    let clock = Clock::start();
    let nanos = |since: u64| (clock.now() - since) as f64;

    let mut stream = connect(address, b'b')?;
    let chunk = vec![7; 64 * 1024];
    let start = clock.now();
    for _ in 0..BULK / chunk.len() {
        stream.write_all(&chunk)?;
    }
    stream.read_exact(&mut [0])?;
    let megabytes_per_second = BULK as f64 / 1e6 / (nanos(start) / 1e9);

    let mut stream = connect(address, b'p')?;
    let mut ping = [1; PING];
    let mut trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = clock.now();
        stream.write_all(&ping)?;
        stream.read_exact(&mut ping)?;
        trips.push(nanos(start) / 1e3);
    }
    trips.sort_by(f64::total_cmp);

    let start = clock.now();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(address, b'p')?;
        stream.write_all(&ping)?;
        stream.read_exact(&mut ping)?;
    }
    let connections_per_second = CONNECTIONS as f64 / (nanos(start) / 1e9);

    let mut stream = connect(address, b'm')?;
    let start = clock.now();
    for sent in 0..MESSAGES + IN_FLIGHT {
        if sent < MESSAGES {
            stream.write_all(&[3; MESSAGE])?;
        }
        if sent >= IN_FLIGHT {
            stream.read_exact(&mut [0; ACK])?;
        }
    }
    let messages_ms = nanos(start) / 1e6;

    let (p50_us, p99_us) = (trips[PINGS / 2], trips[PINGS * 99 / 100]);
    Ok(Figures { megabytes_per_second, p50_us, p99_us, connections_per_second, messages_ms })
}
