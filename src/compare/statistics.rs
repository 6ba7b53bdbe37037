//! Rank statistics of two small samples: values may be tied, and may be infinite.
//!
//! Owns the arithmetic and nothing else: it must not know what is measured, nor what a difference is worth. Every
//! function is exact where the samples are small and says so where it is not.

/// Up to this product of the two sizes the distribution is enumerated; beyond it the normal approximation is used.
/// 1 000 is 31 repeats a side: there the two differ by less than 0.002 wherever
/// p is below 0.1 (a test holds them against each other).
pub const EXACT_PAIRS: usize = 1_000;

/// What both tails of a 95 % statement may hold together.
pub const LEVEL: f64 = 0.05;

/// The outcome of a two-sided Mann–Whitney test (Wilcoxon's rank-sum test).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// Pairs in which the second sample's value is the greater one; a tie counts half.
    pub u: f64,
    /// How likely a result at least as extreme is when both samples come from one distribution.
    pub p: f64,
    /// From the whole permutation distribution, not from the normal approximation.
    pub exact: bool,
}

/// Two-sided Mann–Whitney test with mid-ranks on ties. `None`: a sample is empty.
///
/// Up to [`EXACT_PAIRS`] pairs `p` is the share of all ways to deal the pooled values out to the two samples whose rank
/// sum is at least as far from its mean as the observed one: exact, with ties too. Beyond that it is the normal
/// approximation with the variance corrected for ties and a continuity correction of one half. An infinity is a value
/// like any other: greater than every finite one and tied with its like.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let u: f64 = first.iter().map(|a| second.iter().map(|b| wins(*a, *b)).sum::<f64>()).sum();
    let (n, m) = (first.len(), second.len());
    let pooled = Pooled::of(first, second);
    let exact = n * m <= EXACT_PAIRS;
    let p = if exact { pooled.exact(n, m, u) } else { pooled.approximate(n, m, u) };
    Some(MannWhitney { u, p, exact })
}

/// 1 if `b` is the greater, a half if neither is.
fn wins(a: f64, b: f64) -> f64 {
    match b.total_cmp(&a) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    }
}

/// All values of both samples as ranks.
struct Pooled {
    /// Twice the mid-rank of each value, so that halves are whole numbers.
    doubled: Vec<usize>,
    /// Sizes of the groups of equal values.
    ties: Vec<usize>,
}

impl Pooled {
    fn of(first: &[f64], second: &[f64]) -> Self {
        let mut all: Vec<f64> = first.iter().chain(second).copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        let (mut doubled, mut ties) = (Vec::with_capacity(all.len()), Vec::new());
        for group in all.chunk_by(|a, b| a.total_cmp(b).is_eq()) {
            // Ranks from..=to; twice their mean.
            let from = doubled.len() + 1;
            let to = doubled.len() + group.len();
            doubled.extend(std::iter::repeat_n(from + to, group.len()));
            ties.push(group.len());
        }
        Self { doubled, ties }
    }

    /// Counts, over all samples of `m` of the pooled values, how many have which rank sum.
    fn exact(&self, n: usize, m: usize, u: f64) -> f64 {
        // The two rank sums add up to a constant, so the smaller sample will do.
        let (size, u) = if m <= n { (m, u) } else { (n, (n * m) as f64 - u) };
        let most: usize = self.doubled.iter().rev().take(size).sum();
        // ways[k][s]: k values with the doubled rank sum s.
        let mut ways = vec![vec![0.0_f64; most + 1]; size + 1];
        ways[0][0] = 1.0;
        for (seen, rank) in self.doubled.iter().enumerate() {
            for k in (1..=size.min(seen + 1)).rev() {
                let (fewer, these) = ways.split_at_mut(k);
                for (sum, count) in fewer[k - 1][..=most - rank].iter().enumerate() {
                    these[0][sum + rank] += count;
                }
            }
        }
        let mean = (size * (n + m + 1)) as f64;
        let observed = 2.0 * u + (size * (size + 1)) as f64;
        let distance = (observed - mean).abs();
        let all: f64 = ways[size].iter().sum();
        // Sums are whole numbers: no rounding can move one across the border.
        let far = |sum: usize| (sum as f64 - mean).abs() >= distance - 0.25;
        let extreme: f64 = ways[size].iter().enumerate().filter(|(sum, _)| far(*sum)).map(|(_, count)| count).sum();
        (extreme / all).min(1.0)
    }

    fn approximate(&self, n: usize, m: usize, u: f64) -> f64 {
        let (pairs, total) = ((n * m) as f64, (n + m) as f64);
        let tied: f64 = self.ties.iter().map(|t| (*t as f64).powi(3) - *t as f64).sum();
        let variance = pairs / 12.0 * (total + 1.0 - tied / (total * (total - 1.0)));
        let distance = ((u - pairs / 2.0).abs() - 0.5).max(0.0);
        if variance <= 0.0 { 1.0 } else { libm::erfc(distance / (2.0 * variance).sqrt()).min(1.0) }
    }
}

