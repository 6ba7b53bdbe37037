//! A mistake in a configuration value. All configurations of these components report their mistakes as a list of it.

/// One value that a configuration may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's name in a settings file, kebab-case, without its table.
    pub field: &'static str,
    /// What is wrong with it, with the value and the limit.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// Notes a mistake when `ok` is false.
    pub(crate) fn unless(ok: bool, mistakes: &mut Vec<Self>, field: &'static str, problem: impl FnOnce() -> String) {
        if !ok {
            mistakes.push(Self::new(field, problem()));
        }
    }
}

/// True for a share: a number from 0 to 1, both included.
pub(crate) fn is_share(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}
