//! Against a brute force that shares no line with the code: every split is dealt out, every shift is tried.

use super::*;
use crate::rng::Rng;

/// How the values of a trial are drawn.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Untied,
    Tied,
    TiedAndInfinite,
}

fn draw(rng: &mut Rng, count: usize, kind: Kind) -> Vec<f64> {
    let value = |rng: &mut Rng| match kind {
        Kind::Untied => rng.share() * 10.0,
        Kind::Tied => rng.index(5) as f64,
        Kind::TiedAndInfinite if rng.index(3) == 0 => f64::INFINITY,
        Kind::TiedAndInfinite => rng.index(4) as f64,
    };
    (0..count).map(|_| value(rng)).collect()
}

/// A value's mid-rank by counting.
fn rank(value: f64, all: &[f64]) -> f64 {
    let less = all.iter().filter(|v| **v < value).count() as f64;
    let equal = all.iter().filter(|v| **v == value).count() as f64;
    less + (equal + 1.0) / 2.0
}

/// Deals the pooled values out in every way, by bit masks.
fn brute_p(first: &[f64], second: &[f64]) -> f64 {
    let all: Vec<f64> = first.iter().chain(second).copied().collect();
    let ranks: Vec<f64> = all.iter().map(|v| rank(*v, &all)).collect();
    let sum = |mask: u32| (0..all.len()).filter(|i| mask >> i & 1 == 1).map(|i| ranks[i]).sum::<f64>();
    let mean = first.len() as f64 * (all.len() + 1) as f64 / 2.0;
    let observed = (sum((1 << first.len()) - 1) - mean).abs();
    let splits: Vec<u32> = (0..1u32 << all.len()).filter(|m| m.count_ones() as usize == first.len()).collect();
    let extreme = splits.iter().filter(|mask| (sum(**mask) - mean).abs() > observed - 1e-9).count();
    extreme as f64 / splits.len() as f64
}

/// All shifts that the brute-force test does not reject: the interval by inversion. Untied values only.
fn brute_interval(first: &[f64], second: &[f64]) -> Option<(f64, f64)> {
    let mut edges: Vec<f64> = first.iter().flat_map(|a| second.iter().map(move |b| b - a)).collect();
    edges.sort_by(f64::total_cmp);
    let accepted = |d: f64| brute_p(first, &second.iter().map(|b| b - d).collect::<Vec<_>>()) > 0.05;
    let last = edges.len() - 1;
    if accepted(edges[0] - 1.0) || accepted(edges[last] + 1.0) {
        return None;
    }
    let gaps: Vec<usize> = (0..last).filter(|i| accepted((edges[*i] + edges[i + 1]) / 2.0)).collect();
    Some((edges[*gaps.first()?], edges[gaps.last()? + 1]))
}

/// Infinities become numbers far apart and ties are broken: what is left is untied.
fn untie(rng: &mut Rng, values: &[f64], far: f64) -> Vec<f64> {
    values.iter().map(|v| (if v.is_infinite() { far } else { *v }) + rng.share() * 1e-6).collect()
}

fn same(a: f64, b: f64) -> bool {
    // What is left of an infinity is a large number.
    a == b || (a - b).abs() < 1e-5 || (a.is_infinite() && a.signum() == b.signum() && b.abs() > 1e4)
}

fn for_all_sizes(mut body: impl FnMut(&mut Rng, usize, usize, Kind)) {
    let mut rng = Rng::new(7);
    for n in 1..=6 {
        for m in 1..=6 {
            for kind in [Kind::Untied, Kind::Tied, Kind::TiedAndInfinite] {
                for _ in 0..4 {
                    body(&mut rng, n, m, kind);
                }
            }
        }
    }
}

