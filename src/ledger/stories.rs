//! What the ledger says of a record, story by story.

use crate::history::story::{Story, ms, out, tp};
use crate::history::{Op, Outcome};
use crate::plan::TopicPartition;

use super::{Ledger, Row, Sent};

fn ledger(story: Story) -> Ledger {
    Ledger::of(&story.history())
}

fn row<'l>(ledger: &'l Ledger, id: &str) -> Row<'l> {
    ledger.find(id).unwrap()
}

/// Acknowledged at an offset, where the sender may not say of which topic partition.
fn acked(story: Story, id: &str, tp: Option<TopicPartition>, offset: i64) -> Story {
    let (r#type, id) = (Outcome::Ok, id.to_owned());
    let offset = Some(offset);
    story.event(Op::Send { r#type, id, tp, key: None, seq: None, due: None, poison: false, offset, error: None })
}

#[test]
fn the_acknowledged_offset_is_the_first_whatever_came_later_and_whether_the_log_holds_it_or_not() {
    let twice = |story: Story, id: &str, first: i64, then: i64| story.invoke(id).ok(id, first).ok(id, then);
    let story = twice(twice(Story::new(), "1", 5, 3), "2", 6, 8);
    let unseen = ledger(story.clone());
    let seen = ledger(story.log("1", 3).log("2", 8));
    for ledger in [unseen, seen] {
        assert_eq!((row(&ledger, "1").offset(), row(&ledger, "2").offset()), (Some(5), Some(6)));
    }
    let ledger = ledger(acked(acked(Story::new().info("1"), "1", None, 4), "1", None, 2).invoke("2"));
    assert_eq!((row(&ledger, "1").offset(), row(&ledger, "2").offset()), (Some(4), None));
    assert_eq!(ledger.first_acks().collect::<Vec<_>>(), [(0, 4, None)]);
    assert!(!row(&self::ledger(Story::new().invoke("1").ok_somewhere("1")), "1").placed());
}

#[test]
fn the_acknowledged_offset_is_found_in_another_topic_partition_than_the_latest_attempt_s() {
    let story = Story::new().invoke("1").ok("1", 7).log("1", 7);
    let ledger = ledger(story.invoke_as("1", 1, "k", None, false).invoke_as("2", 1, "k", None, false).log_in(
        tp(1),
        "2",
        0,
        true,
    ));
    assert_eq!((row(&ledger, "1").offset(), row(&ledger, "2").offset()), (Some(7), None));
    assert_eq!(row(&ledger, "1").tp().map(|own| ledger.tps.name(own).clone()), Some(tp(1)));
}

#[test]
fn a_record_was_served_when_its_first_effect_or_dead_letter_was_appended() {
    let effect = |story: Story, offset, t| story.effect_in(out(0), "1", offset, t, None);
    let sent = || Story::new().invoke("1");
    let at = |story: Story| row(&ledger(story), "1").served_at();
    assert_eq!(at(effect(effect(sent(), 0, Some(ms(70))), 1, Some(ms(50)))), Some(ms(50)));
    assert_eq!(at(effect(effect(sent(), 0, Some(ms(50))), 1, Some(ms(70)))), Some(ms(50)));
    assert_eq!(at(effect(effect(sent(), 0, None), 1, Some(ms(60)))), Some(ms(60)));
    assert_eq!(at(effect(sent(), 0, Some(ms(60))).at(40).dead("1", 0)), Some(ms(40)));
    assert_eq!(at(effect(sent(), 0, None)), None);
}

#[test]
fn error_classes_are_counted_by_dead_letter() {
    let story = Story::new().dead_of("1", 0, "a").dead_of("2", 1, "b").dead_of("3", 2, "b").dead("4", 3);
    // The same place, read again.
    let ledger = ledger(story.dead_of("3", 2, "b"));
    let counts: Vec<(String, u64)> = ledger.error_classes().into_iter().collect();
    assert_eq!(counts, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}

#[test]
fn a_delivery_belongs_to_an_assignment_until_it_is_revoked_or_the_member_ends() {
    let skips = |end: fn(Story) -> Story| {
        let story = end(Story::new().numbered(5).assign("a").delivered("a", &[0, 1]));
        ledger(story.delivered("a", &[3])).polls.skips.len()
    };
    assert_eq!(skips(|story| story), 1);
    assert_eq!(skips(|story| story.revoke("a", Outcome::Ok)), 0);
    assert_eq!(skips(|story| story.revoke("a", Outcome::Fail)), 0);
    assert_eq!(skips(|story| story.revoke("b", Outcome::Ok)), 1);
    assert_eq!(skips(|story| story.signal("a", "member-exit", "signal: 9".into())), 0);
    assert_eq!(skips(|story| story.signal("b", "member-exit", "signal: 9".into())), 1);
    assert_eq!(skips(|story| story.signal("a", "retry", 1.into())), 1);
}

#[test]
fn every_delivery_is_counted_and_the_row_of_each_record_is_one() {
    assert!(Ledger::default().is_empty());
    let ledger = ledger(Story::new().numbered(3).delivered("a", &[0, 1, 1, 1, 2]));
    assert_eq!((ledger.delivered, ledger.len(), ledger.keys(), ledger.is_empty()), (5, 3, 1, false));
    let again: Vec<(i64, u64)> = ledger.redelivered().map(|(place, n)| (place.offset, n)).collect();
    assert_eq!(again, [(1, 3)]);
    assert!([0, 1, 2].iter().all(|offset| ledger.was_delivered(ledger.tps.find(&tp(0)).unwrap(), *offset)));
}

#[test]
fn a_place_is_shared_by_all_that_were_read_or_acknowledged_there_and_by_no_neighbour() {
    let shared = |story: Story| {
        let ledger = ledger(story);
        let ids =
            |rows: Vec<u32>| -> Vec<String> { rows.iter().map(|row| ledger.row(*row).id().into_owned()).collect() };
        let places = ledger.shared_places().into_iter();
        places.map(|((tp, offset), rows)| (ledger.tps.name(tp).to_string(), offset, ids(rows))).collect::<Vec<_>>()
    };
    let place = |tp: &str, offset, ids: &[&str]| (tp.to_owned(), offset, ids.iter().map(|id| (*id).into()).collect());
    let five = || Story::new().numbered(5);
    assert_eq!(shared(five().dead("1", 0).dead("2", 1).dead("3", 2)), []);
    let letters = five().dead("1", 0).dead("2", 1).dead("3", 1).dead("3", 1).dead("4", 2);
    assert_eq!(shared(letters), [place("orders.dlq/0", 1, &["2", "3"])]);
    assert_eq!(shared(five().ok("2", 3)), [place("orders/0", 3, &["2", "4"])]);
    assert_eq!(
        shared(five().effect("1", 2).deliver("5", 0)),
        [place("orders/0", 0, &["1", "5"]), place("orders.out/0", 2, &["1", "3"]),]
    );
}

#[test]
fn one_open_attempt_outweighs_failed_ones_and_an_acknowledged_one_both() {
    let sent = |story: Story| row(&ledger(story), "1").sent();
    let new = Story::new;
    assert_eq!(sent(new().log("1", 0)), Sent::Never);
    assert_eq!(sent(new().invoke("1")), Sent::Indeterminate);
    assert_eq!(sent(new().info("1")), Sent::Indeterminate);
    assert_eq!(sent(new().invoke("1").fail("1")), Sent::Failed);
    assert_eq!(sent(new().invoke("1").fail("1").invoke("1")), Sent::Indeterminate);
    assert_eq!(sent(new().invoke("1").info("1").fail("1")), Sent::Indeterminate);
    assert_eq!(sent(new().invoke("1").info("1").fail("1").ok("1", 0)), Sent::Acked);
}

#[test]
fn a_record_is_found_in_the_log_or_by_what_was_made_of_it() {
    let found = |story: Story| (row(&ledger(story.clone()), "1").found(), row(&ledger(story), "1").handled());
    let sent = || Story::new().invoke("1");
    assert_eq!(found(sent()), (false, false));
    assert_eq!(found(sent().deliver("1", 0)), (false, false));
    assert_eq!(found(sent().log("1", 0)), (true, false));
    assert_eq!(found(sent().effect("1", 0)), (true, true));
    assert_eq!(found(sent().dead("1", 0)), (true, true));
}
