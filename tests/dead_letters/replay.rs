//! `seaworthy dlq` on real dead letters: killed replays, filters, the bound on loops, what is shown.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use seaworthy::cluster::Cluster;
use seaworthy::resilience::classify::Class;
use seaworthy::resilience::dlq::{Failure, REPLAYED_FROM, REPLAYS};
use seaworthy::resilience::record::Incoming;
use seaworthy::resilience::settings::HeaderPreset;
use seaworthy::resilience::{DeadLetterQueue, Record};

use crate::bench::{Bench, LATE, text_header};
use crate::{Case, Outcome, case, ensure};

pub fn cases() -> Vec<Case> {
    vec![
        case("a_replay_killed_twice_and_resumed_loses_nothing_and_sends_nothing_twice", killed),
        case("filters_pick_from_the_middle_and_a_later_replay_takes_the_rest", filters),
        case("a_letter_that_goes_round_is_left_and_a_discarded_one_is_done", bounds),
        case("list_show_and_watch_say_what_is_there", shown),
        case("an_unreachable_broker_and_an_unknown_topic_are_an_unavailable_environment", unavailable),
    ]
}

fn seaworthy(bench: &Bench, command: &str, arguments: &[&str]) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    process.args(["dlq", command, "--bootstrap-server", &bench.bootstrap, "--topic", &bench.dlq()]).args(arguments);
    process
}

async fn run(bench: &Bench, command: &str, arguments: &[&str]) -> Result<Output, std::io::Error> {
    let mut process = seaworthy(bench, command, arguments);
    tokio::task::spawn_blocking(move || process.output()).await.map_err(std::io::Error::other)?
}

type Json = serde_json::Value;

/// What it printed as JSON, and its exit code.
async fn json(
    bench: &Bench,
    command: &str,
    arguments: &[&str],
) -> Result<(Json, Option<i32>), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    let output = run(bench, command, &arguments).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parsed = serde_json::from_str(text.lines().next().unwrap_or_default());
    let told = String::from_utf8_lossy(&output.stderr);
    Ok((parsed.map_err(|e| format!("{command}: {e}; it printed {text:?}, and {told}"))?, output.status.code()))
}

async fn depth(bench: &Bench) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let (list, code) = json(bench, "list", &[]).await?;
    ensure!(code == Some(0), "list ended with {code:?}");
    list["depth"].as_u64().ok_or_else(|| format!("no depth: {list}").into())
}

/// Letters with the values `from..to`; every third is temporary, the others are not retriable.
async fn letters(bench: &Bench, from: u64, to: u64) -> Outcome {
    letters_with(bench, from, to, HeaderPreset::Plain, vec![]).await
}

async fn letters_with(
    bench: &Bench,
    from: u64,
    to: u64,
    preset: HeaderPreset,
    headers: Vec<(String, Option<Vec<u8>>)>,
) -> Outcome {
    let queue = DeadLetterQueue::new(bench.dlq(), "billing").preset(preset);
    let producer = bench.producer();
    let letter = |i: u64| -> Record {
        let original = Incoming {
            topic: bench.input(),
            partition: (i % 2) as i32,
            offset: i as i64,
            timestamp: Some(1_700_000_000_000),
            key: Some(format!("k{}", i % 5).into_bytes()),
            payload: Some(i.to_string().into_bytes()),
            headers: headers.clone(),
        };
        let failure = Failure {
            message: "the account is closed".into(),
            class: if i.is_multiple_of(3) { Class::Temporary } else { Class::NonRetriable },
            code: None,
            attempts: 1,
            first_failure: SystemTime::UNIX_EPOCH,
        };
        queue.dead_letter(&original, &failure, seaworthy::clock::wall())
    };
    let sent: Vec<_> = (from..to).map(|i| producer.send(letter(i))).collect();
    for delivery in sent {
        delivery.await?;
    }
    producer.close(LATE).await?;
    Ok(())
}

async fn killed(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "replayed").await?;
    letters(&bench, 0, 300).await?;
    // A copy of each of the first ten, as after a crash.
    letters(&bench, 0, 10).await?;
    let mut reached = 0;
    for round in 1..=2 {
        let mut replay = seaworthy(&bench, "replay", &["--batch", "1"]).spawn()?;
        let enough = reached + 40;
        let grown = async {
            loop {
                reached = bench.cluster.end_offsets(&bench.input()).await?.values().sum::<i64>();
                if reached >= enough {
                    return Ok::<(), seaworthy::cluster::ClusterError>(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LATE, grown).await.map_err(|_| "the replay sends nothing")??;
        replay.kill()?;
        let status = tokio::task::spawn_blocking(move || replay.wait()).await??;
        ensure!(!status.success(), "round {round}: it was through before it was killed");
    }
    // Before the input is asked: a batch that was committed at the last kill is marked by then. The killed one stays open.
    let (dry, _) = json(&bench, "replay", &["--dry-run"]).await?;
    let sent = bench.committed_so_far(bench.input()).await? as u64;
    ensure!(sent > 0 && sent < 300, "{sent} letters were committed before the kills");

    let (done, code) = json(&bench, "replay", &["--batch", "50"]).await?;
    ensure!(code == Some(0), "it ended with {code:?}: {done}");
    ensure!(done["replayed"].as_u64() == Some(300 - sent), "{sent} before, and now {done}");
    ensure!(dry["replayed"] == done["replayed"], "the dry run said {dry}");
    let values = bench.values(bench.input()).await?;
    ensure!(values == (0..300).collect::<Vec<_>>(), "not each once: {values:?}");
    ensure!(depth(&bench).await? == 0, "some are still waiting");
    // Several times: an assignment that ended too soon aborted one in three of these.
    for _ in 0..8 {
        let (nothing, code) = json(&bench, "replay", &[]).await?;
        ensure!(code == Some(4), "nothing was left, and it ended with {code:?}: {nothing}");
    }

    let record = &bench.read(bench.input()).await?[0];
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == [REPLAYS, REPLAYED_FROM], "its headers are not its own: {names:?}");
    Ok(())
}

async fn filters(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "filtered").await?;
    letters(&bench, 0, 60).await?;
    let first_partition = format!("{}/0", bench.input());
    let id = format!("{}/1/7", bench.input());
    for (arguments, wanted) in [
        (vec!["--error-class", "temporary"], 20),
        (vec!["--id", &id], 1),
        (vec!["--key", "k1", "--origin", &first_partition], 4),
        (vec!["--since", "1h", "--limit", "5"], 5),
        (vec![], 30),
    ] {
        let (done, code) = json(&bench, "replay", &arguments).await?;
        ensure!(code == Some(0), "{arguments:?} ended with {code:?}");
        ensure!(done["replayed"].as_u64() == Some(wanted), "{arguments:?}: {done}, not {wanted}");
    }
    let values = bench.values(bench.input()).await?;
    ensure!(values == (0..60).collect::<Vec<_>>(), "not each once: {values:?}");
    Ok(())
}

