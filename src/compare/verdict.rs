//! What a difference between two samples means: the table of verdicts, and nothing else.

use super::sample::Sample;
use super::statistics::{self, LEVEL};

/// The outcome of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowVerdict {
    /// Worse, beyond chance and noise; or it recovered before and now does not.
    Regressed,
    /// Better, beyond chance and noise.
    Improved,
    /// The whole interval of the shift is within the noise band.
    NoChange,
    /// Three values a side, completely apart: too few to be sure.
    Suspected,
    /// More repeats are needed.
    Inconclusive,
    /// Fewer than three values on a side: they are shown, not judged.
    None,
    /// The two sides ran under different conditions.
    NotComparable,
}

impl RowVerdict {
    /// As the contract names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Improved => "improved",
            Self::NoChange => "no-change",
            Self::Suspected => "suspected",
            Self::Inconclusive => "inconclusive",
            Self::None => "none",
            Self::NotComparable => "not-comparable",
        }
    }
}

/// Fewest values a side for a regression or an improvement.
const ENOUGH: usize = 4;
/// Fewest values a side for a suspicion.
const FEW: usize = 3;
/// Beyond this nobody repeats a run: it is said to be more.
pub(super) const MOST_REPEATS: u32 = 100;

/// A verdict with everything that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub verdict: RowVerdict,
    /// Hodges–Lehmann, new less base; may be infinite. `None`: a side has no value.
    pub shift: Option<f64>,
    /// The shift's, 95 %. `None`: too few values.
    pub interval: Option<(f64, f64)>,
    /// Two-sided. `None`: a side has no value.
    pub p: Option<f64>,
    /// `p` and interval are exact, not approximations.
    pub exact: bool,
    /// Differences within ± this are noise.
    pub band: f64,
    /// Regressed or improved, and the whole interval is beyond the noise band.
    pub clear: bool,
    /// Everything came on the base's side, and on the new side something never did.
    pub outright: bool,
    /// How many repeats a side would probably settle it; more than a hundred is `Some(101)`. `None`: it is settled, or
    /// nobody can say.
    pub repeats: Option<u32>,
}

impl Decision {
    /// Without a verdict: nothing can be, or may be, judged.
    pub(super) fn of_none(verdict: RowVerdict, band: f64) -> Self {
        let (shift, interval, p) = (None, None, None);
        Self { verdict, shift, interval, p, exact: true, band, clear: false, outright: false, repeats: None }
    }

    /// Whether new is the worse side, going by the shift.
    pub fn worse(&self, more_is_better: bool) -> bool {
        self.outright || self.shift.is_some_and(|shift| if more_is_better { shift < 0.0 } else { shift > 0.0 })
    }
}

/// Judges two samples against the noise band ±`band`.
pub fn judge(base: &Sample, new: &Sample, band: f64, more_is_better: bool) -> Decision {
    let mut decision = Decision::of_none(RowVerdict::None, band);
    let few = base.n().min(new.n());
    decision.outright = base.n() > 0 && base.never() == 0 && new.never() > 0;
    if let Some(test) = statistics::mann_whitney(&base.values, &new.values) {
        (decision.p, decision.exact) = (Some(test.p), test.exact);
    }
    if let Some(shift) = statistics::hodges_lehmann(&base.values, &new.values) {
        (decision.shift, decision.interval) = (Some(shift.estimate), shift.interval);
    }
    let shift = decision.shift.unwrap_or(0.0);
    let unlikely = few >= ENOUGH && decision.p.is_some_and(|p| p <= LEVEL) && shift.abs() > band;
    decision.verdict = if decision.outright || unlikely {
        let worse = decision.worse(more_is_better);
        decision.clear = decision.interval.is_some_and(|(low, high)| low > band || high < -band);
        if worse { RowVerdict::Regressed } else { RowVerdict::Improved }
    } else if decision.interval.is_some_and(|(low, high)| -band <= low && high <= band) {
        RowVerdict::NoChange
    } else if few < FEW {
        RowVerdict::None
    } else if few == FEW && apart(base, new) && shift.abs() > 2.0 * band {
        RowVerdict::Suspected
    } else {
        RowVerdict::Inconclusive
    };
    if matches!(decision.verdict, RowVerdict::Suspected | RowVerdict::Inconclusive) {
        decision.repeats = repeats(base, new, &decision);
    }
    decision
}

/// Every value of one side is above every value of the other.
fn apart(base: &Sample, new: &Sample) -> bool {
    let above = |a: &Sample, b: &Sample| a.max().zip(b.min()).is_some_and(|(max, min)| max < min);
    above(base, new) || above(new, base)
}

/// An interval's width falls with the root of the number of values. To be settled it must leave out zero where the shift
/// is beyond the band, or lie within the band where it is not.
fn repeats(base: &Sample, new: &Sample, decision: &Decision) -> Option<u32> {
    let few = base.n().min(new.n());
    let more = u32::try_from(few.max(ENOUGH - 1)).unwrap_or(MOST_REPEATS).saturating_add(1);
    let (low, high) = decision.interval.or_else(|| {
        // With three a side all differences stand for the interval.
        Some((new.min()? - base.max()?, new.max()? - base.min()?))
    })?;
    let shift = decision.shift?;
    let half = (high - low) / 2.0;
    if !half.is_finite() || !shift.is_finite() {
        // Something never came: nobody can say how far off it is.
        return (few < ENOUGH).then_some(more);
    }
    let wanted = if shift.abs() > decision.band { shift.abs() } else { decision.band - shift.abs() };
    // The harmonic mean: the smaller side decides.
    let n = 2.0 / (1.0 / base.n() as f64 + 1.0 / new.n() as f64);
    let needed = (n * (half / wanted).powi(2)).ceil();
    let most = MOST_REPEATS + 1;
    Some(if needed < f64::from(most) { (needed as u32).max(more) } else { most })
}
