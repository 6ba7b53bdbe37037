//! The bugs on purpose do what they are for.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_committing_before_processing_commits_first() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::CommitBeforeProcessing)),
        handler(|_, _| Err(HandlerError::retriable("never"))),
    );
    until("a delivery", || log.count(|e| matches!(e, Event::Deliver(..))) > 0).await;
    until("commits", || log.count(|e| matches!(e, Event::Commit(_, 3, Ok(())))) > 0).await;
    member.leave().await;
    assert_eq!(mock.count("out"), 0);
    assert_eq!(mock.committed("g", "in").values().max(), Some(&3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_dropping_on_exhaustion_loses_the_record() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::DropOnExhaustion)),
        handler(
            |record, _| if text(&record.payload) == "1" { Err(HandlerError::retriable("down")) } else { echo(record) },
        ),
    );
    until("2 effects", || mock.count("out") >= 2).await;
    member.leave().await;
    assert_eq!((values(&mock, "out"), mock.count("in.dlq")), (vec![0, 2], 0));
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_seeking_to_the_end_leaves_out_what_waited() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    let log = Log::new();
    let member =
        Member::start(consumer(&mock, &log).defect(Some(Defect::SeekToEnd)), handler(|record, _| echo(record)));
    // Where the end is gets known some time after the assignment: one record after another, until one comes behind it.
    let mut sent = 3;
    while log.count(|e| matches!(e, Event::Deliver(..))) == 0 {
        fill(&mock, 1, 1).await;
        sent += 1;
        assert!(sent < 1_000, "nothing is delivered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    member.leave().await;
    let first = log.events().into_iter().find_map(|e| match e {
        Event::Deliver(_, offset) => Some(offset),
        _ => None,
    });
    assert!(first >= Some(3), "{first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defect_of_an_unawaited_dead_letter_loses_a_failed_one() {
    let mock = Mock::start(TOPICS);
    fill(&mock, 3, 1).await;
    mock.fail_produce(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    let log = Log::new();
    let member = Member::start(
        consumer(&mock, &log).defect(Some(Defect::UnawaitedDeadLetter)),
        handler(
            |record, _| if text(&record.payload) == "0" { Err(HandlerError::permanent("bad")) } else { Ok(vec![]) },
        ),
    );
    until("a commit of all", || log.count(|e| matches!(e, Event::Commit(_, 3, Ok(())))) > 0).await;
    member.leave().await;
    assert_eq!(mock.count("in.dlq"), 0);
}
