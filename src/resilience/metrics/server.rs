//! The metrics on an HTTP endpoint: `/metrics` for Prometheus, `/healthz` and `/readyz` for an orchestrator.
//!
//! It owns the wire and must not know what the numbers mean. With the feature `metrics-server`. Who has an HTTP server of
//! their own registers an [`Exposition`] in their own `prometheus_client` registry instead.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ErrorMetrics;
use super::definitions::{
    ALERTS, ATTEMPTS, BREAKER_TRIPS, CONSUMED, DEAD_LETTERS, DOWN, DURATION_BOUNDS, Definition, ERROR_RATIO, ERRORS,
    Kind, LAST_ERROR, PROCESS_DURATION, RECOVERY_TIME, RETRIES, RETRY_RATIO, SENT,
};

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a client may take to send its request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The endpoint.
///
/// ```no_run
/// # async fn serve() -> std::io::Result<()> {
/// use std::sync::Arc;
/// use seaworthy::resilience::ErrorMetrics;
/// use seaworthy::resilience::metrics::server::MetricsServer;
///
/// let metrics = Arc::new(ErrorMetrics::default());
/// let shutdown = tokio_util::sync::CancellationToken::new();
/// let (address, task) = MetricsServer::new(Arc::clone(&metrics))
///     .label("messaging_consumer_group_name", "billing")
///     .ready_while_up()
///     .serve("127.0.0.1:9464".parse().unwrap(), shutdown)
///     .await?;
/// # drop((address, task)); Ok(()) }
/// ```
#[must_use]
pub struct MetricsServer {
    metrics: Arc<ErrorMetrics>,
    labels: Vec<(String, String)>,
    live: Check,
    ready: Check,
}

impl fmt::Debug for MetricsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsServer").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl MetricsServer {
    /// Serves these metrics, each with the label `messaging_system="kafka"`; alive and ready unless told otherwise.
    pub fn new(metrics: Arc<ErrorMetrics>) -> Self {
        let labels = vec![("messaging_system".into(), "kafka".into())];
        Self { metrics, labels, live: Arc::new(|| Ok(())), ready: Arc::new(|| Ok(())) }
    }

    /// A label on every number.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// What `/healthz` answers: 200, or 503 with the reason, upon which an orchestrator restarts the process. Asked for
    /// each request; must not block.
    pub fn live(mut self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.live = Arc::new(check);
        self
    }

    /// What `/readyz` answers: 200, or 503 with the reason. Asked for each request; must not block.
    pub fn ready(mut self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Arc::new(check);
        self
    }

    /// Ready unless an outage is under way: a breaker tripped and has not closed since.
    pub fn ready_while_up(self) -> Self {
        let metrics = Arc::clone(&self.metrics);
        self.ready(move || match metrics.snapshot().down_for {
            None => Ok(()),
            Some(down) => Err(format!("down for {:.1} s", down.as_secs_f64())),
        })
    }

    /// Begins to serve on the current tokio runtime, until `shutdown` is cancelled. Returns the address (for port 0) and
    /// the task.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn serve(
        self,
        address: SocketAddr,
        shutdown: CancellationToken,
    ) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let labels = self.labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        let mut registry = Registry::with_labels(labels);
        registry.register_collector(Box::new(Exposition(self.metrics)));
        let endpoint = Arc::new(Endpoint { registry, live: self.live, ready: self.ready });
        Ok((address, tokio::spawn(accept(listener, endpoint, shutdown))))
    }
}

struct Endpoint {
    registry: Registry,
    live: Check,
    ready: Check,
}

async fn accept(listener: TcpListener, endpoint: Arc<Endpoint>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Out of file descriptors, or the peer is gone already: neither ends an endpoint.
            Err(error) => {
                tracing::warn!(%error, "the metrics endpoint could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (endpoint, shutdown) = (Arc::clone(&endpoint), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = endpoint.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            let connection = builder
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = shutdown.cancelled() => {}
                // A client that leaves in mid-way is its own affair.
                _ = connection => {}
            }
        });
    }
}

impl Endpoint {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut body = String::new();
                match text::encode(&mut body, &self.registry) {
                    Ok(()) => respond(StatusCode::OK, OPEN_METRICS, body),
                    Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
                }
            }
            "/healthz" => checked(&self.live),
            "/readyz" => checked(&self.ready),
            _ => respond(StatusCode::NOT_FOUND, TEXT, "/metrics, /healthz and /readyz are here\n".into()),
        }
    }
}

fn checked(check: &Check) -> Response<Full<Bytes>> {
    match check() {
        Ok(()) => respond(StatusCode::OK, TEXT, "ok\n".into()),
        Err(reason) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
    }
}

fn respond(status: StatusCode, content: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

/// The metrics as a collector for a `prometheus_client` registry. What is unknown is absent.
#[derive(Debug)]
pub struct Exposition(pub Arc<ErrorMetrics>);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        let last_error = self.0.last_error().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        for (definition, value) in [
            (ATTEMPTS, now.operations),
            (RETRIES, now.retries),
            (BREAKER_TRIPS, now.breaker_trips),
            (DEAD_LETTERS, now.dead_letters),
            (CONSUMED, now.consumed),
            (SENT, now.sent),
        ] {
            encode(&mut encoder, &definition, &ConstCounter::new(value))?;
        }
        let by_class = |class, value| (vec![("class", class)], ConstCounter::new(value));
        let classes = [by_class("retriable", now.retriable), by_class("non-retriable", now.non_retriable)];
        encode_family(&mut encoder, &ERRORS, &classes)?;
        for (definition, value) in [
            (ERROR_RATIO, now.error_rate),
            (RETRY_RATIO, now.retry_rate),
            (DOWN, seconds(now.down_for)),
            (RECOVERY_TIME, seconds(now.recovery_time)),
            (LAST_ERROR, seconds(last_error)),
        ] {
            if let Some(value) = value {
                encode(&mut encoder, &definition, &ConstGauge::new(value))?;
            }
        }
        let firing = self.0.firing();
        let alerts: Vec<_> = firing
            .iter()
            .map(|(kind, severity)| {
                (vec![("alert", kind.as_str()), ("severity", severity.as_str())], ConstGauge::new(1_i64))
            })
            .collect();
        encode_family(&mut encoder, &ALERTS, &alerts)?;
        let (counts, sum) = self.0.durations();
        let mut encoder = descriptor(&mut encoder, &PROCESS_DURATION)?;
        let bounds = DURATION_BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }
}

static SECONDS: Unit = Unit::Seconds;

/// The library adds the unit and `_total` itself.
fn descriptor<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    definition: &Definition,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let (unit, suffix) = match definition.unit {
        Some("seconds") => (Some(&SECONDS), "_seconds"),
        // Its name for shares would be `_ratios`.
        _ => (None, ""),
    };
    let kind = match definition.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let name = definition.name.strip_suffix("_total").unwrap_or(definition.name);
    let name = name.strip_suffix(suffix).unwrap_or(name);
    encoder.encode_descriptor(name, definition.help, unit, kind)
}

fn encode(encoder: &mut DescriptorEncoder<'_>, definition: &Definition, metric: &impl EncodeMetric) -> fmt::Result {
    metric.encode(descriptor(encoder, definition)?)
}

/// One name with several sets of labels; nothing at all without any.
fn encode_family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    definition: &Definition,
    members: &[(Vec<(&str, &str)>, M)],
) -> fmt::Result {
    if members.is_empty() {
        return Ok(());
    }
    let mut encoder = descriptor(encoder, definition)?;
    for (labels, metric) in members {
        metric.encode(encoder.encode_family(labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
