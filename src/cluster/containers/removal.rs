//! Nothing is left behind: labels, removal by label, and a process that removes what a killed harness could not.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use futures::future::join_all;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};

use super::engine::{Engine, refused};
use crate::cluster::ClusterError;

/// On every container and network: which run it belongs to.
pub const RUN_LABEL: &str = "org.seaworthy.run";
/// And which process made it,
pub const PID_LABEL: &str = "org.seaworthy.pid";
/// when that process was started (its number may be another's by now),
const BIRTH_LABEL: &str = "org.seaworthy.born";
/// and on which machine: an engine can serve several.
const HOST_LABEL: &str = "org.seaworthy.host";

/// Set for a reaper's process: the run whose remains it removes.
pub const REAPER_VARIABLE: &str = "SEAWORTHY_INTERNAL_REAPER";

/// How often a removal is tried again: something may just be starting.
const ATTEMPTS: usize = 5;

/// The labels of everything that this process makes for a run.
pub(super) fn labels(run: &str) -> Vec<(String, String)> {
    let pid = std::process::id();
    [
        (RUN_LABEL, run.to_owned()),
        (PID_LABEL, pid.to_string()),
        (BIRTH_LABEL, birth(pid).unwrap_or_default()),
        (HOST_LABEL, host()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub containers: usize,
    pub networks: usize,
    /// Left alone: their harness lives, or is another machine's.
    pub in_use: usize,
}

/// Removes the containers and networks of harnesses of this machine that are dead.
pub async fn clean() -> Result<Removed, ClusterError> {
    let (engine, _) = Engine::connect().await?;
    remove(&engine, RUN_LABEL, |labels| {
        let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
        let maker = label(PID_LABEL).parse::<u32>().ok();
        let lives = maker.and_then(birth).is_some_and(|born| born == label(BIRTH_LABEL));
        label(HOST_LABEL) == host() && !lives
    })
    .await
}

/// Removes everything of one run.
pub async fn remove_run(run: &str) -> Result<Removed, ClusterError> {
    let (engine, _) = Engine::connect().await?;
    remove(&engine, &format!("{RUN_LABEL}={run}"), |_| true).await
}

/// Everything with the label for which `goes` is true.
async fn remove(
    engine: &Engine,
    label: &str,
    goes: impl Fn(&HashMap<String, String>) -> bool,
) -> Result<Removed, ClusterError> {
    let docker = &engine.docker;
    let filter = HashMap::from([("label", vec![label.to_owned()])]);
    let mut removed = Removed::default();

    let containers = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
    let containers = docker.list_containers(Some(containers)).await;
    let containers = containers.map_err(|e| refused(format!("list containers of {label}"), e))?;
    let (go, stay): (Vec<_>, Vec<_>) =
        containers.into_iter().partition(|c| goes(c.labels.as_ref().unwrap_or(&HashMap::new())));
    removed.in_use += stay.len();
    let ids = go.into_iter().filter_map(|c| c.id);
    let outcomes = join_all(ids.map(|id| async move {
        let how = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        docker.remove_container(&id, Some(how)).await.map_err(|e| refused(format!("remove container {id}"), e))
    }));
    for outcome in outcomes.await {
        outcome?;
        removed.containers += 1;
    }

    let networks = ListNetworksOptionsBuilder::default().filters(&filter).build();
    let networks = docker.list_networks(Some(networks)).await;
    let networks = networks.map_err(|e| refused(format!("list networks of {label}"), e))?;
    for network in networks {
        if !goes(network.labels.as_ref().unwrap_or(&HashMap::new())) {
            removed.in_use += 1;
        } else if let Some(id) = network.id {
            docker.remove_network(&id).await.map_err(|e| refused(format!("remove network {id}"), e))?;
            removed.networks += 1;
        }
    }
    Ok(removed)
}

/// A process that outlives this one and removes the run's containers and networks once this one is gone, however it
/// ended. Dropped, it does so at once.
#[derive(Debug)]
pub struct Reaper {
    /// Closed by the kernel when this process ends.
    stdin: Option<ChildStdin>,
    child: Option<Child>,
}

/// Starts the reaper of a run. `exe` must call [`reaper_main`] first of all when [`REAPER_VARIABLE`] is set.
///
/// It gets a session of its own, so that a Ctrl-C or a closed terminal ends us and not it.
pub fn spawn_reaper(exe: &Path, run: &str) -> Result<Reaper, ClusterError> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(exe);
    command.env(REAPER_VARIABLE, run).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: setsid is async-signal-safe, and nothing else runs between fork and exec.
    unsafe {
        command.pre_exec(|| if libc::setsid() == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) });
    }
    let spawned = command.spawn();
    let mut child = spawned.map_err(|e| ClusterError::File {
        action: "start the reaper",
        path: exe.display().to_string(),
        reason: e.to_string(),
    })?;
    Ok(Reaper { stdin: child.stdin.take(), child: Some(child) })
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Some(mut child) = self.child.take() {
            // Only so that it does not stay a zombie.
            std::thread::spawn(move || child.wait());
        }
    }
}

/// The reaper's whole life: waits for the end of its input, then removes what is left of the run. Ends the process.
pub fn reaper_main() -> ! {
    let run = std::env::var(REAPER_VARIABLE).unwrap_or_default();
    // Whatever ends the reading, nobody holds the other end any more.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let clean = runtime.is_ok_and(|runtime| !run.is_empty() && runtime.block_on(reap(&run)));
    std::process::exit(if clean { 0 } else { 1 })
}

/// The engine may still be creating what the dead process asked for: it is over when two looks in a row find nothing.
async fn reap(run: &str) -> bool {
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    let mut nothing = 0;
    for _ in 0..ATTEMPTS * 4 {
        looks.tick().await;
        match remove_run(run).await {
            Ok(Removed { containers: 0, networks: 0, .. }) => nothing += 1,
            _ => nothing = 0,
        }
        if nothing == 2 {
            return true;
        }
    }
    false
}

/// When a process was started, in the kernel's ticks since boot; `None` if there is no such process.
#[cfg(target_os = "linux")]
fn birth(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces and parentheses in it; the start is the 20th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

/// Elsewhere: that there is such a process.
#[cfg(not(target_os = "linux"))]
fn birth(pid: u32) -> Option<String> {
    // SAFETY: signal 0 only asks.
    let there = unsafe { libc::kill(pid as libc::pid_t, 0) } == 0;
    there.then(|| "unknown".to_owned())
}

fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is writable for its whole length.
    let outcome = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    if outcome == 0 { String::from_utf8_lossy(&name[..end]).into_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_has_a_birth_and_a_dead_one_has_none() {
        let own = birth(std::process::id());
        assert!(own.is_some());
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_ne!(birth(pid), own);
    }
}
