//! Experiment 4 of the lesson: failures injected on purpose, and the time until service is back.
//! `cargo run --example chaos_recovery`. Virtual time and a seed: it takes no time and says the same everywhere.
//!
//! 50 callers ask a dependency through retry and breaker. For 20 seconds the chaos engine fails most calls and delays the
//! rest. Recovery time is from the end of the chaos until the last record that it held up is through. To the callers a call
//! that the breaker refuses is an error, too: the error rate is theirs, not the dependency's.

use std::cell::Cell;
use std::time::Duration;

use seaworthy::resilience::chaos::ChaosKind;
use seaworthy::resilience::settings::Profile;
use seaworthy::resilience::{AlertManager, ChaosEngine, CircuitBreaker, ErrorMetrics, HandlerError, Retry, Settings};
use seaworthy::rng::Rng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const CALLERS: u64 = 50;
const CHAOS: std::ops::Range<Duration> = Duration::from_secs(10)..Duration::from_secs(30);
const END: Duration = Duration::from_secs(60);

async fn run(profile: Profile) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::for_profile(profile);
    let start = Instant::now();
    let engine = ChaosEngine::for_profile(7, profile, true);
    let metrics = std::sync::Arc::new(ErrorMetrics::default());
    let breaker = CircuitBreaker::new("dependency", settings.breaker.clone());
    let counted = metrics.clone();
    breaker.on_transition(move |transition| counted.record_transition(transition));
    let (held_until, lost, done) = (Cell::new(Duration::ZERO), Cell::new(0_u64), Cell::new(0_u64));

    let caller = |number: u64| {
        let (engine, breaker, metrics, settings) = (&engine, &breaker, &metrics, &settings);
        let (held_until, lost, done) = (&held_until, &lost, &done);
        async move {
            let mut retry = Retry::new(settings.retry.clone(), Rng::new(number));
            let mut record = 0;
            while start.elapsed() < END {
                let (id, due) = (format!("{number}-{record}"), start.elapsed());
                let work = |attempt| {
                    let decision = engine.decide(&id, attempt);
                    async move {
                        sleep(decision.latency.max(Duration::from_millis(5))).await;
                        if decision.fail { Err(HandlerError::retriable("chaos")) } else { Ok(()) }
                    }
                };
                // A record is not given up: what a spent retry leaves is tried again, as the consumer does.
                loop {
                    let outcome = retry
                        .call(|attempt| async move {
                            let outcome = breaker.call(|| work(attempt)).await;
                            match &outcome {
                                Ok(()) => metrics.record_success(),
                                Err(error) => metrics.record_error(seaworthy::resilience::Classify::classify(error)),
                            }
                            outcome
                        })
                        .await;
                    if outcome.is_ok() {
                        break;
                    }
                    lost.set(lost.get() + 1);
                }
                done.set(done.get() + 1);
                if due < CHAOS.end && start.elapsed() > CHAOS.end {
                    held_until.set(start.elapsed());
                }
                record += 1;
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let script = async {
        sleep(CHAOS.start).await;
        engine.enable(0.9, Duration::from_millis(50), ChaosKind::Both)?;
        sleep(CHAOS.end - CHAOS.start).await;
        engine.disable();
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let stop = CancellationToken::new();
    let alerts = AlertManager::new(settings.monitoring.clone());
    let watch = alerts.watch(&metrics, Duration::from_secs(1), stop.clone(), |alert| {
        println!(
            "  {:5.1} s  {:?} {}: {}",
            start.elapsed().as_secs_f64(),
            alert.status,
            alert.kind.as_str(),
            alert.message
        );
    });
    println!("profile {profile}: 90 % of calls fail from 10 s to 30 s");
    let load = async {
        futures::future::join_all((0..CALLERS).map(caller)).await;
        stop.cancel();
    };
    let (outcome, (), ()) = tokio::join!(script, load, watch);
    outcome?;
    let (counts, chaos) = (metrics.snapshot(), engine.counts());
    println!(
        "  {} records done, {} failures and {} delays injected, {} calls refused by the open breaker, {} breaker trips, retries \
         were used up {} times",
        done.get(),
        chaos.failures,
        chaos.delays,
        breaker.rejections(),
        counts.breaker_trips,
        lost.get()
    );
    println!(
        "  finding: the last record that it held up was through {:.2} s after the chaos\n",
        (held_until.get().saturating_sub(CHAOS.end)).as_secs_f64()
    );
    Ok(())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for profile in [Profile::Default, Profile::Production] {
        run(profile).await?;
    }
    Ok(())
}
