//! Somebody else's application: any program that reads the input topic as a member of the group and writes what came of
//! each record. Members are processes behind a [`keeper`], so that whatever they do, nothing of them survives the run.
//!
//! Owns how they are started, signalled and ended. Must not know: what they do inside; that is judged from the topics.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};

use super::os;
use super::roster::{Enrolled, Life, Roster};
use super::surroundings::Surroundings;
use super::{ChaosOrder, MemberState, Subject, SubjectError};
use crate::history::{Op, Recorder};
use crate::plan::ForeignPlan;
use crate::workload::{Effects, Tap};

pub mod keeper;

use keeper::{KEEPER_ENV, KeeperConfig, KeeperEvent};

/// How long starting a process may take, on a machine out of breath.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the keeper may take to tell the end of a member beyond the member's own time.
const KEEPER_LIMIT: Duration = Duration::from_secs(10);

/// The members' processes.
pub struct ProcessSubject {
    /// This program, which must call [`keeper::run_if_keeper`] first thing.
    exe: PathBuf,
    plan: ForeignPlan,
    surroundings: Surroundings,
    /// Where the scenario's file is: commands are run there.
    folder: PathBuf,
    logs: PathBuf,
    recorder: Recorder,
    /// Where those on the standard output go.
    effects: Option<Arc<Effects>>,
    /// With lines for its log. Closing it ends the keeper and the member.
    members: Roster<mpsc::UnboundedSender<String>>,
}

/// The member's process, or why there is none.
type Started = Result<u32, String>;

impl ProcessSubject {
    pub fn new(
        exe: PathBuf,
        plan: ForeignPlan,
        surroundings: Surroundings,
        folder: PathBuf,
        logs: PathBuf,
        recorder: Recorder,
        effects: Option<Arc<Effects>>,
    ) -> Self {
        Self { exe, plan, surroundings, folder, logs, recorder, effects, members: Roster::default() }
    }

    /// The file that a member's output goes to.
    pub fn log(&self, member: u32) -> PathBuf {
        self.logs.join(format!("member-{member}.log"))
    }

    fn keeper(&self, member: u32) -> Result<KeeperConfig, String> {
        let mut command = self.surroundings.filled(&self.plan.command, member).into_iter();
        let program = PathBuf::from(command.next().ok_or("`command` names no program")?);
        // A program with a path of its own is meant from the scenario's folder; a bare name from PATH.
        let program = if program.components().count() > 1 { self.folder.join(program) } else { program };
        Ok(KeeperConfig {
            program,
            arguments: command.collect(),
            env: self.surroundings.variables(&self.plan.env, member),
            folder: self.folder.clone(),
            log: std::path::absolute(self.log(member)).map_err(|e| e.to_string())?,
            ready_line: self.plan.ready.line(),
            effects: self.effects.as_ref().map(|_| self.recorder.clock().origin()),
        })
    }

    /// Signals the member's whole group.
    fn signal(&self, member: u32, signal: i32, what: &'static str) -> Result<u32, SubjectError> {
        let pid = self.members.running(member, |m| m.pid)?;
        // SAFETY: plain system call; the group's first process is waited for by its keeper, which has not told its end.
        if unsafe { libc::kill(-(pid as i32), signal) } == 0 {
            return Ok(pid);
        }
        Err(SubjectError::Signal { what, member, pid, source: std::io::Error::last_os_error() })
    }
}

