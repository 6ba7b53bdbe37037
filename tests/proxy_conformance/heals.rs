//! What happens when a toxic goes, or changes, while connections are under it.

use std::io::Write;

use serde_json::json;

use crate::support::{Bench, End, Outcome, ends, half_close, pattern, stays_silent, take, timed};
use crate::{Case, case, ensure, ensure_eq};

/// No test waits for it.
const AGES: u64 = 600_000;

type Body = fn(&Bench, &'static str) -> Outcome;

pub fn cases() -> Vec<Case> {
    let per_direction: [(&str, Body); 9] = [
        ("a removed latency delivers what waited, in order", latency),
        ("a removed bandwidth 0 delivers what waited, and the connection lives on", stall),
        ("a lowered latency is in force at once", lowered_latency),
        ("a stall that becomes a rate delivers at that rate", stall_to_rate),
        ("a removed timeout closes both ends, and new connections work", blackhole),
        ("a removed slow_close closes at once", slow_close),
        ("a removed slicer delivers the rest", slicer),
        ("a removed limit_data no longer counts", limit_data),
        ("a removed reset_peer leaves new connections alone", reset),
    ];
    let mut cases = Vec::new();
    for (name, body) in per_direction {
        for direction in ["upstream", "downstream"] {
            cases.push(case(format!("{name}, {direction}"), move |bench| body(bench, direction)));
        }
    }
    cases.push(case("removing one toxic leaves the others in force", one_of_two));
    cases.push(case("closing and opening a proxy keeps its toxics", toxics_survive_a_closed_door));
    cases
}

fn latency(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let toxic = proxy.toxic("latency", direction, json!({ "latency": AGES }))?;
    let sent = pattern(20_000);
    for part in sent.chunks(1_000) {
        source.write_all(part)?;
    }
    stays_silent(&mut receiver)?;
    proxy.remove_toxic(&toxic)?;
    ensure_eq!(take(&mut receiver, sent.len())? == sent, true);
    source.write_all(b"and on")?;
    ensure_eq!(take(&mut receiver, 6)?, b"and on");
    Ok(())
}

fn stall(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let toxic = proxy.toxic("bandwidth", direction, json!({ "rate": 0 }))?;
    let sent = pattern(300_000);
    let writer = {
        let (mut source, sent) = (source.try_clone()?, sent.clone());
        std::thread::spawn(move || source.write_all(&sent))
    };
    stays_silent(&mut receiver)?;
    proxy.remove_toxic(&toxic)?;
    ensure_eq!(take(&mut receiver, sent.len())? == sent, true);
    writer.join().map_err(|_| "the writer panicked")??;
    source.write_all(b"and on")?;
    ensure_eq!(take(&mut receiver, 6)?, b"and on");
    Ok(())
}

fn lowered_latency(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let toxic = proxy.toxic("latency", direction, json!({ "latency": AGES }))?;
    source.write_all(b"waits")?;
    stays_silent(&mut receiver)?;
    proxy.update_toxic(&toxic, json!({ "attributes": { "latency": 100 } }))?;
    ensure_eq!(take(&mut receiver, 5)?, b"waits");
    let (took, _) = timed(|| {
        source.write_all(b"x")?;
        take(&mut receiver, 1)
    })?;
    ensure!(took >= 99, "a byte took {took} ms under a latency of 100");
    Ok(())
}

fn stall_to_rate(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let toxic = proxy.toxic("bandwidth", direction, json!({ "rate": 0 }))?;
    source.write_all(b"waits")?;
    stays_silent(&mut receiver)?;
    proxy.update_toxic(&toxic, json!({ "attributes": { "rate": 100 } }))?;
    ensure_eq!(take(&mut receiver, 5)?, b"waits");
    let (took, _) = timed(|| {
        source.write_all(&pattern(20_000))?;
        take(&mut receiver, 20_000)
    })?;
    ensure!(took >= 190, "20 kB took {took} ms at 100 kB/s");
    Ok(())
}

fn blackhole(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let toxic = proxy.toxic("timeout", direction, json!({ "timeout": 0 }))?;
    source.write_all(b"lost")?;
    stays_silent(&mut receiver)?;
    proxy.remove_toxic(&toxic)?;
    ends(&mut receiver, End::Fin)?;
    ends(&mut source, End::Fin)?;
    proxy.works()
}

fn slow_close(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic("slow_close", direction, json!({ "delay": AGES }))?;
    let (source, mut receiver) = proxy.stream(direction)?;
    half_close(&source)?;
    stays_silent(&mut receiver)?;
    proxy.remove_toxic(&toxic)?;
    ends(&mut receiver, End::Fin)
}

fn slicer(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic("slicer", direction, json!({ "average_size": 8, "delay": 60_000_000 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    let sent = pattern(1_000);
    source.write_all(&sent)?;
    let first = take(&mut receiver, 1)?;
    proxy.remove_toxic(&toxic)?;
    let rest = take(&mut receiver, sent.len() - 1)?;
    ensure_eq!([first, rest].concat(), sent);
    Ok(())
}

fn limit_data(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic("limit_data", direction, json!({ "bytes": 1_000 }))?;
    let (mut source, mut receiver) = proxy.stream(direction)?;
    source.write_all(&pattern(900))?;
    take(&mut receiver, 900)?;
    proxy.remove_toxic(&toxic)?;
    source.write_all(&pattern(900))?;
    take(&mut receiver, 900)?;
    Ok(())
}

fn reset(bench: &Bench, direction: &'static str) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic("reset_peer", direction, json!({ "timeout": 0 }))?;
    proxy.remove_toxic(&toxic)?;
    proxy.works()
}

fn one_of_two(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, mut server) = proxy.pair()?;
    let latency = proxy.toxic("latency", "downstream", json!({ "latency": AGES }))?;
    proxy.toxic("bandwidth", "downstream", json!({ "rate": 100 }))?;
    server.write_all(&pattern(20_000))?;
    stays_silent(&mut client)?;
    let (took, _) = timed(|| {
        proxy.remove_toxic(&latency)?;
        take(&mut client, 20_000)
    })?;
    ensure!(took >= 190, "20 kB took {took} ms at 100 kB/s");
    Ok(())
}

fn toxics_survive_a_closed_door(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("timeout", "upstream", json!({ "timeout": 0 }))?;
    proxy.enable(false)?;
    ensure_eq!(proxy.show()?["toxics"].as_array().map(Vec::len), Some(1));
    proxy.enable(true)?;
    let (mut client, mut server) = proxy.pair()?;
    client.write_all(b"lost")?;
    stays_silent(&mut server)
}
