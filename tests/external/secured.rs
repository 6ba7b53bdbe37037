//! The same where the brokers' listener wants TLS, a client's certificate and a name.

use std::net::TcpListener;
use std::path::Path;

use libtest_mimic::Failed;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testcontainers_modules::testcontainers::core::{ExecCommand, IntoContainerPort, WaitFor};
use testcontainers_modules::testcontainers::runners::AsyncRunner;
use testcontainers_modules::testcontainers::{ContainerAsync, GenericImage, ImageExt};

use super::{SMALL, ends, result_of, run};

const SECRETS: &str = "/etc/kafka/secrets";
const PORT: u16 = 9094;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Writes an authority, what it vouches for, and client properties that use it.
fn certificates(folder: &Path) -> Outcome<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    std::fs::write(folder.join("ca.pem"), authority.pem())?;
    for (file, name) in [("broker.pem", "localhost"), ("client.pem", "anna")] {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &authority)?;
        std::fs::write(folder.join(file), key.serialize_pem() + &certificate.pem())?;
    }
    let properties = |mechanism: &str, password: &str| {
        format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.username=anna\nsasl.password={password}\n\
             ssl.ca.location=ca.pem\nssl.keystore.type=PEM\nssl.keystore.location=client.pem\n"
        )
    };
    std::fs::write(folder.join("scram.properties"), properties("SCRAM-SHA-512", "${env:SECURED_PASSWORD}"))?;
    std::fs::write(folder.join("plain.properties"), properties("PLAIN", "anna's word"))?;
    std::fs::write(folder.join("wrong.properties"), properties("PLAIN", "another"))?;
    std::fs::write(folder.join("stranger.properties"), properties("PLAIN", "x").replace("ca.pem", "broker.pem"))?;
    std::fs::write(folder.join("nothing.properties"), "security.protocol=PLAINTEXT\n")?;
    std::fs::write(folder.join("anonymous.properties"), "security.protocol=SSL\nssl.ca.location=ca.pem\n")?;
    std::fs::write(
        folder.join("plaintext.properties"),
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=anna\nsasl.password=x\n",
    )?;
    Ok(())
}

async fn start(folder: &Path) -> Outcome<(ContainerAsync<GenericImage>, String)> {
    // Brokers say where they are found before anybody knows: a port that is free at this moment.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_anna=\"anna's word\";";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let advertised = format!("SECURED://localhost:{port},INTERNAL://localhost:9092");
    let settings = [
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_LISTENERS", "SECURED://:9094,INTERNAL://:9092,CONTROLLER://:9093"),
        ("KAFKA_ADVERTISED_LISTENERS", &advertised),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "SECURED:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_LISTENER_NAME_SECURED_SASL_ENABLED_MECHANISMS", "PLAIN,SCRAM-SHA-512"),
        ("KAFKA_LISTENER_NAME_SECURED_PLAIN_SASL_JAAS_CONFIG", login),
        ("KAFKA_LISTENER_NAME_SECURED_SCRAM___SHA___512_SASL_JAAS_CONFIG", scram),
        ("KAFKA_LISTENER_NAME_SECURED_SSL_CLIENT_AUTH", "required"),
        ("KAFKA_LISTENER_NAME_SECURED_SSL_KEYSTORE_TYPE", "PEM"),
        ("KAFKA_LISTENER_NAME_SECURED_SSL_KEYSTORE_LOCATION", "/etc/kafka/secrets/broker.pem"),
        ("KAFKA_LISTENER_NAME_SECURED_SSL_TRUSTSTORE_TYPE", "PEM"),
        ("KAFKA_LISTENER_NAME_SECURED_SSL_TRUSTSTORE_LOCATION", "/etc/kafka/secrets/ca.pem"),
    ];
    let mut image = GenericImage::new("apache/kafka", "4.1.0")
        .with_wait_for(WaitFor::message_on_stdout("Kafka Server started"))
        .with_mapped_port(port, PORT.tcp());
    for (name, value) in settings {
        image = image.with_env_var(name, value);
    }
    for file in ["broker.pem", "ca.pem"] {
        image = image.with_copy_to(format!("{SECRETS}/{file}"), folder.join(file));
    }
    let broker = image.start().await?;
    let add = "SCRAM-SHA-512=[iterations=4096,password=anna's other word]";
    let configs =
        ["/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "localhost:9092", "--alter", "--add-config", add];
    let user = ["--entity-type", "users", "--entity-name", "anna"];
    let mut added = broker.exec(ExecCommand::new(configs.into_iter().chain(user))).await?;
    let said = String::from_utf8(added.stdout_to_vec().await?)?;
    if added.exit_code().await? != Some(0) {
        return Err(format!("no such user: {said}").into());
    }
    Ok((broker, format!("localhost:{port}")))
}

/// Whole runs with a name of either kind, and refusals that say why.
pub fn clusters() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    certificates(folder.path()).map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (broker, servers) = start(folder.path()).await.map_err(|error| error.to_string())?;
        let files = folder.path().to_owned();
        let outcome = tokio::task::spawn_blocking(move || against(&servers, &files)).await?;
        broker.rm().await?;
        Ok(outcome?)
    })
}

fn against(servers: &str, files: &Path) -> Result<(), String> {
    let out = tempfile::tempdir().map_err(|error| error.to_string())?;
    let command = |scenario: &str, properties: &str| {
        let mut command = run(scenario, servers, out.path());
        command.args(SMALL).arg("--command-config").arg(files.join(properties));
        command.env("SECURED_PASSWORD", "anna's other word");
        command
    };
    for (properties, reason) in [
        ("wrong.properties", "PLAIN: SASL_AUTHENTICATION_FAILED"),
        ("stranger.properties", "TLS: invalid peer certificate"),
        ("anonymous.properties", "CertificateRequired"),
        ("plaintext.properties", "write security.protocol=SASL_SSL"),
        ("nothing.properties", "by --command-config FILE"),
    ] {
        let mut command = command("scenarios/baseline.toml", properties);
        ends(&mut command, 69, &[reason]).map_err(|error| format!("{properties}: {error}"))?;
    }
    for (properties, protocol, scenario) in [
        ("scram.properties", "SASL_SSL (SCRAM-SHA-512)", "network-partition"),
        ("plain.properties", "SASL_SSL (PLAIN)", "baseline"),
    ] {
        let result = result_of(command(&format!("scenarios/{scenario}.toml"), properties), out.path(), scenario)?;
        let notes = result["backend"]["notes"].to_string();
        if !notes.contains(&format!("the relay speaks {protocol} to the brokers")) {
            return Err(notes);
        }
        if result["integrity"]["lost"] != 0 || result["integrity"]["acked"].as_u64().is_none_or(|acked| acked < 1_000) {
            return Err(format!("{properties}: {}", result["integrity"]));
        }
        let bitten = result["faults"].as_array().into_iter().flatten().all(|fault| {
            !fault["healed_s"].is_null()
                && fault["effect"]["ops_affected"].as_u64().is_some_and(|affected| affected > 0)
        });
        if !bitten {
            return Err(format!("{properties}: {}", result["faults"]));
        }
    }
    Ok(())
}
