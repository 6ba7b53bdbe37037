//! The timeline of one repeat: throughput, latency and backlog one above the other on one time axis, with the faults
//! shaded and the marks named above, states as strips beneath, and the same facts as tables.

use maud::{Markup, html};

use super::plot::{Axis, Scale, anchor, band, curve, percent, stretched, y_labels};
use super::strips;
use crate::clock::text_seconds;
use crate::plan::Since;
use crate::report::phrase::number;
use crate::report::timeline::{Half, Span, Timeline};
use crate::report::{ScenarioResult, phrase};

/// A moment that every plot shows: what happened, and to which faults where there are several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub t: f64,
    pub class: &'static str,
    words: Vec<String>,
    faults: Vec<String>,
}

impl Mark {
    /// As it is written above the plots: no longer than a phone is wide.
    fn text(&self) -> String {
        let (words, at) = (self.words.join(", "), text_seconds(self.t));
        let named = format!("{}: {words} {at}", self.faults.join(" + "));
        match self.faults.len() {
            0 => format!("{words} {at}"),
            n if named.chars().count() > 42 && n > 1 => format!("{n} faults: {words} {at}"),
            _ => named,
        }
    }
}

/// The shape that all plots of one figure share.
pub(super) struct Frame {
    pub axis: Axis,
    /// From confirmed (else ordered) to gone.
    faults: Vec<(f64, f64)>,
    calm: Option<(f64, f64)>,
    pub marks: Vec<Mark>,
}

/// More marks than this and the names above hide one another: then shading and table tell it.
const MOST_MARKS: usize = 12;

impl Frame {
    fn of(result: &ScenarioResult, line: &Timeline) -> Self {
        let axis = Axis { from: line.from, to: line.to };
        let fault = |row: &crate::recovery::FaultRow| {
            let from = row.inject_s.or(row.confirmed_s)?;
            Some((from, row.healed_s.or(row.heal_s).unwrap_or(line.end.unwrap_or(line.to))))
        };
        let faults = result.faults.iter().filter_map(fault).collect();
        let mut marks = marks(result, line);
        if marks.len() > MOST_MARKS {
            marks.retain(|mark| mark.class != "mark");
        }
        marks.truncate(MOST_MARKS);
        Self { axis, faults, calm: line.baseline, marks }
    }

    /// What lies behind a plot's curves.
    pub fn ground(&self, height: f64) -> Markup {
        let rect = |class: &str, (from, to): (f64, f64)| {
            let (from, to) = (self.axis.share(from), self.axis.share(to));
            html! { rect class=(class) x=(percent(from)) y="0" width=(percent((to - from).max(0.0015))) height=(height) {} }
        };
        html! {
            @if let Some(calm) = self.calm { (rect("calm", calm)) }
            @for fault in &self.faults { (rect("fault", *fault)) }
            @for tick in self.axis.ticks(6) {
                line.grid x1=(self.axis.at(tick)) x2=(self.axis.at(tick)) y1="0" y2=(height) {}
            }
        }
    }

    /// What lies above them.
    pub fn lines(&self, height: f64) -> Markup {
        html! {
            @for mark in &self.marks {
                line class=(mark.class) x1=(self.axis.at(mark.t)) x2=(self.axis.at(mark.t)) y1="0" y2=(height) {}
            }
        }
    }
}

