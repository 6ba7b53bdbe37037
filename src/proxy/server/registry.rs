//! All proxies by name, and what the API does to them. Knows nothing of HTTP but the status of each error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::link::Link;
use super::toxic::{Kind, Toxic};
use crate::proxy::Stream;

/// How long the name of an address may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// What the API refuses. The first six are Toxiproxy's, to the letter.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("bad request body: {0}")]
    BadBody(String),
    #[error("missing required field: {0}")]
    Missing(String),
    #[error("proxy not found")]
    NoProxy,
    #[error("proxy already exists")]
    ProxyExists,
    #[error("stream was invalid, can be either upstream or downstream")]
    BadStream,
    #[error("invalid toxic type")]
    BadType,
    #[error("toxic already exists")]
    ToxicExists,
    #[error("toxic not found")]
    NoToxic,
    #[error("cannot listen on {listen}: {reason}")]
    Listen { listen: String, reason: String },
    #[error("the server is shutting down")]
    Over,
}

impl ApiError {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::BadBody(_) | Self::Missing(_) | Self::BadStream | Self::BadType => 400,
            Self::NoProxy | Self::NoToxic => 404,
            Self::ProxyExists | Self::ToxicExists => 409,
            Self::Listen { .. } => 500,
            Self::Over => 503,
        }
    }
}

/// A proxy as a request describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProxyInput {
    pub(super) name: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// A toxic as a request describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToxicInput {
    pub(super) name: Option<String>,
    pub(super) r#type: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) toxicity: Option<f32>,
    pub(super) attributes: Option<Map<String, Value>>,
}

type Proxies = BTreeMap<String, Arc<Link>>;

pub(super) struct Registry {
    seed: u64,
    data: tokio::runtime::Handle,
    proxies: Mutex<Proxies>,
    toxics: AtomicU64,
    /// Set for good by [`close`](Self::close).
    over: AtomicBool,
}

impl Registry {
    pub(super) fn new(seed: u64, data: tokio::runtime::Handle) -> Self {
        Self { seed, data, proxies: Mutex::default(), toxics: AtomicU64::new(0), over: AtomicBool::new(false) }
    }

    fn proxies(&self) -> MutexGuard<'_, Proxies> {
        self.proxies.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<Link>, ApiError> {
        self.proxies().get(name).cloned().ok_or(ApiError::NoProxy)
    }

    pub(super) fn json(&self) -> Value {
        Value::Object(self.proxies().iter().map(|(name, link)| (name.clone(), link.json())).collect())
    }

    pub(super) async fn create(&self, input: ProxyInput) -> Result<Arc<Link>, ApiError> {
        let (name, listen, upstream) = required(&input, "")?;
        let listen = resolve(listen).await?;
        let mut proxies = self.proxies();
        if proxies.contains_key(name) {
            return Err(ApiError::ProxyExists);
        }
        self.start(&mut proxies, name, listen, upstream, input.enabled.unwrap_or(true))
    }

