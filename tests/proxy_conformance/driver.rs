//! The driver that the harness uses, on either proxy.

use std::io::Write;
use std::net::TcpListener;

use seaworthy::proxy::{LinkState, ProxyError, Stream, Toxic, Toxiproxy};

use crate::support::{Bench, End, Error, Outcome, connect, ends, listen_of, refuses, stays_silent, take};
use crate::{Case, case, ensure, ensure_eq};

pub fn cases() -> Vec<Case> {
    vec![
        case("the driver creates, adds, clears, closes and opens, and reads back what it did", every_verb),
        case("the driver's faults have their effects", effects),
        case("the driver refuses a second toxic of a kind", a_second_one),
    ]
}

fn set_up(bench: &Bench) -> Result<(Toxiproxy, TcpListener, std::net::SocketAddr), Error> {
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let name = bench.fresh_name();
    let driver = Toxiproxy::new(&bench.control.to_string(), &name);
    let state = bench.runtime.block_on(driver.create("127.0.0.1:0", &upstream.local_addr()?.to_string()))?;
    ensure!(state.is_clear(), "{state}");
    let listen = listen_of(&bench.call("GET", &format!("/proxies/{name}"), "")?.body)?;
    Ok((driver, upstream, listen))
}

fn every_verb(bench: &Bench) -> Outcome {
    let (driver, _upstream, listen) = set_up(bench)?;
    let clear = LinkState { enabled: true, toxics: Vec::new() };
    for (toxic, text) in [
        (Toxic::Blackhole, "timeout_upstream(timeout=0)"),
        (Toxic::Stall, "bandwidth_upstream(rate=0)"),
        (Toxic::Reset, "reset_peer_upstream(timeout=0)"),
        (Toxic::Latency { latency: 200, jitter: 50 }, "latency_upstream(jitter=50 latency=200)"),
        (Toxic::Bandwidth { rate: 10 }, "bandwidth_upstream(rate=10)"),
    ] {
        let state = bench.runtime.block_on(driver.add(&[(toxic, Stream::Upstream), (toxic, Stream::Downstream)]))?;
        ensure!(state.enabled && state.toxics.len() == 2 && state.toxics.iter().any(|t| t == text), "{state}");
        ensure_eq!(bench.runtime.block_on(driver.state())?, state);
        ensure_eq!(bench.runtime.block_on(driver.clear())?, clear);
    }
    ensure_eq!(bench.runtime.block_on(driver.enable(false))?, LinkState { enabled: false, toxics: Vec::new() });
    refuses(listen)?;
    ensure_eq!(bench.runtime.block_on(driver.clear())?, clear);
    connect(listen)?;
    Ok(())
}

fn effects(bench: &Bench) -> Outcome {
    let (driver, upstream, listen) = set_up(bench)?;
    let mut client = connect(listen)?;
    let (mut server, _) = upstream.accept()?;
    let on_both = |toxic| [(toxic, Stream::Upstream), (toxic, Stream::Downstream)];

    bench.runtime.block_on(driver.add(&on_both(Toxic::Stall)))?;
    client.write_all(b"waits")?;
    stays_silent(&mut server)?;
    bench.runtime.block_on(driver.clear())?;
    ensure_eq!(take(&mut server, 5)?, b"waits");

    bench.runtime.block_on(driver.add(&on_both(Toxic::Blackhole)))?;
    client.write_all(b"lost")?;
    stays_silent(&mut server)?;
    bench.runtime.block_on(driver.clear())?;
    ends(&mut client, End::Fin)?;
    ends(&mut server, End::Fin)?;

    let mut client = connect(listen)?;
    upstream.accept()?;
    bench.runtime.block_on(driver.enable(false))?;
    ends(&mut client, End::Fin)?;
    bench.runtime.block_on(driver.enable(true))?;
    let mut client = connect(listen)?;
    let (mut server, _) = upstream.accept()?;
    client.write_all(b"back")?;
    ensure_eq!(take(&mut server, 4)?, b"back");
    Ok(())
}

fn a_second_one(bench: &Bench) -> Outcome {
    let (driver, _upstream, _) = set_up(bench)?;
    bench.runtime.block_on(driver.add(&[(Toxic::Stall, Stream::Upstream)]))?;
    let outcome = bench.runtime.block_on(driver.add(&[(Toxic::Bandwidth { rate: 5 }, Stream::Upstream)]));
    ensure!(matches!(outcome, Err(ProxyError::NotApplied { .. } | ProxyError::Failed { .. })), "{outcome:?}");
    Ok(())
}
