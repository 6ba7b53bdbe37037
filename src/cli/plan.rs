//! `seaworthy plan`.

use std::path::PathBuf;

use super::{Colours, print, tell};
use crate::diagnostic::render_all;
use crate::exit_code::ExitCode;
use crate::plan::{BackendKind, Capabilities};
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
                let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
                let text = if colour.out { loaded.plan.render_coloured(width) } else { loaded.plan.render(width) };
                print(&format!("{text}{}", backends(&loaded.plan)));
                ExitCode::Passed
            }
            Err(invalid) => {
                tell(&invalid.render(colour.err));
                ExitCode::Usage
            }
        }
    }
}

/// Which backends can run it, and what the others lack.
fn backends(plan: &crate::plan::Plan) -> String {
    let line = |backend: BackendKind| {
        let problems = scenario::check(plan, &Capabilities::of(backend));
        match problems.first() {
            None => format!("  {:<14}can run it", backend.to_string()),
            Some(first) => format!("  {:<14}cannot: {}", backend.to_string(), first.message),
        }
    };
    format!("\nBackends\n{}", BackendKind::RUNNABLE.map(line).join("\n"))
}
