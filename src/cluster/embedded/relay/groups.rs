//! What the traffic of the classic group protocol tells of a group: the mock cannot be asked about one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::GroupState;
use crate::cluster::admin::assigned_in;
use crate::cluster::wire::{Reader, WireError};
use crate::plan::TopicPartition;

const JOIN_GROUP: i16 = 11;
const SYNC_GROUP: i16 = 14;

/// All groups of a cluster.
#[derive(Default)]
pub(in crate::cluster::embedded) struct Groups(Mutex<BTreeMap<String, Group>>);

#[derive(Default)]
struct Group {
    /// Requests to join, and for an assignment, that wait for their answer.
    waiting: usize,
    /// The latest that a member was let into.
    generation: i32,
    /// Its members, and what each of them got to own; `None`: it has not asked yet.
    members: BTreeMap<String, Option<BTreeSet<TopicPartition>>>,
}

/// A request of a group's member that waits for its answer. Dropped without one, it waits no more.
pub(in crate::cluster::embedded) struct Turn<'a> {
    groups: &'a Groups,
    group: String,
    asked: Asked,
}

enum Asked {
    Join { version: i16 },
    Sync { version: i16, generation: i32, member: String },
}

impl Groups {
    /// Somebody asks for the group's coordinator.
    pub fn note(&self, group: String) {
        self.lock().entry(group).or_default();
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// As far as the traffic tells. `unknown`: nobody has joined by the classic protocol.
    pub fn state(&self, group: &str) -> GroupState {
        let groups = self.lock();
        let Some(group) = groups.get(group).filter(|group| group.waiting > 0 || !group.members.is_empty()) else {
            return GroupState { state: "unknown".to_owned(), ..GroupState::default() };
        };
        let settled = group.waiting == 0 && group.members.values().all(Option::is_some);
        GroupState {
            state: if settled { "Stable" } else { "PreparingRebalance" }.to_owned(),
            members: group.members.len(),
            assigned: group.members.values().flatten().flatten().cloned().collect(),
        }
    }

    /// A request begins. `None`: it is none of those that tell something, or cannot be read.
    pub fn begin(&self, api: i16, version: i16, request: &[u8]) -> Option<Turn<'_>> {
        let (group, asked) = read_request(api, version, request).ok().flatten()?;
        self.lock().entry(group.clone()).or_default().waiting += 1;
        Some(Turn { groups: self, group, asked })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Its answer has come.
    pub fn end(self, reply: &[u8]) {
        let mut groups = self.groups.lock();
        let group = groups.entry(self.group.clone()).or_default();
        match &self.asked {
            Asked::Join { version } => {
                let Ok((generation, member)) = joined(*version, reply) else { return };
                if generation > group.generation {
                    (group.generation, group.members) = (generation, BTreeMap::new());
                }
                if generation == group.generation {
                    group.members.insert(member, None);
                }
            }
            Asked::Sync { version, generation, member } => {
                let Ok(owned) = assigned(*version, reply) else { return };
                if *generation == group.generation {
                    group.members.insert(member.clone(), Some(owned));
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.groups.lock().get_mut(&self.group) {
            group.waiting = group.waiting.saturating_sub(1);
        }
    }
}

/// From which version on headers and strings are of the compact form. The mock offers no version that is not known here.
fn is_compact(api: i16, version: i16) -> bool {
    version >= if api == JOIN_GROUP { 6 } else { 4 }
}

fn read_request(api: i16, version: i16, request: &[u8]) -> Result<Option<(String, Asked)>, WireError> {
    if ![JOIN_GROUP, SYNC_GROUP].contains(&api) {
        return Ok(None);
    }
    let compact = is_compact(api, version);
    let mut reader = Reader::of_request(request.to_vec(), compact)?;
    let group = reader.string_in(compact)?;
    if api == JOIN_GROUP {
        return Ok(Some((group, Asked::Join { version })));
    }
    let (generation, member) = (reader.i32()?, reader.string_in(compact)?);
    Ok(Some((group, Asked::Sync { version, generation, member })))
}

/// The generation, and the member's own id.
fn joined(version: i16, reply: &[u8]) -> Result<(i32, String), WireError> {
    let compact = is_compact(JOIN_GROUP, version);
    let mut reader = Reader::of_reply(reply.to_vec(), compact)?;
    if version >= 2 {
        reader.i32()?; // throttle time
    }
    reader.success()?;
    let generation = reader.i32()?;
    reader.string_in(compact)?; // protocol
    reader.string_in(compact)?; // leader
    Ok((generation, reader.string_in(compact)?))
}

fn assigned(version: i16, reply: &[u8]) -> Result<BTreeSet<TopicPartition>, WireError> {
    let compact = is_compact(SYNC_GROUP, version);
    let mut reader = Reader::of_reply(reply.to_vec(), compact)?;
    if version >= 1 {
        reader.i32()?; // throttle time
    }
    reader.success()?;
    let length = reader.len_in(compact)?;
    // A member may get nothing, and that may be no bytes at all.
    if length == 0 {
        return Ok(BTreeSet::new());
    }
    Ok(assigned_in(reader.take(length)?)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cluster::wire::Writer;

    fn put(writer: &mut Writer, compact: bool, value: &str) {
        if compact {
            writer.compact_string(value)
        } else {
            writer.string(value)
        };
    }

    fn request(api: i16, version: i16, body: impl Fn(&mut Writer, bool)) -> Vec<u8> {
        let (mut writer, compact) = (Writer::default(), is_compact(api, version));
        writer.i16(api).i16(version).i32(7).string("client");
        if compact {
            writer.tags();
        }
        body(&mut writer, compact);
        writer.into_bytes()
    }

    fn reply(api: i16, version: i16, error: i16, rest: impl Fn(&mut Writer, bool)) -> Vec<u8> {
        let (mut writer, compact) = (Writer::default(), is_compact(api, version));
        writer.i32(7);
        if compact {
            writer.tags();
        }
        writer.i32(0).i16(error);
        rest(&mut writer, compact);
        writer.into_bytes()
    }

    fn join<'a>(groups: &'a Groups, version: i16) -> Turn<'a> {
        let bytes = request(JOIN_GROUP, version, |w, compact| put(w, compact, "g"));
        groups.begin(JOIN_GROUP, version, &bytes).expect("a request to join")
    }

    fn let_in(turn: Turn<'_>, version: i16, generation: i32, member: &str) {
        turn.end(&reply(JOIN_GROUP, version, 0, |w, compact| {
            w.i32(generation);
            ["range", "a", member].iter().for_each(|value| put(w, compact, value));
        }));
    }

    fn sync(groups: &Groups, version: i16, generation: i32, member: &str, partitions: &[i32]) {
        let bytes = request(SYNC_GROUP, version, |w, compact| {
            put(w, compact, "g");
            w.i32(generation);
            put(w, compact, member);
        });
        let turn = groups.begin(SYNC_GROUP, version, &bytes).expect("a request for an assignment");
        let mut owned = Writer::default();
        owned.i16(0).i32(1).string("t").i32(partitions.len() as i32);
        for number in partitions {
            owned.i32(*number);
        }
        turn.end(&reply(SYNC_GROUP, version, 0, |w, compact| {
            if compact {
                w.compact_len(owned.len())
            } else {
                w.i32(owned.len() as i32)
            };
            w.append(&owned);
        }));
    }

    fn state(groups: &Groups) -> (String, usize, usize) {
        let state = groups.state("g");
        (state.state, state.members, state.assigned.len())
    }

    #[rstest]
    fn a_group_is_stable_once_all_that_were_let_in_have_their_share(
        #[values(2, 5, 6)] join_version: i16,
        #[values(1, 3, 4)] sync_version: i16,
    ) {
        let groups = Groups::default();
        groups.note("g".to_owned());
        assert_eq!(state(&groups), ("unknown".to_owned(), 0, 0));
        let (a, b) = (join(&groups, join_version), join(&groups, join_version));
        assert_eq!(state(&groups).0, "PreparingRebalance");
        let_in(a, join_version, 1, "a");
        let_in(b, join_version, 1, "b");
        assert_eq!(state(&groups), ("PreparingRebalance".to_owned(), 2, 0));
        sync(&groups, sync_version, 1, "a", &[0, 1]);
        assert_eq!(state(&groups).0, "PreparingRebalance");
        sync(&groups, sync_version, 1, "b", &[2]);
        assert_eq!(state(&groups), ("Stable".to_owned(), 2, 3));
        // Another comes: nobody is settled before all have joined anew.
        let c = join(&groups, join_version);
        assert_eq!(state(&groups).0, "PreparingRebalance");
        let_in(c, join_version, 2, "c");
        assert_eq!(state(&groups), ("PreparingRebalance".to_owned(), 1, 0));
        sync(&groups, sync_version, 1, "a", &[0]);
        assert_eq!(state(&groups), ("PreparingRebalance".to_owned(), 1, 0), "of the last generation");
        sync(&groups, sync_version, 2, "c", &[0, 1, 2]);
        assert_eq!(state(&groups), ("Stable".to_owned(), 1, 3));
    }

    #[test]
    fn a_refusal_and_a_connection_that_ends_let_nobody_in() {
        let groups = Groups::default();
        drop(join(&groups, 5));
        assert_eq!(state(&groups).0, "unknown");
        join(&groups, 5).end(&reply(JOIN_GROUP, 5, 79, |w, _| {
            w.i32(-1);
        }));
        assert_eq!(state(&groups).0, "unknown");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(api in 10i16..16, version in 0i16..8, bytes in proptest::collection::vec(0u8..=255, 0..80)) {
            let groups = Groups::default();
            if let Some(turn) = groups.begin(api, version, &bytes) {
                turn.end(&bytes);
            }
        }
    }
}
