//! Stories that must be flagged, and stories that must not.

use super::{Case, Severity, check};
use crate::history::story::{Story, dlq, out, tp};
use crate::history::{Op, Outcome, Promises, Stage};

/// Everything that was found, with counts; and of what weight.
fn all(story: &Story) -> Vec<(String, u64, Severity)> {
    let history = story.history();
    let findings = check(&Case::of(&history)).into_iter().filter(|finding| finding.found());
    findings.map(|finding| (finding.kind, finding.count, finding.severity)).collect()
}

#[track_caller]
fn flags(story: &Story, expected: &[(&str, u64, Severity)]) {
    let found = all(story);
    let found: Vec<(&str, u64, Severity)> = found.iter().map(|(kind, n, s)| (kind.as_str(), *n, *s)).collect();
    assert_eq!(found, expected);
}

use Severity::{Counted, Fatal, Inconclusive};

fn calm() -> Story {
    Story::new().served("1", 0).served("2", 1)
}

#[test]
fn a_clean_run_is_clean() {
    flags(&calm().end(), &[]);
}

#[test]
fn an_acknowledged_record_that_nobody_finds_is_lost_in_the_log() {
    let story = calm().invoke("3").ok("3", 2).served("4", 3);
    flags(&story.clone().end(), &[("lost-in-log", 1, Fatal)]);
    let history = story.end().history();
    let findings = check(&Case::of(&history));
    let example = &findings[0].examples[0];
    assert_eq!(
        (example.id.as_deref(), example.tp.as_deref(), &example.offsets[..]),
        (Some("3"), Some("orders/0"), &[2][..])
    );
    assert!(example.acked_s > example.sent_s);
}

#[test]
fn an_acknowledgement_beyond_the_log_s_end_is_lost_in_the_log() {
    flags(&calm().invoke("3").ok("3", 7).end(), &[("lost-in-log", 1, Fatal)]);
}

