//! Members that share a group, and records that are handled at the same time.

use super::*;

#[rstest]
#[case::cooperative(&[("session.timeout.ms", "6000")])]
#[case::eager(&[("session.timeout.ms", "6000"), ("partition.assignment.strategy", "range")])]
#[case::new_protocol(&[("group.protocol", "consumer")])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joining_and_a_leaving_member_lose_no_records(#[case] overrides: &[(&str, &str)]) {
    let mock = Mock::start(TOPICS);
    let logs = [Log::new(), Log::new()];
    let assigned = |log: &Arc<Log>| log.count(|e| matches!(e, Event::Assign(tps) if !tps.is_empty()));
    let member = |log: &Arc<Log>| {
        let builder = consumer(&mock, log).overrides(properties(overrides));
        Member::start(builder, handler(|record, _| echo(record)))
    };
    let (source, enough) = (producer(&mock), CancellationToken::new());
    let until_enough = enough.clone();
    let load = tokio::spawn(async move {
        for i in 0.. {
            if until_enough.is_cancelled() {
                return i;
            }
            source.send(Record::to("in").key(format!("k{}", i % 7)).payload(i.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("it ends when there is enough")
    });
    let first = member(&logs[0]);
    until("the first member's share", || assigned(&logs[0]) > 0).await;
    let second = member(&logs[1]);
    until("effects of the second", || logs[1].count(|e| matches!(e, Event::Deliver(..))) > 0).await;
    first.leave().await;
    let alone = logs[1].events().len();
    until("the second takes over", || logs[1].events()[alone..].iter().any(|e| matches!(e, Event::Assign(_)))).await;
    enough.cancel();
    let sent: u64 = load.await.unwrap();
    let distinct = || {
        let mut values = values(&mock, "out");
        values.dedup();
        values
    };
    until("all effects", || mock.count("out") >= sent as i64 && distinct().len() as u64 >= sent).await;
    second.leave().await;
    assert_eq!(distinct(), (0..sent).collect::<Vec<_>>());
    mock.assert_all_committed("g", "in");
}

/// Lets nobody through until two records were in the handler at once; notes which key's records overlap.
struct Together {
    inside: Mutex<Vec<String>>,
    met: tokio::sync::watch::Sender<bool>,
    overlaps: AtomicU32,
}

impl Handler for Together {
    async fn handle(&self, record: &Incoming, _: u32) -> Result<Vec<Record>, HandlerError> {
        let key = text(&record.key);
        {
            let mut inside = self.inside.lock().unwrap();
            self.overlaps.fetch_add(u32::from(inside.contains(&key)), Ordering::Relaxed);
            inside.push(key.clone());
            if inside.len() > 1 {
                self.met.send_replace(true);
            }
        }
        self.met.subscribe().wait_for(|met| *met).await.unwrap();
        tokio::task::yield_now().await;
        let mut inside = self.inside.lock().unwrap();
        let place = inside.iter().position(|other| *other == key).unwrap();
        inside.swap_remove(place);
        echo(record)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_different_keys_are_handled_together_and_those_of_one_key_in_order() {
    let mock = Mock::start(&[("in", 1), ("out", 1), ("in.dlq", 1)]);
    fill(&mock, 300, 8).await;
    let log = Log::new();
    let handler =
        Together { inside: Mutex::default(), met: tokio::sync::watch::Sender::new(false), overlaps: AtomicU32::new(0) };
    let handler = Arc::new(handler);
    let stop = CancellationToken::new();
    let running = consumer(&mock, &log).concurrency(6).build().run(Arc::clone(&handler), stop.clone());
    let task = tokio::spawn(running);
    until("300 effects", || mock.count("out") >= 300).await;
    Member { stop, task }.leave().await;
    assert_eq!(values(&mock, "out"), (0..300).collect::<Vec<_>>(), "each once");
    assert_eq!(handler.overlaps.load(Ordering::Relaxed), 0, "two records of one key at once");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for effect in mock.read("out") {
        let value: u64 = text(&effect.payload).parse().unwrap();
        let before = last.insert(text(&effect.key), value);
        assert!(before < Some(value), "{before:?} before {value}");
    }
    mock.assert_all_committed("g", "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_concurrency_nothing_behind_an_unfinished_record_is_committed() {
    let mock = Mock::start(&[("in", 1), ("out", 1), ("in.dlq", 1)]);
    fill(&mock, 40, 8).await;
    let log = Log::new();
    let work = handler(|record, _| match text(&record.payload).as_str() {
        "5" => Err(HandlerError::retriable("never")),
        _ => echo(record),
    });
    let member = Member::start(consumer(&mock, &log).concurrency(8), work);
    // Those of its own key, and of keys that share its task, wait behind it.
    until("effects of other keys", || values(&mock, "out").iter().any(|value| *value > 5)).await;
    member.leave().await;
    assert!(mock.committed("g", "in")[&0] <= 5, "{:?}", mock.committed("g", "in"));

    let again = Member::start(consumer(&mock, &log).concurrency(8), handler(|record, _| echo(record)));
    until("all effects", || (0..40).all(|value| values(&mock, "out").contains(&value))).await;
    again.leave().await;
    mock.assert_all_committed("g", "in");
}
