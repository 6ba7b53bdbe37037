//! Where ours differs from Toxiproxy on purpose: both sides, asserted. The table for people is `docs/fault-proxy.md`.

use std::io::{Read, Write};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::json;

use crate::control::black_hole;
use crate::support::{
    Bench, End, Error, LATE, Outcome, SOON, connect, end_of, ends, half_close, refuses, stays_silent, take,
};
use crate::{Case, case, ensure, ensure_eq, ours};

pub fn cases() -> Vec<Case> {
    vec![
        case("half-close: ours passes it on, Toxiproxy closes both directions", half_closed),
        case(
            "timeout under traffic: ours closes on time, Toxiproxy begins anew with every chunk",
            timeout_under_traffic,
        ),
        case("reset_peer on an existing connection: RST from ours, FIN from Toxiproxy", reset_of_existing),
        case("reset_peer on an idle connection: RST from ours, nothing from Toxiproxy", reset_of_idle),
        case("a removed timeout: ours closes the connections that it affected, Toxiproxy all", removed_timeout_spares),
        case("a reset called off in time: ours has lost nothing, Toxiproxy resets all the same", reset_called_off),
        case("numbers below 0: ours refuses them, Toxiproxy takes them", negative_numbers),
        case(
            "a slicer without a size: ours refuses it, Toxiproxy takes it and dies of the first byte",
            sizeless_slicer,
        ),
        case("closing during a dial that hangs: ours does, Toxiproxy does not answer", closing_during_a_dial),
        case(
            "a proxy that was created closed: ours knows its port already, Toxiproxy does not",
            port_of_a_closed_proxy,
        ),
        case("connections: ours tells how many, Toxiproxy does not", connection_count),
        ours("toxicity: ours chooses the same connections for the same seed", seeded_toxicity),
        ours("toxicity: ours does not choose again when another toxic comes", stable_toxicity),
    ]
}

fn half_closed(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    client.write_all(b"all I have to say")?;
    half_close(&client)?;
    let (said, end) = end_of(&mut server)?;
    ensure_eq!((said.as_slice(), end), (&b"all I have to say"[..], End::Fin));
    if bench.is_ours() {
        server.write_all(b"an answer")?;
        ensure_eq!(take(&mut client, 9)?, b"an answer");
        drop(server);
        return ends(&mut client, End::Fin);
    }
    // The client's end comes without the server having said a thing.
    ends(&mut client, End::Fin)
}

fn timeout_under_traffic(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (client, mut server) = proxy.pair()?;
    let clock = seaworthy::clock::Clock::start();
    proxy.toxic("timeout", "upstream", json!({ "timeout": 2_000 }))?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let talker = {
        let mut client = client.try_clone()?;
        std::thread::spawn(move || {
            // A byte every 50 ms.
            while stopped.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                if client.write_all(b"x").is_err() {
                    return;
                }
            }
        })
    };
    if bench.is_ours() {
        ends(&mut server, End::Fin)?;
        ensure!(clock.now() >= 1_999_000_000, "closed after {} ms", clock.now() / 1_000_000);
    } else {
        server.set_read_timeout(Some(Duration::from_millis(2_500)))?;
        let outcome = server.read(&mut [0; 1]);
        ensure!(outcome.is_err(), "Toxiproxy closed it while bytes came: it keeps its documented promise now");
    }
    drop(stop);
    talker.join().map_err(|_| "the talker panicked")?;
    Ok(())
}

fn reset_of_existing(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    proxy.toxic("reset_peer", "upstream", json!({ "timeout": 0 }))?;
    let _ = client.write_all(b"x");
    ends(&mut server, if bench.is_ours() { End::Rst } else { End::Fin })
}

fn reset_of_idle(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    proxy.toxic("reset_peer", "upstream", json!({ "timeout": 0 }))?;
    proxy.toxic("reset_peer", "downstream", json!({ "timeout": 0 }))?;
    if bench.is_ours() {
        ends(&mut client, End::Rst)?;
        return ends(&mut server, End::Rst);
    }
    stays_silent(&mut client)?;
    proxy.remove_toxic("reset_peer_upstream")?;
    proxy.remove_toxic("reset_peer_downstream")?;
    client.write_all(b"as if nothing had been")?;
    take(&mut server, 22)?;
    Ok(())
}

fn removed_timeout_spares(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    let toxic = proxy.toxic_for("timeout", "upstream", json!({ "timeout": 0 }), 0.0)?;
    client.write_all(b"spared")?;
    ensure_eq!(take(&mut server, 6)?, b"spared");
    proxy.remove_toxic(&toxic)?;
    if bench.is_ours() {
        client.write_all(b"still")?;
        ensure_eq!(take(&mut server, 5)?, b"still");
        return Ok(());
    }
    ends(&mut server, End::Fin)
}

fn reset_called_off(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let timeout = if bench.is_ours() { 600_000 } else { 1_000 };
    let toxic = proxy.toxic("reset_peer", "upstream", json!({ "timeout": timeout }))?;
    let (mut client, mut server) = proxy.pair()?;
    client.write_all(b"waits")?;
    stays_silent(&mut server)?;
    proxy.remove_toxic(&toxic)?;
    if bench.is_ours() {
        ensure_eq!(take(&mut server, 5)?, b"waits");
        return Ok(());
    }
    ends(&mut server, End::Rst)
}

