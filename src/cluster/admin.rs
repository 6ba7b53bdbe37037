//! The instrument's questions and orders to the brokers, always over the direct path.
//!
//! Owns: how a fact is read when some brokers are dead, frozen or behind (every broker is asked, the newest answer
//! counts) and how an order's effect is awaited. Must not know: proxies, containers, scenarios.
//!
//! Facts are read by hand-written requests ([`wire`]), because a client's answer comes from its cache and its
//! connections' backoff. Topics are made, and offsets read, by librdkafka.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{FutureExt, join_all, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::wire::{self, Metadata, PartitionMetadata, WireError};
use super::{ClusterError, wait};
use crate::plan::TopicPartition;

mod orders;

/// One question to one broker.
const ASK: Duration = Duration::from_secs(2);
/// How long slower brokers may still contradict the first that answered.
const GRACE: Duration = Duration::from_millis(250);

/// Calls to the brokers of one cluster. Cheap to clone; a clone shares its connections.
#[derive(Clone)]
pub struct Admin {
    brokers: Arc<[(u32, String)]>,
    /// The controllers' own listeners; empty if they cannot be reached.
    controllers: Arc<[(u32, String)]>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    client: Mutex<Option<Arc<AdminClient<DefaultClientContext>>>>,
    /// By group: consumers that look and never join.
    watchers: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

impl Admin {
    /// `brokers`: each broker's id and its direct address, `host:port`. Connects to nothing yet.
    pub fn new(brokers: Vec<(u32, String)>) -> Self {
        Self { brokers: brokers.into(), controllers: Arc::default(), shared: Arc::default() }
    }

    /// Each controller's id and the address of its own listener. Without them the question who leads them goes through
    /// the brokers, which forward it to whom they last knew: with that one frozen there is no answer for 30 s.
    pub fn with_controllers(self, controllers: Vec<(u32, String)>) -> Self {
        Self { controllers: controllers.into(), ..self }
    }

    /// What each broker knows of the cluster, or why it did not say.
    pub async fn every_view(&self, within: Duration) -> Vec<(u32, Result<Metadata, WireError>)> {
        let ask = |(id, address): &(u32, String)| {
            let (id, address) = (*id, address.clone());
            async move { (id, wire::metadata(&address, within).await) }
        };
        join_all(self.brokers.iter().map(ask)).await
    }

    /// Newest knowledge about each partition of a topic.
    pub async fn partitions(&self, topic: &str) -> Result<BTreeMap<i32, PartitionMetadata>, ClusterError> {
        let views = self.ask_all(&format!("describe {topic}"), |address| wire::metadata(address, ASK)).await?;
        let mut newest = BTreeMap::<i32, PartitionMetadata>::new();
        for (number, seen) in
            views.into_iter().filter_map(|mut view| view.topics.remove(topic)).flat_map(|t| t.partitions)
        {
            let known = newest.entry(number).or_insert_with(|| seen.clone());
            if seen.epoch > known.epoch {
                *known = seen;
            }
        }
        if newest.is_empty() {
            return Err(failed(format!("describe {topic}"), "no broker knows the topic"));
        }
        Ok(newest)
    }

    /// See [`Cluster::leader_of`](super::Cluster::leader_of).
    pub async fn leader_of(&self, tp: &TopicPartition) -> Result<u32, ClusterError> {
        let leader = self.partitions(&tp.topic).await?.get(&tp.partition).and_then(|p| p.leader);
        leader.ok_or_else(|| failed(format!("find the leader of {tp}"), "it has none"))
    }

    /// See [`Cluster::leaders`](super::Cluster::leaders).
    pub async fn leaders(&self, topic: &str) -> Result<Vec<(TopicPartition, u32)>, ClusterError> {
        let topic: Arc<str> = topic.into();
        let pair = |(number, p): (i32, PartitionMetadata)| {
            let tp = TopicPartition::new(topic.clone(), number);
            match p.leader {
                Some(leader) => Ok((tp, leader)),
                None => Err(failed(format!("find the leader of {tp}"), "it has none")),
            }
        };
        self.partitions(&topic).await?.into_iter().map(pair).collect()
    }

    /// See [`Cluster::isr`](super::Cluster::isr).
    pub async fn isr(&self, topic: &str) -> Result<Vec<(TopicPartition, Vec<u32>)>, ClusterError> {
        let name: Arc<str> = topic.into();
        let partitions = self.partitions(topic).await?;
        Ok(partitions.into_iter().map(|(n, p)| (TopicPartition::new(name.clone(), n), p.isr)).collect())
    }

    /// See [`Cluster::coordinator_of`](super::Cluster::coordinator_of).
    pub async fn coordinator_of(&self, group: &str) -> Result<u32, ClusterError> {
        const OFFSETS: &str = "__consumer_offsets";
        let count = self.partitions(OFFSETS).await?.len() as i32;
        self.leader_of(&TopicPartition::new(OFFSETS, offsets_partition(group, count))).await
    }

