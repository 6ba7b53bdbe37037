//! `seaworthy metrics`: files for Grafana and Prometheus, generated from the components' own definitions.

use std::path::PathBuf;

use super::{print, tell};
use crate::exit_code::ExitCode;
use crate::resilience::metrics::files;
use crate::resilience::settings::{Profile, Settings};

/// Print what monitors the resilience components: a dashboard, alert rules, the list of metrics
#[derive(clap::Args)]
pub(super) struct Metrics {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// A Grafana dashboard, as JSON to import
    Dashboard(Thresholds),
    /// Prometheus alert rules, as YAML
    Rules(Thresholds),
    /// The metrics, as a table in Markdown
    List,
}

#[derive(clap::Args)]
struct Thresholds {
    /// A settings file, whose monitoring thresholds are taken; without one, the profile's
    settings: Option<PathBuf>,
    /// development, staging, production or default
    #[arg(long, default_value_t)]
    profile: Profile,
}

impl Metrics {
    pub fn run(self) -> ExitCode {
        let (of, thresholds) = match self.what {
            What::Dashboard(thresholds) => (true, thresholds),
            What::Rules(thresholds) => (false, thresholds),
            What::List => {
                print(&files::table());
                return ExitCode::Passed;
            }
        };
        let settings = match thresholds.read() {
            Ok(settings) => settings,
            Err(code) => return code,
        };
        let text = if of {
            format!("{:#}", files::dashboard(&settings.monitoring))
        } else {
            files::rules(&settings.monitoring)
        };
        print(&text);
        ExitCode::Passed
    }
}

impl Thresholds {
    fn read(self) -> Result<Settings, ExitCode> {
        let Some(path) = self.settings else { return Ok(Settings::for_profile(self.profile)) };
        let mistakes = match std::fs::read_to_string(&path) {
            Ok(text) => match Settings::from_toml(&text) {
                Ok(settings) => return Ok(settings),
                Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
            },
            Err(error) => vec![format!("cannot be read: {error}")],
        };
        mistakes.iter().for_each(|mistake| tell(&format!("error: {}: {mistake}", path.display())));
        Err(ExitCode::Usage)
    }
}
