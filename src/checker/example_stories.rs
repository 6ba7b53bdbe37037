//! What a finding says besides its count: its sentence, its examples, and which of many it shows.

use super::{Case, EXAMPLES, Example, Finding, Severity, check};
use crate::history::sim::Sim;
use crate::history::story::{Story, dlq, out, plan, tp};
use crate::history::{Op, Outcome, Stage};

fn finding(story: &Story, kind: &str) -> Finding {
    let history = story.history();
    check(&Case::of(&history)).into_iter().find(|finding| finding.kind == kind).unwrap()
}

fn ids(finding: &Finding) -> Vec<&str> {
    finding.examples.iter().filter_map(|example| example.id.as_deref()).collect()
}

fn only(finding: &Finding) -> &Example {
    assert_eq!(finding.examples.len(), 1, "{finding:?}");
    &finding.examples[0]
}

fn calm() -> Story {
    Story::new().served("1", 0).served("2", 1)
}

#[test]
fn of_effects_only_the_surplus_ones_are_shown_and_counted_by_record() {
    let finding = finding(&calm().effect("1", 2).effect("1", 3).end(), "duplicate-effect");
    assert_eq!(finding.message, "2 surplus effects, of 1 record");
    assert_eq!(ids(&finding), ["1"]);
    assert_eq!(only(&finding).note, "3 effects in the output topic");
}

#[test]
fn a_duplicate_in_the_log_is_shown_with_all_its_places_and_no_other_record_is() {
    let finding = finding(&calm().log("2", 2).log("2", 3).end(), "duplicate-in-log");
    assert_eq!(finding.message, "2 surplus places in the input log, of 1 record");
    let example = only(&finding);
    assert_eq!((example.id.as_deref(), example.tp.as_deref()), (Some("2"), Some("orders/0")));
    assert_eq!(example.key.as_deref(), Some("k"));
    assert_eq!((&example.offsets[..], example.note.as_str()), (&[1, 2, 3][..], "3 places in the input log"));
}

#[test]
fn what_nobody_sent_is_shown_where_it_stands() {
    let finding = finding(&calm().log("9", 5).end(), "unexpected");
    assert_eq!(finding.message, "1 record read that nobody sent, or with other bytes");
    let example = only(&finding);
    assert_eq!((&example.offsets[..], example.tp.as_deref()), (&[5][..], Some("orders/0")));
    assert_eq!(example.note, "never sent, yet in the input log");
}

#[test]
fn an_example_names_the_faults_that_were_in_force_and_a_fatal_finding_says_that_it_is() {
    let lost = |story: Story| finding(&story.invoke("3").ok("3", 2).end(), "lost-in-log");
    let quiet = lost(calm());
    assert_eq!(only(&quiet).faults, Vec::<String>::new());
    let cut = lost(calm().fault(Stage::Inject, "cut").fault(Stage::Confirmed, "cut"));
    assert_eq!(only(&cut).faults, ["cut"]);
    assert!(cut.fatal);
    assert!(!finding(&calm().effect("1", 2).end(), "duplicate-effect").fatal);
}

#[test]
fn of_many_the_first_five_are_shown_and_all_are_counted() {
    let lost = (3..10).fold(calm(), |story, id| story.invoke(&id.to_string()).ok(&id.to_string(), id - 1));
    let finding_of = |story: &Story, kind| {
        let finding = finding(story, kind);
        assert_eq!((finding.count, finding.examples.len()), (7, EXAMPLES), "{kind}: {}", finding.message);
        finding
    };
    assert_eq!(ids(&finding_of(&lost.end(), "lost-in-log")), ["3", "4", "5", "6", "7"]);

    let letters =
        (0..7).fold(Story::new().numbered(7), |story, at| story.dead_from(&(at + 1).to_string(), at, None, false));
    let letters = finding_of(&letters.end(), "dead-letter-incomplete");
    assert_eq!(letters.message, "7 dead letters without a promised header, or with a wrong origin");
    assert_eq!(ids(&letters), ["1", "2", "3", "4", "5"]);
    assert_eq!((&letters.examples[4].offsets[..], letters.examples[4].tp.as_deref()), (&[4][..], Some("orders.dlq/0")));

    let back = (3..11).rev().fold(Story::new().numbered(10), |story, offset| story.commit("a", offset));
    let back = finding_of(&back.end(), "commit-regression");
    let steps: Vec<&[i64]> = back.examples.iter().map(|example| &example.offsets[..]).collect();
    assert_eq!(steps, [[10, 9], [9, 8], [8, 7], [7, 6], [6, 5]]);
    assert_eq!(back.examples[0].note, "a: from 10 back to 9 at 0.041 s");

    let again = Story::new().numbered(7).assign("a").delivered("a", &[0, 1, 2, 3, 4, 5, 6]).revoke("a", Outcome::Ok);
    let again = again.assign("b").delivered("b", &[0, 1, 2, 3, 4, 5, 6]).end();
    let again = finding_of(&again, "redelivered");
    assert_eq!((ids(&again), again.examples[0].note.as_str()), (vec!["1", "2", "3", "4", "5"], "delivered 2 times"));

    let watermarks =
        (0..7).fold(Story::new().numbered(9).watermark(1, 9), |story, at| story.watermark(2 + at, 8 - i64::from(at)));
    let watermarks = finding_of(&watermarks.end(), "truncation");
    assert_eq!(watermarks.examples[0].offsets, [9, 8]);
    assert_eq!(watermarks.message, "7 times a leader had less than was acknowledged");
}