    /// See [`Cluster::controller`](super::Cluster::controller).
    pub async fn controller(&self) -> Result<u32, ClusterError> {
        // Asked itself, only the leader says so; of two who think so the one of the later epoch is right.
        let asked = if self.controllers.is_empty() { &self.brokers } else { &self.controllers };
        let answers =
            self.ask_all_of(asked, "find the controller", |address| wire::quorum_leader(address, ASK)).await?;
        let latest = answers.into_iter().max_by_key(|(_, epoch)| *epoch);
        latest.map(|(id, _)| id).ok_or_else(|| failed("find the controller", "nobody answered"))
    }

    /// Creates `__consumer_offsets`, as the first group would, and waits until its partitions have leaders.
    pub async fn create_offsets_topic(&self, within: Duration) -> Result<(), ClusterError> {
        let look = || async {
            let (_, address) = self.brokers.first().ok_or("there are no brokers")?;
            wire::find_coordinator(address, "seaworthy", ASK).await.map_err(|e| e.to_string())
        };
        wait::until(within, look).await.map(|_| ()).map_err(|last| ClusterError::NotReady {
            broker: None,
            awaited: "a group coordinator (__consumer_offsets)".to_owned(),
            within,
            last,
            log: String::new(),
        })
    }

    /// Topics that are not Kafka's own.
    pub async fn user_topics(&self) -> Result<Vec<String>, ClusterError> {
        let views = self.ask_all("list the topics", |address| wire::metadata(address, ASK)).await?;
        let names: BTreeSet<String> = views
            .into_iter()
            .flat_map(|v| v.topics)
            .filter(|(name, topic)| !topic.internal && !name.starts_with("__"))
            .map(|(name, _)| name)
            .collect();
        Ok(names.into_iter().collect())
    }

    /// See [`Cluster::committed`](super::Cluster::committed).
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ClusterError> {
        let mut list = TopicPartitionList::new();
        for tp in partitions {
            list.add_partition(&tp.topic, tp.partition);
        }
        let watcher = self.watcher(group)?;
        let answer =
            blocking(format!("read the offsets that {group} committed"), move || watcher.committed_offsets(list, ASK));
        offsets(&answer.await?)
    }

    /// See [`Cluster::group`](super::Cluster::group).
    pub async fn group(&self, group: &str) -> Result<GroupState, ClusterError> {
        let (watcher, name) = (self.watcher(group)?, group.to_owned());
        let look = move || {
            let listed = watcher.fetch_group_list(Some(&name), ASK)?;
            let Some(found) = listed.groups().iter().find(|found| found.name() == name) else {
                return Ok(GroupState { state: "unknown".to_owned(), ..GroupState::default() });
            };
            let assigned = found.members().iter().filter_map(|member| member.assignment());
            Ok(GroupState {
                state: found.state().to_owned(),
                members: found.members().len(),
                assigned: assigned.flat_map(|bytes| assigned_in(bytes).unwrap_or_default()).collect(),
            })
        };
        blocking(format!("describe group {group}"), look).await
    }

    /// See [`Cluster::end_offsets`](super::Cluster::end_offsets).
    pub async fn end_offsets(&self, topic: &str) -> Result<BTreeMap<TopicPartition, i64>, ClusterError> {
        let action = || format!("read the end of {topic}");
        let mut by_leader = BTreeMap::<u32, Vec<i32>>::new();
        for (tp, leader) in self.leaders(topic).await? {
            by_leader.entry(leader).or_default().push(tp.partition);
        }
        let name: Arc<str> = topic.into();
        let answers = by_leader.into_iter().map(|(leader, numbers)| async move {
            let known = self.brokers.iter().find(|(id, _)| *id == leader);
            let (_, address) = known.ok_or_else(|| failed(action(), format!("there is no broker {leader}")))?;
            let ends = wire::end_offsets(address, topic, &numbers, ASK).await;
            ends.map_err(|e| failed(action(), format!("broker {leader}: {e}")))
        });
        let ends = try_join_all(answers).await?;
        Ok(ends.into_iter().flatten().map(|(n, end)| (TopicPartition::new(name.clone(), n), end)).collect())
    }

    /// High watermarks of a topic's partitions with the leader epochs in which their leaders confirmed them. Those whose
    /// leader does not answer, or is no leader of the newest known epoch, are left out.
    pub async fn high_watermarks(&self, topic: &str) -> Result<Vec<(TopicPartition, i32, i64)>, ClusterError> {
        let mut by_leader = BTreeMap::<u32, Vec<(i32, i32)>>::new();
        for (number, partition) in self.partitions(topic).await? {
            if let Some(leader) = partition.leader {
                by_leader.entry(leader).or_default().push((number, partition.epoch));
            }
        }
        let name: Arc<str> = topic.into();
        let answers = by_leader.into_iter().map(|(leader, numbers)| async move {
            let (_, address) = self.brokers.iter().find(|(id, _)| *id == leader)?;
            wire::high_watermarks(address, topic, &numbers, ASK).await.ok()
        });
        let looks = join_all(answers).await.into_iter().flatten().flatten();
        Ok(looks.map(|(n, epoch, offset)| (TopicPartition::new(name.clone(), n), epoch, offset)).collect())
    }

