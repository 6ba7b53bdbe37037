//! For a pull request or a step summary.

use std::fmt::Write;

use super::super::Comparison;
use super::super::row::Row;
use super::super::verdict::RowVerdict;
use super::{cells, conclusion, shown};

/// The verdict as a heading, the rows worth reading as a table, all others folded away.
pub fn markdown(comparison: &Comparison, all: bool) -> String {
    let mut text = format!("## Recovery compared: {}\n\n", conclusion(comparison));
    let _ = writeln!(text, "`{}` → `{}`\n", comparison.base, comparison.new);
    let (main, rest): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(|row| all || shown(row));
    table(&mut text, &main);
    for row in main.iter().filter(|row| row.note.is_some()) {
        let note = row.note.as_deref().unwrap_or_default();
        let _ = writeln!(text, "- {} {}: {}", row.scenario, row.metric.name, cell(note));
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "- {}", cell(note));
    }
    if !rest.is_empty() {
        let plural = if rest.len() == 1 { "comparison" } else { "comparisons" };
        let _ = writeln!(text, "\n<details><summary>{} more {plural} without a change</summary>\n", rest.len());
        table(&mut text, &rest);
        let _ = writeln!(text, "\n</details>");
    }
    text
}

fn table(text: &mut String, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "| scenario | metric | base | new | shift [95 %] | p | verdict | budget (new) |");
    let _ = writeln!(text, "|---|---|---|---|---|---:|---|---|");
    for row in rows {
        let n = |sample: &super::super::Sample| match sample.n() {
            0 => String::new(),
            n => format!(", n={n}"),
        };
        let loud = matches!(row.decision.verdict, RowVerdict::Regressed | RowVerdict::Suspected);
        let verdict = if loud { format!("**{}**", cells::verdict(row)) } else { cells::verdict(row) };
        let _ = writeln!(
            text,
            "| {} | {} | {}{} | {}{} | {} | {} | {verdict} | {} |",
            cell(&row.scenario),
            row.metric.name,
            cells::sample(row.metric, &row.base),
            n(&row.base),
            cells::sample(row.metric, &row.new),
            n(&row.new),
            cells::shift(row),
            cells::p(row),
            cells::budget(row),
        );
    }
    text.push('\n');
}

/// A pipe would end the cell, an angle bracket would be markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
