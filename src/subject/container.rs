//! Somebody else's application as an image: every member is a container of it, started, frozen and ended by the same
//! engine as the brokers.
//!
//! Owns how members are started, signalled and ended. Must not know: the engine's protocol, or what is in the image.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{OnceCell, watch};

use super::log::{Lines, MemberLog};
use super::roster::{Enrolled, Life, Roster};
use super::surroundings::Surroundings;
use super::{ChaosOrder, MemberState, Subject, SubjectError};
use crate::cluster::containers::{Engine, Guest, GuestSpec, Reaper, remove_run, spawn_reaper};
use crate::cluster::{BrokerState, ClusterError};
use crate::history::{Op, Recorder};
use crate::plan::ForeignPlan;
use crate::workload::{Effects, Tap};

/// How long the engine may take to tell the end of a container that was killed.
const ENGINE_LIMIT: Duration = Duration::from_secs(20);

/// The members' containers.
pub struct ContainerSubject {
    plan: ForeignPlan,
    image: String,
    surroundings: Surroundings,
    logs: PathBuf,
    recorder: Recorder,
    /// Where those on the standard output go.
    effects: Option<Arc<Effects>>,
    /// On every container's label; the reaper removes what has it once this process is gone.
    run: String,
    exe: PathBuf,
    engine: OnceCell<(Engine, Reaper)>,
    /// Names must be unique in the engine: a member that is started again is another container.
    starts: AtomicU32,
    members: Roster<Member>,
}

struct Member {
    guest: Guest,
    log: Arc<MemberLog>,
    /// The engine has it no longer.
    removed: watch::Receiver<bool>,
}

impl ContainerSubject {
    /// `exe` must call [`reaper_main`](crate::cluster::containers::reaper_main) first thing when it is told to. `run` is
    /// of letters, digits and hyphens, and nobody else's.
    pub fn new(
        exe: PathBuf,
        plan: ForeignPlan,
        surroundings: Surroundings,
        logs: PathBuf,
        recorder: Recorder,
        effects: Option<Arc<Effects>>,
        run: String,
    ) -> Self {
        let image = plan.image.clone().unwrap_or_default();
        Self {
            plan,
            image,
            surroundings,
            logs,
            recorder,
            effects,
            run,
            exe,
            engine: OnceCell::new(),
            starts: AtomicU32::new(0),
            members: Roster::default(),
        }
    }

    /// The engine, with the image in it and a reaper that watches over this process.
    async fn engine(&self) -> Result<&Engine, ClusterError> {
        let connect = async || {
            let (engine, _) = Engine::connect().await?;
            engine.guest_image(&self.image).await?;
            Ok((engine, spawn_reaper(&self.exe, &self.run)?))
        };
        self.engine.get_or_try_init(connect).await.map(|(engine, _)| engine)
    }

    fn running(&self, member: u32) -> Result<(u32, Guest), SubjectError> {
        self.members.running(member, |found| (found.pid, found.handle.guest.clone()))
    }

    fn signal(&self, member: u32, name: &str, value: serde_json::Value) {
        self.recorder.record(Some(&format!("member-{member}")), Op::Signal { name: name.into(), value });
    }

    async fn begin(&self, member: u32) -> Result<(), ClusterError> {
        let engine = self.engine().await?;
        let path = self.logs.join(format!("member-{member}.log"));
        let log = MemberLog::open(&path).map_err(|e| ClusterError::File {
            action: "open",
            path: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let log = Arc::new(log);
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let spec = GuestSpec {
            run: &self.run,
            name: format!("seaworthy-{}-member-{member}-{start}", self.run),
            image: &self.image,
            command: self.surroundings.filled(&self.plan.command, member),
            env: self.surroundings.variables(&self.plan.env, member),
        };
        let guest = engine.guest(spec).await?;
        let pid = guest.pid().await?;
        self.signal(member, "member-start", serde_json::json!({ "pid": pid, "image": self.image }));
        let (tell, life) = watch::channel(Life::default());
        let (gone, removed) = watch::channel(false);
        let output = Output {
            awaited: self.plan.ready.line(),
            log: Arc::clone(&log),
            tap: self.effects.as_ref().map(|effects| effects.tap(member as i32)),
        };
        let watched = watch(guest.clone(), output, tell, self.recorder.clone(), format!("member-{member}"));
        tokio::spawn(async move {
            watched.await;
            gone.send_replace(true);
        });
        self.members.enrol(member, Enrolled { pid, life, handle: Member { guest, log, removed } });
        Ok(())
    }
}

/// Where a member's output goes.
struct Output {
    awaited: Option<String>,
    log: Arc<MemberLog>,
    /// Of effects on its standard output.
    tap: Option<Tap>,
}

impl Output {
    fn take_effects(&self, lines: &[String], recorder: &Recorder) {
        if let Some(tap) = &self.tap {
            tap.take(recorder.clock().now(), lines);
        }
    }
}

/// A member's life, from its start to its end.
async fn watch(guest: Guest, output: Output, tell: watch::Sender<Life>, recorder: Recorder, actor: String) {
    let lines = || Lines::new(Arc::clone(&output.log), output.awaited.clone());
    // Where effects are on the standard output, nothing gets into the middle of their lines.
    let (mut lines, mut errors) = match &output.tap {
        Some(_) => (lines().keeping_effects(), Some(lines())),
        None => (lines(), None),
    };
    {
        let mut chunks = std::pin::pin!(guest.output());
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok((of_errors, bytes)) => {
                    let lines = errors.as_mut().filter(|_| of_errors).unwrap_or(&mut lines);
                    if lines.take(&bytes) {
                        tell.send_modify(|state| state.ready = true);
                    }
                    output.take_effects(&lines.effects(), &recorder);
                }
                // The engine's, not the member's: it goes on without its log.
                Err(error) => {
                    tracing::warn!(%actor, %error);
                    output.tap.iter().for_each(|tap| tap.cut(error.to_string()));
                    break;
                }
            }
        }
    }
    let status = guest.ended().await.unwrap_or_else(|error| format!("unknown: {error}"));
    output.take_effects(&lines.finish(), &recorder);
    if let Some(errors) = errors {
        errors.finish();
    }
    output.tap.into_iter().for_each(Tap::close);
    output.log.mark(&format!("member ended: {status}"));
    recorder.record(Some(&actor), Op::Signal { name: "member-exit".into(), value: serde_json::json!(status) });
    tell.send_modify(|state| state.ended = Some(status));
    if let Err(error) = guest.remove().await {
        tracing::warn!(%actor, %error, "the reaper removes it");
    }
}

