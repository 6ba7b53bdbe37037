//! Orders, and how their effect is awaited: an order's answer says that the controller knows; what counts is that every
//! broker that can be reached does.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::future::{FutureExt, join_all, try_join_all};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::{ASK, Admin, failed};
use crate::cluster::wire::{self, Metadata, PartitionMetadata, WireError};
use crate::cluster::{ClusterError, TopicOperation, wait};
use crate::plan::TopicPartition;

/// One order, and its effect on every broker.
const ORDER: Duration = Duration::from_secs(20);
/// How often a deletion is asked for that nobody answers.
const DELETE_TRIES: u32 = 4;
const LATE: [RDKafkaErrorCode; 2] = [RDKafkaErrorCode::OperationTimedOut, RDKafkaErrorCode::RequestTimedOut];
const GONE: [RDKafkaErrorCode; 2] = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopicId];
/// One look at what one broker knows.
const LOOK: Duration = Duration::from_secs(1);

impl Admin {
    /// See [`Cluster::create_topics`](crate::cluster::Cluster::create_topics).
    pub async fn create_topics(
        &self,
        names: &[String],
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
    ) -> Result<(), ClusterError> {
        let action = || format!("create {}", names.join(", "));
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
                config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let client = self.client()?;
        let results = client.create_topics(&topics, &options()).await.map_err(|e| failed(action(), e))?;
        if let Some((topic, code)) = results.into_iter().find_map(Result::err) {
            return Err(failed(action(), format!("{topic}: {code}")));
        }
        self.until_every_view(&action(), |view| {
            for name in names {
                let topic = view.topics.get(name).ok_or_else(|| format!("{name} is not known"))?;
                let whole = |p: &PartitionMetadata| p.leader.is_some() && p.isr.len() == replication as usize;
                if topic.partitions.len() != partitions as usize || !topic.partitions.values().all(whole) {
                    return Err(format!("{name} has {:?}", topic.partitions));
                }
            }
            Ok(())
        })
        .await?;
        let action = action();
        try_join_all(names.iter().map(|name| self.until_served(&action, name))).await.map(drop)
    }

    /// See [`Cluster::delete_topics`](crate::cluster::Cluster::delete_topics).
    pub async fn delete_topics(&self, names: &[String]) -> Result<(), ClusterError> {
        if names.is_empty() {
            return Ok(());
        }
        let action = || format!("delete {}", names.join(", "));
        let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
        let client = self.client()?;
        // The broker that is asked passes it on to the controller, on a connection that may be dead without knowing it if the
        // brokers' network was just cut. Asking twice deletes once.
        let mut tries = 0..DELETE_TRIES - 1;
        loop {
            let refused = match client.delete_topics(&borrowed, &options()).await {
                Ok(results) => {
                    let mut refusals = results.into_iter().filter_map(Result::err);
                    refusals
                        .find(|(_, code)| !GONE.contains(code))
                        .map(|(t, code)| (format!("{t}: {code}"), Some(code)))
                }
                Err(error) => Some((error.to_string(), error.rdkafka_error_code())),
            };
            let Some((what, code)) = refused else { break };
            if !code.is_some_and(|code| LATE.contains(&code)) || tries.next().is_none() {
                return Err(failed(action(), what));
            }
        }
        self.until_every_view(&action(), |view| match names.iter().find(|name| view.topics.contains_key(*name)) {
            Some(left) => Err(format!("{left} is still known")),
            None => Ok(()),
        })
        .await
    }

    /// See [`Cluster::alter_topic`](crate::cluster::Cluster::alter_topic).
    pub async fn alter_topic(&self, topic: &str, property: &str, value: Option<&str>) -> Result<(), ClusterError> {
        let action = format!("set {property} of {topic} to {}", value.unwrap_or("its default"));
        self.ask_any(&action, |address| wire::incremental_alter_topic(address, topic, property, value, ASK)).await?;
        let look = |address| async move {
            let known = wire::topic_property(address, topic, property, LOOK).await?;
            Ok(if known.as_deref() == value { Ok(()) } else { Err(format!("{property} is {known:?}")) })
        };
        self.until_everywhere(&action, look).await
    }

    /// See [`Cluster::deny`](crate::cluster::Cluster::deny).
    pub async fn deny(&self, topic: &str, operation: TopicOperation) -> Result<(), ClusterError> {
        let action = format!("deny {operation:?} on {topic}").to_lowercase();
        self.ask_any(&action, |address| wire::create_denial(address, topic, operation, ASK)).await?;
        self.until_denials(&action, topic, true).await
    }

