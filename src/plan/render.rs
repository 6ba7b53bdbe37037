//! A plan for people: what `seaworthy plan` prints. Everything that decides a verdict is in it.

use std::fmt::Write;
use std::time::Duration;

use super::{
    Between, Direction, FaultKind, FaultPlan, Limit, MemberSelector, PART_HEADER, Plan, ProgressOf, Since, StepAction,
    Timeline, floors,
};

mod page;

use page::{coloured, ruler, wrapped};

/// A duration as it is written in a scenario, exactly: "250ms", "1.5s", "1m 30s".
pub fn duration_text(d: Duration) -> String {
    let nanos = d.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    if nanos < 1_000_000 {
        return format!("{}us", nanos as f64 / 1e3);
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", nanos as f64 / 1e6);
    }
    let (hours, minutes) = (d.as_secs() / 3_600, d.as_secs() / 60 % 60);
    let seconds = (nanos % 60_000_000_000) as f64 / 1e9;
    let mut parts = Vec::new();
    if hours > 0 {
        parts.push(format!("{hours}h"));
    }
    if minutes > 0 {
        parts.push(format!("{minutes}m"));
    }
    if seconds > 0.0 {
        parts.push(format!("{seconds}s"));
    }
    parts.join(" ")
}

/// One phase of a run and how long it is expected to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseLength {
    /// The phase.
    pub name: &'static str,
    /// Expected, or at most.
    pub length: Duration,
    /// Ends as soon as it can; `length` is its deadline.
    pub at_most: bool,
}

impl Plan {
    /// The phases between a cluster that is up and its teardown.
    pub fn phases(&self) -> Vec<PhaseLength> {
        let timeline = Timeline::of(self);
        let fixed = |name, length| PhaseLength { name, length, at_most: false };
        let last = timeline.steps.last().map_or(Duration::ZERO, |step| step.at);
        vec![
            fixed("warm-up", self.workload.warm_up),
            fixed("baseline", self.workload.baseline),
            fixed("faults", last),
            fixed("settle", timeline.load_stops.saturating_sub(last)),
            PhaseLength { name: "quiesce", length: self.observation.quiesce, at_most: true },
            PhaseLength { name: "final read", length: self.observation.final_read, at_most: true },
        ]
    }

    /// How long one run of it has load, from the start of the warm-up.
    pub fn load_time(&self) -> Duration {
        self.workload.warm_up + self.workload.baseline + Timeline::of(self).load_stops
    }