    /// Answers of the brokers that answer. One is enough; the slower ones are given a moment, dead ones none.
    async fn ask_all<'a, T, F: Future<Output = Result<T, WireError>>>(
        &'a self,
        action: &str,
        ask: impl Fn(&'a str) -> F,
    ) -> Result<Vec<T>, ClusterError> {
        self.ask_all_of(&self.brokers, action, ask).await
    }

    async fn ask_all_of<'a, T, F: Future<Output = Result<T, WireError>>>(
        &self,
        whom: &'a [(u32, String)],
        action: &str,
        ask: impl Fn(&'a str) -> F,
    ) -> Result<Vec<T>, ClusterError> {
        let mut asked: FuturesUnordered<_> =
            whom.iter().map(|(id, address)| ask(address).map(|answer| (*id, answer))).collect();
        let (mut answers, mut refusals) = (Vec::new(), Vec::new());
        let mut patience = ASK + GRACE;
        while let Ok(Some((id, answer))) = tokio::time::timeout(patience, asked.next()).await {
            match answer {
                Ok(answer) => {
                    answers.push(answer);
                    patience = GRACE;
                }
                Err(e) => refusals.push(format!("broker {id}: {e}")),
            }
        }
        if answers.is_empty() { Err(failed(action, refusals.join("; "))) } else { Ok(answers) }
    }

    fn config(&self) -> ClientConfig {
        let addresses: Vec<&str> = self.brokers.iter().map(|(_, address)| address.as_str()).collect();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", addresses.join(","))
            .set("client.id", "seaworthy-instrument")
            // Stock backoff reaches 10 s: an instrument would sleep through a broker's return.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "250")
            .set("socket.timeout.ms", "5000")
            .set("topic.metadata.refresh.interval.ms", "1000");
        config
    }

    fn client(&self) -> Result<Arc<AdminClient<DefaultClientContext>>, ClusterError> {
        let mut slot = self.shared.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = self.config().create().map_err(|e| failed("create an admin client", e))?;
        Ok(slot.insert(Arc::new(client)).clone())
    }

    fn watcher(&self, group: &str) -> Result<Arc<BaseConsumer>, ClusterError> {
        let mut watchers = self.shared.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = watchers.get(group) {
            return Ok(watcher.clone());
        }
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("isolation.level", "read_uncommitted");
        let watcher: BaseConsumer = config.create().map_err(|e| failed(format!("watch group {group}"), e))?;
        let watcher = Arc::new(watcher);
        watchers.insert(group.to_owned(), watcher.clone());
        Ok(watcher)
    }
}

/// A consumer group as its coordinator tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Kafka's word: `Stable`, `PreparingRebalance`, `Empty` …; `unknown` before its first member.
    pub state: String,
    pub members: usize,
    /// Topic partitions that the members own together.
    pub assigned: BTreeSet<TopicPartition>,
}

/// The topic partitions of a member's assignment (`ConsumerProtocolAssignment`, any version).
pub(in crate::cluster) fn assigned_in(bytes: &[u8]) -> Result<Vec<TopicPartition>, WireError> {
    let mut reader = wire::Reader::new(bytes.to_vec());
    reader.i16()?; // version
    let topics = reader.items(|r| {
        let topic: Arc<str> = r.string()?.into();
        r.items(|r| Ok(TopicPartition::new(topic.clone(), r.i32()?)))
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// Which partition of `__consumer_offsets` keeps a group, by Kafka's own formula.
pub fn offsets_partition(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's abs() of the smallest integer is 0.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

fn failed(action: impl Into<String>, reason: impl ToString) -> ClusterError {
    ClusterError::Admin { action: action.into(), reason: reason.to_string() }
}

async fn blocking<T: Send + 'static>(
    action: String,
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, ClusterError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => Err(failed(action, e)),
        Err(e) => Err(failed(action, e)),
    }
}

fn offsets(list: &TopicPartitionList) -> Result<BTreeMap<TopicPartition, i64>, ClusterError> {
    let mut offsets = BTreeMap::new();
    for element in list.elements() {
        let tp = TopicPartition::new(element.topic(), element.partition());
        element.error().map_err(|e| failed(format!("read an offset of {tp}"), e))?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(tp, offset);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_in_kafka_s_own_bytes() {
        let bytes =
            b"\x00\x01\x00\x00\x00\x01\x00\x06orders\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff";
        let expected = [TopicPartition::new("orders", 1), TopicPartition::new("orders", 4)];
        assert_eq!(assigned_in(bytes).unwrap(), expected);
        assert!(assigned_in(&bytes[..12]).is_err());
    }

    /// Values of Java's `Math.abs(s.hashCode()) % 50` with Kafka's `Utils.abs`.
    #[test]
    fn a_group_lives_in_the_partition_where_kafka_keeps_it() {
        assert_eq!(offsets_partition("a", 50), 97 % 50);
        assert_eq!(offsets_partition("", 50), 0);
        // "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(offsets_partition("polygenelubricants", 50), 0);
        // "hello".hashCode() is 99162322.
        assert_eq!(offsets_partition("hello", 50), 22);
    }
}
