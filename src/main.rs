//! The `seaworthy` command.

fn main() -> std::process::ExitCode {
    seaworthy::testing::take_over();
    seaworthy::cli::main().into()
}
