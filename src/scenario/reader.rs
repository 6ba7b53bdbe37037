//! Reads typed values out of a document and collects every mistake instead of stopping at the first.
//!
//! A reader function returns `None` for what is absent and for what is wrong; the difference is in the [`Sink`], which
//! knows which paths are not to be trusted, so that a slip is reported once and not again by all that depends on it.

use std::cell::RefCell;
use std::time::Duration;

use super::document::{Document, Node, Place, Value};
use super::format::{self, Table};
use super::values;
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::plan::TopicPartition;

/// Where mistakes go.
#[derive(Debug, Default)]
pub(super) struct Sink {
    diagnostics: RefCell<Vec<Diagnostic>>,
    doubtful: RefCell<Vec<String>>,
}

impl Sink {
    /// Records a mistake. If it is an error, what is at `path` is doubtful from now on.
    pub fn report(&self, path: &str, place: &Place, diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            self.doubtful.borrow_mut().push(path.to_owned());
        }
        self.diagnostics.borrow_mut().push(place.mark(diagnostic));
    }

    /// Is everything at, below and around these paths as the file meant it?
    pub fn trusts(&self, paths: &[&str]) -> bool {
        let within = |inner: &str, outer: &str| {
            inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
        };
        let doubtful = self.doubtful.borrow();
        !paths.iter().any(|path| doubtful.iter().any(|bad| within(path, bad) || within(bad, path)))
    }

    /// Everything recorded, in the order of the file.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort_by_key(|d| (d.span.is_none(), d.span.as_ref().map(|s| s.start)));
        diagnostics
    }
}

/// A table, or the absence of one.
pub(super) struct Fields<'a> {
    node: Option<&'a Node>,
    place: Place,
    path: String,
    sink: &'a Sink,
}

impl<'a> Fields<'a> {
    /// The whole document.
    pub fn root(document: &'a Document, sink: &'a Sink, known: &Table) -> Self {
        let fields = Self { node: Some(&document.root), place: Place::File(0..0), path: String::new(), sink };
        fields.refuse_unknown(&format::names(known));
        fields
    }

    /// A table within this one; absent ones read as empty.
    pub fn table(&self, key: &str, known: &Table) -> Fields<'a> {
        match self.get(key) {
            Some(field) => field.table(known).unwrap_or_else(|| self.absent(key)),
            None => self.absent(key),
        }
    }

    fn absent(&self, key: &str) -> Fields<'a> {
        Fields { node: None, place: self.place.clone(), path: join(&self.path, key), sink: self.sink }
    }

    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.node?.entry(key)?;
        let field = Field { node: &entry.node, key_place: &entry.place, path: join(&self.path, key), sink: self.sink };
        Some(field)
    }

    /// A key that must be there; `example` shows how.
    pub fn require(&self, key: &str, example: &str) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let what = if self.path.is_empty() { "the scenario".into() } else { display(&self.path) };
            let diagnostic = Diagnostic::error(codes::MISSING_KEY, format!("{what} has no `{key}`"))
                .label(format!("expected `{key}` in this table"))
                .help(format!("add `{example}`"));
            self.sink.report(&join(&self.path, key), &self.place, diagnostic);
        }
        field
    }

    /// The keys that are given, of those in `keys`, in the file's order.
    pub fn given(&self, keys: &[&str]) -> Vec<Field<'a>> {
        let entries = self.node.map_or(&[][..], Node::entries);
        entries.iter().filter(|e| keys.contains(&e.key.as_str())).filter_map(|e| self.get(&e.key)).collect()
    }

    pub fn report(&self, diagnostic: Diagnostic) {
        self.sink.report(&self.path, &self.place, diagnostic);
    }

    fn refuse_unknown(&self, known: &[&str]) {
        for entry in self.node.map_or(&[][..], Node::entries) {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let place = if self.path.is_empty() { "a scenario".into() } else { display(&self.path) };
            let diagnostic = Diagnostic::error(codes::UNKNOWN_KEY, format!("{place} has no key `{}`", entry.key));
            let diagnostic = match nearest(&entry.key, known.iter().copied()) {
                Some(name) => diagnostic.label(format!("expected `{name}`?")).help(format!("did you mean `{name}`?")),
                None => match format::home_of(&entry.key) {
                    // TOML's own trap: after a table's header every key is that table's.
                    Some(home) => diagnostic.label(format!("belongs {home}")).help(format!(
                        "`{}` stands {home}; known here: {}",
                        entry.key,
                        known.join(", ")
                    )),
                    None => diagnostic.label("unknown key").help(format!("known keys: {}", known.join(", "))),
                },
            };
            self.sink.report(&join(&self.path, &entry.key), &entry.place, diagnostic);
        }
    }
}