#[test]
fn of_displacements_the_widest_five_are_shown_widest_first() {
    let sent = [5, 10, 12, 15, 17, 18, 19, 20];
    let mut story = Story::new();
    for (offset, id) in (0..).zip(sent) {
        let id = id.to_string();
        story = story.invoke(&id).ok(&id, offset).log(&id, offset);
    }
    for (offset, id) in (0..).zip([20, 19, 10, 15, 12, 18, 17, 5]) {
        story = story.effect(&id.to_string(), offset);
    }
    let finding = finding(&story.end(), "reordered");
    assert_eq!(finding.message, "7 effects below an earlier one of their key, by up to 15");
    assert_eq!(ids(&finding), ["5", "10", "12", "15", "17"]);
    let first = &finding.examples[0];
    assert_eq!((&first.offsets[..], first.tp.as_deref()), (&[7][..], Some("orders.out/0")));
    assert_eq!(first.note, "effect of number 5 after that of number 20 of its key");
}

#[test]
fn a_commit_ahead_is_the_first_that_passed_the_record_and_not_an_earlier_one() {
    let story = Story::new().numbered(1).invoke("2").ok("2", 1).log("2", 1).commit("a", 1).commit("a", 2);
    let finding = finding(&story.at(600).effect("2", 1).end(), "commit-ahead");
    assert_eq!(finding.count, 1);
    let example = only(&finding);
    assert_eq!((example.id.as_deref(), &example.offsets[..]), (Some("2"), &[1][..]));
    assert_eq!(example.tp, Some(tp(0).to_string()));
    assert!(example.note.starts_with("2 was committed at 0.008 s"), "{}", example.note);
}

#[test]
fn a_loss_is_told_with_what_was_seen_of_the_record() {
    let lost = calm().invoke("3").ok("3", 2).invoke("4").ok("4", 3).deliver("4", 3).end();
    let in_log = finding(&lost, "lost-in-log");
    assert_eq!(in_log.message, "2 records acknowledged and gone from the log");
    let notes: Vec<&str> = in_log.examples.iter().map(|example| example.note.as_str()).collect();
    assert_eq!(
        notes,
        [
            "acknowledged, not in the log, no effect, no dead letter",
            "acknowledged and delivered to a member, then not in the log, no effect, no dead letter"
        ]
    );
    let lost = calm().invoke("3").ok("3", 2).log("3", 2).invoke("4").ok("4", 3).log("4", 3).deliver("4", 3).end();
    let in_app = finding(&lost, "lost-in-app");
    assert_eq!(in_app.message, "2 records in the log, committed past, without effect or dead letter");
    let notes: Vec<&str> = in_app.examples.iter().map(|example| example.note.as_str()).collect();
    assert_eq!(
        notes,
        [
            "the group committed past it, and no delivery of it was reported",
            "delivered and committed past, without effect or dead letter"
        ]
    );
}

#[test]
fn a_loss_within_its_budget_is_counted_and_one_more_is_fatal() {
    for (allowed, severity) in [(0, Severity::Fatal), (1, Severity::Counted), (2, Severity::Counted)] {
        let mut plan = plan();
        plan.budget.lost = allowed;
        let story = calm().planned(plan).invoke("3").ok("3", 2).log("3", 2).end();
        assert_eq!(finding(&story, "lost-in-app").severity, severity, "{allowed} allowed");
    }
}

