//! Cuts and slowdowns: each is felt where it should be, nowhere else, and is gone when mended.

use std::time::Duration;

use seaworthy::clock::Clock;
use seaworthy::cluster::View;
use seaworthy::plan::{Direction, NetworkEffect};
use testcontainers::core::client::docker_client_instance;

use crate::{Case, LATE, Outcome, SOON, Shared, case, ensure};

pub fn cases() -> Vec<Case> {
    use Direction::{Both, Replies, Requests};
    use NetworkEffect::{Blackhole, Refuse, Reset, Stall};
    let cuts = [
        (Refuse, Both),
        (Blackhole, Both),
        (Blackhole, Requests),
        (Blackhole, Replies),
        (Stall, Both),
        (Stall, Requests),
        (Stall, Replies),
        (Reset, Both),
        (Reset, Requests),
        (Reset, Replies),
    ];
    let mut cases: Vec<Case> = cuts
        .into_iter()
        .map(|(effect, direction)| {
            let name = format!("a_cut_is_felt_and_mended::{effect:?}_{direction:?}").to_lowercase();
            case(name, move |shared| cut(shared, effect, direction))
        })
        .collect();
    cases.push(case("refusing_one_direction_is_refused", refuse_one));
    cases.push(case("a_slow_link_takes_its_latency_once_a_round_trip", slow));
    cases.push(case("bytes_held_back_by_a_stall_arrive_after_it", stalled));
    cases
}

/// Only a proxy in a process of its own gets stuck.
pub fn container_cases() -> Vec<Case> {
    vec![case("a_stuck_proxy_is_restarted_and_comes_back_clear", stuck)]
}

async fn cut(shared: Shared, effect: NetworkEffect, direction: Direction) -> Outcome {
    let cluster = shared.lease().await?;
    let broker = 2;
    cluster.cut(broker, effect, direction).await?;
    let felt = cluster.probe(broker, View::Subject, SOON).await;
    let direct = cluster.probe(broker, View::Direct, LATE).await;
    let neighbour = cluster.probe(1, View::Subject, LATE).await;
    let link = cluster.link(broker).await?;
    cluster.mend(broker).await?;
    println!("    {}; link: {link}", felt.as_ref().err().map_or("answered".to_owned(), ToString::to_string));
    ensure!(felt.is_err(), "the probe was answered during the cut");
    ensure!(!link.is_clear(), "the link calls itself {link}");
    direct?;
    neighbour?;
    cluster.await_probe(broker, View::Subject, LATE).await?;
    ensure!(cluster.link(broker).await?.is_clear(), "not clear after mending");
    Ok(())
}

async fn refuse_one(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    let outcome = cluster.cut(1, NetworkEffect::Refuse, Direction::Replies).await;
    ensure!(outcome.is_err(), "it was taken");
    ensure!(cluster.link(1).await?.is_clear(), "something was done");
    Ok(())
}

async fn slow(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    let timed = async || {
        let clock = Clock::start();
        cluster.probe(3, View::Subject, LATE).await.map(|()| Duration::from_nanos(clock.now()))
    };
    let latency = Duration::from_millis(300);
    cluster.slow(3, latency, Duration::ZERO, Some(100_000)).await?;
    let slowed = timed().await?;
    cluster.mend(3).await?;
    let after = timed().await?;
    println!("    {slowed:?}, then {after:?}");
    ensure!(slowed >= latency && slowed < latency * 2, "a round trip took {slowed:?} with {latency:?}");
    ensure!(after < latency, "{after:?} after mending");
    Ok(())
}

async fn stalled(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.cut(1, NetworkEffect::Stall, Direction::Both).await?;
    let (probed, mended) = futures::join!(cluster.probe(1, View::Subject, LATE), async {
        tokio::time::sleep(SOON).await;
        cluster.mend(1).await
    });
    mended?;
    probed?;
    Ok(())
}

async fn stuck(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    let docker = docker_client_instance().await?;
    let name = crate::lifecycle::containers(&shared.run).await?;
    let name = name.into_iter().find(|name| name.ends_with("-proxy-2")).ok_or("no proxy")?;
    docker.pause_container(&name).await?;
    let link = cluster.link(2).await;
    let clock = Clock::start();
    cluster.mend(2).await?;
    cluster.await_probe(2, View::Subject, LATE).await?;
    println!(
        "    mended in {:?}; before: {}",
        Duration::from_nanos(clock.now()),
        link.as_ref().err().map_or_else(String::new, ToString::to_string)
    );
    ensure!(link.is_err(), "a frozen proxy answered");
    ensure!(cluster.link(2).await?.is_clear(), "not clear");
    Ok(())
}
