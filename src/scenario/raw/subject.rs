//! `[subject]`: the built-in pipeline, or an application of one's own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PROFILES, properties, texts};
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{
    Defect, EffectSink, ForeignPlan, HeaderConvention, Identity, MOST_EFFECTS, MetricsPlan, Ready, Selector,
    SubjectKind, SubjectPlan,
};
use crate::scenario::document::Value;
use crate::scenario::format;
use crate::scenario::reader::{Field, Fields};

/// Keys of `[subject]` that only applications of one's own have.
pub(in crate::scenario) const FOREIGN_KEYS: [&str; 13] = [
    "command",
    "env",
    "identity",
    "dead-letter-headers",
    "ready",
    "stop-grace",
    "ordered",
    "exactly-once",
    "effects",
    "drops",
    "image",
    "metrics",
    "sink",
];

pub(super) fn read(root: &Fields) -> SubjectPlan {
    let table = root.table("subject", &format::SUBJECT);
    const KINDS: [(&str, SubjectKind); 4] = [
        ("pipeline", SubjectKind::Pipeline),
        ("process", SubjectKind::Process),
        ("container", SubjectKind::Container),
        ("custom", SubjectKind::Custom),
    ];
    let profiles = PROFILES.map(|name| (name, name));
    let told = table.get("kind").map_or(Some(SubjectKind::Pipeline), |f| f.word(&KINDS));
    let kind = told.unwrap_or(SubjectKind::Pipeline);
    let own = foreign(&table, kind);
    if told == Some(SubjectKind::Pipeline)
        && let Some(field) = table.get("sink").filter(|_| !own.sink.is_topic())
    {
        let message = "the built-in pipeline writes its effects to the output topic and nowhere else";
        field.report(
            Diagnostic::error(codes::UNSUPPORTED_BY_SUBJECT, message)
                .label("expected an application of one's own")
                .help("take it out, or say which application: kind = \"process\", \"container\" or \"custom\""),
        );
    }
    SubjectPlan {
        kind,
        members: table.get("members").and_then(|f| f.count(1_000)).unwrap_or(2),
        profile: table.get("profile").and_then(|f| f.word(&profiles)).unwrap_or("production").to_owned(),
        settings: properties(&table, "settings"),
        client: properties(&table, "client"),
        defect: table.get("defect").and_then(|f| f.word(&Defect::ALL)),
        // Read for its mistakes whatever the kind is.
        foreign: Some(own).filter(|_| kind.is_foreign()),
    }
}

fn foreign(table: &Fields, kind: SubjectKind) -> ForeignPlan {
    if kind == SubjectKind::Process {
        table.require("command", "command = [\"python3\", \"app.py\"]");
    }
    if let Some(command) = table.get("command").filter(|_| kind.is_foreign())
        && matches!(&command.node.value, Value::Array(items) if items.is_empty())
    {
        command.report(Diagnostic::error(codes::ZERO, "`command` names no program").label("expected a program"));
    }
    let image = match kind {
        SubjectKind::Container => table.require("image", "image = \"my-service:1\""),
        _ => table.get("image"),
    };
    let flag = |key| table.get(key).and_then(|field| field.flag()).unwrap_or(false);
    ForeignPlan {
        image: image.and_then(|field| field.text()).filter(|_| kind == SubjectKind::Container),
        command: texts(table, "command"),
        env: env(table),
        identity: table.get("identity").and_then(|field| identity(&field)).unwrap_or_default(),
        dead_letter_headers: table.get("dead-letter-headers").and_then(|f| headers(&f)).unwrap_or_default(),
        ready: table
            .get("ready")
            .and_then(|field| ready(&field))
            .unwrap_or(Ready::GroupStable(Duration::from_secs(60))),
        stop_grace: table.get("stop-grace").and_then(|f| f.some_duration()).unwrap_or(Duration::from_secs(10)),
        ordered: flag("ordered"),
        exactly_once: flag("exactly-once"),
        sink: table.get("sink").and_then(|field| sink(&field)).unwrap_or_default(),
        effects: table.get("effects").and_then(|field| field.count(MOST_EFFECTS)).unwrap_or(1),
        drops: texts(table, "drops"),
        metrics: table.get("metrics").and_then(|field| metrics(&field)),
    }
}

/// `"topic"`, `"stdout"`, or `{ http = "http://…" }`.
fn sink(field: &Field) -> Option<EffectSink> {
    if !matches!(field.node.value, Value::Table(_)) {
        const WORDS: [(&str, bool); 2] = [("topic", true), ("stdout", false)];
        return field.word(&WORDS).map(|topic| if topic { EffectSink::Topic } else { EffectSink::Stdout });
    }
    let url = field.table(&format::SINK)?.require("http", "http = \"http://127.0.0.1:8080/effects?from={from}\"")?;
    http(&url, "http = \"http://127.0.0.1:8080/effects?from={from}\": asked on this machine").map(EffectSink::Http)
}

