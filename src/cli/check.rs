//! `seaworthy check`.

use std::path::PathBuf;

use super::{Colours, Format, print, tell};
use crate::diagnostic::{Diagnostic, Source, render_all};
use crate::exit_code::ExitCode;
use crate::scenario;

#[derive(clap::Args)]
pub(super) struct Check {
    /// Scenario files, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = "scenarios")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Check {
    pub fn run(self, colour: Colours) -> ExitCode {
        let files = match scenario::discover(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                tell(&format!("error: cannot look for scenarios: {error}"));
                return ExitCode::Usage;
            }
        };
        if files.is_empty() {
            tell("nothing selected: no scenario file (*.toml) there");
            return ExitCode::NothingSelected;
        }
        let checked: Vec<(Source, Vec<Diagnostic>)> = files
            .iter()
            .map(|file| match scenario::load_with(file, &[]) {
                Ok(mut loaded) => {
                    loaded.warnings.extend(scenario::check_anywhere(&loaded.source, &[], &loaded.plan));
                    (loaded.source, loaded.warnings)
                }
                Err(invalid) => (invalid.source, invalid.diagnostics),
            })
            .collect();
        match self.format {
            Format::Json => print(&json(&checked)),
            Format::Human => {
                for (source, diagnostics) in checked.iter().filter(|(_, diagnostics)| !diagnostics.is_empty()) {
                    print(&render_all(diagnostics, source, colour.out));
                    print("");
                }
                let invalid = checked.iter().filter(|(_, all)| all.iter().any(Diagnostic::is_error)).count();
                let errors: usize = checked.iter().flat_map(|(_, all)| all).filter(|d| d.is_error()).count();
                match invalid {
                    0 => print(&format!("{} valid", files_text(files.len()))),
                    n => {
                        let errors = if errors == 1 { "1 error".into() } else { format!("{errors} errors") };
                        print(&format!("{n} of {} invalid: {errors}", files_text(files.len())));
                    }
                }
            }
        }
        let bad = checked.iter().flat_map(|(_, all)| all).any(Diagnostic::is_error);
        if bad { ExitCode::Usage } else { ExitCode::Passed }
    }
}

fn files_text(n: usize) -> String {
    if n == 1 { "1 file".into() } else { format!("{n} files") }
}

/// The contract's shape: `{files[{path,diagnostics[…]}]}`. Lines and columns count from 1.
fn json(checked: &[(Source, Vec<Diagnostic>)]) -> String {
    let files: Vec<_> = checked
        .iter()
        .map(|(source, diagnostics)| {
            let diagnostics: Vec<_> = diagnostics.iter().map(|d| d.to_json(source)).collect();
            serde_json::json!({ "path": source.path(), "diagnostics": diagnostics })
        })
        .collect();
    serde_json::json!({ "files": files }).to_string()
}
