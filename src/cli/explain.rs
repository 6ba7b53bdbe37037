//! `seaworthy explain`.

use super::{Colours, Format, print, tell};
use crate::checker;
use crate::diagnostic::codes;
use crate::exit_code::ExitCode;
use crate::resilience::classify::{all_codes, classify_code, error_name};

const VERDICTS: &[(&str, &str)] = &[
    (
        "pass",
        "Both promises were kept, and the run could have shown otherwise: there was traffic, a healthy baseline, \
      every fault was seen to bite and to be gone, and everything was read back.",
    ),
    (
        "inconclusive",
        "The run could not have shown a broken promise, or not all of it was seen. It is never a pass: the \
      reasons say what was missing. Exit code 2.",
    ),
    (
        "fail",
        "A promise was broken: a record was lost, altered, duplicated or reordered where that was promised not to \
      happen, or a budget was not met. Exit code 1.",
    ),
];

/// Long help for one word.
#[derive(clap::Args)]
pub(super) struct Explain {
    /// A diagnostic's code, an anomaly, a verdict, or a Kafka or librdkafka error by number or name
    #[arg(allow_negative_numbers = true)]
    word: String,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Explain {
    pub fn run(self, _colour: Colours) -> ExitCode {
        let word = self.word.trim();
        if let Some(code) = error_code(word) {
            print(&error_text(code, self.format));
            return ExitCode::Passed;
        }
        let verdict = VERDICTS.iter().find(|(name, _)| *name == word).map(|(_, text)| (*text).to_owned());
        // One name may be a mistake in a file and a doubt about a run: both are meant.
        let pages: Vec<String> =
            [codes::explain(word).map(str::to_owned), checker::page(word), verdict].into_iter().flatten().collect();
        let text = pages.join("\n\n");
        if text.is_empty() {
            tell(&format!(
                "error: nothing is known as `{word}`: give a diagnostic's code, an anomaly ({}), a verdict, or a Kafka \
                 or librdkafka error by number or name",
                checker::CHECKERS.iter().map(|c| c.name).collect::<Vec<_>>().join(", ")
            ));
            return ExitCode::Usage;
        };
        match self.format {
            Format::Human => print(&text),
            Format::Json => print(&serde_json::json!({ "name": word, "text": text }).to_string()),
        }
        ExitCode::Passed
    }
}

/// A known error's code, from its number or its name (with or without librdkafka's prefixes).
fn error_code(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse::<i32>() {
        return error_name(number).map(|_| number);
    }
    let name = word.trim_start_matches("RD_KAFKA_RESP_ERR_").trim_start_matches('_');
    all_codes().find(|code| error_name(*code).is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

fn error_text(code: i32, format: Format) -> String {
    let name = error_name(code).unwrap_or_default();
    let meaning = classify_code(code);
    let (class, action, persistence) = (meaning.class.as_str(), meaning.action.as_str(), meaning.persistence.as_str());
    let origin = if code <= -100 { "librdkafka's own" } else { "Kafka's" };
    let text = format!(
        "{name} ({code}), {origin} error. A {class} error; what to do: {action}. Whether a record that failed with it is in \
         the log: {persistence}."
    );
    match format {
        Format::Human => text,
        Format::Json => serde_json::json!({
            "code": code, "name": name, "class": class, "action": action, "persistence": persistence, "text": text,
        })
        .to_string(),
    }
}
