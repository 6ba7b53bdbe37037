//! What the process tells its caller. The numbers are a promise to CI scripts (README, "Exit codes").

use crate::verdict::Verdict;

/// Exit codes of the `seaworthy` command, one per outcome that a script would treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCode {
    /// 0: every selected scenario passed.
    Passed,
    /// 1: an integrity claim or a budget was broken.
    Failed,
    /// 2: nothing was proved: no traffic, no healthy baseline, a fault without effect, a truncated read.
    Inconclusive,
    /// 3: `compare --gate` found a regression.
    Regressed,
    /// 4: no scenario matched the selection.
    NothingSelected,
    /// 64: wrong usage, or an invalid scenario, history or run folder.
    Usage,
    /// 69: the environment is unavailable: no Docker engine, no image, a broker that never became ready.
    Unavailable,
    /// 70: a defect in Seaworthy itself.
    Internal,
    /// 130: interrupted by a signal, after healing and cleaning up.
    Interrupted,
}

impl ExitCode {
    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Inconclusive => 2,
            Self::Regressed => 3,
            Self::NothingSelected => 4,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    /// Of several scenarios' codes the one to exit with: interrupted, then internal, then
    /// fail > environment > inconclusive > pass.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        codes.into_iter().max_by_key(|code| code.rank()).unwrap_or(Self::NothingSelected)
    }

    const fn rank(self) -> u8 {
        match self {
            Self::NothingSelected => 0,
            Self::Passed => 1,
            Self::Regressed => 2,
            Self::Inconclusive => 3,
            Self::Unavailable => 4,
            Self::Failed => 5,
            Self::Usage => 6,
            Self::Internal => 7,
            Self::Interrupted => 8,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Fail => Self::Failed,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::*;
    use super::*;

    #[test]
    fn the_worst_of_several_scenarios_wins() {
        assert_eq!(ExitCode::worst([Passed, Inconclusive, Passed]), Inconclusive);
        assert_eq!(ExitCode::worst([Unavailable, Inconclusive]), Unavailable);
        assert_eq!(ExitCode::worst([Failed, Unavailable]), Failed);
        assert_eq!(ExitCode::worst([]), NothingSelected);
    }
}