/// One value that is there.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub node: &'a Node,
    pub key_place: &'a Place,
    pub path: String,
    pub sink: &'a Sink,
}

impl<'a> Field<'a> {
    pub fn report(&self, diagnostic: Diagnostic) {
        self.sink.report(&self.path, &self.node.place, diagnostic);
    }

    /// The key; for a list's item the list's.
    pub fn key(&self) -> &str {
        self.path.rsplit('.').find(|part| !part.bytes().all(|b| b.is_ascii_digit())).unwrap_or(&self.path)
    }

    /// Says that the value is of the wrong type, and what was wanted.
    pub fn wrong_type<T>(&self, expected: &str, help: Option<String>) -> Option<T> {
        let message = format!("`{}` is {}, not {expected}", self.key(), self.node.type_name());
        let mut diagnostic = Diagnostic::error(codes::WRONG_TYPE, message).label(format!("expected {expected}"));
        diagnostic.help = help;
        self.report(diagnostic);
        None
    }

    pub fn text(&self) -> Option<String> {
        match (&self.node.value, &self.node.raw) {
            (Value::Text(text), _) => Some(text.clone()),
            (Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Datetime, Some(raw)) => {
                Some(raw.to_string())
            }
            (Value::Integer(n), _) => self.wrong_type("text", Some(format!("quote it: \"{n}\""))),
            (Value::Float(n), _) => self.wrong_type("text", Some(format!("quote it: \"{n}\""))),
            _ => self.wrong_type("text", None),
        }
    }

    pub fn flag(&self) -> Option<bool> {
        match (&self.node.value, self.node.raw.as_deref()) {
            (Value::Bool(value), _) => Some(*value),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => self.wrong_type("true or false", None),
        }
    }

