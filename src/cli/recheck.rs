//! `seaworthy recheck`.

use std::path::PathBuf;

use super::{Colours, Format, print, tell};
use crate::exit_code::ExitCode;
use crate::recheck::recheck;
use crate::report;

#[derive(clap::Args)]
pub(super) struct Recheck {
    /// A scenario's folder in a run folder, or a bare history file
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Recheck {
    pub fn run(self, _colour: Colours) -> ExitCode {
        let results = match recheck(&self.run) {
            Ok(results) => results,
            Err(error) => {
                tell(&format!("error: {error}"));
                return ExitCode::Usage;
            }
        };
        for rechecked in &results {
            let result = &rechecked.result;
            let folder = rechecked.history.parent().unwrap_or(&rechecked.history);
            match self.format {
                Format::Json => match serde_json::to_string_pretty(result) {
                    Ok(json) => print(&json),
                    Err(error) => {
                        tell(&format!("error: cannot write the result as JSON: {error}"));
                        return ExitCode::Internal;
                    }
                },
                Format::Human => print(&report::scenario_block(result, &folder.display().to_string())),
            }
        }
        ExitCode::worst(results.iter().map(|rechecked| ExitCode::from(rechecked.result.verdict)))
    }
}
