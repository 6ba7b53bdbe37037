//! The file's tables, key by key: names, types and defaults. What the values mean together is not decided here but
//! in `validate`.
//!
//! Every default of the scenario format stands in this file or in `raw/fault.rs`, and nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::{Document, Value};
use super::format;
use super::reader::{Field, Fields, Sink};
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{
    BackendKind, BudgetPlan, ClusterPlan, DeadLetterEffect, ExpectPlan, FaultKind, FaultPlan, Isolation, Limit,
    ObservationPlan, Plan, ProducerKind, Progress, ProgressOf, Since, TopicPlan, WorkloadPlan,
};
use crate::resilience::alert::AlertKind;
use crate::resilience::classify::Class;

mod fault;
pub(super) mod protocol;
mod subject;

pub use fault::KINDS as FAULT_KINDS;
pub(super) use fault::{TARGET_KEYS, TARGET_WORDS};

pub(super) use subject::FOREIGN_KEYS;

/// Profiles of the resilience components' settings.
pub const PROFILES: [&str; 4] = ["development", "staging", "production", "default"];

/// States of a circuit breaker, as `[expect] breaker` names them.
pub const BREAKER_STATES: [&str; 5] = ["closed", "open", "half-open", "forced-open", "disabled"];

/// What an alert of the components may be about, as `[expect] alerts` names it.
pub const ALERT_KINDS: [&str; 4] = [
    AlertKind::ErrorRate.as_str(),
    AlertKind::BreakerTrips.as_str(),
    AlertKind::DeadLetters.as_str(),
    AlertKind::RecoveryTime.as_str(),
];

/// Classes of errors, as `[expect] dead-letter-errors` names them.
pub const ERROR_CLASSES: [&str; 3] =
    [Class::Retriable.as_str(), Class::Temporary.as_str(), Class::NonRetriable.as_str()];

/// A plan as read, and for each of its faults its number in the file: one that could not be read is left out.
pub(super) struct Draft {
    pub plan: Plan,
    pub fault_numbers: Vec<usize>,
}

/// Reads the whole document.
pub(super) fn read(document: &Document, sink: &Sink) -> Draft {
    let root = Fields::root(document, sink, &format::ROOT);
    let name = root.require("name", "name = \"the-files-stem\"").and_then(|f| f.text()).unwrap_or_default();
    let mut cluster = cluster(&root);
    let topic = topic(&root, &cluster);
    let budget = budget(&root);
    let (faults, fault_numbers) = fault::read(&root);
    let forbids =
        |fault: &FaultPlan| matches!(fault.kind, FaultKind::DeadLetterTopic { effect: DeadLetterEffect::Forbidden });
    if faults.iter().any(forbids) {
        // Brokers forbid nothing without one. It stands in the plan as if it were in the file.
        let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        cluster.config.entry("authorizer.class.name".to_owned()).or_insert_with(|| authorizer.to_owned());
    }
    let plan = Plan {
        name,
        summary: text_or(&root, "summary", ""),
        tags: texts(&root, "tags"),
        requires: requires(&root),
        workload: workload(&root),
        subject: subject::read(&root),
        observation: observation(&root, &budget),
        expect: expect(&root),
        cluster,
        topic,
        budget,
        faults,
    };
    Draft { plan, fault_numbers }
}

fn requires(root: &Fields) -> Vec<BackendKind> {
    const WORDS: [(&str, BackendKind); 3] = [
        ("containers", BackendKind::Containers),
        ("embedded", BackendKind::Embedded),
        ("external", BackendKind::External),
    ];
    root.get("requires").map_or_else(Vec::new, |f| f.items().iter().filter_map(|item| item.word(&WORDS)).collect())
}

