//! A server that strangers can reach has nothing open, unless a setting opens it.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id, paladin};

/// A login that may create its account.
fn register(http: &Http, name: &str) -> (u16, String) {
    let answer = http.post("/session/login", &json!({"username": name, "password": "open sesame", "create": true}));
    (answer.status, answer.code().to_owned())
}

/// A login that makes a guest.
fn guest(http: &Http) -> (u16, String) {
    let answer = http.post("/session/login", &json!({"guest": true}));
    (answer.status, answer.code().to_owned())
}

/// A player gives himself gold over HTTP.
fn enrich(http: &Http, character: &Value) -> (u16, String) {
    let path = format!("/characters/{}/currency/modify", id(character));
    let answer = http.patch(&path, &json!({"version": 0, "gp": 1_000_000}));
    (answer.status, answer.code().to_owned())
}

/// Where the players reach a server, also if it listens on all addresses.
fn players(server: &Server) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, server.address().port()))
}

/// Where the line at the start says that the metrics are.
fn metrics_of(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("metrics on http://").expect("an address");
    rest.split(',').next().expect("a place").parse().expect("an address")
}

const REFUSED: (u16, &str) = (403, "registration_closed");

fn nothing_is_open(arguments: &[&str]) {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    enter(&server, "ada");
    assert!(server.terminate().success());

    let server = house.server(arguments);
    let http = Http::new(players(&server));
    assert_eq!(register(&http, "eve"), (REFUSED.0, REFUSED.1.to_owned()));
    assert_eq!(guest(&http), (REFUSED.0, REFUSED.1.to_owned()));
    let (ada, session) = http.login("ada", "open sesame");
    let character = ada.get("/characters").json["characters"][0].clone();
    assert_eq!(enrich(&ada, &character), (403, "not_permitted".to_owned()));
    let mut socket = Socket::open(players(&server), session["token"].as_str().expect("a token"));
    let (kind, answer) = socket.act(&id(&character), json!({"modify_currency": {"gp": 1_000_000}}));
    assert_eq!((kind.as_str(), &answer["code"]), ("rejected", &json!("not_permitted")));

    let line = server.said("others may reach this server: ");
    assert!(line.contains("registration closed, guests closed, policy strict, metrics on http://127.0.0.1:"), "{line}");
    assert_eq!(http.get("/metrics").code(), "no_such_route");
    let operators = metrics_of(&line);
    assert!(operators.ip().is_loopback());
    assert!(Http::new(operators).get("/metrics").text.contains("castellan_sockets_open"));
    assert_eq!(Http::new(operators).get("/health/ready").status, 200);
    assert!(server.terminate().success());
}

#[test]
fn nothing_is_open_beyond_loopback() {
    nothing_is_open(&["--listen", "0.0.0.0:0"]);
}

#[test]
fn nothing_is_open_with_a_public_url() {
    nothing_is_open(&["--public-url", "https://play.example.com"]);
}

#[test]
fn a_setting_opens_each_of_them() {
    let house = House::new(Kind::Sqlite);
    let public = ["--public-url", "https://play.example.com"];
    let server = house.server(&[&public[..], &["--registration", "open"]].concat());
    let (ada, _, character) = enter(&server, "ada");
    assert_eq!(enrich(&ada, &character).0, 403);
    assert_eq!(ada.get("/metrics").status, 404);
    server.said(
        "others may reach this server: registration open, guests closed, policy strict, metrics on http://127.0.0.1:",
    );
    assert!(server.terminate().success());

    let server = house.server(&[&public[..], &["--guests", "open"]].concat());
    assert_eq!(register(&Http::new(server.address()), "eve"), (REFUSED.0, REFUSED.1.to_owned()));
    assert_eq!(guest(&Http::new(server.address())).0, 200);
    server
        .said("others may reach this server: registration closed, guests open, policy strict, metrics on http://127.");
    assert!(server.terminate().success());

    let server = house.server(&[&public[..], &["--policy", "permissive"]].concat());
    assert_eq!(register(&Http::new(server.address()), "eve"), (REFUSED.0, REFUSED.1.to_owned()));
    let (ada, _) = Http::new(server.address()).login("ada", "open sesame");
    assert_eq!(enrich(&ada, &character).0, 200);
    assert_eq!(ada.get("/metrics").status, 404);
    server.said("others may reach this server: registration closed, guests closed, policy permissive, metrics on http://127.0.0.1:");
    assert!(server.terminate().success());

    let server = house.server(&[&public[..], &["--admin-listen", "players"]].concat());
    assert_eq!(register(&Http::new(server.address()), "eve"), (REFUSED.0, REFUSED.1.to_owned()));
    let (ada, _) = Http::new(server.address()).login("ada", "open sesame");
    assert_eq!(enrich(&ada, &character).0, 403);
    assert_eq!(ada.get("/metrics").status, 200);
    server.said("others may reach this server: registration closed, guests closed, policy strict, metrics on the players' address");
    assert!(server.terminate().success());
}