#[test]
fn what_went_through_the_dead_letter_topic_is_told_apart_from_what_was_reordered() {
    let sent = ["1", "2", "3", "4", "5"];
    let story = (0..).zip(sent).fold(Story::new(), |s, (at, id)| s.invoke(id).ok(id, at).log(id, at));
    // 1 comes first of its key, 2 and 3 behind 4, and 5 in its turn: of these four two are late.
    let story = (0..).zip(["1", "4", "2", "3", "5"]).fold(story, |s, (at, id)| s.effect(id, at));
    let story = (0..).zip(["1", "2", "3", "5"]).fold(story, |s, (at, id)| s.dead(id, at));
    let told = "0 effects below an earlier one of their key, by up to 0; 2 more went through the dead-letter topic";
    assert_eq!(finding(&story.end(), "reordered").message, told);
    let none = "0 effects below an earlier one of their key, by up to 0";
    assert_eq!(finding(&calm().end(), "reordered").message, none);
}

#[test]
fn displacement_in_the_log_is_told_in_numbers_of_the_key() {
    let story = ["2", "4", "6"].into_iter().fold(Story::new(), |story, id| story.invoke(id));
    let story = (0..).zip(["6", "2", "4"]).fold(story, |s, (at, id)| s.ok(id, at).log(id, at).effect(id, at));
    let finding = finding(&story.end(), "reordered-in-log");
    assert_eq!(finding.message, "2 records in the log behind a later one of their key, by up to 4");
    assert_eq!(ids(&finding), ["2", "4"]);
    assert_eq!(finding.examples[0].note, "number 2 of its key behind number 6");
}

#[test]
fn a_look_is_stale_only_where_a_later_one_is_of_the_newer_epoch() {
    let count = |story: Story| finding(&story.end(), "truncation").count;
    let nine = || Story::new().numbered(9);
    assert_eq!(count(nine().watermark(1, 9).watermark(1, 5).watermark(1, 9)), 1, "one leader went back and forth");
    assert_eq!(count(nine().watermark(2, 9).watermark(1, 5)), 1, "the epoch itself went back");
    assert_eq!(count(nine().watermark(2, 9).watermark(1, 5).watermark(2, 9)), 0, "a deposed leader answered");
    // An acknowledgement that came with the look may not have been there when the leader answered.
    let at_once = |t| nine().watermark(1, 9).invoke("10").at(t).ok("10", 9).log("10", 9).effect("10", 9);
    let t = 9 * 4 + 100;
    assert_eq!(count(at_once(t).at(t).watermark(1, 10).watermark(2, 9)), 1);
    assert_eq!(count(at_once(t).at(t - 1).watermark(1, 10).at(t).watermark(2, 9)), 0);
}

#[test]
fn what_is_undetermined_says_what_was_missing() {
    let only_note = |story: &Story| only(&finding(story, "undetermined")).note.clone();
    let reads = |story: Story, input, output| {
        let story = story.read(tp(0), 0, input, Outcome::Fail).read(out(0), 0, 9, output);
        story.read(dlq(0), 0, 0, Outcome::Ok)
    };
    let unread = reads(calm().invoke("3").ok("3", 2).commit("group", 3), 2, Outcome::Ok);
    assert_eq!(only_note(&unread), "the final read did not come as far");
    let uncommitted = reads(calm().invoke("3").ok("3", 2).log("3", 2).commit("group", 2), 3, Outcome::Ok);
    assert_eq!(only_note(&uncommitted), "the group has not committed past it");
    let delivered = reads(calm().invoke("3").ok("3", 2).deliver("3", 2).commit("group", 2), 2, Outcome::Ok);
    assert_eq!(only_note(&delivered), "the group has not committed past it");
    let short = reads(calm().invoke("3").ok("3", 2).log("3", 2).commit("group", 3), 3, Outcome::Fail);
    assert_eq!(only_note(&short), "output or dead-letter topic was not read to its end");
}

#[test]
fn what_nobody_sent_says_where_it_was_seen_and_nowhere_else() {
    let note = |story: Story| only(&finding(&story.end(), "unexpected")).note.clone();
    assert_eq!(note(calm().deliver("9", 5)), "never sent, yet in a delivery");
    assert_eq!(note(calm().effect("9", 5)), "never sent, yet in the output topic");
    assert_eq!(note(calm().dead("9", 0)), "never sent, yet in the dead-letter topic");
    let everywhere = calm().log("9", 2).deliver("9", 2).effect("9", 2).dead("9", 0);
    let told = "never sent, yet in the input log, a delivery, the output topic, the dead-letter topic";
    assert_eq!(note(everywhere), told);
}

