//! How often `compare` is wrong, simulated: `cargo bench --bench comparison` prints the table of docs/comparing.md.
//!
//! Recovery times are drawn from log-normal distributions around 9 s; "spread" is the deviation of the logarithm, about
//! the relative deviation of the times. Everything is seeded: the table is the same on every machine.

use seaworthy::compare::{Decision, Metric, RowVerdict, Sample, judge};
use seaworthy::rng::Rng;

const TRIALS: u32 = 20_000;
const MEDIAN: f64 = 9.0;

fn normal(rng: &mut Rng) -> f64 {
    let (a, b) = (1.0 - rng.share(), rng.share());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

fn sample(rng: &mut Rng, n: usize, median: f64, spread: f64) -> Sample {
    let values = (0..n).map(|_| median * (spread * normal(rng)).exp()).collect();
    Sample { values, ..Sample::default() }
}

/// Shares of trials in which `compare`, a bare "median + 10 %", and `compare` with certainty say "regressed".
fn shares(n: usize, spread: f64, factor: f64) -> [f64; 3] {
    let recovery = Metric::named("recovery").expect("a metric");
    let mut rng = Rng::fork(1, &format!("{n} {spread} {factor}"));
    let mut hits = [0_u32; 3];
    for _ in 0..TRIALS {
        let (base, new) = (sample(&mut rng, n, MEDIAN, spread), sample(&mut rng, n, MEDIAN * factor, spread));
        let Decision { verdict, clear, .. } = judge(&base, &new, recovery.band(base.median(), &[]), false);
        let regressed = verdict == RowVerdict::Regressed;
        let bare = new.median() > base.median().map(|median| 1.1 * median);
        for (hit, said) in hits.iter_mut().zip([regressed, bare, regressed && clear]) {
            *hit += u32::from(said);
        }
    }
    hits.map(|hits| 100.0 * f64::from(hits) / f64::from(TRIALS))
}

fn main() {
    let mut text = String::from("| change | spread | n a side | regressed | of these clear | bare median + 10 % |\n");
    text += "|---|---:|---:|---:|---:|---:|\n";
    for (factor, name) in [(1.0, "none"), (1.25, "1.25 ×"), (1.5, "1.5 ×"), (2.0, "2 ×")] {
        for spread in [0.15, 0.30] {
            for n in [4, 5, 7, 10] {
                let [regressed, bare, clear] = shares(n, spread, factor);
                text += &format!(
                    "| {name} | {:.0} % | {n} | {regressed:.1} % | {clear:.1} % | {bare:.1} % |\n",
                    100.0 * spread
                );
            }
        }
    }
    print!("{text}");
}
