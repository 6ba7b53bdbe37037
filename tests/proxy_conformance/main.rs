//! One body of facts about a fault proxy, held against ours always, and against the real Toxiproxy where an engine answers.
//!
//! Where the two differ on purpose, `differences` asserts both sides; `docs/fault-proxy.md` has the table. Delays are
//! bounded from below only. Without an engine the real one's trials are ignored, and say so; with
//! `SEAWORTHY_REQUIRE=containers` they fail.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::proxy::FaultProxy;

mod api;
mod control;
mod differences;
mod driver;
mod heals;
mod real;
mod support;
mod toxics;

use support::{Bench, Outcome, Which};

/// One named fact.
pub struct Case {
    name: String,
    on: &'static [Which],
    body: Box<dyn Fn(&Bench) -> Outcome + Send>,
}

const BOTH: &[Which] = &[Which::Ours, Which::Toxiproxy];
const OURS: &[Which] = &[Which::Ours];

pub fn case(name: impl Into<String>, body: impl Fn(&Bench) -> Outcome + Send + 'static) -> Case {
    Case { name: name.into(), on: BOTH, body: Box::new(body) }
}

/// What cannot be asked of Toxiproxy, or what it does at random.
pub fn ours(name: impl Into<String>, body: impl Fn(&Bench) -> Outcome + Send + 'static) -> Case {
    Case { name: name.into(), on: OURS, body: Box::new(body) }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(e) => panic!("no runtime: {e}"),
    };
    let required =
        std::env::var("SEAWORTHY_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r.trim() == "containers"));
    let engine = runtime.block_on(real::engine());
    if let (Err(e), false, false) = (&engine, required, arguments.list) {
        eprintln!(
            "\n!!! IGNORED: {e}\n!!! The real Toxiproxy is not compared with ours. SEAWORTHY_REQUIRE=containers makes this fail.\n"
        );
    }
    let ours = match runtime.block_on(FaultProxy::start(1)) {
        Ok(ours) => ours,
        Err(e) => panic!("no fault proxy: {e}"),
    };
    let container = Arc::new(real::Lazy::new(runtime.clone(), engine.clone()));
    let control = ours.control();

    let cases =
        [api::cases(), toxics::cases(), heals::cases(), control::cases(), differences::cases(), driver::cases()];
    let mut trials = Vec::new();
    for Case { name, on, body } in cases.into_iter().flatten() {
        let body = Arc::new(std::sync::Mutex::new(body));
        for which in on.iter().copied() {
            let (runtime, container, body) = (runtime.clone(), container.clone(), body.clone());
            let ignored = which == Which::Toxiproxy && engine.is_err() && !required;
            let trial = Trial::test(format!("{}::{name}", which.name()), move || {
                let control: SocketAddr = match which {
                    Which::Ours => control,
                    Which::Toxiproxy => container.control().map_err(Failed::from)?,
                };
                let bench = Bench::new(which, control, runtime);
                let body = body.lock().unwrap_or_else(|e| e.into_inner());
                body(&bench).map_err(|e| Failed::from(e.to_string()))
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    container.stop();
    drop(ours);
    conclusion.exit_code()
}
