use std::sync::Mutex;

use super::*;
use crate::resilience::consumer::queue::Nothing;

type Lanes = Arc<Mutex<Vec<Arc<Lane>>>>;

fn assignment() -> (Assignment, Lanes) {
    let lanes = Lanes::default();
    let made = Arc::clone(&lanes);
    let spawn: Spawn = Arc::new(move |lane| {
        made.lock().unwrap().push(lane);
        tokio::spawn(std::future::pending::<()>()).abort_handle()
    });
    (Assignment::new(spawn, Waker::of_this_thread()), lanes)
}

fn opened(tp: &TopicPartition) -> Opened {
    (tp.clone(), Box::new(Nothing), Arc::default())
}

#[tokio::test]
async fn an_offset_is_stored_once_and_offered_until_committed() {
    let (mut assignment, lanes) = assignment();
    let tp = TopicPartition::new("t", 0);
    assignment.add(vec![opened(&tp)]);
    assert!(assignment.storable().is_empty());
    lanes.lock().unwrap()[0].finish(7);
    assert_eq!(assignment.storable(), [(tp.clone(), 8)]);
    assert!(assignment.storable().is_empty());
    assert_eq!(assignment.uncommitted(std::slice::from_ref(&tp)), [(tp.clone(), 8)]);
    assignment.note_committed(&tp, 8);
    assert!(assignment.uncommitted(&[tp]).is_empty());
}

#[tokio::test]
async fn draining_returns_as_soon_as_the_tasks_ended_and_names_the_late_ones() {
    let (mut assignment, lanes) = assignment();
    let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    assignment.add(vec![opened(&a), opened(&b)]);
    lanes.lock().unwrap()[0].end();
    assert!(assignment.drain(std::slice::from_ref(&a), Duration::from_secs(600)).is_empty());
    assert_eq!(assignment.drain(&[a, b.clone()], Duration::from_millis(5)), [b]);
}

#[tokio::test]
async fn what_a_task_tells_is_read_once() {
    let (mut assignment, lanes) = assignment();
    assignment.add(vec![opened(&TopicPartition::new("t", 0))]);
    lanes.lock().unwrap()[0].report(Report::Error(3));
    assert!(matches!(assignment.reports()[..], [Report::Error(3)]));
    assert!(assignment.reports().is_empty());
}
