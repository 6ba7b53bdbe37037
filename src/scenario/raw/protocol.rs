//! Names of Kafka's protocol that a scenario may use.

use crate::plan::REQUEST_NAMES;
use crate::resilience::classify::{all_codes, error_name};

/// Requests whose answers can be replaced by an error.
pub(in crate::scenario) const APIS: &[&str] = &REQUEST_NAMES;

/// Names of the brokers' errors, all but NONE: the codes that the classification knows.
pub(in crate::scenario) fn errors() -> Vec<&'static str> {
    all_codes().filter(|code| *code >= -1 && *code != 0).filter_map(error_name).collect()
}