fn negative_numbers(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let body = json!({ "type": "latency", "attributes": { "latency": -5 } });
    let answer = bench.call("POST", &format!("{}/toxics", proxy.path()), body.to_string())?;
    ensure_eq!(answer.status, if bench.is_ours() { 400 } else { 200 });
    Ok(())
}

fn sizeless_slicer(bench: &Bench) -> Outcome {
    let own = bench.another()?;
    let bench = own.bench();
    let proxy = bench.proxy()?;
    let body = json!({ "type": "slicer", "attributes": { "delay": 5 } });
    let answer = bench.call("POST", &format!("{}/toxics", proxy.path()), body.to_string())?;
    ensure_eq!(answer.status, if bench.is_ours() { 400 } else { 200 });
    if bench.is_ours() {
        return proxy.works();
    }
    let (mut client, mut server) = proxy.pair()?;
    server.write_all(b"the first byte")?;
    end_of(&mut client)?;
    // It cannot be deleted any more.
    std::mem::forget(proxy);
    // The engine closes the port a moment after the process has died.
    let clock = seaworthy::clock::Clock::start();
    while let Err(taken) = refuses(bench.control) {
        if clock.now() > LATE.as_nanos() as u64 {
            return Err(taken);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

fn closing_during_a_dial(bench: &Bench) -> Outcome {
    let (address, _listener, _queued) = black_hole(bench)?;
    let own = bench.another()?;
    let bench = own.bench();
    let name = bench.fresh_name();
    let listen = bench.create(&name, &address.to_string())?;
    let mut client = connect(listen)?;
    let close =
        |bench: &Bench| bench.call("POST", &format!("/proxies/{name}"), json!({ "enabled": false }).to_string());
    if bench.is_ours() {
        ensure_eq!(close(bench)?.status, 200);
        end_of(&mut client)?;
        return refuses(listen);
    }
    // Taken in and dialling, as far as anybody outside can tell.
    stays_silent(&mut client)?;
    let outcome = close(&bench.within(SOON * 3));
    ensure!(outcome.is_err(), "Toxiproxy closes a proxy that dials now: {outcome:?}");
    Ok(())
}

fn port_of_a_closed_proxy(bench: &Bench) -> Outcome {
    let name = bench.fresh_name();
    let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": false });
    let answer = bench.call("POST", "/proxies", body.to_string())?;
    ensure_eq!(answer.body["listen"] == json!("127.0.0.1:0"), !bench.is_ours());
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{name}"), "")?.status, 204);
    Ok(())
}

fn connection_count(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let _pair = proxy.pair()?;
    ensure_eq!(proxy.show()?.get("connections").cloned(), bench.is_ours().then(|| json!(1)));
    Ok(())
}

/// Which of 24 connections, opened one after the other, get nothing through.
fn affected(bench: &Bench, name: &str) -> Result<Vec<bool>, Error> {
    let upstream = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = bench.create(name, &upstream.local_addr()?.to_string())?;
    let toxic = json!({ "type": "limit_data", "stream": "upstream", "toxicity": 0.5, "attributes": { "bytes": 1 } });
    ensure_eq!(bench.call("POST", &format!("/proxies/{name}/toxics"), toxic.to_string())?.status, 200);
    let mut affected = Vec::new();
    for _ in 0..24 {
        let mut client = connect(listen)?;
        let (mut server, _) = upstream.accept()?;
        client.write_all(b"two")?;
        half_close(&client)?;
        affected.push(end_of(&mut server)?.0.len() == 1);
    }
    Ok(affected)
}

fn seeded_toxicity(bench: &Bench) -> Outcome {
    let choice = |seed| affected(bench.another_with(seed)?.bench(), "broker-1");
    let first = choice(42)?;
    ensure!(first.contains(&true) && first.contains(&false), "all alike: {first:?}");
    ensure_eq!(choice(42)?, first);
    ensure!(choice(43)? != first, "another seed makes the same choice: {first:?}");
    Ok(())
}

fn stable_toxicity(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic_for("bandwidth", "upstream", json!({ "rate": 0 }), 0.5)?;
    let mut pairs = (0..12).map(|_| proxy.pair()).collect::<Result<Vec<_>, _>>()?;
    let mut through = |byte: u8| -> Result<Vec<bool>, Error> {
        let mut through = Vec::new();
        for (client, server) in &mut pairs {
            client.write_all(&[byte])?;
            server.set_read_timeout(Some(SOON / 3))?;
            through.push(server.read(&mut [0]).is_ok_and(|count| count == 1));
        }
        Ok(through)
    };
    let first = through(1)?;
    ensure!(first.contains(&true) && first.contains(&false), "all alike: {first:?}");
    for kind in ["latency", "limit_data", "slow_close"] {
        proxy.toxic(kind, "upstream", json!({ "bytes": 1_000 }))?;
    }
    ensure_eq!(through(2)?, first);
    Ok(())
}
