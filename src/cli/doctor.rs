//! `seaworthy doctor`.

use super::{print, runtime};
use crate::cluster::containers::{Engine, Options};
use crate::exit_code::ExitCode;
use crate::plan::DEFAULT_KAFKA;

/// Looks at what containers need here: the engine and the images. Changes nothing.
#[derive(clap::Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub fn run(self) -> ExitCode {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(code) => return code,
        };
        print(&format!("seaworthy {}", env!("CARGO_PKG_VERSION")));
        runtime.block_on(look())
    }
}

async fn look() -> ExitCode {
    let (engine, info) = match Engine::connect().await {
        Ok(found) => found,
        Err(error) => {
            print(&format!(
                "containers: no\n  {error}\n  \
                 next: start Docker, or set DOCKER_HOST; on a Debian machine without one, as root: images/prepare"
            ));
            return ExitCode::Unavailable;
        }
    };
    print(&format!("containers: a Docker engine answers (version {}, API {})", info.version, info.api));
    let options = Options::from_env("doctor");
    let kafka = options.kafka_image.unwrap_or_else(|| format!("apache/kafka:{DEFAULT_KAFKA}"));
    for image in [kafka, options.toxiproxy_image] {
        match engine.has_image(&image).await {
            Ok(Some(id)) => print(&format!("  {image}: here ({id})")),
            Ok(None) => print(&format!(
                "  {image}: not here; it is pulled when first needed\n  \
                 next, where no image registry answers: images/prepare (Debian, root)"
            )),
            Err(error) => print(&format!("  {image}: {error}")),
        }
    }
    ExitCode::Passed
}
