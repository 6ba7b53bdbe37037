//! Every diagnostic has a file in `bad-scenarios/` that earns it, and its message is as recorded in `snapshots/`.
//!
//! A file is called after its code and yields no other, except those on a line `# also: CODE`. `# set: KEY=VALUE` is
//! an override, `# backend: KIND` checks the plan against that backend.

#![cfg(feature = "harness")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use seaworthy::diagnostic::{Diagnostic, Source, codes, render_all};
use seaworthy::plan::{BackendKind, Capabilities, Plan};
use seaworthy::scenario;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn directives(text: &str, name: &str) -> Vec<String> {
    let mark = format!("# {name}: ");
    text.lines().filter_map(|line| line.strip_prefix(&mark)).map(str::to_owned).collect()
}

/// What a file of `bad-scenarios/` yields, and the text that it would show.
fn judge(path: &Path) -> (Vec<Diagnostic>, String) {
    // The message has the path as a user in the project's directory would see it.
    let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let overrides: Vec<_> = directives(&text, "set")
        .iter()
        .map(|o| o.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap())
        .collect();
    let (mut source, mut diagnostics, plan) = match scenario::load_with(path, &overrides) {
        Ok(loaded) => (loaded.source, loaded.warnings, Some(loaded.plan)),
        Err(invalid) => (invalid.source, invalid.diagnostics, None),
    };
    for backend in directives(&text, "backend") {
        if backend == "any" {
            let plan = plan.as_ref().expect("a good plan that nobody can run");
            diagnostics.extend(scenario::check_anywhere(&source, &overrides, plan));
            continue;
        }
        let backend = match backend.as_str() {
            "embedded" => BackendKind::Embedded,
            "external" => BackendKind::External,
            _ => BackendKind::Containers,
        };
        let plan = plan.as_ref().expect("a good plan for the wrong backend");
        diagnostics.extend(scenario::check_in(&source, &overrides, plan, &Capabilities::of(backend)));
    }
    source.path = shown.clone();
    let rendered = render_all(&diagnostics, &source, false);
    (diagnostics, rendered.replace(&path.display().to_string(), &shown.display().to_string()))
}

fn bad_scenarios() -> Vec<PathBuf> {
    scenario::discover(&[here("tests/bad-scenarios")]).unwrap()
}

#[test]
fn every_code_has_a_file_and_every_file_is_called_after_a_code() {
    let files: BTreeSet<_> =
        bad_scenarios().iter().map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let known: BTreeSet<_> = codes::ALL.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(files.difference(&known).collect::<Vec<_>>(), [] as [&String; 0], "files without a code");
    assert_eq!(known.difference(&files).collect::<Vec<_>>(), [] as [&String; 0], "codes without a file");
}

