//! What every member of an application is told; somebody else's by placeholder, and by variable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::{PLACEHOLDERS, fill};

/// The run's addresses and names; the member's number is added for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Of the brokers, through the fault proxies.
    pub bootstrap: String,
    pub input: String,
    pub output: String,
    pub dead_letter: String,
    pub group: String,
    pub seed: u64,
}

impl Surroundings {
    /// What a member was told, by the `SEAWORTHY_…` variables. `Err`: which one is missing.
    pub fn from_env() -> Result<Self, String> {
        let told = |wanted: &str| {
            let variable = PLACEHOLDERS.iter().find(|(name, _)| *name == wanted).map_or("", |(_, variable)| *variable);
            std::env::var(variable).map_err(|_| format!("{variable} is not set"))
        };
        let seed = told("seed")?;
        Ok(Self {
            bootstrap: told("bootstrap")?,
            input: told("input")?,
            output: told("output")?,
            dead_letter: told("dead-letter")?,
            group: told("group")?,
            seed: seed.parse().map_err(|_| format!("SEAWORTHY_SEED is no number: {seed}"))?,
        })
    }

    fn value(&self, name: &str, member: u32) -> Option<String> {
        Some(match name {
            "bootstrap" => self.bootstrap.clone(),
            "input" => self.input.clone(),
            "output" => self.output.clone(),
            "dead-letter" => self.dead_letter.clone(),
            "group" => self.group.clone(),
            "member" => member.to_string(),
            "seed" => self.seed.to_string(),
            _ => return None,
        })
    }

    /// A text with its placeholders filled in for one member.
    pub fn fill(&self, text: &str, member: u32) -> String {
        fill(text, |name| self.value(name, member))
    }

    pub(super) fn filled(&self, texts: &[String], member: u32) -> Vec<String> {
        texts.iter().map(|text| self.fill(text, member)).collect()
    }

    /// The `SEAWORTHY_…` variables, then the scenario's own.
    pub(super) fn variables(&self, env: &BTreeMap<String, String>, member: u32) -> Vec<(String, String)> {
        let named = PLACEHOLDERS
            .iter()
            .filter_map(|(name, variable)| self.value(name, member).map(|value| ((*variable).to_owned(), value)));
        let mapped = env.iter().map(|(name, text)| (name.clone(), self.fill(text, member)));
        named.chain(mapped).collect()
    }
}
