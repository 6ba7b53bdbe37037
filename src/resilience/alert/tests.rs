use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn manager() -> AlertManager {
    AlertManager::new(MonitoringSettings::default())
}

fn rates(total: u64, operations: u64) -> MetricsSnapshot {
    MetricsSnapshot { total, operations, ..Default::default() }
}

/// Kinds, states and severities of what an evaluation returned.
fn brief(alerts: &[Alert]) -> Vec<(AlertKind, AlertStatus, Severity)> {
    alerts.iter().map(|alert| (alert.kind, alert.status, alert.severity)).collect()
}

use AlertKind::{BreakerTrips, DeadLetters, ErrorRate, RecoveryTime};
use AlertStatus::{Firing, Resolved};
use Severity::{Critical, Warning};

#[test]
fn thresholds_are_strict() {
    let fires = |snapshot: MetricsSnapshot| brief(&manager().evaluate(&snapshot, at(0)));
    assert_eq!(fires(rates(50, 1_000)), []);
    assert_eq!(fires(rates(51, 1_000)), [(ErrorRate, Firing, Warning)]);
    assert_eq!(fires(rates(100, 1_000)), [(ErrorRate, Firing, Warning)]);
    assert_eq!(fires(rates(101, 1_000)), [(ErrorRate, Firing, Critical)]);
    let trips = |breaker_trips| MetricsSnapshot { breaker_trips, ..Default::default() };
    assert_eq!(fires(trips(3)), []);
    assert_eq!(fires(trips(4)), [(BreakerTrips, Firing, Warning)]);
    let letters = |dead_letters| MetricsSnapshot { dead_letters, ..Default::default() };
    assert_eq!(fires(letters(100)), []);
    assert_eq!(fires(letters(101)), [(DeadLetters, Firing, Warning)]);
    let recovery =
        |millis| MetricsSnapshot { recovery_time: Some(Duration::from_millis(millis)), ..Default::default() };
    assert_eq!(fires(recovery(30_000)), []);
    assert_eq!(fires(recovery(30_001)), [(RecoveryTime, Firing, Warning)]);
}

#[test]
fn an_alert_says_what_it_was_judged_by() {
    let snapshot = rates(12, 100);
    let alerts = manager().evaluate(&snapshot, at(86_400));
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!(alert.message, "error rate 12.00 % is above 10.00 % (12 of 100)");
    assert_eq!(alert.timestamp, "1970-01-02T00:00:00.000Z");
    assert_eq!(alert.metrics, snapshot);
}

#[test]
fn a_rate_over_few_operations_neither_fires_nor_resolves() {
    let mut manager = manager();
    assert_eq!(brief(&manager.evaluate(&rates(19, 19), at(0))), []);
    assert_eq!(brief(&manager.evaluate(&rates(20, 20), at(1))), [(ErrorRate, Firing, Critical)]);
    // A window later only five operations came.
    assert_eq!(brief(&manager.evaluate(&rates(20, 25), at(100))), []);
    assert_eq!(manager.firing().collect::<Vec<_>>(), [(ErrorRate, Critical)]);
}

#[test]
fn a_firing_alert_is_not_repeated_and_its_end_is_told_once() {
    let mut manager = manager();
    assert_eq!(brief(&manager.evaluate(&rates(20, 100), at(0))), [(ErrorRate, Firing, Critical)]);
    assert_eq!(brief(&manager.evaluate(&rates(40, 200), at(10))), []);
    // From second 0 to 60: 20 errors of 1100 operations.
    assert_eq!(brief(&manager.evaluate(&rates(40, 1_200), at(60))), [(ErrorRate, Resolved, Critical)]);
    assert_eq!(brief(&manager.evaluate(&rates(40, 1_300), at(61))), []);
}

#[test]
fn a_critical_alert_takes_the_place_of_its_warning() {
    let mut manager = manager();
    assert_eq!(brief(&manager.evaluate(&rates(7, 100), at(0))), [(ErrorRate, Firing, Warning)]);
    assert_eq!(brief(&manager.evaluate(&rates(30, 200), at(1))), [(ErrorRate, Firing, Critical)]);
    assert_eq!(manager.firing().count(), 1);
    // Since second 1: 7 of 100.
    assert_eq!(brief(&manager.evaluate(&rates(37, 300), at(61))), [(ErrorRate, Firing, Warning)]);
}