/// Everything that has a moment, in order; what falls together is named together.
fn marks(result: &ScenarioResult, line: &Timeline) -> Vec<Mark> {
    let mut all: Vec<Mark> = Vec::new();
    let mut add = |t: Option<f64>, fault: &str, word: &str, class| {
        if let Some(t) = t.filter(|t| (line.from..=line.to).contains(t)) {
            let faults = if fault.is_empty() { Vec::new() } else { vec![fault.to_owned()] };
            all.push(Mark { t, class, words: vec![word.to_owned()], faults });
        }
    };
    let alone = result.faults.len() == 1;
    for row in &result.faults {
        let label = if alone { "" } else { &row.label };
        add(row.inject_s, label, "injected", "mark");
        add(row.confirmed_s, label, "in effect", "mark");
        add(row.heal_s, label, "heal", "mark");
        add(row.healed_s, label, "healed", "mark");
    }
    if let Some(recovery) = &result.recovery {
        // Results of older versions do not say what they were counted from; of one fault it is known all the same.
        let mut zero = recovery.zero_s;
        if let (true, [row]) = (alone, &result.faults[..]) {
            let start = row.confirmed_s.or(row.inject_s);
            add(start.zip(recovery.detect_s).map(|(t, after)| t + after), "", "first signal", "mark");
            zero = zero.or(match recovery.since {
                Some(Since::Inject) => start,
                Some(Since::Heal) => row.healed_s.or(row.heal_s),
                None => None,
            });
        }
        let after = |measure: Option<f64>| zero.zip(measure).map(|(zero, after)| zero + after);
        if alone {
            add(after(recovery.first_success_s), "", "slowest first success", "mark good");
        }
        add(after(recovery.ttr_s.filter(|s| *s > 0.0)), "", "recovered", "mark good");
        let budget = result.budgets.iter().find(|row| row.metric == "recovery").and_then(|row| match row.limit {
            crate::budget::Amount::Seconds(s) => Some(s),
            crate::budget::Amount::Count(_) => None,
        });
        add(after(budget), "", "recovery budget ends", "mark budget");
    }
    all.sort_by(|a, b| a.t.total_cmp(&b.t));
    let close = (line.to - line.from) * 0.004;
    let mut marks: Vec<Mark> = Vec::new();
    for mark in all {
        match marks.last_mut() {
            Some(before) if mark.t - before.t <= close && before.class == mark.class => {
                let new = |known: &[String], all: Vec<String>| -> Vec<String> {
                    all.into_iter().filter(|one| !known.contains(one)).collect()
                };
                before.words.extend(new(&before.words, mark.words));
                before.faults.extend(new(&before.faults, mark.faults));
            }
            _ => marks.push(mark),
        }
    }
    marks
}

/// Pixels of a narrow plot, and of a letter: names are laid out for a phone.
const NARROW: f64 = 290.0;
const LETTER: f64 = 6.3;
const FLAG: f64 = 15.0;

/// The marks' names above the plots, each on the highest line that is free.
fn flags(frame: &Frame) -> Markup {
    let mut ends: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut placed = Vec::new();
    for mark in &frame.marks {
        let text = mark.text();
        let x = frame.axis.share(mark.t);
        let width = (text.chars().count() as f64 * LETTER + 10.0) / NARROW;
        let (from, to, end) = if x + width > 1.0 { (x - width, x, true) } else { (x, x + width, false) };
        let free = |line: &Vec<(f64, f64)>| line.iter().all(|(a, b)| to <= *a || from >= *b);
        let at = ends.iter().position(free).unwrap_or(ends.len());
        if at == ends.len() {
            ends.push(Vec::new());
        }
        ends[at].push((from, to));
        placed.push((mark, x, at, end, text));
    }
    let height = FLAG * ends.len() as f64 + 4.0;
    html! {
        div.row {
            div {}
            svg width="100%" height=(height) {
                @for (mark, x, at, _, _) in &placed {
                    line class=(mark.class) x1=(percent(*x)) x2=(percent(*x)) y1=(FLAG * *at as f64 + 2.0) y2=(height) {}
                }
                @for (_, x, at, end, text) in &placed {
                    @let top = FLAG * *at as f64;
                    text.halo x=(percent(*x)) y=(top + 12.0) dx=(if *end { "-4" } else { "4" })
                        text-anchor=(if *end { "end" } else { "start" }) { (text) }
                }
            }
        }
    }
}

