//! What `seaworthy dlq` prints, for people and as JSON.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::resilience::record::Headers;
use crate::resilience::reprocess::{Letter, LetterState, Overview, Replay, Replayed};

/// No more lines of a ranking than this, for people.
const RANKED: usize = 10;

fn age(since: Option<SystemTime>, now: SystemTime) -> Option<Duration> {
    Some(Duration::from_secs(now.duration_since(since?).unwrap_or_default().as_secs()))
}

fn letters(count: u64) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}

fn summary(overview: &Overview, now: SystemTime) -> String {
    let oldest = match age(overview.oldest, now) {
        Some(age) => format!(", the oldest {} old", humantime::format_duration(age)),
        None => String::new(),
    };
    let Overview { depth, last_minute, last_hour, .. } = overview;
    format!("{} waiting{oldest}; {last_minute} came in the last minute, {last_hour} in the last hour", letters(*depth))
}

pub(super) fn overview(overview: &Overview, now: SystemTime) -> String {
    let mut text = format!("{}: {}\n", overview.topic, summary(overview, now));
    if overview.failed_again > 0 {
        let _ = writeln!(text, "{} of them were replayed before and failed again", overview.failed_again);
    }
    for (title, ranking) in [
        ("error class", &overview.by_class),
        ("origin", &overview.by_origin),
        ("age", &overview.by_age),
        ("error", &overview.by_error),
    ] {
        if ranking.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\nby {title}");
        for (word, count) in ranking.iter().take(RANKED) {
            let _ = writeln!(text, "{count:>8}  {word}");
        }
        if ranking.len() > RANKED {
            let rest: u64 = ranking[RANKED..].iter().map(|(_, count)| count).sum();
            let _ = writeln!(text, "{rest:>8}  {} others", ranking.len() - RANKED);
        }
    }
    text
}

/// One look of `watch`.
pub(super) fn line(overview: &Overview, now: SystemTime) -> String {
    let top: Vec<String> = overview.by_class.iter().take(3).map(|(class, count)| format!("{class} {count}")).collect();
    let top = if top.is_empty() { String::new() } else { format!(" ({})", top.join(", ")) };
    format!("{}  {}{top}", humantime::format_rfc3339_seconds(now), summary(overview, now))
}

pub(super) fn overview_json(overview: &Overview, now: SystemTime) -> Value {
    let ranking = |ranking: &[(String, u64)]| -> Value {
        ranking.iter().map(|(name, count)| json!({ "name": name, "count": count })).collect()
    };
    let partitions: Value = overview
        .partitions
        .iter()
        .map(|p| json!({ "partition": p.partition, "begin": p.begin, "end": p.end, "depth": p.depth }))
        .collect();
    json!({
        "schema_version": 1,
        "at": humantime::format_rfc3339_millis(now).to_string(),
        "topic": overview.topic,
        "group": overview.group,
        "depth": overview.depth,
        "partitions": partitions,
        "oldest_age_s": age(overview.oldest, now).map(|age| age.as_secs()),
        "last_minute": overview.last_minute,
        "last_hour": overview.last_hour,
        "failed_again": overview.failed_again,
        "by_class": ranking(&overview.by_class),
        "by_origin": ranking(&overview.by_origin),
        "by_age": ranking(&overview.by_age),
        "by_error": ranking(&overview.by_error),
    })
}

pub(super) fn letter(letter: &Letter) -> String {
    let record = &letter.record;
    let mut text = format!(
        "{}/{}/{}  {}\n",
        record.topic,
        record.partition,
        record.offset,
        match letter.state {
            LetterState::Pending => "waiting",
            LetterState::Reprocessed => "reprocessed",
        }
    );
    let info = &letter.info;
    let mut fact = |name: &str, value: Option<String>| {
        let _ = writeln!(text, "{name:<16}{}", value.unwrap_or_else(|| "not said".to_owned()));
    };
    fact("id", info.dead_letter_id.clone());
    fact("given up", letter.time().map(|time| humantime::format_rfc3339_millis(time).to_string()));
    fact("by", info.consumer_group.clone());
    fact("error class", Some(letter.error_class().to_owned()));
    fact("error", info.error_message.clone());
    if let Some(code) = info.error_code {
        fact("code", Some(code.to_string()));
    }
    fact("attempts", info.attempts.map(|n| n.to_string()));
    fact("replays", Some(info.replays.to_string()));
    let _ = writeln!(text, "\nheaders");
    for (name, value) in &record.headers {
        let _ = writeln!(text, "  {name} = {}", bytes(value.as_deref()));
    }
    let _ = writeln!(text, "\nkey\n{}", block(record.key.as_deref()));
    let _ = writeln!(text, "\nvalue\n{}", block(record.payload.as_deref()));
    text
}

