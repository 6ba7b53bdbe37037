//! How brokers are configured: pure text. The official image turns `KAFKA_*` variables into properties.

use std::collections::BTreeMap;

use crate::plan::ClusterPlan;

/// Ports inside the containers.
pub(super) const SUBJECT: u16 = 9092;
pub(super) const CONTROLLER: u16 = 9093;
pub(super) const DIRECT: u16 = 9094;
pub(super) const INTERNAL: u16 = 9095;

/// Where clients find a broker, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostPorts {
    /// The proxy.
    pub subject: u16,
    /// The broker itself.
    pub direct: u16,
    /// The proxy's control plane.
    pub control: u16,
    /// The broker's controller listener.
    pub controller: u16,
}

/// A file in a broker's container, and what it says. Java's own file has failed look-ups remembered, which no system
/// property outdoes: a broker that is back on the network would stay unknown to its peers for 10 s.
pub(super) const SECURITY_FILE: (&str, &str) = ("/tmp/seaworthy.security", "networkaddress.cache.negative.ttl=0\n");

/// A broker's name on the network between brokers.
pub(super) fn inner_name(broker: u32) -> String {
    format!("broker-{broker}")
}

/// The property that gives brokers an authorizer.
const AUTHORIZER: &str = "authorizer.class.name";

/// Whether the cluster's brokers ask an authorizer who may do what.
pub(super) fn has_authorizer(plan: &ClusterPlan) -> bool {
    plan.config.contains_key(AUTHORIZER)
}