    /// Creates or replaces each; one that is there with the same two addresses is left as it is. `Err`: the rest of
    /// them is not done.
    pub(super) async fn populate(&self, inputs: Vec<ProxyInput>) -> (Vec<Arc<Link>>, Option<ApiError>) {
        let mut done = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            if let Err(e) = required(input, &format!(" at proxy {}", index + 1)) {
                return (done, Some(e));
            }
        }
        for input in &inputs {
            match self.replace(input).await {
                Ok(link) => done.push(link),
                Err(e) => return (done, Some(e)),
            }
        }
        (done, None)
    }

    async fn replace(&self, input: &ProxyInput) -> Result<Arc<Link>, ApiError> {
        let (name, listen, upstream) = required(input, "")?;
        let listen = resolve(listen).await?;
        let mut proxies = self.proxies();
        if let Some(existing) = proxies.get(name) {
            if existing.listen() == listen && existing.upstream() == upstream {
                return Ok(existing.clone());
            }
            existing.close();
            // Its port may be the new one's.
            proxies.remove(name);
        }
        self.start(&mut proxies, name, listen, upstream, input.enabled.unwrap_or(true))
    }

    fn start(
        &self,
        proxies: &mut Proxies,
        name: &str,
        listen: SocketAddr,
        upstream: &str,
        enabled: bool,
    ) -> Result<Arc<Link>, ApiError> {
        if self.over.load(Ordering::SeqCst) {
            return Err(ApiError::Over);
        }
        let refused = |e: std::io::Error| ApiError::Listen { listen: listen.to_string(), reason: e.to_string() };
        let link = Link::new(name, self.seed, self.data.clone(), listen, upstream.to_owned()).map_err(refused)?;
        let link = Arc::new(link);
        if enabled {
            link.open().map_err(refused)?;
        }
        proxies.insert(name.to_owned(), link.clone());
        Ok(link)
    }

    /// Another address closes every connection; `enabled` opens and closes the door.
    pub(super) async fn update(&self, name: &str, input: ProxyInput) -> Result<Arc<Link>, ApiError> {
        let link = self.get(name)?;
        let listen = match input.listen.as_deref() {
            Some(listen) => Some(resolve(listen).await?),
            None => None,
        };
        // Nobody else changes proxies meanwhile, and this one is still there.
        let proxies = self.proxies();
        if self.over.load(Ordering::SeqCst) {
            return Err(ApiError::Over);
        }
        if !proxies.get(name).is_some_and(|current| Arc::ptr_eq(current, &link)) {
            return Err(ApiError::NoProxy);
        }
        let enabled = input.enabled.unwrap_or_else(|| link.enabled());
        let listen = listen.unwrap_or_else(|| link.listen());
        let upstream = input.upstream.unwrap_or_else(|| link.upstream());
        let refused = |e: std::io::Error| ApiError::Listen { listen: listen.to_string(), reason: e.to_string() };
        if listen != link.listen() || upstream != link.upstream() {
            link.close();
            link.relocate(listen, upstream).map_err(refused)?;
        }
        if enabled {
            link.open().map_err(refused)?
        } else {
            link.close()
        }
        Ok(link)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), ApiError> {
        self.proxies().remove(name).ok_or(ApiError::NoProxy)?.close();
        Ok(())
    }

    /// Opens every proxy and removes every toxic.
    pub(super) fn reset(&self) -> Result<(), ApiError> {
        for link in self.proxies().values() {
            for toxic in link.rules().iter() {
                link.remove(toxic);
            }
            let listen = link.listen().to_string();
            link.open().map_err(|e| ApiError::Listen { listen, reason: e.to_string() })?;
        }
        Ok(())
    }

    /// Closes everything for good.
    pub(super) fn close(&self) {
        let mut proxies = self.proxies();
        self.over.store(true, Ordering::SeqCst);
        std::mem::take(&mut *proxies).into_values().for_each(|link| link.close());
    }

    pub(super) fn add_toxic(&self, proxy: &str, input: ToxicInput) -> Result<Toxic, ApiError> {
        // Held to the end: two requests must not both find the name free.
        let proxies = self.proxies();
        let link = proxies.get(proxy).ok_or(ApiError::NoProxy)?;
        let stream = match input.stream.as_deref().unwrap_or("downstream") {
            "upstream" => Stream::Upstream,
            "downstream" => Stream::Downstream,
            _ => return Err(ApiError::BadStream),
        };
        let kind_name = input.r#type.unwrap_or_default();
        let name = match input.name {
            Some(name) if !name.is_empty() => name,
            _ => format!("{kind_name}_{}", stream.word()),
        };
        let kind = Kind::named(&kind_name).ok_or(ApiError::BadType)?;
        if link.rules().iter().any(|toxic| toxic.name == name) {
            return Err(ApiError::ToxicExists);
        }
        let kind = kind.with(&input.attributes.unwrap_or_default()).map_err(ApiError::BadBody)?;
        let id = self.toxics.fetch_add(1, Ordering::Relaxed);
        let toxic = Toxic { id, revision: 0, name, stream, toxicity: input.toxicity.unwrap_or(1.0), kind };
        link.add(toxic.clone());
        Ok(toxic)
    }

    pub(super) fn toxic(&self, proxy: &str, toxic: &str) -> Result<Toxic, ApiError> {
        find(&*self.get(proxy)?, toxic)
    }

    /// Changes the numbers that are given, and the toxicity.
    pub(super) fn update_toxic(&self, proxy: &str, toxic: &str, input: ToxicInput) -> Result<Toxic, ApiError> {
        let proxies = self.proxies();
        let link = proxies.get(proxy).ok_or(ApiError::NoProxy)?;
        let mut toxic = find(link, toxic)?;
        toxic.kind = toxic.kind.with(&input.attributes.unwrap_or_default()).map_err(ApiError::BadBody)?;
        toxic.toxicity = input.toxicity.unwrap_or(toxic.toxicity);
        toxic.revision += 1;
        link.update(toxic.clone());
        Ok(toxic)
    }

    pub(super) fn remove_toxic(&self, proxy: &str, toxic: &str) -> Result<(), ApiError> {
        let proxies = self.proxies();
        let link = proxies.get(proxy).ok_or(ApiError::NoProxy)?;
        link.remove(&find(link, toxic)?);
        Ok(())
    }
}

fn find(link: &Link, name: &str) -> Result<Toxic, ApiError> {
    link.rules().iter().find(|toxic| toxic.name == name).map(|toxic| Toxic::clone(toxic)).ok_or(ApiError::NoToxic)
}

/// Name, `listen` and upstream; `listen` may be missing.
fn required<'a>(input: &'a ProxyInput, place: &str) -> Result<(&'a str, &'a str, &'a str), ApiError> {
    let given = |field: &'a Option<String>, name: &str| match field.as_deref() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(ApiError::Missing(format!("{name}{place}"))),
    };
    Ok((given(&input.name, "name")?, input.listen.as_deref().unwrap_or(""), given(&input.upstream, "upstream")?))
}

/// `host:port`, `:port` (every interface), or nothing (every interface, any port), as Go reads it.
async fn resolve(listen: &str) -> Result<SocketAddr, ApiError> {
    if let Ok(address) = listen.parse() {
        return Ok(address);
    }
    let full = match listen {
        "" => "0.0.0.0:0".to_owned(),
        port if port.starts_with(':') => format!("0.0.0.0{port}"),
        other => other.to_owned(),
    };
    let refused = |reason: String| ApiError::Listen { listen: listen.to_owned(), reason };
    let mut found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host(full))
        .await
        .map_err(|_| refused(format!("the name was not found within {LOOK_UP:?}")))?
        .map_err(|e| refused(e.to_string()))?;
    found.next().ok_or_else(|| refused("the name has no address".to_owned()))
}
