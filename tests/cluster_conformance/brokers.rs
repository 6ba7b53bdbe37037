//! Harm to brokers: it happens, it is noticed, and what comes back is the same broker with its data.

use std::time::Duration;

use seaworthy::clock::Clock;
use seaworthy::cluster::{BrokerState, ClusterError, View};
use seaworthy::plan::{Direction, NetworkEffect, TopicPartition};

use crate::facts::{topic, write};
use crate::{Case, LATE, Outcome, SOON, Shared, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![
        case("a_killed_leader_is_replaced_and_comes_back_with_its_data", kill),
        case("a_dead_broker_s_proxy_fails_fast_and_obeys", dead_behind_proxy),
        case("a_stopped_broker_hands_its_leaders_over", stop),
        case("a_paused_broker_is_silent_until_resumed", pause),
        case("an_isolated_broker_answers_but_falls_out_of_sync", isolate),
        case("an_isolated_controller_is_replaced_and_falls_out_of_sync", isolate_controller),
    ]
}

async fn kill(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    write(&*cluster, "orders", 60).await?;
    let before = cluster.end_offsets("orders").await?;
    let tp = TopicPartition::new("orders", 0);
    let victim = cluster.leader_of(&tp).await?;
    let addresses = [View::Subject, View::Direct].map(|view| cluster.address(victim, view));

    let clock = Clock::start();
    cluster.kill(victim).await?;
    let killed = Duration::from_nanos(clock.now());
    ensure!(cluster.state(victim).await? == BrokerState::Down, "it is not down");
    ensure!(cluster.probe(victim, View::Direct, SOON).await.is_err(), "it answers");
    let mut heir = victim;
    while heir == victim {
        ensure!(clock.now() < LATE.as_nanos() as u64, "no new leader");
        heir = cluster.leader_of(&tp).await.unwrap_or(victim);
    }
    let replaced = Duration::from_nanos(clock.now());

    let clock = Clock::start();
    cluster.start(victim).await?;
    cluster.await_probe(victim, View::Subject, LATE).await?;
    let answers = Duration::from_nanos(clock.now());
    cluster.verify_healthy(LATE).await?;
    let whole = Duration::from_nanos(clock.now());
    println!(
        "    killed in {killed:?}, replaced after {replaced:?}; answers {answers:?} after its start, whole after {whole:?}"
    );
    let again = [View::Subject, View::Direct].map(|view| cluster.address(victim, view));
    ensure!(format!("{addresses:?}") == format!("{again:?}"), "other addresses");
    cluster.move_leader(&tp, Some(victim)).await?;
    ensure!(cluster.end_offsets("orders").await? == before, "its data are not the same");
    Ok(())
}

async fn dead_behind_proxy(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.kill(3).await?;
    let clock = Clock::start();
    let probe = cluster.probe(3, View::Subject, LATE).await;
    let noticed = Duration::from_nanos(clock.now());
    // The control plane must not hang behind a dial.
    let cut = cluster.cut(3, NetworkEffect::Refuse, Direction::Both).await;
    let mended = cluster.mend(3).await;
    let obeyed = Duration::from_nanos(clock.now()) - noticed;
    cluster.start(3).await?;
    println!(
        "    {} after {noticed:?}; closed and opened in {obeyed:?}",
        probe.as_ref().err().map_or_else(String::new, ToString::to_string)
    );
    cluster.await_probe(3, View::Subject, LATE).await?;
    cluster.verify_healthy(LATE).await?;
    ensure!(probe.is_err(), "a dead broker answered");
    // The other outcome is a dial that waits for its time-out.
    ensure!(noticed < LATE / 2, "it took {noticed:?} to notice");
    cut?;
    mended?;
    Ok(())
}

