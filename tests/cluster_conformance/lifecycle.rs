//! Starting, reusing, failing and leaving nothing behind.

use std::collections::{BTreeMap, HashMap};
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use seaworthy::clock::Clock;
use seaworthy::cluster::ClusterError;
use seaworthy::cluster::containers::{ContainerCluster, Launcher, RUN_LABEL, clean, remove_run};
use seaworthy::cluster::pool::{Launch, Origin};
use seaworthy::plan::{ClusterPlan, Direction, Isolation, NetworkEffect};
use testcontainers::bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};
use testcontainers::core::client::docker_client_instance;
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};
use testcontainers_modules::testcontainers::ImageExt;
use testcontainers_modules::testcontainers::runners::AsyncRunner;

use crate::{Case, LATE, Outcome, Shared, case, ensure, options, plan};

/// Makes this executable start a cluster of the run that it names, and wait to be killed.
pub const ORPHAN_VARIABLE: &str = "SEAWORTHY_TEST_ORPHAN";

pub fn cases() -> Vec<Case> {
    vec![
        case("a_whole_cluster_is_leased_again", reuse),
        case("a_cluster_left_with_a_cut_is_rebuilt", rebuild),
        case("a_missing_image_is_named_with_the_remedy", missing_image),
        case("a_broker_that_ends_is_reported_with_its_log", broken_config),
        case("after_a_kill_the_reaper_removes_everything", orphan),
        case("a_dead_harness_s_remains_are_cleaned_and_a_living_one_s_are_not", cleaned),
        case("a_cluster_dropped_without_teardown_leaves_nothing", dropped),
        case("the_image_serves_the_stock_module", stock_module),
    ]
}

/// Names of the containers of a run, also dead ones.
pub async fn containers(run: &str) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let filter = HashMap::from([("label", vec![format!("{RUN_LABEL}={run}")])]);
    let docker = docker_client_instance().await?;
    let list = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
    let names = docker.list_containers(Some(list)).await?.into_iter().flat_map(|c| c.names.unwrap_or_default());
    Ok(names.map(|name| name.trim_start_matches('/').to_owned()).collect())
}

async fn networks(run: &str) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let filter = HashMap::from([("label", vec![format!("{RUN_LABEL}={run}")])]);
    let list = ListNetworksOptionsBuilder::default().filters(&filter).build();
    Ok(docker_client_instance().await?.list_networks(Some(list)).await?.len())
}

/// The end of every test run.
pub async fn nothing_is_left(shared: &Shared) -> Outcome {
    let clock = Clock::start();
    shared.pool.shutdown().await?;
    eprintln!("torn down in {:?}", Duration::from_nanos(clock.now()));
    let (containers, networks) = (containers(&shared.run).await?, networks(&shared.run).await?);
    ensure!(containers.is_empty() && networks == 0, "left behind: {containers:?}, {networks} networks");
    Ok(())
}

async fn reuse(shared: Shared) -> Outcome {
    drop(shared.lease().await?);
    let lease = shared.lease().await?;
    println!("    leased again in {:?}", lease.took());
    ensure!(*lease.origin() == Origin::Reused, "{:?}", lease.origin());
    let logs = tempfile::tempdir()?;
    lease.collect_logs(logs.path()).await?;
    let log = std::fs::read_to_string(logs.path().join("broker-1.log"))?;
    ensure!(log.contains("Kafka"), "broker 1's log: {log}");
    ensure!(logs.path().join("proxy-3.log").exists(), "no log of proxy 3");
    Ok(())
}

async fn rebuild(shared: Shared) -> Outcome {
    let lease = shared.lease().await?;
    lease.cut(2, NetworkEffect::Blackhole, Direction::Both).await?;
    drop(lease);
    let lease = shared.lease().await?;
    println!("    {:?} in {:?}; {}", lease.origin(), lease.took(), lease.info().notes.join("; "));
    ensure!(
        matches!(lease.origin(), Origin::Built { because } if because.contains("broker 2")),
        "{:?}",
        lease.origin()
    );
    lease.verify_healthy(LATE).await?;
    let all = containers(&shared.run).await?;
    ensure!(all.len() == 6, "the old cluster is still there: {all:?}");
    Ok(())
}

fn one_broker(config: &[(&str, &str)]) -> ClusterPlan {
    let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
    ClusterPlan { brokers: 1, isolation: Isolation::Fresh, config, ..plan() }
}

