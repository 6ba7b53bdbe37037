//! What each toxic does to the bytes, in each direction.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Bench, End, Outcome, end_of, ends, half_close, pattern, refuses, stays_silent, take, timed};
use crate::{Case, case, ensure, ensure_eq};

type Body = fn(&Bench, &'static str) -> Outcome;

pub fn cases() -> Vec<Case> {
    let per_direction: [(&str, Body); 15] = [
        ("latency delays bytes", latency),
        ("latency with jitter stays within its bounds", jitter),
        ("bandwidth is a number of kilobytes a second", bandwidth),
        ("bandwidth 0 lets nothing through", stall),
        ("timeout 0 swallows bytes and keeps the connection", blackhole),
        ("timeout closes an idle connection when its time is over", timeout),
        ("slow_close delays the end and not the bytes", slow_close),
        ("slicer cuts and delays and loses nothing", slicer),
        ("limit_data closes after exactly so many bytes", limit_data),
        ("limit_data counts over several messages", limit_data_in_parts),
        ("reset_peer resets both ends of a new connection that sends", reset),
        ("reset_peer waits for its time", reset_later),
        ("a toxic leaves the other direction alone", other_direction),
        ("toxicity 0 spares a connection", toxicity_0),
        ("two toxics on a stream add up", two_toxics),
    ];
    let mut cases = Vec::new();
    for (name, body) in per_direction {
        for direction in ["upstream", "downstream"] {
            cases.push(case(format!("{name}, {direction}"), move |bench| body(bench, direction)));
        }
    }
    cases.push(case("without toxics a megabyte arrives in both directions at once", both_ways));
    cases.push(case("a closed proxy ends connections with FIN and refuses new ones until it is open again", disabled));
    cases.push(case("an upstream that refuses gives the client an end, and the proxy stays", refused_upstream));
    cases
}

fn latency(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    proxy.toxic("latency", direction, json!({ "latency": 200, "jitter": 0 }))?;
    for _ in 0..2 {
        let (took, bytes) = timed(|| {
            source.write_all(b"hello")?;
            take(&mut receiver, 5)
        })?;
        ensure_eq!(bytes, b"hello");
        ensure!(took >= 199, "5 bytes took {took} ms under a latency of 200");
    }
    Ok(())
}

fn jitter(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("latency", direction, json!({ "latency": 80, "jitter": 40 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    for _ in 0..5 {
        let (took, _) = timed(|| {
            source.write_all(b"x")?;
            take(&mut receiver, 1)
        })?;
        ensure!(took >= 39, "a byte took {took} ms under a latency of 80 ± 40");
    }
    Ok(())
}

fn bandwidth(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("bandwidth", direction, json!({ "rate": 100 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let sent = pattern(40_000);
    let (took, received) = timed(|| {
        source.write_all(&sent)?;
        take(&mut receiver, sent.len())
    })?;
    ensure_eq!(received == sent, true);
    ensure!(took >= 390, "40 kB took {took} ms at 100 kB/s");
    Ok(())
}

fn stall(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    proxy.toxic("bandwidth", direction, json!({ "rate": 0 }))?;
    source.write_all(b"waits")?;
    stays_silent(&mut receiver)
}

fn blackhole(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    proxy.toxic("timeout", direction, json!({ "timeout": 0 }))?;
    source.write_all(&pattern(10_000))?;
    stays_silent(&mut receiver)?;
    stays_silent(&mut source)
}

fn timeout(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let (took, ()) = timed(|| {
        proxy.toxic("timeout", direction, json!({ "timeout": 300 }))?;
        source.write_all(b"lost")?;
        ends(&mut receiver, End::Fin)?;
        ends(&mut source, End::Fin)
    })?;
    ensure!(took >= 299, "it was closed after {took} ms");
    proxy.works().err().ok_or("new connections are under the toxic too")?;
    Ok(())
}

fn slow_close(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("slow_close", direction, json!({ "delay": 400 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let (took, ()) = timed(|| {
        source.write_all(b"last words")?;
        half_close(&source)?;
        ensure_eq!(take(&mut receiver, 10)?, b"last words");
        ends(&mut receiver, End::Fin)
    })?;
    ensure!(took >= 399, "it was closed after {took} ms");
    Ok(())
}

fn slicer(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("slicer", direction, json!({ "average_size": 10, "size_variation": 2, "delay": 3000 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let sent = pattern(200);
    let (took, received) = timed(|| {
        source.write_all(&sent)?;
        take(&mut receiver, sent.len())
    })?;
    ensure_eq!(received, sent);
    // At most 12 bytes a slice: at least 17 slices, with 16 gaps of 3 ms.
    ensure!(took >= 48, "200 bytes took {took} ms");
    Ok(())
}

fn limit_data(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("limit_data", direction, json!({ "bytes": 1_000 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let sent = pattern(5_000);
    source.write_all(&sent)?;
    let (received, _) = end_of(&mut receiver)?;
    ensure_eq!(received, &sent[..1_000]);
    Ok(())
}

fn limit_data_in_parts(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("limit_data", direction, json!({ "bytes": 10 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    source.write_all(b"123456")?;
    ensure_eq!(take(&mut receiver, 6)?, b"123456");
    stays_silent(&mut receiver)?;
    source.write_all(b"7890")?;
    ensure_eq!(take(&mut receiver, 4)?, b"7890");
    ends(&mut receiver, End::Fin)
}

fn reset(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("reset_peer", direction, json!({ "timeout": 0 }))?;
    match proxy.stream(direction) {
        Ok((source, receiver)) => resets(source, receiver),
        // It came before `connect` had returned.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionReset) => Ok(()),
        Err(e) => Err(e),
    }
}

fn reset_later(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("reset_peer", direction, json!({ "timeout": 300 }))?;
    let (took, ()) = timed(|| {
        let (source, receiver) = proxy.stream(direction)?;
        resets(source, receiver)
    })?;
    ensure!(took >= 299, "it was reset after {took} ms");
    Ok(())
}

/// Both ends are, at the latest when the source sends.
fn resets(mut source: TcpStream, mut receiver: TcpStream) -> Outcome {
    // It may be too late for even that: such a write takes the error with it, and the read after it sees the bare end.
    let written = source.write_all(b"x");
    ends(&mut receiver, End::Rst)?;
    let (_, end) = end_of(&mut source)?;
    ensure!(end == End::Rst || written.is_err(), "the source saw {end:?}");
    Ok(())
}

fn other_direction(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("timeout", direction, json!({ "timeout": 0 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    receiver.write_all(b"other way")?;
    ensure_eq!(take(&mut source, 9)?, b"other way");
    source.write_all(b"lost")?;
    stays_silent(&mut receiver)
}

fn toxicity_0(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic_for("timeout", direction, json!({ "timeout": 0 }), 0.0)?;
    proxy.works()
}

fn two_toxics(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("bandwidth", direction, json!({ "rate": 100 }))?;
    proxy.toxic("latency", direction, json!({ "latency": 200 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let sent = pattern(20_000);
    let (took, received) = timed(|| {
        source.write_all(&sent)?;
        take(&mut receiver, sent.len())
    })?;
    ensure_eq!(received == sent, true);
    // Toxiproxy's latency counts from when the bytes came in, not from when the line let them out.
    ensure!(took >= 199, "20 kB took {took} ms at 100 kB/s with a latency of 200");
    Ok(())
}

fn both_ways(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    let sent = pattern(1_000_000);
    std::thread::scope(|scope| {
        for socket in [&client, &server] {
            let (mut socket, sent) = (socket.try_clone()?, &sent);
            scope.spawn(move || socket.write_all(sent));
        }
        ensure_eq!(take(&mut client, sent.len())? == sent, true);
        ensure_eq!(take(&mut server, sent.len())? == sent, true);
        Ok(())
    })
}

fn disabled(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    proxy.enable(false)?;
    ends(&mut client, End::Fin)?;
    ends(&mut server, End::Fin)?;
    refuses(proxy.listen)?;
    proxy.enable(false)?;
    proxy.enable(true)?;
    proxy.enable(true)?;
    ensure_eq!(proxy.show()?["listen"], json!(proxy.listen.to_string()));
    proxy.works()
}

fn refused_upstream(bench: &Bench) -> Outcome {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let name = bench.fresh_name();
    let listen = bench.create(&name, &nobody.to_string())?;
    for _ in 0..3 {
        ends(&mut crate::support::connect(listen)?, End::Fin)?;
    }
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{name}"), "")?.status, 204);
    Ok(())
}
