//! `seaworthy clean`.

use super::{print, runtime, tell};
use crate::cluster::containers;
use crate::exit_code::ExitCode;
use crate::subject::orphans;

/// Removes containers, networks and processes of runs whose own process is gone; those of a living run are left alone.
#[derive(clap::Args)]
pub(super) struct Clean {}

impl Clean {
    pub fn run(self) -> ExitCode {
        // First, and without an engine too: a member that was frozen when its harness died sleeps for ever.
        let processes = orphans::end();
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(code) => return code,
        };
        let ended = format!("{processes} {}", if processes == 1 { "process" } else { "processes" });
        if runtime.block_on(containers::Engine::connect()).is_err() {
            print(&format!("removed {ended}; no Docker engine answers, so no containers were looked for"));
            return ExitCode::Passed;
        }
        match runtime.block_on(containers::clean()) {
            Ok(removed) => {
                let left = match removed.in_use {
                    0 => String::new(),
                    n => format!("; {n} left alone: their run is alive, or another machine's"),
                };
                let (containers, networks) = (removed.containers, removed.networks);
                print(&format!("removed {containers} containers, {networks} networks and {ended}{left}"));
            }
            Err(error) => {
                tell(&format!("error: {error}"));
                return ExitCode::Unavailable;
            }
        }
        ExitCode::Passed
    }
}
