//! Clients that do not read what they are sent.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Kind, Socket};
use crate::play::{House, enter, id};

#[test]
fn a_slow_reader_gets_the_newest_state_and_never_a_backlog() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let [mut actor, mut reader] = [(); 2].map(|()| Socket::open(server.address(), &token));
    reader.call("watch", json!({"character": me}));
    let changes = 20_000;
    for _ in 0..changes / 100 {
        let ids: Vec<_> = (0..100)
            .map(|_| {
                actor.ask("intent", json!({"character": me, "expect": 0, "action": {"modify_currency": {"cp": 1}}}))
            })
            .collect();
        assert_eq!(actor.answer(ids[99]).0, "applied");
    }
    let mut states = 0;
    loop {
        let state = reader.wait_for("state");
        states += 1;
        if state["character"]["version"] == json!(changes + 1) {
            break;
        }
    }
    assert!(states < changes, "{states} states for {changes} changes: a backlog was kept");
}

/// How long the server may take to give up on somebody, from the first state that is not read.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn who_does_not_read_at_all_is_closed_and_the_others_play_on() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (http, token, made) = enter(&server, "ada");
    let me = id(&made);
    let [mut actor, mut reader] = [(); 2].map(|()| Socket::open(server.address(), &token));
    reader.call("watch", json!({"character": me}));
    let (began, mut version) = (Instant::now(), 1);
    let verdict = r#"castellan_socket_closes_total{code="4403"} 1"#;
    while !http.get("/metrics").text.contains(verdict) {
        for _ in 0..200 {
            let (kind, applied) = actor.act(&me, json!({"modify_currency": {"cp": 1}}));
            version += 1;
            assert_eq!((kind.as_str(), &applied["character"]["version"]), ("applied", &json!(version)));
        }
        assert!(began.elapsed() < VERDICT_TIMEOUT, "{version} states and no verdict");
    }
    // There is room again as soon as it reads: behind what was sent it finds why it was closed.
    let (closing, code) = reader.closed();
    assert_eq!((code, closing["code"].as_u64()), (4403, Some(4403)));
    assert!(closing["retry_after_ms"].is_u64(), "it may come back");
    let mut again = Socket::open(server.address(), &token);
    assert_eq!(again.call("fetch", json!({"character": me})).1["character"]["version"], json!(version));
}