/// Sent to `orders/0`, acknowledged without an offset, and found in `orders/1`.
fn elsewhere(story: Story, id: &str, offset: i64) -> Story {
    story.invoke(id).ok_somewhere(id).log_in(tp(1), id, offset, true)
}

#[track_caller]
fn shows(story: &Story, kind: &str, id: &str, offset: i64) -> Example {
    let finding = finding(story, kind);
    let example = only(&finding);
    let seen = (example.id.as_deref(), example.tp.as_deref(), &example.offsets[..]);
    assert_eq!(seen, (Some(id), Some("orders/1"), &[offset][..]), "{kind}");
    example.clone()
}

#[test]
fn a_case_is_shown_where_it_was_seen_with_the_faults_of_that_moment() {
    let r#type = Outcome::Ok;
    let commit = Op::Commit { r#type, tp: tp(1), offset: 9, error: None };
    shows(&elsewhere(calm(), "3", 8).by("a", commit).at(900).effect("3", 2), "commit-ahead", "3", 8);
    let sent = calm().invoke("3").invoke("4");
    shows(&sent.log_in(tp(1), "4", 5, true).log_in(tp(1), "3", 6, true), "reordered-in-log", "3", 6);
    shows(&elsewhere(elsewhere(calm(), "3", 7), "4", 7), "inconsistent-offset", "3", 7);

    let sent = (3..6).fold(calm(), |story, id| elsewhere(story, &id.to_string(), id));
    let sent = sent.by("a", Op::Assign { r#type, tps: vec![tp(1)], generation: None }).fault(Stage::Confirmed, "cut");
    let deliver =
        |story: Story, offset: i64| story.by("a", Op::Deliver { r#type, id: offset.to_string(), tp: tp(1), offset });
    // What was passed over, and not the delivery that passed it.
    let skipped = shows(&deliver(deliver(sent.clone(), 3), 5), "poll-skip", "4", 4);
    assert_eq!((skipped.faults, skipped.note.as_str()), (vec!["cut".to_owned()], "a was delivered 3, then 5"));
    let back = shows(&deliver(deliver(sent, 4), 3), "nonmonotonic-poll", "3", 3);
    assert_eq!((back.faults, back.note.as_str()), (vec!["cut".to_owned()], "after offset 4"));
}

#[test]
fn what_goes_back_is_shown_with_its_topic_partition_and_the_faults_of_that_moment() {
    let cut = |story: Story| story.fault(Stage::Confirmed, "cut");
    let nine = || Story::new().numbered(9);
    let commit = cut(nine().commit("a", 9)).commit("a", 8).end();
    let leader = cut(nine().watermark(1, 9)).watermark(2, 8).end();
    for (story, kind) in [(commit, "commit-regression"), (leader, "truncation")] {
        let finding = finding(&story, kind);
        let example = only(&finding);
        assert_eq!((example.tp.as_deref(), &example.offsets[..]), (Some("orders/0"), &[9, 8][..]), "{kind}");
        assert_eq!(example.faults, ["cut"], "{kind}");
    }
}

#[test]
fn a_doubt_of_the_run_says_of_what() {
    let unread = finding(&calm().end().read(tp(3), 0, 0, Outcome::Fail), "final-read-truncated");
    assert_eq!(
        (unread.message.as_str(), only(&unread).tp.as_deref()),
        ("orders/3 was not read to its end", Some("orders/3"))
    );
    let open = calm().fault(Stage::Confirmed, "cut").fault(Stage::Heal, "cut").end();
    let unfelt = Sim::new(1).story();
    let ill = Sim { sends: vec![(0, 3_000, 4_000)], faults: Vec::new(), ..Sim::new(1) }.fault_plans(Vec::new()).story();
    for (story, kind, start) in [
        (open, "heal-unconfirmed", "cut: its removal was ordered and never confirmed"),
        (unfelt, "fault-without-effect", "cut: "),
        (ill, "baseline-unhealthy", "orders/0 "),
    ] {
        let finding = finding(&story, kind);
        assert_eq!(only(&finding).note, finding.message);
        assert!(finding.message.starts_with(start), "{}", finding.message);
    }
}
