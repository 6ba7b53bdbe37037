//! `seaworthy completions` and `seaworthy man`: generated from the command line's own definition, so neither can be behind.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, tell, write};
use crate::exit_code::ExitCode;

/// Prints a completion script for a shell, to standard output.
///
/// bash: `seaworthy completions bash > ~/.local/share/bash-completion/completions/seaworthy`;
/// zsh: `seaworthy completions zsh > "${fpath[1]}/_seaworthy"`;
/// fish: `seaworthy completions fish > ~/.config/fish/completions/seaworthy.fish`.
#[derive(clap::Args)]
pub(super) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "seaworthy", &mut script);
        write(&script);
        ExitCode::Passed
    }
}

/// Prints the manual page, to standard output: `seaworthy man | man -l -`.
///
/// With a folder, writes one page a command there (`seaworthy.1`, `seaworthy-run.1`, …).
#[derive(clap::Args)]
pub(super) struct Man {
    /// Write all pages to this folder instead
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
}

impl Man {
    pub fn run(self) -> ExitCode {
        let done = match &self.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Arguments::command(), dir))
            }
            None => {
                let mut page = Vec::new();
                let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
                rendered.map(|()| write(&page))
            }
        };
        match done {
            Ok(()) => ExitCode::Passed,
            Err(error) => {
                tell(&format!("error: cannot write the manual: {error}"));
                ExitCode::Usage
            }
        }
    }
}
