//! Chains without sockets: the time is told, so every fact here is exact.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::proxy::Stream;
use crate::proxy::server::toxic::Kind;

const MS: Duration = Duration::from_millis(1);

fn connection(seed: u64, number: u64) -> Identity {
    Identity { seed, proxy: "broker-1".into(), number }
}

fn toxic(id: u64, kind: Kind) -> Arc<Toxic> {
    let name = format!("{}-{id}", kind.name());
    Arc::new(Toxic { id, revision: 0, name, stream: Stream::Downstream, toxicity: 1.0, kind })
}

fn revised(toxic: &Toxic, kind: Kind) -> Arc<Toxic> {
    Arc::new(Toxic { revision: toxic.revision + 1, kind, ..toxic.clone() })
}

fn data(len: usize, at: Instant) -> Item {
    Item::Data((0..len).map(|i| i as u8).collect::<Bytes>(), at)
}

/// Everything that comes out until nothing is due any more, each with its time since `start`; time passes only to the
/// next due time.
fn run(chain: &mut Chain, start: Instant) -> Vec<(Duration, Item)> {
    let (mut now, mut out) = (start, Vec::new());
    loop {
        while let Some(item) = chain.next(now) {
            let ended = matches!(item, Item::End(_));
            out.push((now - start, item));
            if ended {
                return out;
            }
        }
        match chain.due() {
            Some(due) => {
                assert!(due > now, "what is due by now has left: {due:?}, now is {now:?}");
                now = due;
            }
            None => return out,
        }
    }
}

fn bytes_of(items: &[(Duration, Item)]) -> Vec<u8> {
    let bytes = items.iter().filter_map(|(_, item)| if let Item::Data(bytes, _) = item { Some(bytes) } else { None });
    bytes.flatten().copied().collect()
}

fn times(items: &[(Duration, Item)]) -> Vec<Duration> {
    items.iter().map(|(at, _)| *at).collect()
}

/// The delays of `count` chunks that come 1 s apart under `latency` with `jitter`.
fn delays(seed: u64, number: u64, count: u32, latency: u64, jitter: u64) -> Vec<Duration> {
    let start = Instant::now();
    let toxics = [toxic(1, Kind::Latency { latency, jitter })];
    let mut chain = Chain::new(connection(seed, number), &toxics, start);
    let came = |i: u32| start + Duration::from_secs(1) * i;
    (0..count).for_each(|i| chain.feed(data(1, came(i))));
    run(&mut chain, start).iter().zip(0..).map(|((at, _), i)| start + *at - came(i)).collect()
}

#[test]
fn without_toxics_everything_leaves_as_it_came() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[], start);
    assert!(chain.is_clear());
    chain.feed(data(10, start));
    chain.feed(Item::End(End::Half));
    assert_eq!(run(&mut chain, start), [(Duration::ZERO, data(10, start)), (Duration::ZERO, Item::End(End::Half))]);
}

#[test]
fn latency_counts_from_when_the_bytes_came_and_two_in_a_row_add_up() {
    let start = Instant::now();
    let toxics = [100, 50].map(|latency| toxic(latency, Kind::Latency { latency, jitter: 0 }));
    let mut chain = Chain::new(connection(1, 1), &toxics, start);
    chain.feed(data(1, start));
    chain.feed(data(2, start + 30 * MS));
    assert_eq!(times(&run(&mut chain, start)), [150 * MS, 180 * MS]);
}

#[test]
fn jitter_follows_from_the_seed_and_the_connection() {
    let first = delays(7, 1, 50, 200, 50);
    assert_eq!(first, delays(7, 1, 50, 200, 50));
    assert_ne!(first, delays(8, 1, 50, 200, 50), "another seed");
    assert_ne!(first, delays(7, 2, 50, 200, 50), "another connection");
}

#[test]
fn a_low_latency_with_a_high_jitter_never_delays_by_less_than_nothing() {
    let delays = delays(3, 1, 200, 10, 400);
    assert!(delays.iter().any(Duration::is_zero) && delays.iter().any(|d| *d > 300 * MS), "{delays:?}");
}

#[test]
fn bytes_keep_their_order_whatever_the_jitter() {
    let start = Instant::now();
    let toxics = [toxic(1, Kind::Latency { latency: 50, jitter: 50 })];
    let mut chain = Chain::new(connection(5, 1), &toxics, start);
    let sent: Vec<u8> = (0..100).collect();
    sent.iter().for_each(|byte| chain.feed(Item::Data(vec![*byte].into(), start)));
    assert_eq!(bytes_of(&run(&mut chain, start)), sent);
}

