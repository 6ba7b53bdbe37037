//! Experiment 2 of the lesson: a circuit breaker before a dependency that fails for a while.
//! `cargo run --example breaker_transitions`. Virtual time: it takes no time and says the same everywhere.

use std::time::Duration;

use seaworthy::resilience::breaker::BreakerError;
use seaworthy::resilience::{BreakerConfig, CircuitBreaker, HandlerError};
use tokio::time::Instant;

const DOWN: std::ops::Range<Duration> = Duration::from_secs(10)..Duration::from_secs(30);
/// A call to the dependency that is down hangs for so long before it fails.
const HANGS: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let start = Instant::now();
    let config = BreakerConfig {
        max_failures: 3,
        reset_timeout: Duration::from_secs(1),
        reset_multiplier: 2.0,
        max_reset_timeout: Duration::from_secs(5),
        half_open_probes: 2,
        ..Default::default()
    };
    let breaker = CircuitBreaker::new("dependency", config);
    let mut transitions = breaker.subscribe();
    let dependency = || async move {
        if DOWN.contains(&start.elapsed()) {
            tokio::time::sleep(HANGS).await;
            return Err(HandlerError::retriable("the dependency is down"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    };
    let (mut served, mut failed, mut refused, mut waited) = (0, 0, 0, Duration::ZERO);
    let mut back = None;
    while start.elapsed() < Duration::from_secs(45) {
        let asked = Instant::now();
        match breaker.call(dependency).await {
            Ok(()) => {
                served += 1;
                if start.elapsed() > DOWN.end {
                    back.get_or_insert(start.elapsed() - DOWN.end);
                }
            }
            Err(BreakerError::Rejected(_)) => refused += 1,
            Err(_) => {
                failed += 1;
                waited += asked.elapsed();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("the dependency is down from 10 s to 30 s, a call then hangs for 1 s; a caller asks every 0.1 s\n");
    while let Ok(transition) = transitions.try_recv() {
        let at = (transition.at - start).as_secs_f64();
        println!("{at:6.2} s  {:>9} -> {:<9} {:?}", transition.from, transition.to, transition.reason);
    }
    println!("\n{served} served, {failed} failed after hanging for {waited:?} together, {refused} refused at once");
    let without = (DOWN.end - DOWN.start).as_millis() / (HANGS + Duration::from_millis(100)).as_millis();
    println!(
        "finding: it opened after 3 failures, spared callers {} of about {without} hanging calls, and was back {:.1} s after the \
         dependency, by its own probes",
        without.saturating_sub(failed),
        back.unwrap_or_default().as_secs_f64()
    );
}
