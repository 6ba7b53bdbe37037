//! `result.json` and `run.json`, schema version 1: fields are added, never renamed or given another meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::BudgetRow;
use crate::history::History;
use crate::judge::{Components, Integrity, Judgement, PhaseRow};
use crate::plan::BackendKind;
use crate::recovery::{FaultRow, Recovery};
use crate::verdict::{Reason, Verdict};

/// The version of `result.json` and `run.json` that this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Which scenario file was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ScenarioRef {
    pub name: String,
    /// As it was given on the command line; `None` when only a history is known.
    pub path: Option<String>,
    /// Of the file's bytes, lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// An image by name, and by the identity that the engine gave it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Image {
    pub name: String,
    pub id: Option<String>,
}

/// What the scenario ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackendInfo {
    pub kind: BackendKind,
    #[serde(default)]
    pub kafka_version: Option<String>,
    #[serde(default)]
    pub images: Vec<Image>,
    /// What a reader must know to trust the result: why this backend, what it cannot show.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The machine, for people who compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Environment {
    pub host: Option<String>,
    pub cpus: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub os: Option<String>,
    pub seaworthy_version: Option<String>,
    pub git_commit: Option<String>,
}

/// What the runner knows and a history does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScenarioContext {
    pub scenario: ScenarioRef,
    /// Which repeat of the scenario, from 1.
    pub repeat: u32,
    pub backend: Option<BackendInfo>,
    pub environment: Environment,
    /// Equal for runs that may be compared: everything that decides a recovery time, hashed.
    pub fingerprint: Option<String>,
    /// The seed that the whole run was started with: with it and the repeat's number the same draws are made again.
    pub run_seed: Option<u64>,
    /// What was changed for this run, as `key=value`.
    pub set: Vec<String>,
    /// What the fingerprint was made of: keys as in the scenario file, secrets hashed.
    pub configuration: BTreeMap<String, String>,
}

/// `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScenarioResult {
    pub schema_version: u32,
    pub scenario: ScenarioRef,
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    pub seed: u64,
    #[serde(default)]
    pub repeat: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// From the start to the last event.
    pub duration_s: f64,
    #[serde(default)]
    pub backend: Option<BackendInfo>,
    pub phases: Vec<PhaseRow>,
    pub faults: Vec<FaultRow>,
    pub integrity: Integrity,
    /// `None`: the history has no plan, so integrity alone was judged.
    pub recovery: Option<Recovery>,
    pub budgets: Vec<BudgetRow>,
    pub components: Components,
    #[serde(default)]
    pub environment: Environment,
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The seed that the whole run was started with; `None`: not known.
    #[serde(default)]
    pub run_seed: Option<u64>,
    /// What was changed for this run, as `key=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// What the fingerprint was made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, String>,
    /// Fields of a newer version, kept.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// The JSON Schema of `result.json`. Fields that it does not know are allowed: they may be a newer version's.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(ScenarioResult).to_value()
}

impl ScenarioResult {
    /// Puts a judgement and what the runner knows about its run together.
    pub fn new(context: ScenarioContext, history: &History, judgement: Judgement) -> Self {
        let mut scenario = context.scenario;
        if scenario.name.is_empty() {
            scenario.name.clone_from(&history.header.scenario);
        }
        Self {
            schema_version: SCHEMA_VERSION,
            scenario,
            verdict: judgement.verdict,
            reasons: judgement.reasons,
            seed: history.header.seed,
            repeat: context.repeat,
            started_at: history.header.started_at.clone(),
            duration_s: judgement.duration_s,
            backend: context.backend,
            phases: judgement.phases,
            faults: judgement.faults,
            integrity: judgement.integrity,
            recovery: judgement.recovery,
            budgets: judgement.budgets,
            components: judgement.components,
            environment: context.environment,
            fingerprint: context.fingerprint,
            run_seed: context.run_seed,
            set: context.set,
            configuration: context.configuration,
            more: BTreeMap::new(),
        }
    }

    /// The part that a history does not say, for judging the same run again.
    pub fn context(&self) -> ScenarioContext {
        ScenarioContext {
            scenario: self.scenario.clone(),
            repeat: self.repeat,
            backend: self.backend.clone(),
            environment: self.environment.clone(),
            fingerprint: self.fingerprint.clone(),
            run_seed: self.run_seed,
            set: self.set.clone(),
            configuration: self.configuration.clone(),
        }
    }
}

/// `run.json`: all scenarios of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    pub schema_version: u32,
    pub run_id: String,
    pub started_at: String,
    pub duration_s: f64,
    pub verdict: Verdict,
    /// What the command exits with.
    pub exit_code: u8,
    pub backend: Option<BackendInfo>,
    pub seaworthy_version: String,
    pub scenarios: Vec<RunEntry>,
    /// Selected, but not run: the backend cannot.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

/// A scenario that the backend cannot run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    pub name: String,
    pub path: String,
    pub reason: String,
}

/// One repeat of one scenario within a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEntry {
    pub name: String,
    pub path: Option<String>,
    pub repeat: u32,
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    /// Relative to the run folder.
    pub folder: String,
}
