//! The numbers of all components for an environment, and how a file or a command line changes them.
//!
//! It owns the values per profile, their names as dotted keys ("retry.max-retries") and the checks that span components.
//! It must not read files, the environment or a command line itself: they come as text. [`load`](Settings::load) alone does.
//!
//! Precedence, the later wins: the profile's values; the file; environment variables; overrides. `profile` may be said
//! by each of them, and the last word decides which values all the others replace.
//!
//! Every mistake is reported, not only the first.

pub(super) mod client;
mod overrides;
mod sections;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::RetryConfig;
use super::breaker::BreakerConfig;

pub use client::{ClientProperty, ClientRole, RECOVERY};
pub use sections::{ConsumerSettings, DlqSettings, HeaderPreset, MonitoringSettings, OnExhausted};

/// What environment variables of settings begin with. Sections are set off by two underscores, dashes are one:
/// `SEAWORTHY__BREAKER__RESET_TIMEOUT=2s`, `SEAWORTHY__PROFILE=production`; in `SEAWORTHY__CLIENT__…` underscores are
/// the dots of librdkafka's properties.
pub const ENVIRONMENT_PREFIX: &str = "SEAWORTHY__";

/// The environment that an application runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A developer's machine: gives up early, so that mistakes show.
    Development,
    /// Before production: production's behaviour, with less patience.
    Staging,
    /// Production: patient, quick to notice recovery, with a failure rate beside the consecutive failures.
    Production,
    /// Each component's own defaults.
    #[default]
    Default,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [Self::Development, Self::Staging, Self::Production, Self::Default];

    /// "development", "staging", "production" or "default".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == text).ok_or_else(|| SettingsError::Value {
            key: "profile".into(),
            value: text.into(),
            problem: format!("is none of {}", Self::ALL.map(Self::as_str).join(", ")),
        })
    }
}

/// A mistake in settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no such key.
    #[error("{key}: there is no such setting{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    UnknownKey {
        /// The key as given.
        key: String,
        /// The nearest key that there is, if one is near.
        nearest: Option<String>,
    },
    /// The value cannot be read as what the key holds.
    #[error("{key}: {value:?} {problem}")]
    Value {
        /// The key.
        key: String,
        /// The value as given.
        value: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// The value can be read, but is not possible, by itself or beside another.
    #[error("{key}: {problem}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong with it, with value and limit.
        problem: String,
    },
    /// The text is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("{path}: cannot be read: {problem}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's words.
        problem: String,
    },
}

/// The numbers of all components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Where they come from; chaos asks for it.
    pub profile: Profile,
    /// Retrying.
    pub retry: RetryConfig,
    /// The circuit breaker.
    pub breaker: BreakerConfig,
    /// The dead-letter queue.
    pub dlq: DlqSettings,
    /// The consumer.
    pub consumer: ConsumerSettings,
    /// Thresholds of alerts.
    pub monitoring: MonitoringSettings,
    /// librdkafka's properties that are chosen for recovery; [`RECOVERY`] has the reason for each. Others may be added.
    pub client: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::for_profile(Profile::Default)
    }
}

impl Settings {
    /// The settings of an environment. Thresholds and client properties are the same in all.
    pub fn for_profile(profile: Profile) -> Self {
        let seconds = Duration::from_secs;
        let (retry, breaker) = (RetryConfig::default(), BreakerConfig::default());
        let (retry, breaker) = match profile {
            Profile::Default => (retry, breaker),
            Profile::Development => (
                RetryConfig { max_retries: 3, max_delay: seconds(1), ..retry },
                BreakerConfig { max_failures: 10, reset_timeout: seconds(1), ..breaker },
            ),
            Profile::Staging => (
                RetryConfig { max_retries: 5, max_delay: seconds(5), deadline: Some(seconds(30)), ..retry },
                BreakerConfig { reset_timeout: seconds(2), half_open_probes: 2, ..breaker },
            ),
            // Short open times that grow: a probe costs one call, a late probe costs recovery time.
            Profile::Production => (
                RetryConfig { max_retries: 10, deadline: Some(seconds(60)), ..retry },
                BreakerConfig {
                    failure_rate: Some(0.5),
                    reset_timeout: seconds(1),
                    reset_multiplier: 2.0,
                    max_reset_timeout: seconds(5),
                    half_open_probes: 3,
                    half_open_timeout: seconds(10),
                    ..breaker
                },
            ),
        };
        Self {
            profile,
            retry,
            breaker,
            dlq: DlqSettings::default(),
            consumer: ConsumerSettings::default(),
            monitoring: MonitoringSettings::default(),
            client: RECOVERY.iter().map(|property| (property.key.into(), property.value.into())).collect(),
        }
    }

    /// These settings with some values replaced. Keys are dotted ("retry.max-retries", "client.socket.timeout.ms"),
    /// values text ("7", "250ms", "none").
    ///
    /// # Errors
    /// All unknown keys (with the nearest known), unreadable values and impossible combinations.
    pub fn with_overrides(self, overrides: &BTreeMap<String, String>) -> Result<Self, Vec<SettingsError>> {
        overrides::apply_text(&self, overrides)
    }

