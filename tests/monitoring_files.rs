//! `dashboards/` is what `seaworthy metrics` prints, and Prometheus understands it as it is meant.

use std::path::Path;
use std::process::Command;

use seaworthy::resilience::metrics::files;
use seaworthy::resilience::settings::MonitoringSettings;

#[track_caller]
fn is_current(file: &str, command: &str, generated: &str) {
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(found.trim() == generated.trim(), "{file} is old; next: cargo run -- metrics {command} > {file}");
}

#[test]
fn the_files_are_what_the_definitions_generate() {
    let settings = MonitoringSettings::default();
    is_current("dashboards/resilience.json", "dashboard", &format!("{:#}", files::dashboard(&settings)));
    is_current("dashboards/resilience.rules.yml", "rules", &files::rules(&settings));
    is_current("dashboards/metrics.md", "list", &files::table());
}

/// promtool's own words, if there is a promtool (Debian's package `prometheus`). `SEAWORTHY_REQUIRE=promtool` makes its
/// absence a failure.
fn promtool(arguments: &[&str]) {
    let output = match Command::new("promtool").args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            let required =
                std::env::var("SEAWORTHY_REQUIRE").is_ok_and(|all| all.split(',').any(|one| one == "promtool"));
            assert!(!required, "promtool is required: {error}");
            eprintln!("LEFT OUT: no promtool here ({error}); Debian's package `prometheus` has it");
            return;
        }
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_accepts_the_rules() {
    promtool(&["check", "rules", "dashboards/resilience.rules.yml"]);
}

#[test]
fn the_rules_fire_above_their_thresholds_and_not_at_them() {
    assert!(Path::new("tests/data/resilience.rules.test.yml").exists());
    promtool(&["test", "rules", "tests/data/resilience.rules.test.yml"]);
}
