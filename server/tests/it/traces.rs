//! Traces as a real collector receives them: parents, links and attributes, within a process and across two.

mod collector;

use serde_json::{Value, json};

use self::collector::{Collector, Span};
use crate::cluster::{Cluster, until_ready};
use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id, paladin};
use crate::starting::free_address;

/// The span of a client that has its own traces.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// An intent that waits for its commit and names the client's span.
fn coin(character: &str) -> Value {
    json!({
        "character": character, "expect": 0, "ack": "durable", "traceparent": traceparent(),
        "action": {"modify_currency": {"gp": 1}},
    })
}

/// The collector's settings of a server that traces everything.
fn traced(collector: &Collector) -> [String; 4] {
    ["--otlp-endpoint".to_owned(), collector.url(), "--otlp-sample-percent".to_owned(), "100".to_owned()]
}

fn start(house: &House, collector: &Collector, more: &[&str]) -> Server {
    let traced = traced(collector);
    let traced: Vec<&str> = traced.iter().map(String::as_str).collect();
    house.server(&[more, &traced].concat())
}

/// The span with this name in a trace.
fn span<'a>(spans: &'a [Span], trace: &str, name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.trace == trace && span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {trace}: {spans:#?}");
    found[0]
}

/// A flush that has committed, with links to exactly these spans.
fn has_flush(spans: &[Span], changes: &[&Span]) {
    let mut links: Vec<(String, String)> = changes.iter().map(|span| (span.trace.clone(), span.id.clone())).collect();
    links.sort();
    let is_it = |span: &&Span| {
        let mut theirs = span.links.clone();
        theirs.sort();
        span.name == "flush" && theirs == links
    };
    let flush = spans.iter().find(is_it).unwrap_or_else(|| panic!("no flush has the links {links:?}: {spans:#?}"));
    assert_eq!(flush.attribute("castellan.outcome"), "committed", "{flush:?}");
    assert_eq!((flush.parent.as_str(), flush.kind.as_str()), ("", "CLIENT"), "{flush:?}");
}

