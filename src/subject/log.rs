//! A member's log: what it writes, line by line and up to a bound, and between the lines what the harness did to it.
//! Must not know what writes to it: a process or a container.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::Clock;
use crate::workload::effects::{Reading, may_be_effect, read_effect};

/// Output beyond this is counted and not written, so that a member that floods its output does not fill the disk.
const LOG_LIMIT: u64 = 16 << 20;
/// A line without end is cut here: it must not fill the memory.
const LINE_LIMIT: usize = 64 << 10;

/// The file, and the time of the member's start.
pub(super) struct MemberLog {
    file: Mutex<File>,
    clock: Clock,
}

impl MemberLog {
    /// Appends: a member that is started again goes on in the same file.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file), clock: Clock::start() })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A line of ours between the member's: what the harness did to it, and when.
    pub fn mark(&self, text: &str) {
        let at = self.clock.now() as f64 / 1e9;
        let _ = writeln!(self.file(), "--- seaworthy, {at:.3} s after its start: {text}");
    }
}

/// The output of one start of a member, on its way into the log.
pub(super) struct Lines {
    log: Arc<MemberLog>,
    awaited: Option<String>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    written: u64,
    dropped: u64,
    /// Lines that may be effects, until they are taken; `None`: nobody wants them.
    effects: Option<Vec<String>>,
}

impl Lines {
    /// `awaited`: the text whose first line is told by [`Lines::take`].
    pub fn new(log: Arc<MemberLog>, awaited: Option<String>) -> Self {
        Self { log, awaited, begun: Vec::new(), written: 0, dropped: 0, effects: None }
    }

    /// Lines that may be effects are kept for [`Lines::effects`].
    pub fn keeping_effects(self) -> Self {
        Self { effects: Some(Vec::new()), ..self }
    }

    /// Those that came since they were last taken.
    pub fn effects(&mut self) -> Vec<String> {
        self.effects.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes what came, and says whether the awaited line was in it for the first time.
    pub fn take(&mut self, chunk: &[u8]) -> bool {
        let mut seen = false;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            if whole && self.begun.is_empty() {
                seen |= self.line(piece);
                continue;
            }
            self.begun.extend_from_slice(piece);
            if whole || self.begun.len() >= LINE_LIMIT {
                let line = std::mem::take(&mut self.begun);
                seen |= self.line(&line);
            }
        }
        seen
    }

    /// Nothing comes any more. Returns the last effect if its line was whole but for its end; a torn one is none.
    pub fn finish(mut self) -> Vec<String> {
        let mut rest = std::mem::take(&mut self.begun);
        if !rest.is_empty() {
            rest.push(b'\n');
            self.line(&rest);
        }
        let mut last = self.effects();
        last.retain(|line| matches!(read_effect(line), Reading::Effect { .. }));
        if self.dropped > 0 {
            self.log.mark(&format!("{} bytes of output were left out", self.dropped));
        }
        last
    }

    fn line(&mut self, line: &[u8]) -> bool {
        let seen = self.awaited.as_deref().is_some_and(|text| String::from_utf8_lossy(line).contains(text));
        if seen {
            self.awaited = None;
        }
        if let Some(effects) = self.effects.as_mut().filter(|_| may_be_effect(line)) {
            effects.push(String::from_utf8_lossy(line).into_owned());
        }
        if self.written >= LOG_LIMIT {
            if self.dropped == 0 {
                self.log.mark(&format!("{} MiB of output: the rest is left out", LOG_LIMIT >> 20));
            }
            self.dropped += line.len() as u64;
        } else {
            self.written += line.len() as u64;
            let _ = self.log.file().write_all(line);
        }
        seen
    }
}

/// The last lines of a log, for an error's end.
pub fn log_tail(path: &Path) -> String {
    const LINES: usize = 8;
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return format!("its log is empty: {}", path.display());
    }
    let tail: Vec<String> =
        lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("    {line}")).collect();
    format!("its log ends ({}):\n{}", path.display(), tail.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut_and_the_awaited_one_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("member-0.log");
        let log = Arc::new(MemberLog::open(&path).unwrap());
        let mut lines = Lines::new(log, Some("ready".into()));
        let told: Vec<bool> =
            ["star", "ting\nrea", "dy\nready", "\nend"].map(|chunk| lines.take(chunk.as_bytes())).into();
        lines.finish();
        assert_eq!(told, [false, false, true, false]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "starting\nready\nready\nend\n");
    }

    #[test]
    fn effects_are_whole_lines_wherever_chunks_are_cut_and_a_torn_last_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("member-0.log");
        let effect = |id: u32| format!("{{\"seaworthy-id\":\"{id}\"}}\n");
        let whole: String = (0..100).map(effect).chain(["ready\n".to_owned()]).collect();
        for torn in ["", "{\"seaworthy-id\":\"10", "{\"seaworthy-id\":\"100\"}"] {
            for size in [1, 7, 64, whole.len() + torn.len()] {
                let log = Arc::new(MemberLog::open(&path).unwrap());
                let mut lines = Lines::new(log, None).keeping_effects();
                let mut seen = Vec::new();
                for chunk in format!("{whole}{torn}").as_bytes().chunks(size) {
                    lines.take(chunk);
                    seen.extend(lines.effects());
                }
                seen.extend(lines.finish());
                let last = torn.ends_with('}').then(|| effect(100));
                assert_eq!(seen, (0..100).map(effect).chain(last).collect::<Vec<_>>(), "{size} {torn}");
            }
        }
    }

    #[test]
    fn effects_go_on_where_the_log_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(MemberLog::open(&folder.path().join("member-0.log")).unwrap());
        let mut lines = Lines::new(log, None).keeping_effects();
        lines.take(&vec![b'x'; LOG_LIMIT as usize + 1]);
        lines.take(b"\n{\"seaworthy-id\":1}\n");
        assert!(lines.dropped > 0 && lines.effects().len() == 1);
    }

    #[test]
    fn a_flood_and_a_line_without_end_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("member-0.log");
        let mut lines = Lines::new(Arc::new(MemberLog::open(&path).unwrap()), None);
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            lines.take(&chunk);
            assert!(lines.begun.len() <= LINE_LIMIT + chunk.len());
        }
        lines.finish();
        let size = std::fs::metadata(&path).unwrap().len();
        assert!((LOG_LIMIT..LOG_LIMIT + (2 << 20)).contains(&size), "{size}");
    }
}
