//! What a breaker tells: its states, why they change, and each change, in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Lets all through and counts failures.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
}

impl State {
    /// "closed", "open" or "half-open".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a breaker acts on what it sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It opens and closes by results.
    #[default]
    Normal,
    /// It counts results and never opens: to see what thresholds would do before they do it.
    MetricsOnly,
    /// It lets everything through and counts nothing.
    Disabled,
    /// It refuses everything until told otherwise: for maintenance of what is called.
    ForcedOpen,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Closed to open: that many failures came without a success between them.
    ConsecutiveFailures,
    /// Closed to open: the share of failures in the window reached its limit.
    FailureRate,
    /// Closed to open: the share of slow calls in the window reached its limit.
    SlowCallRate,
    /// Open to half-open: a call came after the open time.
    OpenTimeOver,
    /// Half-open to open: a probe failed, or was slow where slow calls count.
    ProbeFailed,
    /// Half-open to open: the probes did not end in time.
    ProbesOverdue,
    /// Half-open to closed: all probes succeeded.
    ProbesSucceeded,
    /// Somebody set another [`Mode`].
    ModeSet,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Instant,
    /// Rises from transition to transition of a breaker; 1 for the first unless its mode was set before.
    pub generation: u64,
}

type Observer = Arc<dyn Fn(&Transition) + Send + Sync>;

/// Transitions that a subscriber may be behind before it misses the oldest.
const STREAM: usize = 256;

/// Carries transitions to observers and subscribers: in their order, one after the other, outside the breaker's lock.
///
/// Whoever causes a transition leaves it here while it still holds the breaker's lock, which settles the order, and
/// delivers after letting go. If somebody is delivering already, that one takes it along: so an observer may call the
/// breaker, and no two observers ever run at once.
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    observers: RwLock<Arc<[Observer]>>,
    stream: broadcast::Sender<Transition>,
}

struct Waiting {
    queue: VecDeque<Transition>,
    delivering: bool,
}

impl Outbox {
    pub fn new() -> Self {
        // Room from the start: a breaker allocates nothing on its way.
        let waiting = Waiting { queue: VecDeque::with_capacity(16), delivering: false };
        Self {
            waiting: Mutex::new(waiting),
            observers: RwLock::new(Arc::new([])),
            stream: broadcast::Sender::new(STREAM),
        }
    }

    pub fn observe(&self, observer: Observer) {
        let mut observers = self.observers.write().unwrap_or_else(PoisonError::into_inner);
        *observers = observers.iter().cloned().chain([observer]).collect();
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.stream.subscribe()
    }

    /// Leaves a transition. To be called under the breaker's lock.
    pub fn leave(&self, transition: Transition) {
        self.waiting().queue.push_back(transition);
    }

    /// Delivers what was left, unless somebody is at it. To be called outside the breaker's lock.
    pub fn deliver(&self) {
        let mut waiting = self.waiting();
        if waiting.delivering {
            return;
        }
        waiting.delivering = true;
        drop(waiting);
        let turn = Turn(self);
        loop {
            let mut waiting = self.waiting();
            let Some(transition) = waiting.queue.pop_front() else {
                // Under the same lock as the look: nobody can leave one and find a deliverer that is about to go.
                waiting.delivering = false;
                std::mem::forget(turn);
                return;
            };
            drop(waiting);
            let observers = Arc::clone(&self.observers.read().unwrap_or_else(PoisonError::into_inner));
            observers.iter().for_each(|observer| observer(&transition));
            // Nobody listening is no error.
            let _ = self.stream.send(transition);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the turn of a deliverer whose observer panicked; one that came to its end is forgotten.
struct Turn<'a>(&'a Outbox);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiting().delivering = false;
    }
}
