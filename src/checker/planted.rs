//! Any valid run is clean, and what is planted in it is exactly what is found. The runs are concurrent: several members
//! with rebalances, crashes, frozen zombies and seeks, sends that time out, duplicates in the log, dead letters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Case, Severity, check};
use crate::history::story::{Story, dlq, out, owing, tp};
use crate::history::{Op, Origin, Outcome, Promises};
use crate::plan::TopicPartition;

mod owner;

use owner::Owner;

const PARTITIONS: i32 = 3;

/// What happens to one record on its way into the log.
#[derive(Clone, Debug)]
struct Life {
    partition: i32,
    key: u8,
    sent: Outcome,
    /// For an indeterminate one: it is in the log all the same.
    landed: bool,
    poison: bool,
    /// How long the acknowledgement takes.
    delay: u64,
}

fn life() -> impl Strategy<Value = Life> {
    let sent = prop_oneof![8 => Just(Outcome::Ok), 2 => Just(Outcome::Info), 1 => Just(Outcome::Fail), 1 => Just(Outcome::Invoke)];
    (0..PARTITIONS, 0..2u8, sent, any::<bool>(), prop::bool::weighted(0.1), 0..40u64)
        .prop_map(|(partition, key, sent, landed, poison, delay)| Life { partition, key, sent, landed, poison, delay })
}

/// What the group does with one topic partition, step after step.
#[derive(Clone, Debug)]
enum Step {
    /// Deliver so many and serve them.
    Poll(u8),
    Commit,
    /// Commit, give up, and the next member begins at the commit.
    Rebalance,
    /// Perhaps a commit that is never told; so many deliveries without an effect; the end. The next one begins at the commit.
    Crash {
        silent_commit: bool,
        unserved: u8,
    },
    /// The next member begins at the commit while the old one works off what it holds, then learns of its loss.
    Zombie(u8),
    SeekBack(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..5u8).prop_map(Step::Poll),
        3 => Just(Step::Commit),
        1 => Just(Step::Rebalance),
        1 => (any::<bool>(), 0..3u8).prop_map(|(silent_commit, unserved)| Step::Crash { silent_commit, unserved }),
        1 => (0..3u8).prop_map(Step::Zombie),
        1 => (1..4u8).prop_map(Step::SeekBack),
    ];
    prop::collection::vec(step, 0..12)
}

/// What goes wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    /// Acknowledged, and a hole in the log.
    LogLoss,
    /// Delivered, committed past, never served.
    AppLoss,
    /// In the log twice.
    Duplicate,
    /// Reported as failed.
    Disowned,
    /// Its acknowledgement names the offset before it.
    WrongOffset,
    /// Its dead letter lacks a header.
    Bare,
    /// Its first effect comes after everything else.
    Late,
    /// Never delivered, though served.
    Skipped,
    /// One part of its effects is missing; of one effect: all of it.
    PartLoss,
    /// Besides its parts it has one that there is not.
    Odd,
    /// Served, where its key is to be left out.
    Leak,
}

fn harm() -> impl Strategy<Value = Harm> {
    use Harm::*;
    let all = [LogLoss, AppLoss, Duplicate, Disowned, WrongOffset, Bare, Late, Skipped, PartLoss, Odd, Leak];
    prop::sample::select(all.to_vec())
}

/// One place in the input log.
#[derive(Clone, Copy, Debug)]
struct Entry {
    life: usize,
    offset: i64,
}

/// What the application owes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Owes {
    /// Effects of each record.
    effects: u32,
    /// Records of the first topic partition with its second key are left out.
    drops: bool,
}

impl Owes {
    const ONE: Self = Self { effects: 1, drops: false };
    const DROPPED: &str = "k0-1";

    fn nothing_for(self, life: &Life) -> bool {
        self.drops && (life.partition, life.key) == (0, 1)
    }
}

fn owes() -> impl Strategy<Value = Owes> {
    let effects = prop_oneof![2 => Just(1), 2 => 2..4u32, 1 => Just(5u32)];
    (effects, any::<bool>()).prop_map(|(effects, drops)| Owes { effects, drops })
}

struct Run<'a> {
    owes: Owes,
    lives: &'a [Life],
    harm: &'a BTreeMap<usize, Harm>,
    story: Story,
    ends: BTreeMap<TopicPartition, i64>,
    logs: BTreeMap<i32, Vec<Entry>>,
    found: BTreeMap<&'static str, u64>,
    members: usize,
}

