//! The format page's example and the defaults, down to the resolved plan.

use std::time::Duration;

use super::*;
use crate::plan::*;

const EXAMPLE: &str = include_str!("tests/leader-network-partition.toml");

fn plan_of(name: &str, text: &str) -> Plan {
    let source = Source::new(format!("{name}.toml"), text);
    parse(&source).map(|(plan, _)| plan).unwrap_or_else(|d| panic!("{}", render_all(&d, &source, false)))
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn text_map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn the_example_of_the_format_page_is_this_plan() {
    let expected = Plan {
        name: "leader-network-partition".into(),
        summary: "Clients lose the leader of orders/0 for 6 s".into(),
        tags: vec!["network".into(), "smoke".into()],
        requires: vec![BackendKind::Containers],
        cluster: ClusterPlan {
            brokers: 3,
            kafka: "4.1.0".into(),
            isolation: Isolation::Shared,
            image: None,
            config: text_map(&[("broker.session.timeout.ms", "3000")]),
        },
        topic: TopicPlan { name: "orders".into(), partitions: 6, replication: 3, min_insync_replicas: 2 },
        workload: WorkloadPlan {
            rate: 500,
            keys: 64,
            size: 256,
            poison: 0.0,
            producer: ProducerKind::Resilient,
            warm_up: seconds(3),
            baseline: seconds(10),
        },
        subject: SubjectPlan {
            kind: SubjectKind::Pipeline,
            members: 2,
            profile: "production".into(),
            settings: text_map(&[("retry.max-retries", "8")]),
            client: text_map(&[("reconnect.backoff.max.ms", "500")]),
            defect: None,
            foreign: None,
        },
        faults: vec![FaultPlan {
            label: "network-1".into(),
            at: Duration::ZERO,
            lasts: Some(seconds(6)),
            repeat: None,
            kind: FaultKind::Network {
                cut: Target::LeaderOf(TopicPartition::new("orders", 0)),
                effect: NetworkEffect::Refuse,
                direction: Direction::Both,
                between: Between::ClientsBrokers,
            },
        }],
        budget: BudgetPlan {
            recovery: Some(Limit { within: seconds(2), since: Some(Since::Heal) }),
            outage: Some(Limit { within: seconds(9), since: None }),
            ..BudgetPlan::default()
        },
        expect: ExpectPlan {
            breaker: vec!["open".into(), "half-open".into(), "closed".into()],
            ..ExpectPlan::default()
        },
        observation: ObservationPlan {
            window: seconds(1),
            hold: seconds(3),
            after: seconds(5),
            quiesce: seconds(60),
            final_read: seconds(30),
            on_time: Duration::from_millis(50),
        },
    };
    let source = Source::new("leader-network-partition.toml", EXAMPLE);
    let (plan, warnings) = parse(&source).unwrap();
    assert_eq!(plan, expected);
    assert_eq!(warnings, []);
}

#[test]
fn a_file_with_a_name_alone_is_a_control_run_on_defaults() {
    let plan = plan_of("control", "name = \"control\"");
    assert_eq!((plan.cluster.brokers, plan.cluster.kafka.as_str()), (3, "4.1.0"));
    assert_eq!(plan.topic, TopicPlan { name: "orders".into(), partitions: 6, replication: 3, min_insync_replicas: 2 });
    assert_eq!((plan.workload.rate, plan.workload.keys, plan.workload.size), (500, 64, 256));
    assert_eq!((plan.workload.warm_up, plan.workload.baseline), (seconds(3), seconds(10)));
    assert_eq!((plan.subject.members, plan.subject.profile.as_str()), (2, "production"));
    assert_eq!((plan.budget.lost, plan.budget.recovery), (0, None));
    assert_eq!((plan.observation.window, plan.observation.after), (seconds(1), seconds(5)));
    assert!(plan.faults.is_empty());
}

#[test]
fn a_plan_survives_its_own_file() {
    for (name, text) in [("leader-network-partition", EXAMPLE), ("every-fault", EVERY_FAULT)] {
        let plan = plan_of(name, text);
        let written = plan.to_toml().unwrap();
        assert_eq!(Plan::from_toml(&written).unwrap(), plan, "{written}");
    }
}

const EVERY_FAULT: &str = include_str!("tests/every-fault.toml");

#[test]
fn every_fault_kind_and_every_way_to_write_a_target_is_read() {
    let plan = plan_of("every-fault", EVERY_FAULT);
    let kinds: Vec<_> = plan.faults.iter().map(|f| (f.label.as_str(), f.kind.clone())).collect();
    let orders = |n| TopicPartition::new("orders", n);
    let ms = Duration::from_millis;
    assert_eq!(
        kinds,
        [
            (
                "network-1",
                FaultKind::Network {
                    cut: Target::Minority,
                    effect: NetworkEffect::Blackhole,
                    direction: Direction::Replies,
                    between: Between::Brokers,
                }
            ),
            (
                "slow",
                FaultKind::SlowNetwork {
                    target: Target::FollowerOf(orders(1)),
                    latency: ms(200),
                    jitter: ms(50),
                    rate: Some(64 * 1024),
                }
            ),
            ("kill-1", FaultKind::Kill { target: Target::LeaderOf(orders(0)), restart_after: Some(seconds(12)) }),
            ("kill-2", FaultKind::Kill { target: Target::Broker(2), restart_after: None }),
            ("kill-3", FaultKind::Kill { target: Target::LeaderOf(orders(5)), restart_after: Some(seconds(9)) }),
            ("stop-1", FaultKind::Stop { target: Target::One, restart_after: None }),
            ("pause-1", FaultKind::Pause { target: Target::Controller }),
            (
                "rolling-restart-1",
                FaultKind::RollingRestart { order: RestartOrder::ControllerLast, wait: RestartWait::InSync }
            ),
            ("move-leader-1", FaultKind::MoveLeader { topic_partition: orders(3), to: Some(1) }),
            (
                "member-1",
                FaultKind::Member {
                    action: MemberAction::Crash,
                    member: MemberSelector::Index(0),
                    restart_after: Some(seconds(5)),
                }
            ),
            (
                "member-2",
                FaultKind::Member { action: MemberAction::Join, member: MemberSelector::Any, restart_after: None }
            ),
            ("handler-errors-1", FaultKind::HandlerErrors { rate: 1.0, error: HandlerError::Timeout, latency: ms(10) }),
            (
                "broker-errors-1",
                FaultKind::BrokerErrors {
                    api: "produce".into(),
                    error: "NOT_ENOUGH_REPLICAS".into(),
                    rate: None,
                    times: Some(5),
                }
            ),
            ("dead-letter-topic-1", FaultKind::DeadLetterTopic { effect: DeadLetterEffect::Forbidden }),
            ("poison-1", FaultKind::Poison { rate: 0.25 }),
        ]
    );
    assert_eq!(plan.faults[1].repeat, Some(Repeat { times: 2, every: seconds(20) }));
    assert_eq!(plan.budget.recovery, Some(Limit { within: seconds(60), since: None }));
    assert_eq!(plan.observation.after, seconds(120));
}

#[test]
fn overrides_are_validated_like_the_file() {
    let source = Source::new("leader-network-partition.toml", EXAMPLE);
    let set = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        parse_with(&source, &pairs)
    };
    let (plan, _) = set(&[
        ("workload.rate", "800"),
        ("cluster.kafka", "4.0.1"),
        ("fault.0.lasts", "7s"),
        ("fault.0.network.effect", "blackhole"),
        ("subject.client.session.timeout.ms", "10000"),
        ("budget.recovery", "3s"),
        ("subject.settings.\"breaker.max-failures\"", "3"),
    ])
    .unwrap();
    assert_eq!((plan.workload.rate, plan.cluster.kafka.as_str()), (800, "4.0.1"));
    assert_eq!(plan.faults[0].lasts, Some(seconds(7)));
    assert_eq!(plan.subject.client["session.timeout.ms"], "10000");
    assert_eq!(plan.subject.settings["breaker.max-failures"], "3");
    assert_eq!(plan.budget.recovery, Some(Limit { within: seconds(3), since: None }));

    let codes = |pairs| set(pairs).unwrap_err().into_iter().map(|d| (d.code, d.given)).collect::<Vec<_>>();
    assert_eq!(codes(&[("workload.rat", "1")]), [("unknown-key", Some("workload.rat=1".into()))]);
    assert_eq!(codes(&[("workload.rate", "fast")]), [("wrong-type", Some("workload.rate=fast".into()))]);
    assert_eq!(codes(&[("fault.7.at", "1s")]), [("bad-override", Some("fault.7.at=1s".into()))]);
    assert_eq!(codes(&[("name.x", "1"), ("..", "2")]).len(), 2);
}

