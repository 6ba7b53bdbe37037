//! Scenario files: from TOML text to a validated [`Plan`], or to every mistake at once.
//!
//! Owns the format (names, types, defaults, what must fit together) and the places of things in the file. Knows
//! nothing of clusters, of the resilience components' settings, or of how a plan is run: what a backend can do comes
//! in as [`Capabilities`](crate::plan::Capabilities).
//!
//! ```text
//! text --parser--> document (places) --overrides--> reader (types, defaults) --> validate (meaning) --> Plan
//! ```

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Source, codes, render_all};
use crate::plan::Plan;

mod backend;
mod document;
pub mod format;
mod raw;
mod reader;
pub mod schema;
mod validate;
mod values;

pub use backend::{check, check_anywhere, check_in};
pub use raw::{BREAKER_STATES, FAULT_KINDS, PROFILES};
pub use values::{duration, is_kebab_case, size, to_kebab_case};

use document::Document;
use reader::Sink;

/// A scenario that is good to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The resolved scenario.
    pub plan: Plan,
    /// The file.
    pub source: Source,
    /// What does no harm but should be shown.
    pub warnings: Vec<Diagnostic>,
}

/// A scenario with mistakes, all of them. `Display` shows them as a compiler would, without colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// The file; its text is empty if it could not be read.
    pub source: Source,
    /// Errors and warnings in the file's order; at least one error.
    pub diagnostics: Vec<Diagnostic>,
}

impl Invalid {
    /// All messages, for a terminal.
    pub fn render(&self, coloured: bool) -> String {
        render_all(&self.diagnostics, &self.source, coloured)
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Invalid {}

/// Reads and validates a file.
///
/// # Errors
/// Every mistake in it, or that it cannot be read.
pub fn load(path: &Path) -> Result<Plan, Invalid> {
    load_with(path, &[]).map(|loaded| loaded.plan)
}

/// As [`load`], with overrides (`workload.rate`, `800`) applied before validation; gives the warnings too.
///
/// # Errors
/// Every mistake in file and overrides, or that the file cannot be read.
pub fn load_with(path: &Path, overrides: &[(String, String)]) -> Result<Loaded, Invalid> {
    let source = match std::fs::read_to_string(path) {
        Ok(text) => Source::new(path, text),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            let diagnostic = Diagnostic::error(codes::UNREADABLE, message).help("a scenario is a UTF-8 text file");
            return Err(Invalid { source: Source::new(path, ""), diagnostics: vec![diagnostic] });
        }
    };
    match parse_with(&source, overrides) {
        Ok((plan, warnings)) => Ok(Loaded { plan, source, warnings }),
        Err(diagnostics) => Err(Invalid { source, diagnostics }),
    }
}

/// Validates a text: the plan and its warnings.
///
/// # Errors
/// Every mistake in it, in the file's order, warnings included.
pub fn parse(source: &Source) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    parse_with(source, &[])
}

/// As [`parse`], with overrides applied before validation.
///
/// # Errors
/// Every mistake in text and overrides.
pub fn parse_with(source: &Source, overrides: &[(String, String)]) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let document = Document::parse(source, overrides)?;
    let sink = Sink::default();
    let draft = raw::read(&document, &sink);
    validate::validate(&draft, &document, source, &sink);
    let diagnostics = sink.into_diagnostics();
    if diagnostics.iter().any(Diagnostic::is_error) { Err(diagnostics) } else { Ok((draft.plan, diagnostics)) }
}

/// Scenario files below the given directories (`**/*.toml`), sorted, each once. A file stands for itself; hidden
/// directories are passed over, and symbolic links to directories are not followed.
///
/// # Errors
/// A path that does not exist or cannot be listed: a run that finds nothing because of a typing error must not pass.
pub fn discover<P: AsRef<Path>>(dirs: &[P]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = Vec::new();
    for path in dirs.iter().map(AsRef::as_ref) {
        let kind = std::fs::metadata(path)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        if kind.is_dir() { pending.push(path.to_owned()) } else { found.push(path.to_owned()) }
    }
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !hidden {
                    pending.push(path);
                }
            } else if !hidden && path.extension().is_some_and(|e| e == "toml") && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests;
