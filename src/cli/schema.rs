//! `seaworthy schema`.

use clap::ValueEnum;

use super::{print, tell};
use crate::exit_code::ExitCode;
use crate::scenario;

/// Prints a JSON Schema, of scenario files unless told otherwise, to standard output: `seaworthy schema > scenarios/schema.json`.
///
/// With `#:schema schema.json` as its first line, an editor that knows Taplo's directive (VS Code with Even Better TOML,
/// Helix, Neovim, Zed, …) completes and explains the keys of a scenario file beside it.
#[derive(clap::Args)]
pub(super) struct Schema {
    /// Of what
    #[arg(value_enum, default_value_t = Of::Scenario)]
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// A scenario file
    Scenario,
    /// The `result.json` of a scenario in a run folder
    Result,
}

impl Schema {
    pub fn run(self) -> ExitCode {
        let schema = match self.of {
            Of::Scenario => scenario::schema::scenario(),
            Of::Result => crate::report::schema(),
        };
        match serde_json::to_string_pretty(&schema) {
            Ok(text) => {
                print(&text);
                ExitCode::Passed
            }
            Err(error) => {
                tell(&format!("error: cannot write the schema: {error}"));
                ExitCode::Internal
            }
        }
    }
}