#[test]
fn a_missing_or_unreadable_file_is_a_diagnostic() {
    let missing = load(Path::new("no/such/scenario.toml")).unwrap_err();
    assert_eq!(missing.diagnostics[0].code, "unreadable");
    assert!(missing.to_string().contains("no/such/scenario.toml"), "{missing}");
}

#[test]
fn discovery_is_sorted_recursive_and_notices_a_directory_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["b.toml", "a/c.toml", "a/notes.md", ".hidden/d.toml"] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let found = discover(&[root.to_owned(), root.join("b.toml")]).unwrap();
    assert_eq!(found, [root.join("a/c.toml"), root.join("b.toml")]);
    let error = discover(&[root.join("scenarois")]).unwrap_err();
    assert!(error.to_string().contains("scenarois"), "{error}");
}

#[test]
fn every_mistake_is_reported_at_once_and_once() {
    let text = r#"
name = "many"
sumary = "?"

[cluster]
brokers = "three"

[topic]
replication = 9
partitions = 0

[workload]
warm-up = 3

[[fault]]
at = "soon"
lasts = "6s"
network = { cut = { leader-of = "orders/77" }, effect = "refused" }

[budget]
recovery = { within = "2", since = "hea" }
"#;
    let source = Source::new("many.toml", text);
    let found: Vec<_> =
        parse(&source).unwrap_err().iter().map(|d| (d.code, d.location(&source).unwrap().line)).collect();
    // Not that 9 replicas are more than the brokers, nor that orders/77 does not exist: those rest on what is wrong.
    assert_eq!(
        found,
        [
            ("unknown-key", 3),
            ("wrong-type", 6),
            ("zero", 10),
            ("wrong-type", 13),
            ("bad-duration", 16),
            ("unknown-word", 18),
            ("bad-duration", 21),
            ("unknown-word", 21),
        ]
    );
}

