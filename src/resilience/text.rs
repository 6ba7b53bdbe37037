//! How values are written in a settings file: durations as text ("100ms", "1m 30s"), an absent value as "none".
//!
//! It owns `serde(with = …)` modules only. TOML has no null, so that an absent value needs a word of its own: leaving
//! the key out means "the default", which may well be a value.

use std::time::Duration;

const NONE: &str = "none";

/// A duration as text, by `humantime`.
pub mod duration {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes "1s 500ms".
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    /// Reads what [`serialize`] writes, and any other text that `humantime` reads.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A duration as text, or "none".
pub mod optional_duration {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes "1s 500ms" or "none".
    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    /// Reads what [`serialize`] writes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        match String::deserialize(deserializer)?.trim() {
            NONE => Ok(None),
            text => super::parse(text).map(Some).map_err(D::Error::custom),
        }
    }
}

/// A number, or "none".
pub mod optional_number {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the number or "none".
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_f64(*value),
            None => serializer.serialize_str(NONE),
        }
    }

    /// Reads a number, a number as text, or "none".
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number or \"none\"")]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Some(number)),
            Written::Text(text) if text.trim() == NONE => Ok(None),
            Written::Text(text) => {
                let expected = || D::Error::custom(format!("{text:?} is neither a number nor \"none\""));
                text.trim().parse().map(Some).map_err(|_| expected())
            }
        }
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|error| format!("{text:?} is not a duration like \"250ms\": {error}"))
}