#[test]
fn every_file_yields_the_diagnostic_that_it_is_called_after_and_no_other() {
    let mut wrong = Vec::new();
    for path in bad_scenarios() {
        let code = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let expected: BTreeSet<_> = directives(&text, "also").into_iter().chain([code.clone()]).collect();
        let (diagnostics, rendered) = judge(&path);
        let found: BTreeSet<_> = diagnostics.iter().map(|d| d.code.to_owned()).collect();
        if found != expected {
            wrong.push(format!("{code}: expected {expected:?}, found {found:?}\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_message_says_what_was_expected_where_and_reads_as_recorded() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    for path in bad_scenarios() {
        let code = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (diagnostics, rendered) = judge(&path);
        for diagnostic in &diagnostics {
            assert!(!diagnostic.label.is_empty() || diagnostic.span.is_none(), "{code}: {diagnostic:?}");
            assert!(!diagnostic.message.ends_with('.'), "{code}: {}", diagnostic.message);
            let placed = diagnostic.span.is_some() || diagnostic.given.is_some() || code == "unreadable";
            assert!(placed, "{code}: nowhere: {diagnostic:?}");
        }
        insta::assert_snapshot!(code, rendered);
    }
}

/// Good scenarios, to be spoilt.
const GOOD: [(&str, &str); 2] = [
    ("leader-network-partition", include_str!("../src/scenario/tests/leader-network-partition.toml")),
    ("every-fault", include_str!("../src/scenario/tests/every-fault.toml")),
];

/// Neither reading, nor rendering, nor what is computed from a plan may panic.
fn survives(name: &str, text: &str) {
    let source = Source::new(format!("{name}.toml"), text);
    match scenario::parse(&source) {
        Ok((plan, warnings)) => {
            render_all(&warnings, &source, false);
            plan.render(80);
            scenario::check(&plan, &Capabilities::of(BackendKind::Embedded));
            let written = plan.to_toml().expect("every plan can be written");
            assert_eq!(Plan::from_toml(&written).expect("and read"), plan);
        }
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(Diagnostic::is_error));
            render_all(&diagnostics, &source, true);
            for diagnostic in &diagnostics {
                assert!(codes::explain(diagnostic.code).is_some() && !diagnostic.message.is_empty(), "{diagnostic:?}");
                if let Some(span) = &diagnostic.span {
                    assert!(span.start <= span.end && span.end <= source.text.len(), "{diagnostic:?}");
                }
                let place = diagnostic.location(&source);
                assert!(place.is_none_or(|l| (l.line, l.column) <= (l.end_line, l.end_column)), "{diagnostic:?}");
            }
        }
    }
}

/// Words that get further into the reader than random characters do.
const FRAGMENTS: [&str; 34] = [
    "0",
    "-1",
    "1e308",
    "nan",
    "99999999999999999999",
    "\"\"",
    "\"6s\"",
    "\"24h\"",
    "\"ü/0\"",
    "true",
    "[]",
    "{}",
    "[[]]",
    "\"all\"",
    "{ broker = 9 }",
    "{ leader-of = \"orders/99\" }",
    "1979-05-27",
    "\n[[fault]]\n",
    "\nat = \"0s\"\n",
    "\"",
    "[",
    "{",
    "=",
    "#",
    "\n",
    "kill = ",
    "member = ",
    "lasts = \"1h\"\n",
    "repeat = { times = 1000, every = \"1us\" }\n",
    "network = { cut = \"all\" }\n",
    "'''",
    "\u{1f6a2}",
    "\r",
    "\0",
];

/// Every good file there is: shipped scenarios, templates, and those that the tests read.
fn good_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["scenarios", "src/cli/new", "src/scenario/tests", "tests/broken", "tests/controls"] {
        for entry in std::fs::read_dir(here(folder)).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                // A template's name is that of the file that will be made of it.
                let named = text.lines().find_map(|line| line.strip_prefix("name = \"")).unwrap();
                files.push((named.split('"').next().unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 15, "{}", files.len());
    files
}

fn joined(lines: &[&str]) -> String {
    lines.join("\n") + "\n"
}

#[test]
fn a_line_that_is_lost_doubled_or_moved_makes_nothing_panic() {
    for (name, text) in good_files() {
        let lines: Vec<&str> = text.lines().collect();
        for at in (0..lines.len()).filter(|at| !lines[*at].trim_start().starts_with('#')) {
            let mut lost = lines.clone();
            lost.remove(at);
            survives(&name, &joined(&lost));
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            survives(&name, &joined(&doubled));
            if at > 0 {
                let mut moved = lines.clone();
                moved.swap(at - 1, at);
                survives(&name, &joined(&moved));
            }
        }
    }
}

#[test]
fn a_value_of_another_type_or_size_makes_nothing_panic() {
    for (name, text) in good_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once('=').filter(|(key, _)| !key.trim_start().starts_with('#')) else {
                continue;
            };
            for (round, fragment) in FRAGMENTS.iter().enumerate() {
                // Each line sees a third of them, each value a third of the lines.
                if (at + round) % 3 != 0 {
                    continue;
                }
                let spoilt = format!("{key}= {fragment}");
                let mut all = lines.clone();
                all[at] = &spoilt;
                survives(&name, &joined(&all));
            }
        }
    }
}

