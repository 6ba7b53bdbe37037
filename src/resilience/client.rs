//! How a client's configuration is put together from the properties chosen for recovery, the settings and the caller's
//! own. The properties and their reasons are [`RECOVERY`]; this module knows no records.

use std::collections::BTreeMap;
use std::ffi::CStr;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

pub use super::settings::{ClientRole, RECOVERY};

use super::settings::client::{ALIASES, role_of};

/// Everything tuned for recovery, for producers and consumers together; [`client_config`] picks what fits a role. It is
/// what `Settings::client` starts from.
///
/// The goal: service is back within 0.3 s after a refused network returns, and soon after a new leader is elected (the clients look for it ten
/// times a second while a broker is out of reach; librdkafka takes 0.5 s more a try to check a consumer's position there), and nothing is
/// in the log twice.
pub fn recovery_client_properties() -> BTreeMap<String, String> {
    RECOVERY.iter().map(|property| (property.key.to_owned(), property.value.to_owned())).collect()
}

/// Properties that a broker decides in the group protocol of KIP-848; librdkafka refuses them with it.
const CLASSIC_GROUPS_ONLY: &[&str] = &["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

/// A client's configuration: the tuned properties, over them `settings` (usually `Settings::client`), over them the
/// caller's `overrides`, verbatim. Of the first two, properties for the other role are left out, since librdkafka warns
/// about them; and with `group.protocol=consumer` those of classic groups.
pub fn client_config(
    role: ClientRole,
    settings: &BTreeMap<String, String>,
    overrides: &BTreeMap<String, String>,
) -> ClientConfig {
    let fits = |name: &str| role_of(name).is_none_or(|its| its == role);
    let (settings, overrides) = (by_first_names(settings), by_first_names(overrides));
    let protocol = overrides.get("group.protocol").or_else(|| settings.get("group.protocol"));
    let classic = protocol.is_none_or(|name| name == "classic");
    let mut properties = recovery_client_properties();
    properties.extend(settings);
    properties.retain(|name, _| fits(name) && (classic || !CLASSIC_GROUPS_ONLY.contains(&name.as_str())));
    properties.extend(overrides);
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    set_log_level(&mut config);
    config
}

/// Properties by librdkafka's first names. It takes both names of one, in no order that could be relied on. The first ones are what is
/// chosen here: who says the other one means it.
pub(super) fn by_first_names(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut named = properties.clone();
    for (first, other) in ALIASES {
        if let Some(value) = named.remove(other) {
            named.insert(first.to_owned(), value);
        }
    }
    named
}

/// rdkafka sets a level of its own, by the `log` crate, which would hide what `debug` asks for: librdkafka's two are used
/// instead. What is heard of them is the affair of `tracing`'s subscriber.
pub(crate) fn set_log_level(config: &mut ClientConfig) {
    let asked = config.get("debug").is_some_and(|contexts| !contexts.is_empty());
    config.set_log_level(if asked { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
}

/// What is wrong with a client property by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyMistake {
    /// librdkafka has no such property.
    Unknown,
    /// The property cannot have this value: librdkafka's own words.
    Value(String),
}

/// Asks librdkafka whether it takes a property, without making a client.
///
/// # Errors
/// That it does not, and why.
pub fn check_property(name: &str, value: &str) -> Result<(), PropertyMistake> {
    // Setting this one would load a library.
    if name == "plugin.library.paths" {
        return Ok(());
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Err(PropertyMistake::Unknown),
        Err(KafkaError::ClientConfig(_, description, ..)) => Err(PropertyMistake::Value(description)),
        Err(other) => Err(PropertyMistake::Value(other.to_string())),
    }
}

/// The names of librdkafka's properties, but deprecated and hidden ones.
pub fn known_properties() -> Vec<String> {
    use rdkafka::bindings::{rd_kafka_conf_destroy, rd_kafka_conf_dump, rd_kafka_conf_dump_free, rd_kafka_conf_new};
    let mut count = 0;
    // SAFETY: the dump is an array of `count` C strings, names and values in turn, that lives until it is freed; every
    // name is copied before, and nothing else holds the configuration.
    unsafe {
        let conf = rd_kafka_conf_new();
        let dump = rd_kafka_conf_dump(conf, &mut count);
        let names =
            (0..count).step_by(2).map(|at| CStr::from_ptr(*dump.add(at)).to_string_lossy().into_owned()).collect();
        rd_kafka_conf_dump_free(dump, count);
        rd_kafka_conf_destroy(conf);
        names
    }
}

/// librdkafka's log lines go to `tracing`, under the target `librdkafka`.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn librdkafka_accepts_every_tuned_property_without_a_foreign_one() {
        for role in [ClientRole::Producer, ClientRole::Consumer] {
            let mut config = client_config(role, &recovery_client_properties(), &BTreeMap::new());
            config.set("group.id", "g");
            config.create_native_config().expect("every property and value is known");
        }
        let producer = client_config(ClientRole::Producer, &recovery_client_properties(), &BTreeMap::new());
        assert_eq!(producer.get("session.timeout.ms"), None);
        let consumer = client_config(ClientRole::Consumer, &recovery_client_properties(), &BTreeMap::new());
        assert_eq!(consumer.get("acks"), None);
    }

    #[test]
    fn the_caller_s_overrides_win_over_settings_and_settings_over_the_tuned() {
        let settings = map(&[("socket.timeout.ms", "5000"), ("retry.backoff.ms", "70")]);
        let config = client_config(ClientRole::Producer, &settings, &map(&[("socket.timeout.ms", "9000")]));
        assert_eq!(config.get("socket.timeout.ms"), Some("9000"));
        assert_eq!(config.get("retry.backoff.ms"), Some("70"));
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("50"));
    }

    #[test]
    fn a_property_s_other_name_replaces_ours_and_the_nearer_layer_wins() {
        const LONG: &str = "max.in.flight.requests.per.connection";
        let of = |settings: &[(&str, &str)], overrides: &[(&str, &str)]| {
            let mut all = recovery_client_properties();
            all.extend(map(settings));
            let config = client_config(ClientRole::Producer, &all, &map(overrides));
            [LONG, "max.in.flight"].map(|name| config.get(name).map(str::to_owned))
        };
        let said = |value: &str| Some(value.to_owned());
        assert_eq!(of(&[], &[]), [said("1"), None]);
        assert_eq!(of(&[("max.in.flight", "4")], &[]), [said("4"), None]);
        assert_eq!(of(&[], &[("max.in.flight", "3")]), [said("3"), None]);
        assert_eq!(of(&[("max.in.flight", "4")], &[(LONG, "2")]), [said("2"), None]);
        for (name, other) in ALIASES {
            assert!(check_property(other, "2").is_ok(), "{other}");
            assert!(recovery_client_properties().contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_debug_asks_for_is_not_hidden_by_a_level() {
        let level = |debug: &[(&str, &str)]| client_config(ClientRole::Consumer, &map(&[]), &map(debug)).log_level;
        assert_eq!(level(&[]) as i32, RDKafkaLogLevel::Info as i32);
        assert_eq!(level(&[("debug", "broker,fetch")]) as i32, RDKafkaLogLevel::Debug as i32);
    }

    #[test]
    fn the_new_group_protocol_gets_no_property_of_classic_groups() {
        let all = recovery_client_properties();
        let config =
            client_config(ClientRole::Consumer, &all, &map(&[("group.protocol", "consumer"), ("group.id", "g")]));
        config.create::<rdkafka::consumer::BaseConsumer>().expect("librdkafka accepts it");
    }

    #[test]
    fn a_consumer_s_requests_outlive_its_fetch_wait_and_end_within_its_session() {
        let all = recovery_client_properties();
        let value = |name: &str| all[name].parse::<u64>().unwrap();
        assert!(value("fetch.wait.max.ms") * 10 < value("socket.timeout.ms"));
        assert!(value("heartbeat.interval.ms") * 3 <= value("session.timeout.ms"));
        assert!(value("socket.timeout.ms") < value("session.timeout.ms"));
    }

    #[test]
    fn librdkafka_is_asked_about_names_and_values() {
        assert_eq!(check_property("session.timeout.ms", "6000"), Ok(()));
        assert_eq!(check_property("sesion.timeout.ms", "6000"), Err(PropertyMistake::Unknown));
        for (name, value) in
            [("session.timeout.ms", "soon"), ("session.timeout.ms", "-1"), ("acks", "9999"), ("acks", "\0")]
        {
            assert!(matches!(check_property(name, value), Err(PropertyMistake::Value(_))), "{name}={value}");
        }
        let known = known_properties();
        assert!(known.len() > 100 && known.iter().any(|name| name == "session.timeout.ms"), "{known:?}");
    }
}
