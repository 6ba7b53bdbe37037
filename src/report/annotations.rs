//! GitHub annotations: a scenario that did not pass, shown at its file in the pull request.

use super::{ScenarioResult, phrase};
use crate::verdict::Verdict;

/// GitHub shows ten of a kind from one step and drops the rest.
const MOST: usize = 10;

/// Workflow commands for the scenarios that did not pass; none outside of GitHub Actions.
pub fn annotations(results: &[&ScenarioResult]) -> Vec<String> {
    let there = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
    if there { commands(results, |path| std::fs::read_to_string(path).ok()) } else { Vec::new() }
}

fn commands(results: &[&ScenarioResult], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut commands = Vec::new();
    for verdict in [Verdict::Fail, Verdict::Inconclusive] {
        let all: Vec<_> = results.iter().filter(|result| result.verdict == verdict).collect();
        let room = if all.len() > MOST { MOST - 1 } else { MOST };
        commands.extend(all.iter().take(room).map(|result| command(result, &read)));
        if all.len() > room {
            commands.push(format!("{}::and {} more: see the run's report.html", level(verdict), all.len() - room));
        }
    }
    commands
}

fn level(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Fail { "::error" } else { "::warning" }
}

fn command(result: &ScenarioResult, read: impl Fn(&str) -> Option<String>) -> String {
    let reasons: Vec<String> = result.reasons.iter().map(|r| format!("{}: {}", r.code, r.message)).collect();
    let title = property(&format!("{}: {}", phrase::title(result), phrase::verdict(result.verdict)));
    let place = result.scenario.path.as_ref().map_or(String::new(), |path| {
        let code = result.reasons.first().map_or("", |reason| reason.code.as_str());
        let line = read(path).map_or(1, |text| line_of(&text, code));
        format!("file={},line={line},", property(path))
    });
    format!("{} {place}title={title}::{}", level(result.verdict), data(&reasons.join("\n")))
}

/// The line of a budget by its key; of everything else the `[budget]` table, else the file's first line.
fn line_of(text: &str, code: &str) -> usize {
    let key = |line: &str| {
        line.trim_start().strip_prefix(code).is_some_and(|rest| rest.trim_start().starts_with('=')) && !code.is_empty()
    };
    let at = |wanted: &dyn Fn(&str) -> bool| text.lines().position(wanted);
    at(&key).or_else(|| at(&|line| line.trim() == "[budget]")).map_or(1, |at| at + 1)
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{failing, passing};

    #[test]
    fn a_broken_budget_is_shown_at_its_line_and_nothing_escapes_its_command() {
        let mut bad = failing();
        bad.scenario.path = Some("scenarios/a,b.toml".into());
        bad.reasons[0].message = "50 % late\n::error::forged".into();
        let file = "name = \"x\"\n[budget]\nlost = 0\n  recovery = \"2s\"\n";
        let all = commands(&[&passing(), &bad], |_| Some(file.to_owned()));
        assert_eq!(
            all,
            ["::error file=scenarios/a%2Cb.toml,line=4,title=story%3A FAIL::recovery: 50 %25 late%0A::error::forged"]
        );
    }

    #[test]
    fn beyond_what_github_shows_the_rest_is_counted() {
        let bad = failing();
        let all = commands(&[&bad; 13], |_| None);
        assert_eq!(all.len(), 10);
        assert!(all[9].contains("and 4 more"), "{}", all[9]);
    }
}
