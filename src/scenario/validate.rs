//! What the values mean together. Each rule looks at the resolved plan and takes the place from the document; it
//! keeps quiet about what rests on a value that was already refused.
//!
//! Here: names, cluster, topic, workload, subject. Faults and budgets have files of their own.

use super::document::Document;
use super::raw::Draft;
use super::reader::Sink;
use super::values;
use crate::diagnostic::{Diagnostic, Source, codes, nearest};
use crate::plan::{FaultPlan, Plan, SubjectKind};
use crate::resilience::Settings;
use crate::resilience::client::{PropertyMistake, check_property, known_properties};
use crate::resilience::settings::SettingsError;

mod budget;
mod fault;
mod subject;

/// Properties by which traffic finds its way through the proxies.
const RESERVED_BROKER: [&str; 13] = [
    "advertised.listeners",
    "broker.id",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
];
const RESERVED_CLIENT: [&str; 3] = ["bootstrap.servers", "group.id", "metadata.broker.list"];

/// Below this many records in a window one slow record decides about health.
const THIN: f64 = 5.0;

/// Reports everything that is wrong with a plan whose values are each right by themselves.
pub(super) fn validate(draft: &Draft, document: &Document, source: &Source, sink: &Sink) {
    let rules = Rules { plan: &draft.plan, numbers: &draft.fault_numbers, document, sink };
    rules.names(source);
    rules.cluster();
    rules.topic();
    rules.workload();
    subject::check(&rules);
    rules.properties();
    fault::check(&rules);
    budget::check(&rules);
}

/// Which side of a property a mistake is on.
#[derive(Clone, Copy)]
enum At {
    Name,
    Value,
}

/// What every rule needs.
pub(super) struct Rules<'a> {
    pub plan: &'a Plan,
    numbers: &'a [usize],
    document: &'a Document,
    sink: &'a Sink,
}

