//! Effects elsewhere than in a topic.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;

use super::{Ran, port};

const OBSERVATION: &str = "[observation]\non-time = \"2s\"\nfinal-read = \"10s\"\n";

/// The only member dies, and is there again a second later: its session has to run out before it gets anything.
const CRASH: &str = r#"
[[fault]]
at = "0s"
member = { action = "crash", member = 0, restart-after = "1s" }
"#;

/// Effects a second after their records' commits are a second behind the load, always.
const LINE: &str = "ready = { line = \"ready\", within = \"60s\" }";

fn run(flags: &[&str], subject: &str, fault: &str) -> Ran {
    super::run(flags, subject, &format!("{OBSERVATION}{fault}"))
}

/// Its history's effects.
fn effects(ran: &Ran) -> Vec<Value> {
    let history = ran.history();
    let events = history.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["op"] == "effect").collect()
}

#[test]
fn effects_on_standard_output_are_all_there_after_a_crash() {
    let ran = run(&["--sink", "stdout"], "sink = \"stdout\"", CRASH);
    assert_eq!((ran.exit, ran.fatal()), (Some(0), vec![]), "{}", ran.told);
    assert!(ran.count("effects") > 500 && ran.count("effects") >= ran.count("acked"), "{}", ran.told);
    let effects = effects(&ran);
    for (place, effect) in effects.iter().enumerate() {
        assert_eq!((&effect["tp"], effect["offset"].as_u64()), (&"sink:stdout/0".into(), Some(place as u64)));
        assert!(effect["key"].is_string() && effect["seq"].is_u64() && effect["part"].is_null(), "{effect}");
    }
    // Measured by when the lines were read: from the crash on nobody served a record until the session had run out.
    let scopes = ran.result["recovery"]["scopes"].as_array().expect("scopes").iter();
    let scopes: Vec<&Value> = scopes.filter(|scope| scope["stream"] == "effect").collect();
    assert_eq!(scopes.len(), 6, "each topic partition of the input: {scopes:?}");
    assert!(scopes.iter().all(|scope| scope["first_success_s"].as_f64().is_some_and(|s| s > 1.0)), "{scopes:?}");
    // They stand in the member's log, too.
    let log = std::fs::read_to_string(ran.folder.join("logs/member-0.log")).expect("a log");
    assert_eq!(log.lines().filter(|line| line.starts_with("{\"seaworthy-id\":")).count(), effects.len());
    ran.is_judged_again_the_same();
}

#[test]
fn what_is_committed_before_it_is_printed_is_lost_in_a_crash() {
    let ran = run(&["--sink", "stdout", "--later"], &format!("sink = \"stdout\"\n{LINE}"), CRASH);
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["lost-in-app"]), "{}", ran.told);
    ran.is_judged_again_the_same();
}

#[test]
fn what_is_printed_twice_is_a_duplicate() {
    let ran = run(&["--sink", "stdout", "--parts", "2"], "sink = \"stdout\"\nexactly-once = true", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["duplicate-effect"]), "{}", ran.told);
    assert!(ran.told.contains("2 effects in the members' standard output"), "{}", ran.told);
}

#[test]
fn parts_on_standard_output_are_told_apart() {
    let ran = run(&["--sink", "stdout", "--parts", "2"], "sink = \"stdout\"\neffects = 2\nexactly-once = true", "");
    assert_eq!((ran.exit, ran.fatal()), (Some(0), vec![]), "{}", ran.told);
    assert_eq!(effects(&ran).len() as u64, 2 * ran.count("acked"));
    ran.is_judged_again_the_same();
}

/// The scenario's line for the example's endpoint.
fn endpoint(port: u16, query: &str) -> String {
    format!("sink = {{ http = \"http://127.0.0.1:{port}/effects{query}\" }}")
}