#[test]
fn everything_closes_when_a_proxy_brings_a_request() {
    for header in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let house = House::new(Kind::Sqlite);
        let server = house.server(&[]);
        server.said("only this machine reaches this server: registration open, guests open, policy permissive, metrics on the play");
        let (ada, token, character) = enter(&server, "ada");
        let mut socket = Socket::open(server.address(), &token);
        let gain = json!({"modify_currency": {"gp": 1}});
        assert_eq!(enrich(&ada, &character).0, 200);
        assert_eq!(socket.act(&id(&character), gain.clone()).0, "applied");
        assert_eq!(ada.get("/metrics").status, 200);
        assert_eq!(guest(&Http::new(server.address())).0, 200);

        let value = if header == "Via" { "1.1 proxy" } else { "203.0.113.9" };
        for _ in 0..2 {
            assert_eq!(ada.call("GET", "/catalogue", &[(header, value)], None).status, 200);
        }
        assert_eq!(register(&Http::new(server.address()), "eve"), (REFUSED.0, REFUSED.1.to_owned()), "{header}");
        assert_eq!(guest(&Http::new(server.address())), (REFUSED.0, REFUSED.1.to_owned()), "{header}");
        assert_eq!(enrich(&ada, &character), (403, "not_permitted".to_owned()), "{header}");
        assert_eq!(socket.act(&id(&character), gain).0, "rejected", "{header}: open sockets too");
        assert_eq!(ada.get("/metrics").status, 404, "{header}");
        assert_eq!(server.log().matches("a proxy brings requests to this server").count(), 1, "{header}: said once");
        let spent = ada.post(&format!("/characters/{}/intents", id(&character)), &harmless());
        assert_eq!(spent.status, 200, "{spent:?}");
    }
}

fn harmless() -> Value {
    json!({"version": 0, "action": {"modify_currency": {"gp": -1}}})
}

#[test]
fn a_login_through_a_proxy_creates_no_account() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let body = json!({"username": "eve", "password": "open sesame", "create": true}).to_string();
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", "203.0.113.9")];
    let answer = Http::new(server.address()).call("POST", "/session/login", &headers, Some(&body));
    assert_eq!((answer.status, answer.code()), REFUSED, "the very first request is refused");
}

#[test]
fn settings_hold_also_behind_a_proxy() {
    let house = House::new(Kind::Sqlite);
    let open = ["--registration", "open", "--guests", "open", "--policy", "permissive", "--admin-listen", "players"];
    let server = house.server(&open);
    let http = Http::new(server.address());
    assert_eq!(http.call("GET", "/catalogue", &[("X-Forwarded-For", "203.0.113.9")], None).status, 200);
    let (ada, _, character) = enter(&server, "ada");
    assert_eq!(guest(&http).0, 200);
    assert_eq!(ada.post("/characters", &paladin("Bea")).status, 201);
    assert_eq!(enrich(&ada, &character).0, 200);
    assert_eq!(ada.get("/metrics").status, 200);
}
