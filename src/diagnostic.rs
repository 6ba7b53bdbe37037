//! Mistakes in a file that a person wrote: what is wrong, where, what was expected, and the remedy.
//!
//! Owns the shape of a diagnostic, its rendering and the registry of codes ([`codes`]). Knows nothing of scenarios:
//! whoever reads a file makes the diagnostics. All of a file's mistakes are collected before any is shown.

use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

pub mod codes;
mod nearest;

pub use nearest::nearest;

/// Whether the file can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used, but does less than it seems to.
    Warning,
}

impl Severity {
    /// The word in messages and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// For messages; the stem is compared with the scenario's name.
    pub path: PathBuf,
    /// The whole file.
    pub text: String,
}

impl Source {
    /// A text that stands in for the file `path`.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Line and column of a byte offset, both from 1, the column in characters. An offset past the end is the end; one
    /// inside a character is that character.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..floor_boundary(&self.text, offset)];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        // UTF-8: every byte but a continuation byte starts a character.
        let column = before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
        (line, column)
    }

    /// Where a span begins and ends.
    pub fn location(&self, span: &Range<usize>) -> Location {
        let (line, column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end.max(span.start));
        Location { line, column, end_line, end_column }
    }
}

/// A span in lines and columns from 1; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column just past the last character.
    pub end_column: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Refuses the file or not.
    pub severity: Severity,
    /// Stable, kebab-case, in the registry ([`codes::explain`]).
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Bytes of the source. `None`: the mistake is nowhere in the file.
    pub span: Option<Range<usize>>,
    /// What was expected there.
    pub label: String,
    /// Further places that have to do with it, each with a note.
    pub related: Vec<(Range<usize>, String)>,
    /// The remedy.
    pub help: Option<String>,
    /// The override (`workload.rate=fast`) that the offending value came from, when it was not in the file.
    pub given: Option<String>,
}

impl Diagnostic {
    /// A mistake for which the file is refused. `code` is one of [`codes`].
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A mistake that is shown but does no harm. `code` is one of [`codes`].
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(codes::explain(code).is_some(), "`{code}` is not in the registry");
        Self {
            severity,
            code,
            message: message.into(),
            span: None,
            label: String::new(),
            related: Vec::new(),
            help: None,
            given: None,
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds what was expected.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place that has to do with it.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Is the file refused for it?
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Lines and columns, if it is in the file.
    pub fn location(&self, source: &Source) -> Option<Location> {
        self.span.as_ref().map(|span| source.location(span))
    }

    /// As `check --format json` prints it; lines and columns are `null` where there is no place in the file.
    pub fn to_json(&self, source: &Source) -> serde_json::Value {
        let location = self.location(source);
        serde_json::json!({
            "code": self.code,
            "severity": self.severity.name(),
            "message": self.message,
            "label": self.label,
            "line": location.map(|l| l.line),
            "column": location.map(|l| l.column),
            "end_line": location.map(|l| l.end_line),
            "end_column": location.map(|l| l.end_column),
            "help": self.help,
            "override": self.given,
        })
    }

    /// The message as a compiler would show it, without a newline at its end.
    pub fn render(&self, source: &Source, coloured: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = source.path.display().to_string();
        let override_text = self.given.as_ref().map(|given| format!("--set {given}"));
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        if let Some(text) = &override_text {
            let whole = AnnotationKind::Primary.span(0..text.len()).label(label(&self.label));
            group = group.element(Snippet::source(text.as_str()).path("command line").annotation(whole));
        }
        let related = self
            .related
            .iter()
            .map(|(span, note)| AnnotationKind::Context.span(fit(&source.text, span)).label(label(note)));
        let primary = self
            .span
            .as_ref()
            .map(|span| AnnotationKind::Primary.span(fit(&source.text, span)).label(label(&self.label)));
        let annotations: Vec<_> = primary.into_iter().chain(related).collect();
        if annotations.is_empty() {
            if override_text.is_none() {
                group = group.element(annotate_snippets::Origin::path(path));
            }
        } else {
            group = group.element(Snippet::source(source.text.as_str()).path(path).annotations(annotations));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// All of a file's diagnostics, an empty line between two.
pub fn render_all(diagnostics: &[Diagnostic], source: &Source, coloured: bool) -> String {
    diagnostics.iter().map(|d| d.render(source, coloured)).collect::<Vec<_>>().join("\n\n")
}

fn label(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A span that lies within the text, on character boundaries: an annotation anywhere else would panic.
fn fit(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.end.max(start));
    start..end
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let source = Source::new("x.toml", "a = 1\nsümmary = 2\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(6), (2, 1));
        let ue = source.text.find('m').unwrap();
        assert_eq!(source.position(ue), (2, 3));
        assert_eq!(source.position(ue - 1), (2, 2), "inside the two bytes of ü");
        assert_eq!(source.position(9_999), (3, 1));
    }

    #[test]
    fn a_span_outside_the_text_is_shown_at_its_end() {
        let source = Source::new("x.toml", "ü");
        for span in [0..1, 1..1, 1..99, 50..60] {
            let shown = Diagnostic::error(codes::SYNTAX, "wrong").at(span).label("here").render(&source, false);
            assert!(shown.contains("x.toml:1:"), "{shown}");
        }
    }

    #[test]
    fn colour_is_a_matter_of_choice() {
        let source = Source::new("x.toml", "rate = 0");
        let diagnostic = Diagnostic::warning(codes::SYNTAX, "wrong").at(0..4).help("do this");
        assert!(diagnostic.render(&source, true).contains('\u{1b}'));
        let plain = diagnostic.render(&source, false);
        assert!(!plain.contains('\u{1b}') && plain.contains("x.toml:1:1") && plain.contains("do this"), "{plain}");
    }

    #[test]
    fn json_has_lines_and_columns_or_says_that_there_are_none() {
        let source = Source::new("x.toml", "a = 1\nrate = 0");
        let placed = Diagnostic::error(codes::ZERO, "`rate` is zero").at(13..14).to_json(&source);
        assert_eq!((&placed["line"], &placed["column"], &placed["end_column"]), (&2.into(), &8.into(), &9.into()));
        let nowhere = Diagnostic::warning(codes::UNREADABLE, "gone").to_json(&source);
        assert!(nowhere["line"].is_null() && nowhere["severity"] == "warning");
    }

    #[test]
    fn a_mistake_in_an_override_shows_the_override() {
        let source = Source::new("x.toml", "rate = 0");
        let mut diagnostic = Diagnostic::error(codes::WRONG_TYPE, "wrong").label("expected a number");
        diagnostic.given = Some("workload.rate=fast".into());
        let shown = diagnostic.render(&source, false);
        assert!(shown.contains("--set workload.rate=fast") && shown.contains("expected a number"), "{shown}");
    }
}