async fn stop(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    let clock = Clock::start();
    cluster.stop(1).await?;
    let stopped = Duration::from_nanos(clock.now());
    let leaders = cluster.leaders("orders").await?;
    cluster.start(1).await?;
    cluster.await_probe(1, View::Subject, LATE).await?;
    cluster.verify_healthy(LATE).await?;
    println!("    stopped in {stopped:?}, whole again after {:?}", Duration::from_nanos(clock.now()) - stopped);
    ensure!(leaders.iter().all(|(_, leader)| *leader != 1), "it still leads: {leaders:?}");
    Ok(())
}

async fn pause(shared: Shared) -> Outcome {
    let cluster = shared.lease().await?;
    cluster.reset_topics(&topic("orders")).await?;
    cluster.pause(2).await?;
    let state = cluster.state(2).await?;
    let silent = [cluster.probe(2, View::Subject, SOON).await, cluster.probe(2, View::Direct, SOON).await];
    // Facts are had all the same, from the others.
    let clock = Clock::start();
    let leaders = cluster.leaders("orders").await;
    // If it was the controller, the others elect one.
    let mut controller = cluster.controller().await;
    while shared.is_kafka() && controller.is_err() && clock.now() < LATE.as_nanos() as u64 {
        controller = cluster.controller().await;
    }
    let known = Duration::from_nanos(clock.now());
    // The others do not wait for it for ever.
    let mut led = true;
    while led && clock.now() < LATE.as_nanos() as u64 {
        led = cluster.leaders("orders").await.is_ok_and(|all| all.iter().any(|(_, leader)| *leader == 2));
    }
    println!("    controller {controller:?} after {known:?}; replaced after {:?}", Duration::from_nanos(clock.now()));
    cluster.resume(2).await?;
    cluster.await_probe(2, View::Subject, LATE).await?;
    cluster.verify_healthy(LATE).await?;
    ensure!(state == BrokerState::Paused, "it is {state:?}");
    ensure!(silent.iter().all(Result::is_err), "it answered");
    ensure!(!led, "it still leads");
    leaders?;
    if shared.is_kafka() {
        controller?;
    }
    Ok(())
}

async fn isolate(shared: Shared) -> Outcome {
    isolated(shared, false).await
}

async fn isolate_controller(shared: Shared) -> Outcome {
    // Each in turn: how the others know a controller depends on how they came to know it.
    for _ in 0..3 {
        isolated(shared.clone(), true).await?;
    }
    Ok(())
}

async fn isolated(shared: Shared, controls: bool) -> Outcome {
    let cluster = shared.lease().await?;
    if !shared.is_kafka() {
        // Mock brokers do not talk to each other: there is nothing to cut.
        let isolated = cluster.isolate(1).await;
        ensure!(matches!(isolated, Err(ClusterError::Unsupported { .. })), "{isolated:?}");
        return Ok(());
    }
    cluster.reset_topics(&topic("orders")).await?;
    let controller = cluster.controller().await?;
    let victim = cluster.brokers().into_iter().find(|id| (*id == controller) == controls).ok_or("one broker")?;
    let clock = Clock::start();
    cluster.isolate(victim).await?;
    let subject = cluster.probe(victim, View::Subject, LATE).await;
    let direct = cluster.probe(victim, View::Direct, LATE).await;
    let mut isr = Vec::new();
    while clock.now() < LATE.as_nanos() as u64 {
        isr = cluster.isr("orders").await?;
        if isr.iter().all(|(_, isr)| !isr.contains(&victim)) {
            break;
        }
    }
    let shrunk = Duration::from_nanos(clock.now());
    let next = cluster.controller().await;
    cluster.rejoin(victim).await?;
    cluster.verify_healthy(LATE).await?;
    println!("    out of sync after {shrunk:?}, back after {:?}", Duration::from_nanos(clock.now()) - shrunk);
    subject?;
    direct?;
    ensure!(isr.iter().all(|(_, isr)| !isr.contains(&victim)), "still in sync: {isr:?}");
    // Whom the others do not hear does not lead them.
    let next = next?;
    ensure!(next != victim, "broker {next} is still the controller");
    Ok(())
}
