//! Experiment 1 of the lesson: what jitter is worth. 100 clients contend for one record that only one of them can change at
//! a time (optimistic locking: read the version, write if it is still the same). Who loses backs off and tries again.
//!
//! `cargo run --example retry_jitter`. Virtual time, seeded: the same numbers on every machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use seaworthy::resilience::{Backoff, Jitter, RetryConfig};
use seaworthy::rng::Rng;

const CLIENTS: usize = 100;
const SEEDS: u64 = 31;

/// One way to the record takes this long on average, and varies: normally, by the deviation.
const WAY_MILLIS: f64 = 10.0;
const WAY_DEVIATION: f64 = 2.0;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A client's read arrives.
    Read,
    /// The version that it read arrives back, and its write sets out.
    Answered(u64),
    /// Its write arrives.
    Write(u64),
    /// The refusal arrives back.
    Refused,
}

/// Time until all have succeeded, in milliseconds, and how many writes that took.
fn contend(config: &RetryConfig, seed: u64) -> (f64, u64) {
    let mut rng = Rng::fork(seed, "network");
    let mut clients: Vec<(Backoff, u32)> =
        (0..CLIENTS).map(|client| (Backoff::new(config.clone(), Rng::new(seed * 1_000 + client as u64)), 0)).collect();
    // In nanoseconds, so that they can be ordered.
    let mut events: BinaryHeap<Reverse<(u64, usize, Step)>> = BinaryHeap::new();
    let way = |rng: &mut Rng| {
        // A normal draw by Box and Muller.
        let (radius, angle) = ((-2.0 * (1.0 - rng.share()).ln()).sqrt(), std::f64::consts::TAU * rng.share());
        let millis = WAY_MILLIS + WAY_DEVIATION * radius * angle.cos();
        (millis.max(0.0) * 1e6) as u64
    };
    for client in 0..CLIENTS {
        events.push(Reverse((way(&mut rng), client, Step::Read)));
    }
    let (mut version, mut calls, mut end) = (0, 0, 0);
    while let Some(Reverse((now, client, step))) = events.pop() {
        let next = now + way(&mut rng);
        let event = match step {
            Step::Read => (next, client, Step::Answered(version)),
            Step::Answered(seen) => (next, client, Step::Write(seen)),
            Step::Write(seen) => {
                calls += 1;
                if seen == version {
                    version += 1;
                    end = now;
                    continue;
                }
                (next, client, Step::Refused)
            }
            Step::Refused => {
                let (backoff, attempt) = &mut clients[client];
                let delay = backoff.delay(*attempt);
                *attempt += 1;
                (next + delay.as_nanos() as u64, client, Step::Read)
            }
        };
        events.push(Reverse(event));
    }
    (end as f64 / 1e6, calls)
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("a number"));
    values[values.len() / 2]
}

fn main() {
    println!("{CLIENTS} clients contend for one record; median of {SEEDS} seeds\n");
    println!("{:<14} {:>14} {:>8}", "jitter", "completion ms", "calls");
    let mut rows = Vec::new();
    for (name, jitter) in [
        ("none", Jitter::None),
        ("proportional", Jitter::Proportional),
        ("equal", Jitter::Equal),
        ("full", Jitter::Full),
        ("decorrelated", Jitter::Decorrelated),
    ] {
        let config = RetryConfig {
            max_retries: u32::MAX,
            initial_delay: Duration::from_millis(5),
            max_delay: Duration::from_secs(2),
            jitter,
            ..Default::default()
        };
        let runs: Vec<_> = (0..SEEDS).map(|seed| contend(&config, seed)).collect();
        let row = (median(runs.iter().map(|run| run.0).collect()), median(runs.iter().map(|run| run.1).collect()));
        println!("{name:<14} {:>14.0} {:>8}", row.0, row.1);
        rows.push(row);
    }
    let (none, full) = (rows[0], rows[3]);
    println!(
        "\nfinding: full jitter is done {:.1} times sooner than no jitter, with {:.1} times fewer calls: who failed together \
         does not come back together",
        none.0 / full.0,
        none.1 as f64 / full.1 as f64
    );
}
