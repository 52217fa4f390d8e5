//! The socket's contract from outside: what is refused, what closes, and that the rest goes on as before.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id};

const JSON: &str = "castellan.v1.json";

fn status(result: Result<Socket, Error>) -> u16 {
    match result {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("an answer was to come, not {error}"),
    }
}

#[test]
fn a_bad_frame_is_refused_and_changes_neither_the_character_nor_the_connection() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (http, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    let intent = |action: Value| json!({"intent": {"id": 7, "character": me, "expect": 0, "action": action}});
    let table = [
        (json!({"fly": {"id": 7}}), "unknown_frame", "fly"),
        (json!({"intent": {"id": 7, "character": me, "expect": 0}}), "malformed", "action"),
        (json!({"intent": {"id": 7, "character": me, "action": {"long_rest": {}}}}), "version_required", "after"),
        (
            json!({"intent": {"id": 7, "character": me, "after": 0, "expect": 1, "action": {"long_rest": {}}}}),
            "version_required",
            "exactly one",
        ),
        (
            json!({"intent": {"id": 7, "character": 5, "expect": 0, "action": {"long_rest": {}}}}),
            "malformed",
            "character",
        ),
        (intent(json!({"dance": {}})), "unknown_action", "dance"),
        (intent(json!("long_rest")), "malformed", "action"),
        (intent(json!({"long_rest": {}, "stabilize": {}})), "malformed", "action"),
        (intent(json!({"modify_hitpoints": {"delta": "ten"}})), "malformed", "delta"),
        (intent(json!({"modify_hitpoints": {"delta": 1.5}})), "malformed", "delta"),
        (intent(json!({"modify_hitpoints": {"delta": 1e300}})), "malformed", "delta"),
        (intent(json!({"modify_hitpoints": {"delta": 0}})), "malformed", "delta"),
        (intent(json!({"modify_hitpoints": {"delta": -1, "force": 2}})), "malformed", "force"),
        (intent(json!({"modify_hitpoints": {}})), "malformed", "delta"),
        (intent(json!({"add_item": {"item": "arrow", "quantity": -1}})), "malformed", "quantity"),
        (intent(json!({"add_item": {"item": "", "quantity": 1}})), "unknown_item", "item"),
        (intent(json!({"add_item": {"item": "x".repeat(9_000), "quantity": 1}})), "unknown_item", "item"),
        (intent(json!({"rename": {"name": " \u{200b} "}})), "invalid_name", "name"),
        (intent(json!({"modify_currency": {"gp": -1}})), "insufficient_funds", ""),
    ];
    for (frame, code, named) in table {
        socket.send_text(&frame.to_string());
        let (kind, refused) = socket.answer(7);
        assert_eq!((kind.as_str(), refused["code"].as_str()), ("rejected", Some(code)), "{frame}");
        let message = refused["message"].as_str().expect("a sentence");
        assert!(message.contains(named) && message.len() < 400, "{message:?} names {named}");
        assert!(refused.get("retry_after_ms").is_none(), "{frame} is refused for good");
    }
    let stranger =
        json!({"character": "00000000-0000-4000-8000-000000000000", "expect": 0, "action": {"long_rest": {}}});
    assert_eq!(socket.call("intent", stranger).1["code"], "no_such_character");
    let named = json!({"character": me, "user": "00000000-0000-4000-8000-000000000000"});
    assert_eq!(socket.call("fetch", named).1["code"], "no_such_character", "only game servers name another user");

    // Keys that are nil or unknown in frames do not matter.
    let lenient = json!({"intent": {"id": 7.0, "character": me, "expect": 1.0, "after": null, "news": [1],
        "action": {"modify_hitpoints": {"delta": -1.0, "critical": null}, "fly": null}}, "watch": null});
    socket.send_text(&lenient.to_string());
    let (kind, applied) = socket.answer(7);
    assert_eq!((kind.as_str(), &applied["character"]["version"]), ("applied", &json!(2)), "nothing had changed before");
    assert_eq!(http.get(&format!("/characters/{me}")).json["hitpoints"], applied["character"]["hitpoints"]);
}

