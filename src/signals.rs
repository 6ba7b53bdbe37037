//! Ctrl-C and SIGTERM mean: heal, clean up, then leave.

use tokio_util::sync::CancellationToken;

/// Cancels at the first SIGINT, SIGTERM or SIGHUP. A second one ends the process at once; the reaper cleans up then.
pub async fn cancel_on_signal(cancel: CancellationToken) {
    wait().await;
    eprintln!("seaworthy: interrupted: healing and cleaning up (again to leave at once)");
    cancel.cancel();
    wait().await;
    std::process::exit(i32::from(crate::exit_code::ExitCode::Interrupted.code()));
}

#[cfg(unix)]
async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let waits = streams.into_iter().flatten().map(|mut stream| Box::pin(async move { stream.recv().await }));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        std::future::pending::<()>().await;
    }
    futures::future::select_all(waits).await;
}
