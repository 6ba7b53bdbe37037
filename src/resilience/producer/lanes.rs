//! Records on their way into librdkafka, lane by lane (a topic partition where the record names one, else the topic):
//! what is sent again goes first, then what waits for room. Knows the client's queue, not what becomes of a record
//! behind it.
//!
//! A lane with a fixed partition hands over only while librdkafka can send: an idempotent producer (2.12) has at most
//! five *records* of a topic partition in flight before it waits for answers, and while a record past its linger time
//! waits behind them, the broker's thread polls without a pause. Three such threads take the processor from the very
//! brokers whose answers they wait for. What is held here meanwhile leaves as one batch.
//!
//! After a connection broke there is nothing to poll for, and what librdkafka has when the broker returns leaves as one
//! batch behind what is sent again: so nothing is held back then, until the lane's next result. Each batch less is an
//! answer of a broker less to wait for, one after the other, while it is slow.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord};
use tokio::sync::oneshot;

use super::delivery::{Delivered, SendError};
use super::driver::Context;
use crate::clock::Nanos;
use crate::resilience::classify::code_of;
use crate::resilience::record::Record;

pub(super) type Client = BaseProducer<Context>;

/// What travels with a record through librdkafka and back.
pub(super) struct Ticket {
    pub answer: oneshot::Sender<Result<Delivered, SendError>>,
    /// How often the record was handed to librdkafka.
    pub attempts: u32,
    /// When it was sent first.
    pub since: Nanos,
    /// Its place among all sends; 0: not given yet.
    pub place: u64,
    /// The partition that the record named.
    pub partition: Option<i32>,
}

pub(super) struct Entry {
    pub record: Record,
    pub ticket: Box<Ticket>,
    pub not_before: Nanos,
    pub give_up: Nanos,
}

/// Records of one topic partition that librdkafka has in flight at most before it waits for answers.
const SENDABLE: usize = 5;

#[derive(Default)]
struct Lane {
    /// By place: several may fail together, and not in their order.
    again: VecDeque<Entry>,
    fresh: VecDeque<Entry>,
    /// Handed to librdkafka and without a result; only counted for a fixed partition.
    in_client: usize,
    /// A connection broke, and none of its records has had a result since.
    adrift: bool,
}

impl Lane {
    /// What is handed over now would wait in librdkafka, on a connection that is up.
    fn is_held(&self) -> bool {
        self.in_client >= SENDABLE && !self.adrift
    }

    fn is_idle(&self) -> bool {
        self.again.is_empty() && self.fresh.is_empty() && self.in_client == 0
    }
}

/// A topic, and the partition if the record names one.
type LaneKey = (String, Option<i32>);

fn key_of(entry: &Entry) -> LaneKey {
    (entry.record.topic.clone(), entry.ticket.partition)
}

#[derive(Default)]
pub(super) struct Lanes {
    /// `None` while a new one is being made, and after the end.
    pub client: Option<Arc<Client>>,
    lanes: HashMap<LaneKey, Lane>,
    pub waiting: usize,
    /// The topic of the last send: most go where the one before went.
    name: Option<Arc<str>>,
    places: u64,
    /// librdkafka's queue had no room, or there was no client, at the last try.
    pub full: bool,
    pub closed: bool,
    /// When a connection broke last; 0: not lately.
    parted_at: Nanos,
}

pub(super) enum Offered {
    Taken,
    /// Others are before it, or there is no room or no usable client: it waits.
    Later(Entry),
    /// librdkafka will never take it.
    Refused(i32, Entry),
}

impl Lanes {
    /// A topic's name, to be shared.
    pub fn name(&mut self, topic: &str) -> Arc<str> {
        match &self.name {
            Some(name) if **name == *topic => Arc::clone(name),
            _ => Arc::clone(self.name.insert(topic.into())),
        }
    }

    pub fn push_fresh(&mut self, entry: Entry) {
        self.waiting += 1;
        self.lane(key_of(&entry)).fresh.push_back(entry);
    }

    pub fn push_again(&mut self, entry: Entry) {
        self.waiting += 1;
        let again = &mut self.lane(key_of(&entry)).again;
        let at = again.partition_point(|before| before.ticket.place < entry.ticket.place);
        again.insert(at, entry);
    }