/// A plot with its title and key above and its scale beside.
fn panel(
    title: &str,
    keys: Markup,
    frame: &Frame,
    scale: &Scale,
    label: impl Fn(f64) -> String,
    inner: Markup,
) -> Markup {
    let height = scale.height;
    html! {
        div.panel {
            div.name { b { (title) } (keys) }
            div.row {
                (y_labels(scale, label))
                svg width="100%" height=(height) {
                    (frame.ground(height))
                    @for tick in &scale.ticks {
                        line.grid x1="0" x2="100%" y1=(format!("{:.1}", scale.y(*tick))) y2=(format!("{:.1}", scale.y(*tick))) {}
                    }
                    (inner)
                    (frame.lines(height))
                    line.edge x1="0" x2="100%" y1=(height) y2=(height) {}
                    line.edge x1="0" x2="0" y1="0" y2=(height) {}
                }
            }
        }
    }
}

fn key(class: &str, text: &str) -> Markup {
    html! { span.key { i class=(class) {} (text) } }
}

/// The middle of each bucket, as a share of the width.
fn middles(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |at| (at as f64 + 0.5) / count as f64)
}

fn spans(class: &str, values: &[Span], scale: &Scale) -> Markup {
    let xs = || middles(values.len());
    let mean = curve(xs().zip(values).map(|(x, v)| Some((x, scale.y(v.mean)))));
    let area: Vec<_> = xs().zip(values).map(|(x, v)| (x, scale.y(v.max), scale.y(v.min))).collect();
    let wide = values.iter().any(|v| v.max > v.min);
    html! {
        @if wide { path class=(format!("area {class}")) d=(band(&area)) {} }
        path class=(format!("curve {class}")) d=(mean) {}
    }
}

fn throughput(line: &Timeline, frame: &Frame) -> Markup {
    let most = |spans: &[Span]| spans.iter().map(|v| v.max).fold(1.0, f64::max);
    let peak = most(&line.send.rate).max(most(&line.effect.rate));
    // Catching up can be many times the load: what matters is how far the rate fell, so the scale is the load's.
    let load = most(&line.due);
    let scale = Scale::from_zero(if peak > 3.0 * load { 2.0 * load } else { peak.max(load) }, 130.0);
    let beyond = peak > scale.top();
    let due = curve(middles(line.due.len()).zip(&line.due).map(|(x, v)| Some((x, scale.y(v.mean)))));
    let keys = html! {
        (key("send", "acknowledged"))
        @if line.has_effects() { (key("effect", "effects and dead letters")) }
        (key("due", "due"))
        @if beyond { span.key { "peaks while catching up, up to " (number(peak as u64)) ", are cut off" } }
    };
    let inner = stretched(
        scale.height,
        html! {
            @if line.has_effects() { (spans("effect", &line.effect.rate, &scale)) }
            (spans("send", &line.send.rate, &scale))
            path class="curve due" d=(due) {}
        },
    );
    panel("Throughput, records a second", keys, frame, &scale, |v| number(v.round() as u64), inner)
}

fn latency(title: &str, class: &str, half: &Half, never: &[u64], frame: &Frame) -> Markup {
    let seen = || half.latency.iter().flatten();
    let least = seen().map(|l| l.p50).fold(half.limit.unwrap_or(1.0), f64::min).max(1e-4);
    let most = seen().map(|l| l.max).fold(half.limit.unwrap_or(0.0), f64::max);
    let scale = Scale::decades(least, most, 130.0);
    let count = half.latency.len();
    let points = |of: fn(&crate::report::timeline::Latency) -> f64| {
        let y = |l: &Option<crate::report::timeline::Latency>| l.as_ref().map(|l| scale.y(of(l)));
        curve(middles(count).zip(&half.latency).map(|(x, l)| y(l).map(|y| (x, y))))
    };
    let lost = never.iter().any(|n| *n > 0);
    let keys = html! {
        (key(class, "p99 and p50"))
        @if let Some(limit) = half.limit { (key("limit", &format!("late above {}", text_seconds(limit)))) }
        @if let Some(p99) = half.baseline { span.key { "baseline p99 " (text_seconds(p99)) } }
        @if lost { (key("never", "due, never acknowledged")) }
    };
    let width = 1.0 / count.max(1) as f64;
    let inner = html! {
        @for (at, _) in never.iter().enumerate().filter(|(_, n)| **n > 0) {
            rect.never x=(percent(at as f64 * width)) y="0" width=(percent(width * 1.05)) height="7" {}
        }
        @if let Some(limit) = half.limit {
            line.limit x1="0" x2="100%" y1=(format!("{:.1}", scale.y(limit))) y2=(format!("{:.1}", scale.y(limit))) {}
        }
        (stretched(scale.height, html! {
            path class=(format!("curve thin {class}")) d=(points(|l| l.p50)) {}
            path class=(format!("curve {class}")) d=(points(|l| l.p99)) {}
        }))
    };
    panel(title, keys, frame, &scale, text_seconds, inner)
}