#[test]
fn a_line_of_10_kilobytes_a_second_carries_3500_bytes_in_pieces_over_350_ms() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Bandwidth { rate: 10 })], start);
    chain.feed(data(3_500, start));
    let out = run(&mut chain, start);
    assert_eq!(times(&out), [100 * MS, 200 * MS, 300 * MS, 350 * MS]);
    assert_eq!(bytes_of(&out).len(), 3_500);
}

#[test]
fn a_line_that_was_idle_has_not_saved_up_anything() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Bandwidth { rate: 10 })], start);
    chain.feed(data(500, start));
    assert_eq!(times(&run(&mut chain, start)), [50 * MS]);
    let later = start + 1_000 * MS;
    assert_eq!(chain.next(later), None);
    chain.feed(data(500, later));
    assert_eq!(times(&run(&mut chain, later)), [50 * MS]);
}

#[test]
fn a_stalled_line_holds_bytes_until_the_toxic_is_gone_and_makes_the_source_wait() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Bandwidth { rate: 0 })], start);
    for _ in 0..10 {
        chain.feed(data(32 * 1024, start));
    }
    assert_eq!(chain.next(start + 3_600_000 * MS), None);
    assert!(!chain.wants_more(), "TCP's own back-pressure does the rest");
    assert_eq!(chain.due(), None);
    chain.apply(&[], start + MS);
    assert_eq!(bytes_of(&run(&mut chain, start + MS)).len(), 10 * 32 * 1024);
    assert!(chain.is_clear());
}

#[test]
fn an_end_overtakes_nothing() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Bandwidth { rate: 1 })], start);
    chain.feed(data(50, start));
    chain.feed(Item::End(End::Half));
    let out = run(&mut chain, start);
    assert_eq!(out.last(), Some(&(50 * MS, Item::End(End::Half))));
}

#[test]
fn a_slow_close_delays_the_end_and_nothing_else() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::SlowClose { delay: 700 })], start);
    chain.feed(data(5, start));
    chain.feed(Item::End(End::Half));
    assert_eq!(times(&run(&mut chain, start)), [Duration::ZERO, 700 * MS]);
}

#[test]
fn a_removed_slow_close_closes_at_once() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::SlowClose { delay: 700 })], start);
    chain.feed(Item::End(End::Half));
    assert_eq!(chain.next(start), None);
    chain.apply(&[], start + MS);
    assert_eq!(chain.next(start + MS), Some(Item::End(End::Half)));
}

#[test]
fn a_timeout_swallows_bytes_and_closes_on_time_however_many_come() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Timeout { timeout: 500 })], start);
    for i in 0..4 {
        chain.feed(data(5, start + 100 * MS * i));
        assert_eq!(chain.next(start + 100 * MS * i), None);
    }
    assert_eq!(run(&mut chain, start), [(500 * MS, Item::End(End::Closed))]);
}

#[test]
fn a_timeout_of_0_never_closes_but_its_removal_does() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::Timeout { timeout: 0 })], start);
    chain.feed(data(5, start));
    assert_eq!((chain.next(start + 3_600_000 * MS), chain.due()), (None, None));
    chain.apply(&[], start + MS);
    assert_eq!(chain.next(start + MS), Some(Item::End(End::Closed)));
}

#[test]
fn a_stream_that_lost_bytes_does_not_go_on_when_the_timeout_spares_it_from_now_on() {
    let start = Instant::now();
    let timeout = toxic(1, Kind::Timeout { timeout: 0 });
    let spared = Arc::new(Toxic { revision: 1, toxicity: 0.0, ..Toxic::clone(&timeout) });
    let mut chain = Chain::new(connection(1, 1), std::slice::from_ref(&timeout), start);
    chain.feed(data(5, start));
    assert_eq!(chain.next(start), None);
    chain.apply(std::slice::from_ref(&spared), start);
    assert_eq!(chain.next(start), Some(Item::End(End::Closed)));

    let mut untouched = Chain::new(connection(1, 1), &[timeout], start);
    untouched.apply(&[spared], start);
    untouched.feed(data(5, start));
    assert_eq!(untouched.next(start), Some(data(5, start)), "no byte was lost");
}