#[test]
fn what_looks_wrong_and_is_right_is_accepted() {
    let accepted = [
        // A cascade: the second kill hits the new leader.
        r#"fault = [{ at = "0s", lasts = "30s", kill = { leader-of = "orders/0" } }, { at = "15s", lasts = "30s", kill = { leader-of = "orders/0" } }]"#,
        // Requests and replies of one link are two things, and so are its clients and its peers.
        r#"fault = [
            { at = "0s", lasts = "6s", network = { cut = { broker = 1 }, effect = "stall", direction = "requests" } },
            { at = "1s", lasts = "6s", network = { cut = { broker = 1 }, effect = "stall", direction = "replies" } },
            { at = "2s", lasts = "6s", network = { cut = { broker = 1 }, between = "brokers" } },
            { at = "2s", lasts = "6s", pause = { broker = 1 } },
        ]"#,
        // One begins when the other ends.
        r#"fault = [{ at = "0s", lasts = "6s", pause = { broker = 1 } }, { at = "6s", lasts = "6s", pause = { broker = 1 } }]"#,
        // Exactly the floor.
        "budget.recovery = \"7s\"\nfault = [{ at = \"0s\", kill = { leader-of = \"orders/0\" } }]",
        // Counted from the heal, the cut's own length is not in it.
        "budget.recovery = \"1s\"\nfault = [{ at = \"0s\", lasts = \"60s\", network = { cut = \"all\" } }]",
        // Graceful: leaders are handed over before.
        "budget.recovery = \"1s\"\nfault = [{ at = \"0s\", stop = { leader-of = \"orders/0\" } }]",
        // Two of three replicas are enough, for good.
        "budget.recovery = \"20s\"\nfault = [{ at = \"0s\", kill = { broker = 1 } }]",
        // A poisoned control run has dead letters.
        "workload.poison = 0.01\nexpect.dead-letters = 5",
        "budget = { lost = 3, because = \"acks=1\" }",
        "cluster.brokers = 1",
        "cluster.kafka = \"4.2.0-rc1\"",
        "topic.name = \"Orders_v2.eu\"",
    ];
    for text in accepted {
        assert_eq!(
            parse(&Source::new("x.toml", format!("name = \"x\"\n{text}"))).map(|(_, w)| w),
            Ok(vec![]),
            "{text}"
        );
    }
}

