//! `seaworthy list`.

use super::{Colours, Format, Scenarios, print, selected, tell};
use crate::exit_code::ExitCode;
use crate::runner::Selection;

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    scenarios: Scenarios,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl List {
    pub fn run(self, colour: Colours) -> ExitCode {
        let selection =
            Selection { paths: self.scenarios.paths, filter: self.scenarios.filter, ..Selection::default() };
        let scenarios = match selected(&selection, colour) {
            Ok(selected) => selected.scenarios,
            Err(code) => return code,
        };
        if scenarios.is_empty() {
            tell("nothing selected: no scenario file fits");
            return ExitCode::NothingSelected;
        }
        match self.format {
            Format::Json => {
                let rows: Vec<_> = scenarios
                    .iter()
                    .map(|(path, plan)| {
                        serde_json::json!({ "name": plan.name, "path": path, "summary": plan.summary, "tags": plan.tags })
                    })
                    .collect();
                print(&serde_json::json!(rows).to_string());
            }
            Format::Human => {
                let width = scenarios.iter().map(|(_, plan)| plan.name.len()).max().unwrap_or(0);
                for (_, plan) in &scenarios {
                    let tags =
                        if plan.tags.is_empty() { String::new() } else { format!("  [{}]", plan.tags.join(", ")) };
                    print(&format!("{:<width$}  {}{tags}", plan.name, plan.summary));
                }
            }
        }
        ExitCode::Passed
    }
}
