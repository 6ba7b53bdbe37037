//! Several repeats side by side: every sample as a dot beside its median and range, with the budget's line.

use maud::{Markup, html};

use super::plot::{Axis, anchor, percent};
use crate::budget::Amount;
use crate::clock::text_seconds;
use crate::report::ScenarioResult;
use crate::report::phrase::number;

/// A measure that is compared: named as its budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub name: &'static str,
    pub counts: bool,
    of: fn(&ScenarioResult) -> Option<Sample>,
}

/// One repeat's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    Value(f64),
    /// It never came: at least this, and beyond every value that came.
    Beyond(f64),
}

pub(super) const METRICS: &[Metric] = &[
    Metric { name: "recovery", counts: false, of: recovery },
    Metric { name: "outage", counts: false, of: outage },
    Metric { name: "first-success", counts: false, of: |r| Some(Sample::Value(r.recovery.as_ref()?.first_success_s?)) },
    Metric { name: "detect", counts: false, of: |r| Some(Sample::Value(r.recovery.as_ref()?.detect_s?)) },
    Metric { name: "after-leader", counts: false, of: |r| Some(Sample::Value(r.recovery.as_ref()?.after_leader_s?)) },
    Metric { name: "drain", counts: false, of: drain },
    Metric { name: "lost", counts: true, of: |r| Some(Sample::Value(r.integrity.lost as f64)) },
    Metric { name: "duplicates", counts: true, of: duplicates },
    Metric { name: "redelivered", counts: true, of: |r| Some(Sample::Value(r.integrity.redelivered as f64)) },
    Metric { name: "reordered", counts: true, of: |r| Some(Sample::Value(r.integrity.reordered as f64)) },
];

fn recovery(result: &ScenarioResult) -> Option<Sample> {
    let recovery = result.recovery.as_ref()?;
    recovery.ttr_s.map(Sample::Value).or(recovery.lower_bound_s.map(Sample::Beyond))
}

fn outage(result: &ScenarioResult) -> Option<Sample> {
    let recovery = result.recovery.as_ref()?;
    let wrap = if recovery.outage_open { Sample::Beyond } else { Sample::Value };
    recovery.outage_s.map(wrap)
}

fn drain(result: &ScenarioResult) -> Option<Sample> {
    let recovery = result.recovery.as_ref()?;
    match (recovery.drained, recovery.drain_s) {
        (Some(false), _) => recovery.lower_bound_s.map(Sample::Beyond),
        (_, drain) => drain.map(Sample::Value),
    }
}

fn duplicates(result: &ScenarioResult) -> Option<Sample> {
    let counts = &result.integrity;
    Some(Sample::Value(counts.duplicates_in_log.max(counts.duplicate_effects) as f64))
}

impl Sample {
    fn value(self) -> f64 {
        match self {
            Self::Value(value) | Self::Beyond(value) => value,
        }
    }

    /// Where it stands among the others.
    fn rank(self) -> f64 {
        match self {
            Self::Value(value) => value,
            Self::Beyond(_) => f64::INFINITY,
        }
    }
}

/// All samples of one side, sorted.
pub(super) struct Side<'a> {
    pub name: &'a str,
    /// With the repeat that each comes from.
    pub samples: Vec<(Sample, u32)>,
    pub limit: Option<f64>,
    /// Repeats that met the limit, of how many.
    pub met: Option<(usize, usize)>,
}

impl<'a> Side<'a> {
    pub fn of(name: &'a str, metric: Metric, results: &[&ScenarioResult]) -> Self {
        let mut samples: Vec<(Sample, u32)> =
            results.iter().filter_map(|r| Some(((metric.of)(r)?, r.repeat))).collect();
        samples.sort_by(|a, b| a.0.rank().total_cmp(&b.0.rank()));
        let rows: Vec<_> =
            results.iter().filter_map(|r| r.budgets.iter().find(|row| row.metric == metric.name)).collect();
        let limit = rows.first().map(|row| match row.limit {
            Amount::Count(n) => n as f64,
            Amount::Seconds(s) => s,
        });
        let met = (!rows.is_empty()).then(|| (rows.iter().filter(|row| row.met).count(), rows.len()));
        Self { name, samples, limit, met }
    }

    /// The value in the middle; of an even number the mean of the two. `None`: none, or it never came.
    fn median(&self) -> Option<f64> {
        let n = self.samples.len();
        let at = |at: usize| self.samples.get(at).map(|(sample, _)| sample.rank());
        let middle = if n % 2 == 1 { at(n / 2)? } else { (at((n / 2).checked_sub(1)?)? + at(n / 2)?) / 2.0 };
        middle.is_finite().then_some(middle)
    }

    /// "2.1 s", the median.
    pub fn brief(&self) -> String {
        match (self.median(), self.samples.last()) {
            (Some(median), _) => text_seconds(median),
            (None, Some((most, _))) => format!("> {}", text_seconds(most.value())),
            (None, None) => "-".to_owned(),
        }
    }