impl Rules<'_> {
    /// Reports at a dotted path's value.
    pub fn report(&self, path: &str, diagnostic: Diagnostic) {
        self.sink.report(path, &self.place(path), diagnostic);
    }

    pub fn place(&self, path: &str) -> super::document::Place {
        self.document.place(&path.split('.').collect::<Vec<_>>())
    }

    /// Is there a value at this path in the file or the overrides?
    pub fn given(&self, path: &str) -> bool {
        self.document.has(&path.split('.').collect::<Vec<_>>())
    }

    pub fn trusts(&self, paths: &[&str]) -> bool {
        self.sink.trusts(paths)
    }

    /// The path of a fault's table.
    pub fn fault_path(&self, index: usize) -> String {
        format!("fault.{}", self.numbers.get(index).copied().unwrap_or(index))
    }

    /// The path of a fault's kind.
    pub fn kind_path(&self, index: usize, fault: &FaultPlan) -> String {
        format!("{}.{}", self.fault_path(index), fault.kind.name())
    }

    /// The first of these paths below `base` that exists, else `base`.
    pub fn first_given(&self, base: &str, below: &[&str]) -> String {
        below.iter().map(|p| format!("{base}.{p}")).find(|path| self.given(path)).unwrap_or_else(|| base.to_owned())
    }

    fn names(&self, source: &Source) {
        let plan = self.plan;
        let stem = source.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if self.trusts(&["name"]) {
            let kebab = values::to_kebab_case(&plan.name);
            if !values::is_kebab_case(&plan.name) {
                let mut diagnostic =
                    Diagnostic::error(codes::NOT_KEBAB_CASE, format!("the name `{}` is not kebab-case", plan.name))
                        .label("expected lower-case letters, digits and hyphens");
                if !kebab.is_empty() {
                    diagnostic = diagnostic.help(format!("write `name = \"{kebab}\"` and call the file {kebab}.toml"));
                }
                self.report("name", diagnostic);
            } else if plan.name != stem {
                let file = source.path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
                let message = format!("the scenario is called `{}`, its file {file}", plan.name);
                self.report(
                    "name",
                    Diagnostic::error(codes::NAME_NOT_FILE_STEM, message)
                        .label(format!("expected \"{stem}\", the file's stem"))
                        .help(format!("rename the file to {}.toml, or change the name", plan.name)),
                );
            }
        }
        let topic = &plan.topic.name;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fine = (1..=245).contains(&topic.len()) && topic.chars().all(legal) && topic != "." && topic != "..";
        if self.trusts(&["topic.name"]) && !fine {
            self.report(
                "topic.name",
                Diagnostic::error(codes::BAD_TOPIC_NAME, "Kafka has no topics of this name")
                    .label("expected 1 to 245 letters, digits, '.', '_' or '-'"),
            );
        }
    }

    fn cluster(&self) {
        let version = &self.plan.cluster.kafka;
        if self.trusts(&["cluster.kafka"]) && !is_version(version) {
            self.report(
                "cluster.kafka",
                Diagnostic::error(codes::BAD_VERSION, format!("`{version}` is not an exact version of Kafka"))
                    .label("expected a version such as \"4.1.0\"")
                    .help("for another image give its full name: image = \"registry/name:tag\""),
            );
        }
    }

    fn topic(&self) {
        let (topic, brokers) = (&self.plan.topic, self.plan.cluster.brokers);
        let known = self.trusts(&["topic.replication", "cluster.brokers"]);
        if known && i64::from(topic.replication) > i64::from(brokers) {
            let message = format!("{} replicas on {brokers} brokers", topic.replication);
            let diagnostic = Diagnostic::error(codes::REPLICATION_ABOVE_BROKERS, message)
                .label(format!("expected at most {brokers}"))
                .help("a broker holds one replica of a topic partition: raise `brokers`, or lower `replication`");
            self.report("topic.replication", self.place("cluster.brokers").relate(diagnostic, "the brokers"));
        }
        let path =
            if self.given("topic.min-insync-replicas") { "topic.min-insync-replicas" } else { "topic.replication" };
        if topic.min_insync_replicas > topic.replication && self.trusts(&["topic.replication", path]) {
            let message = format!(
                "{} replicas must be in sync, and there are only {}",
                topic.min_insync_replicas, topic.replication
            );
            let diagnostic = Diagnostic::error(codes::MIN_INSYNC_ABOVE_REPLICATION, message)
                .label(format!("expected at most {}", topic.replication))
                .help("every write with acks=all would be refused; usual are 3 replicas, of which 2 in sync");
            self.report(path, diagnostic);
        }
    }

    fn workload(&self) {
        let (load, topic) = (&self.plan.workload, &self.plan.topic);
        let partitions = topic.partitions;
        if self.trusts(&["workload.keys", "topic.partitions"]) && i64::from(load.keys) < i64::from(partitions) {
            let path = if self.given("workload.keys") { "workload.keys" } else { "topic.partitions" };
            let message = format!("{} keys cannot reach all of {partitions} topic partitions", load.keys);
            self.report(
                path,
                Diagnostic::warning(codes::IDLE_TOPIC_PARTITIONS, message)
                    .label(format!("expected at least {partitions} keys, better ten times as many"))
                    .help("a topic partition without load is not measured: raise `keys` or lower `partitions`"),
            );
        }
        let window = self.plan.observation.window;
        let in_window = f64::from(load.rate) / f64::from(partitions) * window.as_secs_f64();
        if self.trusts(&["workload.rate", "topic.partitions", "observation.window"]) && in_window < THIN {
            let path = self.first_given("workload", &["rate"]);
            let path = if self.given(&path) { path } else { "topic.partitions".into() };
            let message = format!("only {in_window:.1} records a window on each topic partition");
            self.report(
                &path,
                Diagnostic::warning(codes::THIN_LOAD, message)
                    .label(format!("expected {THIN} or more"))
                    .help("one slow record would decide about health: raise `rate`, or widen [observation] window"),
            );
        }
        if self.trusts(&["workload.baseline", "observation.window"]) && load.baseline < window * 2 {
            let path = if self.given("workload.baseline") { "workload.baseline" } else { "observation.window" };
            let (baseline, window) = (text(load.baseline), text(window));
            self.report(
                path,
                Diagnostic::error(
                    codes::BASELINE_TOO_SHORT,
                    format!("a baseline of {baseline} cannot be judged in windows of {window}"),
                )
                .label("expected a baseline of at least two windows")
                .help("ten seconds are a good baseline"),
            );
        }
    }

    fn properties(&self) {
        let tables = [
            ("cluster.config", &self.plan.cluster.config, &RESERVED_BROKER[..]),
            ("subject.client", &self.plan.subject.client, &RESERVED_CLIENT[..]),
        ];
        for (table, values, reserved) in tables {
            for key in values.keys().filter(|key| reserved.contains(&key.as_str())) {
                let diagnostic = Diagnostic::error(codes::RESERVED_PROPERTY, format!("`{key}` is set by Seaworthy"))
                    .label("expected another property")
                    .help("take the line out: addresses and names decide whether traffic meets the faults");
                self.at_property(table, key, At::Name, diagnostic);
            }
        }
        if self.plan.subject.kind == SubjectKind::Pipeline && self.trusts(&["subject.kind", "subject.profile"]) {
            self.settings();
            self.client_properties();
        }
    }

    /// Reports at a verbatim property, whose name may be one key or, unquoted, several.
    fn at_property(&self, table: &str, key: &str, at: At, diagnostic: Diagnostic) {
        let whole: Vec<&str> = table.split('.').chain([key]).collect();
        let parts: Vec<&str> = table.split('.').chain(key.split('.')).collect();
        let path = if self.document.has(&whole) { whole } else { parts };
        let place = match at {
            At::Name => self.document.key_place(&path),
            At::Value => self.document.place(&path),
        };
        self.sink.report(&path.join("."), &place, diagnostic);
    }

    fn settings(&self) {
        let Ok(profile) = self.plan.subject.profile.parse() else { return };
        let Err(mistakes) = Settings::for_profile(profile).with_overrides(&self.plan.subject.settings) else { return };
        for mistake in mistakes {
            let (key, at, message, label) = match mistake {
                SettingsError::UnknownKey { key, nearest } => {
                    let label = nearest.map_or("expected a setting".into(), |name| format!("expected `{name}`?"));
                    let message = format!("the components have no setting `{key}`");
                    (key, At::Name, message, label)
                }
                SettingsError::Value { key, value, problem } => {
                    let shown = format!("{value:?}");
                    let problem = problem.strip_prefix(&shown).unwrap_or(&problem).trim();
                    let message = format!("`{key}` cannot be {shown}: it {problem}");
                    (key, At::Value, message, "expected another value".into())
                }
                SettingsError::Invalid { key, problem } => {
                    let message = format!("`{key}` is not possible: {problem}");
                    (key, At::Value, message, "expected another value".into())
                }
                other => (String::new(), At::Value, other.to_string(), "expected settings".into()),
            };
            let diagnostic = Diagnostic::error(codes::BAD_SETTING, message)
                .label(label)
                .help("settings are dotted, as \"retry.max-retries\" = 8 or \"breaker.reset-timeout\" = \"1s\"");
            self.at_property("subject.settings", &key, at, diagnostic);
        }
    }

    fn client_properties(&self) {
        let subject = &self.plan.subject;
        let of_settings = subject.settings.iter().filter_map(|(key, value)| {
            key.strip_prefix("client.").map(|name| ("subject.settings", key.as_str(), name, value))
        });
        let own = subject.client.iter().map(|(key, value)| ("subject.client", key.as_str(), key.as_str(), value));
        for (table, key, name, value) in own.chain(of_settings) {
            let Err(mistake) = check_property(name, value) else { continue };
            let at = if mistake == PropertyMistake::Unknown { At::Name } else { At::Value };
            let diagnostic = match mistake {
                PropertyMistake::Unknown => {
                    let known = known_properties();
                    let near = nearest(name, known.iter().map(String::as_str));
                    Diagnostic::error(codes::BAD_CLIENT_PROPERTY, format!("librdkafka has no property `{name}`"))
                        .label(near.map_or("expected a property of librdkafka".into(), |n| format!("expected `{n}`?")))
                        .help("the names are those of librdkafka's CONFIGURATION.md")
                }
                PropertyMistake::Value(why) => {
                    Diagnostic::error(codes::BAD_CLIENT_PROPERTY, format!("librdkafka refuses `{name}`: {why}"))
                        .label("expected another value")
                        .help("types and ranges are in librdkafka's CONFIGURATION.md")
                }
            };
            self.at_property(table, key, at, diagnostic);
        }
    }

    /// A key that is known and does nothing here.
    pub fn no_effect(&self, path: &str, why: String) {
        let key = path.rsplit('.').next().unwrap_or(path);
        let diagnostic = Diagnostic::warning(codes::NO_EFFECT, format!("`{key}` has no effect here: {why}"))
            .label("does nothing")
            .help("take it out, or change what stands beside it");
        self.report(path, diagnostic);
    }

    /// Suggests a topic's name.
    pub fn nearest_topic(&self, given: &str) -> Option<String> {
        let topics = self.plan.topic.all();
        nearest(given, topics.iter().map(String::as_str)).map(str::to_owned)
    }
}

fn is_version(text: &str) -> bool {
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, "x"));
    let parts: Vec<&str> = numbers.split('.').collect();
    parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit()))
        && !suffix.is_empty()
        && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn text(d: std::time::Duration) -> String {
    crate::plan::duration_text(d)
}
