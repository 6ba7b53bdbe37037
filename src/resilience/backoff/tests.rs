use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

fn jitters() -> impl Strategy<Value = Jitter> {
    prop::sample::select(vec![Jitter::None, Jitter::Equal, Jitter::Full, Jitter::Decorrelated, Jitter::Proportional])
}

/// Durations from nothing to the longest there is, with weight on the ordinary ones.
fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0u64..100_000_000_000).prop_map(Duration::from_nanos),
        1 => any::<u64>().prop_map(Duration::from_secs),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
    ]
}

fn configs() -> impl Strategy<Value = RetryConfig> {
    let multipliers = prop_oneof![Just(1.0), 1.0..1.000_001f64, 1.0..4.0f64, 1.0..1e300f64];
    (durations(), durations(), multipliers, jitters(), any::<u32>()).prop_map(
        |(a, b, multiplier, jitter, max_retries)| RetryConfig {
            initial_delay: a.min(b),
            max_delay: a.max(b),
            multiplier,
            jitter,
            max_retries,
            ..Default::default()
        },
    )
}

/// Attempts from the whole range, with weight on both of its ends.
fn attempts() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..64, any::<u32>(), (u32::MAX - 3)..=u32::MAX]
}

proptest! {
    #[test]
    fn a_delay_is_never_longer_than_the_maximum(
        config in configs(), seed in any::<u64>(), attempts in prop::collection::vec(attempts(), 1..20),
    ) {
        prop_assert_eq!(config.validate(), vec![]);
        let mut backoff = Backoff::new(config.clone(), Rng::new(seed));
        for attempt in attempts {
            let delay = backoff.delay(attempt);
            prop_assert!(delay <= config.max_delay, "{attempt}: {delay:?} {config:?}");
            if config.jitter != Jitter::Decorrelated {
                prop_assert!(delay <= config.ceiling(attempt), "{attempt}: {delay:?} {config:?}");
            } else {
                prop_assert!(delay >= config.initial_delay, "{attempt}: {delay:?} {config:?}");
            }
        }
    }

    #[test]
    fn the_ceiling_never_falls_and_never_passes_the_maximum(config in configs(), a in attempts(), b in attempts()) {
        let (low, high) = (config.ceiling(a.min(b)), config.ceiling(a.max(b)));
        prop_assert!(config.initial_delay <= low && low <= high && high <= config.max_delay, "{low:?} {high:?} {config:?}");
        let next = config.ceiling(a.saturating_add(1));
        prop_assert!(config.ceiling(a) <= next, "{a}: {config:?}");
    }

    #[test]
    fn one_seed_gives_one_sequence(config in configs(), seed in any::<u64>()) {
        let draw = || {
            let mut backoff = Backoff::new(config.clone(), Rng::new(seed));
            (0..8).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        prop_assert_eq!(draw(), draw());
    }

    #[test]
    fn the_longest_waiting_is_longer_than_any_sequence(mut config in configs(), seed in any::<u64>()) {
        config.max_retries %= 50;
        let mut backoff = Backoff::new(config.clone(), Rng::new(seed));
        let waited = std::iter::from_fn(|| backoff.next_delay()).fold(Duration::ZERO, Duration::saturating_add);
        prop_assert!(waited <= config.longest_waiting(), "{waited:?} {config:?}");
    }
}

fn config(jitter: Jitter) -> RetryConfig {
    RetryConfig { jitter, max_delay: Duration::from_secs(1), ..Default::default() }
}

#[test]
fn without_jitter_delays_double_up_to_the_maximum() {
    let mut backoff = Backoff::new(RetryConfig { max_retries: 6, ..config(Jitter::None) }, Rng::new(0));
    let delays: Vec<u128> = std::iter::from_fn(|| backoff.next_delay()).map(|delay| delay.as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
}

#[test]
fn retries_end_after_their_number_and_begin_anew_after_a_reset() {
    let mut backoff = Backoff::new(RetryConfig { max_retries: 2, ..config(Jitter::None) }, Rng::new(0));
    assert_eq!([backoff.next_delay().is_some(), backoff.next_delay().is_some()], [true, true]);
    assert_eq!((backoff.next_delay(), backoff.used()), (None, 2));
    backoff.reset();
    assert_eq!(backoff.next_delay(), Some(Duration::from_millis(100)));
    assert_eq!(Backoff::new(RetryConfig { max_retries: 0, ..Default::default() }, Rng::new(0)).next_delay(), None);
}

/// The least, mean and greatest of many delays after the second attempt, in milliseconds; its ceiling is 200 ms.
fn spread(jitter: Jitter) -> (f64, f64, f64) {
    let mut backoff = Backoff::new(config(jitter), Rng::new(1));
    let delays: Vec<f64> = (0..20_000).map(|_| backoff.delay(1).as_secs_f64() * 1e3).collect();
    let sum: f64 = delays.iter().sum();
    (delays.iter().copied().fold(f64::MAX, f64::min), sum / 20_000.0, delays.iter().copied().fold(0.0, f64::max))
}

#[test]
fn each_kind_of_jitter_fills_its_band_evenly() {
    for (jitter, from, to) in
        [(Jitter::Full, 0.0, 200.0), (Jitter::Equal, 100.0, 200.0), (Jitter::Proportional, 180.0, 200.0)]
    {
        let (least, mean, most) = spread(jitter);
        let width = to - from;
        assert!(least >= from && least < from + width * 0.01, "{jitter:?}: {least}");
        assert!(most <= to && most > to - width * 0.01, "{jitter:?}: {most}");
        assert!((mean - (from + to) / 2.0).abs() < width * 0.02, "{jitter:?}: {mean}");
    }
}

#[test]
fn decorrelated_delays_depend_on_the_one_before_and_reach_the_maximum() {
    let mut backoff = Backoff::new(RetryConfig { max_retries: 5_000, ..config(Jitter::Decorrelated) }, Rng::new(5));
    let delays: Vec<Duration> = std::iter::from_fn(|| backoff.next_delay()).collect();
    assert!(delays[0] <= Duration::from_millis(300));
    assert!(delays.windows(2).all(|two| two[1] <= two[0] * 3));
    assert!(delays.iter().max().unwrap() > &Duration::from_millis(990));
}

#[test]
fn long_after_the_maximum_is_reached_delays_are_still_spread() {
    let mut backoff = Backoff::new(config(Jitter::Full), Rng::new(2));
    let at_most = (0..1_000).filter(|_| backoff.delay(u32::MAX) == Duration::from_secs(1)).count();
    assert!(at_most < 5, "{at_most} of 1000 clients would come back together");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mistakes = RetryConfig {
        initial_delay: Duration::from_secs(2),
        max_delay: Duration::from_secs(1),
        multiplier: f64::NAN,
        deadline: Some(Duration::ZERO),
        attempt_timeout: Some(Duration::from_secs(1)),
        ..Default::default()
    }
    .validate();
    let fields: Vec<_> = mistakes.iter().map(|mistake| mistake.field).collect();
    assert_eq!(fields, ["max-delay", "multiplier", "deadline", "attempt-timeout"]);
    assert_eq!(mistakes[0].to_string(), "max-delay: 1s is below initial-delay, 2s");
}

#[test]
fn the_longest_time_counts_attempts_and_delays_and_ends_at_the_deadline() {
    let second = Duration::from_secs(1);
    let config = RetryConfig { max_retries: 2, attempt_timeout: Some(second), ..config(Jitter::Full) };
    assert_eq!(config.longest(), Some(Duration::from_millis(3_300)));
    assert_eq!(RetryConfig { deadline: Some(second), ..config.clone() }.longest(), Some(second));
    assert_eq!(RetryConfig { attempt_timeout: None, ..config }.longest(), None);
}

#[test]
fn a_multiplier_that_is_no_number_leaves_the_delay_as_it_is() {
    let config = RetryConfig { multiplier: f64::NAN, ..config(Jitter::None) };
    assert_eq!(config.ceiling(9), config.initial_delay);
}
