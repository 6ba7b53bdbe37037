//! What `seaworthy plan` prints, as recorded in `snapshots/`.

#![cfg(feature = "harness")]

use seaworthy::diagnostic::Source;
use seaworthy::scenario;

fn rendered(name: &str, text: &str) -> String {
    let (plan, _) = scenario::parse(&Source::new(format!("{name}.toml"), text)).unwrap();
    plan.render(100)
}

fn recorded(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("plan-{name}"), rendered(name, text)));
}

#[test]
fn a_plan_shows_every_number_that_decides_a_verdict() {
    let name = "leader-network-partition";
    recorded(name, include_str!("../src/scenario/tests/leader-network-partition.toml"));
}

#[test]
fn a_plan_of_every_fault_shows_each() {
    recorded("every-fault", include_str!("../src/scenario/tests/every-fault.toml"));
}

#[test]
fn a_control_run_says_that_it_is_one() {
    recorded("control", "name = \"control\"");
}

#[test]
fn no_line_is_wider_than_the_terminal_because_of_a_bar() {
    let (plan, _) = scenario::parse(&Source::new("control.toml", "name = \"control\"")).unwrap();
    for width in [0, 30, 80, 500] {
        let bar = plan.render(width).lines().find(|l| l.contains("====")).map(str::len);
        assert!(bar.is_some_and(|length| length <= width.clamp(40, 120)), "{width}: {bar:?}");
    }
}