#[test]
fn p_is_what_dealing_out_every_split_gives_for_all_sizes_up_to_six() {
    for_all_sizes(|rng, n, m, kind| {
        let (first, second) = (draw(rng, n, kind), draw(rng, m, kind));
        let test = mann_whitney(&first, &second).unwrap();
        let brute = brute_p(&first, &second);
        assert!(test.exact && (test.p - brute).abs() < 1e-12, "{first:?} {second:?}: {} and {brute}", test.p);
        let all: Vec<f64> = first.iter().chain(&second).copied().collect();
        let ranks: f64 = second.iter().map(|v| rank(*v, &all)).sum();
        assert!((test.u - (ranks - (m * (m + 1)) as f64 / 2.0)).abs() < 1e-12);
    });
}

#[test]
fn the_interval_is_what_trying_every_shift_gives_for_all_sizes_up_to_six() {
    for_all_sizes(|rng, n, m, kind| {
        let (first, second) = (draw(rng, n, kind), draw(rng, m, kind));
        let shift = hodges_lehmann(&first, &second).unwrap();
        // Where both are infinite their difference is anything: the worst for each end.
        let low = brute_interval(&untie(rng, &first, 1e9), &untie(rng, &second, 1e6));
        let high = brute_interval(&untie(rng, &first, 1e6), &untie(rng, &second, 1e9));
        let expected = low.zip(high).map(|((low, _), (_, high))| (low, high));
        let fits = match (shift.interval, expected) {
            (Some(a), Some(b)) => same(a.0, b.0) && same(a.1, b.1),
            (a, b) => a.is_none() && b.is_none(),
        };
        assert!(fits, "{first:?} {second:?}: {shift:?} and {expected:?}");
    });
}

#[test]
fn the_estimate_is_the_median_of_all_differences() {
    for_all_sizes(|rng, n, m, kind| {
        let (first, second) = (draw(rng, n, kind), draw(rng, m, kind));
        let mut all = Vec::new();
        for a in &first {
            for b in &second {
                all.push(if a.is_infinite() && b.is_infinite() { 0.0 } else { b - a });
            }
        }
        let estimate = hodges_lehmann(&first, &second).unwrap().estimate;
        // At least half are not above it, at least half not below.
        let half = all.len().div_ceil(2);
        assert!(all.iter().filter(|d| **d <= estimate).count() >= half, "{all:?} {estimate}");
        assert!(all.iter().filter(|d| **d >= estimate).count() >= half, "{all:?} {estimate}");
    });
}

#[test]
fn the_least_p_of_complete_separation_is_the_known_one() {
    for (n, least) in [(3, 0.10), (4, 0.028_571), (5, 0.007_937), (6, 0.002_164), (7, 0.000_583)] {
        let (low, high): (Vec<f64>, Vec<f64>) =
            ((0..n).map(f64::from).collect(), (10..10 + n).map(f64::from).collect());
        let p = mann_whitney(&low, &high).unwrap().p;
        assert!((p - least).abs() < 1e-5, "n={n}: {p}");
        assert_eq!(p, mann_whitney(&high, &low).unwrap().p);
    }
}

#[test]
fn a_textbook_example_comes_out() {
    // Hollander & Wolfe: permeability of the human chorioamnion; the one-sided p is 0.1272.
    let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    let preterm = [1.15, 0.88, 0.90, 0.74, 1.21];
    let test = mann_whitney(&preterm, &at_term).unwrap();
    assert_eq!(test.u, 35.0);
    assert!((test.p - 0.2544).abs() < 1e-4, "{test:?}");
    let shift = hodges_lehmann(&preterm, &at_term).unwrap();
    assert!((shift.estimate - 0.305).abs() < 1e-9, "{shift:?}");
}

#[test]
fn infinities_are_greater_than_all_and_equal_to_each_other() {
    let never = f64::INFINITY;
    let test = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[never; 5]).unwrap();
    assert!((test.p - 2.0 / 252.0).abs() < 1e-12);
    assert_eq!(mann_whitney(&[never; 5], &[never; 5]).unwrap().p, 1.0);
    let shift = hodges_lehmann(&[1.0, 2.0, 3.0, 4.0], &[never; 4]).unwrap();
    assert_eq!((shift.estimate, shift.interval), (never, Some((never, never))));
    let shift = hodges_lehmann(&[never; 4], &[never; 4]).unwrap();
    assert_eq!((shift.estimate, shift.interval), (0.0, Some((-never, never))));
    assert_eq!(median(&[1.0, never]), Some(never));
    assert_eq!(median(&[1.0, 2.0, never, 4.0]), Some(3.0));
}

