//! A good scenario on a backend that cannot do all of it: said while planning.

use super::document::Document;
use crate::diagnostic::{Diagnostic, Source, codes};
use crate::plan::{BackendKind, Capabilities, Capability, Plan};

/// Headers, checksum and framing of a record, beside its value.
const BYTES_BESIDE_THE_VALUE: u64 = 100;

/// What the backend cannot do of the plan; empty if it can run it. Without the places in the file: see [`check_in`].
pub fn check(plan: &Plan, capabilities: &Capabilities) -> Vec<Diagnostic> {
    problems(plan, capabilities).into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

/// As [`check`], with the places in the file (and the overrides) that the plan was made of.
pub fn check_in(
    source: &Source,
    overrides: &[(String, String)],
    plan: &Plan,
    capabilities: &Capabilities,
) -> Vec<Diagnostic> {
    let Ok(document) = Document::parse(source, overrides) else { return check(plan, capabilities) };
    let placed = |(path, diagnostic): (Vec<String>, Diagnostic)| {
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        document.place(&keys).mark(diagnostic)
    };
    problems(plan, capabilities).into_iter().map(placed).collect()
}

/// A warning if no backend of this version that the file allows can run the plan.
pub fn check_anywhere(source: &Source, overrides: &[(String, String)], plan: &Plan) -> Option<Diagnostic> {
    let allowed = BackendKind::RUNNABLE.into_iter().filter(|b| plan.requires.is_empty() || plan.requires.contains(b));
    let mut lacks = Vec::new();
    let mut place = vec!["requires".to_owned()];
    for backend in allowed {
        let problems = problems(plan, &Capabilities::of(backend));
        let (path, first) = problems.first()?;
        place.clone_from(path);
        lacks.push(first.message.clone());
    }
    if lacks.is_empty() {
        lacks.push("none that this version has is in `requires`".into());
    }
    let impossible = plan.needs().into_iter().find(|need| able(need.capability).is_empty());
    let instead = impossible.map(|need| remedy(need.capability));
    let diagnostic = Diagnostic::warning(codes::NO_BACKEND, "no backend of this version can run this scenario")
        .label("expected something that one of them can do")
        .help(lacks.into_iter().chain(instead).collect::<Vec<_>>().join("; "));
    let Ok(document) = Document::parse(source, overrides) else { return Some(diagnostic) };
    let keys: Vec<&str> = place.iter().map(String::as_str).collect();
    Some(document.place(&keys).mark(diagnostic))
}

fn able(capability: Capability) -> Vec<BackendKind> {
    BackendKind::RUNNABLE.into_iter().filter(|b| Capabilities::of(*b).can.contains(&capability)).collect()
}

/// Who can do it, or what can be done instead.
fn remedy(capability: Capability) -> String {
    let able = able(capability);
    match (able.first(), capability) {
        (Some(first), _) => {
            let flags: Vec<String> = able.iter().map(|b| format!("--backend {b}")).collect();
            format!("choose {}, and say so in the file: requires = [\"{first}\"]", flags.join(" or "))
        }
        (None, Capability::BrokerLinkEffects) => {
            "between brokers only effect = \"blackhole\" in both directions can be made".to_owned()
        }
        (None, _) => "no backend of this version can".to_owned(),
    }
}

fn problems(plan: &Plan, capabilities: &Capabilities) -> Vec<(Vec<String>, Diagnostic)> {
    let backend = capabilities.backend;
    let mut problems = Vec::new();
    if !plan.requires.is_empty() && !plan.requires.contains(&backend) {
        let wanted: Vec<String> = plan.requires.iter().map(ToString::to_string).collect();
        let wanted = wanted.join(" or ");
        let diagnostic =
            Diagnostic::error(codes::BACKEND_NOT_REQUIRED, format!("`{}` is not for backend {backend}", plan.name))
                .label(format!("expected backend {wanted}"))
                .help(format!("run it with --backend {}", plan.requires[0]));
        problems.push((vec!["requires".into()], diagnostic));
    }
    for need in plan.needs() {
        if capabilities.can.contains(&need.capability) {
            continue;
        }
        let (path, what) = match need.fault {
            Some(index) => {
                let fault = &plan.faults[index];
                let path = vec!["fault".into(), index.to_string(), fault.kind.name().into()];
                (path, format!("for `{}`", fault.label))
            }
            None => (vec!["cluster".into()], "for [cluster]".into()),
        };
        let name = need.capability.name();
        let diagnostic = Diagnostic::error(
            codes::UNSUPPORTED_BY_BACKEND,
            format!("backend {backend} has no {name}, which is needed {what}"),
        )
        .label(format!("expected a backend with {name}"))
        .help(remedy(need.capability));
        problems.push((path, diagnostic));
    }
    if let Some(limit) = capabilities.bytes_per_topic_partition {
        let load = &plan.workload;
        let records = f64::from(load.rate) * plan.load_time().as_secs_f64();
        let each = (load.size as u64).saturating_add(BYTES_BESIDE_THE_VALUE) as f64;
        // The output topic holds as much for every effect.
        let effects = if plan.subject.sink().is_topic() { f64::from(plan.subject.owed().effects) } else { 1.0 };
        let bytes = records * each * effects / f64::from(plan.topic.partitions.max(1));
        if bytes > limit as f64 {
            let diagnostic = Diagnostic::error(
                codes::WORKLOAD_TOO_LARGE,
                format!(
                    "backend {backend} keeps {:.0} MiB of a topic partition, and {:.0} MiB would be written",
                    limit as f64 / (1 << 20) as f64,
                    (bytes / (1 << 20) as f64).ceil()
                ),
            )
            .label("expected less data")
            .help("lower `rate` or `size`, raise `partitions`, or run it on containers");
            problems.push((vec!["workload".into(), "rate".into()], diagnostic));
        }
    }
    problems
}
