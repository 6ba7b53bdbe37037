//! Driver of one Toxiproxy with one proxy in it.
//!
//! The client crate blocks (and panics inside a tokio runtime), ignores HTTP status codes, panics when a toxic cannot
//! be created, and knows no `reset_peer`. So: it lives on a thread of its own, every change is read back through the
//! API before it counts as done, and what the crate lacks is sent by hand. A call that is not over in [`CALL`] makes
//! the driver [`ProxyError::Stuck`] for good: Toxiproxy's control plane deadlocks, and does not come back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;
use toxiproxy_rust::client::Client;
use toxiproxy_rust::proxy::{Proxy, ProxyPack};
use toxiproxy_rust::toxic::ToxicPack;

use super::{LinkState, ProxyError, Stream};

/// How long one command may take, its confirmation included. Generous: on a busy machine a sound one was seen to take two
/// seconds, and one that is taken for stuck costs the run.
pub const CALL: Duration = Duration::from_secs(5);

/// One harm to one direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toxic {
    /// Bytes vanish; the connection stays open until the toxic is removed, which closes it.
    Blackhole,
    /// Bytes wait, and arrive when the toxic is removed.
    Stall,
    /// RST on connections that are opened from now on; existing ones are closed.
    Reset,
    /// Milliseconds.
    Latency { latency: u32, jitter: u32 },
    /// Kilobytes (1000 bytes) per second.
    Bandwidth { rate: u32 },
}

impl Toxic {
    fn kind(self) -> &'static str {
        match self {
            Self::Blackhole => "timeout",
            Self::Stall | Self::Bandwidth { .. } => "bandwidth",
            Self::Reset => "reset_peer",
            Self::Latency { .. } => "latency",
        }
    }

    /// The name that the client crate gives it, the only one it can have.
    fn name(self, stream: Stream) -> String {
        format!("{}_{}", self.kind(), stream.word())
    }

    /// As [`state`] tells it when it is in force.
    fn described(self, stream: Stream) -> String {
        let attributes = match self {
            Self::Blackhole | Self::Reset => "timeout=0".to_owned(),
            Self::Stall => "rate=0".to_owned(),
            Self::Bandwidth { rate } => format!("rate={rate}"),
            Self::Latency { latency, jitter } => format!("jitter={jitter} latency={latency}"),
        };
        format!("{}({attributes})", self.name(stream))
    }
}

/// A handle on one Toxiproxy's control plane and the one proxy that it runs.
pub struct Toxiproxy {
    control: String,
    commands: mpsc::Sender<Command>,
    /// Set when a call timed out: the thread may come back to life, and must do nothing more then.
    abandoned: Arc<AtomicBool>,
}

struct Command {
    action: String,
    run: Action,
    done: oneshot::Sender<Result<LinkState, ProxyError>>,
}

enum Action {
    Create { listen: String, upstream: String },
    Enable(bool),
    Add(Vec<(Toxic, Stream)>),
    Clear,
    State,
}

impl Toxiproxy {
    /// A driver for the Toxiproxy whose API is at `control` (an IP address and a port). Connects to nothing yet.
    pub fn new(control: &str, proxy: &str) -> Self {
        let (commands, inbox) = mpsc::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let worker = Worker { control: control.to_owned(), proxy: proxy.to_owned(), abandoned: abandoned.clone() };
        // A thread that cannot be spawned drops its end of the channel: the first call says so.
        let spawned = std::thread::Builder::new().name(format!("toxiproxy {proxy}")).spawn(move || worker.serve(inbox));
        if let Err(e) = spawned {
            tracing::error!(proxy, "no thread for the Toxiproxy client: {e}");
        }
        Self { control: control.to_owned(), commands, abandoned }
    }

    /// Where the control plane listens.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Creates the proxy, open and without toxics; one of the same name is replaced.
    pub async fn create(&self, listen: &str, upstream: &str) -> Result<LinkState, ProxyError> {
        let action = Action::Create { listen: listen.to_owned(), upstream: upstream.to_owned() };
        self.call(format!("create the proxy to {upstream}"), action).await
    }

    /// Opens the proxy, or closes every connection and takes no new ones.
    pub async fn enable(&self, enabled: bool) -> Result<LinkState, ProxyError> {
        let action = if enabled { "open the proxy" } else { "close the proxy" };
        self.call(action.to_owned(), Action::Enable(enabled)).await
    }

