//! What is left of a server that dies, stands still, or cannot reach its database.

use serde_json::{Value, json};

use crate::harness::{Http, Kind, Socket};
use crate::play::{House, enter, id};

const JUMP: u64 = 1 << 20;

fn coin(character: &str, after: &Value) -> Value {
    json!({"character": character, "after": after, "action": {"modify_currency": {"gp": 1}}})
}

/// Kills a server under a chain of intents, and sends the chain again to the next one.
fn a_killed_server_loses_nothing_that_its_client_sends_again(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&["--flush-interval", "20s"]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    let durable = json!({"character": me, "after": 0, "ack": "durable", "action": {"modify_currency": {"gp": 1}}});
    let (_, safe) = socket.call("intent", durable);
    assert_eq!(safe["durable"], json!(2));
    let mut after = safe["id"].clone();
    let mut kept = Vec::new();
    for _ in 0..10 {
        let fields = coin(&me, &after);
        let sent = socket.ask("intent", fields.clone());
        after = json!(sent);
        kept.push((sent, fields));
        assert_eq!(socket.answer(sent).0, "applied");
    }
    server.kill();

    let server = house.server(&[]);
    let (http, session) = Http::new(server.address()).login("ada", "open sesame");
    let mut socket = Socket::open(server.address(), session["token"].as_str().expect("a token"));
    assert_eq!(socket.welcome["characters"][0]["version"], json!(2 + JUMP), "a version that nobody was shown");
    for (sent, fields) in &kept {
        let mut frame = json!({"intent": fields});
        frame["intent"]["id"] = json!(sent);
        socket.send_text(&frame.to_string());
    }
    let (last, _) = kept.last().expect("ten");
    let (kind, applied) = socket.answer(*last);
    assert_eq!(kind, "applied");
    assert_eq!(applied["character"]["currency"]["gp"], json!(11), "each exactly once");
    assert_eq!(applied["character"]["version"], json!(2 + JUMP + 10));
    let again =
        socket.call("intent", json!({"character": me, "expect": 0, "ack": "durable", "action": {"long_rest": {}}}));
    assert_eq!(again.0, "applied");
    let found = http.get(&format!("/characters/{me}"));
    assert_eq!(found.header("castellan-durable"), (2 + JUMP + 11).to_string());
    assert!(server.terminate().success());
    let server = house.server(&[]);
    let (http, _) = Http::new(server.address()).login("ada", "open sesame");
    let found = http.get(&format!("/characters/{me}")).json;
    assert_eq!(found["version"], json!(2 + JUMP + 11), "a clean stop is no reason to jump");
}

#[test]
fn a_killed_server_loses_nothing_on_sqlite() {
    a_killed_server_loses_nothing_that_its_client_sends_again(Kind::Sqlite);
}

#[test]
fn a_killed_server_loses_nothing_on_postgresql() {
    a_killed_server_loses_nothing_that_its_client_sends_again(Kind::Postgres);
}

#[test]
fn a_server_that_was_taken_over_from_says_so_to_its_sockets_and_writes_nothing() {
    let house = House::new(Kind::Postgres);
    let old = house.server(&["--flush-interval", "200ms"]);
    let (http, token, made) = enter(&old, "ada");
    let me = id(&made);
    let mut socket = Socket::open(old.address(), &token);
    let new = house.server(&[]);
    // The old one does not know yet: it still answers, and can bring nothing to the database.
    let (kind, applied) = socket.act(&me, json!({"modify_currency": {"gp": 5}}));
    assert_eq!((kind.as_str(), &applied["durable"]), ("applied", &json!(1)));
    assert_eq!(socket.closed().1, 4401);
    let found = Http::new(new.address()).with_token(&token).get(&format!("/characters/{me}"));
    assert_eq!(found.json["currency"]["gp"], json!(0), "what a zombie applied is nowhere");
    let refused = http.get(&format!("/characters/{me}"));
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
    assert_eq!(http.get("/health/ready").status, 503);
    assert!(new.terminate().success());
}

#[test]
fn a_second_server_on_the_same_file_says_so_and_ends() {
    use std::process::Command;

    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let second = Command::new(env!("CARGO_BIN_EXE_castellan"))
        .current_dir(house.folder())
        .args(["--listen", "127.0.0.1:0"])
        .output()
        .expect("it starts");
    assert!(!second.status.success());
    let errors = String::from_utf8_lossy(&second.stderr);
    assert!(errors.contains("another server"), "{errors}");
    let account = Command::new(env!("CARGO_BIN_EXE_castellan"))
        .current_dir(house.folder())
        .args(["account", "create", "bea"])
        .output()
        .expect("it starts");
    assert!(account.status.success(), "accounts are made beside a running server");
    assert!(server.terminate().success());
}
