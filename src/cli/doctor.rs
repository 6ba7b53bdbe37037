//! `seaworthy doctor`.

use serde_json::{Value, json};

use super::{Format, print, runtime};
use crate::cluster::containers::{Engine, Options};
use crate::exit_code::ExitCode;
use crate::plan::DEFAULT_KAFKA;

/// Looks at what each backend needs here, and says what to do about what is missing. Changes nothing. Exits with 0 if some
/// backend works, else with 69.
#[derive(clap::Args)]
pub(super) struct Doctor {
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How one backend fares.
struct Backend {
    kind: &'static str,
    works: bool,
    /// One line.
    state: String,
    /// What to do about it.
    next: Option<String>,
    images: Vec<Image>,
}

struct Image {
    name: String,
    id: Option<String>,
    state: String,
}

impl Doctor {
    pub fn run(self) -> ExitCode {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(code) => return code,
        };
        let backends = [runtime.block_on(containers()), embedded()];
        match self.format {
            Format::Human => print(&human(&backends)),
            Format::Json => print(&machine(&backends).to_string()),
        }
        if backends.iter().any(|backend| backend.works) { ExitCode::Passed } else { ExitCode::Unavailable }
    }
}

fn human(backends: &[Backend]) -> String {
    let mut text = format!("seaworthy {}", env!("CARGO_PKG_VERSION"));
    for backend in backends {
        let works = if backend.works { "yes" } else { "no" };
        text += &format!("\n{:<12}{works}: {}", backend.kind, backend.state);
        for image in &backend.images {
            text += &format!("\n{:<12}{}: {}", "", image.name, image.state);
        }
        if let Some(next) = &backend.next {
            text += &format!("\n{:<12}next: {next}", "");
        }
    }
    text
}

fn machine(backends: &[Backend]) -> Value {
    let image = |image: &Image| json!({ "name": image.name, "id": image.id, "state": image.state });
    let backend = |backend: &Backend| {
        json!({
            "kind": backend.kind,
            "works": backend.works,
            "state": backend.state,
            "images": backend.images.iter().map(image).collect::<Vec<_>>(),
            "next": backend.next,
        })
    };
    json!({
        "seaworthy_version": env!("CARGO_PKG_VERSION"),
        "backends": backends.iter().map(backend).collect::<Vec<_>>(),
    })
}

/// Compiled in, and without needs.
fn embedded() -> Backend {
    Backend {
        kind: "embedded",
        works: true,
        state:
            "librdkafka's mock cluster behind in-process proxies: a rehearsal of the application, no proof about Kafka"
                .into(),
        next: None,
        images: Vec::new(),
    }
}

async fn containers() -> Backend {
    let (engine, info) = match Engine::connect().await {
        Ok(found) => found,
        Err(error) => {
            return Backend {
                kind: "containers",
                works: false,
                // What to do stands in `next`.
                state: error.to_string().lines().next().unwrap_or_default().to_owned(),
                next: Some(
                    "start Docker, or set DOCKER_HOST; on a Debian machine without one, as root: images/prepare".into(),
                ),
                images: Vec::new(),
            };
        }
    };
    let options = Options::from_env("doctor");
    let kafka = options.kafka_image.unwrap_or_else(|| format!("apache/kafka:{DEFAULT_KAFKA}"));
    let mut images = Vec::new();
    for name in [kafka, options.toxiproxy_image] {
        let (id, state) = match engine.has_image(&name).await {
            Ok(Some(id)) => (Some(id.clone()), format!("here ({id})")),
            Ok(None) => (None, "not here; it is pulled when first needed".into()),
            Err(error) => (None, error.to_string()),
        };
        images.push(Image { name, id, state });
    }
    let missing = images.iter().any(|image| image.id.is_none());
    Backend {
        kind: "containers",
        works: true,
        state: format!("a Docker engine answers (version {}, API {})", info.version, info.api),
        next: missing.then(|| {
            "nothing where an image registry answers; else build the images: images/prepare (Debian, root)".into()
        }),
        images,
    }
}