    /// Adds toxics. One kind can be on a stream once.
    pub async fn add(&self, toxics: &[(Toxic, Stream)]) -> Result<LinkState, ProxyError> {
        let names: Vec<String> = toxics.iter().map(|(toxic, stream)| toxic.name(*stream)).collect();
        self.call(format!("add {}", names.join(", ")), Action::Add(toxics.to_vec())).await
    }

    /// Removes every toxic and opens the proxy.
    pub async fn clear(&self) -> Result<LinkState, ProxyError> {
        self.call("remove every toxic".to_owned(), Action::Clear).await
    }

    /// What is in force.
    pub async fn state(&self) -> Result<LinkState, ProxyError> {
        self.call("read the state".to_owned(), Action::State).await
    }

    async fn call(&self, action: String, run: Action) -> Result<LinkState, ProxyError> {
        let stuck = |action: String| ProxyError::Stuck { control: self.control.clone(), action, within: CALL };
        if self.abandoned.load(Ordering::SeqCst) {
            return Err(stuck(action));
        }
        let (done, outcome) = oneshot::channel();
        let gone = |action: String| ProxyError::Failed {
            control: self.control.clone(),
            action,
            reason: "the client's thread has ended".to_owned(),
        };
        if self.commands.send(Command { action: action.clone(), run, done }).is_err() {
            return Err(gone(action));
        }
        match tokio::time::timeout(CALL, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(gone(action)),
            Err(_) => {
                self.abandoned.store(true, Ordering::SeqCst);
                Err(stuck(action))
            }
        }
    }
}

/// Lives on the thread.
struct Worker {
    control: String,
    proxy: String,
    abandoned: Arc<AtomicBool>,
}