#[test]
fn a_reset_comes_on_time_whatever_waits_before_or_behind_it() {
    let start = Instant::now();
    let kinds = [Kind::Bandwidth { rate: 0 }, Kind::ResetPeer { timeout: 300 }, Kind::Bandwidth { rate: 0 }];
    let toxics: Vec<_> = kinds.into_iter().zip(1..).map(|(kind, id)| toxic(id, kind)).collect();
    let mut chain = Chain::new(connection(1, 1), &toxics, start);
    chain.feed(data(5, start));
    assert_eq!(run(&mut chain, start), [(300 * MS, Item::End(End::Reset))]);
}

#[test]
fn a_reset_that_was_called_off_has_lost_nothing() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::ResetPeer { timeout: 300 })], start);
    chain.feed(data(5, start));
    assert_eq!(chain.next(start + 299 * MS), None);
    chain.apply(&[], start + 299 * MS);
    assert_eq!(chain.next(start + 299 * MS), Some(data(5, start)));
}

#[test]
fn limit_data_lets_exactly_so_many_bytes_through_and_closes() {
    let start = Instant::now();
    let mut chain = Chain::new(connection(1, 1), &[toxic(1, Kind::LimitData { bytes: 7 })], start);
    chain.feed(data(5, start));
    assert_eq!(chain.next(start), Some(data(5, start)));
    assert_eq!(chain.next(start), None);
    chain.feed(data(5, start));
    assert_eq!(chain.next(start), Some(data(2, start)));
    assert_eq!(chain.next(start), Some(Item::End(End::Closed)));
}

#[test]
fn a_limit_is_counted_over_its_updates() {
    let start = Instant::now();
    let limit = toxic(1, Kind::LimitData { bytes: 100 });
    let mut chain = Chain::new(connection(1, 1), std::slice::from_ref(&limit), start);
    chain.feed(data(6, start));
    assert_eq!(chain.next(start), Some(data(6, start)));
    chain.apply(&[revised(&limit, Kind::LimitData { bytes: 10 })], start);
    chain.feed(data(6, start));
    assert_eq!(bytes_of(&run(&mut chain, start)).len(), 4);
}

#[test]
fn what_waits_is_timed_anew_when_a_toxic_is_updated() {
    let start = Instant::now();
    let latency = toxic(1, Kind::Latency { latency: 60_000, jitter: 0 });
    let mut chain = Chain::new(connection(1, 1), std::slice::from_ref(&latency), start);
    chain.feed(data(1, start));
    assert_eq!(chain.next(start + 10 * MS), None);
    chain.apply(&[revised(&latency, Kind::Latency { latency: 40, jitter: 0 })], start + 10 * MS);
    assert_eq!(times(&run(&mut chain, start + 10 * MS)), [30 * MS]);
}

#[test]
fn what_waited_in_a_removed_toxic_goes_through_those_behind_it() {
    let start = Instant::now();
    let toxics = [toxic(1, Kind::Bandwidth { rate: 0 }), toxic(2, Kind::Latency { latency: 80, jitter: 0 })];
    let mut chain = Chain::new(connection(1, 1), &toxics, start);
    chain.feed(data(4, start));
    assert_eq!(chain.next(start + 10 * MS), None);
    chain.apply(&toxics[1..], start + 10 * MS);
    assert_eq!(times(&run(&mut chain, start)), [80 * MS], "counted from when the bytes came");
}

#[test]
fn a_slow_stage_behind_a_fast_one_does_not_make_it_spin() {
    let start = Instant::now();
    let kinds = [Kind::Latency { latency: 5, jitter: 0 }, Kind::Noop, Kind::Noop, Kind::Bandwidth { rate: 1 }];
    let toxics: Vec<_> = kinds.into_iter().zip(1..).map(|(kind, id)| toxic(id, kind)).collect();
    let mut chain = Chain::new(connection(1, 1), &toxics, start);
    (0..4).for_each(|_| chain.feed(data(64 * 1024, start)));
    // `run` asserts that no due time lies in the past.
    assert_eq!(bytes_of(&run(&mut chain, start)).len(), 4 * 64 * 1024);
}

#[rstest]
#[case::none(0.0)]
#[case::some(0.3)]
#[case::all(1.0)]
fn toxicity_is_the_share_of_connections_affected(#[case] toxicity: f32) {
    let toxic = Toxic { toxicity, ..Toxic::clone(&toxic(1, Kind::Noop)) };
    let affected = (0..10_000).filter(|n| toxic.affects(&connection(9, *n))).count() as f32 / 10_000.0;
    assert!((affected - toxicity).abs() < 0.02, "{affected}");
}

