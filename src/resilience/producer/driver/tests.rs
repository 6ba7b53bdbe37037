use std::io::Read;
use std::net::TcpListener;

use super::*;
use crate::resilience::backoff::RetryConfig;
use crate::resilience::client::{ClientRole, client_config};

fn producer(bootstrap: &str, on_signal: OnSignal) -> Arc<Shared> {
    let mut config = client_config(ClientRole::Producer, &Default::default(), &Default::default());
    config.set("bootstrap.servers", bootstrap);
    let retry = RetryConfig::default();
    let limits =
        Limits { retry, at_least_once: false, max_waiting: 100, max_wait: Duration::from_secs(60), metrics: None };
    Shared::start(config, limits, on_signal).expect("a producer")
}

/// Whether it comes true within 2 s.
fn soon(reached: impl Fn() -> bool) -> bool {
    (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(10));
        reached()
    })
}

#[test]
fn what_a_lane_holds_back_is_let_go_when_a_connection_breaks() {
    let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bootstrap = broker.local_addr().expect("an address").to_string();
    let shared = producer(&bootstrap, Arc::new(|_| ()));
    // Connected by the system's backlog, and not answered: as with a frozen broker.
    let answers: Vec<Delivery> = (0..12).map(|_| shared.send(Record::to("orders").partition(0))).collect();
    assert_eq!(shared.waiting.load(Ordering::Acquire), 7, "five are librdkafka's");
    drop(broker);
    let let_go = soon(|| shared.waiting.load(Ordering::Acquire) == 0);
    shared.close(Duration::ZERO);
    assert!(let_go, "{} records wait on", shared.waiting.load(Ordering::Acquire));
    assert_eq!(answers.len(), 12);
}

#[test]
fn a_connection_that_a_broker_closes_starts_the_search_for_leaders_though_it_is_no_error() {
    let closing = TcpListener::bind("127.0.0.1:0").expect("a port");
    // Accepts and says nothing: with every broker down there would be an error as well.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (near, far) = (closing.local_addr().expect("an address"), silent.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut connection in closing.incoming().flatten() {
            // With its request unread the connection would be reset.
            let _ = connection.read(&mut [0; 4096]);
        }
    });
    let errors = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&errors);
    let on_signal = move |_: &ProducerSignal| _ = counted.fetch_add(1, Ordering::Relaxed);
    let shared = producer(&format!("{near},{far}"), Arc::new(on_signal));
    // By 3 s the silent one is noticed, too.
    let searching = soon(|| shared.search.is_on());
    assert_eq!(errors.load(Ordering::Relaxed), 0, "librdkafka calls it an error now: the log need not be listened to");
    shared.close(Duration::ZERO);
    assert!(searching, "nobody looks for leaders");
}