#[test]
fn an_acknowledgement_after_the_end_was_noted_is_not_lost() {
    flags(&calm().end().invoke("3").ok("3", 2), &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn a_delivered_record_that_left_the_log_unserved_is_lost_in_the_log() {
    flags(&calm().invoke("3").ok("3", 2).deliver("3", 2).served("4", 3).end(), &[("lost-in-log", 1, Fatal)]);
}

#[test]
fn an_acknowledged_record_beyond_a_short_read_is_undetermined() {
    let story = calm().invoke("3").ok("3", 2).commit("group", 3);
    let story = story.read(tp(0), 0, 2, Outcome::Fail).read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok);
    flags(&story, &[("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn a_loss_that_a_short_read_passed_is_still_a_loss() {
    let story = calm().invoke("3").ok("3", 2).served("4", 3).commit("group", 4);
    let story = story.read(tp(0), 0, 4, Outcome::Fail).read(out(0), 0, 4, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok);
    flags(&story, &[("lost-in-log", 1, Fatal), ("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn what_retention_removed_before_the_final_read_is_undetermined() {
    let story = calm().invoke("3").ok("3", 2).served("4", 9).commit("group", 10);
    let story = story.read(tp(0), 5, 10, Outcome::Ok).read(out(0), 0, 10, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok);
    flags(&story, &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn what_a_member_was_delivered_is_in_the_log_where_the_final_read_did_not_come() {
    let short = |story: Story| {
        let story = story.commit("group", 3).read(tp(0), 0, 2, Outcome::Fail);
        story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok)
    };
    let doubt = ("final-read-truncated", 1, Inconclusive);
    let lost = [("lost-in-app", 1, Fatal), doubt];
    flags(&short(calm().invoke("3").ok("3", 2).deliver("3", 2)), &lost);
    flags(&short(calm().invoke("3").info("3").deliver("3", 2)), &lost);
    flags(&short(calm().invoke("3").info("3")), &[doubt]);
}

#[test]
fn of_two_final_reads_the_one_that_came_farther_counts() {
    let read = |story: Story, to, r#type| story.read(tp(0), 0, to, r#type);
    let outputs = |story: Story| story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok);
    let lost =
        || outputs(calm().invoke("3").ok("3", 2).served("4", 3).commit("group", 4).read(out(0), 0, 4, Outcome::Ok));
    let (fail, ok) = (Outcome::Fail, Outcome::Ok);
    let found = ("lost-in-log", 1, Fatal);
    for story in
        [read(read(lost(), 1, fail), 4, ok), read(read(lost(), 4, ok), 1, fail), read(read(lost(), 4, ok), 4, ok)]
    {
        flags(&story, &[found]);
    }
    let doubt = ("final-read-truncated", 1, Inconclusive);
    for story in [read(read(lost(), 1, fail), 4, fail), read(read(lost(), 4, fail), 1, fail)] {
        flags(&story, &[found, doubt]);
    }
    flags(&read(read(lost(), 1, fail), 2, fail), &[("undetermined", 1, Inconclusive), doubt]);
    // Equal ones: whether something came after the end was noted is asked of the first.
    flags(&calm().end().invoke("3").ok("3", 2).end(), &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn without_acks_the_whole_topic_decides() {
    let story = calm().invoke("3").ok_somewhere("3");
    flags(&story.clone().end(), &[("lost-in-log", 1, Fatal)]);
    flags(
        &story.read(tp(0), 0, 2, Outcome::Fail).read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok),
        &[("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)],
    );
}

#[test]
fn without_a_topic_partition_the_whole_input_topic_from_its_start_decides() {
    let told = |r#type, offset| {
        let (id, tp, key) = ("3".to_owned(), None, Some("k".to_owned()));
        Op::Send { r#type, id, tp, key, seq: None, due: None, poison: false, offset, error: None }
    };
    let story = calm().event(told(Outcome::Invoke, None)).event(told(Outcome::Ok, Some(-1))).commit("group", 2);
    let reads = |from, r#type| {
        let story = story.clone().read(tp(0), from, 2, r#type);
        story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Ok)
    };
    flags(&reads(0, Outcome::Ok), &[("lost-in-log", 1, Fatal)]);
    flags(&reads(1, Outcome::Ok), &[("undetermined", 1, Inconclusive)]);
    let short = [("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)];
    flags(&reads(0, Outcome::Fail), &short);
}

#[test]
fn an_acknowledgement_as_late_as_the_read_s_end_is_not_lost() {
    let story = calm().commit("group", 2).invoke("3").at(500).ok("3", 2);
    flags(&story.clone().at(500).reads(), &[("undetermined", 1, Inconclusive)]);
    flags(&story.at(501).reads(), &[("lost-in-log", 1, Fatal)]);
}

#[test]
fn an_indeterminate_send_that_nobody_read_owes_nothing() {
    flags(&calm().invoke("3").info("3").invoke("4").end(), &[]);
}

#[test]
fn an_indeterminate_send_that_is_in_the_log_owes_an_effect() {
    flags(&calm().invoke("3").info("3").log("3", 2).end(), &[("lost-in-app", 1, Fatal)]);
    flags(&calm().invoke("3").info("3").log("3", 2).effect("3", 2).end(), &[]);
    flags(&calm().invoke("3").log("3", 2).end(), &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn a_record_that_the_group_passed_without_effect_is_lost_in_the_application() {
    flags(&calm().invoke("3").ok("3", 2).log("3", 2).deliver("3", 2).end(), &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn a_record_that_the_group_has_not_passed_is_undetermined() {
    let story = calm().invoke("3").ok("3", 2).log("3", 2).deliver("3", 2).commit("group", 2).reads();
    flags(&story, &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn without_any_commit_nothing_is_lost_in_the_application() {
    flags(&calm().invoke("3").ok("3", 2).log("3", 2).reads(), &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn what_members_report_counts_only_where_nobody_watched_the_group() {
    let story = calm().invoke("3").ok("3", 2).log("3", 2).commit("member-0", 3);
    flags(&story.clone().reads(), &[("lost-in-app", 1, Fatal)]);
    flags(&story.commit("group", 2).reads(), &[("undetermined", 1, Inconclusive)]);
}

#[test]
fn without_a_whole_look_at_the_outputs_nothing_is_lost_in_the_application() {
    let story = calm().invoke("3").ok("3", 2).log("3", 2).commit("group", 3).read(tp(0), 0, 3, Outcome::Ok);
    let story = story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 0, Outcome::Fail);
    flags(&story, &[("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn a_dead_letter_is_no_loss() {
    let story = calm().invoke_as("3", 0, "k", Some(3), true).ok("3", 2).log("3", 2).dead("3", 0);
    flags(&story.end(), &[]);
}

#[test]
fn a_swallowed_poison_record_is_lost_in_the_application() {
    let story = calm().invoke_as("3", 0, "k", Some(3), true).ok("3", 2).log("3", 2).deliver("3", 2);
    flags(&story.end(), &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn a_duplicate_in_the_log_needs_one_effect_only_but_both_places_passed() {
    let story = calm().invoke("3").ok("3", 2).log("3", 2).log("3", 3);
    flags(&story.clone().effect("3", 2).end(), &[("duplicate-in-log", 1, Counted)]);
    flags(&story.commit("group", 3).reads(), &[("undetermined", 1, Inconclusive), ("duplicate-in-log", 1, Counted)]);
}

#[test]
fn a_duplicate_in_the_log_is_fatal_with_idempotence() {
    let promises = Promises { idempotent: true, ..Promises::default() };
    flags(&calm().log("2", 2).end().promising(promises), &[("duplicate-in-log", 1, Fatal)]);
}

#[test]
fn a_place_that_is_read_twice_is_one_place() {
    flags(&calm().log("2", 1).effect("2", 1).end(), &[]);
}

#[test]
fn a_record_that_nobody_sent_is_unexpected() {
    flags(&calm().log("9", 2).end(), &[("unexpected", 1, Fatal)]);
    flags(&calm().effect("", 2).end(), &[("unexpected", 1, Fatal)]);
    flags(&calm().dead("9", 0).end(), &[("unexpected", 1, Fatal)]);
    flags(&calm().deliver("9", 2).end(), &[("unexpected", 1, Fatal)]);
}

#[test]
fn altered_bytes_are_unexpected() {
    let story = calm().invoke("3").ok("3", 2).log_in(tp(0), "3", 2, false).effect("3", 2);
    flags(&story.end(), &[("unexpected", 1, Fatal)]);
}

#[test]
fn a_failed_send_that_is_read_is_flagged_and_one_that_is_not_read_is_not() {
    flags(&calm().invoke("3").fail("3").log("3", 2).effect("3", 2).end(), &[("failed-but-present", 1, Fatal)]);
    flags(&calm().invoke("3").fail("3").end(), &[]);
}

#[test]
fn a_failed_send_that_was_sent_again_is_acknowledged() {
    let story = calm().invoke("3").fail("3").invoke("3").ok("3", 2).log("3", 2).effect("3", 2);
    flags(&story.end(), &[]);
}

#[test]
fn a_failed_attempt_beside_an_open_one_is_indeterminate() {
    flags(&calm().invoke("3").fail("3").invoke("3").log("3", 2).effect("3", 2).end(), &[]);
}

#[test]
fn two_records_at_one_offset_are_inconsistent() {
    let story = calm().invoke("3").ok("3", 1).log("3", 2).effect("3", 2);
    flags(&story.end(), &[("inconsistent-offset", 1, Fatal)]);
    let story = calm().invoke("3").ok("3", 2).deliver("2", 2).log("3", 2).effect("3", 2);
    flags(&story.end(), &[("inconsistent-offset", 1, Fatal)]);
}

#[test]
fn one_offset_in_two_topic_partitions_is_consistent() {
    let story = calm().invoke_as("3", 1, "j", Some(1), false).log_in(tp(1), "3", 1, true).effect("3", 2);
    flags(&story.end().read(tp(1), 0, 2, Outcome::Ok), &[]);
}

#[test]
fn a_second_effect_is_counted_and_fatal_with_exactly_once() {
    flags(&calm().effect("2", 2).effect("2", 3).end(), &[("duplicate-effect", 2, Counted)]);
    let exactly = Promises { exactly_once: true, ..Promises::default() };
    flags(&calm().effect("2", 2).end().promising(exactly), &[("duplicate-effect", 1, Fatal)]);
}

#[test]
fn an_effect_for_each_place_in_the_log_is_not_the_application_s_duplicate() {
    let exactly = Promises { exactly_once: true, ..Promises::default() };
    let story = calm().log("2", 2).effect("2", 2).end().promising(exactly);
    flags(&story, &[("duplicate-in-log", 1, Counted), ("duplicate-effect", 1, Counted)]);
}

#[test]
fn redelivery_is_counted_by_place() {
    flags(&calm().deliver("2", 1).deliver("2", 1).end(), &[("redelivered", 2, Counted)]);
    flags(&calm().log("2", 2).deliver("2", 2).end(), &[("duplicate-in-log", 1, Counted)]);
}

#[test]
fn an_effect_and_a_dead_letter_are_double_handling() {
    let story = calm().dead("2", 0).end();
    flags(&story, &[("double-handled", 1, Counted), ("wrongly-dead-lettered", 1, Counted)]);
    let exactly = Promises { exactly_once: true, ..Promises::default() };
    flags(&story.promising(exactly), &[("double-handled", 1, Fatal), ("wrongly-dead-lettered", 1, Counted)]);
}

/// Records 1 to 4 in the log, and their effects in the given order.
fn effects(order: &[&str]) -> Story {
    let mut story = Story::new();
    for (offset, id) in ["1", "2", "3", "4"].into_iter().enumerate() {
        story = story.invoke(id).ok(id, offset as i64).log(id, offset as i64);
    }
    for (offset, id) in order.iter().enumerate() {
        story = story.effect(id, offset as i64);
    }
    story.end()
}

#[test]
fn effects_out_of_order_are_counted_and_fatal_with_the_promise_of_order() {
    let story = effects(&["1", "4", "2", "3"]);
    flags(&story, &[("reordered", 2, Counted)]);
    let ordered = Promises { ordered: true, ..Promises::default() };
    flags(&story.clone().promising(ordered), &[("reordered", 2, Fatal)]);
    let history = story.history();
    let finding = check(&Case::of(&history)).into_iter().find(|finding| finding.kind == "reordered").unwrap();
    assert_eq!(finding.message, "2 effects below an earlier one of their key, by up to 2");
}

#[test]
fn a_replay_is_no_reordering() {
    flags(&effects(&["1", "2", "3", "1", "2", "3", "4"]), &[("duplicate-effect", 3, Counted)]);
}

#[test]
fn keys_have_no_order_among_each_other() {
    let story = Story::new().invoke_as("1", 0, "a", Some(5), false).ok("1", 0).log("1", 0).effect("1", 0);
    let story = story.invoke_as("2", 0, "b", Some(1), false).ok("2", 1).log("2", 1).effect("2", 1);
    flags(&story.end(), &[]);
}

#[test]
fn a_trip_through_the_dead_letter_topic_is_no_reordering() {
    let story = effects(&["1", "3", "4", "2"]).dead("2", 0).read(dlq(0), 0, 1, Outcome::Ok);
    flags(&story, &[("double-handled", 1, Counted), ("wrongly-dead-lettered", 1, Counted)]);
}

#[test]
fn a_good_record_in_the_dead_letter_topic_is_counted() {
    let story = calm().invoke("3").ok("3", 2).log("3", 2).dead("3", 0);
    flags(&story.end(), &[("wrongly-dead-lettered", 1, Counted)]);
}

/// Poison at offset 2 of the log, and its dead letter.
fn letter(origin: Option<i64>, complete: bool) -> Story {
    let story = calm().invoke_as("3", 0, "k", Some(3), true).ok("3", 2).log("3", 2);
    story.dead_from("3", 0, origin, complete).end()
}

#[test]
fn a_dead_letter_needs_its_headers_and_a_true_origin() {
    flags(&letter(Some(2), true), &[]);
    flags(&letter(None, true), &[]);
    flags(&letter(Some(2), false), &[("dead-letter-incomplete", 1, Fatal)]);
    flags(&letter(Some(1), true), &[("dead-letter-incomplete", 1, Fatal)]);
    flags(&letter(Some(77), true), &[("dead-letter-incomplete", 1, Fatal)]);
}

#[test]
fn an_origin_that_the_final_read_did_not_reach_is_believed() {
    let story = calm().invoke_as("3", 0, "k", Some(3), true).ok("3", 2).dead_from("3", 0, Some(2), true);
    let story = story.commit("group", 3).read(tp(0), 0, 2, Outcome::Fail);
    let story = story.read(out(0), 0, 2, Outcome::Ok).read(dlq(0), 0, 1, Outcome::Ok);
    flags(&story, &[("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn a_run_without_traffic_proves_nothing() {
    flags(&Story::new().end(), &[("no-traffic", 1, Inconclusive)]);
    flags(&Story::new().invoke("1").info("1").end(), &[("no-traffic", 1, Inconclusive)]);
}

#[test]
fn a_run_in_which_nothing_was_served_is_not_a_pass() {
    let story = Story::new().invoke("1").ok("1", 0).log("1", 0).reads();
    flags(&story, &[("undetermined", 1, Inconclusive), ("no-traffic", 1, Inconclusive)]);
}

#[test]
fn a_heal_that_nobody_saw_is_a_doubt() {
    let story = calm().fault(Stage::Inject, "cut").fault(Stage::Confirmed, "cut").fault(Stage::Heal, "cut");
    flags(&story.clone().end(), &[("heal-unconfirmed", 1, Inconclusive)]);
    flags(&story.fault(Stage::Healed, "cut").end(), &[]);
}

#[test]
fn a_missing_final_read_is_a_doubt() {
    flags(&calm().commit("group", 2), &[("final-read-truncated", 3, Inconclusive)]);
}

#[test]
fn a_history_that_breaks_off_is_a_doubt() {
    let mut story = calm().end();
    story.truncated = true;
    flags(&story, &[("history-truncated", 1, Inconclusive)]);
}

#[test]
fn a_loss_within_its_budget_is_counted() {
    let mut plan = crate::history::story::plan();
    plan.faults.clear();
    plan.budget.lost = 1;
    let story = calm().invoke("3").ok("3", 2).served("4", 3).end();
    let weights = |story: &Story| all(story).into_iter().find(|(kind, ..)| kind == "lost-in-log").unwrap().2;
    assert_eq!(weights(&story.clone().planned(plan.clone())), Counted);
    plan.budget.lost = 0;
    assert_eq!(weights(&story.planned(plan)), Fatal);
}
