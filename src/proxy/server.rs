//! A TCP fault proxy in this process, with Toxiproxy's HTTP API and toxics.
//!
//! It owns two threads, so that it works the same whatever runtime its user has, busy or blocked: the *control plane*
//! (the API and the listening sockets) and the *data plane* (the bytes). The control plane writes down what is to be
//! and never waits for the data plane, which takes it from there: `connection` and `pump` carry bytes through a `chain`
//! of `stage`s, pure state machines that are told the time. So no dead receiver, no dial and no toxic can hold up a
//! heal, as they do with Toxiproxy. Where it differs from Toxiproxy on purpose is listed in `docs/fault-proxy.md`, and
//! `tests/proxy_conformance` asserts both sides.
//!
//! Every random choice follows from the seed, the proxy's name, the connection's number and the toxic's name.
//!
//! Must not know: Kafka, brokers, scenarios.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use registry::Registry;

mod api;
mod chain;
mod connection;
mod link;
mod pump;
mod registry;
mod stage;
mod toxic;

/// A running fault proxy server. Dropping it closes every listener and connection.
#[derive(Debug)]
pub struct FaultProxy {
    control: SocketAddr,
    registry: Closer,
    over: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

struct Closer(Arc<Registry>);

impl std::fmt::Debug for Closer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.json())
    }
}

impl FaultProxy {
    /// Starts a server with an empty list of proxies. Its API listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port, no thread or no runtime to be had.
    pub async fn start(seed: u64) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let control = listener.local_addr()?;
        let over = CancellationToken::new();
        // Should this future be dropped half-way: no thread is left behind.
        let unfinished = over.clone().drop_guard();

        let mut threads = Vec::new();
        let data = {
            let over = over.clone();
            thread(&mut threads, "fault proxy data", async move { over.cancelled_owned().await }).await?
        };
        let registry = Arc::new(Registry::new(seed, data));
        let served = {
            let (registry, over) = (registry.clone(), over.clone());
            async move {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(e) => return tracing::error!("no control plane: {e}"),
                };
                let serve = axum::serve(listener, api::router(registry));
                tokio::select! {
                    outcome = serve.into_future() => if let Err(e) = outcome { tracing::error!("the control plane failed: {e}") },
                    () = over.cancelled() => {}
                }
            }
        };
        let server = Self { control, registry: Closer(registry), over, threads };
        let server = server.serve(served).await?;
        unfinished.disarm();
        Ok(server)
    }

    async fn serve(mut self, served: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        // On failure `self` is dropped, and the data plane's thread with it.
        thread(&mut self.threads, "fault proxy control", served).await?;
        Ok(self)
    }

    /// Where the HTTP API listens.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// Closes every listener and connection; all are gone when it returns.
    pub async fn shutdown(self) {
        drop(self);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.registry.0.close();
        self.over.cancel();
        for thread in self.threads.drain(..) {
            // Neither thread waits for anything but this: it is a matter of microseconds.
            if thread.join().is_err() {
                tracing::error!("a thread of the fault proxy has panicked");
            }
        }
    }
}

/// Starts a thread with a runtime of its own that lives as long as `main`.
async fn thread(
    threads: &mut Vec<JoinHandle<()>>,
    name: &str,
    main: impl Future<Output = ()> + Send + 'static,
) -> io::Result<tokio::runtime::Handle> {
    let (started, handle) = oneshot::channel();
    let body = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => return drop(started.send(Err(e))),
        };
        // Nobody waits for it any more if the start was given up: `main` ends at once then.
        let _ = started.send(Ok(runtime.handle().clone()));
        runtime.block_on(main);
        // A name look-up may still run: it is not waited for.
        runtime.shutdown_background();
    };
    threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(body)?);
    handle.await.unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))
}
