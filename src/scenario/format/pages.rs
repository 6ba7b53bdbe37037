//! The format for people: one key for `seaworthy explain`, all tables for `docs/scenarios.md`.

use std::fmt::Write;

use super::{Absent, FAULT, Kind, TABLES, Table};

/// Every key's name, each once, in alphabetical order.
pub fn words() -> Vec<&'static str> {
    let mut words: Vec<_> = TABLES.iter().flat_map(|table| table.keys).map(|key| key.name).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Where a key belongs that stands in the wrong table: the top level, or a table that is opened with a header.
pub fn home_of(name: &str) -> Option<String> {
    let has = |table: &&&Table| table.keys.iter().any(|key| key.name == name);
    let table = TABLES.iter().filter(|t| t.name.is_empty() || t.name.starts_with('[')).find(has)?;
    let top = "at the top level, above the first table".to_owned();
    Some(if table.name.is_empty() { top } else { format!("in {}", table.name) })
}

/// What a key means, in every table that has it; `None` if none has.
pub fn explain(name: &str) -> Option<String> {
    let line = |table: &&Table| {
        let key = table.keys.iter().find(|key| key.name == name)?;
        let place = if table.name.is_empty() { "top level" } else { table.name };
        Some(format!("{place}: {name} ({}; {})\n  {}", key.kind.text(), key.default.text(), key.text))
    };
    let lines: Vec<_> = TABLES.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

impl Absent {
    /// For people: "default 3", "required".
    pub fn text(self) -> String {
        match self {
            Self::Required => "required".into(),
            Self::Is(value) => format!("default {value}"),
            Self::Else("-") => "one kind in each [[fault]]".into(),
            Self::Else(words) => format!("default: {words}"),
        }
    }
}

impl Kind {
    /// For people: "duration", "refuse | blackhole".
    pub fn text(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Texts => "list of text".into(),
            Self::Duration => "duration".into(),
            Self::SomeDuration => "duration above 0".into(),
            Self::Size => "size".into(),
            Self::Bytes => "size or number".into(),
            Self::Whole(least, most) if most >= i64::from(u32::MAX) => format!("whole number from {least}"),
            Self::Whole(least, most) => format!("whole number, {least} to {most}"),
            Self::Share => "share, 0 to 1".into(),
            Self::Word(words) => words.join(" | "),
            Self::Words(words) => format!("list of {}", words.join(" | ")),
            Self::ErrorName => "error name".into(),
            Self::TopicPartition => "topic partition, \"orders/0\"".into(),
            Self::Target => "target".into(),
            Self::Member => "number from 0, or \"any\"".into(),
            Self::Properties => "table of properties".into(),
            Self::Series => "table of time series".into(),
            Self::Flag => "true | false".into(),
            Self::Pointer => "JSON pointer, \"/order/id\"".into(),
            Self::Limit => "duration, or { within, since }".into(),
            Self::Identity => "\"header\" | \"value\" | { json = \"/…\" }".into(),
            Self::Sink => "\"topic\" | \"stdout\" | { http = \"http://…\" }".into(),
            Self::Table(_) => "table".into(),
            Self::Tables(_) => "list of tables".into(),
            Self::Targeted(table) if table.keys.len() == 1 => "target".into(),
            Self::Targeted(_) => "target, or table".into(),
            Self::Counts => "table of whole numbers from 0".into(),
            Self::Progress => "whole number, or { records, of }".into(),
        }
    }
}

/// The tables of `docs/scenarios.md`.
pub fn markdown() -> String {
    let mut page = String::new();
    for table in TABLES {
        // Writing to a String cannot fail.
        let _ = one_table(&mut page, table);
    }
    page
}

fn one_table(page: &mut String, table: &Table) -> std::fmt::Result {
    let title = match table.name {
        "" => "The file".to_owned(),
        name if name.starts_with('[') => format!("`{name}`"),
        name => name.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let level = if table.name.is_empty() || table.name.starts_with('[') { "##" } else { "###" };
    writeln!(page, "{level} {title}\n{}\n", table.text)?;
    writeln!(page, "| key | value | default | meaning |\n|---|---|---|---|")?;
    for key in table.keys {
        let cell = |text: String| text.replace('|', "\\|");
        let default = match key.default {
            Absent::Required => "**required**".into(),
            Absent::Is(value) => format!("`{value}`"),
            Absent::Else("-") => "".into(),
            Absent::Else(words) => words.to_owned(),
        };
        let value = match key.kind {
            Kind::Word(words) if words.len() > 6 => "one of many; the message of a wrong one lists them".into(),
            kind => kind.text(),
        };
        writeln!(page, "| `{}` | {} | {} | {} |", key.name, cell(value), cell(default), cell(key.text.to_owned()))?;
    }
    if std::ptr::eq(table, &FAULT) {
        writeln!(page, "\nThe kinds, each with what it takes:")?;
    }
    writeln!(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained_with_its_default() {
        for word in words() {
            let text = explain(word).unwrap_or_else(|| panic!("{word}"));
            assert!(text.contains(word), "{text}");
        }
        let text = explain("min-insync-replicas").unwrap();
        assert!(text.contains("[topic]") && text.contains("default: 2"), "{text}");
        assert_eq!(explain("no-such-key"), None);
    }

    #[test]
    fn no_key_is_described_twice_in_one_table() {
        for table in TABLES {
            for (index, key) in table.keys.iter().enumerate() {
                assert!(table.keys[..index].iter().all(|other| other.name != key.name), "{} {}", table.name, key.name);
                assert!(key.text.ends_with('.'), "{} {}", table.name, key.name);
            }
        }
    }
}
