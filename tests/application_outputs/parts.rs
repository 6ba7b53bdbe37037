//! Several effects for a record, or none on purpose.

use super::Ran;

const OBSERVATION: &str = "[observation]\non-time = \"1s\"\n";

/// No broker takes a record for 3 s, while reading goes on: whatever is written meanwhile has to be tried again, wherever the
/// application was when it began. (A cut of the output's leader cuts its input off, too: between two batches it would lose
/// nothing.)
const REFUSED: &str = r#"
[[fault]]
at = "0s"
lasts = "3s"
broker-errors = { api = "produce", error = "NOT_ENOUGH_REPLICAS", rate = 1.0 }
"#;

fn run(flags: &[&str], subject: &str, fault: &str) -> Ran {
    super::run(flags, subject, &format!("{OBSERVATION}{fault}"))
}

#[test]
fn a_fan_out_that_writes_every_part_passes_while_brokers_refuse_records() {
    let ran = run(&["--parts", "3"], "effects = 3", REFUSED);
    assert_eq!((ran.exit, ran.fatal(), ran.note()), (Some(0), vec![], String::new()), "{}", ran.told);
    assert!(ran.count("effects") > 500 && ran.count("effects") >= ran.count("acked"), "{}", ran.told);
    let history = ran.history();
    for part in 0..3 {
        let effects = history.lines().filter(|line| line.contains(&format!("\"part\":{part}")));
        assert!(effects.count() as u64 >= ran.count("effects"), "part {part}");
    }
    ran.is_judged_again_the_same();
}

#[test]
fn a_fan_out_that_does_not_wait_for_its_later_parts_loses_them_while_brokers_refuse_records() {
    let ran = run(&["--parts", "3", "--unawaited-parts"], "effects = 3", REFUSED);
    let (fatal, note) = (ran.fatal(), ran.note());
    assert_eq!((ran.exit, &fatal[..]), (Some(1), &["lost-in-app"][..]), "{}", ran.told);
    assert!(note.contains("without part ") && note.contains("of the 3 effects"), "{note}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_fan_out_that_the_scenario_does_not_know_of_is_so_many_duplicates() {
    let ran = run(&["--parts", "2"], "exactly-once = true", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["duplicate-effect"]), "{}", ran.told);
}

#[test]
fn a_part_too_many_is_unexpected() {
    let ran = run(&["--parts", "3"], "effects = 2", "");
    let (fatal, note) = (ran.fatal(), ran.note());
    assert_eq!((ran.exit, &fatal[..]), (Some(1), &["unexpected"][..]), "{}", ran.told);
    assert!(note.contains("an effect of part 2, and its 2 parts are 0 to 1"), "{note}");
}

#[test]
fn a_filter_that_leaves_out_what_it_is_to_leave_out_passes() {
    // All keys of one topic partition are among them: nothing is owed there.
    let ran = run(&["--drop", "k3,k9,k15,k4"], "drops = [\"k3\", \"k9\", \"k15\", \"k4\"]", "");
    assert_eq!((ran.exit, ran.fatal(), ran.note()), (Some(0), vec![], String::new()), "{}", ran.told);
    let (filtered, effects) = (ran.count("filtered"), ran.count("effects"));
    // A quarter of the keys.
    assert!(effects > 2 * filtered && filtered > effects / 5, "{filtered} left out, {effects} served");
    assert_eq!(filtered + effects, ran.count("acked"));
    let told = ran.rechecked("human");
    assert!(told.contains(&format!("{filtered} left out on purpose")), "{told}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_filter_that_serves_what_it_is_to_leave_out_is_caught() {
    let ran = run(&["--drop", "k3"], "drops = [\"k3\", \"k4\"]", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["filtered-but-served"]), "{}", ran.told);
    let examples = ran.anomaly("filtered-but-served").expect("it was found")["examples"].as_array().expect("some");
    assert!(examples.iter().all(|example| example["key"] == "k4"), "{examples:?}");
    ran.is_judged_again_the_same();
}

#[test]
fn a_filter_that_leaves_out_more_than_it_may_loses_it() {
    let ran = run(&["--drop", "k3,k5"], "drops = [\"k3\"]", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["lost-in-app"]), "{}", ran.told);
    let examples = ran.anomaly("lost-in-app").expect("it was found")["examples"].as_array().expect("some");
    assert!(examples.iter().all(|example| example["key"] == "k5"), "{examples:?}");
}