fn cluster(root: &Fields) -> ClusterPlan {
    let table = root.table("cluster", &format::CLUSTER);
    const ISOLATION: [(&str, Isolation); 2] = [("shared", Isolation::Shared), ("fresh", Isolation::Fresh)];
    ClusterPlan {
        brokers: table.get("brokers").and_then(|f| f.count(99)).unwrap_or(3),
        kafka: text_or(&table, "kafka", crate::plan::DEFAULT_KAFKA),
        isolation: table.get("isolation").and_then(|f| f.word(&ISOLATION)).unwrap_or(Isolation::Shared),
        image: table.get("image").and_then(|f| f.text()),
        config: properties(&table, "config"),
    }
}

fn topic(root: &Fields, cluster: &ClusterPlan) -> TopicPlan {
    let table = root.table("topic", &format::TOPIC);
    let number = |key| table.get(key).and_then(|f| f.count(10_000)).map(|number| number as i32);
    let replication = number("replication").unwrap_or(cluster.brokers.min(3) as i32);
    TopicPlan {
        name: text_or(&table, "name", "orders"),
        partitions: number("partitions").unwrap_or(6),
        replication,
        min_insync_replicas: number("min-insync-replicas").unwrap_or(if replication < 3 { 1 } else { 2 }),
    }
}

fn workload(root: &Fields) -> WorkloadPlan {
    let table = root.table("workload", &format::WORKLOAD);
    const PRODUCERS: [(&str, ProducerKind); 3] =
        [("resilient", ProducerKind::Resilient), ("plain", ProducerKind::Plain), ("stock", ProducerKind::Stock)];
    let size = table.get("size").and_then(|f| {
        let size = f.size()?;
        // A record travels in one request; the broker's own limit is for `cluster.config` to raise.
        if size == 0 || size > 512 << 20 {
            let message = format!("a record of {size} bytes cannot be sent");
            f.report(Diagnostic::error(codes::NUMBER_OUT_OF_RANGE, message).label("expected 1B to 512MiB"));
            return None;
        }
        usize::try_from(size).ok()
    });
    WorkloadPlan {
        rate: table.get("rate").and_then(|f| f.count(10_000_000)).unwrap_or(500),
        keys: table.get("keys").and_then(|f| f.count(100_000_000)).unwrap_or(64),
        size: size.unwrap_or(256),
        poison: table.get("poison").and_then(|f| f.share()).unwrap_or(0.0),
        producer: table.get("producer").and_then(|f| f.word(&PRODUCERS)).unwrap_or(ProducerKind::Resilient),
        warm_up: table.get("warm-up").and_then(|f| f.duration()).unwrap_or(Duration::from_secs(3)),
        baseline: table.get("baseline").and_then(|f| f.some_duration()).unwrap_or(Duration::from_secs(10)),
    }
}

const SINCE: [(&str, Since); 2] = [("inject", Since::Inject), ("heal", Since::Heal)];

fn budget(root: &Fields) -> BudgetPlan {
    let table = root.table("budget", &format::BUDGET);
    let count = |key| table.get(key).and_then(|f| f.tally());
    let limit = |key| table.get(key).and_then(|f| limit(&f));
    BudgetPlan {
        lost: count("lost").unwrap_or(0),
        because: table.get("because").and_then(|f| f.text()),
        duplicates: count("duplicates"),
        redelivered: count("redelivered"),
        reordered: count("reordered"),
        dead_lettered: count("dead-lettered"),
        recovery: limit("recovery"),
        first_success: limit("first-success"),
        outage: limit("outage"),
        drain: limit("drain"),
        detect: limit("detect"),
        progress_during_fault: table.get("progress-during-fault").and_then(|f| progress(&f)),
    }
}

/// `"2s"`, or `{ within = "2s", since = "heal" }`.
fn limit(field: &Field) -> Option<Limit> {
    if !matches!(field.node.value, Value::Table(_)) {
        return field.duration().map(|within| Limit { within, since: None });
    }
    let table = field.table(&format::LIMIT)?;
    let within = table.require("within", "within = \"2s\"")?.duration();
    let since = table.get("since").map(|f| f.word(&SINCE));
    Some(Limit { within: within?, since: since.flatten() })
}

