//! Ports for services that tests start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// One that nobody listens on yet, and no client is given meanwhile: it lies below the ports of outgoing connections, and below
/// those of clusters. Each is given once in this process.
pub fn free() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id().wrapping_mul(61) % 10_000) as u16;
    let next = || 10_000 + (first + GIVEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
    (0..1_000).map(|_| next()).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port")
}