/// `{ url = "http://…", signals = { retries = "orders_retries_total" } }`.
fn metrics(field: &Field) -> Option<MetricsPlan> {
    let table = field.table(&format::METRICS)?;
    let url = table.require("url", "url = \"http://127.0.0.1:946{member}/metrics\"");
    let named = table.require("signals", "signals = { retries = \"orders_retries_total\" }");
    // Every mistake is told, not the first alone.
    let url = url.and_then(|url| {
        http(&url, "url = \"http://127.0.0.1:946{member}/metrics\": every member shares this machine's ports")
    });
    let named = named?.named().into_iter();
    let signals: Vec<_> = named.map(|(name, signal)| Some((name.to_owned(), series(&signal)?))).collect();
    Some(MetricsPlan { url: url?, signals: signals.into_iter().collect::<Option<_>>()? })
}

/// The text of a [`Selector`].
fn series(field: &Field) -> Option<String> {
    let text = field.text()?;
    if Selector::parse(&text).is_some() {
        return Some(text);
    }
    field.report(
        Diagnostic::error(codes::BAD_METRIC, format!("`{text}` names no metric"))
            .label("expected a name, and labels if need be")
            .help("as in orders_retries_total{topic=\"orders\"}; series that fit are added up"),
    );
    None
}

/// The text of a URL that can be asked.
fn http(field: &Field, example: &str) -> Option<String> {
    let url = field.text()?;
    if url.starts_with("http://") {
        return Some(url);
    }
    let diagnostic = Diagnostic::error(codes::BAD_URL, format!("`{url}` cannot be asked"))
        .label("expected a URL that begins with http://")
        .help(example);
    field.report(diagnostic);
    None
}

fn headers(field: &Field) -> Option<HeaderConvention> {
    const WORDS: [(&str, Option<HeaderConvention>); 4] = [
        ("none", Some(HeaderConvention::None)),
        ("seaworthy", Some(HeaderConvention::Seaworthy)),
        ("spring", None),
        ("connect", None),
    ];
    let known = field.word(&WORDS)?;
    if known.is_none() {
        let word = field.text().unwrap_or_default();
        let message = format!("dead letters with the headers of `{word}` cannot be judged yet");
        field.report(
            Diagnostic::error(codes::NOT_YET_SUPPORTED, message)
                .label("expected \"none\" or \"seaworthy\"")
                .help("\"none\" judges that every dead letter is there, and not what its headers say"),
        );
    }
    known
}

/// Names of variables have no dots: what TOML nests is a mistake of the file.
fn env(table: &Fields) -> BTreeMap<String, String> {
    properties(table, "env")
}

/// `"header"`, `"value"`, or `{ json = "/order/id" }`.
fn identity(field: &Field) -> Option<Identity> {
    if !matches!(field.node.value, Value::Table(_)) {
        return field
            .word(&[("header", 0), ("value", 1)])
            .map(|n| if n == 0 { Identity::Header } else { Identity::Value });
    }
    let pointer = field.table(&format::IDENTITY)?.require("json", "json = \"/order/id\"")?;
    let text = pointer.text()?;
    if !text.starts_with('/') {
        let message = format!("`{text}` is no JSON pointer");
        let diagnostic = Diagnostic::error(codes::BAD_IDENTITY, message)
            .label("expected a path that begins with a slash")
            .help(format!("json = \"/{}\"", text.replace('.', "/").trim_start_matches('$').trim_start_matches('/')));
        pointer.report(diagnostic);
        return None;
    }
    Some(Identity::Json(text))
}

/// `{ group-stable = "30s" }`, `{ line = "ready", within = "30s" }`, or `{ http = "http://…", within = "30s" }`.
fn ready(field: &Field) -> Option<Ready> {
    let table = field.table(&format::READY)?;
    let answers = table.given(&["group-stable", "line", "http"]);
    if let [_, second, ..] = &answers[..] {
        second.report(
            Diagnostic::error(codes::UNKNOWN_KEY, "`group-stable`, `line` and `http` are answers to one question")
                .label("expected one of them"),
        );
        return None;
    }
    let within = || table.get("within").and_then(|f| f.some_duration()).unwrap_or(Duration::from_secs(60));
    if let Some(line) = table.get("line") {
        return Some(Ready::Line { text: line.text()?, within: within() });
    }
    if let Some(field) = table.get("http") {
        let example = "http = \"http://127.0.0.1:808{member}/health\": every member shares this machine's ports";
        return Some(Ready::Http { url: http(&field, example)?, within: within() });
    }
    table.require("group-stable", "group-stable = \"30s\"")?.some_duration().map(Ready::GroupStable)
}
