//! A run judged again from its folder says the same.

use std::time::Duration;

use crate::history::sim::Sim;
use crate::history::{History, read_history};
use crate::judge::judge;
use crate::plan::Limit;
use crate::report::{ScenarioContext, ScenarioResult};
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
    let context = ScenarioContext { repeat: 4, fingerprint: Some("f".into()), ..ScenarioContext::default() };
    let first = ScenarioResult::new(context, &history, judge(&history));
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

/// Judged line by line and from memory, which must agree, in what they refuse too.
fn judged(text: &[u8]) -> Result<ScenarioResult, crate::recheck::RecheckError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let streamed = crate::recheck::recheck(file.path()).map(|mut all| all.remove(0).result);
    let whole = read_history(file.path())
        .map(|history| ScenarioResult::new(ScenarioContext::default(), &history, judge(&history)));
    match (&streamed, &whole) {
        (Ok(streamed), Ok(whole)) => assert_eq!(streamed, whole),
        (Err(streamed), Err(whole)) => assert_eq!(streamed.to_string(), whole.to_string()),
        (streamed, whole) => panic!("line by line {streamed:?}, from memory {whole:?}"),
    }
    streamed
}

#[test]
fn fields_and_events_of_a_newer_version_change_nothing() {
    let plain = judged(EXAMPLE.as_bytes()).unwrap();
    let newer = EXAMPLE
        .replace(r#"{"t":"#, r#"{"shard":{"of":[1,2]},"t":"#)
        .replace(r#""seed":7"#, r#""seed":7,"cluster_id":"x""#)
        .replace(r#""idempotent":true"#, r#""idempotent":true,"fenced":false"#);
    assert_ne!(newer, EXAMPLE);
    assert_eq!(judged(newer.as_bytes()).unwrap(), plain);
}

#[test]
fn a_header_of_an_older_minor_version_does_without_promises_and_plan() {
    let older = EXAMPLE.replace(r#","promises":{"idempotent":true,"ordered":true,"exactly_once":false},"plan":{}"#, "");
    assert_ne!(older, EXAMPLE);
    assert_eq!(judged(older.as_bytes()).unwrap().verdict, Pass);
}

#[test]
fn a_history_cut_off_at_any_byte_after_its_header_is_judged_and_never_a_pass() {
    let header = EXAMPLE.find('\n').unwrap() + 1;
    // The last line's own end may be missing: then nothing is.
    for cut in header..EXAMPLE.len() - 1 {
        let result = judged(&EXAMPLE.as_bytes()[..cut]).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert_ne!(result.verdict, Pass, "cut at {cut}");
    }
}

#[test]
fn garbage_is_refused_with_its_line_and_the_reason() {
    let error = |text: &str| judged(text.as_bytes()).unwrap_err().to_string();
    assert!(error("").contains(":1: not a Seaworthy history: EOF"));
    assert!(error("PNG\n").contains(":1: not a Seaworthy history: expected value"));
    assert!(
        error(&EXAMPLE.replace(r#""seaworthy_history":1"#, r#""seaworthy_history":2"#)).contains("history version 2")
    );
    let wrong = EXAMPLE.replace(r#"{"t":40,"#, r#"{"t":"soon","#);
    let text = error(&wrong);
    assert!(text.contains(":7: not a history event: ") && text.contains("soon"), "{text}");
    let text = error(&EXAMPLE.replace(r#""op":"deliver","#, ""));
    assert!(text.contains(":7: not a history event: missing field `op`"), "{text}");
}

mod mutated {
    use proptest::prelude::*;

    use super::*;

    /// One change of a history's text.
    #[derive(Clone, Debug)]
    enum Change {
        Drop(usize),
        Repeat(usize),
        Swap(usize, usize),
        /// A number, wherever it stands, becomes another.
        Number(usize, i64),
        Byte(usize, u8),
    }

    fn change() -> impl Strategy<Value = Change> {
        let number = prop_oneof![-3..20i64, Just(i64::MAX), Just(i64::MIN), Just(0)];
        prop_oneof![
            any::<usize>().prop_map(Change::Drop),
            any::<usize>().prop_map(Change::Repeat),
            any::<(usize, usize)>().prop_map(|(a, b)| Change::Swap(a, b)),
            (any::<usize>(), number).prop_map(|(at, n)| Change::Number(at, n)),
            any::<(usize, u8)>().prop_map(|(at, byte)| Change::Byte(at, byte)),
        ]
    }

    fn changed(lines: &mut Vec<Vec<u8>>, change: &Change) {
        // The header stays: without it there is nothing to judge.
        let count = lines.len();
        let at = |n: usize| 1 + n % (count - 1).max(1);
        match *change {
            _ if count < 3 => {}
            Change::Drop(n) => drop(lines.remove(at(n))),
            Change::Repeat(n) => lines.push(lines[at(n)].clone()),
            Change::Swap(a, b) => {
                let (a, b) = (at(a), at(b));
                lines.swap(a, b);
            }
            Change::Number(n, number) => {
                let line = String::from_utf8_lossy(&lines[at(n)]).into_owned();
                let digits: Vec<usize> = line.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
                let Some(from) = digits.get(n / count % digits.len().max(1)) else { return };
                let to = line[*from..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |end| from + end);
                let place = at(n);
                lines[place] = format!("{}{number}{}", &line[..*from], &line[to..]).into_bytes();
            }
            Change::Byte(n, byte) => {
                let place = at(n);
                let line = &mut lines[place];
                if !line.is_empty() {
                    let at = n / 7 % line.len();
                    line[at] = byte;
                }
            }
        }
    }

    fn planned() -> String {
        let history = slow().header;
        let mut text = serde_json::to_string(&history).unwrap();
        for line in EXAMPLE.lines().skip(1) {
            text = format!("{text}\n{line}");
        }
        text.push('\n');
        for (at, name) in ["warm-up", "baseline", "fault", "heal", "settle"].iter().enumerate() {
            let t = 20 * at;
            text.push_str(&format!("{{\"t\":{t},\"op\":\"phase\",\"name\":\"{name}\"}}\n"));
        }
        for stage in ["inject", "confirmed", "heal", "healed"] {
            text.push_str(&format!("{{\"t\":45,\"op\":\"fault\",\"type\":\"{stage}\",\"label\":\"cut\"}}\n"));
        }
        text.push_str("{\"t\":46,\"actor\":\"member-0\",\"op\":\"assign\",\"type\":\"ok\",\"tps\":[\"orders/3\"]}\n");
        text.push_str(
            "{\"t\":47,\"op\":\"signal\",\"name\":\"high-watermark\",\"value\":{\"tp\":\"orders/3\",\"epoch\":1,\"offset\":9}}\n",
        );
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// With a plan and without: an error or a judgement, and no checker that panics.
        #[test]
        fn a_mutated_history_is_judged_or_refused_and_nothing_panics(
            changes in prop::collection::vec(change(), 1..8),
            with_plan in any::<bool>(),
        ) {
            let text = if with_plan { planned() } else { EXAMPLE.to_owned() };
            let mut lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            for change in &changes {
                changed(&mut lines, change);
            }
            let mut bytes = lines.join(&b'\n');
            bytes.push(b'\n');
            if let Ok(result) = judged(&bytes) {
                let panicked = result.reasons.iter().find(|reason| reason.message.contains("panicked"));
                prop_assert!(panicked.is_none(), "{:?}", panicked);
            }
        }
    }
}
