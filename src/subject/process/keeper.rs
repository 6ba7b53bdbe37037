//! The keeper: a small process of ours between the harness and one member of somebody else's application.
//!
//! It starts the member in a process group of its own, writes its output into the log (up to a bound, so that a member
//! that floods it does not fill the disk), looks for the line that says it is ready and for effects where they are there, and
//! tells how it ended. When its
//! standard input closes the harness is gone, whichever way, and everything that the member started goes too: as the
//! reaper of orphans (Linux) the keeper is the parent of what a member's children leave behind.
//!
//! Plain threads and no runtime: it must be able to do its work when everything else fails.

use std::io::{BufRead, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Nanos};
use crate::subject::log::{Lines, MemberLog};

/// A process that finds a [`KeeperConfig`] in this variable is a keeper.
pub const KEEPER_ENV: &str = "SEAWORTHY_INTERNAL_KEEPER";

/// How long what a dead member left behind is given to die of SIGKILL.
const STRAYS_LIMIT: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeeperConfig {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub env: Vec<(String, String)>,
    pub folder: PathBuf,
    pub log: PathBuf,
    /// A line with this in it is reported once.
    pub ready_line: Option<String>,
    /// Effects are on its standard output: they are told, with times on the clock of this origin.
    #[serde(default)]
    pub effects: Option<u64>,
}

/// What the keeper says on its standard output, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeeperEvent {
    /// Its process group has the same number.
    Started {
        pid: u32,
    },
    CannotStart {
        reason: String,
    },
    Ready,
    /// Lines of its standard output that may be effects, and when they were read.
    Effects {
        at: Nanos,
        lines: Vec<String>,
    },
    /// How it ended, and how many processes it left behind, which were killed.
    Ended {
        status: String,
        strays: usize,
    },
}

/// If this process was started as a keeper: keeps, and never returns.
pub fn run_if_keeper() {
    let Ok(json) = std::env::var(KEEPER_ENV) else { return };
    let code = match serde_json::from_str::<KeeperConfig>(&json) {
        Ok(config) => keep(&config),
        Err(error) => {
            tell(&KeeperEvent::CannotStart { reason: format!("its orders make no sense: {error}") });
            70
        }
    };
    std::process::exit(code);
}

fn tell(event: &KeeperEvent) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        // A closed pipe: the harness is gone, and standard input says so too.
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

fn keep(config: &KeeperConfig) -> i32 {
    adopt_orphans();
    let log = match MemberLog::open(&config.log) {
        Ok(log) => Arc::new(log),
        Err(error) => {
            tell(&KeeperEvent::CannotStart { reason: format!("{}: {error}", config.log.display()) });
            return 70;
        }
    };
    let (mut child, outputs) = match start(config) {
        Ok(started) => started,
        Err(error) => {
            let program = config.program.display();
            tell(&KeeperEvent::CannotStart { reason: format!("`{program}`: {error}") });
            return 70;
        }
    };
    let pid = child.id();
    tell(&KeeperEvent::Started { pid });
    std::thread::spawn({
        let log = Arc::clone(&log);
        move || {
            for mark in std::io::stdin().lock().lines().map_while(Result::ok) {
                log.mark(&mark);
            }
            kill_group(pid);
        }
    });
    let clock = config.effects.map(Clock::from_origin);
    let copies = outputs.into_iter().enumerate().map(|(number, output)| {
        let lines = Lines::new(Arc::clone(&log), config.ready_line.clone());
        // The first is the standard output.
        match clock.filter(|_| number == 0) {
            Some(clock) => std::thread::spawn(move || copy(output, lines.keeping_effects(), Some(clock))),
            None => std::thread::spawn(move || copy(output, lines, None)),
        }
    });
    let copies: Vec<_> = copies.collect();
    let status = child.wait().map_or_else(|error| format!("cannot be waited for: {error}"), ended);
    let strays = kill_strays(pid);
    // With everybody gone who could write to them, the pipes end.
    for copy in copies {
        let _ = copy.join();
    }
    log.mark(&format!("member ended: {status}"));
    tell(&KeeperEvent::Ended { status, strays });
    0
}

/// Its outputs are one, as on a terminal; where effects are on the standard output that is one of its own, so that nothing gets
/// into the middle of their lines.
fn start(config: &KeeperConfig) -> std::io::Result<(std::process::Child, Vec<std::io::PipeReader>)> {
    let (output, input) = std::io::pipe()?;
    let mut outputs = vec![output];
    let errors = match config.effects {
        Some(_) => {
            let (errors, input) = std::io::pipe()?;
            outputs.push(errors);
            input
        }
        None => input.try_clone()?,
    };
    let child = Command::new(&config.program)
        .args(&config.arguments)
        .envs(config.env.iter().map(|(name, value)| (name, value)))
        .env_remove(KEEPER_ENV)
        .current_dir(&config.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(input)
        .stderr(errors)
        .spawn()?;
    Ok((child, outputs))
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        _ => status.to_string(),
    }
}

/// Copies the member's output until nobody can write to it any more.
fn copy(mut output: impl Read, mut lines: Lines, clock: Option<Clock>) {
    let tell_effects = |lines: Vec<String>| {
        if let Some(clock) = clock.filter(|_| !lines.is_empty()) {
            tell(&KeeperEvent::Effects { at: clock.now(), lines });
        }
    };
    let mut chunk = vec![0; 64 << 10];
    loop {
        match output.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(size) => {
                if lines.take(&chunk[..size]) {
                    tell(&KeeperEvent::Ready);
                }
                tell_effects(lines.effects());
            }
        }
    }
    tell_effects(lines.finish());
}

fn kill_group(pid: u32) {
    // SAFETY: plain system call; the group is the one that this process made and has not yet waited for.
    unsafe { libc::kill(-(pid as i32), libc::SIGKILL) };
}

/// Orphans of the member become children of this process.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    // SAFETY: plain system call on this process.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// Kills what is left of the member's group, and whatever of its descendants has become this process's child.
fn kill_strays(pid: u32) -> usize {
    kill_group(pid);
    let clock = Clock::start();
    let mut killed = std::collections::BTreeSet::new();
    while clock.now() < STRAYS_LIMIT.as_nanos() as u64 {
        for stray in children() {
            killed.insert(stray);
            // SAFETY: plain system call; a child of this process that was not waited for keeps its number.
            unsafe { libc::kill(stray, libc::SIGKILL) };
        }
        // SAFETY: plain system call; nobody else waits in this process any more.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            -1 => break,
            0 => std::thread::park_timeout(Duration::from_millis(5)),
            _ => {}
        }
    }
    killed.len()
}

/// Children of this process, by the kernel's account; empty where it keeps none.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`: the name may hold spaces and parentheses.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1).map(str::to_owned));
        parent.as_deref() == Some(own.as_str())
    };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(is_child).collect()
}