async fn bounds(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "bounded").await?;
    let replays = |n: &str| vec![(REPLAYS.to_owned(), Some(n.as_bytes().to_vec()))];
    letters_with(&bench, 0, 1, HeaderPreset::Plain, replays("3")).await?;
    letters_with(&bench, 1, 2, HeaderPreset::Spring, replays("2")).await?;
    let (done, code) = json(&bench, "replay", &[]).await?;
    ensure!(code == Some(1), "it ended with {code:?}");
    ensure!((done["replayed"].as_u64(), done["looping"].as_u64()) == (Some(1), Some(1)), "{done}");
    let records = bench.read(bench.input()).await?;
    ensure!(records.len() == 1 && text_header(&records[0].headers, REPLAYS).as_deref() == Some("3"), "{records:?}");
    ensure!(records[0].headers.len() == 2, "Spring's headers are still on it: {:?}", records[0].headers);
    let (done, code) = json(&bench, "replay", &["--discard"]).await?;
    ensure!(code == Some(0) && done["replayed"].as_u64() == Some(1), "{code:?} {done}");
    ensure!(depth(&bench).await? == 0, "the discarded one is still waiting");
    ensure!(bench.values(bench.input()).await?.len() == 1, "the discarded one was sent");
    Ok(())
}

async fn shown(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "shown").await?;
    letters(&bench, 0, 9).await?;
    let (list, _) = json(&bench, "list", &[]).await?;
    let class = &list["by_class"][0];
    ensure!((class["name"].as_str(), class["count"].as_u64()) == (Some("non-retriable"), Some(6)), "{list}");
    ensure!(list["by_origin"][0]["name"].as_str() == Some(&*format!("{}/0", bench.input())), "{list}");
    ensure!(list["oldest_age_s"].is_u64() && list["last_minute"].as_u64() == Some(9), "{list}");
    let id = format!("{}/1/3", bench.input());
    let (letter, code) = json(&bench, "show", &[&id]).await?;
    ensure!(code == Some(0) && letter["value"]["text"].as_str() == Some("3"), "{letter}");
    ensure!(letter["error_message"].as_str() == Some("the account is closed"), "{letter}");
    let none = run(&bench, "show", &["7/7"]).await?;
    ensure!(none.status.code() == Some(4), "a letter that is not there: {none:?}");
    let human = run(&bench, "show", &[&id]).await?;
    let text = String::from_utf8_lossy(&human.stdout).into_owned();
    ensure!(text.contains("original-offset = 3") && text.contains("waiting"), "{text}");
    let watch = run(&bench, "watch", &["--count", "2", "--every", "10ms"]).await?;
    let lines = String::from_utf8_lossy(&watch.stdout).into_owned();
    ensure!(watch.status.code() == Some(0) && lines.matches("9 letters waiting").count() == 2, "{lines}");
    Ok(())
}

async fn unavailable(cluster: Arc<dyn Cluster>) -> Outcome {
    let bench = Bench::new(cluster, "unavailable").await?;
    let unknown = run(&bench, "list", &["--topic", "x", "--timeout", "3s"]).await?;
    // clap takes a repeated option for a mistake.
    ensure!(unknown.status.code() == Some(64), "{unknown:?}");
    bench.cluster.delete_topics(&[bench.dlq()]).await?;
    let gone = run(&bench, "list", &["--timeout", "3s"]).await?;
    ensure!(gone.status.code() == Some(69), "{gone:?}");
    let told = String::from_utf8_lossy(&gone.stderr).into_owned();
    ensure!(told.contains(&bench.dlq()), "{told}");
    let arguments = ["-X", "bootstrap.servers=127.0.0.1:1", "--timeout", "2s"];
    let nobody = run(&bench, "list", &arguments).await?;
    ensure!(nobody.status.code() == Some(69), "{nobody:?}");
    let wrong = run(&bench, "list", &["-X", "no.such.property=1"]).await?;
    ensure!(wrong.status.code() == Some(64), "{wrong:?}");
    Ok(())
}