    /// Settings from TOML text: the profile that it names (`profile = "production"`), with its values replaced by those
    /// in the text.
    ///
    /// # Errors
    /// As [`Settings::with_overrides`], and text that is no TOML.
    pub fn from_toml(text: &str) -> Result<Self, Vec<SettingsError>> {
        overrides::from_sources(text, [], &BTreeMap::new())
    }

    /// Settings from everything that can say something, the later winning: TOML text, environment variables,
    /// overrides with dotted keys. Variables that do not begin with [`ENVIRONMENT_PREFIX`] are passed over.
    ///
    /// ```
    /// use seaworthy::resilience::{Profile, Settings};
    ///
    /// let environment = [("SEAWORTHY__RETRY__MAX_RETRIES".to_owned(), "7".to_owned())];
    /// let settings = Settings::from_sources("profile = \"production\"", environment, &Default::default()).unwrap();
    /// assert_eq!((settings.profile, settings.retry.max_retries), (Profile::Production, 7));
    /// ```
    ///
    /// # Errors
    /// The mistakes of all of them at once.
    pub fn from_sources(
        toml: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<SettingsError>> {
        overrides::from_sources(toml, environment, overrides)
    }

    /// [`Settings::from_sources`] with the file at `path`, if one is given, and this process's environment.
    ///
    /// # Errors
    /// A file that cannot be read, and the mistakes of file and environment at once.
    pub fn load(path: Option<&std::path::Path>) -> Result<Self, Vec<SettingsError>> {
        let text = path.map(std::fs::read_to_string).transpose();
        let text = text.map_err(|error| {
            let path = path.map(|path| path.display().to_string()).unwrap_or_default();
            vec![SettingsError::Unreadable { path, problem: error.to_string() }]
        })?;
        // Names and values that are no text are none of ours.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::from_sources(&text.unwrap_or_default(), environment, &BTreeMap::new())
    }

    /// The settings as TOML text, all of them, also those that equal the profile's.
    ///
    /// # Errors
    /// If a value has no place in TOML: a number above its 64-bit signed integers.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The client's properties for a producer or a consumer: librdkafka warns about the other's.
    pub fn client_for(&self, role: ClientRole) -> impl Iterator<Item = (&str, &str)> {
        let other = move |key: &str| client::role_of(key).is_some_and(|its| its != role);
        self.client.iter().filter(move |(key, _)| !other(key)).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Checks every value, and those that depend on each other.
    ///
    /// # Errors
    /// Every mistake.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let sections = [
            ("retry", self.retry.validate()),
            ("breaker", self.breaker.validate()),
            ("dlq", self.dlq.validate()),
            ("consumer", self.consumer.validate()),
            ("monitoring", self.monitoring.validate()),
        ];
        let mut mistakes: Vec<SettingsError> = sections
            .into_iter()
            .flat_map(|(section, mistakes)| mistakes.into_iter().map(move |mistake| (section, mistake)))
            .map(|(section, mistake)| SettingsError::Invalid {
                key: format!("{section}.{}", mistake.field),
                problem: mistake.problem,
            })
            .collect();
        for (key, value) in &self.client {
            if value.trim().is_empty() {
                mistakes.push(SettingsError::Invalid { key: format!("client.{key}"), problem: "is empty".into() });
            }
        }
        self.check_against_the_client(&mut mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// All retries together must fit between two polls, or the group takes the topic partitions away; and into the
    /// time that the producer has for a record, or it fails while still being retried.
    fn check_against_the_client(&self, mistakes: &mut Vec<SettingsError>) {
        let waiting = self.retry.longest().unwrap_or_else(|| self.retry.longest_waiting());
        let waiting = self.retry.deadline.map_or(waiting, |deadline| deadline.min(waiting));
        let retrying = ("retry.max-retries", waiting);
        let draining = ("consumer.drain-timeout", self.consumer.drain_timeout);
        for (property, default, times) in [
            ("max.poll.interval.ms", 300_000, &[retrying, draining][..]),
            ("message.timeout.ms", 300_000, &[retrying][..]),
        ] {
            let limit = match self.client.get(property).map(|value| value.trim().parse::<u64>()) {
                None => default,
                // To librdkafka, no limit.
                Some(Ok(0)) if property == "message.timeout.ms" => continue,
                Some(Ok(limit)) => limit,
                Some(Err(_)) => {
                    let problem = "is not a whole number of milliseconds".into();
                    mistakes.push(SettingsError::Invalid { key: format!("client.{property}"), problem });
                    continue;
                }
            };
            let limit = Duration::from_millis(limit);
            for &(key, time) in times {
                if time >= limit {
                    let text = humantime::format_duration;
                    let problem = format!("takes up to {}, which is not below {property}, {}", text(time), text(limit));
                    mistakes.push(SettingsError::Invalid { key: key.into(), problem });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
