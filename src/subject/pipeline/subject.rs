//! The harness's side of the members: processes, orders on their standard input, events on their standard output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

use super::member::{MEMBER_ENV, MemberConfig};
use crate::history::{Event, Op, Recorder};
use crate::plan::TopicPartition;
use crate::subject::os::{PROCESS_LIMIT, wait_for_state};
use crate::subject::{ChaosOrder, MemberState, Subject, SubjectError};

/// The members' processes. Dropping it kills those that are left.
pub struct PipelineSubject {
    exe: PathBuf,
    config: MemberConfig,
    logs: PathBuf,
    recorder: Recorder,
    members: Mutex<BTreeMap<u32, Member>>,
    chaos: Mutex<Option<ChaosOrder>>,
}

struct Member {
    pid: u32,
    orders: mpsc::UnboundedSender<String>,
    state: Arc<Mutex<Live>>,
    /// How the process ended, once it has.
    exit: watch::Receiver<Option<String>>,
    /// How many chaos orders it has confirmed.
    chaos_confirmed: watch::Receiver<u64>,
}

#[derive(Default)]
struct Live {
    assigned: BTreeSet<TopicPartition>,
}

impl PipelineSubject {
    /// Members run `exe`, which must call [`super::member::run_if_member`] (or `seaworthy::testing`) first thing.
    pub fn new(exe: PathBuf, config: MemberConfig, logs: PathBuf, recorder: Recorder) -> Self {
        Self { exe, config, logs, recorder, members: Mutex::default(), chaos: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Member>> {
        self.members.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn running<T>(&self, member: u32, read: impl FnOnce(&Member) -> T) -> Result<T, SubjectError> {
        let members = self.lock();
        let not = |state: &str| SubjectError::NotRunning { member, state: state.to_owned() };
        let found = members.get(&member).ok_or_else(|| not("it was never started, or has left"))?;
        if let Some(exit) = found.exit.borrow().as_ref() {
            return Err(not(exit));
        }
        Ok(read(found))
    }

    fn signal(&self, member: u32, pid: u32, signal: i32, what: &'static str) -> Result<(), SubjectError> {
        // SAFETY: plain system call; the pid is a child of ours that was not reaped while `exit` is empty.
        if unsafe { libc::kill(pid as i32, signal) } == 0 {
            return Ok(());
        }
        Err(SubjectError::Signal { what, member, pid, source: std::io::Error::last_os_error() })
    }

    async fn gone(&self, member: u32, what: &'static str, limit: Duration) -> Result<String, SubjectError> {
        let mut exit = self.running_or_gone(member)?;
        let waited = tokio::time::timeout(limit, exit.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(status)) => Ok(status.clone().unwrap_or_default()),
            _ => Err(SubjectError::Timeout { member, what, limit, last: "still running".into() }),
        }
    }

    fn running_or_gone(&self, member: u32) -> Result<watch::Receiver<Option<String>>, SubjectError> {
        let members = self.lock();
        let state = "it was never started".to_owned();
        members.get(&member).map(|m| m.exit.clone()).ok_or(SubjectError::NotRunning { member, state })
    }
}

#[async_trait::async_trait]
impl Subject for PipelineSubject {
    async fn start(&self, index: u32) -> Result<(), SubjectError> {
        let spawn_error = |source| SubjectError::Spawn { member: index, exe: self.exe.display().to_string(), source };
        let config = MemberConfig { member: index, ..self.config.clone() };
        let json = serde_json::to_string(&config).map_err(|e| spawn_error(e.into()))?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.logs.join(format!("member-{index}.log")))
            .map_err(spawn_error)?;
        let mut child = Command::new(&self.exe)
            .env(MEMBER_ENV, json)
            // A group of its own: Ctrl-C on the terminal is the harness's business.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn_error)?;
        let pid = child.id().unwrap_or_default();
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(spawn_error(std::io::Error::other("its pipes are missing")));
        };
        let (orders, mut order_queue) = mpsc::unbounded_channel::<String>();
        if let Some(order) = *self.chaos.lock().unwrap_or_else(|e| e.into_inner()) {
            let _ = orders.send(order_line(Some(order)));
        }
        tokio::spawn(async move {
            while let Some(line) = order_queue.recv().await {
                if stdin.write_all(line.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
                    return;
                }
            }
        });
        let state = Arc::new(Mutex::new(Live::default()));
        let (confirm, chaos_confirmed) = watch::channel(0);
        let (exited, exit) = watch::channel(None);
        let actor = format!("member-{index}");
        let (recorder, live) = (self.recorder.clone(), state.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<Event>(&line) {
                    Ok(event) => {
                        observe(&event.op, &live, &confirm);
                        recorder.record_at(event.t, Some(&actor), event.op);
                    }
                    Err(error) => tracing::warn!(%actor, %line, %error, "not an event"),
                }
            }
            let status = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("cannot be waited for: {error}"),
            };
            live.lock().unwrap_or_else(|e| e.into_inner()).assigned.clear();
            let value = serde_json::json!(status);
            recorder.record(Some(&actor), Op::Signal { name: "member-exit".into(), value });
            let _ = exited.send(Some(status));
        });
        let value = serde_json::json!({ "pid": pid });
        self.recorder.record(Some(&format!("member-{index}")), Op::Signal { name: "member-start".into(), value });
        self.lock().insert(index, Member { pid, orders, state, exit, chaos_confirmed });
        Ok(())
    }

    async fn crash(&self, member: u32) -> Result<String, SubjectError> {
        let pid = self.running(member, |m| m.pid)?;
        self.signal(member, pid, libc::SIGKILL, "crash")?;
        let status = self.gone(member, "die", PROCESS_LIMIT).await?;
        Ok(format!("process {pid} ended: {status}"))
    }

    async fn stop(&self, member: u32, grace: Duration) -> Result<String, SubjectError> {
        let pid = self.running(member, |m| m.pid)?;
        self.signal(member, pid, libc::SIGTERM, "stop")?;
        match self.gone(member, "stop", grace).await {
            Ok(status) => Ok(format!("process {pid} ended: {status}")),
            Err(_) => {
                self.signal(member, pid, libc::SIGKILL, "kill")?;
                let status = self.gone(member, "die", PROCESS_LIMIT).await?;
                Ok(format!(
                    "process {pid} ignored SIGTERM for {} and was killed: {status}",
                    humantime::format_duration(grace)
                ))
            }
        }
    }

    async fn pause(&self, member: u32) -> Result<String, SubjectError> {
        let pid = self.running(member, |m| m.pid)?;
        self.signal(member, pid, libc::SIGSTOP, "pause")?;
        wait_for_state(member, pid, "freeze", true).await?;
        Ok(format!("process {pid} is stopped"))
    }

    async fn resume(&self, member: u32) -> Result<(), SubjectError> {
        let pid = self.running(member, |m| m.pid)?;
        self.signal(member, pid, libc::SIGCONT, "resume")?;
        wait_for_state(member, pid, "thaw", false).await
    }

    async fn chaos(&self, order: Option<ChaosOrder>) -> Result<String, SubjectError> {
        *self.chaos.lock().unwrap_or_else(|e| e.into_inner()) = order;
        let line = order_line(order);
        let mut waits = Vec::new();
        for (index, member) in self.lock().iter().filter(|(_, m)| m.exit.borrow().is_none()) {
            let before = *member.chaos_confirmed.borrow();
            if member.orders.send(line.clone()).is_ok() {
                waits.push((*index, before, member.chaos_confirmed.clone()));
            }
        }
        let confirmed = waits.len();
        for (member, before, mut count) in waits {
            let waited = tokio::time::timeout(PROCESS_LIMIT, count.wait_for(|now| *now > before)).await;
            if !matches!(waited, Ok(Ok(_))) {
                let (what, last) = ("confirm the chaos order", "no answer".into());
                return Err(SubjectError::Timeout { member, what, limit: PROCESS_LIMIT, last });
            }
        }
        Ok(format!("{confirmed} members confirmed"))
    }

    fn members(&self) -> Vec<MemberState> {
        let members = self.lock();
        members
            .iter()
            .map(|(index, member)| MemberState {
                index: *index,
                pid: member.exit.borrow().is_none().then_some(member.pid),
                ready: true,
                ended: member.exit.borrow().clone(),
                assigned: member.state.lock().unwrap_or_else(|e| e.into_inner()).assigned.iter().cloned().collect(),
            })
            .collect()
    }

    async fn shutdown(&self, grace: Duration) {
        let live: Vec<u32> = self.members().iter().filter(|m| m.pid.is_some()).map(|m| m.index).collect();
        for member in &live {
            // A frozen process would never see the SIGTERM.
            let _ = self.running(*member, |m| m.pid).and_then(|pid| self.signal(*member, pid, libc::SIGCONT, "resume"));
        }
        let ends = live.into_iter().map(|member| async move {
            if let Err(error) = self.stop(member, grace).await {
                tracing::warn!(%error, "shutdown");
            }
        });
        futures::future::join_all(ends).await;
    }

    fn kill_all(&self) {
        for member in self.members() {
            if let Some(pid) = member.pid {
                let _ = self.signal(member.index, pid, libc::SIGKILL, "kill");
            }
        }
    }
}

impl Drop for PipelineSubject {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn order_line(order: Option<ChaosOrder>) -> String {
    format!("{}\n", serde_json::json!({ "chaos": order }))
}

fn observe(op: &Op, live: &Mutex<Live>, confirm: &watch::Sender<u64>) {
    let mut live = live.lock().unwrap_or_else(|e| e.into_inner());
    match op {
        Op::Assign { tps, .. } => live.assigned.extend(tps.iter().cloned()),
        Op::Revoke { tps, .. } => tps.iter().for_each(|tp| {
            live.assigned.remove(tp);
        }),
        Op::Signal { name, .. } if name == "chaos" => confirm.send_modify(|n| *n += 1),
        _ => {}
    }
}
