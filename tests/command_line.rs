//! The command line without an engine: exit codes and messages are a promise to scripts.

use assert_cmd::Command;

/// The command on a machine where no engine answers.
fn seaworthy(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("seaworthy")
        .expect("the binary")
        .args(arguments)
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

#[test]
fn without_an_engine_a_run_on_containers_exits_69_and_says_what_to_do() {
    let (code, out, err) = seaworthy(&["run", "scenarios/baseline.toml", "--backend", "containers"]);
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(err.contains("next: start Docker") && err.contains("images/prepare"), "{err}");
    let (code, out, _) = seaworthy(&["doctor"]);
    assert_eq!(code, 0, "the embedded backend works everywhere");
    assert!(out.contains("containers  no: ") && out.contains("next:") && out.contains("embedded    yes: "), "{out}");
}

#[test]
fn an_invalid_file_exits_64_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "name = \"wrong\"\n[workload]\nrat = 5\n").expect("a file");
    let path = file.to_str().expect("a path");
    for command in ["run", "check", "plan"] {
        let (code, out, err) = seaworthy(&[command, path]);
        assert_eq!(code, 64, "{command}: {out}{err}");
        let text = out + &err;
        assert!(text.contains("wrong.toml:3:1") && text.contains("rate"), "{command}: {text}");
    }
    let (_, out, _) = seaworthy(&["check", path, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let first = &json["files"][0]["diagnostics"][0];
    assert_eq!((first["code"].as_str(), first["line"].as_u64()), (Some("unknown-key"), Some(3)), "{json}");
}

#[test]
fn what_the_backend_cannot_do_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("errors.toml");
    let fault = "network = { cut = { broker = 1 }, between = \"brokers\" }";
    std::fs::write(&file, format!("name = \"errors\"\n[[fault]]\nat = \"0s\"\nlasts = \"3s\"\n{fault}\n"))
        .expect("a file");
    let (code, _, err) = seaworthy(&["run", file.to_str().expect("a path")]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("unsupported-by-backend") && err.contains("errors.toml:5:"), "{err}");
}

#[test]
fn nothing_selected_exits_4_and_wrong_usage_64() {
    assert_eq!(seaworthy(&["run", "--filter", "no-such-scenario"]).0, 4);
    assert_eq!(seaworthy(&["list", "--filter", "no-such-scenario"]).0, 4);
    assert_eq!(seaworthy(&["run", "--shard", "3/2"]).0, 64);
    assert_eq!(seaworthy(&["run", "no/such/folder"]).0, 64);
    assert_eq!(seaworthy(&["fly"]).0, 64);
    assert_eq!(seaworthy(&["--version"]).0, 0);
}

#[test]
fn the_shipped_scenarios_are_valid_and_listed() {
    let (code, out, err) = seaworthy(&["check"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!((out.trim(), err.as_str()), ("5 files valid", ""));
    let (_, out, _) = seaworthy(&["list", "--filter", "lesson"]);
    for name in ["network-partition", "broker-failure", "consumer-group-rebalancing", "high-error-rate"] {
        assert!(out.contains(name), "{out}");
    }
}

#[test]
fn a_word_is_explained_whatever_it_names() {
    for (word, part) in [
        ("lost-in-app", "committed past"),
        ("inconclusive", "never a pass"),
        ("unknown-key", "key"),
        ("NOT_LEADER_OR_FOLLOWER", "refresh-and-retry"),
        ("-192", "MSG_TIMED_OUT"),
    ] {
        let (code, out, err) = seaworthy(&["explain", word]);
        assert_eq!(code, 0, "{word}: {err}");
        assert!(out.contains(part), "{word}: {out}");
    }
    assert_eq!(seaworthy(&["explain", "no-such-word"]).0, 64);
}

#[test]
fn garbage_is_no_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, "not a history\n").expect("a file");
    let (code, _, err) = seaworthy(&["recheck", file.to_str().expect("a path")]);
    assert_eq!(code, 64);
    assert!(err.contains("history.jsonl:1"), "{err}");
    assert_eq!(seaworthy(&["recheck", folder.path().join("nothing").to_str().expect("a path")]).0, 64);
}

