use super::*;

/// What a queue holds: offsets, or the codes of errors.
struct Script(VecDeque<Result<i64, i32>>);

impl Source for Script {
    fn take(&mut self, most: usize, next: &mut i64, batch: &mut Batch) {
        while batch.records().len() < most {
            match self.0.pop_front() {
                Some(Ok(offset)) if offset >= *next => {
                    *next = offset + 1;
                    *batch.add() = record(offset);
                }
                Some(Ok(_)) => {}
                Some(Err(code)) => batch.errors.push(code),
                None => return,
            }
        }
    }
}

fn record(offset: i64) -> Incoming {
    Incoming { offset, ..Incoming::blank() }
}

fn lane(fetched: &[Result<i64, i32>]) -> (Lane, mpsc::Receiver<Report>) {
    let (reports, told) = mpsc::channel();
    let source = Box::new(Script(fetched.iter().copied().collect()));
    let tp = TopicPartition::new("t", 0);
    (Lane::new(tp, source, Arc::default(), Arc::default(), reports, Waker::of_this_thread()), told)
}

fn offsets(lane: &Lane, most: usize) -> Vec<i64> {
    let mut batch = Batch::default();
    let some = lane.take(most, &mut batch);
    assert_eq!(some, !batch.is_empty());
    batch.records().iter().map(|record| record.offset).collect()
}

#[test]
fn no_more_is_taken_than_asked_for() {
    let (lane, _told) = lane(&[Ok(0), Ok(1), Ok(2), Ok(3)]);
    assert_eq!(offsets(&lane, 3), [0, 1, 2]);
    assert_eq!(offsets(&lane, 3), [3]);
    assert!(offsets(&lane, 3).is_empty());
}

#[test]
fn a_record_that_came_another_way_is_taken_once_and_before_those_behind_it() {
    let (lane, _told) = lane(&[Ok(5), Ok(6), Ok(9)]);
    lane.stray(record(4));
    lane.stray(record(5));
    assert_eq!(offsets(&lane, 10), [4, 5]);
    assert_eq!(offsets(&lane, 10), [6, 9], "offsets may have gaps");
    lane.stray(record(9));
    assert!(offsets(&lane, 10).is_empty());
}

#[test]
fn nothing_is_taken_once_the_task_is_to_stop_or_the_queue_is_gone() {
    let (stopped, _told) = lane(&[Ok(0)]);
    stopped.stop();
    assert!(offsets(&stopped, 10).is_empty());
    let (closed, _told) = lane(&[Ok(0)]);
    closed.close();
    assert!(offsets(&closed, 10).is_empty());
}

#[test]
fn an_error_between_records_is_told_to_the_polling_thread() {
    let (lane, told) = lane(&[Ok(0), Err(29), Ok(1)]);
    assert_eq!(offsets(&lane, 10), [0, 1]);
    assert!(matches!(told.try_iter().collect::<Vec<_>>()[..], [Report::Error(29)]));
}

#[test]
fn the_polling_thread_is_told_of_progress_once_until_it_looks() {
    let (lane, _told) = lane(&[]);
    let waker = lane.waker.clone();
    assert!(!waker.has_progress());
    lane.finish(0);
    lane.finish(1);
    assert!(waker.has_progress());
    waker.take_progress();
    assert!(!waker.has_progress());
    lane.finish(2);
    assert!(waker.has_progress());
    assert_eq!(lane.finished(), 3);
}

#[test]
fn the_memory_of_a_record_is_used_again_unless_it_was_big() {
    let mut batch = Batch::default();
    for bytes in [100, 1_000_000] {
        *batch.add() = Incoming { payload: Some(Vec::with_capacity(bytes)), ..Incoming::blank() };
    }
    batch.clear();
    assert!(batch.is_empty());
    let mut capacity = || batch.add().payload.as_ref().map(Vec::capacity);
    assert_eq!([capacity(), capacity()], [Some(100), None]);
}