#[test]
fn who_is_affected_does_not_change_when_another_toxic_comes_or_the_share_grows() {
    let with = |id, toxicity| Toxic { id, toxicity, ..Toxic::clone(&toxic(1, Kind::Noop)) };
    for number in 0..200 {
        let connection = connection(4, number);
        assert_eq!(with(1, 0.4).affects(&connection), with(99, 0.4).affects(&connection));
        assert!(with(1, 0.6).affects(&connection) || !with(1, 0.4).affects(&connection));
    }
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Noop),
        (0..200u64, 0..200u64).prop_map(|(latency, jitter)| Kind::Latency { latency, jitter }),
        (1..5_000u64).prop_map(|rate| Kind::Bandwidth { rate }),
        (0..500u64).prop_map(|delay| Kind::SlowClose { delay }),
        (1..5_000u64, 0..9_000u64, 0..2_000u64).prop_map(|(average_size, size_variation, delay)| Kind::Slicer {
            average_size,
            size_variation,
            delay
        }),
    ]
}

proptest! {
    #[test]
    fn jitter_stays_within_its_bounds(seed: u64, latency in 0..2_000u64, jitter in 0..2_000u64) {
        for delay in delays(seed, 1, 20, latency, jitter.min(400)) {
            prop_assert!(delay <= MS * (latency + jitter.min(400)) as u32);
            prop_assert!(delay >= MS * latency.saturating_sub(jitter.min(400)) as u32);
        }
    }

    /// Toxics that lose nothing lose nothing: every byte arrives, once, in order, and then the end; also when the
    /// toxics are exchanged for others in the middle.
    #[test]
    fn every_byte_arrives_in_order_through_any_chain_and_any_change(
        before in prop::collection::vec(any_kind(), 0..4),
        after in prop::collection::vec(any_kind(), 0..4),
        sizes in prop::collection::vec(1..40_000usize, 1..12),
        change_at in 0..400u32,
        keep: bool,
        seed: u64,
    ) {
        let start = Instant::now();
        let mut toxics: Vec<_> = before.into_iter().zip(1..).map(|(kind, id)| toxic(id, kind)).collect();
        let mut chain = Chain::new(connection(seed, 1), &toxics, start);
        let mut sent = Vec::new();
        for (size, i) in sizes.iter().zip(0u32..) {
            let bytes: Vec<u8> = (0..*size).map(|at| (at as u32 ^ i) as u8).collect();
            sent.extend_from_slice(&bytes);
            chain.feed(Item::Data(bytes.into(), start));
        }
        chain.feed(Item::End(End::Half));

        let change = start + MS * change_at;
        let mut out = Vec::new();
        let mut now = start;
        while now < change {
            while let Some(item) = chain.next(now) {
                out.push((now - start, item));
            }
            match chain.due() {
                Some(due) if due < change => now = due,
                _ => now = change,
            }
        }
        let ended = out.iter().any(|(_, item)| matches!(item, Item::End(_)));
        if !ended {
            if !keep {
                toxics.clear();
            }
            toxics.extend(after.into_iter().zip(100..).map(|(kind, id)| toxic(id, kind)));
            chain.apply(&toxics, change);
            out.extend(run(&mut chain, change));
        }
        prop_assert_eq!(bytes_of(&out), sent);
        prop_assert_eq!(out.last().map(|(_, item)| item), Some(&Item::End(End::Half)));
    }

    #[test]
    fn slices_add_up_and_are_near_their_average(seed: u64, average in 2..2_000u64, share in 0..50u64) {
        let variation = average * share / 100;
        let start = Instant::now();
        let toxics = [toxic(1, Kind::Slicer { average_size: average, size_variation: variation, delay: 10 })];
        let mut chain = Chain::new(connection(seed, 1), &toxics, start);
        chain.feed(data(30_000, start));
        let out = run(&mut chain, start);
        prop_assert_eq!(bytes_of(&out).len(), 30_000);
        for (_, item) in &out {
            let Item::Data(bytes, _) = item else { panic!("{item:?}") };
            prop_assert!(bytes.len() as u64 <= average + variation);
        }
        prop_assert_eq!(times(&out), (0..out.len() as u32).map(|i| Duration::from_micros(10) * i).collect::<Vec<_>>());
    }
}
