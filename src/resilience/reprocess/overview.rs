//! How many letters wait, since when, how fast they come, and why.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::reader::{Reader, Step};
use super::{DeadLetterTopic, Letter, ReprocessError, letter};
use crate::resilience::record::Incoming;

/// How far back arrivals are counted.
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
/// Error texts are counted by their beginning: what follows is often the record's own detail.
const TEXT: usize = 120;

/// One topic partition's depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDepth {
    /// The partition.
    pub partition: i32,
    /// The first offset that is still there.
    pub begin: i64,
    /// The offset after the last.
    pub end: i64,
    /// Letters not reprocessed.
    pub depth: u64,
}

/// A dead-letter topic at one moment. Counts are of pending letters unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// The topic.
    pub topic: String,
    /// The group whose offsets say what is reprocessed.
    pub group: String,
    /// Letters not reprocessed.
    pub depth: u64,
    /// By topic partition.
    pub partitions: Vec<PartitionDepth>,
    /// When the oldest of them was given up.
    pub oldest: Option<SystemTime>,
    /// Letters, pending or not, given up in the last minute.
    pub last_minute: u64,
    /// The same for the last hour.
    pub last_hour: u64,
    /// Pending letters that were replayed before and failed again.
    pub failed_again: u64,
    /// By error class ([`Letter::error_class`]), most first.
    pub by_class: Vec<(String, u64)>,
    /// By original topic partition (`topic/partition`, or "unknown"), most first.
    pub by_origin: Vec<(String, u64)>,
    /// By how long ago they were given up: under an hour, a day, a week, older, or unknown. Youngest first.
    pub by_age: Vec<(String, u64)>,
    /// By error text, cut to 120 characters, most first.
    pub by_error: Vec<(String, u64)>,
}

/// What is remembered of a pending letter.
struct Brief {
    class: Arc<str>,
    origin: Arc<str>,
    error: Arc<str>,
    time: Option<SystemTime>,
    again: bool,
}

/// Looks at a dead-letter topic again and again, and reads at each look only what is new. It remembers about a hundred
/// bytes for each pending letter.
pub struct Monitor {
    at: DeadLetterTopic,
    reader: Reader,
    pending: BTreeMap<(i32, i64), Brief>,
    /// Times of all letters of the last hour.
    arrivals: VecDeque<SystemTime>,
    words: BTreeMap<String, Arc<str>>,
    first: bool,
}

impl Monitor {
    /// Connects, and finds the topic.
    ///
    /// # Errors
    /// See [`ReprocessError`].
    pub fn new(at: &DeadLetterTopic) -> Result<Self, ReprocessError> {
        Ok(Self {
            at: at.clone(),
            reader: Reader::open(at)?,
            pending: BTreeMap::new(),
            arrivals: VecDeque::new(),
            words: BTreeMap::new(),
            first: true,
        })
    }

    /// Reads what is new since the last look, and what was reprocessed. `now` is the present, for what counts ages.
    ///
    /// # Errors
    /// See [`ReprocessError`].
    pub fn look(&mut self, now: SystemTime) -> Result<Overview, ReprocessError> {
        if !std::mem::take(&mut self.first) {
            self.reader.extend()?;
        }
        while let Some(step) = self.reader.next()? {
            if let Step::Letter(record) = step {
                self.note(record, now);
            }
        }
        let done = self.reader.committed()?;
        self.pending.retain(|(partition, offset), _| !done.get(partition).is_some_and(|d| d.contains(*offset)));
        self.arrivals.retain(|time| *time + HOUR > now);
        let mut partitions = Vec::new();
        for (partition, cursor) in self.reader.cursors() {
            // Offsets without a record are no letters.
            let depth = self.pending.range((*partition, i64::MIN)..=(*partition, i64::MAX)).count() as u64;
            partitions.push(PartitionDepth { partition: *partition, begin: cursor.low, end: cursor.log_end, depth });
        }
        let ranked = |word: fn(&Brief) -> &Arc<str>| {
            let mut counts = BTreeMap::<&str, u64>::new();
            self.pending.values().for_each(|brief| *counts.entry(&**word(brief)).or_default() += 1);
            let mut ranked: Vec<_> = counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
            ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            ranked
        };
        Ok(Overview {
            topic: self.at.topic.clone(),
            group: self.at.group.clone(),
            depth: self.pending.len() as u64,
            partitions,
            oldest: self.pending.values().filter_map(|brief| brief.time).min(),
            last_minute: self.arrivals.iter().filter(|time| **time + MINUTE > now).count() as u64,
            last_hour: self.arrivals.len() as u64,
            failed_again: self.pending.values().filter(|brief| brief.again).count() as u64,
            by_class: ranked(|brief| &brief.class),
            by_origin: ranked(|brief| &brief.origin),
            by_age: by_age(self.pending.values().map(|brief| brief.time), now),
            by_error: ranked(|brief| &brief.error),
        })
    }

    fn note(&mut self, record: Incoming, now: SystemTime) {
        let place = (record.partition, record.offset);
        let letter = letter(record, &BTreeMap::new());
        let time = letter.time();
        self.arrivals.extend(time.filter(|time| *time + HOUR > now));
        let origin = match (&letter.info.original_topic, letter.info.original_partition) {
            (Some(topic), Some(partition)) => format!("{topic}/{partition}"),
            (Some(topic), None) => topic.clone(),
            _ => "unknown".to_owned(),
        };
        let error = error_text(&letter);
        let brief = Brief {
            class: self.word(letter.error_class()),
            origin: self.word(&origin),
            error: self.word(&error),
            time,
            again: letter.info.replays > 0,
        };
        self.pending.insert(place, brief);
    }

    /// One copy of what many letters say.
    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let new: Arc<str> = word.into();
        self.words.insert(word.to_owned(), Arc::clone(&new));
        new
    }
}

/// Bounds in hours, and what is below them.
const AGES: [(u64, &str); 3] = [(1, "under an hour"), (24, "under a day"), (7 * 24, "under a week")];

fn by_age(times: impl Iterator<Item = Option<SystemTime>>, now: SystemTime) -> Vec<(String, u64)> {
    let mut counts = [0; AGES.len() + 2];
    for time in times {
        let age = time.map(|time| now.duration_since(time).unwrap_or_default());
        let place = age.map_or(AGES.len() + 1, |age| {
            AGES.iter().position(|(hours, _)| age < HOUR * *hours as u32).unwrap_or(AGES.len())
        });
        counts[place] += 1;
    }
    let names = AGES.map(|(_, name)| name).into_iter().chain(["a week or older", "unknown"]);
    names.zip(counts).filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}

fn error_text(letter: &Letter) -> String {
    let text = letter.info.error_message.as_deref().or(letter.info.exception.as_deref()).unwrap_or("unknown");
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_in_steps() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 1_000;
        let times = [Some(now), Some(now - HOUR), Some(now - HOUR * 500), None, Some(now + HOUR)];
        let counted = by_age(times.into_iter(), now);
        let wanted = [("under an hour", 2), ("under a day", 1), ("a week or older", 1), ("unknown", 1)];
        assert_eq!(counted, wanted.map(|(name, count)| (name.to_owned(), count)));
    }
}