/// Text of one line where it is text, else hexadecimal.
fn bytes(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "null".to_owned() };
    match readable(value) {
        Some(text) => text.replace('\n', "\\n"),
        None => value.iter().fold("0x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

/// Text as it is; else offset, hexadecimal and characters, 16 bytes a line.
fn block(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "  null".to_owned() };
    if let Some(text) = readable(value) {
        return text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    }
    let row = |(index, chunk): (usize, &[u8])| {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = chunk.iter().map(shown).collect();
        format!("  {:08x}  {:<47}  {text}", index * 16, hex.join(" "))
    };
    value.chunks(16).enumerate().map(row).collect::<Vec<_>>().join("\n")
}

fn readable(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| !text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)))
}

/// Bytes as JSON: text where it is text, else hexadecimal; never both.
fn bytes_json(value: Option<&[u8]>) -> Value {
    match value {
        None => Value::Null,
        Some(value) => match readable(value) {
            Some(text) => json!({ "text": text }),
            None => json!({ "hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
        },
    }
}

pub(super) fn letter_json(letter: &Letter) -> Value {
    let (record, info) = (&letter.record, &letter.info);
    let time = |time: Option<SystemTime>| time.map(|time| humantime::format_rfc3339_millis(time).to_string());
    let headers = |headers: &Headers| -> Value {
        headers.iter().map(|(name, value)| json!({ "name": name, "value": bytes_json(value.as_deref()) })).collect()
    };
    json!({
        "schema_version": 1,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "state": match letter.state { LetterState::Pending => "waiting", LetterState::Reprocessed => "reprocessed" },
        "id": info.dead_letter_id,
        "origin": info.origin().map(|(topic, partition, offset)| json!({ "topic": topic, "partition": partition, "offset": offset })),
        "given_up": time(letter.time()),
        "consumer_group": info.consumer_group,
        "error_class": letter.error_class(),
        "error_message": info.error_message,
        "error_code": info.error_code,
        "attempts": info.attempts,
        "first_failure": time(info.first_failure),
        "replays": info.replays,
        "complete": info.complete(),
        "headers": headers(&record.headers),
        "key": bytes_json(record.key.as_deref()),
        "value": bytes_json(record.payload.as_deref()),
    })
}

pub(super) fn replayed(done: &Replayed, replay: &Replay) -> String {
    let verb = match (replay.dry_run, replay.discard) {
        (false, false) => "replayed",
        (false, true) => "discarded",
        (true, false) => "would be replayed",
        (true, true) => "would be discarded",
    };
    let mut text = format!("{} {verb}", letters(done.replayed));
    let mut more = |count: u64, words: &str| {
        if count > 0 {
            let _ = write!(text, "\n{count:>8}  {words}");
        }
    };
    more(done.duplicates, "copies of a letter that is reprocessed: not sent again");
    let looping = format!("left: replayed {} times before (--max-replays)", replay.max_replays);
    more(done.looping, &looping);
    more(done.unreplayable, "left: no origin, no such topic, or refused by it (--to names another)");
    more(done.left, "left by the filter");
    if done.stopped {
        text.push_str("\ninterrupted: start it again to go on");
    }
    text
}

pub(super) fn replayed_json(done: &Replayed, replay: &Replay) -> Value {
    json!({
        "schema_version": 1,
        "dry_run": replay.dry_run,
        "discard": replay.discard,
        "replayed": done.replayed,
        "duplicates": done.duplicates,
        "looping": done.looping,
        "unreplayable": done.unreplayable,
        "left": done.left,
        "stopped": done.stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_are_text() {
        assert_eq!(bytes(Some(b"a\nb")), "a\\nb");
        assert_eq!(bytes(Some(&[0, 0, 0, 2])), "0x00000002");
        assert_eq!(bytes(None), "null");
        assert_eq!(block(Some(b"{\n}")), "  {\n  }");
        assert_eq!(block(Some(&[1, b'a'])), "  00000000  01 61                                            .a");
        assert_eq!(bytes_json(Some(&[255])), json!({ "hex": "ff" }));
        assert_eq!(bytes_json(None), Value::Null);
    }

    #[test]
    fn a_replay_says_what_it_left_and_why() {
        let mut done = Replayed::default();
        (done.replayed, done.looping, done.stopped) = (1, 2, true);
        assert_eq!(
            replayed(&done, &Replay::default()),
            "1 letter replayed\n       2  left: replayed 3 times before (--max-replays)\ninterrupted: start it again to go on"
        );
    }
}