async fn missing_image(shared: Shared) -> Outcome {
    let run = format!("{}-missing", shared.run);
    let plan = ClusterPlan { image: Some("localhost/no/such-image:0".to_owned()), ..one_broker(&[]) };
    let Err(e) = ContainerCluster::launch(&plan, &options(&run)).await else { return Err("it started".into()) };
    ensure!(matches!(e, ClusterError::ImageMissing { .. }), "{e:?}");
    let text = e.to_string();
    ensure!(text.contains("images/prepare") && text.contains("SEAWORTHY_KAFKA_IMAGE"), "{text}");
    ensure!(containers(&run).await?.is_empty(), "containers are left");
    Ok(())
}

async fn broken_config(shared: Shared) -> Outcome {
    let run = format!("{}-broken", shared.run);
    let clock = Clock::start();
    let plan = one_broker(&[("num.network.threads", "none")]);
    let Err(e) = ContainerCluster::launch(&plan, &options(&run)).await else { return Err("it started".into()) };
    let took = Duration::from_nanos(clock.now());
    println!("    after {took:?}: {e}");
    ensure!(e.to_string().contains("num.network.threads"), "{e}");
    ensure!(took < LATE, "it took {took:?} to notice");
    ensure!(containers(&run).await?.is_empty() && networks(&run).await? == 0, "something is left");
    Ok(())
}

/// The child's life: never ends by itself.
pub async fn be_an_orphan_s_parent(run: &str) {
    let launcher = Launcher::new(options(run));
    match launcher.launch(&one_broker(&[])).await {
        Ok(_cluster) => {
            println!("ready");
            std::future::pending().await
        }
        Err(e) => println!("{e}"),
    }
}

/// A process with a cluster of its own, killed once the cluster runs.
fn kill_a_harness(run: &str, reaper: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use std::io::BufRead;
    let mut child = Command::new(std::env::current_exe()?)
        .env(ORPHAN_VARIABLE, run)
        .env("SEAWORTHY_TEST_NO_REAPER", if reaper { "" } else { "1" })
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        std::io::BufReader::new(out).read_line(&mut line)?;
    }
    child.kill()?;
    child.wait()?;
    if line.trim() == "ready" { Ok(()) } else { Err(line.into()) }
}

async fn orphan(shared: Shared) -> Outcome {
    let run = format!("{}-orphan", shared.run);
    let killed = run.clone();
    tokio::task::spawn_blocking(move || kill_a_harness(&killed, true)).await??;
    let clock = Clock::start();
    ensure!(!containers(&run).await?.is_empty(), "there was nothing to remove");
    while !containers(&run).await?.is_empty() || networks(&run).await? > 0 {
        ensure!(clock.now() < 20_000_000_000, "left after 20 s: {:?}", containers(&run).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("    removed after {:?}", Duration::from_nanos(clock.now()));
    Ok(())
}

async fn cleaned(shared: Shared) -> Outcome {
    let lease = shared.lease().await?;
    let run = format!("{}-dead", shared.run);
    let killed = run.clone();
    tokio::task::spawn_blocking(move || kill_a_harness(&killed, false)).await??;
    ensure!(containers(&run).await?.len() == 2, "no remains");
    let removed = clean().await?;
    println!("    {removed:?}");
    ensure!(removed.containers >= 2 && removed.networks >= 2, "{removed:?}");
    ensure!(containers(&run).await?.is_empty() && networks(&run).await? == 0, "remains are left");
    lease.verify_healthy(LATE).await?;
    remove_run(&run).await?;
    Ok(())
}

async fn dropped(shared: Shared) -> Outcome {
    let run = format!("{}-dropped", shared.run);
    let cluster = ContainerCluster::launch(&one_broker(&[]), &options(&run)).await?;
    ensure!(containers(&run).await?.len() == 2, "not a broker and a proxy");
    drop(cluster);
    ensure!(containers(&run).await?.is_empty() && networks(&run).await? == 0, "something is left");
    Ok(())
}

async fn stock_module(_: Shared) -> Outcome {
    let tag = "4.1.0";
    let clock = Clock::start();
    let node = Kafka::default().with_jvm_image().with_tag(tag).start().await?;
    let port = node.get_host_port_ipv4(KAFKA_PORT).await?;
    let brokers = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", format!("127.0.0.1:{port}")).create()?;
        client.fetch_metadata(None, LATE).map(|metadata| metadata.brokers().len())
    })
    .await??;
    println!("    answers after {:?}", Duration::from_nanos(clock.now()));
    node.rm().await?;
    ensure!(brokers == 1, "{brokers} brokers");
    Ok(())
}
