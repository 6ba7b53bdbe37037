//! A TOML document as a tree in which everything knows its place, with overrides from the command line applied.
//!
//! It stands between the parser and the reader: the reader sees one tree and need not know whether a value was in
//! the file or given with `--set`.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Source, codes};

/// Where something is: in the file, or in an override.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    File(Range<usize>),
    Override(Arc<str>),
}

impl Place {
    /// Puts a diagnostic here.
    pub fn mark(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Self::File(span) => diagnostic.span = Some(span.clone()),
            Self::Override(given) => diagnostic.given = Some(given.to_string()),
        }
        diagnostic
    }

    /// Adds this place to a diagnostic that is elsewhere.
    pub fn relate(&self, diagnostic: Diagnostic, note: &str) -> Diagnostic {
        match self {
            Self::File(span) => diagnostic.related(span.clone(), note),
            Self::Override(_) => diagnostic,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
    /// What stood on the command line: `--set cluster.kafka=4.1` is text where text is wanted.
    pub raw: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Beyond 128 bits it is the nearest that fits: out of every range anyway.
    Integer(i128),
    Float(f64),
    Bool(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a table, in the file's order; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The value's type, as a person would say it.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Bool(_) => "true or false",
            Value::Datetime => "a date or time",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// The whole file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub root: Node,
}

/// Tables whose keys are verbatim: an override's remaining path is one key there, dots and all.
const VERBATIM: [[&str; 2]; 3] = [["cluster", "config"], ["subject", "settings"], ["subject", "client"]];

impl Document {
    /// Parses the file and applies the overrides, in order.
    pub fn parse(source: &Source, overrides: &[(String, String)]) -> Result<Self, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty() {
            return Err(syntax_errors(source, &errors));
        }
        let span = table.span();
        let root = Node { value: table_of(table.into_inner()), place: Place::File(span), raw: None };
        let mut document = Self { root };
        let refused: Vec<_> = overrides
            .iter()
            .filter_map(|(path, value)| document.set(path, value).err().map(|refused| *refused))
            .collect();
        if refused.is_empty() { Ok(document) } else { Err(refused) }
    }

    /// The place of a dotted path's value, or of the nearest table around it that exists.
    pub fn place(&self, path: &[&str]) -> Place {
        let mut node = &self.root;
        let mut place = &self.root.place;
        for key in path {
            if let (Value::Array(items), Ok(index)) = (&node.value, key.parse::<usize>()) {
                let Some(item) = items.get(index) else { break };
                (node, place) = (item, &item.place);
            } else {
                let Some(entry) = node.entry(key) else { break };
                // For a table its header or key says more than all of its lines.
                place = if matches!(entry.node.value, Value::Table(_)) { &entry.place } else { &entry.node.place };
                node = &entry.node;
            }
        }
        match place {
            // Nothing of the path exists: the file's beginning, not the whole file.
            Place::File(_) if std::ptr::eq(place, &self.root.place) => Place::File(0..0),
            place => place.clone(),
        }
    }

    /// The place of a dotted path's last key, where [`Document::place`] gives its value's.
    pub fn key_place(&self, path: &[&str]) -> Place {
        let Some((last, table)) = path.split_last() else { return self.place(path) };
        let mut node = Some(&self.root);
        for key in table {
            node = node.and_then(|node| node.get(key));
        }
        node.and_then(|node| node.entry(last)).map_or_else(|| self.place(path), |entry| entry.place.clone())
    }

    /// Is there a value at this path?
    pub fn has(&self, path: &[&str]) -> bool {
        let mut node = &self.root;
        for key in path {
            let next = match &node.value {
                Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(key),
            };
            let Some(next) = next else { return false };
            node = next;
        }
        true
    }

    fn set(&mut self, path: &str, text: &str) -> Result<(), Box<Diagnostic>> {
        let given: Arc<str> = format!("{path}={text}").into();
        let place = Place::Override(given);
        let refuse = |message: String| {
            let diagnostic = Diagnostic::error(codes::BAD_OVERRIDE, message)
                .label("expected the place of a value, as in `workload.rate=800`")
                .help("faults count from 0 (`fault.0.lasts=10s`) or go by label (`fault.cut.lasts=10s`)");
            Box::new(place.mark(diagnostic))
        };
        let keys = split(path).ok_or_else(|| refuse(format!("`{path}` is not the place of a value")))?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        if keys[0] == "fault" && keys.len() > 1 && self.root.get("fault").is_none() {
            return Err(refuse("the file has no faults".into()));
        }
        let mut node = &mut self.root;
        for (depth, key) in keys.iter().enumerate() {
            let here = keys[..depth].join(".");
            let last = depth + 1 == keys.len();
            let slot = match &mut node.value {
                Value::Table(entries) => {
                    let index = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                        let node = Node { value: Value::Table(Vec::new()), place: place.clone(), raw: None };
                        entries.push(Entry { key: (*key).to_owned(), place: place.clone(), node });
                        entries.len() - 1
                    });
                    if last {
                        entries[index].place = place.clone();
                    }
                    &mut entries[index].node
                }
                Value::Array(items) => {
                    let labelled =
                        |item: &Node| matches!(item.get("label").map(|n| &n.value), Some(Value::Text(t)) if t == key);
                    let index = items.iter().position(labelled).or_else(|| key.parse().ok());
                    let count = items.len();
                    index
                        .and_then(|index| items.get_mut(index))
                        .ok_or_else(|| refuse(format!("`{here}` has {count} entries and none is `{key}`")))?
                }
                _ => return Err(refuse(format!("`{here}` is a value, so it has no `{key}`"))),
            };
            node = slot;
        }
        // What is no TOML value is text: nobody quotes `6s` on a command line.
        let value = match DeValue::parse(text) {
            Ok(value) => value_of(value.into_inner(), &mut |_| place.clone()),
            Err(_) => Value::Text(text.to_owned()),
        };
        *node = Node { value, place, raw: Some(text.into()) };
        Ok(())
    }
}

