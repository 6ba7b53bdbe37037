//! The client properties of the settings, against librdkafka itself: the settings know its names as text only.

use seaworthy::resilience::Settings;
use seaworthy::resilience::settings::ClientRole;

#[test]
fn librdkafka_accepts_the_properties_of_each_role() {
    let settings = Settings::default();
    let config = |role| {
        let mut config = rdkafka::ClientConfig::new();
        for (key, value) in settings.client_for(role) {
            config.set(key, value);
        }
        config
    };
    assert!(config(ClientRole::Producer).create_native_config().is_ok());
    assert!(config(ClientRole::Consumer).set("group.id", "g").create_native_config().is_ok());
    assert!(config(ClientRole::Producer).set("no.such.property", "1").create_native_config().is_err());
}