    /// See [`Cluster::undeny`](crate::cluster::Cluster::undeny).
    pub async fn undeny(&self, topic: &str) -> Result<(), ClusterError> {
        let action = format!("take back what is denied on {topic}");
        self.ask_any(&action, |address| wire::delete_acls(address, topic, ASK)).await?;
        self.until_denials(&action, topic, false).await
    }

    async fn until_denials(&self, action: &str, topic: &str, some: bool) -> Result<(), ClusterError> {
        let look = |address| async move {
            let known = wire::denials(address, topic, LOOK).await?;
            Ok(if (known > 0) == some { Ok(()) } else { Err(format!("{known} denials are known")) })
        };
        self.until_everywhere(action, look).await
    }

    /// See [`Cluster::move_leader`](crate::cluster::Cluster::move_leader).
    pub async fn move_leader(&self, tp: &TopicPartition, to: Option<u32>) -> Result<u32, ClusterError> {
        let action = format!("move the leader of {tp}");
        let now = self.partitions(&tp.topic).await?.remove(&tp.partition);
        let now = now.ok_or_else(|| failed(&action, "there is no such topic partition"))?;
        let next = || now.isr.iter().copied().find(|id| Some(*id) != now.leader);
        let to = to.or_else(next).ok_or_else(|| failed(&action, "it has no other in-sync replica"))?;
        if !now.isr.contains(&to) {
            return Err(failed(&action, format!("broker {to} is not in sync: {:?} are", now.isr)));
        }
        // The replicas stay the same; only which of them is preferred changes.
        let order: Vec<u32> = std::iter::once(to).chain(now.replicas.iter().copied().filter(|id| *id != to)).collect();
        self.ask_any(&action, |address| wire::reassign(address, tp, &order, ASK)).await?;
        self.ask_any(&action, |address| wire::elect_preferred(address, tp, ASK)).await?;
        self.until_every_view(&action, |view| {
            let seen = view.topics.get(&*tp.topic).and_then(|t| t.partitions.get(&tp.partition));
            match seen.and_then(|p| p.leader) {
                Some(leader) if leader == to => Ok(()),
                other => Err(format!("its leader is {other:?}, not {to}")),
            }
        })
        .await?;
        self.until_served(&action, &tp.topic).await?;
        Ok(to)
    }

    /// Known as a partition's leader, a broker serves it a little later.
    async fn until_served(&self, action: &str, topic: &str) -> Result<(), ClusterError> {
        wait::until(ORDER, || self.end_offsets(topic)).await.map(drop).map_err(|last| not_so(action, last))
    }

    /// The first broker's success. Brokers are asked one by one, since an order must not be given twice at once.
    async fn ask_any<'a, T, F: Future<Output = Result<T, WireError>>>(
        &'a self,
        action: &str,
        ask: impl Fn(&'a str) -> F,
    ) -> Result<T, ClusterError> {
        let mut refusals = Vec::new();
        for (id, address) in self.brokers.iter() {
            match ask(address).await {
                Ok(answer) => return Ok(answer),
                Err(e) => refusals.push(format!("broker {id}: {e}")),
            }
        }
        Err(failed(action, refusals.join("; ")))
    }

    /// Waits until every broker that can be reached sees it so.
    async fn until_every_view(
        &self,
        action: &str,
        is_so: impl Fn(&Metadata) -> Result<(), String>,
    ) -> Result<(), ClusterError> {
        let is_so = &is_so;
        self.until_everywhere(action, |address| async move { Ok(is_so(&wire::metadata(address, LOOK).await?)) }).await
    }

    /// Waits until every broker that can be reached answers that it is so: an order's answer says that the controller knows,
    /// the others hear of it some 0.1 s later.
    async fn until_everywhere<'a, F: Future<Output = Result<Result<(), String>, WireError>>>(
        &'a self,
        action: &str,
        is_so: impl Fn(&'a str) -> F,
    ) -> Result<(), ClusterError> {
        let is_so = &is_so;
        let look = || async move {
            let answers = self.brokers.iter().map(|(id, address)| is_so(address).map(move |answer| (id, answer)));
            let mut last = "no broker answers".to_owned();
            let mut reachable = 0;
            for (id, answer) in join_all(answers).await {
                match answer {
                    Ok(seen) => {
                        reachable += 1;
                        seen.map_err(|e| format!("by broker {id}: {e}"))?;
                    }
                    Err(error) => last = format!("broker {id}: {error}"),
                }
            }
            if reachable == 0 { Err(last) } else { Ok(()) }
        };
        wait::until(ORDER, look).await.map_err(|last| not_so(action, last))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ORDER)).operation_timeout(Some(ORDER / 2))
}

fn not_so(action: &str, last: String) -> ClusterError {
    ClusterError::NotReady {
        broker: None,
        awaited: format!("the effect of the order to {action}"),
        within: ORDER,
        last,
        log: String::new(),
    }
}
