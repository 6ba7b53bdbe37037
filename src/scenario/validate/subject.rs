//! Rules about the application under test: what it can be asked for, and what it can be told.

use std::collections::BTreeSet;

use super::{At, Rules};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::plan::{FROM, FaultKind, ForeignPlan, PLACEHOLDERS, Ready, SubjectKind, WorkloadPlan, placeholders};
use crate::scenario::raw::FOREIGN_KEYS;

pub(super) fn check(rules: &Rules) {
    let subject = &rules.plan.subject;
    if !rules.trusts(&["subject.kind"]) {
        return;
    }
    match subject.kind {
        SubjectKind::Process => foreign(rules, "a process"),
        SubjectKind::Container => foreign(rules, "a container"),
        SubjectKind::Custom => {
            for key in ["command", "image"] {
                no_effect(rules, key, "a custom subject is given in Rust");
            }
            foreign(rules, "a custom subject");
        }
        SubjectKind::Pipeline => {
            for key in FOREIGN_KEYS {
                no_effect(rules, key, "it belongs to subjects of one's own (process, container, custom)");
            }
        }
    }
    unknown_signals(rules);
    if subject.kind != SubjectKind::Pipeline && subject.defect.is_some() {
        rules.no_effect("subject.defect", "only the built-in pipeline has defects on request".into());
    }
    idle_members(rules);
}

fn no_effect(rules: &Rules, key: &str, because: &str) {
    let path = format!("subject.{key}");
    if rules.given(&path) && rules.trusts(&[&path]) {
        rules.no_effect(&path, because.to_owned());
    }
}

/// `it`: what the kind is, in a sentence.
fn foreign(rules: &Rules, it: &str) {
    for key in ["profile", "settings"] {
        no_effect(rules, key, "they are settings of the built-in pipeline");
    }
    if rules.plan.subject.kind == SubjectKind::Process {
        no_effect(rules, "image", "`image` belongs to subjects of kind container");
    }
    if let Some(foreign) = &rules.plan.subject.foreign {
        unknown_placeholders(rules, foreign);
        drops(rules, foreign);
    }
    for (index, fault) in rules.plan.faults.iter().enumerate() {
        if matches!(fault.kind, FaultKind::HandlerErrors { .. }) {
            rules.report(
                &format!("{}.handler-errors", rules.fault_path(index)),
                Diagnostic::error(
                    codes::UNSUPPORTED_BY_SUBJECT,
                    format!("{it} has no chaos engine that could be told to fail its handler's calls"),
                )
                .label("expected a fault from outside")
                .help("cut, kill or slow what the handler depends on, or use `poison`: records that it cannot process"),
            );
        }
    }
    if !rules.plan.expect.breaker.is_empty() {
        rules.report(
            "expect.breaker",
            Diagnostic::error(codes::UNSUPPORTED_BY_SUBJECT, format!("{it} tells nobody the state of its breaker"))
                .label("expected nothing that only the built-in pipeline tells"),
        );
    }
}

/// Where the URL of an endpoint with effects stands.
const SINK: &str = "subject.sink.http";

fn unknown_placeholders(rules: &Rules, foreign: &ForeignPlan) {
    let arguments = foreign.command.iter().map(|text| ("subject.command".to_owned(), text));
    let variables = foreign.env.iter().map(|(name, text)| (format!("subject.env.{name}"), text));
    let url = match &foreign.ready {
        Ready::Http { url, .. } => Some(("subject.ready.http".to_owned(), url)),
        Ready::GroupStable(_) | Ready::Line { .. } => None,
    };
    let metrics = foreign.metrics.as_ref().map(|metrics| ("subject.metrics.url".to_owned(), &metrics.url));
    let sink = foreign.sink.url().map(str::to_owned);
    let sink = sink.as_ref().map(|url| (SINK.to_owned(), url));
    for (path, text) in arguments.chain(variables).chain(url).chain(metrics).chain(sink) {
        let also = Some(FROM).filter(|_| path == SINK);
        let known: Vec<&str> = PLACEHOLDERS.iter().map(|(name, _)| *name).chain(also).collect();
        for name in placeholders(text) {
            if known.contains(&name) {
                continue;
            }
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => {
                    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                    format!("there are {}", known.join(", "))
                }
            };
            let diagnostic = Diagnostic::error(codes::UNKNOWN_PLACEHOLDER, format!("`{{{name}}}` stands for nothing"))
                .label("expected a known placeholder")
                .help(help);
            rules.report(&path, diagnostic);
        }
    }
}

fn unknown_signals(rules: &Rules) {
    if !rules.trusts(&["subject.metrics", "expect.signals"]) {
        return;
    }
    let metrics = rules.plan.subject.foreign.as_ref().and_then(|foreign| foreign.metrics.as_ref());
    let known: Vec<&str> = metrics.into_iter().flat_map(|metrics| metrics.signals.keys().map(String::as_str)).collect();
    for name in rules.plan.expect.signals.keys().filter(|name| !known.contains(&name.as_str())) {
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                format!("declare it: [subject.metrics] url = \"http://…\", signals = {{ {name} = \"a_metric_total\" }}")
            }
            None => format!("there are {}", known.join(", ")),
        };
        let diagnostic = Diagnostic::error(codes::UNKNOWN_SIGNAL, format!("no metric becomes the signal `{name}`"))
            .label("expected a name from [subject.metrics] signals")
            .help(help);
        rules.at_property("expect.signals", name, At::Name, diagnostic);
    }
}

fn drops(rules: &Rules, foreign: &ForeignPlan) {
    let load = &rules.plan.workload;
    if !rules.trusts(&["subject.drops", "workload.keys"]) {
        return;
    }
    let last = WorkloadPlan::record_key(load.keys.saturating_sub(1));
    let mut dropped = BTreeSet::new();
    for (index, key) in foreign.drops.iter().enumerate() {
        if let Some(number) = load.number_of(key) {
            dropped.insert(number);
            continue;
        }
        let digits: String = key.chars().filter(char::is_ascii_digit).collect();
        let near = digits.parse().map(|number: u32| WorkloadPlan::record_key(number.min(load.keys.saturating_sub(1))));
        let near = near.map_or("expected a key such as \"k0\"".to_owned(), |near| format!("expected \"{near}\"?"));
        let message = format!("no record has the key `{key}`");
        let diagnostic = Diagnostic::error(codes::UNKNOWN_RECORD_KEY, message)
            .label(near)
            .help(format!("[workload] keys = {} makes the keys k0 to {last}", load.keys));
        rules.report(&format!("subject.drops.{index}"), diagnostic);
    }
    if dropped.len() == load.keys as usize {
        let message = format!("all {} keys of the workload are left out", load.keys);
        let diagnostic = Diagnostic::error(codes::EVERYTHING_DROPPED, message)
            .label("expected fewer than all keys")
            .help("leave at least one key to be served: without an effect nothing is shown");
        rules.report("subject.drops", diagnostic);
    }
}

fn idle_members(rules: &Rules) {
    let (members, partitions) = (rules.plan.subject.members, rules.plan.topic.partitions);
    let known = rules.trusts(&["subject.members", "topic.partitions"]);
    if known && i64::from(members) > i64::from(partitions) {
        let path = if rules.given("subject.members") { "subject.members" } else { "topic.partitions" };
        rules.report(
            path,
            Diagnostic::warning(
                codes::IDLE_MEMBERS,
                format!("{members} members share {partitions} topic partitions: some have no work"),
            )
            .label("expected no more members than topic partitions"),
        );
    }
}
