//! Harm to a link, in the words of a fault proxy: the same on every backend that has one.

use std::time::Duration;

use super::ClusterError;
use crate::plan::{BackendKind, Direction, NetworkEffect};
use crate::proxy::{Stream, Toxic};

/// What a cut takes. `None`: the proxy closes.
pub(super) fn cut(
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
pub(super) fn slow(latency: Duration, jitter: Duration, rate: Option<u64>) -> Vec<(Toxic, Stream)> {
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
