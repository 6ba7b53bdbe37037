//! What must be equal for two runs' figures to be comparable.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::plan::Plan;
use crate::report::BackendInfo;

/// SHA-256 of a scenario file, lower-case hexadecimal; `None`: it cannot be read any more.
pub(super) fn of_file(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| hex(&bytes))
}

/// Of everything that decides a recovery time and is not being compared by accident: the resolved plan without its
/// texts, the backend and its images.
pub(super) fn of_run(plan: &Plan, backend: &BackendInfo) -> String {
    let mut plan = plan.clone();
    plan.summary.clear();
    plan.tags.clear();
    let images: Vec<_> = backend.images.iter().map(|image| (&image.name, &image.id)).collect();
    hex(serde_json::json!([plan, backend.kind, backend.kafka_version, images]).to_string().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
