//! A history that is read line by line into its ledger is judged as the same history in memory.

use super::{judge, judge_ledger};
use crate::history::sim::{Away, Sim};
use crate::history::story::{Story, owing};
use crate::history::{Event, Op, Outcome, read_history};

fn same(story: &Story) {
    let history = story.history();
    let mut lines = vec![serde_json::to_string(&history.header).unwrap()];
    lines.extend(history.events.iter().map(|event| serde_json::to_string(event).unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
    let (kept, ledger) = crate::ledger::read(file.path()).unwrap();
    let held = |event: &Event| matches!(event.op, Op::Send { .. } | Op::FinalRead { .. });
    assert!(!kept.events.iter().any(held), "what the ledger holds is not held twice");
    let expected = judge(&history);
    assert_eq!(judge_ledger(&kept, ledger), expected);
    assert_eq!(judge(&read_history(file.path()).unwrap()), expected);
}

#[test]
fn whole_runs_with_faults_failures_and_signals() {
    let value = serde_json::json!("open");
    for away in [Away::Wait, Away::Fail] {
        let sim = Sim { away, sends: vec![(0, 6_000, 11_300)], effects: vec![(1, 6_000, 11_800)], ..Sim::new(3) };
        let sim = Sim { signals: vec![("breaker", 6_400, value.clone()), ("retry", 6_500, value.clone())], ..sim };
        same(&sim.story());
    }
}

#[test]
fn runs_of_every_kind_of_trouble() {
    let story = Story::new().numbered(4).assign("member-0").delivered("member-0", &[0, 1, 3, 1]).commit("member-0", 3);
    let story = story.revoke("member-0", Outcome::Fail).commit("member-0", 2).assign("member-1");
    let story = story.delivered("member-1", &[3]).watermark(1, 4).watermark(2, 1);
    // Acknowledged and gone, failed and there, never sent, twice in the log, dead-lettered from a wrong place.
    let story = story.invoke("10").ok("10", 9).invoke("11").fail("11").log("11", 7).effect("11", 8);
    let story = story.log("x\\y", 8).invoke("12").info("12").log("12", 12).log("12", 13).log("13", 13).dead_from(
        "12",
        0,
        Some(1),
        true,
    );
    let story = story.dead_of("13", 1, "non-retriable").dead_of("11", 2, "temporary");
    same(&story.clone().end());
    same(&story);
}

#[test]
fn runs_with_several_effects_and_with_records_that_are_left_out() {
    let story =
        Story::new().planned(owing(2, &["b"])).invoke("1").ok("1", 0).log("1", 0).part("1", 0, 0).part("1", 1, 1);
    let story = story.invoke_as("2", 0, "b", Some(0), false).ok("2", 1).log("2", 1).invoke("3").ok("3", 2).log("3", 2);
    let story = story.part("3", 2, 1).part("3", 3, 1).effect("3", 4).part("2", 5, 7).end();
    same(&story);
    same(&story.planned(owing(1, &["k"])));
}