#[async_trait::async_trait]
impl Subject for ProcessSubject {
    async fn start(&self, member: u32) -> Result<(), SubjectError> {
        let shown = self.plan.command.join(" ");
        let failed = |reason: String| SubjectError::CannotStart { member, command: shown.clone(), reason };
        let config = self.keeper(member).map_err(failed)?;
        let json = serde_json::to_string(&config).map_err(|e| failed(e.to_string()))?;
        let mut keeper = Command::new(&self.exe)
            .env(KEEPER_ENV, json)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| failed(format!("its keeper {}: {e}", self.exe.display())))?;
        let (Some(mut stdin), Some(stdout)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(failed("its keeper's pipes are missing".into()));
        };
        let (marks, mut queue) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = queue.recv().await {
                if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let (tell, life) = watch::channel(Life::default());
        let (report, started) = oneshot::channel();
        let (recorder, actor) = (self.recorder.clone(), format!("member-{member}"));
        let mut tap = self.effects.as_ref().map(|effects| effects.tap(member as i32));
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            let mut report = Some(report);
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<KeeperEvent>(&line) {
                    Ok(KeeperEvent::Effects { at, lines }) => {
                        tap.iter().for_each(|tap| tap.take(at, &lines));
                    }
                    Ok(event) => {
                        if matches!(event, KeeperEvent::Ended { .. }) {
                            tap.take().into_iter().for_each(Tap::close);
                        }
                        observe(event, &mut report, &tell, &recorder, &actor);
                    }
                    Err(error) => tracing::warn!(%actor, %line, %error, "not a keeper's event"),
                }
            }
            let _ = keeper.wait().await;
            // It did not tell an end.
            if let Some(tap) = tap {
                tap.cut("its member's keeper died".into());
            }
            started_is(&mut report, Err("its keeper died".into()));
            tell.send_modify(|life| {
                life.ended.get_or_insert_with(|| "its keeper died".into());
            });
        });
        let started = tokio::time::timeout(START_LIMIT, started).await.ok().and_then(Result::ok);
        let late = || Err(format!("not started within {}", humantime::format_duration(START_LIMIT)));
        let pid = started.unwrap_or_else(late).map_err(failed)?;
        let value = serde_json::json!({ "pid": pid });
        self.recorder.record(Some(&format!("member-{member}")), Op::Signal { name: "member-start".into(), value });
        self.members.enrol(member, Enrolled { pid, life, handle: marks });
        Ok(())
    }

    async fn crash(&self, member: u32) -> Result<String, SubjectError> {
        let pid = self.signal(member, libc::SIGKILL, "crash")?;
        let status = self.members.gone(member, "die", KEEPER_LIMIT).await?;
        Ok(format!("process {pid} ended: {status}"))
    }

    async fn stop(&self, member: u32, grace: Duration) -> Result<String, SubjectError> {
        let grace = grace.min(self.plan.stop_grace);
        let pid = self.signal(member, libc::SIGTERM, "stop")?;
        if let Ok(status) = self.members.gone(member, "stop", grace).await {
            return Ok(format!("process {pid} ended: {status}"));
        }
        // It may have ended just now.
        let killed = self.signal(member, libc::SIGKILL, "kill");
        let status = self.members.gone(member, "die", KEEPER_LIMIT).await?;
        killed.map_or(Ok(format!("process {pid} ended: {status}")), |_| {
            let value = serde_json::json!({ "grace_s": grace.as_secs_f64() });
            let ignored = Op::Signal { name: "member-ignored-sigterm".into(), value };
            self.recorder.record(Some(&format!("member-{member}")), ignored);
            let grace = humantime::format_duration(grace);
            Ok(format!("process {pid} ignored SIGTERM for {grace} and was killed: {status}"))
        })
    }

    async fn pause(&self, member: u32) -> Result<String, SubjectError> {
        let pid = self.signal(member, libc::SIGSTOP, "pause")?;
        os::wait_for_state(member, pid, "freeze", true).await?;
        Ok(format!("process {pid} is stopped"))
    }

    async fn resume(&self, member: u32) -> Result<(), SubjectError> {
        let pid = self.signal(member, libc::SIGCONT, "resume")?;
        os::wait_for_state(member, pid, "thaw", false).await
    }

    async fn chaos(&self, order: Option<ChaosOrder>) -> Result<String, SubjectError> {
        match order {
            None => Ok("there is none".into()),
            Some(_) => Err(SubjectError::Chaos("a process has no chaos engine that could be told".into())),
        }
    }

    fn members(&self) -> Vec<MemberState> {
        self.members.states()
    }

    fn mark(&self, text: &str) {
        // One whose keeper is gone has no log any more.
        self.members.each(|marks| drop(marks.send(text.to_owned())));
    }

    async fn shutdown(&self, grace: Duration) {
        let ends = self.members.live().into_iter().map(|member| async move {
            // A frozen process would never see the SIGTERM.
            let _ = self.signal(member, libc::SIGCONT, "resume");
            if let Err(error) = self.stop(member, grace).await {
                tracing::warn!(%error, "shutdown");
            }
        });
        futures::future::join_all(ends).await;
    }

    fn kill_all(&self) {
        for member in self.members.live() {
            let _ = self.signal(member, libc::SIGKILL, "kill");
        }
    }
}

impl Drop for ProcessSubject {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Told once; nobody listens any more when it comes too late.
fn started_is(report: &mut Option<oneshot::Sender<Started>>, started: Started) {
    if let Some(report) = report.take() {
        let _ = report.send(started);
    }
}

fn observe(
    event: KeeperEvent,
    report: &mut Option<oneshot::Sender<Started>>,
    tell: &watch::Sender<Life>,
    recorder: &Recorder,
    actor: &str,
) {
    match event {
        KeeperEvent::Started { pid } => started_is(report, Ok(pid)),
        KeeperEvent::CannotStart { reason } => started_is(report, Err(reason)),
        KeeperEvent::Effects { .. } => {}
        KeeperEvent::Ready => tell.send_modify(|state| state.ready = true),
        KeeperEvent::Ended { status, strays } => {
            let value = serde_json::json!(status);
            recorder.record(Some(actor), Op::Signal { name: "member-exit".into(), value });
            if strays > 0 {
                let value = serde_json::json!({ "killed": strays });
                recorder.record(Some(actor), Op::Signal { name: "member-strays".into(), value });
            }
            tell.send_modify(|state| state.ended = Some(status));
        }
    }
}
