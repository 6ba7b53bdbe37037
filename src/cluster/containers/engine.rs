//! The container engine: whether there is one, its images, and orders to single containers.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use testcontainers::GenericImage;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, NetworkConnectRequest,
};
use testcontainers::bollard::models::{NetworkCreateRequest, NetworkDisconnectRequest};
use testcontainers::bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, LogsOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use testcontainers::runners::AsyncRunner;

use crate::cluster::{BrokerState, ClusterError, ImageInfo};

/// How long an engine may take to say that it is there.
const PING: Duration = Duration::from_secs(3);

/// A container engine that answers.
#[derive(Clone)]
pub struct Engine {
    pub(super) docker: Docker,
}

/// What is known of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// The engine's own version.
    pub version: String,
    /// Of its API.
    pub api: String,
}

impl std::fmt::Display for EngineInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Docker engine {}, API {}", self.version, self.api)
    }
}

impl Engine {
    /// Whether an engine answers, within 3 s, at `DOCKER_HOST` or the usual socket.
    pub async fn detect() -> Result<EngineInfo, ClusterError> {
        Self::connect().await.map(|(_, info)| info)
    }

    /// As [`Engine::detect`], and keeps the connection.
    pub async fn connect() -> Result<(Self, EngineInfo), ClusterError> {
        let no_engine = |reason: String| ClusterError::NoEngine { reason };
        let docker = testcontainers::core::client::docker_client_instance();
        let docker = docker.await.map_err(|e| no_engine(e.to_string()))?;
        let version = match tokio::time::timeout(PING, docker.version()).await {
            Ok(Ok(version)) => version,
            Ok(Err(e)) => return Err(no_engine(e.to_string())),
            Err(_) => return Err(no_engine(format!("no answer within {PING:?}"))),
        };
        let info =
            EngineInfo { version: version.version.unwrap_or_default(), api: version.api_version.unwrap_or_default() };
        Ok((Self { docker }, info))
    }

    /// The id of an image that is here already; nothing is pulled.
    pub async fn has_image(&self, name: &str) -> Result<Option<String>, ClusterError> {
        match self.docker.inspect_image(name).await {
            Ok(found) => Ok(Some(info(name, found.id).id)),
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(e) => Err(refused(format!("look up image {name}"), e)),
        }
    }

    /// Makes sure that an image is there: one that was built here is never asked for elsewhere.
    pub(super) async fn image(&self, name: &str, variable: &'static str) -> Result<ImageInfo, ClusterError> {
        let missing = |reason: String| ClusterError::ImageMissing { image: name.to_owned(), variable, reason };
        match self.docker.inspect_image(name).await {
            Ok(found) => return Ok(info(name, found.id)),
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(e) => return Err(refused(format!("look up image {name}"), e)),
        }
        tracing::info!(image = name, "pulling");
        let (repository, tag) = split_image(name);
        drop(GenericImage::new(repository, tag).pull_image().await.map_err(|e| missing(e.to_string()))?);
        let pulled = self.docker.inspect_image(name).await.map_err(|e| missing(e.to_string()))?;
        Ok(info(name, pulled.id))
    }

