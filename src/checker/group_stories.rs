//! Stories of groups, leaders and producers, that must be flagged and that must not. Those that are cases of Jepsen's tests
//! of its Kafka checker say so in their names.

use super::{Case, Severity, check};
use crate::history::story::{Story, dlq, ms, out, tp};
use crate::history::{Op, Outcome, Promises};

use Severity::{Counted, Fatal, Inconclusive};

#[track_caller]
fn flags(story: &Story, expected: &[(&str, u64, Severity)]) {
    let history = story.history();
    let found = check(&Case::of(&history)).into_iter().filter(|finding| finding.found());
    let found: Vec<(String, u64, Severity)> = found.map(|f| (f.kind, f.count, f.severity)).collect();
    let found: Vec<(&str, u64, Severity)> = found.iter().map(|(kind, n, s)| (kind.as_str(), *n, *s)).collect();
    assert_eq!(found, expected);
}

fn note_of(story: &Story, kind: &str) -> String {
    let history = story.history();
    let finding = check(&Case::of(&history)).into_iter().find(|finding| finding.kind == kind).unwrap();
    finding.examples[0].note.clone()
}

fn idempotent() -> Promises {
    Promises { idempotent: true, ..Promises::default() }
}

// Polls.

#[test]
fn jepsen_a_poll_that_passes_a_record_over_is_a_skip() {
    let story = Story::new().numbered(5).assign("a").delivered("a", &[0, 1, 3, 4]).end();
    flags(&story, &[("poll-skip", 1, Fatal)]);
    assert_eq!(note_of(&story, "poll-skip"), "a was delivered 1, then 3");
}

