//! Conditions: what must be equal on both sides, and what was declared to differ.

use std::collections::{BTreeMap, BTreeSet};

use super::repeat::Repeat;

/// What the two sides are meant to differ in: keys of the scenario file, or everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axes {
    keys: Vec<String>,
    any: bool,
}

impl Axes {
    /// Keys as in `--set`; a table stands for everything in it, `cluster.kafka` for the images too, and `any` for all.
    pub fn of<S: AsRef<str>>(keys: impl IntoIterator<Item = S>) -> Self {
        let mut axes = Self::default();
        for key in keys {
            // Quotes keep dots together in a path; here every dot counts.
            let key = of_the_file(&key.as_ref().trim().replace('"', ""));
            match key.as_str() {
                "any" => axes.any = true,
                "kafka" | "cluster.kafka" | "cluster.image" => {
                    axes.keys
                        .extend(["cluster.kafka", "cluster.image", "backend.kafka", "backend.image"].map(Into::into));
                }
                _ => axes.keys.push(key),
            }
        }
        axes
    }

    fn cover(&self, key: &str) -> bool {
        let within = |axis: &String| {
            // A fault goes by its number or its label: its last key must do.
            let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
            let fault = axis.starts_with("fault.") && key.starts_with("fault.") && last(axis) == last(key);
            fault || key.strip_prefix(axis.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.any || self.keys.iter().any(within)
    }
}

/// Whether two sides of one scenario may be compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Conditions {
    Equal,
    /// Allowed, with what a reader should know.
    Allowed(String),
    Different(String),
}

/// Holds the conditions of all repeats against each other.
pub(super) fn conditions(base: &[&Repeat], new: &[&Repeat], axes: &Axes) -> Conditions {
    let prints = |side: &[&Repeat]| side.iter().filter_map(|r| r.fingerprint.clone()).collect::<BTreeSet<_>>();
    let (ours, theirs) = (prints(base), prints(new));
    if ours.is_empty() || theirs.is_empty() {
        let which = match (ours.is_empty(), theirs.is_empty()) {
            (true, true) => "neither side has",
            (true, false) => "base does not have",
            _ => "new does not have",
        };
        return Conditions::Allowed(format!("{which} a fingerprint: equal conditions were taken for granted"));
    }
    if ours == theirs && ours.len() == 1 {
        return Conditions::Equal;
    }
    if axes.any {
        return Conditions::Allowed(match differences(base, new) {
            Some(all) if !all.is_empty() => format!("differs in {}, as declared", list(&all)),
            _ => "differs in conditions, as declared".to_owned(),
        });
    }
    for (side, name) in [(base, "base"), (new, "new")] {
        let inner = side.first().and_then(|first| differences(&[first], side));
        if prints(side).len() > 1 && inner.as_ref().is_none_or(|all| all.iter().any(|d| !axes.cover(&d.key))) {
            let what = inner.map_or(String::new(), |all| format!(" in {}", list(&all)));
            return Conditions::Different(format!("the repeats of {name} differ among themselves{what}"));
        }
    }
    let Some(all) = differences(base, new) else {
        return Conditions::Different(
            "the fingerprints differ and do not say in what; `--axis any` compares nevertheless".to_owned(),
        );
    };
    let (meant, wrong): (Vec<_>, Vec<_>) = all.into_iter().partition(|difference| axes.cover(&difference.key));
    match (wrong.first(), meant.is_empty()) {
        (Some(first), _) => Conditions::Different(format!(
            "differs in {}; if that is what you compare, say `--axis {}`",
            list(&wrong),
            first.key
        )),
        (None, false) => Conditions::Allowed(format!("differs in {}, as declared", list(&meant))),
        (None, true) => Conditions::Different(
            "the fingerprints differ, and nothing that they say they are made of does: one side was made by another \
             version; `--axis any` compares nevertheless"
                .to_owned(),
        ),
    }
}

/// A plan's key as the scenario file has it: there an application of one's own needs no table of its own.
fn of_the_file(key: &str) -> String {
    key.strip_prefix("subject.foreign.").map_or_else(|| key.to_owned(), |rest| format!("subject.{rest}"))
}

struct Difference {
    key: String,
    base: Option<String>,
    new: Option<String>,
}

/// Every key whose values are not the same throughout. `None`: a side does not say what its fingerprint is made of.
fn differences(base: &[&Repeat], new: &[&Repeat]) -> Option<Vec<Difference>> {
    let all: Vec<&BTreeMap<String, String>> = base.iter().chain(new).map(|repeat| &repeat.configuration).collect();
    if all.iter().any(|configuration| configuration.is_empty()) {
        return None;
    }
    let keys: BTreeSet<&String> = all.iter().flat_map(|configuration| configuration.keys()).collect();
    let differs = |key: &&&String| all.iter().any(|configuration| configuration.get(**key) != all[0].get(**key));
    let of = |side: &[&Repeat], key: &String| side.last().and_then(|repeat| repeat.configuration.get(key).cloned());
    let difference = |key: &String| Difference { key: of_the_file(key), base: of(base, key), new: of(new, key) };
    Some(keys.iter().filter(differs).map(|key| difference(key)).collect())
}

fn list(differences: &[Difference]) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
    let mut parts: Vec<String> =
        differences.iter().take(4).map(|d| format!("{} ({} → {})", d.key, text(&d.base), text(&d.new))).collect();
    if differences.len() > 4 {
        parts.push(format!("{} more", differences.len() - 4));
    }
    parts.join(", ")
}
