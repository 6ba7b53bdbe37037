//! The real Toxiproxy in a container, started when it is first asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

/// `Err`: why there is no engine.
#[cfg(feature = "containers")]
pub async fn engine() -> Result<(), String> {
    seaworthy::cluster::containers::Engine::detect().await.map(drop).map_err(|e| e.to_string())
}

#[cfg(not(feature = "containers"))]
pub async fn engine() -> Result<(), String> {
    Err("built without the feature `containers`".to_owned())
}

pub struct Lazy {
    runtime: Arc<Runtime>,
    engine: Result<(), String>,
    running: Mutex<Option<Result<(container::Running, SocketAddr), String>>>,
}

impl Lazy {
    pub fn new(runtime: Arc<Runtime>, engine: Result<(), String>) -> Self {
        Self { runtime, engine, running: Mutex::default() }
    }

    /// Where its API listens.
    pub fn control(&self) -> Result<SocketAddr, String> {
        self.engine.clone()?;
        let mut running = self.running.lock().unwrap_or_else(|e| e.into_inner());
        let started = running.get_or_insert_with(|| self.runtime.block_on(container::start()));
        started.as_ref().map(|(_, control)| *control).map_err(Clone::clone)
    }

    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(Ok((running, _))) = running
            && let Err(e) = self.runtime.block_on(container::stop(running))
        {
            eprintln!("the Toxiproxy container may be left: {e}");
        }
    }
}

#[cfg(feature = "containers")]
mod container {
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use testcontainers_modules::testcontainers::core::WaitFor;
    use testcontainers_modules::testcontainers::runners::AsyncRunner;
    use testcontainers_modules::testcontainers::{ContainerAsync, GenericImage, ImageExt};

    /// For an engine that is busy with other things.
    const LATE: Duration = Duration::from_secs(60);

    pub type Running = ContainerAsync<GenericImage>;

    /// In the host's network: it must reach this process, and its proxies take any free port.
    pub async fn start() -> Result<(Running, SocketAddr), String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let control = SocketAddr::from(([127, 0, 0, 1], port));
        let image = GenericImage::new("ghcr.io/shopify/toxiproxy", "2.12.0").with_wait_for(WaitFor::Nothing);
        let image = image
            .with_network("host")
            .with_cmd(["-host=127.0.0.1".to_owned(), format!("-port={port}")])
            .with_startup_timeout(LATE);
        let running = image.start().await.map_err(|e| e.to_string())?;
        let listening = async {
            while tokio::net::TcpStream::connect(control).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(LATE, listening).await {
            Ok(()) => Ok((running, control)),
            Err(_) => Err(format!("Toxiproxy does not listen on {control}")),
        }
    }

    pub async fn stop(running: Running) -> Result<(), String> {
        running.rm().await.map_err(|e| e.to_string())
    }
}

#[cfg(not(feature = "containers"))]
mod container {
    use std::net::SocketAddr;

    pub enum Running {}

    pub async fn start() -> Result<(Running, SocketAddr), String> {
        Err("built without the feature `containers`".to_owned())
    }

    pub async fn stop(running: Running) -> Result<(), String> {
        match running {}
    }
}
