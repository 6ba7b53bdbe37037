//! Processes that a dead run left: helpers of a harness that was killed while they were frozen or hung. Everything else
//! ends by itself when its harness does.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What every process that a harness starts of its own program carries in its environment, with what follows.
const MARK: &[u8] = b"SEAWORTHY_INTERNAL_";
/// What outlives its harness on purpose, to remove what that left, and not for long.
const CLEANERS: [&[u8]; 2] = [b"SEAWORTHY_INTERNAL_REAPER=", b"SEAWORTHY_INTERNAL_KEEPER="];

/// Ends (SIGKILL) every helper whose harness is gone; how many there were. Where there is no `/proc`, none is found.
pub fn end() -> usize {
    let found = find(Path::new("/proc"));
    // SAFETY: kill(2) takes plain numbers and touches no memory of ours.
    found.into_iter().filter(|pid| unsafe { libc::kill(*pid, libc::SIGKILL) } == 0).count()
}

fn find(proc: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_orphan(proc, *pid)).collect()
}

fn is_orphan(proc: &Path, pid: i32) -> bool {
    let folder = proc.join(pid.to_string());
    let Ok(environment) = fs::read(folder.join("environ")) else { return false };
    let ours = |variable: &&[u8]| variable.starts_with(MARK);
    let cleans = |variable: &[u8]| CLEANERS.iter().any(|cleaner| variable.starts_with(cleaner));
    let mut marks = environment.split(|byte| *byte == 0).filter(ours).peekable();
    if marks.peek().is_none() || marks.any(cleans) {
        return false;
    }
    // A harness starts its own program; whoever inherits an orphan (init, a supervisor) is another one.
    match (program(&folder), parent(&folder)) {
        (Some(own), Some(parent)) => program(&proc.join(parent.to_string())).is_none_or(|parent| parent != own),
        _ => false,
    }
}

/// A rebuilt program's old processes read as "… (deleted)": all of the same harness alike.
fn program(folder: &Path) -> Option<PathBuf> {
    fs::read_link(folder.join("exe")).ok()
}

/// The fourth field of `stat`; the second, the name in parentheses, may have anything in it.
fn parent(folder: &Path) -> Option<i32> {
    let stat = fs::read(folder.join("stat")).ok()?;
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    OsStr::from_bytes(&stat[after..]).to_str()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One process in a `/proc` of our own.
    fn process(proc: &Path, pid: i32, parent: i32, exe: &str, environment: &str) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("environ"), environment.replace(' ', "\0")).unwrap();
        fs::write(folder.join("stat"), format!("{pid} (a) b) S {parent} 1 1 0")).unwrap();
        std::os::unix::fs::symlink(exe, folder.join("exe")).unwrap();
    }

    #[test]
    fn helpers_without_their_harness_are_found_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path();
        process(proc, 1, 0, "/sbin/init", "HOME=/");
        process(proc, 10, 1, "/bin/seaworthy", "HOME=/");
        process(proc, 11, 10, "/bin/seaworthy", "A=1 SEAWORTHY_INTERNAL_MEMBER={}");
        process(proc, 12, 1, "/bin/seaworthy", "SEAWORTHY_INTERNAL_MEMBER={} B=2");
        process(proc, 13, 1, "/bin/seaworthy", "SEAWORTHY_INTERNAL_REAPER=run");
        process(proc, 16, 1, "/bin/seaworthy", "SEAWORTHY_INTERNAL_KEEPER={}");
        process(proc, 14, 1, "/bin/shell", "NOT_SEAWORTHY_INTERNAL_MEMBER={}");
        process(proc, 15, 99, "/bin/seaworthy", "SEAWORTHY_INTERNAL_BROKERS={}");
        fs::create_dir(proc.join("self")).unwrap();
        let mut found = find(proc);
        found.sort_unstable();
        assert_eq!(found, [12, 15], "12: init took it over; 15: its parent is gone");
    }
}
