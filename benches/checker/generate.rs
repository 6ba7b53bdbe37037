//! A history as a correct application leaves it after an uneventful run, of any length.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use seaworthy::history::{Header, Promises, Topics};
use seaworthy::rng::Rng;
use seaworthy::scenario;

use super::Outcome;

const PARTITIONS: usize = 12;
const KEYS: u64 = 1_000;
/// Nanoseconds from one record to the next: ten thousand a second.
const EVERY: u64 = 100_000;
/// Records from one commit to the next.
const COMMIT: u64 = 100;
/// Of a record that everything went well with: sent, acknowledged, delivered, found, served, and its share of commits.
const LINES: f64 = 5.0 + 1.0 / COMMIT as f64;

pub struct Generated {
    pub operations: u64,
    pub records: u64,
}

/// One record in a hundred has something rare: an indeterminate send that is in the log, a second delivery, a dead letter.
pub fn history(path: &Path, operations: u64, plan: bool) -> Outcome<Generated> {
    let records = (operations as f64 / LINES) as u64;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    serde_json::to_writer(&mut out, &header(plan)?)?;
    writeln!(out)?;
    let mut file = Lines { out, count: 0 };
    let end = records * EVERY;
    if plan {
        for (t, name) in [(0, "warm-up"), (1_000, "baseline"), (end / 2, "observe")] {
            file.put(format_args!(r#"{{"t":{t},"op":"phase","name":"{name}"}}"#))?;
        }
    }
    for partition in 0..PARTITIONS {
        let member = partition % 3;
        file.put(format_args!(
            r#"{{"t":1,"actor":"member-{member}","op":"assign","type":"ok","tps":["orders/{partition}"],"generation":1}}"#
        ))?;
    }
    let mut rng = Rng::new(1);
    let mut sequences = vec![0u64; KEYS as usize];
    let mut log: Vec<Vec<Sent>> = vec![Vec::new(); PARTITIONS];
    for id in 0..records {
        let key = rng.u64() % KEYS;
        let partition = key as usize % PARTITIONS;
        let rare = if rng.u64().is_multiple_of(100) { Some(rng.u64() % 3) } else { None };
        let (seq, offset) = (sequences[key as usize], log[partition].len());
        sequences[key as usize] += 1;
        let due = id * EVERY;
        let (t, acked, delivered) = (due + 20_000, due + 2_000_000 + rng.u64() % 1_000_000, due + 5_000_000);
        let poison = if rare == Some(2) { r#","poison":true"# } else { "" };
        file.put(format_args!(
            r#"{{"t":{t},"actor":"producer-0","op":"send","type":"invoke","id":"{id}","tp":"orders/{partition}","key":"k{key}","seq":{seq},"due":{due}{poison}}}"#
        ))?;
        // The first half is a baseline, which has to be healthy.
        if rare == Some(0) && 2 * id > records {
            file.put(format_args!(
                r#"{{"t":{acked},"actor":"producer-0","op":"send","type":"info","id":"{id}","tp":"orders/{partition}","error":{{"code":-192,"name":"MSG_TIMED_OUT","class":"temporary","persistence":"possibly"}}}}"#
            ))?;
        } else {
            file.put(format_args!(
                r#"{{"t":{acked},"actor":"producer-0","op":"send","type":"ok","id":"{id}","tp":"orders/{partition}","offset":{offset}}}"#
            ))?;
        }
        let member = partition % 3;
        for again in 0..if rare == Some(1) { 2 } else { 1 } {
            let delivered = delivered + again;
            file.put(format_args!(
                r#"{{"t":{delivered},"actor":"member-{member}","op":"deliver","type":"ok","id":"{id}","tp":"orders/{partition}","offset":{offset}}}"#
            ))?;
        }
        log[partition].push(Sent { id: id as u32, dead: rare == Some(2) });
        if (log[partition].len() as u64).is_multiple_of(COMMIT) {
            let (t, next) = (delivered + 4_000_000, offset + 1);
            file.put(format_args!(
                r#"{{"t":{t},"actor":"member-{member}","op":"commit","type":"ok","tp":"orders/{partition}","offset":{next}}}"#
            ))?;
        }
    }
    let t = end + 5_000_000_000;
    if plan {
        file.put(format_args!(r#"{{"t":{end},"op":"phase","name":"settle"}}"#))?;
    }
    for (partition, log) in log.iter().enumerate() {
        let to = log.len();
        file.put(format_args!(
            r#"{{"t":{t},"actor":"group","op":"commit","type":"ok","tp":"orders/{partition}","offset":{to}}}"#
        ))?;
        for (offset, sent) in log.iter().enumerate() {
            let id = sent.id;
            file.put(format_args!(
                r#"{{"t":{t},"op":"log-read","type":"ok","id":"{id}","tp":"orders/{partition}","offset":{offset}}}"#
            ))?;
        }
        let (mut effects, mut letters) = (0, 0);
        for (origin, sent) in log.iter().enumerate() {
            let id = sent.id;
            let appended = u64::from(id) * EVERY + 8_000_000;
            if sent.dead {
                file.put(format_args!(
                    r#"{{"t":{t},"op":"dead-letter","type":"ok","id":"{id}","tp":"orders.dlq/{partition}","offset":{letters},"origin":{{"tp":"orders/{partition}","offset":{origin}}},"complete":true,"appended":{appended}}}"#
                ))?;
                letters += 1;
            } else {
                file.put(format_args!(
                    r#"{{"t":{t},"op":"effect","type":"ok","id":"{id}","tp":"orders.out/{partition}","offset":{effects},"appended":{appended}}}"#
                ))?;
                effects += 1;
            }
        }
        for (topic, to) in [("orders", to), ("orders.out", effects), ("orders.dlq", letters)] {
            file.put(format_args!(
                r#"{{"t":{t},"op":"final-read","type":"ok","tp":"{topic}/{partition}","from":0,"to":{to}}}"#
            ))?;
        }
    }
    file.out.flush()?;
    Ok(Generated { operations: file.count, records })
}

#[derive(Clone, Copy)]
struct Sent {
    id: u32,
    dead: bool,
}

struct Lines {
    out: BufWriter<File>,
    count: u64,
}

impl Lines {
    fn put(&mut self, line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
        self.count += 1;
        self.out.write_fmt(line)?;
        self.out.write_all(b"\n")
    }
}

fn header(plan: bool) -> Outcome<Header> {
    let mut header = Header {
        seaworthy_history: 1,
        scenario: "generated".into(),
        seed: 1,
        started_at: "2026-01-01T00:00:00Z".into(),
        group: "g1".into(),
        topics: Topics { input: "orders".into(), output: "orders.out".into(), dead_letter: "orders.dlq".into() },
        promises: Promises { idempotent: true, ordered: true, exactly_once: false },
        plan: None,
    };
    if plan {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/baseline.toml");
        let mut plan = scenario::load(&path).map_err(|invalid| invalid.render(false))?;
        plan.topic.partitions = PARTITIONS as i32;
        header.plan = Some(Box::new(plan));
    }
    Ok(header)
}
