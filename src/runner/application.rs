//! The application under test, as the plan wants it: which kind, with what surroundings, and when it is ready.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::one::Stage;
use super::{CUSTOM_ENV, READY_LIMIT, RunError};
use crate::clock::Nanos;
use crate::cluster::{Cluster, View};
use crate::plan::{BackendKind, EffectSink, ForeignPlan, Ready, SubjectKind};
#[cfg(feature = "containers")]
use crate::subject::container::ContainerSubject;
use crate::subject::pipeline::{MemberConfig, PipelineSubject};
use crate::subject::process::ProcessSubject;
use crate::subject::{MemberState, Subject, SubjectError, Surroundings, http, log_tail};
use crate::workload::Effects;

/// How often its state is looked at while it is awaited.
const LOOK: Duration = Duration::from_millis(50);

/// Somebody else's application may work in batches: it has caught up when it is this many seconds of load behind.
const FOREIGN_LAG: u64 = 5;

impl Stage<'_> {
    /// The plan's subject, not yet started. `client`: the pipeline's client properties; `effects`: where go those that are in no
    /// topic.
    pub(super) fn subject(
        &self,
        cluster: &Arc<dyn Cluster>,
        client: BTreeMap<String, String>,
        effects: Option<Arc<Effects>>,
    ) -> Result<Arc<dyn Subject>, RunError> {
        let (exe, logs, recorder) = (self.context.exe.clone(), self.folder.join("logs"), self.recorder.clone());
        // A subject has to do with those that its members print.
        let effects = effects.filter(|_| *self.plan.subject.sink() == EffectSink::Stdout);
        let Some(plan) = &self.plan.subject.foreign else {
            let config = self.member_config(cluster, client);
            return Ok(Arc::new(PipelineSubject::new(exe, config, logs, recorder)));
        };
        let (plan, surroundings) = (plan.clone(), self.surroundings(&**cluster));
        match self.plan.subject.kind {
            #[cfg(feature = "containers")]
            SubjectKind::Container => {
                // The run's id is unique in its folder only.
                let run = format!("{}-{}", self.group, std::process::id());
                Ok(Arc::new(ContainerSubject::new(exe, plan, surroundings, logs, recorder, effects, run)))
            }
            #[cfg(not(feature = "containers"))]
            SubjectKind::Container => {
                Err(RunError::Settings("subject.kind = \"container\" takes the feature `containers`".into()))
            }
            SubjectKind::Custom => {
                let Some(arguments) = &self.context.custom else {
                    return Err(RunError::Settings(
                        "subject.kind = \"custom\" is given in Rust: it runs by `cargo test`, with \
                         seaworthy::testing::run_scenarios_with, or ScenarioTest and its `member`"
                            .into(),
                    ));
                };
                let mut plan = plan;
                plan.command = [exe.display().to_string()].into_iter().chain(arguments.clone()).collect();
                plan.env.insert(CUSTOM_ENV.to_owned(), "1".to_owned());
                Ok(Arc::new(ProcessSubject::new(exe, plan, surroundings, home_of(self.path), logs, recorder, effects)))
            }
            SubjectKind::Process | SubjectKind::Pipeline => {
                Ok(Arc::new(ProcessSubject::new(exe, plan, surroundings, home_of(self.path), logs, recorder, effects)))
            }
        }
    }

    pub(super) fn surroundings(&self, cluster: &dyn Cluster) -> Surroundings {
        Surroundings {
            bootstrap: cluster.bootstrap(View::Subject),
            input: self.topics.input.clone(),
            output: self.plan.topic.output(),
            dead_letter: self.topics.dead_letter.clone(),
            group: self.group.clone(),
            seed: self.seed,
        }
    }

    /// Waits until the subject does its work. The pipeline has its limit, and one that never gets there is a finding of the
    /// baseline's checker; somebody else's application has the plan's, and is an error with the end of its log: more often
    /// than not it was started wrongly.
    pub(super) async fn ready(
        &self,
        subject: &dyn Subject,
        cluster: &dyn Cluster,
        effects: Option<&Effects>,
    ) -> Result<(), RunError> {
        match &self.plan.subject.foreign {
            None => {
                self.pipeline_ready(subject).await;
                Ok(())
            }
            Some(plan) => self.foreign_ready(plan, subject, cluster, effects).await,
        }
    }

    /// Waits until every input topic partition has an owner and the subject has caught up to a second of load.
    async fn pipeline_ready(&self, subject: &dyn Subject) {
        let deadline = self.recorder.clock().now() + READY_LIMIT.as_nanos() as Nanos;
        while self.recorder.clock().now() < deadline {
            let members = subject.members();
            let owned: usize = members.iter().map(|m| m.assigned.len()).sum();
            let idle = members.iter().filter(|m| m.assigned.is_empty()).count();
            let enough = self.plan.topic.partitions as usize;
            if owned == enough && (idle == 0 || members.len() > enough) && self.caught_up(1) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.signal("subject-not-ready", serde_json::json!({ "after_s": READY_LIMIT.as_secs() }));
    }

    async fn foreign_ready(
        &self,
        plan: &ForeignPlan,
        subject: &dyn Subject,
        cluster: &dyn Cluster,
        effects: Option<&Effects>,
    ) -> Result<(), RunError> {
        let within = plan.ready.within();
        // On the mock a group takes seconds to form: that backlog is to be gone before the baseline begins.
        let slow = matches!(plan.ready, Ready::GroupStable(_)) && cluster.kind() == BackendKind::Embedded;
        let lag = if slow { 1 } else { FOREIGN_LAG };
        let deadline = self.recorder.clock().now() + within.as_nanos() as Nanos;
        loop {
            let members = subject.members();
            if let Some((member, status)) = members.iter().find_map(|m| Some((m.index, m.ended.clone()?))) {
                let log = log_tail(&self.log_of(member));
                return Err(SubjectError::EndedEarly { member, status, log }.into());
            }
            let missing = match &plan.ready {
                Ready::Line { text, .. } => {
                    let silent = members.iter().filter(|member| !member.ready).count();
                    (silent > 0).then(|| format!("{silent} members have not written a line with `{text}`"))
                }
                Ready::GroupStable(_) => self.group_unstable(members.len(), cluster).await,
                Ready::Http { url, .. } => self.silent_member(url, &members, cluster).await,
            };
            let missing = missing.or_else(|| {
                let text = format!("it lags by more than {lag} s of load, or nothing of its output was seen");
                let text = match effects.and_then(Effects::troubled) {
                    Some(reason) => format!("{text}: {reason}"),
                    None => text,
                };
                (!self.gauges.has_output() || !self.caught_up(lag)).then_some(text)
            });
            let Some(awaited) = missing else { return Ok(()) };
            if self.recorder.clock().now() >= deadline {
                let log = log_tail(&self.log_of(members.first().map_or(0, |member| member.index)));
                return Err(SubjectError::NotReady { within, awaited, log }.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The first member that does not answer that it is ready, and what it says instead.
    async fn silent_member(&self, url: &str, members: &[MemberState], cluster: &dyn Cluster) -> Option<String> {
        let surroundings = self.surroundings(cluster);
        for member in members {
            if let Err(seen) = http::answers(&surroundings.fill(url, member.index)).await {
                return Some(format!("member-{} is not ready: {seen}", member.index));
            }
        }
        None
    }

    /// What the group lacks to be stable; `None`: nothing.
    async fn group_unstable(&self, members: usize, cluster: &dyn Cluster) -> Option<String> {
        let group = match cluster.group(&self.group).await {
            Ok(group) => group,
            Err(error) => return Some(error.to_string()),
        };
        // The mock cannot be asked, and what its traffic tells is of the classic protocol: of a group that is of KIP-848 its
        // output must do.
        if group.state == "unknown" && cluster.kind() == BackendKind::Embedded {
            return None;
        }
        if group.state != "Stable" {
            return Some(format!("group {} is {} with {} members", self.group, group.state, group.members));
        }
        // One that is slow to start would take the group apart in the middle of the baseline.
        if group.members < members {
            return Some(format!("group {} has {} of {members} members", self.group, group.members));
        }
        let owned = group.assigned.iter().filter(|tp| *tp.topic == *self.topics.input).count();
        let all = self.plan.topic.partitions as usize;
        (owned < all)
            .then(|| format!("group {} owns {owned} of {all} topic partitions of {}", self.group, self.topics.input))
    }

    /// The backlog is at most this many seconds of load.
    fn caught_up(&self, seconds: u64) -> bool {
        self.gauges.backlog().is_some_and(|n| n <= seconds * u64::from(self.plan.workload.rate))
    }

    fn log_of(&self, member: u32) -> PathBuf {
        self.folder.join("logs").join(format!("member-{member}.log"))
    }

    fn member_config(&self, cluster: &Arc<dyn Cluster>, client: BTreeMap<String, String>) -> MemberConfig {
        MemberConfig {
            clock_origin: self.recorder.clock().origin(),
            member: 0,
            surroundings: self.surroundings(&**cluster),
            profile: self.plan.subject.profile.clone(),
            settings: self.plan.subject.settings.clone(),
            client,
            defect: self.plan.subject.defect,
        }
    }
}

/// The folder of a scenario's file.
fn home_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned())
}