fn backlog(line: &Timeline, frame: &Frame) -> Markup {
    let most = line.backlog.iter().map(|v| v.max).fold(line.backlog_limit.unwrap_or(1.0), f64::max);
    let scale = Scale::from_zero(most, 100.0);
    let keys = html! {
        (key("effect whole", "records"))
        @if let Some(limit) = line.backlog_limit {
            (key("limit", &format!("drained at or below {}", number(limit as u64))))
        }
    };
    let top = curve(middles(line.backlog.len()).zip(&line.backlog).map(|(x, v)| Some((x, scale.y(v.max)))));
    let area: Vec<_> =
        middles(line.backlog.len()).zip(&line.backlog).map(|(x, v)| (x, scale.y(v.max), scale.y(0.0))).collect();
    let inner = html! {
        @if let Some(limit) = line.backlog_limit {
            line.limit x1="0" x2="100%" y1=(format!("{:.1}", scale.y(limit))) y2=(format!("{:.1}", scale.y(limit))) {}
        }
        (stretched(scale.height, html! {
            path class="area effect" d=(band(&area)) {}
            path class="curve effect whole" d=(top) {}
        }))
    };
    panel("Backlog: acknowledged, not yet served", keys, frame, &scale, |v| number(v.round() as u64), inner)
}

fn time_axis(frame: &Frame) -> Markup {
    html! {
        div.row {
            div {}
            svg width="100%" height="34" {
                @for tick in frame.axis.ticks(6) {
                    @let share = frame.axis.share(tick);
                    line.edge x1=(percent(share)) x2=(percent(share)) y1="0" y2="4" {}
                    text.tick x=(percent(share)) y="16" text-anchor=(anchor(share)) { (clock(tick)) }
                }
                text.tick x="100%" y="31" text-anchor="end" { "time since the run’s start" }
            }
        }
    }
}

/// "15 s", "2:30" beyond two minutes.
fn clock(t: f64) -> String {
    if t < 120.0 {
        return text_seconds(t);
    }
    let whole = t.round() as u64;
    match whole / 3_600 {
        0 => format!("{}:{:02} min", whole / 60, whole % 60),
        hours => format!("{hours}:{:02} h", whole / 60 % 60),
    }
}

/// The whole figure.
pub(super) fn figure(result: &ScenarioResult, line: &Timeline, id: &str) -> Markup {
    let frame = Frame::of(result, line);
    let caption = caption(result, line);
    html! {
        figure aria-labelledby=(format!("{id}-caption")) {
            figcaption id=(format!("{id}-caption")) { (caption) }
            div role="img" aria-label=(format!("Timelines of {}. {caption}. The tables below hold the same facts.", phrase::title(result))) {
                div.panel { div.name {
                    @if frame.calm.is_some() { (key("calm", "baseline")) }
                    @if !frame.faults.is_empty() { (key("fault", "fault")) }
                } }
                (flags(&frame))
                (throughput(line, &frame))
                (latency("Send latency: due to acknowledged", "send", &line.send, &line.never, &frame))
                @if line.has_effects() {
                    (latency("Effect latency: acknowledged to served", "effect whole", &line.effect, &[], &frame))
                    (backlog(line, &frame))
                }
                (strips::strips(line, &frame))
                (time_axis(&frame))
            }
            (strips::table(line))
            (table(line))
        }
    }
}