/// With an authorizer, brokers and controllers need a name of their own: a denial for everybody must not hit them, and a
/// quorum does not form unless they are above all rules. Clients stay without a name, and may do what is not denied.
fn with_names(properties: &mut BTreeMap<String, String>) {
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" \
                 password=\"between-brokers\" user_broker=\"between-brokers\";";
    let map = "SUBJECT:PLAINTEXT,DIRECT:PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT";
    let named = [
        ("listener.security.protocol.map", map),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("sasl.mechanism.controller.protocol", "PLAIN"),
        ("listener.name.internal.plain.sasl.jaas.config", login),
        ("listener.name.controller.plain.sasl.jaas.config", login),
        ("super.users", "User:broker"),
        ("allow.everyone.if.no.acl.found", "true"),
    ];
    properties.extend(named.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Whether brokers of this version, an image's tag, take a controller's address among those that they tell: from 3.9 on.
/// Before, controllers had no names but those in the list of voters. What is no version is taken for a new one.
fn advertises_controllers(tag: &str) -> bool {
    let mut numbers = tag.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= (3, 9),
        (Some(major), None) => major > 3,
        _ => true,
    }
}

/// The environment of one broker's container, from the image with this tag.
pub(super) fn environment(
    plan: &ClusterPlan,
    tag: &str,
    broker: u32,
    ports: HostPorts,
    cluster_id: &str,
) -> BTreeMap<String, String> {
    let replication = plan.brokers.min(3);
    let min_isr = if replication >= 3 { 2 } else { 1 };
    let voters: Vec<String> = (1..=plan.brokers).map(|id| format!("{id}@{}:{CONTROLLER}", inner_name(id))).collect();
    let HostPorts { subject, direct, .. } = ports;
    let inner = inner_name(broker);
    let mut advertised =
        format!("SUBJECT://127.0.0.1:{subject},DIRECT://127.0.0.1:{direct},INTERNAL://{inner}:{INTERNAL}");
    if advertises_controllers(tag) {
        // A controller without a name here tells its container's, which is found on the clients' network too: the quorum
        // would go on around a cut between brokers.
        advertised += &format!(",CONTROLLER://{inner}:{CONTROLLER}");
    }
    let mut properties: BTreeMap<String, String> = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", broker.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "INTERNAL".to_owned()),
        (
            "listeners",
            format!("SUBJECT://:{SUBJECT},DIRECT://:{DIRECT},INTERNAL://:{INTERNAL},CONTROLLER://:{CONTROLLER}"),
        ),
        ("advertised.listeners", advertised),
        (
            "listener.security.protocol.map",
            "SUBJECT:PLAINTEXT,DIRECT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("auto.create.topics.enable", "false".to_owned()),
        ("offsets.topic.replication.factor", replication.to_string()),
        ("transaction.state.log.replication.factor", replication.to_string()),
        ("transaction.state.log.min.isr", min_isr.to_string()),
        ("share.coordinator.state.topic.replication.factor", replication.to_string()),
        ("share.coordinator.state.topic.min.isr", min_isr.to_string()),
        // Stock, but the official image's example turns it off: people's clusters do not.
        ("group.initial.rebalance.delay.ms", "3000".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if has_authorizer(plan) {
        with_names(&mut properties);
    }
    properties.extend(plan.config.clone());

    let mut variables: BTreeMap<String, String> =
        properties.into_iter().map(|(name, value)| (variable(&name), value)).collect();
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_owned(), value.to_owned());
    };
    set("CLUSTER_ID", cluster_id);
    set("KAFKA_HEAP_OPTS", "-Xms256m -Xmx512m");
    // Brokers share few cores with each other, the subject and the harness: start fast, take little.
    set("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxDirectMemorySize=128m");
    // A peer that was restarted has another address: Java would remember the old one for 30 s, a failed look-up for 10.
    set("KAFKA_OPTS", &format!("-Dsun.net.inetaddr.ttl=0 -Djava.security.properties={}", SECURITY_FILE.0));
    variables
}

/// A property's name as the image wants it: `.` is `_`, `_` is `__`, `-` is `___`.
fn variable(property: &str) -> String {
    let escaped = property.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", escaped.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Isolation;

    fn plan(brokers: u32, config: &[(&str, &str)]) -> ClusterPlan {
        ClusterPlan {
            brokers,
            kafka: "4.1.0".to_owned(),
            isolation: Isolation::Shared,
            image: None,
            config: config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    const PORTS: HostPorts = HostPorts { subject: 21_001, direct: 21_002, control: 21_003, controller: 21_004 };

    #[test]
    fn a_property_s_name_survives_the_image_s_escaping() {
        assert_eq!(variable("broker.session.timeout.ms"), "KAFKA_BROKER_SESSION_TIMEOUT_MS");
        assert_eq!(variable("a_b-c.d"), "KAFKA_A__B___C_D");
    }

    #[test]
    fn each_path_advertises_its_own_address() {
        let env = environment(&plan(3, &[]), "4.1.0", 2, PORTS, "id");
        assert_eq!(
            env["KAFKA_ADVERTISED_LISTENERS"],
            "SUBJECT://127.0.0.1:21001,DIRECT://127.0.0.1:21002,INTERNAL://broker-2:9095,CONTROLLER://broker-2:9093"
        );
        assert_eq!(env["KAFKA_CONTROLLER_QUORUM_VOTERS"], "1@broker-1:9093,2@broker-2:9093,3@broker-3:9093");
    }

    #[test]
    fn controllers_are_advertised_where_the_version_takes_it() {
        for (tag, told) in
            [("3.8.1", false), ("3.9.0", true), ("4.1.0", true), ("3", false), ("latest", true), ("7.6-x", true)]
        {
            let env = environment(&plan(3, &[]), tag, 1, PORTS, "id");
            assert_eq!(env["KAFKA_ADVERTISED_LISTENERS"].contains("CONTROLLER"), told, "{tag}");
        }
    }

    #[test]
    fn neither_addresses_nor_failed_look_ups_are_remembered() {
        let env = environment(&plan(1, &[]), "4.1.0", 1, PORTS, "id");
        let (file, text) = SECURITY_FILE;
        assert_eq!(env["KAFKA_OPTS"], format!("-Dsun.net.inetaddr.ttl=0 -Djava.security.properties={file}"));
        assert_eq!(text, "networkaddress.cache.negative.ttl=0\n");
    }

    #[test]
    fn with_an_authorizer_brokers_have_a_name_and_clients_have_none() {
        let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let env = environment(&plan(1, &[(AUTHORIZER, authorizer)]), "4.1.0", 1, PORTS, "id");
        assert_eq!(env["KAFKA_AUTHORIZER_CLASS_NAME"], authorizer);
        assert_eq!(env["KAFKA_SUPER_USERS"], "User:broker");
        let map = &env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"];
        assert!(map.contains("SUBJECT:PLAINTEXT") && map.contains("CONTROLLER:SASL_PLAINTEXT"), "{map}");
        assert!(!environment(&plan(1, &[]), "4.1.0", 1, PORTS, "id").contains_key("KAFKA_SUPER_USERS"));
    }

    #[test]
    fn the_scenario_s_config_wins() {
        let env = environment(&plan(1, &[("auto.create.topics.enable", "true")]), "4.1.0", 1, PORTS, "id");
        assert_eq!(env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "true");
        assert_eq!(env["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"], "1");
    }
}