    pub(super) async fn create_network(
        &self,
        name: &str,
        internal: bool,
        labels: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ClusterError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            internal: Some(internal),
            labels: Some(labels.into_iter().collect()),
            ..Default::default()
        };
        let created = self.docker.create_network(request).await;
        created.map(drop).map_err(|e| refused(format!("create network {name}"), e))
    }

    /// No error if there is none.
    pub(super) async fn remove_network(&self, name: &str) -> Result<(), ClusterError> {
        match self.docker.remove_network(name).await {
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            outcome => outcome.map_err(|e| refused(format!("remove network {name}"), e)),
        }
    }

    /// Joins a running container to a further network, under an alias. No error if it has joined.
    pub(super) async fn join(&self, network: &str, container: &str, alias: &str) -> Result<(), ClusterError> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(EndpointSettings { aliases: Some(vec![alias.to_owned()]), ..Default::default() }),
        };
        match self.docker.connect_network(network, request).await {
            Err(EngineError::DockerResponseServerError { message, .. }) if message.contains("already exists") => Ok(()),
            outcome => outcome.map_err(|e| refused(format!("join {container} to {network}"), e)),
        }
    }

    pub(super) async fn leave(&self, network: &str, container: &str) -> Result<(), ClusterError> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        let left = self.docker.disconnect_network(network, request).await;
        left.map_err(|e| refused(format!("take {container} off {network}"), e))
    }

    /// Whether a container is on a network at this moment, with an address of its own.
    pub(super) async fn is_on(&self, network: &str, container: &str) -> Result<bool, ClusterError> {
        let endpoint = self
            .inspect(container)
            .await?
            .network_settings
            .and_then(|all| all.networks)
            .and_then(|mut all| all.remove(network));
        Ok(endpoint.and_then(|endpoint| endpoint.ip_address).is_some_and(|address| !address.is_empty()))
    }

    pub(super) async fn kill(&self, container: &str) -> Result<(), ClusterError> {
        let how = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        self.docker.kill_container(container, Some(how)).await.map_err(|e| refused(format!("kill {container}"), e))
    }

    /// SIGTERM, then SIGKILL after `patience`.
    pub(super) async fn stop(&self, container: &str, patience: Duration) -> Result<(), ClusterError> {
        let how = StopContainerOptionsBuilder::default().t(patience.as_secs() as i32).build();
        self.docker.stop_container(container, Some(how)).await.map_err(|e| refused(format!("stop {container}"), e))
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), ClusterError> {
        let started = self.docker.start_container(container, None::<StartContainerOptions>).await;
        started.map_err(|e| refused(format!("start {container}"), e))
    }

    pub(super) async fn pause(&self, container: &str) -> Result<(), ClusterError> {
        self.docker.pause_container(container).await.map_err(|e| refused(format!("pause {container}"), e))
    }

    pub(super) async fn unpause(&self, container: &str) -> Result<(), ClusterError> {
        self.docker.unpause_container(container).await.map_err(|e| refused(format!("resume {container}"), e))
    }

    /// The container's state and, if it has ended, its exit code.
    pub(super) async fn state(&self, container: &str) -> Result<(BrokerState, Option<i64>), ClusterError> {
        let state = self.inspect(container).await?.state.unwrap_or_default();
        Ok(match state.status {
            Some(ContainerStateStatusEnum::RUNNING) => (BrokerState::Running, None),
            Some(ContainerStateStatusEnum::PAUSED) => (BrokerState::Paused, None),
            _ => (BrokerState::Down, state.exit_code),
        })
    }

    async fn inspect(&self, container: &str) -> Result<ContainerInspectResponse, ClusterError> {
        let seen = self.docker.inspect_container(container, None::<InspectContainerOptions>).await;
        seen.map_err(|e| refused(format!("inspect {container}"), e))
    }

    /// A container's output; all of it, or the last lines.
    pub(super) async fn log(&self, container: &str, last_lines: Option<u32>) -> Result<Vec<u8>, ClusterError> {
        let lines = last_lines.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let how = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines).build();
        let chunks = self.docker.logs(container, Some(how)).map(|chunk| chunk.map(|c| c.into_bytes()));
        let log = chunks.try_fold(Vec::new(), |mut log, chunk| async move {
            log.extend_from_slice(&chunk);
            Ok(log)
        });
        log.await.map_err(|e| refused(format!("read the log of {container}"), e))
    }

    /// The end of a container's log, or why there is none: for errors.
    pub(super) async fn log_tail(&self, container: &str) -> String {
        match self.log(container, Some(200)).await {
            Ok(log) => {
                // Java's stack frames would be all of it.
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<&str> = log.lines().filter(|line| !line.trim_start().starts_with("at ")).collect();
                lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("    {line}\n")).collect()
            }
            Err(e) => format!("    ({e})\n"),
        }
    }
}

pub(super) fn refused(action: String, e: impl std::fmt::Display) -> ClusterError {
    ClusterError::Engine { action, reason: e.to_string() }
}

/// Name and tag; a registry's port is no tag.
pub(super) fn split_image(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

fn info(name: &str, id: Option<String>) -> ImageInfo {
    ImageInfo { name: name.to_owned(), id: id.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_s_port_is_no_tag() {
        assert_eq!(split_image("apache/kafka:4.1.0"), ("apache/kafka", "4.1.0"));
        assert_eq!(split_image("localhost:5000/kafka"), ("localhost:5000/kafka", "latest"));
        assert_eq!(split_image("localhost:5000/kafka:x"), ("localhost:5000/kafka", "x"));
    }
}