#[test]
fn a_plan_fits_a_backend_that_has_what_it_needs() {
    let plan = plan_of("leader-network-partition", EXAMPLE);
    assert_eq!(check(&plan, &Capabilities::of(BackendKind::Containers)), []);
    let codes: Vec<_> = check(&plan, &Capabilities::of(BackendKind::External)).iter().map(|d| d.code).collect();
    assert_eq!(codes, ["backend-not-required", "unsupported-by-backend"], "broker properties");
    let plan = plan_of("every-fault", EVERY_FAULT);
    let external = check(&plan, &Capabilities::of(BackendKind::External));
    for lacks in ["kill-broker", "stop-broker", "pause-broker", "rolling-restart"] {
        assert!(external.iter().any(|d| d.message.contains(&format!("has no {lacks}"))), "{lacks}: {external:?}");
    }
}

#[test]
fn where_effects_show_is_said_by_the_file_and_shown_by_the_plan() {
    let own = |sink: &str| format!("name = \"x\"\n[subject]\nkind = \"process\"\ncommand = [\"app\"]\n{sink}");
    for (sink, shown) in [
        ("", "effects in orders.out,"),
        ("sink = \"topic\"", "effects in orders.out,"),
        ("sink = \"stdout\"", "effects in the members' standard output,"),
        (
            "sink = { http = \"http://127.0.0.1:808{member}/?from={from}\" }",
            "effects in the list at http://127.0.0.1:808{member}/?",
        ),
    ] {
        let (plan, warnings) = parse(&Source::new("x.toml", own(sink))).unwrap();
        assert_eq!(warnings, [], "{sink}");
        assert!(plan.render(200).contains(shown), "{}", plan.render(200));
    }
    let codes = |text: &str| -> Vec<_> {
        parse(&Source::new("x.toml", text)).unwrap_err().into_iter().map(|diagnostic| diagnostic.code).collect()
    };
    assert_eq!(codes(&own("sink = \"stdin\"")), ["unknown-word"]);
    assert_eq!(codes(&own("sink = { url = \"http://127.0.0.1\" }")), ["missing-key", "unknown-key"]);
    assert_eq!(codes(&own("sink = { http = \"https://127.0.0.1\" }")), ["bad-url"]);
    assert_eq!(codes(&own("sink = { http = \"http://127.0.0.1/{form}\" }")), ["unknown-placeholder"]);
    assert_eq!(codes(&own("env = { X = \"{from}\" }")), ["unknown-placeholder"]);
    assert_eq!(codes("name = \"x\"\nsubject.sink = \"stdout\""), ["unsupported-by-subject"]);
    assert_eq!(codes("name = \"x\"\nsubject = { kind = \"proces\", sink = \"stdout\" }"), ["unknown-word"]);
    let (_, warnings) = parse(&Source::new("x.toml", "name = \"x\"\nsubject.sink = \"topic\"")).unwrap();
    assert_eq!(warnings[0].code, "no-effect");
}
