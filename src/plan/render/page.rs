//! What a terminal needs: breaking lines, a scale below the bars, colour. Knows nothing of what the lines say.

use std::time::Duration;

use super::duration_text;

/// No terminal is narrower, and no sentence of ours fits into less.
pub(super) const NARROWEST: usize = 40;

/// Times at their columns, as many as have room: the first, the last, then in order.
pub(super) fn ruler(times: &[Duration], columns: usize, column: impl Fn(Duration) -> usize) -> String {
    let mut line = vec![' '; columns];
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let Some((last, others)) = sorted.split_last() else { return String::new() };
    let first = others.first();
    for at in first.into_iter().chain([last]).chain(others.iter().skip(1)) {
        let text = duration_text(*at);
        // The last one ends at the edge.
        let from = column(*at).min(columns.saturating_sub(text.len()));
        let room = from.saturating_sub(1)..(from + text.len() + 1).min(columns);
        if line[room].iter().all(|c| *c == ' ') {
            for (slot, c) in line[from..].iter_mut().zip(text.chars()) {
                *slot = c;
            }
        }
    }
    line.iter().collect::<String>().trim_end().to_owned()
}

/// Breaks a line between words; what follows is indented to where the line's own text begins.
pub(super) fn wrapped(line: &str, width: usize) -> String {
    if line.chars().count() <= width || is_bar(line) {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start().len();
    // A heading's text stands in its own column.
    let indent = if indent < 4 { 13 } else { indent + 2 };
    let (mut out, mut used) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if used + length > width && used > indent {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = indent;
        }
        out.push_str(word);
        used += word.chars().count();
    }
    out
}

fn is_bar(line: &str) -> bool {
    line.split_whitespace().last().is_some_and(|bar| bar.len() >= 20 && bar.chars().all(|c| ".=#~!".contains(c)))
}

pub(super) fn coloured(line: &str) -> String {
    const PLAIN: &str = "\u{1b}[0m";
    if is_bar(line) {
        let mut out = String::new();
        let mut current = "";
        for c in line.chars() {
            let colour = match c {
                '=' => "\u{1b}[32m",
                '#' | '!' => "\u{1b}[31m",
                '~' => "\u{1b}[33m",
                '.' => "\u{1b}[2m",
                _ => PLAIN,
            };
            if colour != current {
                out.push_str(PLAIN);
                out.push_str(colour);
                current = colour;
            }
            out.push(c);
        }
        return out + PLAIN;
    }
    match line.split_once(' ') {
        _ if line.is_empty() || line.starts_with(' ') => line.to_owned(),
        Some((heading, rest)) => format!("\u{1b}[1m{heading}{PLAIN} {rest}"),
        None => format!("\u{1b}[1m{line}{PLAIN}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words_and_indented_to_its_text() {
        let line = "Topic      orders: 6 topic partitions, 3 replicas, at least 2 in sync";
        let lines: Vec<_> = wrapped(line, 41).lines().map(str::to_owned).collect();
        assert_eq!(lines, ["Topic      orders: 6 topic partitions, 3", "             replicas, at least 2 in sync"]);
        assert_eq!(wrapped(line, 100), line);
        let word = "x".repeat(90);
        assert_eq!(wrapped(&word, 40), word, "what has no room anywhere stays whole");
    }

    #[test]
    fn times_stand_at_their_columns_and_those_without_room_are_left_out() {
        let s = Duration::from_secs;
        let line = ruler(&[s(0), s(1), s(6), s(11)], 44, |at| at.as_secs() as usize * 4);
        assert_eq!(line, format!("0s  1s{}6s{}11s", " ".repeat(18), " ".repeat(15)));
        assert_eq!(ruler(&[s(0), s(1)], 20, |at| at.as_secs() as usize), "0s");
    }

    #[test]
    fn a_bar_is_coloured_by_what_it_shows_and_text_stays() {
        let bar = format!("  cut  {}{}", "=".repeat(10), "#".repeat(12));
        assert!(is_bar(&bar) && coloured(&bar).contains("\u{1b}[31m"));
        assert_eq!(coloured("  lost  0"), "  lost  0");
        assert!(coloured("Budgets").starts_with("\u{1b}[1m"));
    }
}
