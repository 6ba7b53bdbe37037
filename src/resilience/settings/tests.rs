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