    /// The resolved plan as text, for a terminal of `width` columns: longer lines are broken between words.
    pub fn render(&self, width: usize) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, width);
        let wide = width.max(page::NARROWEST);
        out.lines().map(|line| wrapped(line, wide) + "\n").collect()
    }

    /// As [`Plan::render`], with headings and the timeline in colour.
    pub fn render_coloured(&self, width: usize) -> String {
        self.render(width).lines().map(|line| coloured(line) + "\n").collect()
    }

    fn write(&self, out: &mut String, width: usize) -> std::fmt::Result {
        writeln!(out, "{}", self.name)?;
        if !self.summary.is_empty() {
            writeln!(out, "  {}", self.summary)?;
        }
        let (cluster, topic, load) = (&self.cluster, &self.topic, &self.workload);
        writeln!(out)?;
        let image = cluster.image.as_ref().map_or(String::new(), |image| format!(", image {image}"));
        let brokers = plural(cluster.brokers.into(), "broker");
        writeln!(out, "Cluster    {brokers}, Kafka {}{image}, {}", cluster.kafka, word(&cluster.isolation))?;
        for (key, value) in &cluster.config {
            writeln!(out, "             {key} = {value}")?;
        }
        writeln!(
            out,
            "Topic      {}: {}, {}, at least {} in sync; effects in {}, dead letters in {}",
            topic.name,
            plural(topic.partitions as u64, "topic partition"),
            plural(topic.replication as u64, "replica"),
            topic.min_insync_replicas,
            self.subject.sink().words(&topic.output()),
            topic.dead_letter()
        )?;
        writeln!(
            out,
            "Workload   {} records/s of {} B over {}, {} producer, {} % poison",
            load.rate,
            load.size,
            plural(load.keys.into(), "key"),
            word(&load.producer),
            load.poison * 100.0
        )?;
        let subject = &self.subject;
        let kind = word(&subject.kind);
        writeln!(out, "Subject    {kind}, {}, profile {}", plural(subject.members.into(), "member"), subject.profile)?;
        for (table, values) in [("settings", &subject.settings), ("client", &subject.client)] {
            for (key, value) in values {
                writeln!(out, "             {table}: {key} = {value}")?;
            }
        }
        let owed = subject.owed();
        if owed.effects > 1 {
            writeln!(out, "             effects: {} of each record, by the header {PART_HEADER}", owed.effects)?;
        }
        if !owed.drops.is_empty() {
            writeln!(out, "             drops: {}", owed.drops.join(", "))?;
        }
        if let Some(metrics) = subject.foreign.as_ref().and_then(|foreign| foreign.metrics.as_ref()) {
            for (name, series) in &metrics.signals {
                writeln!(out, "             signal: {name} = {series}, from {}", metrics.url)?;
            }
        }
        if let Some(defect) = subject.defect {
            writeln!(out, "             with a defect on purpose: {}", word(&defect))?;
        }
        self.write_phases(out)?;
        self.write_timeline(out, width)?;
        self.write_budgets(out)?;
        self.write_needs(out)
    }

    fn write_phases(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\nPhases")?;
        for phase in self.phases() {
            let bound = if phase.at_most { "at most " } else { "" };
            writeln!(out, "  {:<11}{bound}{}", phase.name, duration_text(phase.length))?;
        }
        let longest = self.load_time() + self.observation.quiesce + self.observation.final_read;
        writeln!(
            out,
            "  {:<11}{} of load, {} at the most, and the cluster's start",
            "total",
            duration_text(self.load_time()),
            duration_text(longest)
        )
    }

    fn write_timeline(&self, out: &mut String, width: usize) -> std::fmt::Result {
        let range = Timeline::phase_range(self);
        let later = match range.is_zero() {
            true => String::new(),
            false => format!(", up to {} later: drawn from the seed, a phase of the heartbeats", duration_text(range)),
        };
        writeln!(out, "\nTimeline   from the end of the baseline{later}")?;
        let timeline = Timeline::of(self);
        if self.faults.is_empty() {
            writeln!(out, "  no faults: a control run")?;
        }
        for step in &timeline.steps {
            let fault = &self.faults[step.fault];
            let round = fault.repeat.map_or(String::new(), |r| format!(" ({} of {})", step.round + 1, r.times));
            let at = duration_text(step.at);
            match step.action {
                StepAction::Inject => {
                    writeln!(out, "  {at:>8}  inject  {}{round}: {}", fault.label, describe(fault))?;
                }
                StepAction::Heal => writeln!(out, "  {at:>8}  heal    {}{round}", fault.label)?,
            }
        }
        writeln!(out, "  {:>8}  load off", duration_text(timeline.load_stops))?;
        self.write_bars(out, &timeline, width)
    }

    /// One line a fault: `#` while it is in force, `!` for what happens in an instant, then `~` as long as the recovery
    /// budget allows; below them the times.
    fn write_bars(&self, out: &mut String, timeline: &Timeline, width: usize) -> std::fmt::Result {
        let before = self.workload.baseline;
        let whole = before + timeline.load_stops;
        let margin = self.faults.iter().map(|f| f.label.len()).max().unwrap_or(0).max("baseline".len()) + 2;
        let columns = width.saturating_sub(margin + 3).clamp(20, 100);
        let column = |at: Duration| {
            let share = at.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            ((share * columns as f64) as usize).min(columns - 1)
        };
        writeln!(out)?;
        let mut bar = vec!['.'; columns];
        bar[..column(before)].fill('=');
        writeln!(out, "  {:<margin$}{}", "baseline", bar.iter().collect::<String>())?;
        let mut times = vec![Duration::ZERO, timeline.load_stops];
        for (index, fault) in self.faults.iter().enumerate() {
            let mut bar = vec!['.'; columns];
            for inject in timeline.steps.iter().filter(|s| s.fault == index && s.action == StepAction::Inject) {
                let from = column(before + inject.at);
                let heal =
                    |s: &&super::Step| s.fault == index && s.round == inject.round && s.action == StepAction::Heal;
                let heal = timeline.steps.iter().find(heal).map(|heal| heal.at);
                if let Some(limit) = self.budget.recovery {
                    let zero = match limit.since.unwrap_or(fault.kind.default_since()) {
                        Since::Inject => inject.at,
                        Since::Heal => heal.unwrap_or(inject.at),
                    };
                    bar[column(before + zero)..=column(before + zero + limit.within)].fill('~');
                }
                match heal {
                    // A broker or member that is gone is no harm that is held: others take over.
                    Some(heal) => bar[from..=column(before + heal)].fill('#'),
                    None => bar[from] = '!',
                }
                times.extend([Some(inject.at), heal].into_iter().flatten());
            }
            writeln!(out, "  {:<margin$}{}", fault.label, bar.iter().collect::<String>())?;
        }
        writeln!(out, "  {:<margin$}{}", "", ruler(&times, columns, |at| column(before + at)))?;
        let legend = if self.budget.recovery.is_some() && !self.faults.is_empty() {
            "# in force, ! an instant, ~ the recovery budget"
        } else if self.faults.is_empty() {
            "= the baseline; load goes on to the end"
        } else {
            "# in force, ! an instant"
        };
        writeln!(out, "  {:<margin$}{legend}", "")
    }

    fn write_budgets(&self, out: &mut String) -> std::fmt::Result {
        let budget = &self.budget;
        writeln!(out, "\nBudgets")?;
        let because = budget.because.as_ref().map_or(String::new(), |why| format!(" because {why}"));
        writeln!(out, "  {:<14}{}{because}", "lost", budget.lost)?;
        for (name, count) in [
            ("duplicates", budget.duplicates),
            ("redelivered", budget.redelivered),
            ("reordered", budget.reordered),
            ("dead-lettered", budget.dead_lettered),
        ] {
            if let Some(count) = count {
                writeln!(out, "  {name:<14}{count}")?;
            }
        }
        for (name, limit) in [
            ("recovery", budget.recovery),
            ("first-success", budget.first_success),
            ("outage", budget.outage),
            ("drain", budget.drain),
            ("detect", budget.detect),
        ] {
            if let Some(limit) = limit {
                writeln!(out, "  {name:<14}{}{}", duration_text(limit.within), self.since(name, limit))?;
            }
        }
        if let Some(progress) = budget.progress_during_fault {
            let which = match progress.of {
                ProgressOf::All => "in every topic partition",
                ProgressOf::Any => "in some topic partition",
            };
            let least = plural(progress.records, "record");
            writeln!(out, "  {:<14}at least {least} {which} while a fault is in force", "progress")?;
        }
        let watch = &self.observation;
        writeln!(
            out,
            "  {:<14}judged over {}, sends on time within {}, must hold for {}, watched for {}",
            "health",
            duration_text(watch.window),
            duration_text(watch.on_time),
            duration_text(watch.hold),
            duration_text(watch.after)
        )?;
        if !self.expect.breaker.is_empty() {
            writeln!(out, "  {:<14}breaker {}", "expected", self.expect.breaker.join(", then "))?;
        }
        for (what, kinds) in [
            ("alerts fired", &self.expect.alerts),
            ("alerts fired and resolved", &self.expect.alerts_resolved),
            ("dead letters with errors", &self.expect.dead_letter_errors),
        ] {
            if !kinds.is_empty() {
                writeln!(out, "  {:<14}{what}: {}", "expected", kinds.join(", "))?;
            }
        }
        if let Some(count) = self.expect.retries {
            writeln!(out, "  {:<14}at least {count} retries", "expected")?;
        }
        if let Some(count) = self.expect.dead_letters {
            writeln!(out, "  {:<14}at least {}", "expected", plural(count, "dead letter"))?;
        }
        let floors = floors(self);
        writeln!(out, "\nFloors     times that these timers do not allow to beat")?;
        if floors.is_empty() {
            writeln!(out, "  none that is certain")?;
        }
        for (index, fault) in self.faults.iter().enumerate() {
            let of_fault: Vec<_> = floors.iter().filter(|f| f.fault == index).collect();
            let Some(first) = of_fault.first() else { continue };
            let names: Vec<_> = of_fault.iter().map(|f| f.of.budget()).collect();
            writeln!(
                out,
                "  {:<14}{} for {}: {}",
                duration_text(first.least),
                names.join(", "),
                fault.label,
                first.sum
            )?;
        }
        Ok(())
    }

    fn since(&self, name: &str, limit: Limit) -> String {
        let from = |since| match since {
            Since::Inject => "from the injection",
            Since::Heal => "from the heal",
        };
        match limit.since {
            _ if name == "outage" => String::new(),
            Some(since) => format!(" {}", from(since)),
            None => {
                let mut defaults: Vec<_> = self.faults.iter().map(|f| from(f.kind.default_since())).collect();
                defaults.dedup();
                match defaults[..] {
                    [] => String::new(),
                    [one] => format!(" {one}"),
                    _ => " from each fault's own zero (injection or heal, by kind)".into(),
                }
            }
        }
    }

    fn write_needs(&self, out: &mut String) -> std::fmt::Result {
        let mut needs: Vec<_> = self.needs().into_iter().map(|need| need.capability).collect();
        needs.sort_unstable();
        needs.dedup();
        let names: Vec<_> = needs.iter().map(|c| c.name()).collect();
        writeln!(out, "\nNeeds      {}", if names.is_empty() { "nothing special".into() } else { names.join(", ") })?;
        if !self.requires.is_empty() {
            let kinds: Vec<_> = self.requires.iter().map(ToString::to_string).collect();
            writeln!(out, "           only on {}", kinds.join(", "))?;
        }
        Ok(())
    }
}