    /// "2.1 s [1.9 s … 2.4 s], n = 5".
    pub fn sentence(&self, metric: Metric) -> String {
        let text = |value: f64| if metric.counts { number(value.round() as u64) } else { text_seconds(value) };
        let (Some((least, _)), Some((most, _))) = (self.samples.first(), self.samples.last()) else {
            return "not measured".to_owned();
        };
        let came = self.samples.iter().filter(|(sample, _)| matches!(sample, Sample::Value(_))).count();
        let n = self.samples.len();
        let end = match most {
            Sample::Value(value) => text(*value),
            Sample::Beyond(bound) => format!("> {}", text(*bound)),
        };
        let start = match least {
            Sample::Value(value) => text(*value),
            Sample::Beyond(bound) => format!("> {}", text(*bound)),
        };
        let mut said = match self.median() {
            _ if n == 1 => end,
            Some(median) => format!("{} [{start} … {end}], n = {n}", text(median)),
            None => format!("never in most of {n} [{start} … {end}]"),
        };
        if came < n {
            said.push_str(&format!(", came {came} of {n}"));
        }
        if let (Some((met, of)), Some(limit)) = (self.met, self.limit) {
            said.push_str(&format!("; budget {} met {met} of {of}", text(limit)));
        }
        said
    }
}

const HEIGHT: f64 = 30.0;

/// One metric: a row a side. `None`: nobody measured it.
pub(super) fn strip(metric: Metric, sides: &[Side<'_>]) -> Option<Markup> {
    let values = || sides.iter().flat_map(|side| side.samples.iter().map(|(sample, _)| sample.value()));
    values().next()?;
    // Counts that are nowhere anything else than 0 are a sentence, not a picture.
    if metric.counts && values().all(|value| value == 0.0) {
        return None;
    }
    let most = values().chain(sides.iter().filter_map(|side| side.limit)).fold(0.0, f64::max);
    let axis = Axis { from: 0.0, to: if most > 0.0 { most * 1.08 } else { 1.0 } };
    let text = |value: f64| if metric.counts { number(value.round() as u64) } else { text_seconds(value) };
    let said: Vec<String> = sides.iter().map(|side| format!("{}: {}", side.name, side.sentence(metric))).collect();
    Some(html! {
        div.dots role="img" aria-label=(format!("{}. {}", metric.name, said.join(". "))) {
            div.panel { div.name { b { (metric.name) } } }
            @for side in sides.iter().filter(|side| !side.samples.is_empty()) { (row(metric, side, axis)) }
            div.row {
                div {}
                svg width="100%" height="20" {
                    @for tick in axis.ticks(5) {
                        line.edge x1=(axis.at(tick)) x2=(axis.at(tick)) y1="0" y2="4" {}
                        text.tick x=(axis.at(tick)) y="16" text-anchor=(anchor(axis.share(tick))) { (text(tick)) }
                    }
                }
            }
        }
    })
}

fn row(metric: Metric, side: &Side<'_>, axis: Axis) -> Markup {
    let middle = HEIGHT / 2.0;
    let came: Vec<f64> =
        side.samples.iter().filter(|(s, _)| matches!(s, Sample::Value(_))).map(|(s, _)| s.value()).collect();
    html! {
        div.row {
            div.name { (side.name) }
            svg width="100%" height=(HEIGHT) {
                line.edge x1="0" x2="100%" y1=(HEIGHT) y2=(HEIGHT) {}
                @for tick in axis.ticks(5) { line.grid x1=(axis.at(tick)) x2=(axis.at(tick)) y1="0" y2=(HEIGHT) {} }
                @if let (Some(least), Some(most)) = (came.first(), came.last()) {
                    line.whisker x1=(axis.at(*least)) x2=(axis.at(*most)) y1=(middle) y2=(middle) {}
                }
                @for (at, (sample, _)) in side.samples.iter().enumerate() {
                    // Three lines, so that equal values are seen to be several.
                    @let y = middle + [0.0, -7.0, 7.0][at % 3];
                    @let over = side.limit.is_some_and(|limit| sample.rank() > limit);
                    @match sample {
                        Sample::Value(value) => circle class=(if over { "dot missed" } else { "dot" }) cx=(axis.at(*value)) cy=(y) r="4" {},
                        Sample::Beyond(bound) => text class="fail" x=(axis.at(*bound)) y=(y + 4.0) text-anchor="end" { "▷" },
                    }
                }
                @if let Some(median) = side.median() {
                    line.median x1=(axis.at(median)) x2=(axis.at(median)) y1="4" y2=(HEIGHT - 4.0) {}
                }
                @if let Some(limit) = side.limit {
                    line class="mark budget" x1=(percent(axis.share(limit))) x2=(percent(axis.share(limit))) y1="0" y2=(HEIGHT) {}
                }
            }
            div.said { (side.sentence(metric)) }
        }
    }
}
