//! Harm to a link, in the words of a fault proxy: the same on every backend that has one.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::ClusterError;
use crate::plan::{BackendKind, Direction, NetworkEffect};
use crate::proxy::{LinkState, ProxyError, Stream, Toxic, Toxiproxy};

/// The subject's path to one broker: its fault proxy, changed by one at a time.
pub struct Link {
    broker: u32,
    /// Replaceable: one that is stuck stays so.
    driver: std::sync::Mutex<Arc<Toxiproxy>>,
    changing: tokio::sync::Mutex<()>,
}

impl Link {
    pub(super) fn new(broker: u32, driver: Toxiproxy) -> Self {
        Self { broker, driver: std::sync::Mutex::new(Arc::new(driver)), changing: tokio::sync::Mutex::default() }
    }

    pub(super) fn driver(&self) -> Arc<Toxiproxy> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_driver(&self, driver: Toxiproxy) {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(driver);
    }

    /// Nobody else changes the link while this is held.
    pub(super) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    pub(super) async fn create(&self, listen: &str, upstream: &str) -> Result<(), ClusterError> {
        self.done(self.driver().create(listen, upstream).await)
    }

    pub(super) async fn cut(
        &self,
        backend: BackendKind,
        effect: NetworkEffect,
        direction: Direction,
    ) -> Result<(), ClusterError> {
        let toxics = cut(backend, effect, direction)?;
        let _one = self.alone().await;
        self.done(match toxics {
            None => self.driver().enable(false).await,
            Some(toxics) => self.driver().add(&toxics).await,
        })
    }

    pub(super) async fn slow(
        &self,
        latency: Duration,
        jitter: Duration,
        rate: Option<u64>,
    ) -> Result<(), ClusterError> {
        let _one = self.alone().await;
        self.done(self.driver().add(&slow(latency, jitter, rate)).await)
    }

    pub(super) async fn mend(&self) -> Result<(), ClusterError> {
        let _one = self.alone().await;
        self.done(self.driver().clear().await)
    }

    pub(super) async fn state(&self) -> Result<LinkState, ClusterError> {
        self.driver().state().await.map_err(|source| self.failed(source))
    }

    fn done(&self, outcome: Result<LinkState, ProxyError>) -> Result<(), ClusterError> {
        outcome.map(drop).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: ProxyError) -> ClusterError {
        ClusterError::Proxy { broker: self.broker, source }
    }
}

/// What a cut takes. `None`: the proxy closes.
fn cut(
    backend: BackendKind,
    effect: NetworkEffect,
    direction: Direction,
) -> Result<Option<Vec<(Toxic, Stream)>>, ClusterError> {
    let toxic = match effect {
        NetworkEffect::Refuse if direction != Direction::Both => {
            let what = "refuse connections in one direction only".to_owned();
            return Err(ClusterError::Unsupported { backend, what });
        }
        NetworkEffect::Refuse => return Ok(None),
        NetworkEffect::Blackhole => Toxic::Blackhole,
        NetworkEffect::Stall => Toxic::Stall,
        NetworkEffect::Reset => Toxic::Reset,
    };
    Ok(Some(streams(direction).iter().map(|stream| (toxic, *stream)).collect()))
}

/// What a slowdown takes. `rate` is in bytes per second.
fn slow(latency: Duration, jitter: Duration, rate: Option<u64>) -> Vec<(Toxic, Stream)> {
    let millis = |d: Duration| d.as_millis().try_into().unwrap_or(u32::MAX);
    let mut toxics = Vec::new();
    if !latency.is_zero() || !jitter.is_zero() {
        // On one stream only: on both, a round trip would take twice as much.
        toxics.push((Toxic::Latency { latency: millis(latency), jitter: millis(jitter) }, Stream::Downstream));
    }
    if let Some(rate) = rate {
        let rate = u32::try_from(rate.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        toxics.extend(streams(Direction::Both).iter().map(|stream| (Toxic::Bandwidth { rate }, *stream)));
    }
    toxics
}

fn streams(direction: Direction) -> &'static [Stream] {
    match direction {
        Direction::Both => &[Stream::Upstream, Stream::Downstream],
        Direction::Requests => &[Stream::Upstream],
        Direction::Replies => &[Stream::Downstream],
    }
}
