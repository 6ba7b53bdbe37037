//! One scenario inside one test function of the usual test harness.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::{Bench, BenchOutcome, REQUIRE_ENV, become_member, containers_required, is_member, passed, role};
use crate::plan::BackendKind;
use crate::runner::ScenarioOutcome;
use crate::scenario;
use crate::subject::Surroundings;

/// One scenario file as part of a test, with the usual harness and `#[tokio::test]` (or none: [`run`](Self::run) needs no
/// particular runtime):
///
/// ```no_run
/// use seaworthy::testing::{NotPassed, ScenarioTest};
///
/// #[tokio::test]
/// async fn orders_survive_a_partition() -> Result<(), NotPassed> {
///     let outcome = ScenarioTest::of("scenarios/network-partition.toml").run().await?;
///     assert_eq!(outcome.result.integrity.duplicates_in_log, 0);
///     Ok(())
/// }
/// ```
///
/// It runs on containers where a Docker engine answers, else as a rehearsal on the embedded backend, unless
/// [`backend`](Self::backend) says where. All tests of one program share a cluster and take turns on containers.
///
/// Members and mock clusters are this program, started again; they take over before its `main`, so that no `main` of one's own
/// is needed (Linux, macOS).
#[must_use = "nothing happens before `run`"]
pub struct ScenarioTest<'member> {
    file: PathBuf,
    backend: Option<BackendKind>,
    member: Option<Member<'member>>,
}

type Member<'a> = Box<dyn FnOnce(Surroundings) -> Result<(), String> + Send + 'a>;

/// Why a scenario did not pass: its block of the report, or why it could not be run. Shown as it is by a test that returns it.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct NotPassed(String);

impl std::fmt::Debug for NotPassed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What `Result` in a test, and `unwrap`, print.
        std::fmt::Display::fmt(self, formatter)
    }
}

impl<'member> ScenarioTest<'member> {
    /// The file's path from where tests run, which is the folder of the package.
    pub fn of(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), backend: None, member: None }
    }

    /// This backend, and no other. Default: containers where an engine answers or `SEAWORTHY_REQUIRE=containers` is set, else
    /// embedded.
    pub fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = Some(backend);
        self
    }

    /// A service of one's own, for a scenario of `kind = "custom"`: the whole life of one member, on a thread of its own, in a
    /// process of its own, which ends with it. That process is this test, begun again: what stands before the first
    /// [`run`](Self::run) in the test's function is run in each member, too, and a test has one service.
    pub fn member<E: std::fmt::Display>(
        mut self,
        member: impl FnOnce(Surroundings) -> Result<(), E> + Send + 'member,
    ) -> Self {
        self.member = Some(Box::new(move |told| member(told).map_err(|error| error.to_string())));
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// Any verdict but pass; and a file that is invalid, a backend that cannot carry it or is not to be had.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the run to go on in the background to its end.
    pub async fn run(self) -> Result<ScenarioOutcome, NotPassed> {
        let custom = match self.member {
            None if is_member() => {
                return Err(NotPassed(
                    "a member was started, and its test runs another scenario first: give that one a test of its own"
                        .to_owned(),
                ));
            }
            None => None,
            Some(member) => {
                // Here nothing may be awaited, and a member may want a runtime of its own.
                std::thread::scope(|scope| scope.spawn(|| become_member(member)).join())
                    .map_err(|_| NotPassed("the member panicked".to_owned()))?;
                Some(of_this_test()?)
            }
        };
        let (file, backend) = (self.file, self.backend);
        let run = tokio::task::spawn_blocking(move || {
            static BENCH: OnceLock<Bench> = OnceLock::new();
            let bench = BENCH.get_or_init(Bench::new);
            on(bench, file, backend, custom)
        });
        run.await.map_err(|error| NotPassed(format!("the run's thread: {error}")))?.map_err(NotPassed)
    }
}

fn on(bench: &Bench, file: PathBuf, backend: Option<BackendKind>, custom: Option<Vec<String>>) -> BenchOutcome {
    let plan = scenario::load(&file).map_err(|invalid| invalid.render(false))?;
    let backend = backend.unwrap_or_else(|| match bench.engine() {
        Err(_) if !containers_required() => BackendKind::Embedded,
        _ => BackendKind::Containers,
    });
    if let Some(reason) = Bench::cannot(&plan, backend) {
        let next = match backend {
            BackendKind::Embedded => format!("run it where a Docker engine answers, and with {REQUIRE_ENV}=containers"),
            _ => "choose another backend".to_owned(),
        };
        return Err(format!("{}: the backend {backend} cannot carry it: {reason}; {next}", file.display()));
    }
    passed(bench.run_as(file, plan, backend, custom)?)
}

/// How this program is started to do the calling test alone. The harness names a test's thread by the test.
fn of_this_test() -> Result<Vec<String>, NotPassed> {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").ok_or_else(|| {
        NotPassed(
            "a member is this test, begun again, and its name is not known here: call `run` on the test's own thread, of which \
             the body of a #[tokio::test] is part, and not in a task"
                .to_owned(),
        )
    })?;
    let arguments = ["--exact", test, "--nocapture", "--include-ignored"];
    Ok(arguments.map(str::to_owned).to_vec())
}

/// In the usual harness `main` is not ours, and what it writes would stand before the first line of a member's.
#[ctor::ctor(unsafe)]
fn before_main() {
    if let Some(life) = role() {
        // As the runtime would have done: a closed connection is an error and not the end.
        // SAFETY: nothing else runs yet.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        life();
    }
}
