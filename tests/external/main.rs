//! A cluster that somebody else runs, the stock Kafka container of testcontainers-modules: its network is harmed without
//! touching its listeners, and what a run makes in it is gone afterwards.

mod secured;

use std::path::Path;

use assert_cmd::Command;
use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::testing::{self, Bench};
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};
use testcontainers_modules::testcontainers::ImageExt;
use testcontainers_modules::testcontainers::runners::AsyncRunner;

fn main() -> std::process::ExitCode {
    testing::take_over();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let ignored = Bench::new().ignores_containers();
    let trials = vec![
        Trial::test("a_stock_kafka_goes_through_a_network_partition_and_keeps_nothing_of_it::containers", partition)
            .with_ignored_flag(ignored),
        Trial::test("a_listener_with_tls_and_names_is_one_like_any_other::containers", secured::clusters)
            .with_ignored_flag(ignored),
        Trial::test("what_is_not_ours_to_do_is_said_while_planning", refused),
        Trial::test("a_cluster_that_does_not_answer_is_named", nobody),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A single broker carries no more than this.
const SMALL: [&str; 6] =
    ["--set", "cluster.brokers=1", "--set", "topic.replication=1", "--set", "topic.min-insync-replicas=1"];

fn run(scenario: &str, servers: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.args(["run", scenario, "--backend", "external", "--bootstrap-servers", servers, "--seed", "1"]);
    command.arg("--out").arg(out);
    command
}

fn partition() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let kafka = Kafka::default().with_jvm_image().with_tag("4.1.0").start().await?;
        let servers = format!("127.0.0.1:{}", kafka.get_host_port_ipv4(KAFKA_PORT).await?);
        let told = servers.clone();
        let outcome = tokio::task::spawn_blocking(move || against(&told)).await?;
        let left = topics(&servers).await;
        kafka.rm().await?;
        outcome?;
        match left?.into_iter().find(|name| name.starts_with("seaworthy-")) {
            None => Ok(()),
            Some(left) => Err(format!("left behind: {left}").into()),
        }
    })
}

async fn topics(servers: &str) -> Result<Vec<String>, Failed> {
    let seen = seaworthy::cluster::wire::metadata(servers, std::time::Duration::from_secs(10)).await?;
    Ok(seen.topics.into_keys().collect())
}

fn against(servers: &str) -> Result<(), String> {
    let out = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = run("scenarios/network-partition.toml", servers, out.path());
    ends(&mut command, 69, &["--set cluster.brokers=1 --set topic.replication=1"])
        .map_err(|e| format!("one broker for three: {e}"))?;

    let mut command = run("scenarios/network-partition.toml", servers, out.path());
    command.args(SMALL);
    let result = result_of(command, out.path(), "network-partition")?;
    // How fast this machine is today is not what is shown; that the cut bit, was survived and was measured is.
    let integrity = &result["integrity"];
    if integrity["lost"] != 0 || integrity["acked"].as_u64().is_none_or(|acked| acked < 1_000) {
        return Err(format!("{integrity}"));
    }
    if result["backend"]["kind"] != "external" || result["faults"][0]["healed_s"].is_null() {
        return Err(format!("{}\n{}", result["backend"], result["faults"]));
    }
    if result["faults"][0]["effect"]["ops_affected"].as_u64().is_none_or(|affected| affected == 0) {
        return Err(format!("the cut had no effect: {}", result["faults"]));
    }
    Ok(())
}

/// Runs it; what came of it, whatever the verdict.
fn result_of(mut command: Command, out: &Path, scenario: &str) -> Result<serde_json::Value, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let result = std::fs::read(out.join("latest").join(scenario).join("1/result.json"));
    let result = result.map_err(|error| format!("no verdict: {error}\n{said}"))?;
    serde_json::from_slice(&result).map_err(|error| error.to_string())
}

/// Runs it; it has to end with this exit code, and to say all of this on its standard error.
fn ends(command: &mut Command, code: i32, says: &[&str]) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(code) && says.iter().all(|words| said.contains(words)) {
        return Ok(());
    }
    Err(format!("{}, not {code} with {says:?}: {said}", output.status))
}

fn refused() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let mut command = run("scenarios/broker-failure.toml", "127.0.0.1:9", out.path());
    Ok(ends(&mut command, 64, &["unsupported-by-backend", "external"])?)
}

fn nobody() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let mut command = run("scenarios/network-partition.toml", "127.0.0.1:9", out.path());
    Ok(ends(&mut command, 69, &["127.0.0.1:9", "bootstrap server"])?)
}
