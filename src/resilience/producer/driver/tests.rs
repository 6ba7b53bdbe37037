use std::io::Read;
use std::net::TcpListener;

use super::*;
use crate::resilience::backoff::RetryConfig;
use crate::resilience::client::{ClientRole, client_config};

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
    let mut config = client_config(ClientRole::Producer, &Default::default(), &Default::default());
    config.set("bootstrap.servers", format!("{near},{far}"));
    let errors = Arc::new(AtomicU64::new(0));
    let limits = Limits {
        retry: RetryConfig::default(),
        at_least_once: false,
        max_waiting: 1,
        max_wait: Duration::from_secs(1),
        metrics: None,
    };
    let counted = Arc::clone(&errors);
    let on_signal = move |_: &ProducerSignal| _ = counted.fetch_add(1, Ordering::Relaxed);
    let shared = Shared::start(config, limits, Arc::new(on_signal)).expect("a producer");
    // By 3 s the silent one is noticed, too.
    let searching = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(10));
        shared.search.is_on()
    });
    assert_eq!(errors.load(Ordering::Relaxed), 0, "librdkafka calls it an error now: the log need not be listened to");
    shared.close(Duration::ZERO);
    assert!(searching, "nobody looks for leaders");
}
