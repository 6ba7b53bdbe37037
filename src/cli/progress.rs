//! Progress of a run: a line that redraws itself on a terminal, plain lines elsewhere. Always on standard error.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::runner::{Events, RunEvent, Tick};
use crate::verdict::Verdict;

/// Where a run's events go: drawn, or written line by line; with their scenario's name where several run at a time.
pub(super) fn events(colour: bool, total: usize, at_a_time: usize) -> Events {
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    });
    let state = Mutex::new(State { started: 0, done: 0, total, several: at_a_time > 1 });
    Events::new(move |event| {
        let mut state = state.lock().unwrap_or_else(|e| e.into_inner());
        let line = state.line(&event, colour, bar.is_some());
        match (&bar, &event) {
            (Some(bar), RunEvent::Tick(tick)) => bar.set_message(tick_line(tick)),
            (Some(bar), _) => {
                if let Some(line) = line {
                    bar.println(line);
                }
                if matches!(event, RunEvent::ScenarioFinished { .. } | RunEvent::ScenarioError { .. }) {
                    bar.set_message(String::new());
                }
                if state.done == state.total {
                    bar.finish_and_clear();
                }
            }
            (None, _) => {
                if let Some(line) = line {
                    super::tell(&line);
                }
            }
        }
    })
}

struct State {
    started: usize,
    done: usize,
    total: usize,
    several: bool,
}

impl State {
    fn line(&mut self, event: &RunEvent, colour: bool, terminal: bool) -> Option<String> {
        match event {
            RunEvent::ScenarioStarted { name, summary, repeat, expected } => {
                let again = if *repeat > 1 { format!(" (repeat {repeat})") } else { String::new() };
                let about = humantime::format_duration(Duration::from_secs(expected.as_secs()));
                self.started += 1;
                Some(format!("[{}/{}] {name}{again}: {summary} (about {about})", self.started, self.total))
            }
            RunEvent::Phase { name, phase, lasts } => {
                let lasts = lasts.map(|d| format!(" for {}", seconds(d)));
                (!terminal).then(|| format!("  {}{phase}{}", self.whose(name), lasts.unwrap_or_default()))
            }
            RunEvent::Note { name, text } => Some(format!("  {}{text}", self.whose(name))),
            // Without a terminal every fifth second's figures would still drown a log: phases are enough.
            RunEvent::Tick(_) => None,
            RunEvent::ScenarioFinished { name, verdict, headline, took, .. } => {
                self.done += 1;
                let whose = self.whose(name);
                Some(format!("  {whose}{} in {}: {headline}", painted(*verdict, colour), seconds(*took)))
            }
            RunEvent::ScenarioError { name, error, took } => {
                self.done += 1;
                Some(format!("  {}not judged after {}: {error}", self.whose(name), seconds(*took)))
            }
        }
    }

    fn whose(&self, name: &str) -> String {
        if self.several { format!("{name}: ") } else { String::new() }
    }
}

fn tick_line(tick: &Tick) -> String {
    let backlog = tick.backlog.map_or("?".to_owned(), |n| n.to_string());
    let since = tick.since_injection.map_or(String::new(), |d| format!("  +{:.0} s since injection", d.as_secs_f64()));
    let errors = tick.error_rate * 100.0;
    format!(
        "{}  {:<10} {:>6} acked/s  {errors:>4.1} % errors  backlog {backlog}{since}",
        tick.name, tick.phase, tick.rate
    )
}

fn seconds(d: Duration) -> String {
    format!("{:.1} s", d.as_secs_f64())
}

fn painted(verdict: Verdict, colour: bool) -> String {
    let code = match verdict {
        Verdict::Pass => "32",
        Verdict::Inconclusive => "33",
        Verdict::Fail => "31",
    };
    if colour { format!("\x1b[1;{code}m{verdict}\x1b[0m") } else { verdict.to_string() }
}
