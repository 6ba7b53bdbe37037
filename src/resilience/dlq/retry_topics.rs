//! Retry topics: where a record waits for its next attempt without holding those behind it.

use std::time::{Duration, SystemTime};

use super::headers::{RETRY_NOT_BEFORE, original_headers};
use super::{DeadLetterInfo, DeadLetterQueue, Failure, SMALL_TEXT};
use crate::resilience::Invalid;
use crate::resilience::record::{Incoming, Record, last_header};
use crate::resilience::settings::HeaderPreset;

/// Non-blocking retries. A record whose retries in place are used up goes to `<topic>.retry.1`, is handled again there
/// after the first delay, goes on to `<topic>.retry.2`, and so on; after the last one the consumer's `on-exhausted`
/// decides. The topics must exist; their partitions should be as many as the input's.
///
/// **They give up the order per key.** Records of the same key that come later are handled first, while this one waits.
/// Use them where each record stands for itself; where the order matters, leave them out: then a record that fails for
/// retriable reasons holds its topic partition.
///
/// The delay of one topic is the same for all its records, so that the first in it is always the next one due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryTopics {
    delays: Vec<Duration>,
}

/// A record out of a retry topic, as it was before it went there.
#[derive(Debug)]
pub(in crate::resilience) struct Retried {
    /// With the topic, partition and offset of its origin, and its own headers.
    pub original: Incoming,
    /// Handler calls before.
    pub attempts: u32,
    pub first_failure: Option<SystemTime>,
    pub not_before: SystemTime,
    /// The retry topic's number, from 1.
    pub level: usize,
}

impl RetryTopics {
    /// One retry topic for each of `delays`.
    ///
    /// # Errors
    /// No delay, one of zero, or one that is shorter than the one before.
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, Invalid> {
        let delays: Vec<Duration> = delays.into_iter().collect();
        let problem = if delays.is_empty() {
            Some("there is none".to_owned())
        } else if delays.iter().any(Duration::is_zero) {
            Some("one is 0".to_owned())
        } else {
            let falls = delays.windows(2).find(|pair| pair[1] < pair[0]);
            falls.map(|pair| format!("{:?} comes after {:?}", pair[1], pair[0]))
        };
        match problem {
            Some(problem) => Err(Invalid::new("retry-topics", problem)),
            None => Ok(Self { delays }),
        }
    }

    /// The retry topics of `input`, in order.
    pub fn topics_of(&self, input: &str) -> impl Iterator<Item = String> {
        (1..=self.delays.len()).map(move |level| topic(input, level))
    }

    /// Whether there is a retry topic number `level`, from 1.
    pub(in crate::resilience) fn has(&self, level: usize) -> bool {
        (1..=self.delays.len()).contains(&level)
    }

    /// The record for the retry topic after `level` (0: it is in its input topic). `None`: that was the last one.
    pub(in crate::resilience) fn next(
        &self,
        queue: &DeadLetterQueue,
        original: &Incoming,
        failure: &Failure,
        at: SystemTime,
        level: usize,
        small: bool,
    ) -> Option<Record> {
        let due = at + *self.delays.get(level)?;
        let millis = due.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let to = topic(&original.topic, level + 1);
        let text = if small { SMALL_TEXT } else { usize::MAX };
        let mut record = queue.parked(HeaderPreset::Plain, to, original, failure, at, text);
        record.headers.push((RETRY_NOT_BEFORE.to_owned(), Some(millis.to_string().into_bytes())));
        Some(record)
    }

    /// Reads a record that was taken from a retry topic; gives it back if it was not, or if its headers do not say
    /// where it is from.
    #[expect(clippy::result_large_err, reason = "no error: the record is given back as it was taken")]
    pub(in crate::resilience) fn read(&self, taken: Incoming) -> Result<Retried, Incoming> {
        let info = DeadLetterInfo::from_headers(&taken.headers);
        let due = last_header(&taken.headers, RETRY_NOT_BEFORE).and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
        let (Some((input, partition, offset)), Some(due)) = (info.origin(), due) else { return Err(taken) };
        let Some(level) = (1..=self.delays.len()).find(|level| topic(input, *level) == taken.topic) else {
            return Err(taken);
        };
        let original = Incoming {
            topic: input.to_owned(),
            partition,
            offset,
            timestamp: info.original_timestamp,
            headers: original_headers(&taken.headers),
            ..taken
        };
        Ok(Retried {
            original,
            attempts: info.attempts.unwrap_or(0),
            first_failure: info.first_failure,
            not_before: SystemTime::UNIX_EPOCH + Duration::from_millis(due),
            level,
        })
    }

    /// How long to wait at `now`: never longer than the topic's delay, whatever the clocks say.
    pub(in crate::resilience) fn wait(&self, retried: &Retried, now: SystemTime) -> Duration {
        let most = self.delays.get(retried.level - 1).copied().unwrap_or_default();
        retried.not_before.duration_since(now).unwrap_or_default().min(most)
    }
}

fn topic(input: &str, level: usize) -> String {
    format!("{input}.retry.{level}")
}
