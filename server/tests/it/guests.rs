//! Guests of a running server: they play at once, come back with their secret, and claim their account later.

use std::process::{Command, Stdio};

use castellan_client::{Client, HttpClient, Options, Outcome, Session, Trust};
use castellan_srd::Srd;
use castellan_srd::wire::Ack;
use serde_json::{Value, json};

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, id, paladin};

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("{field}: {answer}")).to_owned()
}

/// A new guest: a client with the token, and the whole answer.
fn guest(server: &Server) -> (Http, Value) {
    let http = Http::new(server.address());
    let answer = http.post("/session/login", &json!({"guest": true}));
    assert_eq!(answer.status, 200, "{answer:?}");
    (http.with_token(&text(&answer.json, "token")), answer.json)
}

fn login(server: &Server, username: &str, password: &str) -> (u16, String) {
    let body = json!({"username": username, "password": password});
    let answer = Http::new(server.address()).post("/session/login", &body);
    (answer.status, answer.code().to_owned())
}

fn claim(http: &Http, name: &str, password: &str) -> (u16, String) {
    let answer = http.post("/account/claim", &json!({"name": name, "password": password}));
    (answer.status, answer.code().to_owned())
}

fn told(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn a_guest_plays_and_claims_the_account_later(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    Http::new(server.address()).login("ada", "open sesame");
    let (http, answer) = guest(&server);
    let (name, secret) = (text(&answer["guest"], "name"), text(&answer["guest"], "secret"));
    assert!(name.starts_with("guest-") && secret.len() == 24, "{answer}");
    let me = http.get("/session").json;
    assert_eq!((&me["guest"], &me["username"], &me["roles"]), (&json!(true), &json!(name), &json!(["player"])));
    let made = http.post("/characters", &paladin("Nobody"));
    assert_eq!(made.status, 201, "{made:?}");

    // Back with the secret, on another machine.
    let back = Http::new(server.address()).post("/session/login", &json!({"username": name, "password": secret}));
    assert_eq!((back.status, &back.json["user_id"], &back.json["guest"]), (200, &answer["user_id"], &Value::Null));
    let other = Socket::open(server.address(), &text(&back.json, "token"));
    let mut own = Socket::open(server.address(), &text(&answer, "token"));

    for (name, password, field) in [("two words", "open barley", "name: "), ("bea", "short", "password: ")] {
        let refused = http.post("/account/claim", &json!({"name": name, "password": password}));
        assert_eq!((refused.status, refused.code()), (400, "malformed"), "{refused:?}");
        assert!(text(&refused.json, "error").starts_with(field), "{refused:?}");
    }
    assert_eq!(claim(&http, "ADA", "open barley"), told(409, "name_taken"));
    assert_eq!(login(&server, &name, &secret).0, 200, "a refused claim changes nothing");
    assert_eq!(claim(&http, "Bea", "open barley"), told(204, ""));
    assert_eq!(other.closed().1, 4501, "whoever has the secret loses what it gave");
    assert_eq!(own.call("ping", json!({})).0, "pong", "the session that claims goes on");
    assert_eq!(claim(&http, "Bea", "open barley"), told(204, ""), "the same again, as after a lost answer");
    assert_eq!(claim(&http, "bea", "another one"), told(409, "already_claimed"));
    assert_eq!(claim(&http, "carl", "open barley"), told(409, "already_claimed"));
    assert_eq!(login(&server, &name, &secret), told(401, "bad_credentials"));
    let me = http.get("/session").json;
    assert_eq!((&me["guest"], &me["username"]), (&Value::Null, &json!("Bea")));
    drop(own);
    assert!(server.terminate().success());

    let server = house.server(&["--guests", "closed"]);
    let (bea, session) = Http::new(server.address()).login("bea", "open barley");
    assert_eq!(session["user_id"], answer["user_id"]);
    let found = bea.get("/characters").json;
    assert_eq!(found["characters"][0]["id"], json!(id(&made.json)), "the characters stay");
    let closed = Http::new(server.address()).post("/session/login", &json!({"guest": true}));
    assert_eq!((closed.status, closed.code()), (403, "registration_closed"));
}

#[test]
fn a_guest_plays_and_claims_the_account_later_on_sqlite() {
    a_guest_plays_and_claims_the_account_later(Kind::Sqlite);
}

#[test]
fn a_guest_plays_and_claims_the_account_later_on_postgresql() {
    a_guest_plays_and_claims_the_account_later(Kind::Postgres);
}

#[test]
fn an_address_makes_so_many_guests_a_day() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--http-guests-per-day", "2", "--trusted-proxies", "127.0.0.1", "--guests", "open"]);
    let guest = |address: &str, body: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", address)];
        Http::new(server.address()).call("POST", "/session/login", &headers, Some(body))
    };
    for body in [r#"{"guest": true, "username": "ada"}"#, r#"{"guest": true, "create": true}"#] {
        let refused = guest("203.0.113.9", body);
        assert_eq!((refused.status, refused.code()), (400, "malformed"), "{refused:?}");
        assert!(text(&refused.json, "error").starts_with("guest: "), "{refused:?}");
    }
    for _ in 0..2 {
        assert_eq!(guest("203.0.113.9", r#"{"guest": true}"#).status, 200);
    }
    let refused = guest("203.0.113.9", r#"{"guest": true}"#);
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
    assert!(refused.json["retry_after_ms"].as_u64().expect("a time") > 3_600_000, "{refused:?}");
    assert_eq!(guest("198.51.100.7", r#"{"guest": true}"#).status, 200, "others are not kept out");
    let wanted = r#"{"username": "ada", "password": "no such account", "guest": false}"#;
    assert_eq!(guest("203.0.113.9", wanted).code(), "bad_credentials", "a login is none");
    let line = server.said("others may reach this server: ");
    let (_, rest) = line.split_once("metrics on http://").expect("an address");
    let operators = rest.split(',').next().expect("a place").parse().expect("an address");
    let metrics = Http::new(operators).get("/metrics").text;
    assert!(metrics.contains(r#"castellan_refused_total{limit="guests"} 1"#), "{metrics}");
}

/// Whoever claims names to learn which are taken waits as one who guesses passwords.
#[test]
fn a_guest_cannot_try_names_without_end() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--auth-failures-per-name-and-address", "3"]);
    Http::new(server.address()).login("ada", "open sesame");
    let (http, _) = guest(&server);
    for _ in 0..3 {
        assert_eq!(claim(&http, "ada", "open barley"), told(409, "name_taken"));
    }
    assert_eq!(claim(&http, "ada", "open barley"), told(429, "too_many_attempts"));
    let (other, _) = guest(&server);
    assert_eq!(claim(&other, "bea", "open barley"), told(204, ""), "other guests do not wait");
}

#[test]
fn an_operator_sees_who_is_a_guest_and_what_guests_do() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    Http::new(server.address()).login("ada", "open sesame");
    let (http, answer) = guest(&server);
    let account = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        let done = command.current_dir(house.folder()).arg("account").args(words).stdin(Stdio::null()).output();
        String::from_utf8(done.expect("it starts").stdout).expect("text")
    };
    let (name, user) = (text(&answer["guest"], "name"), text(&answer, "user_id"));
    let kind_of = |name: &str| {
        let list = account(&["list"]);
        let line = list.lines().find(|line| line.ends_with(name)).expect("an account").to_owned();
        line.split_whitespace().nth(1).expect("a kind").to_owned()
    };
    assert_eq!((kind_of(&name).as_str(), kind_of("ada").as_str()), ("guest", "account"));
    assert!(account(&["show", &name]).contains("guest     yes, seen 2"), "{}", account(&["show", &name]));
    assert!(account(&["show", "ada"]).contains("guest     no"));
    assert_eq!(claim(&http, "bea", "open barley"), told(204, ""));
    assert_eq!(kind_of("bea"), "account");
    server.logged(&format!(
        "actor=\"{user}\" address=\"127.0.0.1\" on=\"account {user}\" action=\"claim\" outcome=\"done\""
    ));
    server.logged("action=\"guest login\" outcome=\"done\"");
    let log = server.log();
    assert!(!log.contains(&text(&answer["guest"], "secret")) && !log.contains("open barley"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_plays_as_a_guest_and_claims_the_account() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let base = format!("http://{}", server.address()).parse::<castellan_client::BaseUrl>().expect("an address");
    let http = HttpClient::new(base.clone(), Trust::default());
    let (session, credentials) = Session::log_in_as_guest(&http).await.expect("a guest");
    let client = Client::<Srd>::start(Options::new(base.clone(), credentials.clone())).await.expect("a login");
    assert_eq!(client.user(), session.user());
    let sheet = serde_json::from_value(paladin("Nobody")).expect("a sheet");
    let character = client.create_character(&sheet).await.expect("a character");
    client.claim("bea", "open barley").await.expect("claimed");
    client.claim("bea", "open barley").await.expect("the same again");
    assert!(client.claim("carl", "open barley").await.is_err());
    assert!(session.refreshed(&http).await.is_err(), "the guest's other session has ended");
    // The session ends. The client logs in with what it has claimed, and goes on.
    let list = Http::new(server.address()).login("bea", "open barley").0;
    for listed in list.get("/session/list").json["sessions"].as_array().expect("a list") {
        if listed["current"] == json!(false) {
            let path = format!("/session/{}", text(listed, "session_id"));
            assert_eq!(list.call("DELETE", &path, &[], None).status, 204);
        }
    }
    let action = serde_json::from_value(json!({"modify_currency": {"gp": 1}})).expect("an action");
    let mut intent = client.send_with(character.id, action, Ack::Durable).expect("sent");
    assert!(matches!(intent.settled().await, Outcome::Durable(_)));
    client.close();
    assert!(Session::log_in(&http, &credentials).await.is_err(), "the secret is no password any more");
}
