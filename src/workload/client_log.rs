//! A log of Kafka clients: librdkafka's own lines (all that `debug` asks for) and this crate's notes, each with its time on the
//! run's clock, so that they can be laid beside the history. A [`Subscriber`] of `tracing`, since that is where the clients
//! tell them. Must not know whose clients they are, nor where the log is.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::clock::{self, Clock};

/// What is beyond it is left out: `debug = "all"` writes megabytes a second.
const LIMIT: u64 = 64 << 20;

/// See the [module](self).
pub struct ClientLog {
    clock: Clock,
    out: Mutex<Out>,
}

struct Out {
    writer: Box<dyn Write + Send>,
    left: u64,
}

impl ClientLog {
    pub fn new(clock: Clock, writer: impl Write + Send + 'static) -> Self {
        Self { clock, out: Mutex::new(Out { writer: Box::new(writer), left: LIMIT }) }
    }

    /// To standard error, which the harness keeps as a member's log.
    pub fn of_this_process(clock: Clock) -> Self {
        Self::new(clock, std::io::stderr())
    }

    fn line(&self, line: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.left == 0 {
            return;
        }
        out.left = out.left.saturating_sub(line.len() as u64);
        // A log that cannot be written must not harm what it tells of.
        let _ = out.writer.write_all(line.as_bytes());
        if out.left == 0 {
            let _ = writeln!(out.writer, "--- {} MiB of log: the rest is left out", LIMIT >> 20);
        }
    }
}

impl Subscriber for ClientLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // librdkafka says no more than it was asked to; others' details are no client's.
        metadata.is_event() && (metadata.target() == "librdkafka" || *metadata.level() <= Level::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let (at, level, target) = (clock::seconds(self.clock.now()), metadata.level(), metadata.target());
        self.line(&format!("{at:.6} {level} {target}{} {}\n", text.fields, text.message));
    }

    // No span is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_line_has_its_time_on_the_run_s_clock_and_details_are_librdkafka_s_alone() {
        let page = Page::default();
        let log = ClientLog::new(Clock::start(), page.clone());
        tracing::subscriber::with_default(log, || {
            tracing::debug!(target: "librdkafka", facility = "CONNECT", "[thrd:main]: {}", "connected");
            tracing::debug!("a detail of somebody else's");
            let _span = tracing::info_span!("span").entered();
            tracing::warn!(target: "seaworthy::x", error = %"gone", "no thread");
        });
        let text = page.text();
        let lines: Vec<(f64, &str)> = text
            .lines()
            .map(|line| line.split_once(' ').map(|(at, rest)| (at.parse().expect(at), rest)).expect(line))
            .collect();
        let said: Vec<&str> = lines.iter().map(|line| line.1).collect();
        assert_eq!(
            said,
            ["DEBUG librdkafka facility=CONNECT [thrd:main]: connected", "WARN seaworthy::x error=gone no thread"]
        );
        assert!(lines.iter().all(|line| line.0 < 60.0), "{text}");
    }

    #[test]
    fn a_flood_is_bounded_and_said_to_be_cut() {
        let page = Page::default();
        let log = ClientLog::new(Clock::start(), page.clone());
        let chunk = "x".repeat(1 << 20);
        (0..(LIMIT >> 20) + 9).for_each(|_| log.line(&chunk));
        let text = page.text();
        assert!((LIMIT..LIMIT + 100).contains(&(text.len() as u64)), "{}", text.len());
        assert!(text.ends_with("--- 64 MiB of log: the rest is left out\n"));
    }
}