/// The keys of a dotted path; quoted parts keep their dots.
fn split(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![String::new()];
    let mut quoted = false;
    for c in path.chars() {
        let verbatim = keys.len() == 3 && VERBATIM.iter().any(|t| keys[..2] == *t);
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted && !verbatim => keys.push(String::new()),
            c => keys.last_mut()?.push(c),
        }
    }
    (!quoted && keys.iter().all(|key| !key.is_empty())).then_some(keys)
}

fn table_of(table: DeTable<'_>) -> Value {
    table_with(table, &mut Place::File)
}

fn table_with(table: DeTable<'_>, place: &mut dyn FnMut(Range<usize>) -> Place) -> Value {
    let mut entries: Vec<(Range<usize>, Entry)> = Vec::with_capacity(table.len());
    for (key, value) in table {
        let span = key.span();
        let node = node_of(value, place);
        entries.push((span.clone(), Entry { key: key.into_inner().into_owned(), place: place(span), node }));
    }
    // The map is ordered by name; messages and labels follow the file.
    entries.sort_by_key(|(span, _)| span.start);
    Value::Table(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn node_of(value: Spanned<DeValue<'_>>, place: &mut dyn FnMut(Range<usize>) -> Place) -> Node {
    let span = value.span();
    Node { value: value_of(value.into_inner(), place), place: place(span), raw: None }
}

fn value_of(value: DeValue<'_>, place: &mut dyn FnMut(Range<usize>) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(integer(number.as_str(), number.radix())),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.iter().map(|item| node_of(item.clone(), place)).collect()),
        DeValue::Table(table) => table_with(table, place),
    }
}

fn integer(digits: &str, radix: u32) -> i128 {
    let beyond = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(digits, radix).unwrap_or(beyond)
}

/// One message a line: what follows from the same slip says nothing new.
fn syntax_errors(source: &Source, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut lines = Vec::new();
    let mut diagnostics = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = source.position(span.start).0;
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let (message, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
        let label = match expected {
            "" if message.contains("duplicate key") => "expected it once".to_owned(),
            "" => "expected valid TOML".to_owned(),
            expected => format!("expected {expected}"),
        };
        let mut diagnostic = Diagnostic::error(codes::SYNTAX, format!("not TOML: {message}")).at(span).label(label);
        if let Some(help) = remedy(message) {
            diagnostic = diagnostic.help(help);
        }
        diagnostics.push(diagnostic);
    }
    diagnostics
}

fn remedy(message: &str) -> Option<&'static str> {
    if message.contains("duplicate key") {
        Some("a key is given once, and a table such as `[topic]` is opened once: merge the two")
    } else if message.contains("string values must be quoted") || message.contains("invalid unquoted") {
        Some("text, durations and sizes are quoted: `lasts = \"6s\"`")
    } else {
        None
    }
}
