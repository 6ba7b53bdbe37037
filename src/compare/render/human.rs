//! For a terminal: a table where it is wide enough, else a block a row. Plain text with colour for the verdict alone.

use std::fmt::Write;

use super::super::row::Row;
use super::super::side::Side;
use super::super::verdict::RowVerdict;
use super::super::{Axes, Comparison};
use super::{cells, conclusion, shown};

/// How it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    pub colour: bool,
    /// Every metric, changed or not.
    pub all: bool,
}

/// The comparison with its notes, and what it comes to.
pub fn human(comparison: &Comparison, style: Style) -> String {
    let rows: Vec<&Row> = comparison.rows.iter().filter(|row| style.all || shown(row)).collect();
    let mut text = format!("base: {}\nnew:  {}\n\n", comparison.base, comparison.new);
    if !rows.is_empty() {
        let table = table(&rows, style);
        text += &table.unwrap_or_else(|| blocks(&rows, style));
        text += "\nmedian [min … max]; shift: Hodges–Lehmann [95 % interval]; p: exact Mann–Whitney";
        let many = rows.iter().any(|row| row.base.n().max(row.new.n()) >= 6);
        text += if many { "; (…): 95 % interval of the median\n" } else { "\n" };
    }
    let left = comparison.rows.len() - rows.len();
    if left > 0 {
        let plural = if left == 1 { "comparison" } else { "comparisons" };
        let _ = writeln!(text, "{left} more {plural} without a change (--all shows them)");
    }
    for row in rows.iter().filter(|row| row.note.is_some()) {
        let _ =
            writeln!(text, "note: {} {}: {}", row.scenario, row.metric.name, row.note.as_deref().unwrap_or_default());
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{}", paint(comparison.verdict, &conclusion(comparison), style.colour));
    text
}

/// One side alone: every sample with its budget.
pub fn summary(side: &Side, all: bool) -> String {
    let comparison = Comparison::of(side, side, &Axes::default(), &[]);
    let rows: Vec<&Row> =
        comparison.rows.iter().filter(|row| all || row.metric.name == "outage" || shown(row)).collect();
    let mut lines = vec![["scenario", "metric", "n", "median [min … max]", "budget kept"].map(str::to_owned)];
    let mut before = "";
    for row in rows {
        let name = if before == row.scenario { String::new() } else { row.scenario.clone() };
        before = &row.scenario;
        let values = cells::sample(row.metric, &row.base);
        lines.push([name, row.metric.name.to_owned(), row.base.n().to_string(), values, cells::budget(row)]);
    }
    let mut text = aligned(&lines, |_, cell| cell);
    let left_out = side.repeats.iter().filter(|repeat| repeat.inconclusive()).count();
    if left_out > 0 {
        let _ = writeln!(text, "note: {left_out} inconclusive repeats are left out");
    }
    text
}

const COLUMNS: usize = 8;

fn table(rows: &[&Row], style: Style) -> Option<String> {
    let n = |side: fn(&Row) -> usize| {
        let mut all: Vec<usize> = rows.iter().map(|row| side(row)).collect();
        all.sort_unstable();
        all.dedup();
        if let [one] = all[..] { Some(one) } else { None }
    };
    let (base_n, new_n) = (n(|row| row.base.n()), n(|row| row.new.n()));
    let head = |name: &str, n: Option<usize>| n.map_or(name.to_owned(), |n| format!("{name} (n={n})"));
    let value = |row: &Row, sample: &super::super::Sample, uniform: Option<usize>| {
        let n = if uniform.is_some() || sample.n() == 0 { String::new() } else { format!(" n={}", sample.n()) };
        cells::sample(row.metric, sample) + &n
    };
    let (base, new) = (head("base", base_n), head("new", new_n));
    let mut lines: Vec<[String; COLUMNS]> =
        vec![["scenario", "metric", &base, &new, "shift", "p", "verdict", "budget (new)"].map(str::to_owned)];
    let mut before = "";
    for row in rows {
        let name = if before == row.scenario { String::new() } else { row.scenario.clone() };
        before = &row.scenario;
        lines.push([
            name,
            row.metric.name.to_owned(),
            value(row, &row.base, base_n),
            value(row, &row.new, new_n),
            cells::shift(row),
            cells::p(row),
            cells::verdict(row),
            cells::budget(row),
        ]);
    }
    let verdicts: Vec<RowVerdict> = rows.iter().map(|row| row.decision.verdict).collect();
    let text = aligned(&lines, |(line, column), cell| match line.checked_sub(1) {
        Some(row) if column == COLUMNS - 2 => paint(verdicts[row], &cell, style.colour),
        _ => cell,
    });
    let plain = if style.colour { aligned(&lines, |_, cell| cell) } else { text.clone() };
    let widest = plain.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    (widest <= style.width).then_some(text)
}

/// Left-aligned columns, two spaces apart. `finish` gets (line, column) and the padded cell.
fn aligned<const N: usize>(lines: &[[String; N]], finish: impl Fn((usize, usize), String) -> String) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let padded = format!("{cell:<width$}", width = widths[column]);
            finish((number, column), padded)
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// For narrow terminals.
fn blocks(rows: &[&Row], style: Style) -> String {
    let mut text = String::new();
    let mut before = "";
    for row in rows {
        if before != row.scenario {
            let _ = writeln!(text, "{}", row.scenario);
            before = &row.scenario;
        }
        let verdict = paint(row.decision.verdict, &cells::verdict(row), style.colour);
        let _ = writeln!(text, "  {:<21} {verdict}", row.metric.name);
        for (name, sample, budget) in [("base", &row.base, row.base_budget), ("new", &row.new, row.budget)] {
            let values = cells::sample(row.metric, sample);
            let budget = budget.map_or(String::new(), |tally| format!("   budget {}", cells::tally(row.metric, tally)));
            let _ = writeln!(text, "    {name:<5} n={:<3} {values}{budget}", sample.n());
        }
        let p = cells::p(row);
        if !p.is_empty() {
            let p = if p.starts_with('<') { format!("p {p}") } else { format!("p={p}") };
            let _ = writeln!(text, "    shift       {} {p}", cells::shift(row));
        }
    }
    text
}

fn paint(verdict: RowVerdict, text: &str, colour: bool) -> String {
    let code = match verdict {
        RowVerdict::Regressed => "1;31",
        RowVerdict::Improved | RowVerdict::NoChange => "32",
        RowVerdict::Suspected | RowVerdict::NotComparable => "33",
        RowVerdict::Inconclusive | RowVerdict::None => return text.to_owned(),
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
