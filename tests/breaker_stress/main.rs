//! A storm of threads on one circuit breaker. `cargo run --release --example breaker_stress` is the same with 10⁸
//! operations.

mod storm;

#[test]
fn under_a_storm_the_breaker_keeps_its_promises() {
    let seen = storm::run(16, 600_000);
    assert!(seen.closed > 3, "the storm was none: {seen}");
    assert!(seen.probes > 0 && seen.stale > 0 && seen.rejected > 0 && seen.released > 0, "{seen}");
}