#[test]
fn what_is_no_frame_closes_the_socket_with_the_code_that_the_wire_names() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, _) = enter(&server, "ada");
    let open = || Socket::open(server.address(), &token);
    for text in ["", "{", "[]", "7", "{}", r#"{"ping":null}"#, r#"{"ping":{},"watch":{}}"#, r#"{"ping":[]}"#, "{}{}"] {
        let mut socket = open();
        socket.send_text(text);
        let (closing, code) = socket.closed();
        assert_eq!((code, closing["code"].as_u64()), (4500, Some(4500)), "{text}");
    }
    let mut binary = open();
    binary.send(Message::binary(vec![0x81, 0xa4, b'p', b'i', b'n', b'g', 0x80]));
    assert_eq!(binary.closed().1, 4500, "MessagePack on the JSON subprotocol");
    let mut large = open();
    large.send_text(&format!("\"{}\"", "x".repeat(16 * 1024)));
    assert_eq!(large.closed().1, 1009);
    let mut nested = open();
    nested.send_text(&format!("{}{}", r#"{"a":"#.repeat(2_000), "}".repeat(2_000)));
    assert_eq!(nested.closed().1, 4500);
    assert_eq!(open().call("ping", json!({})).0, "pong", "the server goes on");
}

#[test]
fn a_handshake_is_refused_before_it_costs_anything() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, _) = enter(&server, "ada");
    let good = format!("Bearer {token}");
    let bare = |authorization: &str, protocol: &str, query: &str| {
        Socket::bare(server.address(), authorization, protocol, query)
    };
    assert_eq!(status(bare("", JSON, "")), 401);
    assert_eq!(status(bare("Bearer nonsense", JSON, "")), 401);
    assert_eq!(status(bare(&format!("{good}x"), JSON, "")), 401, "a forged one");
    assert_eq!(status(bare(&good, "castellan.v9", "")), 400);
    let _sockets: Vec<_> = (0..4).map(|_| Socket::open(server.address(), &token)).collect();
    assert_eq!(status(bare(&good, JSON, "")), 429, "the fifth socket of a session");
    let (_, token, _) = enter(&server, "bea");
    let good = format!("Bearer {token}");
    let client = "?client=9b2c1f4e-0000-4000-8000-0123456789ab";
    let older = bare(&good, JSON, client).expect("an upgrade");
    let mut newer = bare(&good, JSON, client).expect("an upgrade");
    assert_eq!(older.closed().1, 1000, "the newer connection of a client ends the older");
    assert_eq!(newer.next().0, "welcome");
}

#[test]
fn a_session_ends_everywhere_at_once_and_stays_ended() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (http, token, _) = enter(&server, "ada");
    let socket = Socket::open(server.address(), &token);
    assert_eq!(http.call("POST", "/session/logout", &[], None).status, 204);
    assert_eq!(socket.closed().1, 4501);
    assert_eq!(http.get("/characters").status, 401);
    let bearer = format!("Bearer {token}");
    let late = Socket::bare(server.address(), &bearer, JSON, "").expect("let in to be told");
    assert_eq!(late.closed().1, 4501);
    assert!(server.terminate().success());
    let server = house.server(&[]);
    let again = Http::new(server.address()).with_token(&token);
    assert_eq!(again.get("/characters").code(), "unauthenticated", "after a restart too");
    let late = Socket::bare(server.address(), &bearer, JSON, "").expect("let in to be told");
    assert_eq!(late.closed().1, 4501);
}

#[test]
fn a_token_that_runs_out_closes_the_socket_unless_a_newer_one_came() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--auth-access-ttl", "2s"]);
    let (http, session) = Http::new(server.address()).login("ada", "open sesame");
    let token = session["token"].as_str().expect("a token");
    let lapsing = Socket::open(server.address(), token);
    let mut renewed = Socket::open(server.address(), token);
    let (_, other) = Http::new(server.address()).login("bea", "open sesame");
    let (kind, refused) = renewed.call("refresh", json!({"token": other["token"]}));
    assert_eq!((kind.as_str(), &refused["code"]), ("rejected", &json!("wrong_session")));
    assert_eq!(renewed.call("refresh", json!({"token": "x"})).1["code"], "unauthenticated");
    assert_eq!(lapsing.closed().1, 4502);
    let newer = http.post("/session/refresh", &json!({"refresh_token": session["refresh_token"]}));
    assert_eq!(newer.status, 200, "{newer:?}");
    let mut fresh = Socket::open(server.address(), newer.json["token"].as_str().expect("a token"));
    assert_eq!(fresh.call("ping", json!({})).0, "pong");
}

#[test]
fn intents_that_wait_for_a_commit_are_bounded_and_answered_after_it() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--flush-interval", "30s"]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    let wait = json!({"character": me, "expect": 0, "ack": "durable", "action": {"modify_currency": {"cp": 1}}});
    let ids: Vec<_> = (0..200).map(|_| socket.ask("intent", wait.clone())).collect();
    let (mut applied, mut refused) = (BTreeMap::new(), 0);
    while applied.len() + refused < ids.len() {
        let (kind, fields) = socket.next();
        match kind.as_str() {
            "applied" => {
                applied.insert(fields["id"].as_u64().expect("an id"), fields["durable"].as_u64().expect("a version"));
            }
            "rejected" => {
                assert_eq!(fields["code"], "too_many_in_flight");
                refused += 1;
            }
            "durable" => {}
            other => panic!("{other} was not to come"),
        }
    }
    assert!(applied.len() >= 64, "{} applied and {refused} refused", applied.len());
    // The first was based on version 1.
    for ((id, durable), version) in applied.into_iter().zip(2..) {
        assert!(durable >= version, "{id} made version {version}, durable up to {durable}");
    }
}

