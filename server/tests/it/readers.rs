//! Clients that do not read what they are sent.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
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

/// Most bytes that the kernel may hold for one connection with the default settings. It allows twice what is set, for
/// its own records, and the rest of what it has begun to take.
const HELD_BYTES_MAX: u64 = 3 * 128 * 1_024;

/// Unacknowledged and unsent bytes on the server's side of a loopback connection. Source: proc_net_tcp(5).
fn held_for(server_port: u16, client_port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let ends = format!(" 0100007F:{server_port:04X} 0100007F:{client_port:04X} ");
    let line = table.lines().find(|line| line.contains(&ends));
    let queues = line.and_then(|line| line.split_whitespace().nth(4));
    queues.map_or(0, |queues| u64::from_str_radix(&queues[..8], 16).expect("hexadecimal"))
}

#[test]
fn the_kernel_holds_little_for_somebody_who_asks_and_never_reads() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (http, token, made) = enter(&server, "ada");
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    let lines = [
        "GET /socket HTTP/1.1",
        "Host: a",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: castellan.v1.json",
        &format!("Authorization: Bearer {token}\r\n\r\n"),
    ];
    stream.write_all(lines.join("\r\n").as_bytes()).expect("to send");
    // A text message, masked with zeros (RFC 6455, section 5.2).
    let text = json!({"fetch": {"id": 1, "character": id(&made)}}).to_string();
    let frame = [&[0x81, 0x80 | u8::try_from(text.len()).expect("short"), 0, 0, 0, 0], text.as_bytes()].concat();
    assert!(text.len() < 126);
    // Answers of some 20 MB: until the server reads no more, or all are sent.
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("an option");
    let asked = (0..200).take_while(|_| stream.write_all(&frame.repeat(100)).is_ok()).count();
    assert!(asked > 10, "the server must have answered more than fits: {asked}");

    let client_port = stream.local_addr().expect("its end").port();
    let (began, mut held) = (Instant::now(), 0);
    while !http.get("/metrics").text.contains(r#"castellan_socket_closes_total{code="4403"} 1"#) {
        held = held.max(held_for(server.address().port(), client_port));
        assert!(began.elapsed() < VERDICT_TIMEOUT, "no verdict; the kernel holds {held} bytes");
    }
    assert!((1..=HELD_BYTES_MAX).contains(&held), "the kernel held {held} bytes");
    let mut rest = Vec::new();
    // What was asked last may never have been read: then a reset ends the connection.
    let _ = stream.read_to_end(&mut rest);
    assert!(String::from_utf8_lossy(&rest).contains(r#"{"closing":{"code":4403,"#), "it is told why");
}
