//! What each number is called outside. One table: the endpoint, the dashboard and the alert rules follow from it.
//!
//! Names are Prometheus': with the unit, shares as `_ratio` from 0 to 1, counters with `_total`. Where OpenTelemetry's
//! conventions for messaging have a name, it is that one in Prometheus' spelling.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// Rises and falls; absent while unknown.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// Prometheus' name, complete.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The unit at the end of its name (before `_total`), if it has one.
    pub unit: Option<&'static str>,
    /// One sentence.
    pub help: &'static str,
    /// OpenTelemetry's name, where it has one.
    pub open_telemetry: Option<&'static str>,
    /// How the dashboard shows it.
    pub panel: Panel,
}

/// A panel of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What is drawn, with `$window` for the time that rates look at.
    pub expr: &'static str,
    /// A line's name, with labels in braces.
    pub legend: &'static str,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// The threshold of an alert that belongs on it.
    pub threshold: Option<Threshold>,
}

/// Which of the monitoring settings a panel shows as lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Warning and critical error rate.
    ErrorRate,
    /// Breaker trips in the window.
    BreakerTrips,
    /// Dead letters in the window.
    DeadLetters,
    /// Recovery time.
    RecoveryTime,
}

/// Upper bounds of the histogram of handling durations, in seconds: those that OpenTelemetry advises for
/// `messaging.process.duration`.
pub const DURATION_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const fn panel(title: &'static str, expr: &'static str, legend: &'static str, unit: &'static str) -> Panel {
    Panel { title, expr, legend, unit, threshold: None }
}

const fn with(panel: Panel, threshold: Threshold) -> Panel {
    Panel { threshold: Some(threshold), ..panel }
}

/// Attempts that ended.
pub const ATTEMPTS: Definition = Definition {
    name: "resilience_attempts_total",
    kind: Kind::Counter,
    unit: None,
    help: "Attempts that ended, well or badly: calls of the handler, and sends that were given up",
    open_telemetry: None,
    panel: panel("Attempts", "sum(rate(resilience_attempts_total[$window]))", "attempts", "ops"),
};

/// Failed attempts by class.
pub const ERRORS: Definition = Definition {
    name: "resilience_errors_total",
    kind: Kind::Counter,
    unit: None,
    help: "Attempts that failed, by class: retriable (temporary ones included) or non-retriable",
    open_telemetry: None,
    panel: panel("Errors by class", "sum by (class) (rate(resilience_errors_total[$window]))", "{{class}}", "ops"),
};

/// The failed share of attempts since the start.
pub const ERROR_RATIO: Definition = Definition {
    name: "resilience_error_ratio",
    kind: Kind::Gauge,
    unit: Some("ratio"),
    help: "Failed share of all attempts since the start, 0 to 1; absent below the minimum sample",
    open_telemetry: None,
    panel: with(
        panel(
            "Error rate",
            "sum(rate(resilience_errors_total[$window])) / sum(rate(resilience_attempts_total[$window]))",
            "error rate",
            "percentunit",
        ),
        Threshold::ErrorRate,
    ),
};

/// Attempts that repeated another.
pub const RETRIES: Definition = Definition {
    name: "resilience_retries_total",
    kind: Kind::Counter,
    unit: None,
    help: "Attempts that repeated another",
    open_telemetry: None,
    panel: panel("Retries", "sum(rate(resilience_retries_total[$window]))", "retries", "ops"),
};

/// The share of attempts that were retries since the start.
pub const RETRY_RATIO: Definition = Definition {
    name: "resilience_retry_ratio",
    kind: Kind::Gauge,
    unit: Some("ratio"),
    help: "Share of all attempts since the start that repeated another, 0 to 1; absent below the minimum sample",
    open_telemetry: None,
    panel: panel(
        "Retry rate",
        "sum(rate(resilience_retries_total[$window])) / sum(rate(resilience_attempts_total[$window]))",
        "retry rate",
        "percentunit",
    ),
};

