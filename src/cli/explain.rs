//! `seaworthy explain`.

use super::{Colours, Format, print, tell};
use crate::checker;
use crate::diagnostic::{codes, nearest};
use crate::exit_code::ExitCode;
use crate::resilience::classify::{Action, Class, Persistence, all_codes, classify_code, error_name};
use crate::scenario::format;

const VERDICTS: &[(&str, &str)] = &[
    (
        "pass",
        "Both promises were kept, and the run could have shown otherwise: there was traffic, a healthy baseline, \
      every fault was seen to bite and to be gone, and everything was read back.",
    ),
    (
        "inconclusive",
        "The run could not have shown a broken promise, or not all of it was seen. It is never a pass: the \
      reasons say what was missing. Exit code 2. Of a comparison: more repeats are needed, and it says about how many.",
    ),
    (
        "fail",
        "A promise was broken: a record was lost, altered, duplicated or reordered where that was promised not to \
      happen, or a budget was not met. Exit code 1.",
    ),
    (
        "regressed",
        "Of a comparison: worse than the base with at least 4 repeats a side, p <= 0.05 (exact Mann-Whitney) and a shift \
      beyond the noise band; or every repeat of the base recovered and one of the new side did not. `compare --gate` \
      exits with 3.",
    ),
    (
        "improved",
        "Of a comparison: better than the base with at least 4 repeats a side, p <= 0.05 (exact Mann-Whitney) and a shift \
      beyond the noise band.",
    ),
    ("no-change", "Of a comparison: the whole 95 % interval of the shift is within the noise band."),
    (
        "suspected",
        "Of a comparison: three repeats on the smaller side, no overlap at all, and a shift beyond twice the noise band. \
      Three repeats cannot give a p below 0.1: run at least one more. Of a whole comparison also: a row regressed by \
      itself, but not when all scenarios are taken together (Holm).",
    ),
    ("none", "Of a comparison: fewer than three repeats on a side, so the values are shown and not judged."),
    (
        "not-comparable",
        "Of a comparison: the two sides ran under different conditions, so their fingerprints differ. The note says in \
      what; `compare --axis KEY` declares that this is what is being compared.",
    ),
];

/// Long help for one word: our own names as they are written (`lost-in-log`, `fail`), errors by number or name in
/// capitals (`6`, `NOT_LEADER_OR_FOLLOWER`, `_ALL_BROKERS_DOWN`).
#[derive(clap::Args)]
pub(super) struct Explain {
    /// A diagnostic's code, an anomaly, a verdict, a key of a scenario file, or a Kafka or librdkafka error by number or name
    #[arg(allow_negative_numbers = true, required_unless_present = "list")]
    word: Option<String>,
    /// List every word that can be explained, but the errors
    #[arg(long, conflicts_with = "word")]
    list: bool,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Explain {
    pub fn run(self, _colour: Colours) -> ExitCode {
        let Some(word) = self.word.as_deref().map(str::trim) else {
            print(&listing(self.format));
            return ExitCode::Passed;
        };
        // One name may be a mistake in a file and a doubt about a run: both are meant.
        let pages: Vec<String> = SHELVES.iter().filter_map(|shelf| (shelf.page)(word)).collect();
        if !pages.is_empty() {
            let text = pages.join("\n\n");
            match self.format {
                Format::Human => print(&text),
                Format::Json => print(&serde_json::json!({ "name": word, "text": text }).to_string()),
            }
            return ExitCode::Passed;
        }
        if let Some(code) = error_code(word) {
            print(&error_text(code, self.format));
            return ExitCode::Passed;
        }
        let own = SHELVES.iter().flat_map(|shelf| (shelf.words)());
        let near = nearest(word, own.chain(all_codes().filter_map(error_name)));
        let next = near
            .map_or("`seaworthy explain --list` shows what there is".into(), |near| format!("did you mean `{near}`?"));
        tell(&format!("error: nothing is known as `{word}`\nnext:  {next}"));
        ExitCode::Usage
    }
}

/// One kind of words.
struct Shelf {
    title: &'static str,
    words: fn() -> Vec<&'static str>,
    page: fn(&str) -> Option<String>,
}

const SHELVES: [Shelf; 4] = [
    Shelf {
        title: "Verdicts",
        words: || VERDICTS.iter().map(|(name, _)| *name).collect(),
        page: |word| VERDICTS.iter().find(|(name, _)| *name == word).map(|(_, text)| (*text).to_owned()),
    },
    Shelf {
        title: "Mistakes in a scenario",
        words: || codes::ALL.iter().map(|(code, _)| *code).collect(),
        page: |word| codes::explain(word).map(str::to_owned),
    },
    Shelf {
        title: "Anomalies, and doubts about a run",
        words: || checker::CHECKERS.iter().map(|checker| checker.name).collect(),
        page: checker::page,
    },
    Shelf { title: "Keys of a scenario file", words: format::words, page: format::explain },
];

fn listing(format: Format) -> String {
    match format {
        Format::Json => {
            let shelf = |shelf: &Shelf| serde_json::json!({ "title": shelf.title, "words": (shelf.words)() });
            serde_json::json!(SHELVES.iter().map(shelf).collect::<Vec<_>>()).to_string()
        }
        Format::Human => {
            let shelf = |shelf: &Shelf| format!("{}\n  {}", shelf.title, (shelf.words)().join("\n  "));
            SHELVES.iter().map(shelf).collect::<Vec<_>>().join("\n\n")
        }
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
    let text = format!(
        "{name} ({code}), an error of {}.\n\
         class        {class}: {}\n\
         action       {action}: {}\n\
         persistence  {persistence}: {}",
        if code <= -100 { "librdkafka's own" } else { "Kafka's brokers" },
        class_text(meaning.class),
        action_text(meaning.action),
        persistence_text(meaning.persistence),
    );
    match format {
        Format::Human => text,
        Format::Json => serde_json::json!({
            "code": code, "name": name, "class": class, "action": action, "persistence": persistence, "text": text,
        })
        .to_string(),
    }
}

fn class_text(class: Class) -> &'static str {
    match class {
        Class::Retriable => "another try is likely to succeed, at once or nearly so",
        Class::Temporary => {
            "another try succeeds once something is over: an election, a rebalance, a broker out of reach"
        }
        Class::NonRetriable => "another try of the same call is in vain",
    }
}

fn action_text(action: Action) -> &'static str {
    match action {
        Action::Retry => "try again after a delay",
        Action::RefreshAndRetry => "try again after a delay; the client fetches fresh metadata meanwhile",
        Action::Wait => "do nothing but poll until the client is through with it",
        Action::DeadLetter => "the record itself is bad: send it to the dead-letter topic",
        Action::Skip => "nothing is left to do: it was done already, or is no failure",
        Action::RecreateClient => "the client is unusable: make a new one",
        Action::AbortTransaction => "abort the transaction and begin it anew",
        Action::Stop => "a person must mend configuration, credentials, permissions or the program",
    }
}

fn persistence_text(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::Not => "a record that failed with it is certainly not in the log",
        Persistence::Possibly => "a record that failed with it may be in the log: sending it again can duplicate it",
        Persistence::Yes => "a record that failed with it is in the log",
        Persistence::Unknown => "it says nothing about a record",
    }
}
