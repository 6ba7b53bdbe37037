//! One side's values of one metric, raw, in the order of the repeats.

use super::metric::{Metric, Reading};
use super::repeat::Repeat;
use super::statistics;

/// All values that count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// What never came is +∞.
    pub values: Vec<f64>,
    /// The least time for which something was waited in vain, of those that never came.
    pub waited: Option<f64>,
    /// Repeats that measured nothing.
    pub missing: usize,
    /// Repeats that were inconclusive: their figures prove nothing and are left out, except that something never came.
    pub left_out: usize,
}

impl Sample {
    /// Reads one metric off all repeats.
    pub fn of(metric: &Metric, repeats: &[&Repeat]) -> Self {
        let mut sample = Self::default();
        for repeat in repeats {
            match metric.read(repeat) {
                Reading::Value(_) if repeat.inconclusive() => sample.left_out += 1,
                Reading::Value(value) => sample.values.push(value),
                Reading::Never(bound) => {
                    sample.values.push(f64::INFINITY);
                    sample.waited = match (sample.waited, bound) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                Reading::Missing => sample.missing += 1,
            }
        }
        sample
    }

    /// How many values there are, those that never came included.
    pub fn n(&self) -> usize {
        self.values.len()
    }

    /// How many never came.
    pub fn never(&self) -> usize {
        self.values.iter().filter(|value| value.is_infinite()).count()
    }

    /// `None`: no values.
    pub fn median(&self) -> Option<f64> {
        statistics::median(&self.values)
    }

    /// 95 %, from six values on.
    pub fn median_interval(&self) -> Option<(f64, f64)> {
        statistics::median_interval(&self.values)
    }

    /// `None`: no values.
    pub fn min(&self) -> Option<f64> {
        self.values.iter().copied().min_by(f64::total_cmp)
    }

    /// `None`: no values.
    pub fn max(&self) -> Option<f64> {
        self.values.iter().copied().max_by(f64::total_cmp)
    }
}
