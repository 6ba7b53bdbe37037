//! A member's time with one topic partition.

use std::collections::BTreeSet;

use super::{Entry, Harm, Run};
use crate::history::story::tp;
use crate::history::{Op, Outcome};

/// One assignment of one topic partition.
pub(super) struct Owner {
    pub actor: String,
    partition: i32,
    pub began: i64,
    pub next: i64,
    highest: Option<i64>,
}

impl Owner {
    pub fn new(run: &mut Run<'_>, partition: i32, began: i64) -> Self {
        run.members += 1;
        let actor = format!("member-{}", run.members % 3 + 3 * partition as usize);
        let op = Op::Assign { r#type: Outcome::Ok, tps: vec![tp(partition)], generation: Some(run.members as i32) };
        run.with(|story| story.by(&actor, op));
        Self { actor, partition, began, next: began, highest: None }
    }

    /// Delivers up to `n` records; `serve`: with what follows from it. What is planted to be skipped is passed over, and
    /// served all the same.
    pub fn poll(&mut self, run: &mut Run<'_>, log: &[Entry], n: u8, serve: bool, skipped: &mut BTreeSet<i64>) {
        let mut passed = Vec::new();
        let mut left = n;
        for entry in log {
            if entry.offset < self.next || left == 0 {
                continue;
            }
            if run.harm_of(entry.life) == Some(Harm::Skipped) {
                passed.push(*entry);
                continue;
            }
            left -= 1;
            for passed in passed.drain(..) {
                // Before the first delivery of an assignment nobody can tell, for it was served.
                if self.highest.is_some_and(|highest| passed.offset > highest) {
                    skipped.insert(passed.offset);
                }
                if serve {
                    run.serve(passed);
                }
            }
            let (id, tp) = (entry.life.to_string(), tp(self.partition));
            let op = Op::Deliver { r#type: Outcome::Ok, id, tp, offset: entry.offset };
            run.with(|story| story.by(&self.actor, op));
            if serve {
                run.serve(*entry);
            }
            self.highest = self.highest.max(Some(entry.offset));
            self.next = entry.offset + 1;
        }
        if n == u8::MAX {
            for passed in passed {
                run.serve(passed);
            }
        }
    }

    pub fn commit(&self, run: &mut Run<'_>) {
        let op = Op::Commit { r#type: Outcome::Ok, tp: tp(self.partition), offset: self.next, error: None };
        run.with(|story| story.by(&self.actor, op));
    }

    pub fn revoke(self, run: &mut Run<'_>, r#type: Outcome) {
        let op = Op::Revoke { r#type, tps: vec![tp(self.partition)], generation: None };
        run.with(|story| story.by(&self.actor, op));
    }
}
