//! What a reader of any report must know beside the verdicts: what the backend cannot prove, and what was not run.

use std::fmt::Write;

use super::LeftOut;
use crate::cluster::embedded::REHEARSAL;
use crate::plan::BackendKind;

/// For a terminal; empty if there is nothing to say.
pub fn caveats(backend: BackendKind, left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    if !left_out.is_empty() {
        let _ = writeln!(text, "LEFT OUT, {} that backend {backend} cannot run:", count(left_out));
        for LeftOut { name, reason, .. } in left_out {
            let _ = writeln!(text, "  {name}: {reason}");
        }
    }
    if backend == BackendKind::Embedded {
        let _ = writeln!(text, "{REHEARSAL}");
    }
    text
}

/// The same for `summary.md`.
pub fn caveats_markdown(backend: BackendKind, left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    if !left_out.is_empty() {
        let _ = writeln!(text, "\n### Left out: {} that backend {backend} cannot run\n", count(left_out));
        for LeftOut { name, reason, .. } in left_out {
            let _ = writeln!(text, "- **{name}**: {reason}");
        }
    }
    if backend == BackendKind::Embedded {
        let _ = writeln!(text, "\n> {REHEARSAL}");
    }
    text
}

fn count(left_out: &[LeftOut]) -> String {
    match left_out.len() {
        1 => "1 scenario".to_owned(),
        n => format!("{n} scenarios"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_named_with_its_reason_and_a_rehearsal_called_one() {
        let left_out = LeftOut { name: "a".into(), path: "a.toml".into(), reason: "no ships".into() };
        for text in [caveats, caveats_markdown].map(|of| of(BackendKind::Embedded, std::slice::from_ref(&left_out))) {
            assert!(text.contains("1 scenario") && text.contains("no ships") && text.contains("rehearsal"), "{text}");
        }
        assert_eq!(caveats(BackendKind::Containers, &[]), "");
    }
}
