//! 10⁸ operations on one circuit breaker by 16 threads, with its promises checked: `cargo run --release --example
//! breaker_stress [operations]`. It panics with the broken promise, if one is. `cargo test --test breaker_stress` runs a
//! smaller storm.

#[path = "../tests/breaker_stress/storm.rs"]
mod storm;

fn main() {
    let operations = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000_000);
    println!("{operations} operations on 16 threads");
    println!("{}", storm::run(16, operations));
    println!("kept: never more probes than permitted, no permit lost, never stuck half-open, stale results ignored");
}