#[async_trait::async_trait]
impl Subject for ContainerSubject {
    async fn start(&self, member: u32) -> Result<(), SubjectError> {
        let command = format!("image {}", self.image);
        let failed = |e: ClusterError| SubjectError::CannotStart { member, command, reason: e.to_string() };
        self.begin(member).await.map_err(failed)
    }

    async fn crash(&self, member: u32) -> Result<String, SubjectError> {
        let (pid, guest) = self.running(member)?;
        guest.signal("SIGKILL").await?;
        let status = self.members.gone(member, "die", ENGINE_LIMIT).await?;
        Ok(format!("container's process {pid} ended: {status}"))
    }

    async fn stop(&self, member: u32, grace: Duration) -> Result<String, SubjectError> {
        let grace = grace.min(self.plan.stop_grace);
        let (pid, guest) = self.running(member)?;
        guest.signal("SIGTERM").await?;
        if let Ok(status) = self.members.gone(member, "stop", grace).await {
            return Ok(format!("container's process {pid} ended: {status}"));
        }
        guest.signal("SIGKILL").await?;
        let status = self.members.gone(member, "die", ENGINE_LIMIT).await?;
        self.signal(member, "member-ignored-sigterm", serde_json::json!({ "grace_s": grace.as_secs_f64() }));
        let grace = humantime::format_duration(grace);
        Ok(format!("container's process {pid} ignored SIGTERM for {grace} and was killed: {status}"))
    }

    async fn pause(&self, member: u32) -> Result<String, SubjectError> {
        let (pid, guest) = self.running(member)?;
        guest.pause().await?;
        match guest.state().await? {
            BrokerState::Paused => Ok(format!("container's process {pid} is frozen")),
            state => {
                let last = format!("{state:?}").to_lowercase();
                Err(SubjectError::Timeout { member, what: "freeze", limit: Duration::ZERO, last })
            }
        }
    }

    async fn resume(&self, member: u32) -> Result<(), SubjectError> {
        let (_, guest) = self.running(member)?;
        Ok(guest.resume().await?)
    }

    async fn chaos(&self, order: Option<ChaosOrder>) -> Result<String, SubjectError> {
        match order {
            None => Ok("there is none".into()),
            Some(_) => Err(SubjectError::Chaos("a container has no chaos engine that could be told".into())),
        }
    }

    fn members(&self) -> Vec<MemberState> {
        self.members.states()
    }

    fn mark(&self, text: &str) {
        self.members.each(|member| member.log.mark(text));
    }

    async fn shutdown(&self, grace: Duration) {
        let ends = self.members.live().into_iter().map(|member| async move {
            // A frozen process would never see the SIGTERM.
            if let Ok((_, guest)) = self.running(member)
                && guest.state().await.is_ok_and(|state| state == BrokerState::Paused)
            {
                let _ = guest.resume().await;
            }
            if let Err(error) = self.stop(member, grace).await {
                tracing::warn!(%error, "shutdown");
            }
        });
        futures::future::join_all(ends).await;
        let removed = self.members.each(|member| member.removed.clone()).into_iter().map(|mut removed| async move {
            let _ = tokio::time::timeout(ENGINE_LIMIT, removed.wait_for(|removed| *removed)).await;
        });
        futures::future::join_all(removed).await;
    }

    /// Also called outside a runtime, and where the runtime is about to end: with a thread and a connection of its own.
    fn kill_all(&self) {
        if self.engine.get().is_none() {
            return;
        }
        let run = self.run.clone();
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let removed = runtime.map(|runtime| runtime.block_on(remove_run(&run)));
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "the reaper removes what is left of {run}");
            }
        });
        let _ = removal.join();
    }
}

impl Drop for ContainerSubject {
    fn drop(&mut self) {
        self.kill_all();
    }
}
