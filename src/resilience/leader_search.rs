//! Who leads, asked for often while a broker is out of reach.
//!
//! Until the cluster gives a dead leader up, its metadata name it, so that to librdkafka nothing is amiss but the connection; it then looks for
//! another leader once a second, and a client with nothing to send does not look at all: its first record after the election goes to the dead
//! leader. An election that it missed by a moment costs that second, and the next one if the broker
//! that was asked did not know yet. Here the client's own topics are asked about every [`EVERY`] while there was trouble with a connection
//! within the last [`LASTS`], and never otherwise: librdkafka takes the answer as it takes any other.
//!
//! A broker that closes a connection, or does not answer on a new one, is no error to librdkafka (`rd_kafka_broker_set_error` tells the application
//! of `LOG_ERR` and worse; a closed connection is `LOG_WARNING` at most): its log alone tells. So the log is listened to.
//!
//! Owns when to ask, on a thread of its caller's. Must not know what the client is for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::bindings::{rd_kafka_metadata, rd_kafka_metadata_destroy};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::types::RDKafkaRespErr;

use crate::clock::{Clock, Nanos};

/// From one answer to the next question.
const EVERY: Duration = Duration::from_millis(100);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long leaders are looked for after the last trouble: a broker's session is 9 s, and starts over with a new controller; and librdkafka
/// logs the same failure of a broker once in 30 s.
pub const LASTS: Nanos = 30_000_000_000;

/// RESOLVE, TRANSPORT, ALL_BROKERS_DOWN, TIMED_OUT of librdkafka.
const TROUBLE: [i32; 4] = [-193, -195, -187, -185];
/// A connection failed. A request that was not answered in time (`REQTMOUT`) is none yet: a frozen broker leads on when it thaws, and its
/// next connection fails soon if it does not.
pub const TROUBLE_LOGGED: &str = "FAIL";

/// When to look for leaders.
#[derive(Debug)]
pub struct LeaderSearch {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    until: Nanos,
    closed: bool,
}

impl LeaderSearch {
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The client reported an error. Never blocks for long: callbacks call it.
    pub fn on_error(&self, code: i32) {
        if TROUBLE.contains(&code) {
            self.look();
        }
    }

    /// The client logged a line. Never blocks for long, either. Details are no trouble: they tell of idle connections' ends as well.
    pub fn on_log(&self, level: RDKafkaLogLevel, facility: &str) {
        if !matches!(level, RDKafkaLogLevel::Debug) && facility == TROUBLE_LOGGED {
            self.look();
        }
    }

    fn look(&self) {
        self.state().until = self.clock.now().saturating_add(LASTS);
        self.changed.notify_all();
    }

    /// Whether leaders are looked for now.
    #[cfg(test)]
    pub fn is_on(&self) -> bool {
        self.clock.now() < self.state().until
    }

    /// Does the client's `work`, and asks on a thread beside it while there is trouble. Without a thread leaders are found as
    /// fast as librdkafka finds them.
    pub fn beside<T>(&self, ask: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("leader-search".into());
            if let Err(error) = thread.spawn_scoped(scope, || self.run(ask)) {
                tracing::warn!(%error, "no thread to look for leaders");
            }
            // Also when it panics: the scope waits for the thread.
            let _closed = Closed(self);
            work()
        })
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn run(&self, ask: impl Fn()) {
        let mut state = self.state();
        loop {
            let calm = |state: &mut State| !state.closed && self.clock.now() >= state.until;
            state = self.changed.wait_while(state, calm).unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return;
            }
            drop(state);
            ask();
            let open = |state: &mut State| !state.closed;
            let waited = self.changed.wait_timeout_while(self.state(), EVERY, open);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the search when dropped, after the question under way.
struct Closed<'a>(&'a LeaderSearch);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Asks one of the brokers within reach who leads the topics that the client knows. Blocks for half a second at most. An error says nothing new:
/// there is trouble already.
pub fn ask<C: ClientContext>(client: &rdkafka::client::Client<C>) {
    let mut answer = std::ptr::null();
    // SAFETY: the client outlives the call; without a topic its own are asked about; the answer is destroyed, once, if there is one.
    unsafe {
        let patience = PATIENCE.as_millis() as i32;
        let outcome = rd_kafka_metadata(client.native_ptr(), 0, std::ptr::null_mut(), &mut answer, patience);
        if outcome == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            rd_kafka_metadata_destroy(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often was asked: until it was `enough`, or not at all.
    fn questions(error: Option<i32>, enough: usize) -> usize {
        let search = LeaderSearch::new(Clock::start());
        let (asked, told) = std::sync::mpsc::channel();
        if let Some(code) = error {
            search.on_error(code);
        }
        search.beside(move || asked.send(()).unwrap_or_default(), || told.iter().take(enough).count())
    }

    #[test]
    fn while_there_is_trouble_leaders_are_asked_for_again_and_again() {
        for code in TROUBLE {
            assert_eq!(questions(Some(code), 3), 3, "{code}");
        }
    }

    #[test]
    fn a_failed_connection_in_the_log_is_trouble_and_a_detail_is_not() {
        for (level, facility, trouble) in [
            (RDKafkaLogLevel::Warning, "FAIL", true),
            (RDKafkaLogLevel::Info, "FAIL", true),
            (RDKafkaLogLevel::Warning, "REQTMOUT", false),
            (RDKafkaLogLevel::Debug, "FAIL", false),
            (RDKafkaLogLevel::Warning, "CONFWARN", false),
        ] {
            let search = LeaderSearch::new(Clock::start());
            search.on_log(level, facility);
            assert_eq!(search.is_on(), trouble, "{level:?} {facility}");
        }
    }

    #[test]
    fn nobody_asks_while_all_is_well_or_over_an_error_that_no_leader_mends() {
        let refused_credentials = -169;
        for error in [None, Some(refused_credentials)] {
            let search = LeaderSearch::new(Clock::start());
            let (asked, told) = std::sync::mpsc::channel();
            error.into_iter().for_each(|code| search.on_error(code));
            search.beside(move || asked.send(()).unwrap_or_default(), || ());
            assert_eq!(told.iter().count(), 0, "{error:?}");
        }
    }
}
