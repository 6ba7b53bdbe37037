use super::*;

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
    let outcome = Settings::default().with_overrides(&overrides(pairs));
    outcome.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn every_profile_is_valid_and_known_by_its_name() {
    for profile in Profile::ALL {
        let settings = Settings::for_profile(profile);
        assert_eq!(settings.validate(), Ok(()), "{profile}");
        assert_eq!(profile.as_str().parse(), Ok(profile));
        assert_eq!(settings.profile, profile);
    }
    let error = "prod".parse::<Profile>().unwrap_err();
    assert_eq!(error.to_string(), "profile: \"prod\" is none of development, staging, production, default");
}

#[test]
fn every_profile_survives_toml() {
    for profile in Profile::ALL {
        let settings = Settings::for_profile(profile);
        let text = settings.to_toml().unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings, "{text}");
        assert_eq!(Settings::from_toml(&text).unwrap(), settings);
    }
}

#[test]
fn an_absent_value_survives_toml_where_the_profile_has_one() {
    let mut settings = Settings::for_profile(Profile::Production);
    assert!(settings.retry.deadline.is_some() && settings.breaker.failure_rate.is_some());
    settings.retry.deadline = None;
    settings.breaker.failure_rate = None;
    let text = settings.to_toml().unwrap();
    assert!(text.contains("deadline = \"none\"") && text.contains("failure-rate = \"none\""), "{text}");
    assert_eq!(Settings::from_toml(&text).unwrap(), settings);
}

#[test]
fn profiles_differ_where_environments_do() {
    let of = Settings::for_profile;
    let (development, production) = (of(Profile::Development), of(Profile::Production));
    assert!(development.retry.longest_waiting() < production.retry.longest_waiting());
    assert!(development.breaker.max_failures > production.breaker.max_failures);
    assert!(production.breaker.failure_rate.is_some() && production.retry.deadline.is_some());
    for profile in Profile::ALL {
        assert_eq!(of(profile).monitoring, MonitoringSettings::default());
        assert_eq!(of(profile).client, production.client);
        assert_eq!(of(profile).consumer.on_exhausted, OnExhausted::Hold);
    }
}

#[test]
fn the_lesson_s_thresholds_are_the_defaults() {
    let monitoring = MonitoringSettings::default();
    assert_eq!((monitoring.error_rate_warning, monitoring.error_rate_critical), (0.05, 0.10));
    assert_eq!((monitoring.breaker_trips, monitoring.dead_letters), (3, 100));
    assert_eq!(monitoring.recovery_time, Duration::from_secs(30));
}

#[test]
fn client_properties_are_the_table_each_with_a_reason() {
    let client = Settings::default().client;
    assert_eq!(client.len(), RECOVERY.len(), "a property stands twice in the table");
    // The ones that recovery from a refused, paused or killed leader was measured to hang on.
    for (key, at_most) in [
        ("reconnect.backoff.max.ms", 500),
        ("request.timeout.ms", 3_000),
        ("retry.backoff.ms", 50),
        ("retry.backoff.max.ms", 500),
        ("socket.timeout.ms", 3_000),
        ("topic.metadata.refresh.fast.interval.ms", 50),
    ] {
        let value: u32 = client[key].parse().unwrap();
        assert!(value <= at_most, "{key} = {value}");
    }
    assert_eq!(client["enable.idempotence"], "true");
    // Idempotence alone does not keep the promise: see `nothing_is_in_the_log_twice…` of the cluster's conformance suite.
    assert_eq!(client["max.in.flight.requests.per.connection"], "1");
    for property in RECOVERY {
        assert!(property.reason.len() > 30, "{}", property.key);
    }
}

#[test]
fn a_consumer_gets_no_producer_properties() {
    let settings = Settings::default();
    let keys = |role| settings.client_for(role).map(|(key, _)| key).collect::<Vec<_>>();
    let (producer, consumer) = (keys(ClientRole::Producer), keys(ClientRole::Consumer));
    let both = RECOVERY.iter().filter(|property| property.role.is_none()).count();
    assert_eq!(producer.len() + consumer.len(), RECOVERY.len() + both);
    assert!(producer.contains(&"enable.idempotence") && !consumer.contains(&"enable.idempotence"));
    assert!(consumer.contains(&"session.timeout.ms") && !producer.contains(&"session.timeout.ms"));
    assert!(consumer.contains(&"socket.timeout.ms") && producer.contains(&"socket.timeout.ms"));
}