/// A run folder as `run` leaves it, as far as `compare` looks.
fn run_folder(path: &std::path::Path, times: &[Option<f64>]) {
    for (at, ttr) in times.iter().enumerate() {
        let folder = path.join("kill").join((at + 1).to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let result = serde_json::json!({
            "scenario": { "name": "kill" }, "verdict": "pass", "repeat": at + 1, "fingerprint": "f",
            "recovery": { "ttr_s": ttr, "recovered": ttr.is_some(), "lower_bound_s": ttr.is_none().then_some(60.0) },
            "integrity": { "lost": 0 }, "budgets": [],
        });
        std::fs::write(folder.join("result.json"), result.to_string()).expect("a file");
    }
}

#[test]
fn compare_makes_a_regression_the_exit_code_only_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (base, worse, dark) = (path("base"), path("worse"), path("dark"));
    run_folder(base.as_ref(), &[2.0, 2.1, 2.2, 2.3, 2.4].map(Some));
    run_folder(worse.as_ref(), &[5.0, 5.1, 5.2, 5.3, 5.4].map(Some));
    run_folder(dark.as_ref(), &[Some(2.0), None]);
    assert_eq!(seaworthy(&["compare", &base, &worse]).0, 0);
    let (code, out, _) = seaworthy(&["compare", &base, &worse, "--gate"]);
    assert_eq!(code, 3);
    assert!(out.contains("REGRESSED") && out.contains("p") && out.contains("0.008"), "{out}");
    assert_eq!(seaworthy(&["compare", &base, &base, "--gate"]).0, 0);
    assert_eq!(seaworthy(&["compare", &worse, &base, "--gate"]).0, 0);
    assert_eq!(seaworthy(&["compare", &base, &dark, "--gate"]).0, 3);
    let (code, out, _) = seaworthy(&["compare", &base, &worse, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, json["verdict"].as_str(), json["rows"][0]["verdict"].as_str()),
        (0, Some("regressed"), Some("regressed"))
    );
    let (_, out, _) = seaworthy(&["compare", &base, &worse, "--format", "markdown"]);
    assert!(out.starts_with("## ") && out.contains("| kill | recovery |"), "{out}");
}

#[test]
fn a_stored_baseline_stands_for_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (base, file) = (path("base"), path("baseline.json"));
    run_folder(base.as_ref(), &[2.0, 2.1, 2.2, 2.3, 2.4].map(Some));
    let (code, out, err) = seaworthy(&["compare", &base, "--save-baseline", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("kill") && out.contains("2.2 s [2 … 2.4 s]") && err.contains("stored 5 repeats"),
        "{out}{err}"
    );
    let (code, out, err) = seaworthy(&["compare", &file, &base, "--gate"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("no change"), "{out}");
}

#[test]
fn a_gate_over_nothing_is_not_passed_and_no_run_folder_is_wrong_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let once = path("once");
    run_folder(once.as_ref(), &[Some(2.0)]);
    let (code, _, err) = seaworthy(&["compare", &once, &once, "--gate"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = seaworthy(&["compare", &once, &path("nothing")]);
    assert_eq!(code, 64);
    assert!(err.contains("does not exist") && err.contains("give a run folder"), "{err}");
    std::fs::create_dir(path("empty")).expect("a folder");
    let (code, _, err) = seaworthy(&["compare", &path("empty"), &once]);
    assert_eq!(code, 64);
    assert!(err.contains("no result.json"), "{err}");
    std::fs::write(folder.path().join("once/kill/1/result.json"), "{").expect("a file");
    let (code, _, err) = seaworthy(&["compare", &once, &once]);
    assert_eq!(code, 64);
    assert!(err.contains("once/kill/1/result.json") && err.contains("recheck"), "{err}");
    assert_eq!(seaworthy(&["compare", &once, &once, "--metric", "speed"]).0, 64);
}

#[test]
fn a_matrix_needs_a_key_with_two_values() {
    for wrong in ["subject.profile", "subject.profile=production", "subject.profile=staging,staging"] {
        let (code, _, err) = seaworthy(&["run", "--matrix", wrong]);
        assert_eq!(code, 64, "{wrong}");
        assert!(err.contains("KEY=VALUE,VALUE"), "{err}");
    }
    let (code, _, err) = seaworthy(&["run", "scenarios/baseline.toml", "--matrix", "subject.profile=production,prod"]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("prod"), "{err}");
}

#[test]
fn the_checklist_judges_each_item_and_its_exit_code_says_whether_all_are_met() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "profile = \"production\"\n[breaker]\nmode = \"disabled\"\n").expect("a file");
    let path = file.to_str().expect("a path");
    let (code, out, err) = seaworthy(&["checklist", path, "--run", "no/such/run", "--format", "json"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let met: Vec<_> = json["items"].as_array().expect("items").iter().map(|item| item["met"] == true).collect();
    // Classify, retry, breaker, dead letters, monitor, test, document, review.
    assert_eq!(met, [true, true, false, true, true, false, false, false], "{out}");
    let (code, out, _) = seaworthy(&["checklist", "--profile", "production", "--run", "no/such/run"]);
    assert_eq!(code, 1);
    assert!(out.contains("[x] Classify errors") && out.contains("[ ] Test failure scenarios regularly"), "{out}");

    std::fs::write(&file, "[retry]\nmultiplier = 0.5\n[breker]\nwindow = 3\n").expect("a file");
    let (code, out, err) = seaworthy(&["checklist", path]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("retry.multiplier: 0.5") && err.contains("breker.window: there is no such setting"), "{err}");
}

#[test]
fn dashboard_and_rules_take_their_thresholds_from_a_settings_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "[monitoring]\ndead-letters = 7\n").expect("a file");
    let path = file.to_str().expect("a path");
    let (code, out, _) = seaworthy(&["metrics", "rules", path]);
    assert!(code == 0 && out.contains("increase(resilience_dead_letters_total[1m])) > 7"), "{out}");
    let (code, out, _) = seaworthy(&["metrics", "dashboard", path]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(code == 0 && json["panels"].as_array().is_some_and(|panels| panels.len() > 10), "{out}");
    assert_eq!(seaworthy(&["metrics", "rules", "no/such/file.toml"]).0, 64);
}
