//! A service on the components alone: reads orders, bills each, writes the bill; what fails is retried, dead-lettered or
//! held back, counted, and told.
//!
//! With `default-features = false, features = ["metrics-server"]` in its Cargo.toml. To run it here:
//! `cargo run --no-default-features --features metrics-server --example service -- localhost:9092 [settings.toml]`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seaworthy::resilience::metrics::server::MetricsServer;
use seaworthy::resilience::{
    AlertManager, DeadLetterQueue, ErrorMetrics, Handler, HandlerError, Incoming, OutgoingRecord, Record,
    ResilientConsumer, ResilientProducer, Settings,
};
use tokio_util::sync::CancellationToken;

struct Billing;

impl Handler for Billing {
    async fn handle(&self, order: &Incoming, _attempt: u32) -> Result<Vec<OutgoingRecord>, HandlerError> {
        let bytes = order.payload.as_deref().unwrap_or_default();
        // Bad however often it is tried: to the dead-letter topic. An HTTP call that fails would be `retriable`.
        let text = std::str::from_utf8(bytes).map_err(|e| HandlerError::permanent(format!("not UTF-8: {e}")))?;
        let cents: u64 = text.trim().parse().map_err(|e| HandlerError::permanent(format!("no amount: {e}")))?;
        let bill = Record::to("bills").payload(format!("{cents} cents, {} tax", cents / 5));
        Ok(vec![match &order.key {
            Some(key) => bill.key(key.clone()),
            None => bill,
        }])
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().unwrap_or_else(|| "localhost:9092".into());
    let settings = Settings::load(arguments.next().as_deref().map(Path::new))
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let (metrics, shutdown) =
        (Arc::new(ErrorMetrics::new(settings.monitoring.minimum_sample)), CancellationToken::new());

    let server = MetricsServer::new(Arc::clone(&metrics)).label("messaging_consumer_group_name", "billing");
    let (address, _) = server.ready_while_up().serve("127.0.0.1:9464".parse()?, shutdown.clone()).await?;
    println!("http://{address}/metrics, /healthz, /readyz");

    let (watched, until) = (Arc::clone(&metrics), shutdown.clone());
    let alerts = AlertManager::new(settings.monitoring.clone());
    tokio::spawn(async move {
        let tell = |alert| println!("alert: {alert:?}");
        alerts.watch(&watched, Duration::from_secs(5), until, tell).await;
    });

    let producer = ResilientProducer::builder(&brokers)
        .client(settings.client.clone())
        .retry(settings.retry.clone())
        .metrics(Arc::clone(&metrics))
        .build()?;
    let letters = DeadLetterQueue::new(format!("orders{}", settings.dlq.topic_suffix), "billing");
    let consumer = ResilientConsumer::builder(&brokers, "billing", producer, letters)
        .topics(["orders"])
        .settings(settings)
        .metrics(metrics)
        .build();
    let stop = shutdown.clone();
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| stop.cancel()) });
    consumer.run(Billing, shutdown).await?;
    Ok(())
}
