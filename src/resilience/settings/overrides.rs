//! Replacing values by their dotted names: what a settings file, environment variables and a command line have in common.
//!
//! The known names are those of the settings themselves, written as a TOML table; nothing here lists them again.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Profile, Settings, SettingsError};

/// A value as given.
enum Given {
    /// Text of unknown type: it is read as what the key holds.
    Text(String),
    /// A typed value of a TOML file.
    Typed(Value),
}

pub(super) fn apply_text(
    base: &Settings,
    overrides: &BTreeMap<String, String>,
) -> Result<Settings, Vec<SettingsError>> {
    apply(base, overrides.iter().map(|(key, value)| (key.clone(), Given::Text(value.clone()))))
}

/// The profile's values, replaced by a file's, replaced by the environment's, replaced by text overrides.
pub(super) fn from_sources(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &BTreeMap<String, String>,
) -> Result<Settings, Vec<SettingsError>> {
    let mut mistakes = Vec::new();
    let table: Table = text.parse().unwrap_or_else(|error: toml::de::Error| {
        mistakes.push(SettingsError::Syntax(error.to_string()));
        Table::new()
    });
    let mut given = Vec::new();
    flatten("", table, &mut given);
    let mut given: Vec<(String, Given)> = given.into_iter().map(|(key, value)| (key, Given::Typed(value))).collect();
    let environment: BTreeMap<String, String> =
        environment.into_iter().filter_map(|(name, value)| Some((key_of(&name)?, value))).collect();
    for (key, value) in environment.iter().chain(overrides) {
        given.push((key.clone(), Given::Text(value.clone())));
    }
    // The last word on the profile decides what all the others replace.
    let profile = given.iter().rev().find(|(key, _)| key == "profile").and_then(|(_, given)| match given {
        Given::Text(name) | Given::Typed(Value::String(name)) => name.trim().parse::<Profile>().ok(),
        Given::Typed(_) => None,
    });
    match apply(&Settings::for_profile(profile.unwrap_or_default()), given.into_iter()) {
        Ok(settings) if mistakes.is_empty() => Ok(settings),
        Ok(_) => Err(mistakes),
        Err(more) => Err(mistakes.into_iter().chain(more).collect()),
    }
}

/// The key that an environment variable sets: `SEAWORTHY__RETRY__MAX_RETRIES` is "retry.max-retries",
/// `SEAWORTHY__CLIENT__SOCKET_TIMEOUT_MS` the client's "socket.timeout.ms". `None`: it is none of ours.
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(super::ENVIRONMENT_PREFIX)?.to_ascii_lowercase();
    Some(match name.split_once("__") {
        // No property of librdkafka has a dash or an underscore.
        Some(("client", property)) => format!("client.{}", property.replace('_', ".")),
        Some((section, key)) => format!("{section}.{}", key.replace('_', "-")),
        None => name.replace('_', "-"),
    })
}

fn apply(base: &Settings, given: impl Iterator<Item = (String, Given)>) -> Result<Settings, Vec<SettingsError>> {
    let mut table = match Table::try_from(base) {
        Ok(table) => table,
        Err(error) => return Err(vec![SettingsError::Syntax(error.to_string())]),
    };
    let mut known = Vec::new();
    flatten("", table.clone(), &mut known);
    let mut mistakes = Vec::new();
    for (key, given) in given {
        let old = known.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        let is_client = key.strip_prefix("client.").is_some_and(|property| !property.is_empty());
        if old.is_none() && !is_client {
            let nearest = nearest(&key, known.iter().map(|(name, _)| name.as_str())).map(String::from);
            mistakes.push(SettingsError::UnknownKey { key, nearest });
            continue;
        }
        let shown = match &given {
            Given::Text(text) => text.clone(),
            Given::Typed(Value::String(text)) => text.clone(),
            Given::Typed(value) => value.to_string(),
        };
        let mut changed = table.clone();
        let outcome = read(given, old).and_then(|value| {
            put(&mut changed, &key, value);
            changed.clone().try_into::<Settings>().map(drop).map_err(|error| error.message().to_string())
        });
        match outcome {
            Ok(()) => table = changed,
            Err(problem) => mistakes.push(SettingsError::Value { key, value: shown, problem }),
        }
    }
    let settings = match table.try_into::<Settings>() {
        Ok(settings) => settings,
        Err(error) => {
            mistakes.push(SettingsError::Syntax(error.to_string()));
            return Err(mistakes);
        }
    };
    if let Err(more) = settings.validate() {
        mistakes.extend(more);
    }
    if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
}

/// Text as the type of the value that it replaces. Typed values stay, but for client properties, which are text to
/// librdkafka.
fn read(given: Given, old: Option<&Value>) -> Result<Value, String> {
    let text = match given {
        Given::Typed(value @ Value::String(_)) => return Ok(value),
        Given::Typed(value) if old.is_some_and(|old| !old.is_str()) => return Ok(value),
        Given::Typed(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => value.to_string(),
        Given::Typed(value) => return Err(format!("is {} and not a text or number", value.type_str())),
        Given::Text(text) => text.trim().to_string(),
    };
    match old {
        Some(Value::Integer(_)) => text.parse().map(Value::Integer).map_err(|_| "is not a whole number".into()),
        Some(Value::Float(_)) if text == "none" => Ok(Value::String(text)),
        Some(Value::Float(_)) => text.parse().map(Value::Float).map_err(|_| "is not a number".into()),
        Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).map_err(|_| "is neither true nor false".into()),
        _ => Ok(Value::String(text)),
    }
}

/// All values with their dotted names.
fn flatten(prefix: &str, table: Table, into: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&key, table, into),
            value => into.push((key, value)),
        }
    }
}

/// Names have a section and a rest; the rest of a client property has dots of its own.
fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, name)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(name.into(), value);
            }
        }
        None => {
            table.insert(key.into(), value);
        }
    }
}

/// The name that differs in the fewest letters, if those are few.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    known.map(|other| (distance(name, other), other)).filter(|(distance, _)| *distance <= most).min().map(|best| best.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
