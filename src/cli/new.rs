//! `seaworthy new`: a commented scenario to begin with. Owns the templates; never overwrites anything.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Format, print, tell};
use crate::diagnostic::nearest;
use crate::exit_code::ExitCode;
use crate::scenario;

/// What stands for the scenario's name in every template: each is a valid scenario of this name.
const PLACEHOLDER: &str = "my-scenario";

macro_rules! templates {
    ($($name:literal,)*) => {
        /// Name and text, in the order in which they are listed.
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!(concat!("new/", $name, ".toml")))),*];
    };
}

templates! {
    "control",
    "network",
    "slow-network",
    "kill",
    "stop",
    "pause",
    "rolling-restart",
    "move-leader",
    "member",
    "handler-errors",
    "dead-letter-topic",
    "poison",
    "process",
    "container",
    "custom",
}

/// Writes a commented scenario file from a template: `control` has no fault; `process`, `container` and `custom` run a service
/// of one's own; the others are called after the fault that they show. An existing file is never overwritten.
#[derive(clap::Args)]
pub(super) struct New {
    /// The scenario's name, kebab-case; also the file's
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// What to begin with; `--list` shows what there is
    #[arg(long, value_name = "TEMPLATE", required_unless_present = "list")]
    from: Option<String>,
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    dir: PathBuf,
    /// List the templates instead
    #[arg(long, conflicts_with_all = ["name", "from"])]
    list: bool,
    /// How `--list` is printed
    #[arg(long, value_enum, default_value_t = Format::Human, requires = "list")]
    format: Format,
}

impl New {
    pub fn run(self) -> ExitCode {
        let (Some(name), Some(from)) = (&self.name, &self.from) else {
            print(&listing(self.format));
            return ExitCode::Passed;
        };
        let Some((_, template)) = TEMPLATES.iter().find(|(known, _)| known == from) else {
            let names = TEMPLATES.iter().map(|(name, _)| *name);
            let known = names.clone().collect::<Vec<_>>().join(", ");
            let near = nearest(from, names).map_or(String::new(), |name| format!("did you mean `{name}`? "));
            tell(&format!("error: there is no template `{from}`\nnext:  {near}templates: {known}"));
            return ExitCode::Usage;
        };
        if !scenario::is_kebab_case(name) {
            let better = scenario::to_kebab_case(name);
            let next = if better.is_empty() {
                String::new()
            } else {
                format!("\nnext:  seaworthy new {better} --from {from}")
            };
            let what = "is not kebab-case (lower-case letters, digits and single hyphens, beginning with a letter)";
            tell(&format!("error: the name `{name}` {what}{next}"));
            return ExitCode::Usage;
        }
        let path = self.dir.join(format!("{name}.toml"));
        if let Err(error) = create(&path, &template.replace(PLACEHOLDER, name)) {
            match error.kind() {
                ErrorKind::AlreadyExists => tell(&format!(
                    "error: {} is there already and was left as it is\nnext:  choose another name, or remove the file",
                    path.display()
                )),
                _ => tell(&format!("error: cannot write {}: {error}", path.display())),
            }
            return ExitCode::Usage;
        }
        print(&format!("wrote {}", path.display()));
        // What the file's first line names, for editors. An older one is not ours to replace.
        if let Ok(schema) = serde_json::to_string_pretty(&scenario::schema::scenario()) {
            let beside = self.dir.join("schema.json");
            if let Err(error) = create(&beside, &format!("{schema}\n"))
                && error.kind() != ErrorKind::AlreadyExists
            {
                tell(&format!("warning: cannot write {}: {error}", beside.display()));
            }
        }
        let shown = path.display();
        tell(&format!("next:  seaworthy check {shown}\n       seaworthy plan {shown}\n       seaworthy run {shown}"));
        ExitCode::Passed
    }
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// The template's own one-line summary.
fn summary(template: &str) -> String {
    let table: Option<toml::Table> = template.parse().ok();
    table.and_then(|table| table.get("summary")?.as_str().map(str::to_owned)).unwrap_or_default()
}

fn listing(format: Format) -> String {
    match format {
        Format::Json => {
            let row = |(name, text): &(&str, &str)| serde_json::json!({ "name": name, "summary": summary(text) });
            serde_json::json!(TEMPLATES.iter().map(row).collect::<Vec<_>>()).to_string()
        }
        Format::Human => {
            let width = TEMPLATES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let row = |(name, text): &(&str, &str)| format!("{name:<width$}  {}", summary(text));
            TEMPLATES.iter().map(row).collect::<Vec<_>>().join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::plan::{BackendKind, Capabilities};

    fn plan_of(template: &str) -> crate::plan::Plan {
        let source = Source::new("ten-to-one.toml", template.replace(PLACEHOLDER, "ten-to-one"));
        let (plan, warnings) = scenario::parse(&source).unwrap_or_else(|all| {
            panic!("{}", crate::diagnostic::render_all(&all, &source, false));
        });
        assert!(warnings.is_empty(), "{warnings:?}");
        plan
    }

    #[test]
    fn every_template_is_valid_without_a_warning_and_runs_on_either_backend() {
        for (name, text) in TEMPLATES {
            let plan = plan_of(text);
            for backend in BackendKind::RUNNABLE {
                let cannot = scenario::check(&plan, &Capabilities::of(backend));
                assert!(cannot.is_empty(), "{name}: {cannot:?}");
            }
            assert!(text.starts_with("#:schema schema.json\n# Proves: "), "{name}");
        }
    }

    #[test]
    fn every_fault_that_a_backend_can_produce_has_a_template_that_shows_it() {
        // On one backend only; a template runs on all.
        const WITHOUT: [&str; 1] = ["broker-errors"];
        for kind in scenario::FAULT_KINDS.into_iter().filter(|kind| !WITHOUT.contains(kind)) {
            let (_, text) = TEMPLATES.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("{kind}"));
            assert!(plan_of(text).faults.iter().any(|fault| fault.kind.name() == kind), "{kind}");
        }
        assert!(plan_of(TEMPLATES[0].1).faults.is_empty(), "the control run");
        let own = ["process", "container", "custom"];
        for kind in own {
            let (_, text) = TEMPLATES.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("{kind}"));
            assert!(plan_of(text).subject.kind.is_foreign(), "{kind}");
        }
        let faults = scenario::FAULT_KINDS.len() - WITHOUT.len();
        assert_eq!(TEMPLATES.len(), 1 + faults + own.len(), "no template without a fault");
    }
}