#[test]
fn overrides_replace_values_of_every_type() {
    let settings = Settings::for_profile(Profile::Production)
        .with_overrides(&overrides(&[
            ("retry.max-retries", "7"),
            ("retry.initial-delay", "250ms"),
            ("retry.multiplier", "3"),
            ("retry.jitter", "equal"),
            ("retry.deadline", "none"),
            ("breaker.failure-rate", "none"),
            ("breaker.timeout", "2s"),
            ("dlq.header-preset", "spring"),
            ("consumer.on-exhausted", "dead-letter"),
            ("monitoring.error-rate-critical", "0.2"),
            ("client.socket.timeout.ms", "4000"),
            ("client.message.timeout.ms", "200000"),
            ("profile", "staging"),
        ]))
        .unwrap();
    assert_eq!(settings.retry.max_retries, 7);
    assert_eq!(settings.retry.initial_delay, Duration::from_millis(250));
    assert_eq!(settings.retry.multiplier, 3.0);
    assert_eq!(settings.retry.jitter, super::super::Jitter::Equal);
    assert_eq!((settings.retry.deadline, settings.breaker.failure_rate), (None, None));
    assert_eq!(settings.breaker.timeout, Some(Duration::from_secs(2)));
    assert_eq!(settings.dlq.header_preset, HeaderPreset::Spring);
    assert_eq!(settings.consumer.on_exhausted, OnExhausted::DeadLetter);
    assert_eq!(settings.monitoring.error_rate_critical, 0.2);
    assert_eq!(settings.client["socket.timeout.ms"], "4000");
    assert_eq!(settings.client["message.timeout.ms"], "200000");
    assert_eq!(settings.profile, Profile::Staging);
    // What was not named stays.
    assert_eq!(settings.breaker.half_open_probes, Settings::for_profile(Profile::Production).breaker.half_open_probes);
    let back = settings.with_overrides(&overrides(&[("breaker.failure-rate", "0.25")])).unwrap();
    assert_eq!(back.breaker.failure_rate, Some(0.25));
}

#[test]
fn every_mistake_of_every_kind_is_reported_at_once() {
    let got = mistakes(&[
        ("retry.max-retires", "7"),
        ("retry.multiplier", "many"),
        ("retry.max-delay", "10"),
        ("retry.jitter", "ful"),
        ("breaker.max-failures", "-1"),
        ("breaker.window", "0"),
        ("monitoring.error-rate-warning", "0.5"),
        ("client.", "x"),
        ("entirely.something-else", "1"),
    ]);
    let expected = [
        "breaker.max-failures: \"-1\" ",
        "client.: there is no such setting",
        "entirely.something-else: there is no such setting",
        "retry.jitter: \"ful\" unknown variant",
        "retry.max-delay: \"10\" ",
        "retry.max-retires: there is no such setting; did you mean retry.max-retries?",
        "retry.multiplier: \"many\" ",
        "breaker.window: 0 is below 1",
        "breaker.minimum-calls: 20 is above window, 0",
        "monitoring.error-rate-critical: 0.1 is below error-rate-warning, 0.5",
    ];
    assert_eq!(got.len(), expected.len(), "{got:#?}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(got.starts_with(expected), "{got}\n{expected}");
    }
}

#[test]
fn a_far_name_suggests_nothing() {
    assert_eq!(mistakes(&[("colour", "blue")]), ["colour: there is no such setting"]);
}