#[test]
fn a_file_cut_off_or_of_another_encoding_makes_nothing_panic() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in good_files() {
        for at in (0..text.len()).step_by(41).filter(|at| text.is_char_boundary(*at)) {
            survives(&name, &text[..at]);
        }
        let middle = text.floor_boundary(text.len() / 2);
        for odd in ["\0", "\u{feff}", "\u{202e}", "\u{1f6a2}", "\u{85}", "\t", "\u{b}"] {
            survives(&name, &format!("{}{odd}{}", &text[..middle], &text[middle..]));
            survives(&name, &format!("{odd}{text}"));
        }
        // Not text at all: from a file, since there is no other way to have it.
        let path = folder.path().join(format!("{name}.toml"));
        let mut bytes = text.clone().into_bytes();
        bytes[middle] = 0xff;
        std::fs::write(&path, bytes).unwrap();
        let invalid = scenario::load(&path).unwrap_err();
        assert_eq!(invalid.diagnostics[0].code, codes::UNREADABLE);
        assert!(invalid.render(true).contains("UTF-8"));
    }
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    for (name, text) in good_files() {
        let plan = |text: String| scenario::parse(&Source::new(format!("{name}.toml"), text)).unwrap().0;
        let as_it_is = plan(text.clone());
        assert_eq!(plan(text.replace('\n', "\r\n")), as_it_is, "{name}");
        assert_eq!(plan(format!("\u{feff}{text}")), as_it_is, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        survives("any", &text);
    }

    #[test]
    fn no_spoilt_scenario_makes_the_parser_panic(
        which in 0..GOOD.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..24, prop::sample::select(&FRAGMENTS[..])), 1..5),
    ) {
        let (name, good) = GOOD[which];
        let mut text = good.to_owned();
        for (at, length, fragment) in cuts {
            let from = text.floor_boundary(at.index(text.len() + 1));
            let to = text.floor_boundary((from + length).min(text.len()));
            text.replace_range(from..to, fragment);
        }
        survives(name, &text);
    }

    #[test]
    fn no_spoilt_value_makes_the_parser_panic(
        which in 0..GOOD.len(),
        line in any::<prop::sample::Index>(),
        fragment in prop::sample::select(&FRAGMENTS[..]),
    ) {
        let (name, good) = GOOD[which];
        let lines: Vec<&str> = good.lines().collect();
        let line = line.index(lines.len());
        let spoilt: Vec<String> = lines.iter().enumerate().map(|(number, text)| match text.split_once('=') {
            Some((key, _)) if number == line => format!("{key}= {fragment}"),
            _ => (*text).to_owned(),
        }).collect();
        survives(name, &spoilt.join("\n"));
    }

    #[test]
    fn no_override_makes_the_parser_panic(key in "[a-z.\"0-9]{0,30}|workload\\.[a-z-]{0,9}|fault\\.[0-9]\\.[a-z]{0,6}", value in "\\PC{0,20}") {
        let source = Source::new("leader-network-partition.toml", GOOD[0].1);
        match scenario::parse_with(&source, &[(key, value)]) {
            Ok((plan, _)) => { plan.render(40); }
            Err(diagnostics) => { render_all(&diagnostics, &source, false); }
        }
    }
}

trait FloorBoundary {
    fn floor_boundary(&self, at: usize) -> usize;
}

impl FloorBoundary for String {
    fn floor_boundary(&self, mut at: usize) -> usize {
        while !self.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[test]
fn deep_nesting_is_a_syntax_error_and_no_stack_overflow() {
    for open in ["[", "{ a = "] {
        survives("deep", &format!("name = {}", open.repeat(100_000)));
    }
    survives("deep", &format!("{} = 1", vec!["a"; 50_000].join(".")));
}
