//! The harness's end of the mock cluster's process: it is started, obeys one order at a time, and its end is a fact
//! that whoever waits for anything hears of.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::mock::{Answer, MOCK_ENV, Order};
use crate::cluster::ClusterError;

/// One order, or the start. The mock answers within a millisecond.
const ANSWER: Duration = Duration::from_secs(10);
/// What is kept of its standard error.
const LOG_LINES: usize = 200;

/// The mock cluster's process. Dropping it ends the process.
pub(super) struct Child {
    pipes: tokio::sync::Mutex<Option<Pipes>>,
    pid: u32,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<String>>,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Dropped to kill it.
    _kill: tokio::sync::oneshot::Sender<()>,
}

struct Pipes {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts `exe`, which must call [`run_if_mock`](super::run_if_mock) first thing, and waits until its brokers listen.
    pub async fn start(exe: &Path, brokers: u32) -> Result<(Self, Vec<String>), ClusterError> {
        let failed = |reason: String| ClusterError::File {
            action: "start the mock cluster from",
            path: exe.display().to_string(),
            reason,
        };
        if std::env::var_os(MOCK_ENV).is_some() {
            // An executable that does not know about mock clusters was started as one: do not multiply.
            return Err(failed(format!("the program does not call take_over ({MOCK_ENV} is set)")));
        }
        let mut child = Command::new(exe)
            .env(MOCK_ENV, brokers.to_string())
            // A group of its own: Ctrl-C on the terminal is the harness's business.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let pid = child.id().unwrap_or_default();
        let (Some(orders), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("its pipes are missing".to_owned()));
        };
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let kept = log.clone();
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LOG_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        let (end, ended) = watch::channel(None);
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let how = tokio::select! {
                status = child.wait() => status.map_or_else(|e| format!("cannot be waited for: {e}"), |s| s.to_string()),
                _ = killed => {
                    let _ = child.kill().await;
                    "it was ended with its cluster".to_owned()
                }
            };
            // Its last words come before the news.
            let _ = reading.await;
            let _ = end.send(Some(how));
        });
        let answers = BufReader::new(stdout).lines();
        let this =
            Self { pipes: tokio::sync::Mutex::new(Some(Pipes { orders, answers })), pid, ended, log, _kill: kill };
        match this.answer(None).await? {
            Answer::Ready(addresses) if addresses.len() == brokers as usize => Ok((this, addresses)),
            other => Err(failed(format!("its first words were {other:?}"))),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives an order and waits until it is obeyed.
    pub async fn order(&self, order: Order) -> Result<(), ClusterError> {
        let action = || format!("{order:?}").to_lowercase();
        match self.answer(Some(&order)).await? {
            Answer::Done => Ok(()),
            Answer::Refused(reason) => Err(ClusterError::Admin { action: action(), reason }),
            Answer::Ready(_) => Err(ClusterError::Admin { action: action(), reason: "it began again".to_owned() }),
        }
    }

    async fn answer(&self, order: Option<&Order>) -> Result<Answer, ClusterError> {
        let mut slot = self.pipes.lock().await;
        let exchange = async {
            let pipes = slot.as_mut()?;
            if let Some(order) = order {
                let line = serde_json::to_string(order).ok()? + "\n";
                pipes.orders.write_all(line.as_bytes()).await.ok()?;
            }
            let line = pipes.answers.next_line().await.ok()??;
            serde_json::from_str(&line).ok()
        };
        match tokio::time::timeout(ANSWER, exchange).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.ended().await),
            Err(_) => {
                // A late answer would be taken for the next order's.
                *slot = None;
                Err(self.gone(format!("it did not answer within {ANSWER:?}")))
            }
        }
    }

    /// Returns when the process has ended by itself, with the error that says so.
    pub async fn ended(&self) -> ClusterError {
        let mut ended = self.ended.clone();
        let how = match ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "nobody waits for it any more".to_owned(),
        };
        self.gone(how)
    }

    fn gone(&self, how: String) -> ClusterError {
        ClusterError::MockDied { how, log: self.log_text(10) }
    }

    /// The last lines of its standard error.
    pub fn log_text(&self, lines: usize) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = log.len().saturating_sub(lines);
        log.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Closes its standard input, which ends it, and waits for that.
    pub async fn shutdown(&self) -> Result<(), ClusterError> {
        drop(self.pipes.lock().await.take());
        let mut ended = self.ended.clone();
        match tokio::time::timeout(ANSWER, ended.wait_for(Option::is_some)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.gone(format!("process {} does not end", self.pid))),
        }
    }
}