#[test]
fn an_answer_that_waited_for_its_commit_shows_a_state_that_is_safe() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--flush-interval", "30s", "--durable-timeout", "5m"]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut socket = Socket::open(server.address(), &token);
    let mut other = Socket::open(server.address(), &token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let file = house.folder().join("data/castellan.db");
    let mut file = runtime.block_on(SqliteConnection::connect(file.to_str().expect("a path"))).expect("the file opens");
    let copper = json!({"modify_currency": {"cp": 1}});

    // The flusher has the first change and waits for the file while somebody else makes the second.
    let held = runtime.block_on(file.begin_with("BEGIN IMMEDIATE")).expect("a transaction");
    let first = json!({"character": me, "expect": 0, "ack": "durable", "action": copper});
    let first = socket.ask("intent", first);
    assert_eq!(socket.call("ping", json!({})).0, "pong");
    assert_eq!(other.act(&me, copper).0, "applied");
    runtime.block_on(held.rollback()).expect("the file is free");

    let (kind, applied) = socket.answer(first);
    assert_eq!(
        (kind.as_str(), &applied["character"]["version"], &applied["durable"]),
        ("applied", &json!(3), &json!(3))
    );
}

#[test]
fn who_sends_above_the_rate_is_refused_and_at_last_closed() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--socket-rate-per-second", "5", "--socket-rate-burst", "5"]);
    let (_, token, _) = enter(&server, "ada");
    let mut socket = Socket::open(server.address(), &token);
    for _ in 0..5 {
        assert_eq!(socket.call("ping", json!({})).0, "pong");
    }
    let (kind, refused) = socket.call("ping", json!({}));
    assert_eq!((kind.as_str(), &refused["code"]), ("rejected", &json!("rate_limited")));
    assert!(refused["retry_after_ms"].as_u64() > Some(0));
    for _ in 0..1_100 {
        socket.ask("ping", json!({}));
    }
    assert_eq!(socket.closed().1, 4404);
}

/// Sends these messages in turn and returns the close code.
fn flood(arguments: &[&str], messages: &[Message]) -> u16 {
    let house = House::new(Kind::Sqlite);
    let server = house.server(arguments);
    let (_, token, _) = enter(&server, "ada");
    let mut socket = Socket::open(server.address(), &token);
    for message in messages.iter().cycle().take(1_500) {
        socket.send(message.clone());
    }
    socket.closed().1
}

const SLOW: [&str; 4] = ["--socket-rate-per-second", "50", "--socket-rate-burst", "50"];

#[test]
fn whatever_comes_above_the_rate_ends_the_connection() {
    let text = |text: &str| Message::Text(text.into());
    let fragment = |opcode, is_final| Message::Frame(Frame::message(Vec::new(), OpCode::Data(opcode), is_final));
    let floods: [(&str, Vec<Message>); 6] = [
        ("pings", vec![Message::Ping(Vec::new().into())]),
        ("pongs", vec![Message::Pong(Vec::new().into())]),
        ("fragments", vec![fragment(Data::Text, false), fragment(Data::Continue, false), text_end()]),
        ("unknown frames", vec![text(r#"{"fly":{"id":7}}"#)]),
        ("unknown actions", vec![text(r#"{"intent":{"id":7,"character":"x","action":{"dance":{}}}}"#)]),
        ("malformed frames", vec![text(r#"{"ping":{"id":"seven"}}"#)]),
    ];
    for (name, messages) in floods {
        assert_eq!(flood(&SLOW, &messages), 4404, "{name}");
    }
}

/// The last fragment of an empty ping frame's text.
fn text_end() -> Message {
    Message::Frame(Frame::message(r#"{"ping":{"id":7}}"#.as_bytes().to_vec(), OpCode::Data(Data::Continue), true))
}

/// Some of them are within the rate, whatever the machine's speed; the others count all the same.
#[test]
fn frames_within_the_rate_do_not_excuse_those_above_it() {
    let ping = Message::Text(r#"{"ping":{"id":7}}"#.into());
    assert_eq!(flood(&["--socket-rate-per-second", "500", "--socket-rate-burst", "1"], &[ping]), 4404);
}

#[test]
fn who_is_not_heard_of_is_pinged_and_then_closed() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--socket-ping-interval", "150ms"]);
    let (_, token, _) = enter(&server, "ada");
    let mut lively = Socket::open(server.address(), &token);
    let silent = Socket::open(server.address(), &token);
    let (began, mut pings) = (std::time::Instant::now(), 0);
    // Reading answers pings by itself; `silent` reads nothing meanwhile.
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(lively.call("ping", json!({})).0, "pong");
        pings += 1;
    }
    assert!(pings > 0);
    assert_eq!(silent.closed().1, 4402);
}

#[test]
fn a_stop_tells_the_sockets_and_ends_well() {
    let house = House::new(Kind::Sqlite);
    let server: Server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let mut socket = Socket::open(server.address(), &token);
    socket.act(&id(&made), json!({"modify_currency": {"gp": 9}}));
    let reader = std::thread::spawn(move || socket.closed());
    assert!(server.terminate().success());
    let (closing, code) = reader.join().expect("it was told");
    assert_eq!((code, closing["code"].as_u64()), (4400, Some(4400)));
    assert!(closing["retry_after_ms"].as_u64().is_some());
}
