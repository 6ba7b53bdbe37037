//! The only place that reads a clock. Everything else takes a [`Clock`] or a timestamp as a parameter.

use std::time::{Duration, SystemTime};

/// Nanoseconds since the start of a run, on one monotonic clock.
pub type Nanos = u64;

/// A monotonic clock with the start of the run as zero.
///
/// It reads `CLOCK_MONOTONIC`, which all processes of a machine share: a member process that is given the
/// origin ([`Clock::origin`]) stamps its events on the harness's own time axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    origin: u64,
    wall_origin: SystemTime,
}

impl Clock {
    /// Starts a clock: now is zero.
    pub fn start() -> Self {
        Self { origin: monotonic(), wall_origin: wall() }
    }

    /// The clock of another process of this machine, from its [`Clock::origin`].
    pub fn from_origin(origin: u64) -> Self {
        let age = Duration::from_nanos(monotonic().saturating_sub(origin));
        Self { origin, wall_origin: wall() - age }
    }

    /// `CLOCK_MONOTONIC` at this clock's zero, in nanoseconds.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> Nanos {
        monotonic().saturating_sub(self.origin)
    }

    /// The wall-clock time of this clock's zero.
    pub fn started_at(&self) -> SystemTime {
        self.wall_origin
    }

    /// A broker's timestamp (milliseconds since the epoch) on this clock. Brokers in containers share the
    /// host's wall clock; the result is exact to the timestamp's millisecond as long as that clock was not set.
    pub fn from_unix_millis(&self, millis: i64) -> Option<Nanos> {
        let since_epoch = Duration::from_millis(u64::try_from(millis).ok()?);
        let at = SystemTime::UNIX_EPOCH + since_epoch;
        Some(at.duration_since(self.wall_origin).map_or(0, |d| d.as_nanos() as Nanos))
    }
}

/// The wall clock. For timestamps that people read and for record headers, never for measuring.
#[allow(clippy::disallowed_methods)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall clock as RFC 3339 text with milliseconds, UTC.
pub fn wall_rfc3339() -> String {
    humantime::format_rfc3339_millis(wall()).to_string()
}

fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec for the length of the call.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    assert_eq!(outcome, 0, "CLOCK_MONOTONIC exists on every system that this builds for");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds as seconds.
pub fn seconds(t: Nanos) -> f64 {
    t as f64 / 1e9
}

/// A time for people: milliseconds below one second, then three digits at most.
pub fn text_seconds(s: f64) -> String {
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match s.abs() {
        0.0 => "0 s".to_owned(),
        a if a < 0.9995 => format!("{:.0} ms", s * 1e3),
        a if a < 10.0 => trimmed(format!("{s:.2}")) + " s",
        _ => trimmed(format!("{s:.1}")) + " s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_s_clock_agrees() {
        let ours = Clock::start();
        let theirs = Clock::from_origin(ours.origin());
        let (a, b, c) = (ours.now(), theirs.now(), ours.now());
        assert!(a <= b && b <= c, "{a} {b} {c}");
    }

    #[test]
    fn a_broker_s_timestamp_lands_on_the_run_s_axis() {
        let clock = Clock::start();
        let millis = clock.started_at().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let at = clock.from_unix_millis(millis + 2_500).unwrap();
        assert!((2_499_000_000..=2_500_000_000).contains(&at), "{at}");
        assert_eq!(clock.from_unix_millis(-1), None);
    }
}