#[test]
fn effects_in_a_store_are_all_listed_by_its_endpoint_after_a_crash_of_both() {
    let store = tempfile::tempdir().expect("a folder");
    let (file, port) = (store.path().join("store").display().to_string(), port::free());
    let flags = ["--sink", "http", "--store", &file, "--port", &port.to_string()];
    let ran = run(&flags, &endpoint(port, "?from={from}"), CRASH);
    assert_eq!((ran.exit, ran.fatal()), (Some(0), vec![]), "{}", ran.told);
    assert!(ran.count("effects") > 500 && ran.count("effects") >= ran.count("acked"), "{}", ran.told);
    let effects = effects(&ran);
    assert_eq!(effects.len(), std::fs::read_to_string(&file).expect("the store").lines().count());
    for (place, effect) in effects.iter().enumerate() {
        assert_eq!((&effect["tp"], effect["offset"].as_u64()), (&"sink:http/0".into(), Some(place as u64)));
    }
    ran.is_judged_again_the_same();
}

#[test]
fn what_is_committed_before_it_is_in_the_store_is_lost_in_a_crash() {
    let store = tempfile::tempdir().expect("a folder");
    let (file, port) = (store.path().join("store").display().to_string(), port::free());
    let flags = ["--sink", "http", "--store", &file, "--port", &port.to_string(), "--later"];
    // The whole list, each time.
    let ran = run(&flags, &format!("{}\n{LINE}", endpoint(port, "")), CRASH);
    assert_eq!((ran.exit, ran.fatal()), (Some(1), vec!["lost-in-app"]), "{}", ran.told);
    ran.is_judged_again_the_same();
}

#[test]
fn a_store_that_dies_with_the_service_proves_nothing() {
    let port = port::free();
    let ran = run(&["--sink", "http", "--port", &port.to_string()], &endpoint(port, "?from={from}"), CRASH);
    assert_eq!((ran.exit, ran.fatal()), (Some(2), vec![]), "{}", ran.told);
    assert!(ran.told.contains("is not the list that it was: it ends at "), "{}", ran.told);
    ran.is_judged_again_the_same();
}

#[test]
fn an_endpoint_that_nobody_reaches_any_more_proves_nothing() {
    let store = tempfile::tempdir().expect("a folder");
    let file = store.path().join("store");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let listed = file.clone();
    // It lists the store until that has 300 entries: less than the run's.
    let server = std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = String::new();
            BufReader::new(&client).read_line(&mut request).expect("a request");
            let from = request.split_once("from=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            let list = std::fs::read_to_string(&listed).unwrap_or_default();
            let whole = &list[..list.rfind('\n').map_or(0, |end| end + 1)];
            let body: String = whole.split_inclusive('\n').skip(from.expect("a number")).collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Nobody may be there any more.
            let _ = client.write_all((head + &body).as_bytes());
            if whole.lines().count() >= 300 {
                return;
            }
        }
    });
    let ran = run(&["--sink", "http", "--store", &file.display().to_string()], &endpoint(port, "?from={from}"), "");
    server.join().expect("it has shown 300");
    assert_eq!((ran.exit, ran.fatal()), (Some(2), vec![]), "{}", ran.told);
    let reasons = ran.result["reasons"].as_array().expect("reasons");
    let short = reasons.iter().find(|reason| reason["code"] == "final-read-truncated").expect("it says so");
    let why = format!("sink:http/0 was not read to its end: not read to its end within 10s: http://127.0.0.1:{port}/");
    assert!(short["message"].as_str().is_some_and(|message| message.contains(&why)), "{short}");
    ran.is_judged_again_the_same();
}

#[test]
fn an_endpoint_that_was_never_there_is_no_service_to_be_judged() {
    let port = port::free();
    let ready = "ready = { line = \"ready\", within = \"8s\" }";
    let (exit, told, _) = super::attempt(&["--sink", "http"], &format!("{}\n{ready}", endpoint(port, "")), OBSERVATION);
    assert!(exit == Some(69) && told.contains(&format!("http://127.0.0.1:{port}/effects: ")), "{exit:?}: {told}");
}