    /// A record that named its partition has its result.
    pub fn done(&mut self, topic: &str, partition: i32) {
        let key = (topic.to_owned(), Some(partition));
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.in_client = lane.in_client.saturating_sub(1);
            lane.adrift = false;
            if lane.is_idle() {
                self.lanes.remove(&key);
            }
        }
    }

    /// A connection broke at `at`; 0: there is no trouble any more. Nobody tells whose records were on it, so that all
    /// are let go.
    pub fn part(&mut self, at: Nanos) {
        if at != self.parted_at {
            self.parted_at = at;
            self.lanes.values_mut().for_each(|lane| lane.adrift = at != 0);
        }
    }

    fn lane(&mut self, key: LaneKey) -> &mut Lane {
        let adrift = self.parted_at != 0;
        self.lanes.entry(key).or_insert_with(|| Lane { adrift, ..Lane::default() })
    }

    /// Hands a fresh record to librdkafka if nothing of its lane is before it and it can be sent soon.
    pub fn offer(&mut self, mut entry: Entry) -> Offered {
        self.places += 1;
        entry.ticket.place = self.places;
        // Most records name no partition and find nothing waiting: they need no lane.
        if self.lanes.is_empty() && entry.ticket.partition.is_none() {
            return self.hand_over(entry);
        }
        let key = key_of(&entry);
        let lane = self.lanes.get(&key);
        if lane.is_some_and(|l| !l.again.is_empty() || !l.fresh.is_empty() || l.is_held()) {
            return Offered::Later(entry);
        }
        let offered = self.hand_over(entry);
        if key.1.is_some() && matches!(offered, Offered::Taken) {
            self.lane(key).in_client += 1;
        }
        offered
    }

    /// Hands one record to librdkafka, which copies it.
    fn hand_over(&mut self, entry: Entry) -> Offered {
        let Some(client) = &self.client else {
            self.full = true;
            return Offered::Later(entry);
        };
        let Entry { record, mut ticket, not_before, give_up } = entry;
        ticket.attempts += 1;
        let back = |mut ticket: Box<Ticket>, record| {
            ticket.attempts -= 1;
            Entry { record, ticket, not_before, give_up }
        };
        let native = BaseRecord::<[u8], [u8], Box<Ticket>> {
            topic: &record.topic,
            partition: record.partition,
            payload: record.payload.as_deref(),
            key: record.key.as_deref(),
            timestamp: record.timestamp,
            headers: record.native_headers(),
            delivery_opaque: ticket,
        };
        match client.send(native) {
            Ok(()) => Offered::Taken,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal), returned)) => {
                let ticket = returned.delivery_opaque;
                self.full = true;
                Offered::Later(back(ticket, record))
            }
            Err((error, returned)) => {
                let ticket = returned.delivery_opaque;
                // A topic name with a NUL in it has no code of its own.
                Offered::Refused(code_of(&error).unwrap_or(INVALID_ARGUMENT), back(ticket, record))
            }
        }
    }

    /// Moves what waits into librdkafka, as far as there is room and its time has come. Returns what is settled
    /// without it: refused records, and those that waited too long.
    pub fn pump(&mut self, now: Nanos) -> Vec<(i32, Entry)> {
        self.full = false;
        let mut failed = Vec::new();
        let mut lanes = std::mem::take(&mut self.lanes);
        'lanes: for ((_, partition), lane) in &mut lanes {
            // Judged once: what has gathered leaves together.
            if lane.is_held() {
                continue;
            }
            loop {
                let again = !lane.again.is_empty();
                let queue = if again { &mut lane.again } else { &mut lane.fresh };
                let Some(entry) = queue.pop_front() else { break };
                if entry.not_before > now {
                    queue.push_front(entry);
                    break;
                }
                if entry.give_up <= now {
                    failed.push((RDKafkaErrorCode::QueueFull as i32, entry));
                    self.waiting -= 1;
                    continue;
                }
                match self.hand_over(entry) {
                    Offered::Taken => {
                        self.waiting -= 1;
                        lane.in_client += usize::from(partition.is_some());
                    }
                    // The other lanes' records would find no room either.
                    Offered::Later(entry) => {
                        queue.push_front(entry);
                        break 'lanes;
                    }
                    Offered::Refused(code, entry) => {
                        failed.push((code, entry));
                        self.waiting -= 1;
                    }
                }
            }
        }
        lanes.retain(|_, lane| !lane.is_idle());
        self.lanes = lanes;
        failed
    }

    /// Everything that waits, for the end.
    pub fn take_all(&mut self) -> Vec<Entry> {
        self.waiting = 0;
        self.lanes.drain().flat_map(|(_, lane)| lane.again.into_iter().chain(lane.fresh)).collect()
    }
}

const INVALID_ARGUMENT: i32 = RDKafkaErrorCode::InvalidArgument as i32;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: u64) -> Entry {
        let (answer, _) = oneshot::channel();
        let ticket = Box::new(Ticket { answer, attempts: 1, since: 0, place, partition: None });
        Entry { record: Record::to("out"), ticket, not_before: 0, give_up: Nanos::MAX }
    }

    /// Whether records of a partition are held back that has so many in the client.
    fn held(lanes: &mut Lanes, partition: i32, in_client: usize) -> bool {
        let lane = lanes.lane(("out".into(), Some(partition)));
        lane.in_client = in_client;
        lane.is_held()
    }

    #[test]
    fn a_full_lane_is_held_but_not_from_a_broken_connection_to_the_next_result() {
        let mut lanes = Lanes::default();
        assert!(!held(&mut lanes, 0, SENDABLE - 1));
        assert!(held(&mut lanes, 0, SENDABLE));
        lanes.part(7);
        assert!(!held(&mut lanes, 0, SENDABLE + 1));
        assert!(!held(&mut lanes, 1, SENDABLE), "one that had nothing in the client is on that connection, too");
        lanes.done("out", 0);
        assert!(held(&mut lanes, 0, SENDABLE));
        lanes.part(7);
        assert!(held(&mut lanes, 0, SENDABLE), "the same break");
        lanes.part(8);
        assert!(!held(&mut lanes, 0, SENDABLE));
        lanes.part(0);
        assert!(held(&mut lanes, 0, SENDABLE) && held(&mut lanes, 1, SENDABLE), "no trouble any more");
    }

    #[test]
    fn what_fails_out_of_order_is_sent_again_in_order() {
        // As a purge reports: the queue first, then what was in flight before it.
        let mut lanes = Lanes::default();
        for place in [4, 5, 6, 1, 2, 3] {
            lanes.push_again(entry(place));
        }
        let places: Vec<u64> = lanes.take_all().into_iter().map(|entry| entry.ticket.place).collect();
        assert_eq!(places, [1, 2, 3, 4, 5, 6]);
    }
}
