//! A container that is nobody's broker: one member of an application under test, beside the cluster.
//!
//! It shares the host's network, so that the brokers' advertised addresses (the fault proxies' ports on this machine)
//! are the same for it as for a process, and it cannot get around them. It carries the run's labels: what a dead harness
//! leaves behind is found by them. Must not know: what it runs.

use std::time::Duration;

use futures::{Stream, StreamExt};
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::{ContainerCreateBody, ContainerStateStatusEnum, HostConfig};
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder,
};

use super::engine::{Engine, refused, split_image};
use super::removal::labels;
use crate::cluster::{BrokerState, ClusterError};

/// How often a container's end is looked for once its output has ended.
const LOOK: Duration = Duration::from_millis(50);

/// What to start.
pub struct GuestSpec<'a> {
    /// On its label: see [`remove_run`](super::remove_run).
    pub run: &'a str,
    /// Unique in the engine.
    pub name: String,
    pub image: &'a str,
    /// In place of the image's own command; empty: that.
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
}

/// A container that was started.
#[derive(Clone)]
pub struct Guest {
    engine: Engine,
    name: String,
}

impl Engine {
    /// Makes sure that an application's image is there: one that was built here is never asked for elsewhere.
    pub async fn guest_image(&self, name: &str) -> Result<(), ClusterError> {
        if self.has_image(name).await?.is_some() {
            return Ok(());
        }
        use testcontainers::runners::AsyncRunner;
        tracing::info!(image = name, "pulling");
        let (repository, tag) = split_image(name);
        let pulled = testcontainers::GenericImage::new(repository, tag).pull_image().await;
        pulled.map(drop).map_err(|e| refused(format!("get image {name}, which is not here"), e))
    }

    /// Creates and starts a container. Returns once its process runs.
    pub async fn guest(&self, spec: GuestSpec<'_>) -> Result<Guest, ClusterError> {
        let guest = Guest { engine: self.clone(), name: spec.name };
        let body = ContainerCreateBody {
            image: Some(spec.image.to_owned()),
            cmd: Some(spec.command).filter(|command| !command.is_empty()),
            env: Some(spec.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(labels(spec.run).into_iter().collect()),
            host_config: Some(HostConfig { network_mode: Some("host".to_owned()), ..Default::default() }),
            ..Default::default()
        };
        let how = CreateContainerOptionsBuilder::default().name(&guest.name).build();
        let created = self.docker.create_container(Some(how), body).await;
        created.map_err(|e| refused(format!("create {}", guest.name), e))?;
        if let Err(error) = self.start(&guest.name).await {
            let _ = guest.remove().await;
            return Err(error);
        }
        Ok(guest)
    }
}

impl Guest {
    /// The process's number in the engine's machine; 0 once it has ended.
    pub async fn pid(&self) -> Result<u32, ClusterError> {
        let seen = self.engine.docker.inspect_container(&self.name, None::<InspectContainerOptions>).await;
        let state = seen.map_err(|e| refused(format!("inspect {}", self.name), e))?.state.unwrap_or_default();
        Ok(state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0))
    }

    pub async fn state(&self) -> Result<BrokerState, ClusterError> {
        self.engine.state(&self.name).await.map(|(state, _)| state)
    }

    /// Its output from the start on, each piece with whether it is of the standard error; ends when the container has ended.
    pub fn output(&self) -> impl Stream<Item = Result<(bool, Vec<u8>), ClusterError>> + Send + use<> {
        let how = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let name = self.name.clone();
        self.engine.docker.logs(&self.name, Some(how)).map(move |chunk| {
            let chunk = chunk.map_err(|e| refused(format!("read the log of {name}"), e))?;
            Ok((matches!(chunk, LogOutput::StdErr { .. }), chunk.into_bytes().to_vec()))
        })
    }

    /// Waits for its end: how it ended, in words.
    pub async fn ended(&self) -> Result<String, ClusterError> {
        loop {
            let seen = self.engine.docker.inspect_container(&self.name, None::<InspectContainerOptions>).await;
            let state = seen.map_err(|e| refused(format!("inspect {}", self.name), e))?.state.unwrap_or_default();
            if matches!(state.status, Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD)) {
                let code = state.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
                let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
                return Ok(format!("exit code {code}{memory}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Signals its first process. No error if it has ended.
    pub async fn signal(&self, signal: &'static str) -> Result<(), ClusterError> {
        let how = KillContainerOptionsBuilder::default().signal(signal).build();
        match self.engine.docker.kill_container(&self.name, Some(how)).await {
            Err(EngineError::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            outcome => outcome.map_err(|e| refused(format!("send {signal} to {}", self.name), e)),
        }
    }

    pub async fn pause(&self) -> Result<(), ClusterError> {
        self.engine.pause(&self.name).await
    }

    pub async fn resume(&self) -> Result<(), ClusterError> {
        self.engine.unpause(&self.name).await
    }

    /// Removes it, running or not. No error if there is none.
    pub async fn remove(&self) -> Result<(), ClusterError> {
        let how = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.engine.docker.remove_container(&self.name, Some(how)).await {
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            outcome => outcome.map_err(|e| refused(format!("remove {}", self.name), e)),
        }
    }
}
