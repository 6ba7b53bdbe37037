//! One writer thread, fed through a channel: recording costs the caller a send.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use super::{Event, Header, Op};
use crate::clock::Clock;

/// Where the history could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    #[error("cannot write the history {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the history's writer thread ended early")]
    WriterGone,
}

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
        let writer =
            std::thread::Builder::new().name("history".into()).spawn(move || write_all(file, &receiver)).map_err(io)?;
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

fn write_all(mut file: BufWriter<File>, receiver: &mpsc::Receiver<Message>) -> std::io::Result<()> {
    for message in receiver {
        match message {
            Message::Event(event) => {
                serde_json::to_writer(&mut file, &event)?;
                file.write_all(b"\n")?;
            }
            Message::Sync => {
                file.flush()?;
                file.get_ref().sync_data()?;
            }
            Message::Close => break,
        }
    }
    file.flush()?;
    file.get_ref().sync_all()
}
