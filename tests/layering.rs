//! The house's floors: arrows point down only, and an outside crate that shapes the design has one room.

use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules from the ground up. A module may use its own floor's neighbours only where the table below says
/// so, and everything on lower floors.
const FLOORS: &[&[&str]] = &[
    &["clock", "rng", "diagnostic", "verdict"],
    &["exit_code"],
    &["resilience"],
    &["plan"],
    &["history", "scenario"],
    &["ledger"],
    &["recovery"],
    &["checker"],
    &["budget"],
    &["judge"],
    &["proxy"],
    &["cluster"],
    &["workload"],
    &["subject"],
    &["fault"],
    &["nemesis"],
    &["report", "compare"],
    &["recheck"],
    &["runner"],
    &["signals"],
    &["testing", "cli"],
];

/// Uses within one floor, or of a floor above, that are meant.
const MEANT: &[(&str, &str)] = &[
    // The command line runs on the same pool of clusters.
    ("cli", "testing"),
];

/// (crate, the only places that may name it).
const ROOMS: &[(&str, &[&str])] = &[
    ("testcontainers", &["src/cluster/containers"]),
    ("bollard", &["src/cluster/containers"]),
    ("toxiproxy_rust", &["src/proxy"]),
    ("ureq", &["src/proxy", "src/subject/http"]),
    ("axum", &["src/proxy/server"]),
    (
        "rdkafka",
        &["src/resilience", "src/workload", "src/cluster/admin", "src/cluster/embedded", "src/subject/pipeline"],
    ),
    ("java_properties", &["src/cluster/external/security"]),
    ("rsasl", &["src/cluster/external/sasl"]),
    ("tokio_rustls", &["src/cluster/external/tls"]),
    ("rustls_native_certs", &["src/cluster/external/tls"]),
    ("prometheus_client", &["src/resilience/metrics/server"]),
    ("hyper", &["src/resilience/metrics/server"]),
    ("hyper_util", &["src/resilience/metrics/server"]),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli"]),
    ("clap_mangen", &["src/cli"]),
    ("terminal_size", &["src/cli"]),
    // Derived where the types are that stand in `result.json`.
    ("schemars", &["src/report", "src/judge", "src/recovery", "src/checker", "src/budget", "src/verdict", "src/plan"]),
    ("indicatif", &["src/cli"]),
    ("comfy_table", &["src/cli", "src/report"]),
    ("libtest_mimic", &["src/testing"]),
    ("ctor", &["src/testing"]),
    ("maud", &["src/report/html"]),
    ("quick_junit", &["src/report/junit"]),
    ("annotate_snippets", &["src/diagnostic"]),
    ("fastrand", &["src/rng"]),
    ("strsim", &["src/diagnostic", "src/scenario", "src/resilience/settings"]),
    ("crc32fast", &["src/workload/record"]),
    ("crc32c", &["src/cluster/embedded/relay"]),
    ("sha2", &["src/runner/fingerprint", "src/cluster/containers"]),
];

#[test]
fn arrows_point_down_only() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(from) = top_module(&file) else { continue };
        let floor =
            floor_of(&from).unwrap_or_else(|| panic!("{}: `{from}` has no floor in this table", file.display()));
        each_line_of_code(&file, |number, line| {
            for to in crate_paths(line) {
                let Some(other) = floor_of(&to) else { continue };
                let meant = MEANT.contains(&(from.as_str(), to.as_str()));
                if to != from && other >= floor && !meant {
                    wrong.push(format!("{}:{number}: `{from}` uses `{to}`, which is not below it", file.display()));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn resilience_knows_nothing_of_the_harness() {
    let mut wrong = Vec::new();
    for file in sources().into_iter().filter(|f| top_module(f).as_deref() == Some("resilience")) {
        each_line_of_code(&file, |number, line| {
            for to in crate_paths(line).filter(|to| !["resilience", "clock", "rng"].contains(&to.as_str())) {
                wrong.push(format!("{}:{number}: resilience uses `{to}`", file.display()));
            }
        });
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_outside_crate_that_shapes_the_design_has_one_room() {
    let mut wrong = Vec::new();
    for file in sources() {
        let place = file.with_extension("").display().to_string();
        each_line_of_code(&file, |number, line| {
            for (name, rooms) in ROOMS {
                let named = [format!("{name}::"), format!("use {name};")].iter().any(|n| names_crate(line, n));
                let home = rooms.iter().any(|room| place == *room || place.starts_with(&format!("{room}/")));
                if named && !home {
                    wrong.push(format!("{}:{number}: names `{name}`, which belongs in {rooms:?}", file.display()));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_top_level_module_has_a_floor_and_no_file_is_called_mod_rs() {
    for file in sources() {
        assert_ne!(file.file_name().and_then(|n| n.to_str()), Some("mod.rs"), "{}: use foo.rs + foo/", file.display());
        if let Some(module) = top_module(&file) {
            assert!(floor_of(&module).is_some(), "{}: `{module}` has no floor in this table", file.display());
        }
    }
}

#[test]
fn the_table_itself_sees_a_wrong_arrow() {
    let found: Vec<String> = crate_paths("use crate::{cli::run, rng}; crate::runner::go()").collect();
    assert_eq!(found, ["cli", "rng", "runner"]);
    assert!(floor_of("cli") > floor_of("rng"));
    assert!(names_crate("use rdkafka::Message;", "rdkafka::") && !names_crate("my_rdkafka::x", "rdkafka::"));
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// `src/history/op.rs` and `src/history.rs` → `history`; `lib.rs` and `main.rs` see everything.
fn top_module(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

/// The top-level modules that a line names after `crate::`, braces included.
fn crate_paths(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split("crate::").skip(1).flat_map(|rest| {
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split_once('}').map_or(list, |(inside, _)| inside);
                list.split(',').map(word).filter(|w| !w.is_empty()).collect::<Vec<_>>()
            }
            None => vec![word(rest)],
        }
    })
}

fn names_crate(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn each_line_of_code(file: &Path, mut see: impl FnMut(usize, &str)) {
    let text = fs::read_to_string(file).expect("a source file");
    // Tests may look upwards: they are outside the house.
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for (index, line) in code.lines().enumerate() {
        let code = line.trim_start();
        if !code.starts_with("//") {
            see(index + 1, code);
        }
    }
}

/// Files that hold nothing but unit tests, included under `#[cfg(test)]`.
fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    ["tests", "stories", "planted", "model_tests"].contains(&stem)
        || path.components().any(|c| c.as_os_str() == "tests")
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("src"), &mut found);
    assert!(found.len() > 10, "the test runs in the crate's folder");
    found.sort();
    found
}