#[test]
fn counts_are_those_of_the_window() {
    let mut manager = manager();
    let trips = |breaker_trips| MetricsSnapshot { breaker_trips, ..Default::default() };
    // Two trips a window for long: never more than three in one.
    for window in 0..50 {
        assert_eq!(brief(&manager.evaluate(&trips(2 * window), at(60 * window))), [], "window {window}");
    }
    let start = 60 * 50;
    assert_eq!(brief(&manager.evaluate(&trips(104), at(start))), [(BreakerTrips, Firing, Warning)]);
    assert_eq!(brief(&manager.evaluate(&trips(104), at(start + 30))), []);
    assert_eq!(brief(&manager.evaluate(&trips(104), at(start + 60))), [(BreakerTrips, Resolved, Warning)]);
}

#[test]
fn an_outage_alerts_while_it_lasts_and_resolves_a_window_after_it_ended() {
    let mut manager = manager();
    let snapshot = |down: Option<u64>, last: Option<u64>| MetricsSnapshot {
        down_for: down.map(Duration::from_secs),
        recovery_time: last.map(Duration::from_secs),
        ..Default::default()
    };
    assert_eq!(brief(&manager.evaluate(&snapshot(Some(30), None), at(30))), []);
    let alerts = manager.evaluate(&snapshot(Some(31), None), at(31));
    assert_eq!(brief(&alerts), [(RecoveryTime, Firing, Warning)]);
    assert_eq!(alerts[0].message, "recovery time 31s is above 30s, still down");
    assert_eq!(brief(&manager.evaluate(&snapshot(None, Some(40)), at(40))), []);
    assert_eq!(brief(&manager.evaluate(&snapshot(None, Some(40)), at(99))), []);
    assert_eq!(brief(&manager.evaluate(&snapshot(None, Some(40)), at(100))), [(RecoveryTime, Resolved, Warning)]);
}

#[test]
fn several_alerts_fire_together() {
    let snapshot = MetricsSnapshot { breaker_trips: 9, dead_letters: 500, ..rates(50, 100) };
    let expected = [(ErrorRate, Firing, Critical), (BreakerTrips, Firing, Warning), (DeadLetters, Firing, Warning)];
    assert_eq!(brief(&manager().evaluate(&snapshot, at(0))), expected);
}

#[test]
fn with_for_a_value_must_stay_above_its_threshold() {
    let settings = MonitoringSettings { fires_after: Duration::from_secs(10), ..Default::default() };
    let mut manager = AlertManager::new(settings);
    assert_eq!(brief(&manager.evaluate(&rates(30, 100), at(0))), []);
    assert_eq!(brief(&manager.evaluate(&rates(60, 200), at(9))), []);
    // From second 0 to 70 it is below: the patience begins anew.
    assert_eq!(brief(&manager.evaluate(&rates(60, 5_000), at(70))), []);
    assert_eq!(brief(&manager.evaluate(&rates(360, 6_000), at(75))), []);
    // Above the warning since second 75, above the critical threshold only since second 80.
    assert_eq!(brief(&manager.evaluate(&rates(1_060, 7_000), at(80))), []);
    assert_eq!(brief(&manager.evaluate(&rates(1_560, 8_000), at(85))), [(ErrorRate, Firing, Warning)]);
    assert_eq!(brief(&manager.evaluate(&rates(2_060, 9_000), at(90))), [(ErrorRate, Firing, Critical)]);
    assert_eq!(brief(&manager.evaluate(&rates(2_060, 99_000), at(91))), [(ErrorRate, Resolved, Critical)]);
}

#[tokio::test(start_paused = true)]
async fn watching_passes_on_what_is_new_and_tells_the_metrics() {
    let metrics = ErrorMetrics::default();
    let (cancel, seen) = (CancellationToken::new(), std::cell::RefCell::new(Vec::new()));
    let watch = manager().watch(&metrics, Duration::from_secs(1), cancel.clone(), |alert| {
        seen.borrow_mut().push(alert);
    });
    let load = async {
        (0..200).for_each(|_| metrics.record_error(super::super::classify::classify_code(7)));
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert_eq!(metrics.firing(), [(ErrorRate, Critical)]);
        cancel.cancel();
    };
    tokio::join!(watch, load);
    assert_eq!(brief(&seen.borrow()), [(ErrorRate, Firing, Critical)]);
}
