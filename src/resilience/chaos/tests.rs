use super::*;

const LATENCY: Duration = Duration::from_millis(30);

fn hits(engine: &ChaosEngine, n: usize) -> Vec<bool> {
    (0..n).map(|i| engine.decide(&format!("r-{i}"), 0).fail).collect()
}

#[test]
fn a_disabled_engine_does_nothing_and_counts_that_it_was_asked() {
    let engine = ChaosEngine::new(1);
    assert_eq!(engine.decide("a", 0), Decision::default());
    assert_eq!(engine.counts(), ChaosCounts { decisions: 1, failures: 0, delays: 0 });
}

#[test]
fn decisions_follow_from_seed_record_and_attempt_alone() {
    let (one, two, other) = (ChaosEngine::new(7), ChaosEngine::new(7), ChaosEngine::new(8));
    for engine in [&one, &two, &other] {
        engine.enable(0.5, Duration::ZERO, ChaosKind::Error).unwrap();
    }
    // Another order and another number of questions.
    let backwards: Vec<bool> = (0..200).rev().map(|i| two.decide(&format!("r-{i}"), 0).fail).collect();
    let forwards = hits(&one, 200);
    assert_eq!(forwards, backwards.into_iter().rev().collect::<Vec<_>>());
    assert_ne!(forwards, hits(&other, 200));
    let second_attempts: Vec<bool> = (0..200).map(|i| one.decide(&format!("r-{i}"), 1).fail).collect();
    assert_ne!(forwards, second_attempts);
}

#[test]
fn the_share_that_fails_is_the_failure_rate() {
    let engine = ChaosEngine::new(3);
    for (rate, expected) in [(0.0, 0..=0), (0.2, 1_850..=2_150), (1.0, 10_000..=10_000)] {
        engine.enable(rate, Duration::ZERO, ChaosKind::Both).unwrap();
        let failed = hits(&engine, 10_000).into_iter().filter(|fail| *fail).count();
        assert!(expected.contains(&failed), "{rate}: {failed}");
    }
}

#[test]
fn each_kind_harms_what_it_says() {
    let engine = ChaosEngine::new(3);
    let decide = |kind| {
        engine.enable(0.5, LATENCY, kind).unwrap();
        (0..1_000).map(|i| engine.decide(&format!("r-{i}"), 0)).collect::<Vec<_>>()
    };
    let (error, latency, both) = (decide(ChaosKind::Error), decide(ChaosKind::Latency), decide(ChaosKind::Both));
    let hit: Vec<bool> = error.iter().map(|decision| decision.fail).collect();
    assert!(hit.contains(&true) && hit.contains(&false));
    assert!(error.iter().all(|decision| decision.latency.is_zero()));
    assert!(latency.iter().zip(&hit).all(|(d, hit)| !d.fail && (d.latency == LATENCY) == *hit));
    assert!(both.iter().zip(&hit).all(|(d, hit)| d.fail == *hit && (d.latency == LATENCY) != *hit));
    let failed = hit.iter().filter(|hit| **hit).count() as u64;
    assert_eq!(engine.counts(), ChaosCounts { decisions: 3_000, failures: 2 * failed, delays: 1_000 });
}

#[test]
fn it_is_switched_at_run_time_and_a_bad_share_changes_nothing() {
    let engine = ChaosEngine::new(3);
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(engine.enable(bad, LATENCY, ChaosKind::Both), Err(ChaosError::Rate(_))));
        assert!(!engine.is_enabled());
    }
    engine.enable(1.0, LATENCY, ChaosKind::Error).unwrap();
    assert!(engine.enable(2.0, LATENCY, ChaosKind::Error).is_err());
    assert!(engine.decide("a", 0).fail);
    engine.disable();
    assert!(!engine.decide("a", 0).fail);
}

#[test]
fn production_refuses_chaos_unless_it_is_allowed() {
    let refused = ChaosEngine::for_profile(1, Profile::Production, false);
    assert_eq!(refused.enable(0.1, LATENCY, ChaosKind::Both), Err(ChaosError::Production));
    assert!(!refused.is_enabled());
    assert!(ChaosEngine::for_profile(1, Profile::Production, true).enable(0.1, LATENCY, ChaosKind::Both).is_ok());
    assert!(ChaosEngine::for_profile(1, Profile::Staging, false).enable(0.1, LATENCY, ChaosKind::Both).is_ok());
}

#[test]
fn kinds_are_read_by_name() {
    assert_eq!("latency".parse(), Ok(ChaosKind::Latency));
    assert_eq!("Latency".parse::<ChaosKind>(), Err(ChaosError::Kind("Latency".into())));
}
