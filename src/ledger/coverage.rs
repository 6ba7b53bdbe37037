//! How far the final read and the group's commits came: what turns "not found" into "lost".

use std::collections::BTreeMap;

use super::index::{Tp, Tps};
use crate::clock::Nanos;
use crate::history::Header;

/// How far the final read got in one topic partition.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub from: i64,
    /// Exclusive.
    pub to: i64,
    /// It came to the end offset that was noted when the load stopped.
    pub complete: bool,
    /// When it was reported.
    pub at: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Committed {
    /// As the harness saw it, watching the group.
    watched: Option<i64>,
    /// As the members reported it.
    reported: Option<i64>,
}

/// Final reads and commits of a history.
#[derive(Debug, Default)]
pub struct Coverage {
    reach: BTreeMap<Tp, Reach>,
    commits: BTreeMap<Tp, Committed>,
    input_complete: bool,
    outputs_complete: bool,
    /// Topic partitions that a final read was owed for and that have none, or one that stopped short.
    short: Vec<Short>,
    /// Why a final read stopped short.
    reasons: BTreeMap<Tp, String>,
}

/// Where the final read did not come to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// The topic partition, or the whole topic.
    pub tp: String,
    pub why: Option<String>,
}

impl Coverage {
    pub(super) fn commit(&mut self, tp: Tp, offset: i64, watched: bool) {
        let entry = self.commits.entry(tp).or_default();
        let slot = if watched { &mut entry.watched } else { &mut entry.reported };
        *slot = (*slot).max(Some(offset));
    }

    pub(super) fn read(&mut self, tp: Tp, from: i64, to: i64, complete: bool, at: Nanos) {
        let new = Reach { from, to, complete, at };
        let reach = self.reach.entry(tp).or_insert(new);
        // A read that began again: the better one counts.
        if (complete, to) > (reach.complete, reach.to) {
            *reach = new;
        }
    }

    pub(super) fn stopped(&mut self, tp: Tp, why: &str) {
        self.reasons.insert(tp, why.to_owned());
    }

    /// Decides which topics were read completely. A topic has the plan's number of topic partitions, and whatever
    /// more the history mentions.
    pub(super) fn finish(&mut self, header: &Header, tps: &Tps) {
        let topics = &header.topics;
        let plan = header.plan.as_ref();
        let (planned, lists) = plan.map_or((0, 0), |plan| (plan.topic.partitions, plan.effect_lists()));
        let mut short = Vec::new();
        let mut complete = |topic: &str, planned: i32| {
            let before = short.len();
            let mut mentioned: Vec<i32> = tps.of_topic(topic).map(|tp| tps.name(tp).partition).collect();
            mentioned.extend(0..planned);
            mentioned.sort_unstable();
            mentioned.dedup();
            for partition in &mentioned {
                let tp = tps.find(&crate::plan::TopicPartition::new(topic, *partition));
                if !tp.and_then(|tp| self.reach.get(&tp)).is_some_and(|reach| reach.complete) {
                    let why = tp.and_then(|tp| self.reasons.get(&tp)).cloned();
                    short.push(Short { tp: format!("{topic}/{partition}"), why });
                }
            }
            if mentioned.is_empty() {
                short.push(Short { tp: topic.to_owned(), why: None });
            }
            short.len() == before
        };
        self.input_complete = complete(&topics.input, planned);
        let output = complete(&topics.output, lists);
        // A foreign application may have no dead-letter topic.
        let dead_letter = topics.dead_letter.is_empty() || complete(&topics.dead_letter, planned);
        self.outputs_complete = output && dead_letter;
        self.short = short;
    }

    /// Whether the absence of a record from the input log is a fact: the final read of its topic partition passed
    /// its offset, or came to the log's end. Without an offset (acks=0) the whole of its topic partition must have
    /// been read, and without a topic partition the whole topic.
    pub fn decides(&self, tp: Option<Tp>, offset: Option<i64>, acked: Option<Nanos>) -> bool {
        let Some(tp) = tp else { return self.input_complete && self.reach.values().all(|reach| reach.from == 0) };
        let Some(reach) = self.reach.get(&tp) else { return false };
        match offset {
            None => reach.complete && reach.from == 0,
            Some(offset) if offset < reach.from => false,
            Some(offset) if offset < reach.to => true,
            // Beyond the log's end: gone, unless it came after that end was noted.
            Some(_) => reach.complete && acked.is_some_and(|acked| acked < reach.at),
        }
    }

    /// The group's committed offset: as the harness watched it, else as the members reported it.
    pub fn committed(&self, tp: Tp) -> Option<i64> {
        self.commits.get(&tp).and_then(|committed| committed.watched.or(committed.reported))
    }

    /// Output and dead-letter topic were read to their ends: what has no effect there has none.
    pub fn outputs_complete(&self) -> bool {
        self.outputs_complete
    }

    /// Topic partitions whose final read is missing or stopped short.
    pub fn short(&self) -> &[Short] {
        &self.short
    }
}
