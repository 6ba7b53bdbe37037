//! The commands of whoever writes scenarios, as a script or a person meets them. None needs an engine.

use std::path::Path;

use assert_cmd::Command;

/// The command in a folder, on a machine where no engine answers.
fn seaworthy_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("seaworthy")
        .expect("the binary")
        .args(arguments)
        .current_dir(folder)
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .env_remove("NO_COLOR")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

fn seaworthy(arguments: &[&str]) -> (i32, String, String) {
    seaworthy_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
}

fn recorded(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn templates() -> Vec<String> {
    let (code, out, _) = seaworthy(&["new", "--list", "--format", "json"]);
    assert_eq!(code, 0);
    let rows: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let names = rows.as_array().expect("a list").iter().map(|row| row["name"].as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn every_template_becomes_a_file_that_passes_check_and_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    for template in templates() {
        let name = format!("our-{template}");
        let (code, out, err) = seaworthy_in(folder.path(), &["new", &name, "--from", &template]);
        assert_eq!((code, out.trim()), (0, format!("wrote scenarios/{name}.toml").as_str()), "{err}");
        assert!(err.contains(&format!("seaworthy run scenarios/{name}.toml")), "{err}");
        let file = format!("scenarios/{name}.toml");
        let (code, out, err) = seaworthy_in(folder.path(), &["check", &file]);
        assert_eq!((code, out.as_str(), err.as_str()), (0, "1 file valid\n", ""), "{template}");
        assert_eq!(seaworthy_in(folder.path(), &["plan", &file]).0, 0);
    }
    let (code, out, _) = seaworthy_in(folder.path(), &["list"]);
    assert_eq!((code, out.lines().count()), (0, templates().len()));
    // The first line of each names a schema beside it.
    let schema = std::fs::read_to_string(folder.path().join("scenarios/schema.json")).expect("the schema");
    assert_eq!(schema, seaworthy(&["schema"]).1);
}

#[test]
fn new_never_overwrites() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenarios = folder.path().join("scenarios");
    std::fs::create_dir(&scenarios).expect("a folder");
    for file in ["mine.toml", "schema.json"] {
        std::fs::write(scenarios.join(file), "mine").expect("a file");
    }
    let (code, out, err) = seaworthy_in(folder.path(), &["new", "mine", "--from", "control"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("scenarios/mine.toml is there already"), "{err}");
    assert_eq!(seaworthy_in(folder.path(), &["new", "other", "--from", "control"]).0, 0);
    for file in ["mine.toml", "schema.json"] {
        assert_eq!(std::fs::read_to_string(scenarios.join(file)).expect("a file"), "mine");
    }
}

#[test]
fn what_new_cannot_make_exits_64_with_the_next_step() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, said) in [
        (&["new", "x", "--from", "netwrok"][..], "did you mean `network`?"),
        (&["new", "x", "--from", "earthquake"], "templates: control, network,"),
        (&["new", "LeaderCut", "--from", "network"], "seaworthy new leader-cut --from network"),
        (&["new", "../x", "--from", "network"], "is not kebab-case"),
        (&["new", "x"], "--from"),
        (&["new"], "--from"),
    ] {
        let (code, out, err) = seaworthy_in(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    assert!(std::fs::read_dir(folder.path()).expect("a folder").next().is_none(), "nothing was written");
}

/// Every subcommand, as the command line itself lists them.
fn subcommands() -> Vec<String> {
    let (_, help, _) = seaworthy(&["--help"]);
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_reads_as_recorded() {
    recorded("help", seaworthy(&["--help"]).1);
    let commands = subcommands();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let (code, help, _) = seaworthy(&[&command, "--help"]);
        assert_eq!(code, 0, "{command}");
        recorded(&format!("help-{command}"), help);
    }
}

/// Runs a program that may be missing here; `None` if it is.
fn other(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let version = std::process::Command::new(program).arg("--version").output().ok()?;
    version.status.success().then_some(())?;
    let output = Command::new(program).args(arguments).write_stdin(input).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    for (shell, arguments) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute"])] {
        let (code, script, _) = seaworthy(&["completions", shell]);
        assert_eq!(code, 0);
        for command in subcommands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        if let Some((fine, said)) = other(shell, arguments, &script) {
            assert!(fine && said.is_empty(), "{shell}: {said}");
        }
    }
    assert_eq!(seaworthy(&["completions", "cobol"]).0, 64);
}

#[test]
fn bash_completes_a_command_s_options() {
    let (_, script, _) = seaworthy(&["completions", "bash"]);
    let ask = "COMP_WORDS=(seaworthy new x --fr); COMP_CWORD=3; _seaworthy seaworthy --fr x; echo \"${COMPREPLY[@]}\"";
    let Some((fine, said)) = other("bash", &["--norc"], &format!("{script}\n{ask}\n")) else { return };
    assert!(fine && said.trim() == "--from", "{said}");
}

#[test]
fn the_manual_has_every_command_and_no_warnings() {
    let (code, page, _) = seaworthy(&["man"]);
    assert_eq!(code, 0);
    assert!(page.contains(".TH seaworthy 1"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(seaworthy_in(folder.path(), &["man", "--dir", "man"]).0, 0);
    for command in subcommands() {
        assert!(page.contains(&format!("seaworthy\\-{command}(1)")), "{command}");
        assert!(folder.path().join(format!("man/seaworthy-{command}.1")).is_file(), "{command}");
    }
    if let Some((fine, said)) = other("groff", &["-man", "-Tutf8", "-ww", "-z"], &page) {
        assert!(fine && said.is_empty(), "groff: {said}");
    }
    if let Some((_, said)) = other("mandoc", &["-Tlint", "-Wwarning"], &page) {
        assert!(!said.contains("ERROR"), "mandoc: {said}");
    }
}

#[test]
fn our_own_words_come_before_errors_of_the_same_name() {
    let (_, verdict, _) = seaworthy(&["explain", "fail"]);
    assert!(verdict.starts_with("A promise was broken"), "{verdict}");
    let (_, error, _) = seaworthy(&["explain", "_FAIL"]);
    assert!(error.starts_with("FAIL (-196)"), "{error}");
}

#[test]
fn explanations_read_as_recorded() {
    for word in ["budget-below-floor", "fail", "lost-in-log", "NOT_LEADER_OR_FOLLOWER", "-192", "min-insync-replicas"] {
        let (code, out, err) = seaworthy(&["explain", word]);
        assert_eq!((code, err.as_str()), (0, ""), "{word}");
        recorded(&format!("explain-{}", word.trim_start_matches('-').to_lowercase()), out);
    }
}

#[test]
fn an_explained_error_has_the_contract_s_fields() {
    let (_, out, _) = seaworthy(&["explain", "7", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let mut fields: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["action", "class", "code", "name", "persistence", "text"]);
    assert_eq!((json["code"].as_i64(), json["name"].as_str()), (Some(7), Some("REQUEST_TIMED_OUT")));
}

#[test]
fn every_word_that_explain_lists_is_explained() {
    let (code, out, _) = seaworthy(&["explain", "--list", "--format", "json"]);
    assert_eq!(code, 0);
    let shelves: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    // One of each shelf: the unit tests of each have them all.
    for shelf in shelves.as_array().expect("a list") {
        let word = shelf["words"][0].as_str().expect("a word");
        assert_eq!(seaworthy(&["explain", word]).0, 0, "{word}");
    }
    let (code, _, err) = seaworthy(&["explain", "lost-in-ap"]);
    assert_eq!(code, 64);
    assert!(err.contains("did you mean `lost-in-app`?"), "{err}");
}

#[test]
fn check_as_json_has_the_contract_s_fields() {
    let (code, out, _) = seaworthy(&["check", "tests/bad-scenarios/unknown-key.toml", "--format", "json"]);
    assert_eq!(code, 64);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["files"][0]["path"], "tests/bad-scenarios/unknown-key.toml");
    let first = json["files"][0]["diagnostics"][0].as_object().expect("an object");
    for field in ["code", "severity", "message", "line", "column", "end_line", "end_column", "help"] {
        assert!(first.contains_key(field), "{field}");
    }
    let place = ["line", "column", "end_line", "end_column"].map(|field| first[field].as_u64());
    assert_eq!(place, [Some(3), Some(1), Some(3), Some(7)]);
}

#[test]
fn colour_follows_the_option() {
    let file = "tests/bad-scenarios/unknown-key.toml";
    let (_, plain, _) = seaworthy(&["check", file]);
    assert!(!plain.contains('\u{1b}'), "a pipe takes no colour");
    let (_, coloured, _) = seaworthy(&["--color", "always", "check", file]);
    assert!(coloured.contains('\u{1b}'));
}