/// By how much the second sample is above the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Hodges–Lehmann: the median of all pairwise differences. May be infinite.
    pub estimate: f64,
    /// At least 95 %; `None`: the samples are too small for any. Ends may be infinite.
    pub interval: Option<(f64, f64)>,
}

/// The Hodges–Lehmann shift with its exact interval. `None`: a sample is empty.
///
/// The interval runs between two order statistics of the pairwise differences, chosen by the exact distribution of U
/// without ties (with ties it holds *at least* 95 %), so nothing is assumed about the shape of the distribution. Four
/// values a side are the fewest that have one. The difference of two infinities is a tie to the estimate; to the interval it may be anything: it
/// pulls the lower end down and the upper end up.
pub fn hodges_lehmann(first: &[f64], second: &[f64]) -> Option<Shift> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let differences = |unknown: f64| {
        let difference = |a: f64, b: f64| if a.is_infinite() && b.is_infinite() { unknown } else { b - a };
        let mut all: Vec<f64> = first.iter().flat_map(|a| second.iter().map(move |b| difference(*a, *b))).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    };
    let estimate = median_of_sorted(&differences(0.0));
    let interval = cut(first.len(), second.len()).map(|cut| {
        let (low, high) = (differences(f64::NEG_INFINITY), differences(f64::INFINITY));
        (low[cut - 1], high[high.len() - cut])
    });
    Some(Shift { estimate, interval })
}

/// The largest `c` with P(U ≤ c − 1) ≤ 2.5 % when there are no ties; `None`: there is none from 1 on.
fn cut(n: usize, m: usize) -> Option<usize> {
    let pairs = n * m;
    let cut = if pairs <= EXACT_PAIRS {
        let ways = u_distribution(n, m);
        let all: f64 = ways.iter().sum();
        let mut below = 0.0;
        ways.iter()
            .take_while(|count| {
                below += **count;
                below <= all * LEVEL / 2.0 * (1.0 + 1e-12)
            })
            .count()
    } else {
        let deviation = (pairs as f64 * (n + m + 1) as f64 / 12.0).sqrt();
        // 1.96: the normal distribution's 97.5 % point. The half is the continuity correction.
        (pairs as f64 / 2.0 - 1.959_964 * deviation + 0.5).floor().max(0.0) as usize
    };
    (cut > 0).then_some(cut)
}

/// In how many ways each U from 0 to n·m comes about when no values are tied.
fn u_distribution(n: usize, m: usize) -> Vec<f64> {
    let (few, many) = (n.min(m), n.max(m));
    // U + k(k+1)/2 is the sum of k distinct ranks out of n + m.
    let most = few * many;
    let mut ways = vec![vec![0.0_f64; most + 1]; few + 1];
    ways[0][0] = 1.0;
    for rank in 1..=few + many {
        for k in (1..=few.min(rank)).rev() {
            // The k-th smallest of k values adds its rank less k to U.
            let step = rank - k;
            if step > most {
                continue;
            }
            let (fewer, these) = ways.split_at_mut(k);
            for (u, count) in fewer[k - 1][..=most - step].iter().enumerate() {
                these[0][u + step] += count;
            }
        }
    }
    ways.swap_remove(few)
}

/// The median; of an even number of values the middle of the two middle ones. `None`: there are no values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| median_of_sorted(&sorted))
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    let middle = low + (high - low) / 2.0;
    match (low == high, low.is_infinite() || high.is_infinite()) {
        (true, _) => low,
        (false, false) => middle,
        // Between −∞ and +∞ nothing speaks for either side; else the infinite one wins.
        (false, true) if low.is_infinite() && high.is_infinite() => 0.0,
        (false, true) => {
            if low.is_infinite() {
                low
            } else {
                high
            }
        }
    }
}

/// The order-statistic interval of the median, at least 95 %. `None`: fewer than six values.
pub fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // The largest k with P(Binomial(n, 1/2) ≤ k − 1) ≤ 2.5 %, in logarithms: 2^-n is 0 to a machine from n = 1 075 on.
    let (mut below, mut log_choose, mut k) = (0.0, 0.0_f64, 0);
    while k < n / 2 {
        below += (log_choose - n as f64 * std::f64::consts::LN_2).exp();
        if below > LEVEL / 2.0 {
            break;
        }
        log_choose += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
        k += 1;
    }
    (k > 0).then(|| (sorted[k - 1], sorted[n - k]))
}

/// Holm's step-down: for each of a family of p-values the adjusted one, which may be held against the level by itself.
/// Keeps the chance of *any* false alarm in the family at the level.
pub fn holm(family: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..family.len()).collect();
    order.sort_by(|a, b| family[*a].total_cmp(&family[*b]));
    let mut adjusted = vec![0.0; family.len()];
    let mut least = 0.0_f64;
    for (place, index) in order.into_iter().enumerate() {
        least = least.max(family[index] * (family.len() - place) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests;
