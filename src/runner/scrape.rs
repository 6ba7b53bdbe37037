//! Asks the members of an application of one's own for the metrics that the scenario names, and notes what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::history::{Op, Recorder};
use crate::plan::{MetricsPlan, Selector};
use crate::subject::{Subject, Surroundings, http};

const EVERY: Duration = Duration::from_secs(1);

/// Records a signal whenever a named metric of a member has another value than before, until `stop`. Who does not answer
/// (it is down, or frozen, or not yet up) is asked again.
pub(super) async fn metrics(
    plan: MetricsPlan,
    subject: Arc<dyn Subject>,
    surroundings: Surroundings,
    recorder: Recorder,
    stop: CancellationToken,
) {
    let selectors: Vec<(&String, Selector)> =
        plan.signals.iter().filter_map(|(name, text)| Some((name, Selector::parse(text)?))).collect();
    let mut known: BTreeMap<(u32, &str), f64> = BTreeMap::new();
    while !stop.is_cancelled() {
        let up: Vec<u32> = subject.members().iter().filter(|member| member.ended.is_none()).map(|m| m.index).collect();
        let asked = recorder.clock().now();
        let pages = join_all(up.iter().map(|member| {
            let url = surroundings.fill(&plan.url, *member);
            async move { http::get(&url).await.map_err(|reason| tracing::debug!(member, reason, "no metrics")) }
        }));
        for (member, page) in up.iter().zip(pages.await) {
            for (name, selector) in &selectors {
                let Some(value) = page.as_ref().ok().and_then(|page| selector.sum(page)) else { continue };
                if known.insert((*member, name), value) != Some(value) {
                    recorder.record_at(asked, Some(&format!("member-{member}")), Op::metric(name, value));
                }
            }
        }
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(EVERY) => {} }
    }
}
