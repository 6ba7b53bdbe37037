//! The machine and the build that a figure was measured with.

use crate::report::Environment;

/// Reads it off this machine. What could not be learnt is `None`.
pub(super) fn here() -> Environment {
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Environment {
        host: std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|h| h.trim().to_owned()),
        cpus: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
        memory_bytes: memory,
        os: Some(format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned()),
        seaworthy_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        git_commit: git_commit(),
    }
}

/// The commit of the project that is being tested: the one in the current folder.
fn git_commit() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
