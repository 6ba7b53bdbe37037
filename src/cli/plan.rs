//! `seaworthy plan`.

use std::path::PathBuf;

use super::{Colours, print, tell};
use crate::diagnostic::render_all;
use crate::exit_code::ExitCode;
use crate::scenario;

/// Shows what a scenario comes to, with every default filled in: nothing that decides a verdict is hidden.
#[derive(clap::Args)]
pub(super) struct Plan {
    /// A scenario file
    file: PathBuf,
    /// Change a key, as in `--set workload.rate=1000`
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::run::key_value)]
    set: Vec<(String, String)>,
}

impl Plan {
    pub fn run(self, colour: Colours) -> ExitCode {
        match scenario::load_with(&self.file, &self.set) {
            Ok(loaded) => {
                if !loaded.warnings.is_empty() {
                    tell(&render_all(&loaded.warnings, &loaded.source, colour.err));
                }
                print(&loaded.plan.render(100));
                ExitCode::Passed
            }
            Err(invalid) => {
                tell(&invalid.render(colour.err));
                ExitCode::Usage
            }
        }
    }
}