    pub fn flag_or_number_or_text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => self.wrong_type("text, a number, true or false", None),
        }
    }

    pub fn duration(&self) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"6s\"";
        let text = match &self.node.value {
            Value::Text(text) => text,
            Value::Integer(n) => {
                return self.wrong_type(EXPECTED, Some(format!("give it a unit: \"{n}s\" or \"{n}ms\"")));
            }
            _ => return self.wrong_type(EXPECTED, None),
        };
        match values::duration(text) {
            Ok(duration) => Some(duration),
            Err(why) => {
                self.report(
                    Diagnostic::error(codes::BAD_DURATION, format!("`{text}` is not a duration: {why}"))
                        .label(format!("expected {EXPECTED}"))
                        .help("units are us, ms, s, m and h: \"250ms\", \"1.5s\", \"2m\""),
                );
                None
            }
        }
    }

    /// A duration that must not be zero.
    pub fn some_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.zero("a duration above zero");
            return None;
        }
        Some(duration)
    }

    pub fn size(&self) -> Option<u64> {
        const EXPECTED: &str = "a size such as \"256B\"";
        let text = match &self.node.value {
            Value::Text(text) => text,
            Value::Integer(n) => return self.wrong_type(EXPECTED, Some(format!("give it a unit: \"{n}B\""))),
            _ => return self.wrong_type(EXPECTED, None),
        };
        match values::size(text) {
            Ok(size) => Some(size),
            Err(why) => {
                self.report(
                    Diagnostic::error(codes::BAD_SIZE, format!("`{text}` is not a size: {why}"))
                        .label(format!("expected {EXPECTED}"))
                        .help("units are B, KiB, MiB, GiB (1024 each) and KB, MB, GB (1000 each)"),
                );
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub fn integer(&self, least: i64, most: i64) -> Option<i64> {
        let number = match &self.node.value {
            Value::Integer(number) => *number,
            Value::Text(text) if text.trim().parse::<i64>().is_ok() => {
                return self.wrong_type("a whole number", Some(format!("take off the quotes: {}", text.trim())));
            }
            _ => return self.wrong_type("a whole number", None),
        };
        if number == 0 && least == 1 {
            self.zero("at least 1");
            return None;
        }
        match i64::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let message = format!("`{}` is out of range", self.key());
                let expected = if most >= i64::from(u32::MAX) {
                    format!("expected {least} or more")
                } else {
                    format!("expected {least} to {most}")
                };
                self.report(Diagnostic::error(codes::NUMBER_OUT_OF_RANGE, message).label(expected));
                None
            }
        }
    }

    /// A whole number from 1 to `most`.
    pub fn count(&self, most: u32) -> Option<u32> {
        self.integer(1, i64::from(most)).and_then(|number| u32::try_from(number).ok())
    }

    /// A whole number from 0.
    pub fn tally(&self) -> Option<u64> {
        self.integer(0, i64::MAX).and_then(|number| u64::try_from(number).ok())
    }

    pub fn share(&self) -> Option<f64> {
        let number = match self.node.value {
            Value::Float(number) => number,
            Value::Integer(number) => number as f64,
            _ => return self.wrong_type("a share between 0 and 1", None),
        };
        if (0.0..=1.0).contains(&number) {
            return Some(number);
        }
        let mut diagnostic =
            Diagnostic::error(codes::SHARE_OUT_OF_RANGE, format!("`{}` is a share, and {number} is none", self.key()))
                .label("expected a number from 0 to 1");
        if number > 1.0 && number <= 100.0 {
            diagnostic = diagnostic.help(format!("for {number} percent write {}", number / 100.0));
        }
        self.report(diagnostic);
        None
    }

    /// One of a closed set of words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let Value::Text(text) = &self.node.value else {
            let names: Vec<_> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            return self.wrong_type(&format!("one of {}", names.join(", ")), None);
        };
        let found = words.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
            self.unknown_word(text, &names);
        }
        found
    }

    pub fn unknown_word(&self, text: &str, names: &[&str]) {
        let diagnostic = Diagnostic::error(codes::UNKNOWN_WORD, format!("`{text}` is not a value of `{}`", self.key()));
        let near = nearest(text, names.iter().copied());
        let label = near.map_or("expected one of the known words".into(), |name| format!("expected \"{name}\"?"));
        let help = match near {
            _ if names.len() <= 20 => format!("known words: {}", names.join(", ")),
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "the names are those of Kafka's protocol, such as NOT_LEADER_OR_FOLLOWER".into(),
        };
        self.report(diagnostic.label(label).help(help));
    }

    pub fn topic_partition(&self) -> Option<TopicPartition> {
        let text = match &self.node.value {
            Value::Text(text) => text,
            _ => return self.wrong_type("a topic partition such as \"orders/0\"", None),
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.report(
                Diagnostic::error(codes::BAD_TOPIC_PARTITION, format!("`{text}` is not a topic partition"))
                    .label("expected topic/number, such as \"orders/0\""),
            );
        }
        parsed
    }

    /// The value's items; anything but a list is wrong.
    pub fn items(&self) -> Vec<Field<'a>> {
        let Value::Array(items) = &self.node.value else {
            let help = match &self.node.value {
                Value::Text(text) => Some(format!("put it into brackets: [\"{text}\"]")),
                _ => None,
            };
            self.wrong_type::<()>("a list", help);
            return Vec::new();
        };
        let at = |(index, node): (usize, &'a Node)| Field {
            node,
            key_place: &node.place,
            path: join(&self.path, &index.to_string()),
            sink: self.sink,
        };
        items.iter().enumerate().map(at).collect()
    }

    /// The value as a table of the format.
    pub fn table(&self, known: &Table) -> Option<Fields<'a>> {
        self.table_of(&format::names(known))
    }

    /// The entries of a table; none of anything else.
    pub fn entries(&self) -> Vec<Field<'a>> {
        let entry = |entry: &'a super::document::Entry| Field {
            node: &entry.node,
            key_place: &entry.place,
            path: join(&self.path, &entry.key),
            sink: self.sink,
        };
        self.node.entries().iter().map(entry).collect()
    }

    /// The entries of a table of free names, which is reported if it is none.
    pub fn named(&self) -> Vec<(&'a str, Field<'a>)> {
        if !matches!(self.node.value, Value::Table(_)) {
            self.wrong_type::<()>("a table", None);
        }
        self.node.entries().iter().map(|entry| entry.key.as_ref()).zip(self.entries()).collect()
    }

    /// The value as a table of these keys.
    pub fn table_of(&self, known: &[&str]) -> Option<Fields<'a>> {
        if !matches!(self.node.value, Value::Table(_)) {
            return self.wrong_type("a table", None);
        }
        let fields = self.fields();
        fields.refuse_unknown(known);
        Some(fields)
    }

    /// The value as a table, without looking at its keys.
    pub fn fields(&self) -> Fields<'a> {
        // A missing key is shown at the table's header, or at its braces when it is an inline one.
        let place = match (&self.node.place, self.key_place) {
            (Place::File(_), Place::File(key)) if matches!(self.node.value, Value::Table(_)) => {
                Place::File(key.clone())
            }
            (place, _) => place.clone(),
        };
        Fields { node: Some(self.node), place, path: self.path.clone(), sink: self.sink }
    }

    fn zero(&self, expected: &str) {
        let message = format!("`{}` is zero", self.key());
        self.report(Diagnostic::error(codes::ZERO, message).label(format!("expected {expected}")));
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A table's path as a person would name it: `[cluster.config]`, `[[fault]]`, or `cut` for what is deeper.
pub(super) fn display(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts[..] {
        ["fault", _] => "[[fault]]".into(),
        ["fault", _, ref rest @ ..] => format!("`{}`", rest.join(".")),
        _ => format!("[{path}]"),
    }
}