impl Worker {
    fn serve(self, inbox: mpsc::Receiver<Command>) {
        let by_hand: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(CALL)).http_status_as_error(true).build().into();
        let client = match catch_unwind(|| Client::new(self.control.as_str())) {
            Ok(client) => client,
            Err(_) => return tracing::error!(control = self.control, "no client for this address"),
        };
        for Command { action, run, done } in inbox {
            if self.abandoned.load(Ordering::SeqCst) {
                return;
            }
            let failed =
                |reason: String| ProxyError::Failed { control: self.control.clone(), action: action.clone(), reason };
            let outcome = catch_unwind(AssertUnwindSafe(|| self.run(&client, &by_hand, run)));
            let outcome = match outcome {
                Ok(Ok(Outcome { seen, wanted: None })) => Ok(seen),
                Ok(Ok(Outcome { seen, wanted: Some(wanted) })) if seen == wanted => Ok(seen),
                Ok(Ok(Outcome { seen, wanted: Some(wanted) })) => Err(ProxyError::NotApplied {
                    action: action.clone(),
                    wanted: wanted.to_string(),
                    seen: seen.to_string(),
                }),
                Ok(Err(reason)) => Err(failed(reason)),
                Err(panic) => Err(failed(words(panic))),
            };
            // Nobody listens any more if the call timed out.
            let _ = done.send(outcome);
        }
    }

    fn run(&self, client: &Client, by_hand: &ureq::Agent, action: Action) -> Result<Outcome, String> {
        let wanted = match action {
            Action::State => None,
            Action::Create { listen, upstream } => {
                client.populate(vec![ProxyPack::new(self.proxy.clone(), listen, upstream.clone())])?;
                let proxy = client.find_proxy(&self.proxy)?;
                if proxy.proxy_pack.upstream != upstream {
                    return Err(format!("its upstream is {}, not {upstream}", proxy.proxy_pack.upstream));
                }
                Some(LinkState { enabled: true, toxics: Vec::new() })
            }
            Action::Enable(enabled) => {
                let proxy = client.find_proxy(&self.proxy)?;
                let wanted = LinkState { enabled, ..state(&proxy) };
                self.go_on()?;
                if enabled {
                    proxy.enable()?
                } else {
                    proxy.disable()?
                }
                Some(wanted)
            }
            Action::Add(toxics) => {
                let proxy = client.find_proxy(&self.proxy)?;
                let mut wanted = state(&proxy);
                for (toxic, stream) in toxics {
                    self.go_on()?;
                    self.add(&proxy, by_hand, toxic, stream)?;
                    wanted.toxics.push(toxic.described(stream));
                }
                wanted.toxics.sort();
                Some(wanted)
            }
            Action::Clear => {
                let proxy = client.find_proxy(&self.proxy)?;
                if !proxy.proxy_pack.toxics.is_empty() {
                    self.go_on()?;
                    proxy.delete_all_toxics()?;
                }
                if !proxy.proxy_pack.enabled {
                    self.go_on()?;
                    proxy.enable()?;
                }
                Some(LinkState { enabled: true, toxics: Vec::new() })
            }
        };
        Ok(Outcome { seen: state(&client.find_proxy(&self.proxy)?), wanted })
    }

    fn add(&self, proxy: &Proxy, by_hand: &ureq::Agent, toxic: Toxic, stream: Stream) -> Result<(), String> {
        let word = stream.word().to_owned();
        match toxic {
            Toxic::Blackhole => drop(proxy.with_timeout(word, 0, 1.0)),
            Toxic::Stall => drop(proxy.with_bandwidth(word, 0, 1.0)),
            Toxic::Bandwidth { rate } => drop(proxy.with_bandwidth(word, rate, 1.0)),
            Toxic::Latency { latency, jitter } => drop(proxy.with_latency(word, latency, jitter, 1.0)),
            Toxic::Reset => {
                let url = format!("http://{}/proxies/{}/toxics", self.control, self.proxy);
                let body = serde_json::json!({
                    "name": toxic.name(stream), "type": "reset_peer", "stream": word, "toxicity": 1.0,
                    "attributes": { "timeout": 0 },
                });
                by_hand.post(&url).send_json(body).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// Nothing is changed on behalf of a caller who has given up: the proxy may be another one by now.
    fn go_on(&self) -> Result<(), String> {
        if self.abandoned.load(Ordering::SeqCst) { Err("given up".to_owned()) } else { Ok(()) }
    }
}

struct Outcome {
    seen: LinkState,
    wanted: Option<LinkState>,
}

fn state(proxy: &Proxy) -> LinkState {
    let described = |toxic: &ToxicPack| {
        let mut attributes: Vec<String> =
            toxic.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        attributes.sort();
        format!("{}({})", toxic.name, attributes.join(" "))
    };
    let mut toxics: Vec<String> = proxy.proxy_pack.toxics.iter().map(described).collect();
    toxics.sort();
    LinkState { enabled: proxy.proxy_pack.enabled, toxics }
}

fn words(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "panic".to_owned(), |text| (*text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A control plane that answers every request with the same text; `None`: never.
    fn control(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                if let Some(answer) = answer {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                        answer.len()
                    );
                } else {
                    open.push(stream);
                }
            }
        });
        address
    }

    const OPEN: &str = r#"{"name":"p","listen":"l","upstream":"u","enabled":true,"toxics":[]}"#;

    #[tokio::test]
    async fn a_control_plane_that_hangs_is_stuck_and_stays_so() {
        let proxy = Toxiproxy::new(&control(None), "p");
        assert!(matches!(proxy.clear().await, Err(ProxyError::Stuck { .. })));
        let start = tokio::time::Instant::now();
        assert!(matches!(proxy.state().await, Err(ProxyError::Stuck { .. })));
        assert!(start.elapsed() < CALL / 2, "it waited again");
    }

    #[tokio::test]
    async fn a_change_without_effect_is_an_error() {
        let proxy = Toxiproxy::new(&control(Some(OPEN)), "p");
        assert!(proxy.state().await.unwrap().is_clear());
        let outcome = proxy.enable(false).await;
        assert!(matches!(outcome, Err(ProxyError::NotApplied { .. })), "{outcome:?}");
        let outcome = proxy.add(&[(Toxic::Blackhole, Stream::Upstream)]).await;
        assert!(outcome.unwrap_err().to_string().contains("timeout_upstream(timeout=0)"));
    }

    #[tokio::test]
    async fn an_answer_that_makes_no_sense_is_an_error_and_not_the_end() {
        let proxy = Toxiproxy::new(&control(Some("no JSON")), "p");
        for _ in 0..2 {
            assert!(matches!(proxy.state().await, Err(ProxyError::Failed { .. })));
        }
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = Toxiproxy::new(&closed.to_string(), "p").state().await;
        assert!(matches!(outcome, Err(ProxyError::Failed { .. })), "{outcome:?}");
    }
}
