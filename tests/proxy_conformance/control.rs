//! The control plane answers whatever the data plane is going through: what deadlocks Toxiproxy.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::{Bench, End, Error, LATE, Outcome, connect, end_of, ends, flood, refuses, take};
use crate::{Case, ensure, ensure_eq, ours};

pub fn cases() -> Vec<Case> {
    vec![
        ours("a dial that hangs holds up neither control nor other connections", hanging_dial),
        ours("every change goes through while receivers are dead", dead_receivers),
        ours("a toxic that goes while bytes rush through loses none of them", changes_under_load),
        ours("connections are counted, and gone when they are over", counted),
        ours("the port of a closed proxy stays its own", reserved_port),
        ours("a server that is dropped leaves no listener and no connection", dropped),
        ours("it works while its user's runtime is blocked", blocked_runtime),
    ]
}

/// An address that completes no connection: its queue is full. Lives as long as what is held.
pub fn black_hole(bench: &Bench) -> Result<(SocketAddr, tokio::net::TcpListener, Vec<TcpStream>), Error> {
    let _context = bench.runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        ensure!(queued.len() < 64, "the queue is never full");
    }
    Ok((address, listener, queued))
}

fn hanging_dial(bench: &Bench) -> Outcome {
    let (address, _listener, _queued) = black_hole(bench)?;
    let name = bench.fresh_name();
    let listen = bench.create(&name, &address.to_string())?;
    let path = format!("/proxies/{name}");
    // Ten dials of 5 s each, one after the other, would exceed the deadline of all calls together.
    let clock = seaworthy::clock::Clock::start();
    for _ in 0..10 {
        let mut dialling = [connect(listen)?, connect(listen)?, connect(listen)?];
        for body in [json!({ "enabled": false }), json!({ "enabled": true })] {
            ensure_eq!(bench.call("POST", &path, body.to_string())?.status, 200);
        }
        for client in &mut dialling {
            // RST where the door closed before the connection was taken in.
            end_of(client)?;
        }
    }
    ensure!(u128::from(clock.now()) < LATE.as_nanos(), "it waited for the dials: {} s", clock.now() / 1_000_000_000);
    ensure_eq!(bench.call("DELETE", &path, "")?.status, 204);
    refuses(listen)
}

fn dead_receivers(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let mut held = Vec::new();
    for _ in 0..4 {
        let (mut client, mut server) = proxy.pair()?;
        flood(&mut client)?;
        flood(&mut server)?;
        held.push((client, server));
    }
    for (kind, attributes, update) in [
        ("latency", json!({ "latency": 50, "jitter": 10 }), json!({ "latency": 1 })),
        ("bandwidth", json!({ "rate": 0 }), json!({ "rate": 1_000 })),
        ("slicer", json!({ "average_size": 100, "delay": 10 }), json!({ "delay": 0 })),
        ("slow_close", json!({ "delay": 1_000 }), json!({ "delay": 0 })),
        ("limit_data", json!({ "bytes": 1_000_000_000 }), json!({ "bytes": 2_000_000_000u64 })),
    ] {
        for direction in ["upstream", "downstream"] {
            let toxic = proxy.toxic(kind, direction, attributes.clone())?;
            proxy.update_toxic(&toxic, json!({ "attributes": update }))?;
            proxy.remove_toxic(&toxic)?;
        }
    }
    let latency = proxy.toxic("latency", "downstream", json!({ "latency": 50 }))?;
    proxy.works()?;
    proxy.remove_toxic(&latency)?;
    proxy.enable(false)?;
    refuses(proxy.listen)?;
    for (mut client, mut server) in held {
        // What the system had taken in arrives, then the end.
        end_of(&mut client)?;
        end_of(&mut server)?;
    }
    proxy.enable(true)?;
    proxy.works()
}

fn changes_under_load(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    let sent = crate::support::pattern(20_000_000);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.write_all(&sent));
        let reader = scope.spawn(|| take(&mut server, sent.len()));
        for round in 0..10 {
            let kinds = [
                ("latency", json!({ "latency": 3, "jitter": 3 })),
                ("slicer", json!({ "average_size": 2_000, "size_variation": 500 })),
                ("bandwidth", json!({ "rate": if round % 2 == 0 { 0 } else { 50_000 } })),
            ];
            let mut names = Vec::new();
            for (kind, attributes) in kinds {
                names.push(proxy.toxic(kind, "upstream", attributes)?);
            }
            for name in names {
                proxy.remove_toxic(&name)?;
            }
        }
        writer.join().map_err(|_| "the writer panicked")??;
        let received = reader.join().map_err(|_| "the reader panicked")??;
        ensure_eq!(received == sent, true);
        Ok(())
    })
}

fn counted(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let pairs = (0..5).map(|_| proxy.pair()).collect::<Result<Vec<_>, _>>()?;
    ensure_eq!(proxy.show()?["connections"], json!(5));
    for (client, mut server) in pairs {
        drop(client);
        ends(&mut server, End::Fin)?;
    }
    // Each connection is over for the proxy when it has seen the second end too.
    let clock = seaworthy::clock::Clock::start();
    loop {
        let left = proxy.show()?["connections"].clone();
        if left == json!(0) {
            break;
        }
        ensure!(u128::from(clock.now()) < LATE.as_nanos(), "{left} connections are left");
    }
    let (mut client, _server) = proxy.pair()?;
    proxy.enable(false)?;
    ensure_eq!(proxy.show()?["connections"], json!(0));
    ends(&mut client, End::Fin)
}

fn reserved_port(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.enable(false)?;
    // A socket that does not share ports on purpose cannot take it, and none that asks for any port is given it.
    let _context = bench.runtime.enter();
    let greedy = tokio::net::TcpSocket::new_v4()?;
    let outcome = greedy.bind(proxy.listen);
    ensure!(outcome.is_err(), "somebody else got the port");
    proxy.enable(true)?;
    proxy.works()
}

fn dropped(bench: &Bench) -> Outcome {
    let other = bench.another()?;
    let proxy = other.bench().proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    let (listen, control) = (proxy.listen, other.bench().control);
    // Not through the API, which is about to go.
    std::mem::forget(proxy);
    other.stop();
    ends(&mut client, End::Fin)?;
    ends(&mut server, End::Fin)?;
    refuses(listen)?;
    refuses(control)
}

fn blocked_runtime(_: &Bench) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = runtime.block_on(seaworthy::proxy::FaultProxy::start(1))?;
    // Nobody drives `runtime` from here on.
    let bench = Bench::new(crate::support::Which::Ours, server.control(), std::sync::Arc::new(runtime));
    bench.proxy()?.works()
}
