//! Stories of applications whose records have several effects, or none on purpose.

use super::{Case, Finding, Severity, check};
use crate::history::story::{Story, dlq, ms, out, owing, tp};
use crate::history::{Outcome, Promises};
use crate::ledger::Ledger;

use Severity::{Counted, Fatal, Inconclusive};

fn findings(story: &Story) -> Vec<Finding> {
    let history = story.history();
    // A story has no phases.
    let found = check(&Case::of(&history)).into_iter().filter(|f| f.found() && f.kind != "baseline-unhealthy");
    found.collect()
}

#[track_caller]
fn flags(story: &Story, expected: &[(&str, u64, Severity)]) {
    let found = findings(story);
    let found: Vec<(&str, u64, Severity)> = found.iter().map(|f| (f.kind.as_str(), f.count, f.severity)).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn says(story: &Story, kind: &str, message: &str, note: &str) {
    let finding = findings(story).into_iter().find(|finding| finding.kind == kind).expect(kind);
    assert_eq!((finding.message.as_str(), finding.examples[0].note.as_str()), (message, note));
}

fn exactly_once() -> Promises {
    Promises { exactly_once: true, ..Promises::default() }
}

/// Record 1 has both of its two effects.
fn pairs() -> Story {
    let story = Story::new().planned(owing(2, &[])).invoke("1").ok("1", 0).log("1", 0).deliver("1", 0);
    story.part("1", 0, 0).part("1", 1, 1)
}

/// Record 2 has this much.
fn second(parts: &[u32]) -> Story {
    let story = pairs().invoke("2").ok("2", 1).log("2", 1).deliver("2", 1);
    (2..).zip(parts).fold(story, |story, (offset, part)| story.part("2", offset, *part))
}

#[test]
fn every_part_once_in_any_order_is_clean() {
    flags(&pairs().end(), &[]);
    flags(&second(&[1, 0]).end(), &[]);
    flags(&second(&[1, 0]).end().promising(exactly_once()), &[]);
}

#[test]
fn a_record_that_lacks_a_part_is_lost_in_the_application() {
    let story = second(&[1]).end();
    flags(&story, &[("lost-in-app", 1, Fatal)]);
    let message = "1 record in the log, committed past, without all their effects or a dead letter";
    says(&story, "lost-in-app", message, "committed past, without part 0 of the 2 effects that it is owed");
    let three = Story::new().planned(owing(3, &[])).invoke("1").ok("1", 0).log("1", 0).part("1", 0, 1).end();
    says(&three, "lost-in-app", message, "committed past, without part 0, 2 of the 3 effects that it is owed");
}

#[test]
fn a_record_that_lacks_every_part_is_lost_as_one_without_effect_is() {
    let story = second(&[]).end();
    flags(&story, &[("lost-in-app", 1, Fatal)]);
    let note = "delivered and committed past, without effect or dead letter";
    says(
        &story,
        "lost-in-app",
        "1 record in the log, committed past, without all their effects or a dead letter",
        note,
    );
}

#[test]
fn an_indeterminate_send_in_the_log_owes_every_part() {
    let story = pairs().invoke("2").info("2").log("2", 1);
    flags(&story.clone().part("2", 2, 0).end(), &[("lost-in-app", 1, Fatal)]);
    flags(&story.part("2", 2, 0).part("2", 3, 1).end(), &[]);
}

#[test]
fn a_part_that_is_missing_is_undetermined_where_nobody_looked_or_committed_far_enough() {
    flags(&second(&[0]).commit("group", 1).reads(), &[("undetermined", 1, Inconclusive)]);
    let short = second(&[0]).commit("group", 2).read(tp(0), 0, 2, Outcome::Ok);
    let short = short.read(out(0), 0, 2, Outcome::Fail).read(dlq(0), 0, 0, Outcome::Ok);
    flags(&short, &[("undetermined", 1, Inconclusive), ("final-read-truncated", 1, Inconclusive)]);
}

#[test]
fn what_has_a_part_was_in_the_log_and_is_not_lost_from_it() {
    let story = pairs().invoke("2").ok("2", 1).part("2", 2, 0).invoke("3").ok("3", 2).log("3", 2);
    flags(&story.part("3", 3, 0).part("3", 4, 1).end(), &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn a_dead_letter_stands_for_all_parts() {
    flags(&second(&[]).dead("2", 0).end(), &[("wrongly-dead-lettered", 1, Counted)]);
    let gave_up = second(&[0]).dead("2", 0).end();
    flags(&gave_up, &[("double-handled", 1, Counted), ("wrongly-dead-lettered", 1, Counted)]);
}

#[test]
fn the_same_part_again_is_a_duplicate_effect() {
    let story = second(&[0, 1, 1, 1]).end();
    flags(&story, &[("duplicate-effect", 2, Counted)]);
    says(&story, "duplicate-effect", "2 surplus effects, of 1 record", "4 effects in the output topic: part 1 3 times");
    flags(&story.promising(exactly_once()), &[("duplicate-effect", 2, Fatal)]);
    // Twice in the log, twice served: not the application's.
    let log = second(&[0, 1, 0, 1]).log("2", 2).end().promising(exactly_once());
    flags(&log, &[("duplicate-in-log", 1, Counted), ("duplicate-effect", 2, Counted)]);
    flags(&second(&[0, 0]).end(), &[("lost-in-app", 1, Fatal), ("duplicate-effect", 1, Counted)]);
}

#[test]
fn one_place_that_is_read_twice_is_one_effect() {
    flags(&second(&[0, 1]).part("2", 3, 1).end(), &[]);
}

#[test]
fn a_part_that_there_is_not_is_unexpected() {
    let story = second(&[0, 1, 2]).end();
    flags(&story, &[("unexpected", 1, Fatal)]);
    let message = "1 record read that nobody sent, with other bytes, or as a part that there is not";
    says(&story, "unexpected", message, "an effect of part 2, and its 2 parts are 0 to 1");
    // Not one of them has the header.
    let bare = second(&[]).effect("2", 2).effect("2", 3).end();
    flags(&bare, &[("lost-in-app", 1, Fatal), ("unexpected", 1, Fatal)]);
    let note = "an effect without a number in the header seaworthy-part, and a record has 2 parts";
    says(&bare, "unexpected", message, note);
}

#[test]
fn nobody_s_parts_are_unexpected_as_nobody_s_effects_are() {
    flags(&pairs().part("9", 2, 0).part("9", 3, 1).end(), &[("unexpected", 1, Fatal)]);
}

#[test]
fn each_part_has_an_order_of_its_own() {
    let ordered = Promises { ordered: true, ..Promises::default() };
    let logged = || pairs().promising(ordered).invoke("2").ok("2", 1).log("2", 1).invoke("3").ok("3", 2).log("3", 2);
    // All of the first part, then all of the second.
    let apart = logged().part("2", 2, 0).part("3", 3, 0).part("2", 4, 1).part("3", 5, 1).end();
    flags(&apart, &[]);
    let swapped = logged().part("2", 2, 0).part("3", 3, 0).part("3", 4, 1).part("2", 5, 1).end();
    flags(&swapped, &[("reordered", 1, Fatal)]);
    let message = "1 effects below an earlier one of their key, by up to 1";
    says(&swapped, "reordered", message, "part 1: effect of number 2 after that of number 3 of its key");
}

#[test]
fn without_a_plan_or_with_one_effect_a_part_says_nothing() {
    let story = || Story::new().invoke("1").ok("1", 0).log("1", 0);
    flags(&story().part("1", 0, 7).end(), &[]);
    flags(&story().part("1", 0, 7).end().planned(owing(1, &[])), &[]);
    flags(&story().part("1", 0, 0).part("1", 1, 1).end(), &[("duplicate-effect", 1, Counted)]);
}

#[test]
fn a_record_is_served_when_its_last_part_is_there_or_its_dead_letter() {
    let logged = || Story::new().planned(owing(2, &[])).invoke("1").ok("1", 0).log("1", 0).at(100);
    let served = |story: Story| Ledger::of(&story.end().history()).find("1").unwrap().served_at();
    assert_eq!(served(logged().part("1", 0, 0)), None);
    assert_eq!(served(logged().part("1", 0, 0).at(300).part("1", 1, 1)), Some(ms(300)));
    // The final read finds the second copy first.
    let again = logged().at(900).part("1", 0, 1).at(300).part("1", 1, 0).at(400).part("1", 2, 1);
    assert_eq!(served(again), Some(ms(400)));
    assert_eq!(served(logged().part("1", 0, 0).at(500).dead("1", 0)), Some(ms(500)));
    assert_eq!(served(logged().at(500).dead("1", 0).at(300).part("1", 0, 0).part("1", 1, 1)), Some(ms(301)));
}

// What is left out on purpose.

/// Record 1 is served; record 2, with the key `b`, is in the log, and the application leaves `b` out.
fn filter() -> Story {
    let story = Story::new().planned(owing(1, &["b", "never-sent"])).served("1", 0);
    story.invoke_as("2", 0, "b", Some(0), false).ok("2", 1).log("2", 1).deliver("2", 1)
}

fn left_out(story: &Story) -> u64 {
    Case::of(&story.history()).filtered()
}

#[test]
fn what_is_left_out_on_purpose_is_not_lost() {
    flags(&filter().end(), &[]);
    assert_eq!(left_out(&filter().end()), 1);
    // Nor undetermined where the group has not come as far.
    flags(&filter().commit("group", 1).reads(), &[]);
}

#[test]
fn the_same_record_of_another_key_is_lost() {
    flags(&filter().end().planned(owing(1, &["c"])), &[("lost-in-app", 1, Fatal)]);
}

#[test]
fn an_effect_of_what_is_left_out_is_filtered_but_served() {
    let story = filter().effect("2", 1).end();
    flags(&story, &[("filtered-but-served", 1, Fatal)]);
    says(
        &story,
        "filtered-but-served",
        "1 record with an effect, though the application leaves out their keys",
        "effects: 1, and its key is in `drops`",
    );
    assert_eq!(left_out(&story), 0);
    // Whatever the sender was told.
    let unsure = filter().invoke_as("3", 0, "b", Some(1), false).info("3").log("3", 2).effect("3", 1).end();
    flags(&unsure, &[("filtered-but-served", 1, Fatal)]);
}

#[test]
fn one_part_of_what_is_left_out_is_one_too_many() {
    let story = filter().planned(owing(2, &["b"])).part("1", 1, 0).part("1", 2, 1);
    flags(&story.clone().end(), &[("unexpected", 1, Fatal)]);
    let story = Story::new().planned(owing(2, &["k"])).invoke("1").ok("1", 0).log("1", 0).part("1", 0, 0);
    flags(&story.end(), &[("filtered-but-served", 1, Fatal)]);
}

#[test]
fn what_is_left_out_must_be_in_the_log_all_the_same() {
    let story = filter().invoke_as("3", 0, "b", Some(1), false).ok("3", 2).served("4", 3).end();
    flags(&story, &[("lost-in-log", 1, Fatal)]);
}

#[test]
fn a_dead_letter_of_what_is_left_out_is_no_effect() {
    let poison = filter().invoke_as("3", 0, "b", Some(1), true).ok("3", 2).log("3", 2);
    flags(&poison.clone().dead("3", 0).end(), &[]);
    flags(&poison.end(), &[]);
    flags(&filter().dead("2", 0).end(), &[("wrongly-dead-lettered", 1, Counted)]);
}

#[test]
fn an_assignment_that_begins_behind_what_is_left_out_has_skipped_nothing() {
    // The crashed member had it, and left it out.
    let story = filter().assign("a").commit("a", 1).invoke("3").ok("3", 2).log("3", 2).effect("3", 1);
    let story = story.assign("b").delivered("b", &[2]).end();
    flags(&story, &[]);
}

#[test]
fn a_stranger_with_a_key_that_is_left_out_is_a_stranger() {
    flags(&filter().effect("9", 1).end(), &[("unexpected", 1, Fatal)]);
}
