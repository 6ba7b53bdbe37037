//! The HTTP API: paths, methods, status codes, bodies.

use serde_json::{Value, json};

use crate::support::{Answer, Bench, End, Error, Outcome, ends, listen_of, refuses};
use crate::{Case, case, ensure, ensure_eq};

pub fn cases() -> Vec<Case> {
    vec![
        case("a created proxy answers 201 with the port that it got", created),
        case("a proxy may be created closed", created_closed),
        case("a proxy without name or upstream is a 400", missing_fields),
        case("a body that is not JSON, or of another shape, is a 400", bad_bodies),
        case("a second proxy of a name is a 409", duplicate_proxy),
        case("a port that is taken is a 500, and no proxy is left", taken_port),
        case("unknown proxies and toxics are a 404", unknown_names),
        case("the list of proxies is a map by name", list),
        case("a deleted proxy is gone, with its port and its connections", deleted),
        case("another upstream closes connections and leads elsewhere", another_upstream),
        case("PATCH is as good as POST", patch),
        case("populate creates, leaves the same alone, and replaces what differs", populate),
        case("populate with a mistake creates nothing", populate_with_a_mistake),
        case("a toxic has its defaults", toxic_defaults),
        case("a toxic is shown as it was given", toxic_shown),
        case("a toxic with a mistake is a 400", bad_toxics),
        case("a second toxic of a name is a 409", duplicate_toxic),
        case("an update changes what it names and nothing else", toxic_update),
        case("toxics are listed upstream first, in the order of their creation", toxic_order),
        case("a removed toxic is gone", toxic_removed),
        case("reset opens every proxy and removes every toxic", reset),
        case("the version is Toxiproxy's", version),
        case("a wrong method is a 405, an unknown path a 404, a browser a 403", routes),
    ]
}

fn refused(answer: Result<Answer, Error>, status: u16, message: &str) -> Outcome {
    let answer = answer?;
    ensure_eq!(answer.status, status);
    ensure_eq!(answer.body["status"], json!(status));
    let said = answer.body["error"].as_str().unwrap_or_default();
    ensure!(said.starts_with(message), "the error is {said:?}, should start with {message:?}");
    Ok(())
}

fn created(bench: &Bench) -> Outcome {
    let name = bench.fresh_name();
    let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" });
    let answer = bench.call("POST", "/proxies", body.to_string())?;
    ensure_eq!(answer.status, 201);
    ensure!(listen_of(&answer.body)?.port() != 0, "{}", answer.body);
    let shown = bench.call("GET", &format!("/proxies/{name}"), "")?;
    ensure_eq!(shown.status, 200);
    for proxy in [&answer.body, &shown.body] {
        ensure_eq!(proxy["name"], json!(name));
        ensure_eq!(proxy["upstream"], json!("127.0.0.1:1"));
        ensure_eq!(proxy["enabled"], json!(true));
        ensure_eq!(proxy["toxics"], json!([]));
        ensure_eq!(proxy["listen"], answer.body["listen"]);
    }
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{name}"), "")?.status, 204);
    Ok(())
}

fn created_closed(bench: &Bench) -> Outcome {
    let name = bench.fresh_name();
    let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": false });
    let answer = bench.call("POST", "/proxies", body.to_string())?;
    ensure_eq!((answer.status, &answer.body["enabled"]), (201, &json!(false)));
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{name}"), "")?.status, 204);
    Ok(())
}

fn missing_fields(bench: &Bench) -> Outcome {
    let without_name = json!({ "upstream": "127.0.0.1:1" }).to_string();
    refused(bench.call("POST", "/proxies", without_name), 400, "missing required field: name")?;
    let without_upstream = json!({ "name": bench.fresh_name() }).to_string();
    refused(bench.call("POST", "/proxies", without_upstream), 400, "missing required field: upstream")
}