/// `100`, or `{ records = 100, of = "any" }`.
fn progress(field: &Field) -> Option<Progress> {
    const WHICH: [(&str, ProgressOf); 2] = [("all", ProgressOf::All), ("any", ProgressOf::Any)];
    if !matches!(field.node.value, Value::Table(_)) {
        return field.tally().map(|records| Progress { records, of: ProgressOf::All });
    }
    let table = field.table(&format::PROGRESS)?;
    let records = table.require("records", "records = 100")?.tally();
    let of = table.get("of").map(|f| f.word(&WHICH));
    Some(Progress { records: records?, of: of.flatten().unwrap_or_default() })
}

fn expect(root: &Fields) -> ExpectPlan {
    let table = root.table("expect", &format::EXPECT);
    ExpectPlan {
        breaker: words(&table, "breaker", BREAKER_STATES),
        alerts: words(&table, "alerts", ALERT_KINDS),
        alerts_resolved: words(&table, "alerts-resolved", ALERT_KINDS),
        retries: table.get("retries").and_then(|f| f.tally()),
        dead_letters: table.get("dead-letters").and_then(|f| f.tally()),
        dead_letter_errors: words(&table, "dead-letter-errors", ERROR_CLASSES),
        signals: counts(&table, "signals"),
    }
}

fn counts(table: &Fields, key: &str) -> BTreeMap<String, u64> {
    let named = table.get(key).map_or_else(Vec::new, |field| field.named());
    named.into_iter().filter_map(|(name, inner)| Some((name.to_owned(), inner.tally()?))).collect()
}

fn words<const N: usize>(table: &Fields, key: &str, known: [&'static str; N]) -> Vec<String> {
    let known = known.map(|name| (name, name));
    table
        .get(key)
        .map_or_else(Vec::new, |f| f.items().iter().filter_map(|item| item.word(&known)).map(str::to_owned).collect())
}

fn observation(root: &Fields, budget: &BudgetPlan) -> ObservationPlan {
    let table = root.table("observation", &format::OBSERVATION);
    let seconds = |key, default| table.get(key).and_then(|f| f.some_duration()).unwrap_or(Duration::from_secs(default));
    let hold = seconds("hold", 3);
    let least = least_observation(budget, hold).unwrap_or(Duration::from_secs(5));
    ObservationPlan {
        window: seconds("window", 1),
        hold,
        after: table.get("after").and_then(|f| f.some_duration()).unwrap_or(least),
        quiesce: seconds("quiesce", 60),
        final_read: seconds("final-read", 30),
        on_time: table.get("on-time").and_then(|f| f.some_duration()).unwrap_or(Duration::from_millis(50)),
    }
}

/// How long the load must go on after the last fault's zero for the recovery budget to be judged.
pub(super) fn least_observation(budget: &BudgetPlan, hold: Duration) -> Option<Duration> {
    budget.recovery.map(|limit| (limit.within * 2).max(limit.within + hold))
}

fn text_or(table: &Fields, key: &str, default: &str) -> String {
    table.get(key).and_then(|f| f.text()).unwrap_or_else(|| default.to_owned())
}

fn texts(table: &Fields, key: &str) -> Vec<String> {
    table.get(key).map_or_else(Vec::new, |f| f.items().iter().filter_map(Field::text).collect())
}

/// A table of verbatim properties. TOML makes a table of an unquoted `a.b = 1`; here it is the property "a.b" again.
fn properties(table: &Fields, key: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    if let Some(field) = table.get(key) {
        flatten(&field, "", &mut properties);
    }
    properties
}

fn flatten(field: &Field, prefix: &str, properties: &mut BTreeMap<String, String>) {
    for (key, inner) in field.named() {
        let name = format!("{prefix}{key}");
        if matches!(inner.node.value, Value::Table(_)) {
            flatten(&inner, &format!("{name}."), properties);
        } else if let Some(text) = inner.flag_or_number_or_text() {
            properties.insert(name, text);
        }
    }
}