#[test]
fn retries_must_fit_between_two_polls_and_into_the_message_timeout() {
    let got = mistakes(&[("retry.max-retries", "100"), ("client.max.poll.interval.ms", "20000")]);
    assert_eq!(got.len(), 2, "{got:#?}");
    assert!(got[0].starts_with("retry.max-retries: takes up to ") && got[0].ends_with("max.poll.interval.ms, 20s"));
    assert!(got[1].ends_with("message.timeout.ms, 5m"), "{}", got[1]);
    let bounded = [("retry.max-retries", "100"), ("retry.deadline", "1m")];
    assert!(Settings::default().with_overrides(&overrides(&bounded)).is_ok(), "a deadline bounds them");
    let unlimited =
        [("retry.max-retries", "100"), ("client.message.timeout.ms", "0"), ("client.max.poll.interval.ms", "3600000")];
    assert!(Settings::default().with_overrides(&overrides(&unlimited)).is_ok(), "0 is no limit to librdkafka");
    assert_eq!(
        mistakes(&[("consumer.drain-timeout", "5m")]),
        ["consumer.drain-timeout: takes up to 5m, which is not below max.poll.interval.ms, 5m"]
    );
    assert_eq!(
        mistakes(&[("client.message.timeout.ms", "soon"), ("client.socket.timeout.ms", " ")]),
        ["client.socket.timeout.ms: is empty", "client.message.timeout.ms: is not a whole number of milliseconds"]
    );
}

