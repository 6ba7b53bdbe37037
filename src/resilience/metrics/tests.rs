use std::sync::atomic::AtomicBool;

use super::super::classify::classify_code;
use super::super::{BreakerConfig, CircuitBreaker};
use super::*;

const RETRIABLE: i32 = 7;
const TEMPORARY: i32 = 6;
const PERMANENT: i32 = 10;

#[test]
fn errors_are_counted_by_class_and_rates_are_shares() {
    let metrics = ErrorMetrics::new(10);
    for code in [RETRIABLE, TEMPORARY, PERMANENT] {
        metrics.record_error(classify_code(code));
    }
    for _ in 0..9 {
        metrics.record_success();
    }
    metrics.record_retry();
    metrics.record_retry();
    metrics.record_dead_letter();
    let got = metrics.snapshot();
    assert_eq!((got.operations, got.total, got.retriable, got.non_retriable), (12, 3, 2, 1));
    assert_eq!((got.retries, got.dead_letters, got.breaker_trips), (2, 1, 0));
    assert_eq!((got.error_rate, got.retry_rate), (Some(0.25), Some(2.0 / 12.0)));
}

#[test]
fn rates_are_absent_below_the_minimum_sample() {
    let metrics = ErrorMetrics::new(2);
    assert_eq!(ErrorMetrics::new(0).snapshot().error_rate, None);
    metrics.record_error(classify_code(PERMANENT));
    assert_eq!((metrics.snapshot().error_rate, metrics.snapshot().retry_rate), (None, None));
    metrics.record_success();
    assert_eq!((metrics.snapshot().error_rate, metrics.snapshot().retry_rate), (Some(0.5), Some(0.0)));
}

#[test]
fn the_last_error_is_the_latest_whatever_the_order() {
    let metrics = ErrorMetrics::default();
    assert_eq!(metrics.snapshot().last_error, None);
    let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    metrics.record_error_at(classify_code(PERMANENT), at(86_400_500));
    metrics.record_error_at(classify_code(PERMANENT), at(86_400_000));
    assert_eq!(metrics.snapshot().last_error.as_deref(), Some("1970-01-02T00:00:00.500Z"));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_s_outage_is_its_time_from_tripping_to_closing() {
    let metrics = std::sync::Arc::new(ErrorMetrics::default());
    let config = BreakerConfig { max_failures: 1, reset_timeout: Duration::from_secs(2), ..Default::default() };
    let breaker = CircuitBreaker::new("b", config);
    let into = std::sync::Arc::clone(&metrics);
    breaker.on_transition(move |transition| into.record_transition(transition));
    breaker.try_acquire().unwrap().failure();
    tokio::time::advance(Duration::from_secs(2)).await;
    breaker.try_acquire().unwrap().failure();
    tokio::time::advance(Duration::from_secs(2)).await;
    let during = metrics.snapshot();
    assert_eq!((during.down_for, during.recovery_time), (Some(Duration::from_secs(4)), None));
    breaker.try_acquire().unwrap().success();
    let after = metrics.snapshot();
    assert_eq!((after.down_for, after.recovery_time), (None, Some(Duration::from_secs(4))));
    assert_eq!(after.breaker_trips, 1, "opening again after a failed probe is the same outage");
}

#[test]
fn nothing_is_lost_between_threads_and_no_snapshot_has_more_errors_than_operations() {
    const EACH: u64 = 20_000;
    let metrics = ErrorMetrics::new(1);
    let done = AtomicBool::new(false);
    let (metrics, done) = (&metrics, &done);
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) {
                let got = metrics.snapshot();
                assert!(got.total <= got.operations, "{got:?}");
                looks += 1;
            }
            looks
        });
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    for i in 0..EACH {
                        metrics.record_error(classify_code(if i % 2 == 0 { RETRIABLE } else { PERMANENT }));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    assert!(looks > 0);
    let got = metrics.snapshot();
    assert_eq!((got.operations, got.retriable, got.non_retriable), (4 * EACH, 2 * EACH, 2 * EACH));
}

#[test]
fn snapshots_survive_toml() {
    let metrics = ErrorMetrics::new(1);
    metrics.record_error(classify_code(PERMANENT));
    let got = metrics.snapshot();
    let text = toml::to_string(&got).unwrap();
    assert!(text.contains("error-rate = 1.0") && text.contains("down-for = \"none\""), "{text}");
    assert_eq!(toml::from_str::<MetricsSnapshot>(&text).unwrap(), got);
}
