//! Names of Kafka's protocol that a scenario may use.

use crate::resilience::classify::{all_codes, error_name};

/// Requests whose answers can be replaced by an error.
pub(in crate::scenario) const APIS: &[&str] = &[
    "produce",
    "fetch",
    "list-offsets",
    "metadata",
    "offset-commit",
    "offset-fetch",
    "find-coordinator",
    "join-group",
    "heartbeat",
    "leave-group",
    "sync-group",
    "create-topics",
    "init-producer-id",
    "add-partitions-to-txn",
    "add-offsets-to-txn",
    "end-txn",
    "txn-offset-commit",
    "consumer-group-heartbeat",
];

/// Names of the brokers' errors, all but NONE: the codes that the classification knows.
pub(in crate::scenario) fn errors() -> Vec<&'static str> {
    all_codes().filter(|code| *code >= -1 && *code != 0).filter_map(error_name).collect()
}