/// Times a breaker tripped.
pub const BREAKER_TRIPS: Definition = Definition {
    name: "resilience_breaker_trips_total",
    kind: Kind::Counter,
    unit: None,
    help: "Times a circuit breaker went from closed to open",
    open_telemetry: None,
    panel: with(
        panel("Circuit breaker trips", "sum(increase(resilience_breaker_trips_total[$window]))", "trips", "short"),
        Threshold::BreakerTrips,
    ),
};

/// Records in the dead-letter topic.
pub const DEAD_LETTERS: Definition = Definition {
    name: "resilience_dead_letters_total",
    kind: Kind::Counter,
    unit: None,
    help: "Records that arrived in the dead-letter topic",
    open_telemetry: None,
    panel: with(
        panel("Dead letters", "sum(increase(resilience_dead_letters_total[$window]))", "dead letters", "short"),
        Threshold::DeadLetters,
    ),
};

/// Whether an outage is under way.
pub const DOWN: Definition = Definition {
    name: "resilience_down_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "How long the present outage has lasted; absent while there is none",
    open_telemetry: None,
    panel: with(
        panel("Down for", "max by (instance) (resilience_down_seconds)", "{{instance}}", "s"),
        Threshold::RecoveryTime,
    ),
};

/// How long the last outage lasted.
pub const RECOVERY_TIME: Definition = Definition {
    name: "resilience_recovery_time_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "How long the last outage lasted, from down to recovered; absent before the first",
    open_telemetry: None,
    panel: with(
        panel(
            "Recovery time of the last outage",
            "max by (instance) (resilience_recovery_time_seconds)",
            "{{instance}}",
            "s",
        ),
        Threshold::RecoveryTime,
    ),
};

/// When the last error was.
pub const LAST_ERROR: Definition = Definition {
    name: "resilience_last_error_timestamp_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "When the last attempt failed, seconds since the epoch; absent before the first",
    open_telemetry: None,
    panel: panel(
        "Since the last error",
        "time() - max by (instance) (resilience_last_error_timestamp_seconds)",
        "{{instance}}",
        "s",
    ),
};

/// Alerts that the application itself fires.
pub const ALERTS: Definition = Definition {
    name: "resilience_alerts_firing",
    kind: Kind::Gauge,
    unit: None,
    help: "1 for each alert of the application's own that is firing, by alert and severity",
    open_telemetry: None,
    panel: panel(
        "Alerts firing in the application",
        "max by (alert, severity) (resilience_alerts_firing)",
        "{{alert}} ({{severity}})",
        "short",
    ),
};

/// Records given to the handler.
pub const CONSUMED: Definition = Definition {
    name: "messaging_client_consumed_messages_total",
    kind: Kind::Counter,
    unit: None,
    help: "Records given to the handler for the first time by an assignment",
    open_telemetry: Some("messaging.client.consumed.messages"),
    panel: panel("Consumed", "sum(rate(messaging_client_consumed_messages_total[$window]))", "consumed", "ops"),
};

/// Records acknowledged by a broker.
pub const SENT: Definition = Definition {
    name: "messaging_client_sent_messages_total",
    kind: Kind::Counter,
    unit: None,
    help: "Records acknowledged by a broker",
    open_telemetry: Some("messaging.client.sent.messages"),
    panel: panel("Sent", "sum(rate(messaging_client_sent_messages_total[$window]))", "sent", "ops"),
};

/// How long handling takes.
pub const PROCESS_DURATION: Definition = Definition {
    name: "messaging_process_duration_seconds",
    kind: Kind::Histogram,
    unit: Some("seconds"),
    help: "How long one attempt at handling a record took",
    open_telemetry: Some("messaging.process.duration"),
    panel: panel(
        "Handling duration, 99th percentile",
        "histogram_quantile(0.99, sum by (le) (rate(messaging_process_duration_seconds_bucket[$window])))",
        "p99",
        "s",
    ),
};

/// All of them, in the dashboard's order: the lesson's key metrics first.
pub const ALL: &[Definition] = &[
    ERROR_RATIO,
    RETRY_RATIO,
    BREAKER_TRIPS,
    DEAD_LETTERS,
    DOWN,
    RECOVERY_TIME,
    ERRORS,
    ATTEMPTS,
    RETRIES,
    CONSUMED,
    SENT,
    PROCESS_DURATION,
    LAST_ERROR,
    ALERTS,
];
