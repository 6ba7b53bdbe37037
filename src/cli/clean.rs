//! `seaworthy clean`.

use super::{print, runtime, tell};
use crate::cluster::containers;
use crate::exit_code::ExitCode;

/// Removes containers and networks of runs whose process is gone; those of a living run are left alone.
#[derive(clap::Args)]
pub(super) struct Clean {}

impl Clean {
    pub fn run(self) -> ExitCode {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(code) => return code,
        };
        match runtime.block_on(containers::clean()) {
            Ok(removed) => {
                let left = match removed.in_use {
                    0 => String::new(),
                    n => format!("; {n} left alone: their run is alive, or another machine's"),
                };
                print(&format!("removed {} containers and {} networks{left}", removed.containers, removed.networks));
            }
            Err(error) => {
                tell(&format!("error: {error}"));
                return ExitCode::Unavailable;
            }
        }
        ExitCode::Passed
    }
}