fn bad_bodies(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("latency", "upstream", json!({}))?;
    let toxics = format!("{}/toxics", proxy.path());
    let places = ["/proxies", &proxy.path(), &toxics, &format!("{toxics}/latency_upstream"), "/populate"];
    for path in places {
        for body in ["", "{", "not JSON", "7", r#""text""#] {
            refused(bench.call("POST", path, body), 400, "bad request body: ")
                .map_err(|e| format!("{path} {body}: {e}"))?;
        }
    }
    refused(bench.call("POST", "/proxies", r#"{"name": 7}"#), 400, "bad request body: ")?;
    refused(bench.call("POST", &proxy.path(), r#"{"enabled": "no"}"#), 400, "bad request body: ")?;
    ensure_eq!(proxy.show()?["enabled"], json!(true));
    Ok(())
}

fn duplicate_proxy(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let body = json!({ "name": proxy.name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" });
    refused(bench.call("POST", "/proxies", body.to_string()), 409, "proxy already exists")?;
    proxy.works()
}

fn taken_port(bench: &Bench) -> Outcome {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let name = bench.fresh_name();
    let body = json!({ "name": name, "listen": taken.local_addr()?.to_string(), "upstream": "127.0.0.1:1" });
    refused(bench.call("POST", "/proxies", body.to_string()), 500, "")?;
    refused(bench.call("GET", &format!("/proxies/{name}"), ""), 404, "proxy not found")
}

fn unknown_names(bench: &Bench) -> Outcome {
    for (method, path) in [
        ("GET", "/proxies/nobody"),
        ("POST", "/proxies/nobody"),
        ("PATCH", "/proxies/nobody"),
        ("DELETE", "/proxies/nobody"),
        ("GET", "/proxies/nobody/toxics"),
        ("POST", "/proxies/nobody/toxics"),
        ("GET", "/proxies/nobody/toxics/none"),
        ("POST", "/proxies/nobody/toxics/none"),
        ("DELETE", "/proxies/nobody/toxics/none"),
    ] {
        refused(bench.call(method, path, "{}"), 404, "proxy not found").map_err(|e| format!("{method} {path}: {e}"))?;
    }
    let proxy = bench.proxy()?;
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let path = format!("{}/toxics/none", proxy.path());
        refused(bench.call(method, &path, "{}"), 404, "toxic not found")
            .map_err(|e| format!("{method} {path}: {e}"))?;
    }
    Ok(())
}

fn list(bench: &Bench) -> Outcome {
    let (one, two) = (bench.proxy()?, bench.proxy()?);
    two.toxic("latency", "upstream", json!({ "latency": 5 }))?;
    let answer = bench.call("GET", "/proxies", "")?;
    ensure_eq!(answer.status, 200);
    for proxy in [&one, &two] {
        ensure_eq!(answer.body[&proxy.name]["name"], json!(proxy.name));
        ensure_eq!(answer.body[&proxy.name]["listen"], json!(proxy.listen.to_string()));
    }
    ensure_eq!(answer.body[&two.name]["toxics"][0]["name"], json!("latency_upstream"));
    Ok(())
}

fn deleted(bench: &Bench) -> Outcome {
    let upstream = std::net::TcpListener::bind("127.0.0.1:0")?;
    let name = bench.fresh_name();
    let listen = bench.create(&name, &upstream.local_addr()?.to_string())?;
    let mut client = crate::support::connect(listen)?;
    let (mut server, _) = upstream.accept()?;
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{name}"), "")?.status, 204);
    ends(&mut client, End::Fin)?;
    ends(&mut server, End::Fin)?;
    refuses(listen)?;
    refused(bench.call("DELETE", &format!("/proxies/{name}"), ""), 404, "proxy not found")
}

fn another_upstream(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (mut client, _server) = proxy.pair()?;
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let body = json!({ "upstream": other.local_addr()?.to_string() });
    let answer = bench.call("POST", &proxy.path(), body.to_string())?;
    ensure_eq!((answer.status, &answer.body["upstream"]), (200, &body["upstream"]));
    ensure_eq!(answer.body["enabled"], json!(true));
    ensure_eq!(answer.body["listen"], json!(proxy.listen.to_string()));
    ends(&mut client, End::Fin)?;
    let _client = crate::support::connect(proxy.listen)?;
    other.accept()?;
    Ok(())
}

fn patch(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let answer = bench.call("PATCH", &proxy.path(), r#"{"enabled": false}"#)?;
    ensure_eq!((answer.status, &answer.body["enabled"]), (200, &json!(false)));
    proxy.toxic("latency", "upstream", json!({ "latency": 5 }))?;
    let toxic = format!("{}/toxics/latency_upstream", proxy.path());
    let answer = bench.call("PATCH", &toxic, r#"{"attributes": {"latency": 6}}"#)?;
    ensure_eq!((answer.status, &answer.body["attributes"]["latency"]), (200, &json!(6)));
    Ok(())
}

fn populate(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let (_client, _server) = proxy.pair()?;
    proxy.toxic("latency", "upstream", json!({}))?;
    let other = bench.fresh_name();
    let same =
        json!({ "name": proxy.name, "listen": proxy.listen.to_string(), "upstream": proxy.upstream.to_string() });
    let new = json!({ "name": other, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": false });
    let answer = bench.call("POST", "/populate", json!([same, new]).to_string())?;
    ensure_eq!(answer.status, 201);
    ensure_eq!(answer.body.get("error"), None);
    let proxies = answer.body["proxies"].as_array().cloned().unwrap_or_default();
    ensure_eq!(proxies.iter().map(|p| &p["name"]).collect::<Vec<_>>(), [&json!(proxy.name), &json!(other)]);
    ensure_eq!(proxies[0]["toxics"].as_array().map(Vec::len), Some(1));
    ensure_eq!((&proxies[0]["enabled"], &proxies[1]["enabled"]), (&json!(true), &json!(false)));

    let moved = json!({ "name": proxy.name, "listen": proxy.listen.to_string(), "upstream": "127.0.0.1:1" });
    let answer = bench.call("POST", "/populate", json!([moved]).to_string())?;
    ensure_eq!((answer.status, &answer.body["proxies"][0]["upstream"]), (201, &json!("127.0.0.1:1")));
    ensure_eq!(answer.body["proxies"][0]["toxics"], json!([]));
    ensure_eq!(bench.call("DELETE", &format!("/proxies/{other}"), "")?.status, 204);
    Ok(())
}

fn populate_with_a_mistake(bench: &Bench) -> Outcome {
    let name = bench.fresh_name();
    let good = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" });
    let body = json!([good, { "name": bench.fresh_name() }]);
    refused(bench.call("POST", "/populate", body.to_string()), 400, "missing required field: upstream at proxy 2")?;
    refused(bench.call("GET", &format!("/proxies/{name}"), ""), 404, "proxy not found")
}

fn toxic_defaults(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let answer = bench.call("POST", &format!("{}/toxics", proxy.path()), r#"{"type": "latency"}"#)?;
    ensure_eq!(answer.status, 200);
    let wanted = json!({
        "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1,
        "attributes": { "latency": 0, "jitter": 0 },
    });
    ensure_eq!(plain(&answer.body), plain(&wanted));
    Ok(())
}

/// 1 and 1.0 are one number.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), plain(field))).collect())
        }
        other => other.clone(),
    }
}

fn toxic_shown(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let all = [
        ("latency", json!({ "latency": 1, "jitter": 2 })),
        ("bandwidth", json!({ "rate": 3 })),
        ("slow_close", json!({ "delay": 4 })),
        ("timeout", json!({ "timeout": 5 })),
        ("reset_peer", json!({ "timeout": 6 })),
        ("slicer", json!({ "average_size": 7, "size_variation": 1, "delay": 8 })),
        ("limit_data", json!({ "bytes": 9 })),
    ];
    for (kind, attributes) in all {
        let toxic = json!({
            "name": format!("my {kind}").replace(' ', "-"), "type": kind, "stream": "upstream", "toxicity": 0.25,
            "attributes": attributes,
        });
        let made = bench.call("POST", &format!("{}/toxics", proxy.path()), toxic.to_string())?;
        ensure_eq!((made.status, plain(&made.body)), (200, plain(&toxic)));
        let shown = bench.call("GET", &format!("{}/toxics/my-{kind}", proxy.path()), "")?;
        ensure_eq!((shown.status, plain(&shown.body)), (200, plain(&toxic)));
    }
    Ok(())
}

fn bad_toxics(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let toxics = format!("{}/toxics", proxy.path());
    for (toxic, message) in [
        (
            json!({ "type": "latency", "stream": "sideways" }),
            "stream was invalid, can be either upstream or downstream",
        ),
        (json!({ "type": "earthquake" }), "invalid toxic type"),
        (json!({}), "invalid toxic type"),
        (json!({ "type": "latency", "attributes": { "latency": "long" } }), "bad request body: "),
        (json!({ "type": "latency", "attributes": { "latency": 1.5 } }), "bad request body: "),
        (json!({ "type": "latency", "attributes": 7 }), "bad request body: "),
        (json!({ "type": "latency", "toxicity": "high" }), "bad request body: "),
    ] {
        refused(bench.call("POST", &toxics, toxic.to_string()), 400, message).map_err(|e| format!("{toxic}: {e}"))?;
    }
    ensure_eq!(proxy.show()?["toxics"], json!([]));
    let unknown = json!({ "type": "latency", "attributes": { "colour": 7 }, "shape": "round" });
    ensure_eq!(bench.call("POST", &toxics, unknown.to_string())?.status, 200);
    Ok(())
}

fn duplicate_toxic(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("latency", "upstream", json!({ "latency": 5 }))?;
    let toxics = format!("{}/toxics", proxy.path());
    let again = json!({ "type": "latency", "stream": "upstream" });
    refused(bench.call("POST", &toxics, again.to_string()), 409, "toxic already exists")?;
    let other_kind = json!({ "type": "bandwidth", "name": "latency_upstream" });
    refused(bench.call("POST", &toxics, other_kind.to_string()), 409, "toxic already exists")?;
    proxy.toxic("latency", "downstream", json!({}))?;
    ensure_eq!(proxy.show()?["toxics"].as_array().map(Vec::len), Some(2));
    Ok(())
}

fn toxic_update(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic_for("latency", "upstream", json!({ "latency": 5, "jitter": 1 }), 0.5)?;
    let path = format!("{}/toxics/{toxic}", proxy.path());
    let answer = bench.call("POST", &path, json!({ "attributes": { "jitter": 2 } }).to_string())?;
    ensure_eq!(answer.body["attributes"], json!({ "latency": 5, "jitter": 2 }));
    ensure_eq!(answer.body["toxicity"], json!(0.5));
    let answer = bench.call("POST", &path, json!({ "toxicity": 0.75, "stream": "downstream" }).to_string())?;
    ensure_eq!(answer.body["attributes"], json!({ "latency": 5, "jitter": 2 }));
    ensure_eq!((&answer.body["toxicity"], &answer.body["stream"]), (&json!(0.75), &json!("upstream")));
    Ok(())
}

fn toxic_order(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    proxy.toxic("timeout", "downstream", json!({ "timeout": 1_000 }))?;
    proxy.toxic("slow_close", "upstream", json!({}))?;
    proxy.toxic("latency", "upstream", json!({}))?;
    let answer = bench.call("GET", &format!("{}/toxics", proxy.path()), "")?;
    let names: Vec<_> = answer.body.as_array().into_iter().flatten().map(|t| t["name"].clone()).collect();
    ensure_eq!(names, ["slow_close_upstream", "latency_upstream", "timeout_downstream"]);
    Ok(())
}

fn toxic_removed(bench: &Bench) -> Outcome {
    let proxy = bench.proxy()?;
    let toxic = proxy.toxic("latency", "upstream", json!({}))?;
    proxy.remove_toxic(&toxic)?;
    refused(bench.call("GET", &format!("{}/toxics/{toxic}", proxy.path()), ""), 404, "toxic not found")?;
    ensure_eq!(proxy.show()?["toxics"], json!([]));
    proxy.toxic("latency", "upstream", json!({}))?;
    Ok(())
}

/// On a server of its own: it would heal what other trials are looking at.
fn reset(bench: &Bench) -> Outcome {
    let own = bench.another()?;
    let bench = own.bench();
    let (one, two) = (bench.proxy()?, bench.proxy()?);
    one.enable(false)?;
    two.toxic("timeout", "upstream", json!({ "timeout": 0 }))?;
    two.toxic("latency", "downstream", json!({ "latency": 9 }))?;
    ensure_eq!(bench.call("POST", "/reset", "")?.status, 204);
    for proxy in [one, two] {
        let shown = proxy.show()?;
        ensure_eq!((&shown["enabled"], &shown["toxics"]), (&json!(true), &json!([])));
        proxy.works()?;
    }
    Ok(())
}

fn version(bench: &Bench) -> Outcome {
    let answer = bench.call("GET", "/version", "")?;
    let version = answer.body["version"].as_str().unwrap_or_default();
    ensure!(answer.status == 200 && version.starts_with("2.12.0"), "{answer:?}");
    Ok(())
}

fn routes(bench: &Bench) -> Outcome {
    for (method, path) in [("DELETE", "/proxies"), ("GET", "/reset"), ("GET", "/populate"), ("PUT", "/proxies/x")] {
        let status = bench.call(method, path, "")?.status;
        ensure!(status == 405, "{method} {path}: {status}");
    }
    ensure_eq!(bench.call("GET", "/nowhere", "")?.status, 404);
    ensure_eq!(bench.call_as("Mozilla/5.0 (any)", "GET", "/proxies", String::new())?.status, 403);
    Ok(())
}
