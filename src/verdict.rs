//! Pass, inconclusive, fail: a lattice in which a failure outweighs a doubt and a doubt outweighs a pass.

use serde::{Deserialize, Serialize};

/// What a run proved. Ordered: the greater of two is the verdict of both together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both promises were kept, and the run could have shown otherwise.
    Pass,
    /// The run could not have shown a broken promise, or not all of it was seen.
    Inconclusive,
    /// A promise was broken.
    Fail,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        })
    }
}

/// Why the verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Reason {
    /// An anomaly's, a budget's or a doubt's name, kebab-case.
    pub code: String,
    /// One sentence with the number.
    pub message: String,
}
