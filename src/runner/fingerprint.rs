//! What must be equal for two runs' figures to be comparable.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plan::Plan;
use crate::report::BackendInfo;

/// SHA-256 of a scenario file, lower-case hexadecimal; `None`: it cannot be read any more.
pub(super) fn of_file(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| hex(&bytes))
}

/// Everything that decides a recovery time, a line a key: the resolved plan as the scenario file names it, the backend
/// with its images, the machine's processors. Left out is what decides no time: texts, the limits of budgets (not their
/// zero), expectations, and how long the end of the run may take. So a budget can be tightened without a new baseline.
pub(super) fn configuration(plan: &Plan, backend: &BackendInfo, cpus: Option<u32>) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut plan = serde_json::to_value(plan).unwrap_or_default();
    if let Value::Object(plan) = &mut plan {
        for text in ["summary", "tags", "requires", "expect"] {
            plan.remove(text);
        }
        let since = plan.remove("budget").and_then(|budget| budget.get("recovery")?.get("since").cloned());
        lines.extend(since.map(|since| ("budget.recovery.since".to_owned(), text(&since))));
        if let Some(Value::Object(observation)) = plan.get_mut("observation") {
            for end in ["after", "quiesce", "final-read"] {
                observation.remove(end);
            }
        }
        // In the file a fault is one table an entry.
        if let Some(faults) = plan.remove("faults") {
            plan.insert("fault".to_owned(), faults);
        }
    }
    flatten("", &plan, &mut lines);
    lines.insert("backend.kind".into(), backend.kind.to_string());
    lines.extend(backend.kafka_version.clone().map(|version| ("backend.kafka".to_owned(), version)));
    for (number, image) in backend.images.iter().enumerate() {
        let id = image.id.as_ref().map_or(String::new(), |id| format!(" {id}"));
        // Kafka's own has a name, for a comparison of versions declares that it differs.
        let key =
            if image.name.contains("kafka") { "backend.image".into() } else { format!("backend.images.{number}") };
        lines.insert(key, format!("{}{id}", image.name));
    }
    lines.extend(cpus.map(|cpus| ("machine.cpus".to_owned(), cpus.to_string())));
    lines
}

/// One word for a whole configuration.
pub(super) fn of(configuration: &BTreeMap<String, String>) -> String {
    hex(serde_json::json!(configuration).to_string().as_bytes())
}

fn flatten(path: &str, value: &Value, lines: &mut BTreeMap<String, String>) {
    let mut inner = |key: &str, value: &Value| {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        flatten(&path, value, lines);
    };
    match value {
        Value::Object(table) => table.iter().for_each(|(key, value)| inner(key, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| inner(&at.to_string(), item)),
        value => {
            let shown = if secret(path) { format!("sha256 {:.12}", hex(text(value).as_bytes())) } else { text(value) };
            lines.insert(path.to_owned(), shown);
        }
    }
}

/// Results and baselines are passed around and committed.
fn secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // The number of record keys is none.
    if key == "workload.keys" {
        return false;
    }
    ["password", "secret", "token", "credential", "jaas", "sasl.username", ".key", ".pem"]
        .iter()
        .any(|s| key.contains(s))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::plan::BackendKind;

    fn of_text(more: &str) -> BTreeMap<String, String> {
        let text =
            format!("name = \"x\"\nfault = [{{ at = \"0s\", lasts = \"6s\", network = {{ cut = \"all\" }} }}]\n{more}");
        let (plan, _) = crate::scenario::parse(&Source::new("x.toml", text)).unwrap();
        let backend = BackendInfo {
            kind: BackendKind::Containers,
            kafka_version: Some("4.1.0".into()),
            images: vec![],
            notes: vec![],
        };
        configuration(&plan, &backend, Some(2))
    }

    #[test]
    fn it_is_named_as_the_file_names_it() {
        let lines = of_text("[subject.client]\n\"reconnect.backoff.max.ms\" = 500");
        let is = |key: &str, value: &str| assert_eq!(lines.get(key).map(String::as_str), Some(value), "{lines:#?}");
        is("subject.client.reconnect.backoff.max.ms", "500");
        is("subject.profile", "production");
        is("fault.0.lasts", "6s");
        is("workload.rate", "500");
        is("machine.cpus", "2");
    }

    #[test]
    fn what_decides_a_time_changes_it_and_what_does_not_leaves_it() {
        let same = |more: &str| of(&of_text(more)) == of(&of_text(""));
        assert!(same("summary = \"other\"\ntags = [\"a\"]"));
        assert!(same("budget.outage = \"9s\"\nbudget.recovery = \"4s\""));
        assert!(same("observation.quiesce = \"90s\""));
        assert!(!same("budget.recovery = { within = \"8s\", since = \"inject\" }"));
        assert!(!same("workload.rate = 200"));
        assert!(!same("observation.window = \"2s\""));
        assert!(!same("subject.profile = \"staging\""));
    }

    #[test]
    fn no_secret_is_written_down() {
        let lines = of_text("[subject.client]\n\"sasl.password\" = \"hunter2\"");
        assert!(lines["subject.client.sasl.password"].starts_with("sha256 "), "{lines:#?}");
        assert!(!format!("{lines:?}").contains("hunter2"));
        assert_eq!(lines["workload.keys"], "64");
    }
}