/// What a fault does, in a few words.
fn describe(fault: &FaultPlan) -> String {
    let restart = |after: &Option<Duration>| {
        after.map_or(String::new(), |after| format!(", started again after {}", duration_text(after)))
    };
    match &fault.kind {
        FaultKind::Network { cut, effect, direction, between } => {
            let direction = match direction {
                Direction::Both => "",
                Direction::Requests => ", requests only",
                Direction::Replies => ", replies only",
            };
            let who = match between {
                Between::ClientsBrokers => "clients",
                Between::Brokers => "other brokers",
            };
            format!("{who} cut off from {cut} ({}{direction})", word(effect))
        }
        FaultKind::SlowNetwork { target, latency, jitter, rate } => {
            let rate = rate.map_or(String::new(), |rate| format!(", {rate} B/s"));
            format!("slow network to {target}: {} ± {}{rate}", duration_text(*latency), duration_text(*jitter))
        }
        FaultKind::Kill { target, restart_after } => format!("kill {target}{}", restart(restart_after)),
        FaultKind::Stop { target, restart_after } => format!("stop {target}{}", restart(restart_after)),
        FaultKind::Pause { target } => format!("pause {target}"),
        FaultKind::RollingRestart { order, .. } => format!("restart every broker, {}", word(order)),
        FaultKind::MoveLeader { topic_partition, to: Some(to) } => {
            format!("move the leader of {topic_partition} to broker {to}")
        }
        FaultKind::MoveLeader { topic_partition, to: None } => format!("move the leader of {topic_partition}"),
        FaultKind::Member { action, member, restart_after } => {
            let member = match member {
                MemberSelector::Any => "any".into(),
                MemberSelector::Index(index) => index.to_string(),
            };
            format!("member {member}: {}{}", word(action), restart(restart_after))
        }
        FaultKind::HandlerErrors { rate, error, latency } => {
            let latency = match latency.is_zero() {
                true => String::new(),
                false => format!(", {} later", duration_text(*latency)),
            };
            format!("{} % of handler calls fail ({}{latency})", rate * 100.0, word(error))
        }
        FaultKind::BrokerErrors { api, error, rate, times } => {
            let how_many = match (rate, times) {
                (Some(rate), _) => format!("{} % of", rate * 100.0),
                (None, Some(times)) => format!("the next {times}"),
                (None, None) => "all".into(),
            };
            format!("{how_many} {api} requests answered {error}")
        }
        FaultKind::DeadLetterTopic { effect } => format!("dead-letter topic {}", word(effect)),
        FaultKind::Poison { rate } => format!("{} % of records are poison", rate * 100.0),
    }
}

/// A closed set's word as in the file.
fn word<T: serde::Serialize>(value: &T) -> String {
    toml::Value::try_from(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
