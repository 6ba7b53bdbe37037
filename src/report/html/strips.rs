//! States over time as strips beneath the plots, and as a table.

use maud::{Markup, html};

use super::figure::Frame;
use super::plot::percent;
use crate::clock::text_seconds;
use crate::report::timeline::{Lane, LaneKind, Stretch, Timeline};

const HEIGHT: f64 = 18.0;
/// No state is drawn narrower than this share of the width.
const SLIVER: f64 = 0.004;

const KINDS: [(LaneKind, &str); 5] = [
    (LaneKind::Scope, "Service by topic partition: red without service"),
    (LaneKind::Leader, "Leader"),
    (LaneKind::Assignment, "Assigned topic partitions, and the group's generation"),
    (LaneKind::Breaker, "Circuit breaker"),
    (LaneKind::Metric, "Metrics that the scenario names"),
];

/// A row a strip, by kind. In a row slivers come last: what follows them must not cover them.
pub(super) fn strips(line: &Timeline, frame: &Frame) -> Markup {
    html! {
        @for (kind, title) in KINDS {
            @let lanes: Vec<&Lane> = line.lanes.iter().filter(|lane| lane.kind == kind).collect();
            @if !lanes.is_empty() {
                div.panel {
                    div.name { b { (title) } }
                    @for lane in lanes { (strip(lane, frame)) }
                }
            }
        }
    }
}

fn strip(lane: &Lane, frame: &Frame) -> Markup {
    html! {
        div class="row lane" {
            div.name title=(lane.name) { (lane.name) }
            svg width="100%" height=(HEIGHT) {
                @if lane.kind == LaneKind::Scope {
                    rect class="tone-good" x="0" y="3" width="100%" height=(HEIGHT - 6.0) {}
                }
                @let narrow = |s: &Stretch| frame.axis.share(s.to) - frame.axis.share(s.from) < SLIVER;
                @for (at, s) in lane.stretches.iter().enumerate().filter(|(_, s)| !narrow(s)) { (cell(lane.kind, at, s, frame)) }
                @for (at, s) in lane.stretches.iter().enumerate().filter(|(_, s)| narrow(s)) { (cell(lane.kind, at, s, frame)) }
                (frame.lines(HEIGHT))
            }
        }
    }
}

fn cell(kind: LaneKind, at: usize, stretch: &Stretch, frame: &Frame) -> Markup {
    let (from, to) = (frame.axis.share(stretch.from), frame.axis.share(stretch.to));
    let tone = match (kind, stretch.state.as_str()) {
        (LaneKind::Scope, _) | (LaneKind::Breaker, "open") => "tone-bad",
        (LaneKind::Breaker, "closed") => "tone-good",
        (LaneKind::Breaker, _) => "tone-wait",
        (_, "none") => "tone-none",
        _ if at.is_multiple_of(2) => "tone-a",
        _ => "tone-b",
    };
    // A name is written where it fits: on a phone, on a wide screen only, or in the table alone.
    let width = 6.4 * stretch.state.chars().count() as f64 + 6.0;
    let fits = |pixels: f64| width <= (to - from) * pixels;
    let named = kind != LaneKind::Scope && fits(900.0);
    html! {
        rect class=(tone) x=(percent(from)) y="1" width=(percent((to - from).max(SLIVER))) height=(HEIGHT - 2.0) {
            title { (stretch.state) ", " (text_seconds(stretch.from)) " to " (text_seconds(stretch.to)) }
        }
        @if named {
            text class=(if fits(290.0) { "" } else { "roomy" }) x=(percent(from)) dx="4" y="13" { (stretch.state) }
        }
    }
}

/// The strips as sentences.
pub(super) fn table(line: &Timeline) -> Markup {
    let told: Vec<&Lane> = line.lanes.iter().filter(|lane| !lane.stretches.is_empty()).collect();
    html! {
        @if !told.is_empty() {
            details {
                summary { "The strips as a table" }
                div.scroll tabindex="0" role="group" aria-label="The strips as a table" { table {
                    thead { tr { th scope="col" { "strip" } th scope="col" { "states" } } }
                    tbody { @for lane in told { tr {
                        th scope="row" { (word(lane.kind)) " " (lane.name) }
                        td.w {
                            @for (at, s) in lane.stretches.iter().enumerate() {
                                @if at > 0 { "; " }
                                (s.state) " " (text_seconds(s.from)) " to " (text_seconds(s.to))
                            }
                        }
                    } } }
                } }
            }
        }
    }
}

fn word(kind: LaneKind) -> &'static str {
    match kind {
        LaneKind::Scope => "service",
        LaneKind::Leader => "leader of",
        LaneKind::Assignment => "assigned to",
        LaneKind::Breaker => "breaker of",
        LaneKind::Metric => "metric",
    }
}