/// One sentence with the numbers that the picture shows.
fn caption(result: &ScenarioResult, line: &Timeline) -> String {
    let within = |(from, to): (f64, f64)| {
        let index = |t: f64| (((t - line.from) / line.bucket).max(0.0) as usize).min(line.due.len().saturating_sub(1));
        index(from)..(index(to) + 1).min(line.due.len())
    };
    let mean = |spans: &[Span]| spans.iter().map(|v| v.mean).sum::<f64>() / spans.len().max(1) as f64;
    let calm = line.baseline.map(|span| mean(&line.send.rate[within(span)]));
    let zero = result.recovery.as_ref().and_then(|r| r.since).map_or("", |since| match since {
        Since::Inject => ", counted from the injection",
        Since::Heal => ", counted from the heal",
    });
    let mut text =
        calm.map_or(String::new(), |rate| format!("{} records/s acknowledged in the baseline; ", rate.round()));
    let first = result.faults.iter().filter_map(|f| f.inject_s).min_by(f64::total_cmp);
    if let Some(first) = first {
        let after = &line.send.rate[within((first, line.end.unwrap_or(line.to)))];
        let lowest = after.iter().map(|v| v.min).fold(f64::INFINITY, f64::min);
        let deepest = line.backlog.iter().map(|v| v.max).fold(0.0, f64::max);
        text.push_str(&format!("{} at the lowest after the first injection; ", lowest.round()));
        if line.has_effects() {
            text.push_str(&format!("backlog up to {}; ", number(deepest as u64)));
        }
    }
    let (_, recovery) = phrase::recovery(result);
    text.push_str(&format!("recovery: {recovery}"));
    if !recovery.contains("after the") {
        text.push_str(zero);
    }
    text
}

/// About this many rows: enough to follow, few enough to hear read out.
const ROWS: usize = 30;

fn table(line: &Timeline) -> Markup {
    let group = line.due.len().div_ceil(ROWS).max(1);
    let count = line.due.len();
    let rows = (0..count).step_by(group).map(|at| at..(at + group).min(count));
    let mean = |v: &[Span]| format!("{:.0}", v.iter().map(|v| v.mean).sum::<f64>() / v.len().max(1) as f64);
    let least = |v: &[Span]| format!("{:.0}", v.iter().map(|v| v.min).fold(f64::INFINITY, f64::min));
    let worst = |half: &Half, range: std::ops::Range<usize>| {
        let p99 = half.latency[range].iter().flatten().map(|l| l.p99).max_by(f64::total_cmp);
        p99.map_or("-".to_owned(), text_seconds)
    };
    let effects = line.has_effects();
    html! {
        details {
            summary { "The curves as a table" }
            div.scroll tabindex="0" role="group" aria-label="The curves as a table" { table {
                caption { "Steps of " (text_seconds(line.bucket * group as f64)) "; rates are records a second, latencies the worst p99 of a step" }
                thead { tr {
                    th scope="col" { "from" } th.n scope="col" { "due" } th.n scope="col" { "acked" } th.n scope="col" { "lowest" }
                    th.n scope="col" { "never acked" } th.n scope="col" { "send p99" }
                    @if effects { th.n scope="col" { "served" } th.n scope="col" { "effect p99" } th.n scope="col" { "backlog" } }
                } }
                tbody { @for range in rows { tr {
                    th scope="row" { (clock(line.from + range.start as f64 * line.bucket)) }
                    td.n { (mean(&line.due[range.clone()])) }
                    td.n { (mean(&line.send.rate[range.clone()])) }
                    td.n { (least(&line.send.rate[range.clone()])) }
                    td.n { (line.never[range.clone()].iter().sum::<u64>()) }
                    td.n { (worst(&line.send, range.clone())) }
                    @if effects {
                        td.n { (mean(&line.effect.rate[range.clone()])) }
                        td.n { (worst(&line.effect, range.clone())) }
                        td.n { (line.backlog[range].iter().map(|v| v.max).fold(0.0, f64::max)) }
                    }
                } } }
            } }
        }
    }
}