#[test]
fn a_server_s_traces_show_a_login_requests_intents_loads_and_flushes() {
    let (house, collector) = (House::new(Kind::Postgres), Collector::start());
    let server = start(&house, &collector, &[]);
    let (_, _, made) = enter(&server, "ada");
    assert!(server.terminate().success());
    // Nothing is in memory of this one.
    let server = start(&house, &collector, &["--log-format", "text"]);
    let login = json!({"username": "ada", "password": "open sesame"}).to_string();
    let headers = [("Content-Type", "application/json"), ("traceparent", &traceparent())];
    let session = Http::new(server.address()).call("POST", "/session/login", &headers, Some(&login));
    let token = session.json["token"].as_str().expect("a token");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), token);
    let (kind, answer) = socket.call("intent", coin(&me));
    assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!(2)), "{answer}");
    let (kind, _) =
        socket.call("intent", json!({"character": me, "expect": 1, "action": {"modify_currency": {"gp": 1}}}));
    assert_eq!(kind, "conflict");
    let http = Http::new(server.address()).with_token(token);
    let path = format!("/characters/{me}/stats/hitpoints");
    let hurt = http.call("PATCH", &path, &headers[..1], Some(r#"{"version": 2, "delta": -1, "ack": "durable"}"#));
    assert_eq!(hurt.status, 200, "{hurt:?}");
    let log = server.log();
    let audited =
        log.lines().find(|line| line.contains("action=\"login\"") && line.contains(&format!("trace_id={TRACE}")));
    assert!(audited.is_some(), "the audit's line shows the trace:\n{log}");
    assert!(server.terminate().success(), "the last spans are sent at the end");
    let spans = collector.spans();

    let login = span(&spans, TRACE, "POST /session/login");
    assert_eq!((login.parent.as_str(), login.kind.as_str()), (PARENT, "SERVER"), "{login:?}");
    assert_eq!(login.attribute("http.response.status_code"), "200");
    for below in ["find account", "hash password", "store session"] {
        assert_eq!(span(&spans, TRACE, below).parent, login.id, "{below}");
    }

    let intent = span(&spans, TRACE, "intent");
    assert_eq!((intent.parent.as_str(), intent.kind.as_str()), (PARENT, "SERVER"), "{intent:?}");
    let shown = ["castellan.action", "castellan.character", "castellan.outcome", "castellan.version"];
    assert_eq!(shown.map(|name| intent.attribute(name)), ["modify_currency", &me, "applied", "2"]);
    has_flush(&spans, &[intent]);
    let conflict = spans.iter().find(|span| span.name == "intent" && span.trace != TRACE).expect("the other intent");
    assert_eq!(conflict.attribute("castellan.outcome"), "conflict", "{conflict:?}");
    let hurt = spans.iter().find(|span| span.name.starts_with("PATCH /characters/{id}/")).expect("the request");
    assert_eq!(["castellan.outcome", "castellan.version"].map(|name| hurt.attribute(name)), ["applied", "3"]);
    has_flush(&spans, &[hurt]);
}

#[test]
fn a_load_is_below_the_intent_that_waits_for_it() {
    let (house, collector) = (House::new(Kind::Sqlite), Collector::start());
    // With so few places, each user pushes another one out.
    let server = start(&house, &collector, &["--cache-characters-max", "2"]);
    let (_, token, made) = enter(&server, "ada");
    let mut socket = Socket::open(server.address(), &token);
    socket.call("intent", coin(&id(&made)));
    let (other, _) = Http::new(server.address()).login("bob", "open sesame");
    assert_eq!(other.post("/characters", &paladin("Bob")).status, 201, "Ada goes out of memory");
    let (kind, answer) = socket.call(
        "intent",
        json!({
            "character": id(&made), "expect": 0, "action": {"modify_currency": {"cp": 7}},
        }),
    );
    assert_eq!(kind, "applied", "{answer}");
    assert!(server.terminate().success());
    let spans = collector.spans();
    let under = |span: &&Span| {
        span.name == "load" && spans.iter().any(|above| above.name == "intent" && above.id == span.parent)
    };
    assert_eq!(spans.iter().filter(under).count(), 1, "{spans:#?}");
}

#[test]
fn a_trace_goes_on_from_a_gateway_to_a_node() {
    let (cluster, collector) = (Cluster::new(), Collector::start());
    let traced = traced(&collector);
    let traced: Vec<&str> = traced.iter().map(String::as_str).collect();
    let house = cluster.house();
    let node = house.server(&[&["node", "--name", "castor", "--policy", "permissive"], &traced[..]].concat());
    let gateway = house.server(&[&["gateway", "--socket-workers", "1"], &traced[..]].concat());
    until_ready(&gateway);
    let (http, token, made) = enter(&gateway, "ada");
    let me = id(&made);
    let mut socket = Socket::open(gateway.address(), &token);
    let (kind, answer) = socket.call("intent", coin(&me));
    assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!(2)), "{answer}");
    let listed = http.call("GET", "/characters", &[("traceparent", &traceparent())], None);
    assert_eq!(listed.status, 200);
    assert!(gateway.terminate().success());
    assert!(node.terminate().success());
    let spans = collector.spans();

    let forward = span(&spans, TRACE, "forward");
    assert_eq!((forward.parent.as_str(), forward.kind.as_str()), (PARENT, "PRODUCER"), "{forward:?}");
    let intent = span(&spans, TRACE, "intent");
    assert_eq!(intent.parent, forward.id, "the node's span is below the gateway's");
    assert_eq!(intent.attribute("castellan.outcome"), "applied");
    has_flush(&spans, &[intent]);
    let requests: Vec<&Span> =
        spans.iter().filter(|span| span.trace == TRACE && span.name == "GET /characters").collect();
    let [first, second] = requests[..] else { panic!("one at the gateway, one at the node: {spans:#?}") };
    let (above, below) = if first.parent == PARENT { (first, second) } else { (second, first) };
    assert_eq!((above.parent.as_str(), &below.parent), (PARENT, &above.id));
}

#[test]
fn a_collector_that_is_away_costs_one_warning_and_no_answer() {
    let house = House::new(Kind::Sqlite);
    let nowhere = format!("http://{}", free_address());
    let server = house.server(&["--otlp-endpoint", &nowhere, "--otlp-sample-percent", "100"]);
    let (http, token, made) = enter(&server, "ada");
    let mut socket = Socket::open(server.address(), &token);
    const WARNING: &str = "the collector takes no traces";
    server.logged(WARNING);
    // Spans of a later delivery.
    for gp in 2..40 {
        assert_eq!(
            socket.call("intent", coin(&id(&made))).1["character"]["currency"]["gp"],
            json!(gp - 1 + gold(&made))
        );
        assert_eq!(http.get("/characters").status, 200);
    }
    assert!(server.terminate().success(), "the last delivery, too, is given up");
    assert_eq!(house.log().matches(WARNING).count(), 1, "{}", house.log());
}

fn gold(character: &Value) -> u64 {
    character["currency"]["gp"].as_u64().expect("a purse")
}
