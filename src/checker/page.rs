//! The long explanation of each claim: the checker's own module docs, so that code, docs and `explain` cannot differ.

macro_rules! pages {
    ($($name:literal: $file:literal,)*) => {
        /// The page of an anomaly or doubt: claim, method, blind spots. `None`: there is no such name.
        pub fn page(name: &str) -> Option<String> {
            let source = match name {
                $($name => include_str!($file),)*
                _ => return None,
            };
            Some(module_docs(source))
        }
    };
}

pages! {
    "baseline-unhealthy": "baseline_unhealthy.rs",
    "commit-ahead": "commit_ahead.rs",
    "commit-regression": "commit_regression.rs",
    "dead-letter-incomplete": "dead_letter_incomplete.rs",
    "double-handled": "double_handled.rs",
    "duplicate-effect": "duplicate_effect.rs",
    "duplicate-in-log": "duplicate_in_log.rs",
    "failed-but-present": "failed_but_present.rs",
    "fault-without-effect": "fault_without_effect.rs",
    "filtered-but-served": "filtered_but_served.rs",
    "final-read-truncated": "final_read_truncated.rs",
    "heal-unconfirmed": "heal_unconfirmed.rs",
    "history-truncated": "history_truncated.rs",
    "inconsistent-offset": "inconsistent_offset.rs",
    "lost-in-app": "lost_in_app.rs",
    "lost-in-log": "lost_in_log.rs",
    "no-traffic": "no_traffic.rs",
    "nonmonotonic-poll": "nonmonotonic_poll.rs",
    "poll-skip": "poll_skip.rs",
    "redelivered": "redelivered.rs",
    "reordered": "reordered.rs",
    "reordered-in-log": "reordered_in_log.rs",
    "truncation": "truncation.rs",
    "undetermined": "undetermined.rs",
    "unexpected": "unexpected.rs",
    "wrongly-dead-lettered": "wrongly_dead_lettered.rs",
}

fn module_docs(source: &str) -> String {
    let lines: Vec<&str> = source
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| line.trim_start_matches("//!").trim_start())
        .collect();
    lines.join("\n").replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::CHECKERS;

    #[test]
    fn every_checker_has_a_page_with_claim_method_and_blind_spots() {
        for checker in CHECKERS {
            let page = page(checker.name).unwrap_or_else(|| panic!("{} has no page", checker.name));
            assert!(page.starts_with(&format!("`{}`", checker.name)), "{}: {page}", checker.name);
            for part in ["Claim", "Method", "Blind spot"] {
                assert!(page.contains(part), "{} says nothing of its {part}: {page}", checker.name);
            }
        }
        assert_eq!(page("lost-in-space"), None);
    }
}
