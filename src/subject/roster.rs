//! The members of somebody else's application, whatever they are: who runs, who is ready, who ended and how.
//!
//! Owns the list. Must not know how a member is started, signalled or ended: what that takes is `M`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::{MemberState, SubjectError};

/// How a member's life goes, told by whoever watches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub ready: bool,
    pub ended: Option<String>,
}

/// A member that was started.
pub(super) struct Enrolled<M> {
    pub pid: u32,
    pub life: watch::Receiver<Life>,
    pub handle: M,
}

/// By number; a member that is started again takes its own place.
pub(super) struct Roster<M>(Mutex<BTreeMap<u32, Enrolled<M>>>);

impl<M> Default for Roster<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M> Roster<M> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Enrolled<M>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn enrol(&self, member: u32, enrolled: Enrolled<M>) {
        self.lock().insert(member, enrolled);
    }

    /// Reads from a member that runs.
    pub fn running<T>(&self, member: u32, read: impl FnOnce(&Enrolled<M>) -> T) -> Result<T, SubjectError> {
        let members = self.lock();
        let not = |state: &str| SubjectError::NotRunning { member, state: state.to_owned() };
        let found = members.get(&member).ok_or_else(|| not(NEVER_STARTED))?;
        if let Some(status) = &found.life.borrow().ended {
            return Err(not(status));
        }
        Ok(read(found))
    }

    /// Waits for a member's end: how it ended.
    pub async fn gone(&self, member: u32, what: &'static str, limit: Duration) -> Result<String, SubjectError> {
        let life = self.lock().get(&member).map(|enrolled| enrolled.life.clone());
        let mut life = life.ok_or(SubjectError::NotRunning { member, state: NEVER_STARTED.to_owned() })?;
        match tokio::time::timeout(limit, life.wait_for(|life| life.ended.is_some())).await {
            Ok(Ok(life)) => Ok(life.ended.clone().unwrap_or_default()),
            _ => Err(SubjectError::Timeout { member, what, limit, last: "still running".into() }),
        }
    }

    /// All that were ever started.
    pub fn states(&self) -> Vec<MemberState> {
        let told = |(index, enrolled): (&u32, &Enrolled<M>)| {
            let life = enrolled.life.borrow();
            MemberState {
                index: *index,
                pid: life.ended.is_none().then_some(enrolled.pid),
                assigned: Vec::new(),
                ready: life.ready,
                ended: life.ended.clone(),
            }
        };
        self.lock().iter().map(told).collect()
    }

    /// The numbers of those that run.
    pub fn live(&self) -> Vec<u32> {
        self.states().iter().filter(|state| state.pid.is_some()).map(|state| state.index).collect()
    }

    /// Something of each that was ever started.
    pub fn each<T>(&self, read: impl Fn(&M) -> T) -> Vec<T> {
        self.lock().values().map(|enrolled| read(&enrolled.handle)).collect()
    }
}

const NEVER_STARTED: &str = "it was never started";
