//! A run judged again from its folder says the same.

use std::time::Duration;

use crate::history::History;
use crate::history::sim::Sim;
use crate::judge::judge;
use crate::plan::Limit;
use crate::verdict::Verdict::Pass;

/// A run that missed its recovery budget.
fn slow() -> History {
    let mut sim = Sim { sends: vec![(0, 6_000, 11_300)], ..Sim::new(1) };
    sim.plan.budget.recovery = Some(Limit { within: Duration::from_secs(1), since: None });
    sim.story().history()
}

#[test]
fn a_recorded_run_is_judged_again_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let history = slow();
    let repeat = folder.path().join("story/1");
    std::fs::create_dir_all(&repeat).unwrap();
    let mut lines = vec![serde_json::to_string(&history.header).unwrap()];
    lines.extend(history.events.iter().map(|event| serde_json::to_string(event).unwrap()));
    std::fs::write(repeat.join("history.jsonl"), lines.join("\n") + "\n").unwrap();
    let context = crate::report::ScenarioContext {
        repeat: 4,
        fingerprint: Some("f".into()),
        ..crate::report::ScenarioContext::default()
    };
    let first = crate::report::ScenarioResult::new(context, &history, judge(&history));
    std::fs::write(repeat.join("result.json"), serde_json::to_vec(&first).unwrap()).unwrap();
    for path in [folder.path().to_owned(), repeat.clone(), repeat.join("history.jsonl")] {
        let again = crate::recheck::recheck(&path).unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].result, first);
    }
    assert!(crate::recheck::recheck(&repeat.join("nothing.jsonl")).is_err());
    // Cut off in the middle of a line, within a character.
    let mut cut = lines.join("\n").into_bytes();
    cut.extend_from_slice("\n{\"t\":1,\"actor\":\"ü".as_bytes());
    cut.pop();
    std::fs::write(repeat.join("history.jsonl"), cut).unwrap();
    let again = crate::recheck::recheck(&repeat).unwrap();
    assert!(again[0].result.reasons.iter().any(|reason| reason.code == "history-truncated"));
}

/// The contract's example, event by event.
const EXAMPLE: &str = r#"{"seaworthy_history":1,"scenario":"leader-network-partition","seed":7,"started_at":"2026-01-01T00:00:00Z","group":"g1","topics":{"input":"orders","output":"orders.out","dead_letter":"orders.dlq"},"promises":{"idempotent":true,"ordered":true,"exactly_once":false},"plan":{}}
{"t":10,"actor":"producer-0","op":"send","type":"invoke","id":"17","tp":"orders/3","key":"k7","seq":4,"due":9}
{"t":25,"actor":"producer-0","op":"send","type":"ok","id":"17","tp":"orders/3","offset":12}
{"t":26,"actor":"producer-0","op":"send","type":"invoke","id":"18","tp":"orders/3"}
{"t":26,"actor":"producer-0","op":"send","type":"info","id":"18","tp":"orders/3","error":{"code":-192,"name":"MSG_TIMED_OUT","class":"temporary","persistence":"possibly"}}
{"t":27,"actor":"producer-0","op":"send","type":"fail","id":"19","tp":"orders/3","error":{"code":10,"name":"MSG_SIZE_TOO_LARGE","class":"non-retriable","persistence":"not"}}
{"t":40,"actor":"member-0","op":"deliver","type":"ok","id":"17","tp":"orders/3","offset":12}
{"t":45,"actor":"producer-0","op":"send","type":"invoke","id":"20","tp":"orders/3","poison":true}
{"t":46,"actor":"producer-0","op":"send","type":"ok","id":"20","tp":"orders/3","offset":14}
{"t":50,"actor":"member-0","op":"commit","type":"ok","tp":"orders/3","offset":15}
{"t":55,"op":"something-newer","x":1}
{"t":100,"op":"log-read","type":"ok","id":"17","tp":"orders/3","offset":12}
{"t":101,"op":"log-read","type":"ok","id":"20","tp":"orders/3","offset":14}
{"t":110,"op":"effect","type":"ok","id":"17","key":"k7","seq":4,"tp":"orders.out/3","offset":11}
{"t":120,"op":"dead-letter","type":"ok","id":"20","tp":"orders.dlq/3","offset":0,"origin":{"tp":"orders/3","offset":14},"complete":true}
{"t":130,"op":"final-read","type":"ok","tp":"orders/3","from":0,"to":15}
{"t":131,"op":"final-read","type":"ok","tp":"orders.out/3","from":0,"to":12}
{"t":132,"op":"final-read","type":"ok","tp":"orders.dlq/3","from":0,"to":1}
"#;

#[test]
fn the_contract_s_example_is_a_pass() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), EXAMPLE).unwrap();
    let result = &crate::recheck::recheck(file.path()).unwrap()[0].result;
    assert_eq!((result.verdict, &result.reasons[..]), (Pass, &[][..]));
    let counts = &result.integrity;
    assert_eq!((counts.attempted, counts.acked, counts.indeterminate, counts.failed), (4, 2, 1, 1));
    assert_eq!((counts.dead_lettered, counts.wrongly_dead_lettered), (1, 0));
}