impl Run<'_> {
    fn harm_of(&self, life: usize) -> Option<Harm> {
        self.harm.get(&life).copied()
    }

    fn plant(&mut self, kind: &'static str) {
        *self.found.entry(kind).or_default() += 1;
    }

    fn take(&mut self, tp: TopicPartition) -> i64 {
        let end = self.ends.entry(tp).or_insert(0);
        *end += 1;
        *end - 1
    }

    fn with(&mut self, change: impl FnOnce(Story) -> Story) {
        let story = std::mem::replace(&mut self.story, Story::new());
        self.story = change(story);
    }

    fn send_all(&mut self) {
        for at in 0..self.lives.len() {
            self.send(at);
        }
        self.with(|story| story.at(20_000));
    }

    fn send(&mut self, at: usize) {
        let life = &self.lives[at];
        let (id, key) = (at.to_string(), format!("k{}-{}", life.partition, life.key));
        let begun = 10 * at as u64;
        self.with(|story| story.at(begun).invoke_as(&id, life.partition, &key, Some(at as u64), life.poison));
        let harm = self.harm_of(at);
        let landed = match life.sent {
            Outcome::Ok => true,
            Outcome::Info | Outcome::Invoke => life.landed,
            Outcome::Fail => false,
        };
        let mut sent = life.sent;
        let offset = landed.then(|| self.take(tp(life.partition)));
        let mut told = offset.filter(|_| sent == Outcome::Ok);
        if let Some(offset) = offset {
            let before = self.logs.get(&life.partition).and_then(|log| log.last().copied());
            match harm {
                Some(Harm::Disowned) => {
                    (sent, told) = (Outcome::Fail, None);
                    self.plant("failed-but-present");
                }
                Some(Harm::WrongOffset) if sent == Outcome::Ok => {
                    // A place that nobody else is told of twice.
                    if let Some(before) = before.filter(|before| self.harm_of(before.life) != Some(Harm::WrongOffset)) {
                        told = Some(before.offset);
                        self.plant("inconsistent-offset");
                    }
                }
                _ => {}
            }
            if harm == Some(Harm::LogLoss) {
                // Only an acknowledged one is owed.
                if sent == Outcome::Ok {
                    self.plant("lost-in-log");
                }
            } else {
                self.logs.entry(life.partition).or_default().push(Entry { life: at, offset });
                self.with(|story| story.log_in(tp(life.partition), &id, offset, true));
                if harm == Some(Harm::Duplicate) {
                    let offset = self.take(tp(life.partition));
                    self.logs.entry(life.partition).or_default().push(Entry { life: at, offset });
                    self.with(|story| story.log_in(tp(life.partition), &id, offset, true));
                    self.plant("duplicate-in-log");
                }
            }
        }
        if sent != Outcome::Invoke {
            let (tp, delay) = (Some(tp(life.partition)), life.delay);
            self.with(|story| {
                let (r#type, key, seq, due) = (sent, None, None, None);
                let op = Op::Send { r#type, id, tp, key, seq, due, poison: false, offset: told, error: None };
                story.at(begun + delay).event(op)
            });
        }
    }

    fn serve(&mut self, entry: Entry) {
        let life = &self.lives[entry.life];
        let (id, r#type, partition) = (entry.life.to_string(), Outcome::Ok, life.partition);
        let harm = self.harm_of(entry.life);
        match harm {
            Some(Harm::AppLoss) => return,
            Some(Harm::Late) if !life.poison => return,
            _ if self.owes.nothing_for(life) && harm != Some(Harm::Leak) => return,
            _ => {}
        }
        if life.poison {
            let offset = self.take(dlq(partition));
            let complete = self.harm_of(entry.life) != Some(Harm::Bare);
            if !complete {
                self.plant("dead-letter-incomplete");
            }
            let origin = Some(Origin { tp: tp(partition), offset: entry.offset });
            self.with(|story| {
                let appended = Some(story.now());
                let (tp, error_class) = (dlq(partition), None);
                story.event(Op::DeadLetter { r#type, id, tp, offset, origin, complete, error_class, appended })
            });
        } else {
            for part in 0..self.owes.effects {
                if self.has(entry.life, part) {
                    self.effect(id.clone(), partition, Some(part));
                }
            }
            if harm == Some(Harm::Odd) && self.owes.effects > 1 {
                // The number after the last one, or none at all.
                let part = Some(self.owes.effects).filter(|_| entry.life.is_multiple_of(2));
                self.effect(id, partition, part);
            }
        }
    }

    /// A life's effects have this part, once they are there.
    fn has(&self, life: usize, part: u32) -> bool {
        self.harm_of(life) != Some(Harm::PartLoss) || life as u32 % self.owes.effects != part
    }

    /// Without a number where there is one effect, as a plain application writes it.
    fn effect(&mut self, id: String, partition: i32, part: Option<u32>) {
        let offset = self.take(out(partition));
        let part = part.filter(|_| self.owes.effects > 1);
        self.with(|story| {
            let appended = Some(story.now());
            story.effect_in(out(partition), &id, offset, appended, part)
        });
    }

    /// The group's work on one topic partition.
    fn consume(&mut self, partition: i32, steps: &[Step]) {
        let log = self.logs.get(&partition).cloned().unwrap_or_default();
        let end = self.ends.get(&tp(partition)).copied().unwrap_or(0);
        let mut skipped = BTreeSet::new();
        let mut committed = 0;
        let mut owner = Owner::new(self, partition, committed);
        for step in steps {
            match step {
                Step::Poll(n) => owner.poll(self, &log, *n, true, &mut skipped),
                Step::Commit => {
                    committed = owner.next;
                    owner.commit(self);
                }
                Step::Rebalance => {
                    committed = owner.next;
                    owner.commit(self);
                    owner.revoke(self, Outcome::Ok);
                    owner = Owner::new(self, partition, committed);
                }
                Step::Crash { silent_commit, unserved } => {
                    if *silent_commit {
                        committed = owner.next;
                    }
                    owner.poll(self, &log, *unserved, false, &mut skipped);
                    let actor = owner.actor.clone();
                    self.with(|story| story.signal(&actor, "member-exit", "signal: 9".into()));
                    owner = Owner::new(self, partition, committed);
                }
                Step::Zombie(n) => {
                    let mut zombie = std::mem::replace(&mut owner, Owner::new(self, partition, committed));
                    owner.poll(self, &log, 1, true, &mut skipped);
                    zombie.poll(self, &log, *n, true, &mut skipped);
                    zombie.revoke(self, Outcome::Fail);
                }
                Step::SeekBack(n) => owner.next = (owner.next - i64::from(*n)).max(owner.began),
            }
        }
        owner.poll(self, &log, u8::MAX, true, &mut skipped);
        owner.next = owner.next.max(end);
        owner.commit(self);
        for _ in skipped {
            self.plant("poll-skip");
        }
    }

    /// First effects that come last, and what of them is below another one of their key.
    fn late_effects(&mut self) {
        for partition in 0..PARTITIONS {
            let log = self.logs.get(&partition).cloned().unwrap_or_default();
            for (at, entry) in log.iter().enumerate() {
                let life = &self.lives[entry.life];
                let late = self.harm_of(entry.life) == Some(Harm::Late);
                if !late || life.poison || self.owes.nothing_for(life) {
                    continue;
                }
                let normal = |other: &Entry, part| {
                    let its = &self.lives[other.life];
                    let harmed = matches!(self.harm_of(other.life), Some(Harm::Late | Harm::AppLoss));
                    its.key == life.key && !its.poison && !harmed && self.has(other.life, part)
                };
                let behind = |part: &u32| log[at + 1..].iter().any(|other| normal(other, *part));
                let reordered = (0..self.owes.effects).filter(behind).count();
                (0..reordered).for_each(|_| self.plant("reordered"));
                for part in 0..self.owes.effects {
                    self.effect(entry.life.to_string(), partition, Some(part));
                }
            }
        }
    }

    /// What is decided by all that was served of a record.
    fn count_by_record(&mut self) {
        let logged: BTreeSet<usize> = self.logs.values().flatten().map(|entry| entry.life).collect();
        for at in logged {
            let life = &self.lives[at];
            let leaks = self.harm_of(at) == Some(Harm::Leak) && !life.poison;
            if self.owes.nothing_for(life) {
                if leaks {
                    self.plant("filtered-but-served");
                }
                continue;
            }
            match self.harm_of(at) {
                Some(Harm::AppLoss) => self.plant("lost-in-app"),
                Some(Harm::PartLoss) if !life.poison => self.plant("lost-in-app"),
                Some(Harm::Odd) if !life.poison && self.owes.effects > 1 => self.plant("unexpected"),
                _ => {}
            }
        }
    }

    fn close(&mut self) {
        for partition in 0..PARTITIONS {
            for topic in [tp, out, dlq] {
                let tp = topic(partition);
                let to = self.ends.get(&tp).copied().unwrap_or(0);
                self.with(|story| {
                    let story = if &*tp.topic == "orders" {
                        let (r#type, tp) = (Outcome::Ok, tp.clone());
                        story.by("group", Op::Commit { r#type, tp, offset: to, error: None })
                    } else {
                        story
                    };
                    story.read(tp, 0, to, Outcome::Ok)
                });
            }
        }
    }
}

/// A whole run with harm done, the strangers in its output topic, the truncations, and what must be found.
fn run(
    owes: Owes,
    lives: &[Life],
    steps: &[Vec<Step>],
    harm: &BTreeMap<usize, Harm>,
    (strangers, truncations): (u64, u64),
) -> (Story, BTreeMap<&'static str, u64>) {
    let promises = Promises { ordered: true, idempotent: true, exactly_once: false };
    let mut story = Story::new().promising(promises);
    if owes != Owes::ONE {
        let drops: &[&str] = if owes.drops { &[Owes::DROPPED] } else { &[] };
        let mut plan = owing(owes.effects, drops);
        plan.topic.partitions = PARTITIONS;
        story = story.planned(plan);
    }
    let mut run = Run {
        owes,
        lives,
        harm,
        story,
        ends: BTreeMap::new(),
        logs: BTreeMap::new(),
        found: BTreeMap::new(),
        members: 0,
    };
    run.send_all();
    for (partition, steps) in (0..).zip(steps) {
        run.consume(partition, steps);
    }
    run.late_effects();
    run.count_by_record();
    for stranger in 0..strangers {
        run.effect(format!("stranger-{stranger}"), 0, Some(0));
        run.plant("unexpected");
    }
    // Looks at a leader: up, and down again where it is planted and something was acknowledged.
    let acked = lives.iter().enumerate().any(|(at, life)| {
        let told = !matches!(harm.get(&at), Some(Harm::Disowned));
        life.partition == 0 && life.sent == Outcome::Ok && told
    });
    let top = run.ends.get(&tp(0)).copied().unwrap_or(0);
    for round in 0..truncations {
        let epoch = 2 * round as i32;
        run.with(|story| story.watermark(epoch, top).watermark(epoch + 1, 0));
        if acked {
            run.plant("truncation");
        }
    }
    run.close();
    (run.story, run.found)
}

fn weighty(story: &Story) -> BTreeMap<String, u64> {
    let history = story.history();
    let findings = check(&Case::of(&history));
    // Perhaps nothing was sent, and no run had phases.
    let known = |kind: &str| matches!(kind, "no-traffic" | "baseline-unhealthy");
    let heavy = findings.into_iter().filter(|finding| finding.found() && finding.severity != Severity::Counted);
    heavy.map(|finding| (finding.kind, finding.count)).filter(|(kind, _)| !known(kind)).collect()
}

/// A thousand, or as many as `SEAWORTHY_CASES` says.
fn cases() -> u32 {
    std::env::var("SEAWORTHY_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

fn worlds() -> impl Strategy<Value = (Vec<Life>, Vec<Vec<Step>>)> {
    (prop::collection::vec(life(), 1..40), prop::collection::vec(steps(), PARTITIONS as usize))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_wrong_with_any_valid_run(owes in owes(), (lives, steps) in worlds()) {
        let (story, _) = run(owes, &lives, &steps, &BTreeMap::new(), (0, 0));
        prop_assert_eq!(weighty(&story), BTreeMap::new());
    }

    #[test]
    fn exactly_the_planted_anomalies_are_found(
        owes in owes(),
        (lives, steps) in worlds(),
        harm in prop::collection::btree_map(0..40usize, harm(), 1..10),
        strangers in 0..3u64,
        truncations in 0..3u64,
    ) {
        let (story, planted) = run(owes, &lives, &steps, &harm, (strangers, truncations));
        let planted: BTreeMap<String, u64> = planted.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect();
        prop_assert_eq!(weighty(&story), planted);
    }
}

#[test]
fn every_kind_of_harm_is_really_planted_and_found() {
    use Harm::*;
    let harms = [LogLoss, AppLoss, Duplicate, Disowned, WrongOffset, Bare, Late, Skipped, PartLoss, Odd, Leak];
    let record = |at: usize| {
        let (key, poison) = (u8::from(at == 21), at == 11);
        Life { partition: 0, key, sent: Outcome::Ok, landed: true, poison, delay: 1 }
    };
    let lives: Vec<Life> = (0..24).map(record).collect();
    // One harmed record between two good ones; the bare dead letter is the poison one, and one key is to be left out.
    let harm: BTreeMap<usize, Harm> = (1..).step_by(2).zip(harms).collect();
    let (story, _) = run(Owes { effects: 2, drops: true }, &lives, &[vec![], vec![], vec![]], &harm, (1, 1));
    let expected = [
        ("dead-letter-incomplete", 1),
        ("duplicate-in-log", 1),
        ("failed-but-present", 1),
        ("filtered-but-served", 1),
        ("inconsistent-offset", 1),
        // Whole, and a part.
        ("lost-in-app", 2),
        ("lost-in-log", 1),
        ("poll-skip", 1),
        // Both parts of one record.
        ("reordered", 2),
        ("truncation", 1),
        // A stranger, and a part that there is not.
        ("unexpected", 2),
    ];
    assert_eq!(weighty(&story), expected.map(|(kind, n)| (kind.to_owned(), n)).into());
}
