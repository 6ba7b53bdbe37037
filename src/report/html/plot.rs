//! Drawing by hand: scales, ticks, curves. An SVG here has no view box of its own: horizontal places are percentages and
//! vertical ones pixels, so text keeps its size from a phone to a wall. Only curves are stretched.

use std::fmt::Write;

use maud::{Markup, html};

/// A horizontal axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub from: f64,
    pub to: f64,
}

impl Axis {
    /// Where a value lies, 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        let width = self.to - self.from;
        if width > 0.0 { ((value - self.from) / width).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The same as SVG takes it.
    pub fn at(&self, value: f64) -> String {
        percent(self.share(value))
    }

    /// Round values, at most `most`.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let step = step((self.to - self.from) / most.max(1) as f64);
        let mut ticks = Vec::new();
        let mut at = (self.from / step).ceil() * step;
        while at <= self.to + step * 1e-9 {
            ticks.push(at);
            at += step;
        }
        ticks
    }
}

/// The least of 1, 2, 5 × 10ⁿ that is not below `least`; of seconds beyond a minute a share of the hour.
pub(super) fn step(least: f64) -> f64 {
    if least > 60.0 {
        return [120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0]
            .into_iter()
            .find(|step| *step >= least * 0.98)
            .unwrap_or_else(|| (least / 3_600.0).ceil() * 3_600.0);
    }
    let decade = 10f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= least * 0.999).unwrap_or(10.0 * decade)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

/// A vertical scale of `height` pixels, growing upwards.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub height: f64,
    low: f64,
    high: f64,
    log: bool,
    pub ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to a round value at or above `most`.
    pub fn from_zero(most: f64, height: f64) -> Self {
        let step = step_plain(most.max(1e-9) / 3.0);
        let high = (most / step).ceil().max(1.0) * step;
        let count = (high / step).round() as usize;
        Self { height, low: 0.0, high, log: false, ticks: (0..=count).map(|n| n as f64 * step).collect() }
    }

    /// Whole decades around `least` and `most`.
    pub fn decades(least: f64, most: f64, height: f64) -> Self {
        let low = least.max(1e-6).log10().floor();
        let high = most.max(1e-6).log10().ceil().max(low + 1.0);
        let ticks = (0..=(high - low) as i32).map(|n| 10f64.powf(low + f64::from(n))).collect();
        Self { height, low, high, log: true, ticks }
    }

    /// The greatest value of a linear scale.
    pub fn top(&self) -> f64 {
        self.high
    }

    /// Pixels from the top.
    pub fn y(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.height * (1.0 - share)
    }
}

fn step_plain(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= least * 0.999).unwrap_or(10.0 * decade)
}

/// A curve through (share of the width, pixels from the top); `None` interrupts it.
pub(super) fn curve(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let (mut path, mut down) = (String::new(), false);
    for point in points {
        if let Some((x, y)) = point {
            // Writing to a String cannot fail.
            let _ = write!(path, "{}{:.1} {:.1}", if down { "L" } else { "M" }, 1_000.0 * x, y);
            if !down {
                // A lone point is a dot, not nothing.
                path.push_str("h.1");
            }
        }
        down = point.is_some();
    }
    path
}

/// The area between two curves: (share of the width, upper, lower).
pub(super) fn band(points: &[(f64, f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, top, _)) in points.iter().enumerate() {
        let _ = write!(path, "{}{:.1} {:.1}", if at == 0 { "M" } else { "L" }, 1_000.0 * x, top);
    }
    for (x, _, bottom) in points.iter().rev() {
        let _ = write!(path, "L{:.1} {:.1}", 1_000.0 * x, bottom);
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

/// The stretched part of a plot.
pub(super) fn stretched(height: f64, inner: Markup) -> Markup {
    html! {
        svg width="100%" height=(height) viewBox=(format!("0 0 1000 {height}")) preserveAspectRatio="none" { (inner) }
    }
}

/// Labels of a vertical scale.
pub(super) fn y_labels(scale: &Scale, text: impl Fn(f64) -> String) -> Markup {
    html! {
        div.axis style=(format!("height:{}px", scale.height)) {
            @for tick in &scale.ticks {
                span style=(format!("top:{:.1}px", scale.y(*tick))) { (text(*tick)) }
            }
        }
    }
}

/// An anchor that keeps a label within the plot.
pub(super) fn anchor(share: f64) -> &'static str {
    match share {
        s if s < 0.04 => "start",
        s if s > 0.96 => "end",
        _ => "middle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(Axis { from: 0.0, to: 47.0 }.ticks(6), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Axis { from: 7.3, to: 9.1 }.ticks(4), [7.5, 8.0, 8.5, 9.0]);
        assert_eq!(Axis { from: 0.0, to: 3_600.0 }.ticks(6), (0..=6).map(|n| n as f64 * 600.0).collect::<Vec<_>>());
    }

    #[test]
    fn a_linear_scale_begins_at_zero_and_a_logarithmic_one_at_a_decade() {
        let scale = Scale::from_zero(410.0, 100.0);
        assert_eq!(scale.ticks, [0.0, 200.0, 400.0, 600.0]);
        assert_eq!((scale.y(0.0), scale.y(600.0), scale.y(9_999.0)), (100.0, 0.0, 0.0));
        let scale = Scale::decades(0.003, 4.0, 100.0);
        assert_eq!(scale.ticks.len(), 5);
        assert!((scale.y(0.1) - 50.0).abs() < 1e-6);
    }

    #[test]
    fn a_curve_is_interrupted_where_there_is_nothing() {
        let path = curve([Some((0.0, 1.0)), None, Some((0.5, 2.0)), Some((1.0, 3.0))].into_iter());
        assert_eq!(path, "M0.0 1.0h.1M500.0 2.0h.1L1000.0 3.0");
    }
}
