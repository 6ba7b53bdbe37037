//! Experiment 3 of the lesson: what cannot be processed goes to a dead-letter topic with its error, and is processed
//! from there, separately. `cargo run --example dead_letters`. On librdkafka's own mock cluster: no broker is needed.

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/resilient_clients/mock.rs"]
mod mock;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use seaworthy::resilience::{
    DeadLetterInfo, DeadLetterQueue, ErrorMetrics, Handler, HandlerError, Incoming, OutgoingRecord, Record,
    ResilientConsumer, ResilientProducer,
};
use tokio_util::sync::CancellationToken;

struct Parse;

impl Handler for Parse {
    async fn handle(&self, record: &Incoming, _attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        let text = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned();
        match text.parse::<u64>() {
            Ok(number) => Ok(vec![Record::to("squares").payload((number * number).to_string())]),
            Err(error) => Err(HandlerError::permanent(format!("{text:?} is no number: {error}"))),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mock = mock::Mock::start(&[("numbers", 3), ("squares", 3), ("numbers.dlq", 3)]);
    let producer = ResilientProducer::builder(&mock.bootstrap).build()?;
    for number in 0..100 {
        let text = if number % 10 == 3 { format!("poison-{number}") } else { number.to_string() };
        producer.send(Record::to("numbers").key(format!("k{number}")).payload(text)).await?;
    }

    let (metrics, stop) = (Arc::new(ErrorMetrics::default()), CancellationToken::new());
    let letters = DeadLetterQueue::new("numbers.dlq", "squarer");
    let consumer = ResilientConsumer::builder(&mock.bootstrap, "squarer", producer, letters)
        .topics(["numbers"])
        .metrics(Arc::clone(&metrics))
        .build();
    let running = tokio::spawn(consumer.run(Parse, stop.clone()));
    while mock.count("squares") + mock.count("numbers.dlq") < 100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    running.await??;

    // Separately, by anyone, at any time: the letters say what went wrong and where the record stood.
    let letters = mock.read("numbers.dlq");
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    println!("{:<16} {:<14} {:<9} error", "from", "class", "attempts");
    for letter in &letters {
        let info = DeadLetterInfo::from_headers(&letter.headers);
        let (topic, partition, offset) = info.origin().ok_or("a letter without its origin")?;
        let class = info.error_class.map_or("unknown".into(), |class| class.to_string());
        let message = info.error_message.clone().unwrap_or_default();
        let from = format!("{topic}/{partition}@{offset}");
        println!("{from:<16} {class:<14} {:<9} {message}", info.attempts.unwrap_or(0));
        *classes.entry(class).or_default() += 1;
    }
    let counts = metrics.snapshot();
    println!(
        "\nfinding: 100 records in, {} effects and {} dead letters ({classes:?}); none lost, each letter with its origin and error; \
         error rate {:.0} %",
        mock.count("squares"),
        letters.len(),
        counts.error_rate.unwrap_or_default() * 100.0
    );
    Ok(())
}
