//! An application of one's own, in whatever language: how it is started, recognised as ready and ended, and how its
//! records are told apart.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EffectSink, MetricsPlan, text};

/// `[subject]` of any kind but pipeline: what the built-in one does not need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForeignPlan {
    /// Kind container: the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Program and arguments, with [placeholders](PLACEHOLDERS). Of a process: run in the scenario file's folder. Of a
    /// container: in place of the image's own command, if there are any. Of a custom one: none.
    pub command: Vec<String>,
    /// Variables besides the `SEAWORTHY_…` ones, with placeholders.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where a record's identity stands in what the application writes.
    #[serde(default)]
    pub identity: Identity,
    /// What a complete dead letter has.
    #[serde(default)]
    pub dead_letter_headers: HeaderConvention,
    /// When load may count.
    pub ready: Ready,
    /// How long after SIGTERM it may take to end before it is killed.
    #[serde(with = "text::duration")]
    pub stop_grace: Duration,
    /// Effects of one key come in the order of their sends: `reordered` is fatal.
    #[serde(default)]
    pub ordered: bool,
    /// One record, one effect (of each part): `duplicate-effect` is fatal.
    #[serde(default)]
    pub exactly_once: bool,
    /// Where its effects show.
    #[serde(default, skip_serializing_if = "EffectSink::is_topic")]
    pub sink: EffectSink,
    /// Effects of each record; several are told apart by [`PART_HEADER`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub effects: u32,
    /// Keys whose records it leaves out on purpose, as the file lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<String>,
    /// Metrics that become signals of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsPlan>,
}

fn one() -> u32 {
    1
}

fn is_one(effects: &u32) -> bool {
    *effects == 1
}

/// The header that tells a record's effects apart where it has several: `0`, `1`, … as text.
pub const PART_HEADER: &str = "seaworthy-part";

/// The most effects that a record can have.
pub const MOST_EFFECTS: u32 = 32;

/// What the application owes for each record that it processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed<'p> {
    /// So many effects.
    pub effects: u32,
    /// Nothing for records with these keys.
    pub drops: &'p [String],
}

/// Names that may stand in braces in `command` and `env`, and what each becomes.
pub const PLACEHOLDERS: [(&str, &str); 7] = [
    ("bootstrap", "SEAWORTHY_BOOTSTRAP_SERVERS"),
    ("input", "SEAWORTHY_INPUT_TOPIC"),
    ("output", "SEAWORTHY_OUTPUT_TOPIC"),
    ("dead-letter", "SEAWORTHY_DLQ_TOPIC"),
    ("group", "SEAWORTHY_GROUP_ID"),
    ("member", "SEAWORTHY_MEMBER"),
    ("seed", "SEAWORTHY_SEED"),
];

/// Where a record's identity is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// In the header `seaworthy-id`.
    #[default]
    Header,
    /// The value is passed on as it was.
    Value,
    /// At this JSON pointer (RFC 6901) of the value.
    Json(String),
}

/// Headers by which a dead letter tells where it came from and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderConvention {
    /// Nothing is promised, so nothing can be incomplete.
    #[default]
    None,
    /// The ones that this library writes.
    Seaworthy,
}

/// What tells that the application does its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// The consumer group is stable and owns every input topic partition, within this time.
    GroupStable(#[serde(with = "text::duration")] Duration),
    /// Every member has written this text to its output.
    Line {
        text: String,
        #[serde(with = "text::duration")]
        within: Duration,
    },
    /// Every member answers a GET of this URL with a status of 2xx. With placeholders: each member has its own port.
    Http {
        url: String,
        #[serde(with = "text::duration")]
        within: Duration,
    },
}

impl Ready {
    /// The longest that it may take.
    pub fn within(&self) -> Duration {
        match self {
            Self::GroupStable(within) | Self::Line { within, .. } | Self::Http { within, .. } => *within,
        }
    }

    /// The text to look for in a member's output.
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Line { text, .. } => Some(text.clone()),
            Self::GroupStable(_) | Self::Http { .. } => None,
        }
    }
}

/// Placeholders of a text, in order: what stands in braces and is written in small letters and hyphens. Other braces
/// (JSON, shell) are text.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

/// The text with its placeholders replaced; unknown ones stay.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}').and_then(|(name, tail)| Some((value(name)?, tail))) {
            Some((value, tail)) => {
                filled.push_str(&value);
                rest = tail;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_names_in_braces_and_json_is_not() {
        let found: Vec<_> = placeholders(r#"{input} --x={out-put} {"a":{}} {A} ${HOME} {"#).collect();
        assert_eq!(found, ["input", "out-put"]);
    }

    #[test]
    fn known_placeholders_are_replaced_and_all_else_stays() {
        let value = |name: &str| (name == "input").then(|| "orders".to_owned());
        assert_eq!(fill(r#"{input}/{"a":"{input}"} {other} {"#, value), r#"orders/{"a":"orders"} {other} {"#);
    }

    #[test]
    fn a_plan_from_before_there_were_parts_and_filters_owes_one_effect_for_each_record() {
        let text = "command = [\"app\"]\nstop-grace = \"10s\"\n[ready]\ngroup-stable = \"1m\"\n";
        let plan: ForeignPlan = toml::from_str(text).unwrap();
        assert_eq!((plan.effects, &plan.drops[..], &plan.sink), (1, &[][..], &EffectSink::Topic));
        // And is written as it was.
        let written = toml::to_string(&plan).unwrap();
        assert!(["effects", "drops", "sink"].iter().all(|key| !written.contains(key)), "{written}");
        let more =
            ForeignPlan { effects: 3, drops: vec!["k1".into()], sink: EffectSink::Http("http://x".into()), ..plan };
        assert_eq!(toml::from_str::<ForeignPlan>(&toml::to_string(&more).unwrap()).unwrap(), more);
    }
}
