//! Every file in `scenarios/` is a test.

fn main() -> std::process::ExitCode {
    seaworthy::testing::run_scenarios(&["scenarios"])
}
