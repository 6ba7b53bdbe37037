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
    let fault = "broker-errors = { api = \"produce\", error = \"NOT_LEADER_OR_FOLLOWER\", rate = 0.5 }";
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