#[test]
fn a_file_changes_its_profile_s_values_and_reports_every_mistake() {
    let settings = Settings::from_toml(
        "profile = \"production\"\n[retry]\nmax-retries = 2\n[client]\n\"socket.timeout.ms\" = 5000\nlinger.ms = \"5\"\n",
    )
    .unwrap();
    assert_eq!(settings.retry.max_retries, 2);
    assert_eq!(settings.retry.deadline, Settings::for_profile(Profile::Production).retry.deadline);
    assert_eq!(settings.client["socket.timeout.ms"], "5000");
    assert_eq!(settings.client["linger.ms"], "5");

    let errors =
        Settings::from_toml("profile = \"prod\"\n[retry]\nmax-retries = \"two\"\nmultipler = 2.0\n").unwrap_err();
    let keys: Vec<_> = errors
        .iter()
        .map(|error| match error {
            SettingsError::Value { key, .. } | SettingsError::UnknownKey { key, .. } => key.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(keys, ["profile", "retry.max-retries", "retry.multipler"]);
    assert!(matches!(&Settings::from_toml("[retry").unwrap_err()[..], [SettingsError::Syntax(_)]));
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

#[test]
fn overrides_win_over_the_environment_over_the_file_over_the_profile() {
    let file = "profile = \"production\"\n[retry]\nmax-retries = 2\ninitial-delay = \"1ms\"\nmultiplier = 3.0\n";
    let environment = variables(&[
        ("SEAWORTHY__PROFILE", "staging"),
        ("SEAWORTHY__RETRY__MAX_RETRIES", "4"),
        ("SEAWORTHY__RETRY__INITIAL_DELAY", "2ms"),
        ("SEAWORTHY__CLIENT__SOCKET_TIMEOUT_MS", "4321"),
        ("SEAWORTHY_SEED", "none of ours"),
        ("PATH", "/bin"),
    ]);
    let settings = Settings::from_sources(file, environment, &overrides(&[("retry.max-retries", "5")])).unwrap();
    assert_eq!(settings.retry.max_retries, 5);
    assert_eq!(settings.retry.initial_delay, Duration::from_millis(2));
    assert_eq!(settings.retry.multiplier, 3.0);
    assert_eq!(settings.client["socket.timeout.ms"], "4321");
    // The environment's profile decides what was not said.
    assert_eq!(settings.profile, Profile::Staging);
    assert_eq!(settings.retry.deadline, Settings::for_profile(Profile::Staging).retry.deadline);
}

#[test]
fn mistakes_of_file_and_environment_come_together() {
    let environment = variables(&[("SEAWORTHY__RETRY__MAX_RETIRES", "4"), ("SEAWORTHY__PROFILE", "prod")]);
    let errors = Settings::from_sources("[breaker]\nwindow = 0\n", environment.clone(), &BTreeMap::new()).unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 4, "{texts:#?}");
    assert!(texts[0].starts_with("profile: \"prod\" "), "{texts:#?}");
    assert_eq!(texts[1], "retry.max-retires: there is no such setting; did you mean retry.max-retries?");
    assert!(texts[2].starts_with("breaker.window: 0 is below 1"), "{texts:#?}");
    let errors = Settings::from_sources("[breaker", environment, &BTreeMap::new()).unwrap_err();
    assert!(matches!(errors[0], SettingsError::Syntax(_)) && errors.len() == 3, "{errors:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = Settings::load(Some(std::path::Path::new("no/such/settings.toml"))).unwrap_err();
    assert!(errors[0].to_string().starts_with("no/such/settings.toml: cannot be read: "), "{errors:?}");
}

mod round_trip {
    use proptest::prelude::*;

    use super::*;
    use crate::resilience::breaker::Mode;
    use crate::resilience::{BreakerConfig, Jitter, RetryConfig};

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (1u64..10_000_000_000).prop_map(Duration::from_nanos),
            (1u64..100_000).prop_map(Duration::from_millis)
        ]
    }

    fn retries() -> impl Strategy<Value = RetryConfig> {
        let jitter = prop::sample::select(vec![
            Jitter::None,
            Jitter::Equal,
            Jitter::Full,
            Jitter::Decorrelated,
            Jitter::Proportional,
        ]);
        let limits = (prop::option::of(durations()), prop::option::of(durations()));
        (0u32..20, durations(), durations(), 1.0..5.0f64, jitter, limits).prop_map(
            |(max_retries, a, b, multiplier, jitter, (deadline, attempt_timeout))| RetryConfig {
                max_retries,
                initial_delay: a.min(b),
                max_delay: a.max(b),
                multiplier,
                jitter,
                deadline,
                attempt_timeout,
            },
        )
    }

    fn breakers() -> impl Strategy<Value = BreakerConfig> {
        let modes = prop::sample::select(vec![Mode::Normal, Mode::MetricsOnly, Mode::Disabled, Mode::ForcedOpen]);
        let rates = (prop::option::of(0.001..=1.0f64), prop::option::of(0.001..=1.0f64), prop::option::of(durations()));
        (1u32..100, rates, 1u32..1_000, 1u32..1_000, durations(), 1.0..3.0f64, modes, prop::option::of(durations()))
            .prop_map(
                |(
                    max_failures,
                    (failure_rate, slow_call_rate, slow_call),
                    a,
                    b,
                    time,
                    reset_multiplier,
                    mode,
                    window_duration,
                )| {
                    BreakerConfig {
                        max_failures,
                        failure_rate,
                        slow_call_rate,
                        slow_call,
                        window: a.max(b),
                        minimum_calls: a.min(b),
                        window_duration,
                        reset_timeout: time,
                        max_reset_timeout: time * 2,
                        reset_multiplier,
                        mode,
                        ..Default::default()
                    }
                },
            )
    }

    fn settings() -> impl Strategy<Value = Settings> {
        let profile = prop::sample::select(Profile::ALL.to_vec());
        let thresholds = (0.0..=1.0f64, 0.0..=1.0f64, 0u64..1_000, durations(), 1u64..1_000, durations());
        let client = prop::collection::btree_map("[a-z]{1,8}(\\.[a-z]{1,8}){1,3}", "[ -~]{0,12}x", 0..4);
        (profile, retries(), breakers(), thresholds, client).prop_map(|(profile, retry, breaker, t, client)| {
            let monitoring = MonitoringSettings {
                error_rate_warning: t.0,
                error_rate_critical: t.1,
                dead_letters: t.2,
                window: t.3,
                minimum_sample: t.4,
                fires_after: t.5,
                ..Default::default()
            };
            let mut settings = Settings { retry, breaker, monitoring, ..Settings::for_profile(profile) };
            settings.client.extend(client);
            settings
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_judged_alike(settings in settings()) {
            let text = settings.to_toml().unwrap();
            prop_assert_eq!(&toml::from_str::<Settings>(&text).unwrap(), &settings);
            match settings.validate() {
                Ok(()) => prop_assert_eq!(Settings::from_toml(&text), Ok(settings)),
                Err(mistakes) => prop_assert_eq!(Settings::from_toml(&text), Err(mistakes)),
            }
        }
    }
}
