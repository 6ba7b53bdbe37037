//! One writer thread, fed through a channel: recording costs the caller a send.
//!
//! A process that is killed loses what its last quarter of a second recorded; a machine that loses power, what came since
//! the last phase began. Either way the file is a history up to its last whole line.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use super::{Event, Header, Op};
use crate::clock::{Clock, Nanos};

/// Where the history could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    #[error("cannot write the history {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the history's writer thread ended early")]
    WriterGone,
}

/// What is recorded is handed to the system within this time, so that it survives the end of the process.
const FLUSH: std::time::Duration = std::time::Duration::from_millis(250);

enum Message {
    Event(Box<Event>),
    /// Flush and fsync.
    Sync,
    Close,
}

/// Handle to the single writer of a history file. Cheap to clone; events are written in the order of arrival.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    sender: mpsc::Sender<Message>,
    writer: Arc<Mutex<Option<JoinHandle<std::io::Result<()>>>>>,
    path: Arc<PathBuf>,
}

impl Recorder {
    /// Creates the file with its header line and starts the writer.
    pub fn create(path: &Path, header: &Header, clock: Clock) -> Result<Self, RecorderError> {
        let io = |source| RecorderError::Io { path: path.to_owned(), source };
        let mut file = BufWriter::with_capacity(1 << 18, File::create(path).map_err(io)?);
        serde_json::to_writer(&mut file, header).map_err(|e| io(e.into()))?;
        file.write_all(b"\n").and_then(|()| file.flush()).map_err(io)?;
        let (sender, receiver) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || write_all(file, &receiver, clock))
            .map_err(io)?;
        Ok(Self { clock, sender, writer: Arc::new(Mutex::new(Some(writer))), path: Arc::new(path.to_owned()) })
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Records an event that happens now.
    pub fn record(&self, actor: Option<&str>, op: Op) {
        self.record_at(self.clock.now(), actor, op);
    }

    /// Records an event that happened at `t`.
    pub fn record_at(&self, t: u64, actor: Option<&str>, op: Op) {
        // A closed writer is reported by `close`; a late event of a straggler has nowhere to go.
        let _ = self.sender.send(Message::Event(Box::new(Event { t, actor: actor.map(str::to_owned), op })));
    }

    /// Records the start of a phase, and has the writer put everything up to it on disk. Does not wait for the disk: a slow
    /// one must not bend the schedule of the run.
    pub fn phase(&self, name: &str) {
        self.record(None, Op::Phase { name: name.to_owned() });
        let _ = self.sender.send(Message::Sync);
    }

    /// Writes the rest and closes the file. Later events are dropped.
    pub fn close(&self) -> Result<(), RecorderError> {
        let Some(writer) = self.writer.lock().unwrap_or_else(|e| e.into_inner()).take() else { return Ok(()) };
        let _ = self.sender.send(Message::Close);
        writer
            .join()
            .map_err(|_| RecorderError::WriterGone)?
            .map_err(|source| RecorderError::Io { path: self.path.as_ref().clone(), source })
    }
}

fn write_all(mut file: BufWriter<File>, receiver: &mpsc::Receiver<Message>, clock: Clock) -> std::io::Result<()> {
    let mut flushed = clock.now();
    loop {
        match receiver.recv_timeout(FLUSH) {
            Ok(Message::Event(event)) => {
                serde_json::to_writer(&mut file, &event)?;
                file.write_all(b"\n")?;
            }
            Ok(Message::Sync) => {
                file.flush()?;
                file.get_ref().sync_data()?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(Message::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if clock.now().saturating_sub(flushed) >= FLUSH.as_nanos() as Nanos {
            file.flush()?;
            flushed = clock.now();
        }
    }
    file.flush()?;
    file.get_ref().sync_all()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::history::{Outcome, read_history};
    use crate::plan::TopicPartition;

    const CHILD: &str = "SEAWORTHY_TEST_RECORDER";

    fn header() -> Header {
        crate::history::story::Story::new().history().header
    }

    fn commit(offset: i64) -> Op {
        Op::Commit { r#type: Outcome::Ok, tp: TopicPartition::new("orders", 0), offset, error: None }
    }

    #[test]
    fn what_was_recorded_comes_back_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&path, &header(), Clock::start()).unwrap();
        recorder.phase("baseline");
        for offset in 0..1_000 {
            recorder.record_at(offset as u64, Some("member-0"), commit(offset));
        }
        recorder.close().unwrap();
        recorder.record(None, commit(1));
        let history = read_history(&path).unwrap();
        assert_eq!((history.events.len(), history.truncated), (1_001, false));
        let offsets = history
            .events
            .iter()
            .filter_map(|e| if let Op::Commit { offset, .. } = e.op { Some(offset) } else { None });
        assert!(offsets.eq(0..1_000));
    }

    /// Records for ever: the other half of the next test, which kills it.
    #[test]
    fn child_that_records_until_it_is_killed() {
        let Ok(path) = std::env::var(CHILD) else { return };
        let recorder = Recorder::create(Path::new(&path), &header(), Clock::start()).unwrap();
        for offset in 0.. {
            recorder.record(Some("member-0"), commit(offset));
            if offset % 1_000 == 0 {
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn a_process_killed_while_it_records_leaves_a_history_that_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "history::recorder::tests::child_that_records_until_it_is_killed"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Until there is something to be cut off.
        while std::fs::metadata(&path).map_or(0, |file| file.len()) < 1 << 20 {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let history = read_history(&path).unwrap();
        assert!(history.events.len() > 1_000);
        let judgement = crate::judge::judge(&history);
        assert_eq!(judgement.verdict, crate::verdict::Verdict::Inconclusive);
    }
}
