use std::io::{Read, Write};

use super::super::definitions::ALL;
use super::*;
use crate::resilience::alert::{AlertKind, Severity};
use crate::resilience::classify::classify_code;

/// Status and body of a request over a real socket.
async fn get(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn everything() -> Arc<ErrorMetrics> {
    let metrics = Arc::new(ErrorMetrics::new(2));
    metrics.record_error(classify_code(7));
    metrics.record_error(classify_code(10));
    (0..6).for_each(|_| metrics.record_success());
    metrics.record_retry();
    metrics.record_dead_letter();
    metrics.record_consumed();
    metrics.record_sent();
    metrics.record_duration(Duration::from_millis(30));
    metrics.record_duration(Duration::from_secs(60));
    metrics.record_firing([(AlertKind::ErrorRate, Severity::Critical)]);
    let now = tokio::time::Instant::now();
    metrics.record_down(now);
    metrics.record_recovered(now + Duration::from_millis(1_500));
    metrics.record_breaker_trip();
    metrics.record_down(now);
    metrics
}

#[tokio::test]
async fn the_endpoint_has_every_defined_number_and_no_other() {
    let shutdown = CancellationToken::new();
    let server = MetricsServer::new(everything()).label("messaging_consumer_group_name", "billing");
    let (address, task) = server.serve("127.0.0.1:0".parse().unwrap(), shutdown.clone()).await.unwrap();
    let (status, body) = get(address, "GET", "/metrics").await;
    assert_eq!(status, 200);
    for definition in ALL {
        let family = definition.name.trim_end_matches("_total");
        assert!(body.contains(&format!("# TYPE {family} ")), "{family} is missing:\n{body}");
        assert!(body.contains(&format!("# HELP {family} {}", definition.help)), "{family}:\n{body}");
    }
    assert_eq!(body.matches("# TYPE ").count(), ALL.len(), "{body}");
    let labels = "messaging_system=\"kafka\",messaging_consumer_group_name=\"billing\"";
    for line in [
        format!("resilience_attempts_total{{{labels}}} 8\n"),
        format!("resilience_errors_total{{{labels},class=\"retriable\"}} 1\n"),
        format!("resilience_error_ratio{{{labels}}} 0.25\n"),
        format!("resilience_retry_ratio{{{labels}}} 0.125\n"),
        format!("resilience_recovery_time_seconds{{{labels}}} 1.5\n"),
        format!("resilience_alerts_firing{{{labels},alert=\"error-rate\",severity=\"critical\"}} 1\n"),
        format!("messaging_process_duration_seconds_bucket{{{labels},le=\"0.05\"}} 1\n"),
        format!("messaging_process_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2\n"),
        format!("messaging_process_duration_seconds_count{{{labels}}} 2\n"),
    ] {
        assert!(body.contains(&line), "{line}is not in:\n{body}");
    }
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(get(address, "GET", "/nothing").await.0, 404);
    assert_eq!(get(address, "POST", "/metrics").await.0, 405);
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_not_known_is_absent_and_not_zero() {
    let server = MetricsServer::new(Arc::new(ErrorMetrics::new(20)));
    let (address, _) = server.serve("127.0.0.1:0".parse().unwrap(), CancellationToken::new()).await.unwrap();
    let (_, body) = get(address, "GET", "/metrics").await;
    for absent in ["error_ratio", "retry_ratio", "recovery_time", "down_seconds", "last_error", "alerts_firing"] {
        assert!(!body.contains(absent), "{absent}:\n{body}");
    }
    assert!(body.contains("resilience_attempts_total{messaging_system=\"kafka\"} 0\n"), "{body}");
}

#[tokio::test]
async fn readiness_follows_the_outage_and_life_does_not() {
    let metrics = Arc::new(ErrorMetrics::default());
    let server = MetricsServer::new(Arc::clone(&metrics)).ready_while_up();
    let (address, _) = server.serve("127.0.0.1:0".parse().unwrap(), CancellationToken::new()).await.unwrap();
    assert_eq!(get(address, "GET", "/readyz").await, (200, "ok\n".into()));
    let now = tokio::time::Instant::now();
    metrics.record_down(now);
    let (status, reason) = get(address, "GET", "/readyz").await;
    assert!(status == 503 && reason.starts_with("down for "), "{status} {reason}");
    assert_eq!(get(address, "GET", "/healthz").await, (200, "ok\n".into()));
    metrics.record_recovered(now);
    assert_eq!(get(address, "GET", "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_failed_life_check_says_why() {
    let server = MetricsServer::new(Arc::new(ErrorMetrics::default())).live(|| Err("the consumer is gone".into()));
    let (address, _) = server.serve("127.0.0.1:0".parse().unwrap(), CancellationToken::new()).await.unwrap();
    assert_eq!(get(address, "GET", "/healthz").await, (503, "the consumer is gone\n".into()));
}