#[test]
fn jepsen_a_poll_over_offsets_without_records_is_no_skip() {
    // Transaction markers and aborted records leave gaps.
    let story = Story::new().served("1", 0).served("2", 7).assign("a").delivered("a", &[0]).deliver("2", 7);
    let story = story.by("a", Op::Deliver { r#type: Outcome::Ok, id: "2".into(), tp: tp(0), offset: 7 });
    flags(&story.end(), &[("redelivered", 3, Counted)]);
}

#[test]
fn each_record_that_is_passed_over_counts_once() {
    let story = Story::new().numbered(6).assign("a").delivered("a", &[0, 4, 5]);
    let story = story.assign("a").delivered("a", &[0, 4, 5]).end();
    flags(&story, &[("poll-skip", 3, Fatal), ("redelivered", 3, Counted)]);
}

#[test]
fn jepsen_a_poll_that_goes_back_is_counted() {
    let story = Story::new().numbered(4).assign("a").delivered("a", &[0, 1, 2, 1, 2, 3]).end();
    flags(&story, &[("redelivered", 2, Counted), ("nonmonotonic-poll", 1, Counted)]);
}

#[test]
fn a_seek_back_to_retry_is_no_skip_on_the_way_up() {
    let story = Story::new().numbered(5).assign("a").delivered("a", &[0, 1, 2, 3, 1, 4]).end();
    flags(&story, &[("redelivered", 1, Counted), ("nonmonotonic-poll", 1, Counted)]);
}

#[test]
fn delivery_from_the_committed_offset_after_a_rebalance_is_neither_skip_nor_return() {
    let story = Story::new().numbered(6).assign("a").delivered("a", &[0, 1, 2, 3]).commit("a", 3);
    let story = story.revoke("a", Outcome::Ok).assign("b").delivered("b", &[3, 4, 5]).end();
    flags(&story, &[("redelivered", 1, Counted)]);
}

#[test]
fn jepsen_allows_a_skip_across_a_rebalance_and_this_does_not() {
    let story = Story::new().numbered(3).invoke("4").ok("4", 3).log("4", 3).served("5", 4);
    let story = story.assign("a").delivered("a", &[0, 1, 2]).commit("a", 3).revoke("a", Outcome::Ok);
    let story = story.assign("b").delivered("b", &[4]);
    flags(&story.clone().end(), &[("lost-in-app", 1, Fatal), ("poll-skip", 1, Fatal), ("redelivered", 1, Counted)]);
    assert_eq!(note_of(&story.end(), "poll-skip"), "b began at 4, where 3 was committed");
}

#[test]
fn a_commit_that_a_crash_kept_from_being_told_is_no_skip() {
    // The member committed 4 and died before it could say so: what it committed past it had been delivered.
    let story = Story::new().numbered(6).assign("a").delivered("a", &[0, 1, 2, 3]).commit("a", 2);
    let story = story.signal("a", "member-exit", "signal: 9".into()).assign("b").delivered("b", &[4, 5]);
    flags(&story.end(), &[]);
}

#[test]
fn a_group_that_has_committed_nothing_may_begin_anywhere() {
    flags(&Story::new().numbered(4).assign("a").delivered("a", &[2, 3]).end(), &[]);
}

#[test]
fn a_thawed_zombie_that_finishes_what_it_held_is_no_anomaly() {
    let story = Story::new().numbered(6).assign("a").delivered("a", &[0, 1, 2]).commit("a", 1);
    // Frozen; the others go on; thawed, it works off what it had fetched and is told that it lost the topic partition.
    let story = story.assign("b").delivered("b", &[1, 2, 3, 4, 5]).commit("b", 6).delivered("a", &[3, 4]);
    let story = story.revoke("a", Outcome::Fail).assign("a").end();
    flags(&story, &[("redelivered", 4, Counted)]);
}

#[test]
fn a_restarted_member_s_assignment_is_a_new_one() {
    let story = Story::new().numbered(5).assign("a").delivered("a", &[0, 1, 2, 3]).commit("a", 1);
    let story = story.signal("a", "member-exit", "signal: 9".into()).assign("a").delivered("a", &[1, 2, 3, 4]).end();
    flags(&story, &[("redelivered", 3, Counted)]);
}

#[test]
fn a_dead_process_s_last_lines_do_not_disturb_its_successor() {
    let mut story = Story::new().numbered(5).assign("a").delivered("a", &[0, 1]).commit("a", 2);
    story = story.at(900).assign("a");
    // Written before its end, read after its successor's first line.
    story = story.at(500).delivered("a", &[2]);
    flags(&story.at(950).delivered("a", &[2, 3, 4]).end(), &[("redelivered", 1, Counted)]);
}

#[test]
fn deliveries_without_assignments_prove_nothing_about_polls() {
    flags(&Story::new().numbered(4).delivered("a", &[0, 3, 1]).end(), &[]);
}

#[test]
fn members_of_a_group_do_not_share_a_position() {
    let both = |actor: &str, partition| {
        let op = Op::Assign { r#type: Outcome::Ok, tps: vec![tp(partition)], generation: None };
        (actor.to_owned(), op)
    };
    let mut story = Story::new().numbered(2);
    for (actor, op) in [both("a", 0), both("b", 1)] {
        story = story.by(&actor, op);
    }
    story = story.invoke_as("9", 1, "j", Some(9), false).log_in(tp(1), "9", 0, true).effect("9", 2);
    let other = Op::Deliver { r#type: Outcome::Ok, id: "9".into(), tp: tp(1), offset: 0 };
    let story = story.delivered("a", &[0]).by("b", other).delivered("a", &[1]);
    flags(&story.end().read(tp(1), 0, 1, Outcome::Ok), &[]);
}

// Commits.

#[test]
fn a_committed_offset_that_goes_back_is_counted() {
    let story = Story::new().numbered(4).commit("a", 4).commit("a", 2).commit("a", 4).end();
    flags(&story, &[("commit-regression", 1, Counted)]);
    assert!(note_of(&story, "commit-regression").starts_with("a: from 4 back to 2 at "));
}

#[test]
fn a_group_that_the_harness_sees_going_back_is_counted() {
    let story = Story::new().numbered(4).commit("group", 4).commit("group", 2).end();
    flags(&story, &[("commit-regression", 1, Counted)]);
}

#[test]
fn commits_of_two_members_have_no_order_among_each_other() {
    // A frozen member notes an old acknowledgement when it is thawed.
    flags(&Story::new().numbered(4).commit("a", 2).commit("b", 4).commit("a", 3).end(), &[]);
}

#[test]
fn the_same_offset_committed_again_is_no_regression() {
    flags(&Story::new().numbered(4).commit("a", 4).commit("a", 4).end(), &[]);
}

#[test]
fn a_commit_long_before_the_effect_is_ahead() {
    let story = Story::new().invoke("1").ok("1", 0).log("1", 0).commit("a", 1).at(500).effect("1", 0);
    flags(&story.clone().end(), &[("commit-ahead", 1, Counted)]);
    assert!(note_of(&story.end(), "commit-ahead").contains("came 497 ms later"));
}

#[test]
fn a_commit_within_what_two_clocks_may_differ_is_not_ahead() {
    let story = Story::new().invoke("1").ok("1", 0).log("1", 0).commit("a", 1).at(50).effect("1", 0);
    flags(&story.end(), &[]);
}

#[test]
fn a_dead_letter_serves_as_an_effect_does() {
    let story = Story::new().invoke_as("1", 0, "k", Some(1), true).ok("1", 0).log("1", 0).at(90).dead("1", 0);
    flags(&story.commit("a", 1).served("2", 1).end(), &[]);
}

#[test]
fn what_was_committed_past_and_never_served_is_lost_and_not_ahead_too() {
    let story = Story::new().served("1", 0).invoke("2").ok("2", 1).log("2", 1).commit("a", 2);
    flags(&story.end(), &[("lost-in-app", 1, Fatal)]);
}

// Leaders.

#[test]
fn a_high_watermark_that_goes_back_below_an_acknowledged_offset_is_a_truncation() {
    let story = Story::new().numbered(3).watermark(1, 3).watermark(2, 1).end();
    flags(&story, &[("truncation", 1, Fatal)]);
    assert!(note_of(&story, "truncation").starts_with("high watermark 3, then 1 in epoch 2 at "));
}

#[test]
fn a_high_watermark_that_lags_without_going_back_is_none() {
    // acks=1: acknowledged before the followers have it.
    flags(&Story::new().numbered(3).watermark(1, 1).watermark(1, 2).watermark(2, 3).end(), &[]);
}

#[test]
fn what_goes_back_without_having_been_acknowledged_is_none() {
    let story = Story::new().numbered(2).invoke("3").info("3").watermark(1, 3).watermark(2, 2).end();
    flags(&story, &[]);
}

#[test]
fn a_deposed_leader_s_answer_says_nothing() {
    flags(&Story::new().numbered(3).watermark(1, 1).watermark(2, 3).watermark(1, 1).watermark(2, 3).end(), &[]);
}

#[test]
fn an_epoch_that_stays_back_with_less_than_was_acknowledged_is_a_truncation() {
    let story = Story::new().numbered(3).watermark(1, 1).watermark(2, 3).watermark(1, 1).watermark(1, 1).end();
    flags(&story, &[("truncation", 1, Fatal)]);
}

#[test]
fn an_answer_that_was_asked_for_before_the_acknowledgement_says_nothing() {
    let story =
        Story::new().numbered(2).watermark(1, 3).watermark(1, 2).invoke("3").ok("3", 2).log("3", 2).effect("3", 2);
    flags(&story.end(), &[]);
}

// The log.

/// Records of one key in the log in this order, all sent in the order of their numbers.
fn logged(order: &[&str]) -> Story {
    let mut sent: Vec<&str> = order.to_vec();
    sent.sort_unstable();
    let mut story = Story::new();
    for id in sent {
        story = story.invoke(id);
    }
    for (offset, id) in order.iter().enumerate() {
        story = story.ok(id, offset as i64).log(id, offset as i64);
    }
    for (offset, id) in order.iter().enumerate() {
        story = story.effect(id, offset as i64);
    }
    story.end()
}

#[test]
fn jepsen_sends_that_stand_out_of_order_in_the_log_are_flagged() {
    let story = logged(&["1", "4", "2", "3"]);
    // The application kept the log's order: its effects are out of the order of the sends as well.
    flags(&story, &[("reordered", 2, Counted), ("reordered-in-log", 2, Counted)]);
    flags(&story.promising(idempotent()), &[("reordered", 2, Counted), ("reordered-in-log", 2, Fatal)]);
}

#[test]
fn a_record_that_was_sent_again_later_has_no_order() {
    let story =
        Story::new().invoke("1").fail("1").invoke("2").ok("2", 0).log("2", 0).invoke("1").ok("1", 1).log("1", 1);
    flags(&story.effect("2", 0).effect("1", 1).end().promising(idempotent()), &[("reordered", 1, Counted)]);
}

#[test]
fn a_duplicate_behind_later_records_is_no_reordering() {
    let story = logged(&["1", "2", "3"]).log("1", 3).effect("1", 3).commit("group", 4).read(tp(0), 0, 4, Outcome::Ok);
    let story = story.read(out(0), 0, 4, Outcome::Ok);
    flags(&story, &[("duplicate-in-log", 1, Counted), ("duplicate-effect", 1, Counted)]);
}

#[test]
fn two_producers_with_one_key_have_no_common_order() {
    let send = |id: &str, seq| Op::Send {
        r#type: Outcome::Invoke,
        id: id.into(),
        tp: Some(tp(0)),
        key: Some("k".into()),
        seq: Some(seq),
        due: Some(ms(1)),
        poison: false,
        offset: None,
        error: None,
    };
    let story = Story::new().by("p", send("1", 5)).by("q", send("2", 1)).log("1", 0).log("2", 1);
    let story = story.invoke("9").ok("9", 2).log("9", 2).effect("9", 0).effect("1", 1);
    // Their effects count per key, whoever sent: that is what the application sees.
    flags(&story.effect("2", 2).end().promising(idempotent()), &[("reordered", 2, Counted)]);
}

// More of Jepsen's cases.

#[test]
fn jepsen_a_write_that_everybody_read_past_is_lost() {
    let story = Story::new().numbered(2).invoke("8").ok("8", 2).served("4", 3).end();
    flags(&story, &[("lost-in-log", 1, Fatal)]);
}

#[test]
fn jepsen_a_write_at_an_offset_that_another_one_took_is_inconsistent_and_lost() {
    let story = Story::new().numbered(2).invoke("8").ok("8", 1).end();
    flags(&story, &[("lost-in-log", 1, Fatal), ("inconsistent-offset", 1, Fatal)]);
}

#[test]
fn jepsen_a_write_beyond_everything_that_was_read_is_unseen_and_not_lost() {
    let story = Story::new().numbered(2).invoke("8").ok("8", 5).commit("group", 2).read(tp(0), 0, 2, Outcome::Fail);
    let story = story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok);
    flags(&story, &[("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn jepsen_a_read_of_a_failed_write_is_an_aborted_read() {
    let story = Story::new().numbered(2).invoke("8").fail("8").assign("a").deliver("8", 2);
    flags(&story.end(), &[("failed-but-present", 1, Fatal)]);
}

#[test]
fn jepsen_an_indeterminate_write_that_somebody_polled_has_happened() {
    // Polled, and gone from the log: nobody was promised it. In the log, it is owed service like any other.
    let story = Story::new().numbered(2).invoke("8").info("8").deliver("8", 2).served("4", 3).end();
    flags(&story, &[]);
    let story = Story::new().numbered(2).invoke("8").info("8").deliver("8", 2).log("8", 2).end();
    flags(&story, &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn jepsen_one_value_at_two_offsets_is_a_duplicate() {
    let story = Story::new().numbered(2).log("1", 2).effect("1", 2).end();
    flags(&story.clone(), &[("duplicate-in-log", 1, Counted), ("duplicate-effect", 1, Counted)]);
    flags(&story.promising(idempotent()), &[("duplicate-in-log", 1, Fatal), ("duplicate-effect", 1, Counted)]);
}