#[test]
fn four_a_side_are_the_fewest_that_have_an_interval_and_six_of_a_median() {
    let values = |n: usize| (0..n).map(|i| i as f64).collect::<Vec<_>>();
    assert_eq!(hodges_lehmann(&values(3), &values(3)).unwrap().interval, None);
    assert_eq!(hodges_lehmann(&values(4), &values(4)).unwrap().interval, Some((-3.0, 3.0)));
    assert_eq!(median_interval(&values(5)), None);
    assert_eq!(median_interval(&values(6)), Some((0.0, 5.0)));
    // From tables of the sign test: n = 10 leaves out one at each end, 20 five, 25 seven.
    assert_eq!(median_interval(&values(10)), Some((1.0, 8.0)));
    assert_eq!(median_interval(&values(20)), Some((5.0, 14.0)));
    assert_eq!(median_interval(&values(25)), Some((7.0, 17.0)));
    let (low, high) = median_interval(&values(2_000)).unwrap();
    assert!((low - 956.0).abs() <= 1.0 && (high - 1_043.0).abs() <= 1.0, "{low} {high}");
}

#[test]
fn the_hand_over_to_the_normal_approximation_moves_a_small_p_by_less_than_a_500th() {
    let mut rng = Rng::new(11);
    for (n, m) in [(31, 32), (20, 50), (10, 100)] {
        assert!(n * m <= EXACT_PAIRS && (n + 1) * (m + 1) > EXACT_PAIRS);
        for tied in [false, true] {
            for tenths in 0..12 {
                let value = |rng: &mut Rng| if tied { rng.index(12) as f64 } else { rng.share() * 12.0 };
                let first: Vec<f64> = (0..n).map(|_| value(&mut rng)).collect();
                let second: Vec<f64> = (0..m).map(|_| value(&mut rng) + f64::from(tenths) / 2.0).collect();
                let test = mann_whitney(&first, &second).unwrap();
                let near = Pooled::of(&first, &second).approximate(n, m, test.u);
                // Where nothing hangs on it the steps of the exact distribution show.
                let bound = if test.p < 0.1 { 0.002 } else { 0.008 };
                assert!((test.p - near).abs() < bound, "{n} x {m}, {tied}: {} and {near}", test.p);
            }
        }
    }
    let (n, m) = (33, 33);
    let (first, second): (Vec<f64>, Vec<f64>) =
        ((0..n).map(f64::from).collect(), (0..m).map(|i| f64::from(i) + 8.5).collect());
    let test = mann_whitney(&first, &second).unwrap();
    let exact = Pooled::of(&first, &second).exact(33, 33, test.u);
    assert!(!test.exact && (test.p - exact).abs() < 0.002, "{} and {exact}", test.p);
}

#[test]
fn the_hand_over_of_the_interval_moves_its_cut_by_one_at_the_most() {
    for (n, m) in [(31, 32), (20, 50), (25, 40)] {
        let exact = cut(n, m).unwrap() as f64;
        let pairs = (n * m) as f64;
        let near = pairs / 2.0 - 1.959_964 * (pairs * (n + m + 1) as f64 / 12.0).sqrt() + 0.5;
        assert!((exact - near.floor()).abs() <= 1.0, "{n} x {m}: {exact} and {near}");
    }
    // Known critical values of U, two-sided 5 %: the cut is one more.
    for (n, m, critical) in [(4, 4, 0), (5, 5, 2), (6, 6, 5), (8, 8, 13), (10, 10, 23), (20, 20, 127), (5, 10, 8)] {
        assert_eq!(cut(n, m), Some(critical + 1), "{n} x {m}");
    }
}

#[test]
fn holm_steps_down_and_never_up() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    for (got, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
        assert!((got - expected).abs() < 1e-12, "{adjusted:?}");
    }
    assert_eq!(holm(&[0.04]), [0.04]);
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    assert!(holm(&[]).is_empty());
}
