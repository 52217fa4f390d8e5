//! The WebSocket handshake.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_srd::wire::{CloseCode, Codec};

use tokio::time::timeout;

use super::*;
use crate::rate::Rate;
use crate::socket::{self, Line, Workers};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const UPGRADE: [&str; 4] = ["Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13", KEY];

impl House {
    /// Sends a handshake followed by more bytes; returns the answer's head and the open connection.
    async fn knock(&self, target: &str, headers: &[&str]) -> (Answer, TcpStream) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\nbehind");
        stream.write_all(request.as_bytes()).await.expect("to send");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (Answer { status, head, text: String::new() }, stream)
    }

    pub(super) async fn upgrade(&self, target: &str, token: &str, more: &[&str]) -> Answer {
        let token = format!("Authorization: Bearer {token}");
        self.knock(target, &[&UPGRADE[..], &[&token], more].concat()).await.0
    }
}

#[tokio::test]
async fn the_bare_connection_is_handed_over_with_the_bytes_read_after_the_handshake() {
    let mut house = house(&[]).await;
    let grant = house.session("ada", Role::Player).await;
    let token = format!("Authorization: Bearer {}", grant.token);
    let (answer, mut stream) = house.knock("/socket", &[&UPGRADE[..], &[&token]].concat()).await;
    assert_eq!(answer.status, 101);
    // Key and answer are the example of RFC 6455, section 1.3.
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    let accepted = house.accepted.recv().await.expect("a connection");
    assert_eq!(accepted.codec, Codec::MessagePack);
    assert_eq!(accepted.ticket.as_ref().map(|(session, _)| *session).ok(), Some(grant.session));
    let Line::Plain(mut bare) = accepted.line else { panic!("there is no TLS") };
    assert!(bare.nodelay().expect("an option"));
    bare.set_nonblocking(false).expect("an option");
    stream.write_all(b" and more").await.expect("to send");
    stream.shutdown().await.expect("an end");
    let rest = tokio::task::spawn_blocking(move || {
        let mut rest = accepted.leftover.to_vec();
        bare.read_to_end(&mut rest).expect("the rest");
        rest
    });
    assert_eq!(rest.await.expect("the rest"), b"behind and more");
}

#[tokio::test]
async fn a_browser_may_send_its_token_as_a_subprotocol() {
    let mut house = house(&["--origins=https://play.example.com"]).await;
    let token = house.token("ada").await;
    for (list, codec, echo) in [
        (format!("castellan.v1.json, bearer.{token}"), Codec::Json, "castellan.v1.json"),
        (format!("bearer.{token}, castellan.v1.msgpack"), Codec::MessagePack, "castellan.v1.msgpack"),
        (format!("soap, castellan.v1.json, castellan.v1.msgpack, bearer.{token}"), Codec::Json, "castellan.v1.json"),
    ] {
        let list = format!("Sec-WebSocket-Protocol: {list}");
        let headers = [&UPGRADE[..], &[&list, "Origin: https://play.example.com"]].concat();
        let (answer, _stream) = house.knock("/socket", &headers).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some(echo)), "{list}");
        assert_eq!(house.accepted.recv().await.expect("a connection").codec, codec);
    }
}

#[tokio::test]
async fn a_bad_handshake_is_refused_before_the_upgrade() {
    let house = house(&["--origins=https://play.example.com"]).await;
    let token = house.token("ada").await;
    let bearer = format!("Authorization: Bearer {token}");
    let only_bearer = format!("Sec-WebSocket-Protocol: bearer.{token}");
    let [upgrade, connection, version, key] = UPGRADE;
    let cases: &[(&str, Vec<&str>, u16)] = &[
        ("/socket", UPGRADE.to_vec(), 401),
        ("/socket", [&UPGRADE[..], &["Authorization: Bearer x.y.z"]].concat(), 401),
        ("/socket", [&UPGRADE[..], &["Sec-WebSocket-Protocol: castellan.v1.json, bearer.x"]].concat(), 401),
        (&format!("/socket?token={token}"), UPGRADE.to_vec(), 401),
        ("/socket", [&UPGRADE[..], &[&bearer, "Origin: https://evil.example.com"]].concat(), 403),
        ("/socket", [&UPGRADE[..], &[&bearer, "Origin: null"]].concat(), 403),
        ("/socket", [&UPGRADE[..], &[&bearer, "Sec-WebSocket-Protocol: soap"]].concat(), 400),
        ("/socket", [&UPGRADE[..], &[&only_bearer]].concat(), 400),
        ("/socket?client=me", [&UPGRADE[..], &[&bearer]].concat(), 400),
        ("/socket?reply=whole", [&UPGRADE[..], &[&bearer]].concat(), 400),
        ("/socket?reply=", [&UPGRADE[..], &[&bearer]].concat(), 400),
        ("/socket?reply=changes&reply=changes", [&UPGRADE[..], &[&bearer]].concat(), 400),
        ("/socket", vec![&bearer], 426),
        ("/socket", vec![&bearer, connection, version, key], 426),
        ("/socket", vec![&bearer, upgrade, version, key], 426),
        ("/socket", vec![&bearer, upgrade, connection, "Sec-WebSocket-Version: 8", key], 426),
        ("/socket", vec![&bearer, upgrade, connection, version], 400),
        ("/socket", vec![&bearer, upgrade, connection, version, "Sec-WebSocket-Key: short"], 400),
    ];
    for (target, headers, status) in cases {
        let (answer, _stream) = house.knock(target, headers).await;
        assert_eq!(answer.status, *status, "{target} {headers:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), *status == 401);
        assert_eq!(answer.header("sec-websocket-version"), (*status == 426).then_some("13"));
    }
}

#[tokio::test]
async fn an_ended_session_is_accepted_and_closed_with_the_reason() {
    let mut house = house(&[]).await;
    let over = house.session("ada", Role::Player).await;
    house.auth.revoke(over.session.id, over.session.user).await.expect("an end");
    assert_eq!(house.upgrade("/socket", &over.token, &[]).await.status, 101);
    let told = house.accepted.recv().await.expect("a connection").ticket.expect_err("an order");
    assert_eq!(told.code, CloseCode::SessionRevoked);
    let late = house.token("ada").await;
    AHEAD_MS.set(901_000);
    assert_eq!(house.upgrade("/socket", &late, &[]).await.status, 101);
    let told = house.accepted.recv().await.expect("a connection").ticket.expect_err("an order");
    assert_eq!(told.code, CloseCode::TokenExpired);
}

#[tokio::test]
async fn a_session_has_four_sockets_and_a_client_replaces_its_own() {
    let mut house = house(&[]).await;
    let token = house.token("ada").await;
    let client = "/socket?client=f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let mut open = Vec::new();
    for target in [client, "/socket", "/socket", "/socket"] {
        assert_eq!(house.upgrade(target, &token, &[]).await.status, 101);
        open.push(house.accepted.recv().await.expect("a connection"));
    }
    let refused = house.upgrade("/socket", &token, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(house.upgrade(client, &token, &[]).await.status, 101);
    let (_, older) = open[0].ticket.as_ref().expect("a seat");
    assert!(older.mailbox().is_closing(), "the older socket of the same client ends");
    let another = house.token("ada").await;
    assert_eq!(house.upgrade("/socket", &another, &[]).await.status, 101, "another session has its own sockets");
}

#[tokio::test]
async fn a_full_server_takes_no_more_sockets() {
    let mut house = house(&["--socket-connections-max=1"]).await;
    let token = house.token("ada").await;
    assert_eq!(house.upgrade("/socket", &token, &[]).await.status, 101);
    let first = house.accepted.recv().await.expect("a connection");
    let refused = house.upgrade("/socket", &token, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(first);
    assert_eq!(house.upgrade("/socket", &token, &[]).await.status, 101);
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_so_has_an_address() {
    let flags = ["--socket-connections-per-user=2", "--socket-connections-per-address=3"];
    let mut house = house(&flags).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let token = house.token("ada").await;
        assert_eq!(house.upgrade("/socket", &token, &[]).await.status, 101);
        open.push(house.accepted.recv().await.expect("a connection"));
    }
    let refused = house.upgrade("/socket", &house.token("ada").await, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "whatever the session");
    assert_eq!(house.upgrade("/socket", &house.token("bea").await, &[]).await.status, 101);
    open.push(house.accepted.recv().await.expect("a connection"));
    assert_eq!(house.upgrade("/socket", &house.token("carl").await, &[]).await.status, 429, "from the same address");
    let game = house.session("engine", Role::Game).await.token;
    assert_eq!(house.upgrade("/socket", &game, &[]).await.status, 101, "a game server has no such limit");
    open.clear();
    assert_eq!(house.upgrade("/socket", &house.token("carl").await, &[]).await.status, 101);
}

#[tokio::test]
async fn one_user_does_not_take_all_sockets_of_a_server() {
    let mut house = house(&["--socket-connections-max=4"]).await;
    let ada = house.token("ada").await;
    let mut open = Vec::new();
    for _ in 0..4 {
        assert_eq!(house.upgrade("/socket", &ada, &[]).await.status, 101);
        open.push(house.accepted.recv().await.expect("a connection"));
    }
    let another = house.token("ada").await;
    assert_eq!(house.upgrade("/socket", &another, &[]).await.status, 503);
    assert_eq!(house.upgrade("/socket", &house.token("bea").await, &[]).await.status, 101);
    let closing = open.iter().filter_map(|accepted| accepted.ticket.as_ref().ok()?.1.mailbox().order());
    assert_eq!(closing.map(|order| order.code).collect::<Vec<_>>(), [CloseCode::GoingAway]);
}

#[tokio::test]
async fn an_address_may_try_so_many_handshakes() {
    let house = house(&["--socket-handshakes-per-second=1", "--socket-handshakes-burst=3"]).await;
    let token = house.token("ada").await;
    let mut tried = 0;
    while house.upgrade("/socket", "no.such.token", &[]).await.status == 401 {
        tried += 1;
        assert!(tried < 100, "there is no limit");
    }
    assert!(tried >= 3, "{tried} at once");
    let refused = house.upgrade("/socket", &token, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
}

/// A connection whose task panics, for want of a better way by its clock, and one beside it on the same thread.
#[tokio::test]
async fn a_panic_costs_the_connection_that_it_happens_on_and_nothing_else() {
    let mut house = house(&[]).await;
    let breaks = Arc::new(AtomicBool::new(false));
    let clock: Clock = {
        let (machine, breaks) = (system_clock(), Arc::clone(&breaks));
        Arc::new(move || if breaks.swap(false, Ordering::SeqCst) { panic!("a clock that breaks") } else { machine() })
    };
    let context = Arc::new(socket::Context {
        shards: Arc::clone(&house.shards),
        auth: Arc::clone(&house.auth),
        policy: Arc::new(Policy::permissive::<Srd>()),
        audit: house.audit.clone(),
        settings: socket::SocketSettings {
            ping_interval: Duration::from_secs(20),
            watch_max: 64,
            rate: Rate::new(100, 100),
            slow_consumer: Duration::from_secs(10),
            durable_timeout: Duration::from_secs(10),
            read_buffer_bytes: 1_024,
        },
        clock,
    });
    let serve = || {
        let context = Arc::clone(&context);
        move |accepted| crate::socket::serve(accepted, Arc::clone(&context))
    };
    let workers = Workers::start(1, false, serve).expect("a thread");
    let token = format!("Authorization: Bearer {}", house.token("ada").await);
    house.character(token.trim_start_matches("Authorization: Bearer ")).await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(house.address).await.expect("a connection");
        let lines = [&UPGRADE[..], &[&token, "Sec-WebSocket-Protocol: castellan.v1.json"]].concat().join("\r\n");
        stream
            .write_all(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes())
            .await
            .expect("to send");
        let accepted = house.accepted.recv().await.expect("a connection");
        let mailbox = accepted.ticket.as_ref().expect("a seat").1.mailbox().clone();
        assert!(workers.hand_over(accepted));
        until_it_reads(&mut stream, "welcome").await;
        connections.push((stream, mailbox));
    }
    let [(mut broken, its_mailbox), (mut beside, _)] = <[_; 2]>::try_from(connections).expect("two");
    breaks.store(true, Ordering::SeqCst);
    broken.write_all(PING).await.expect("to send");
    let mut rest = Vec::new();
    // Closed or reset: either way it is over.
    let _ = broken.read_to_end(&mut rest).await;
    let forgotten = async {
        while its_mailbox.is_shared() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), forgotten).await.expect("the shards forget a connection that panicked");
    beside.write_all(PING).await.expect("to send");
    until_it_reads(&mut beside, "pong").await;
}

/// `{"ping":{}}` as a text message, masked with zeros (RFC 6455, section 5.2).
const PING: &[u8] = b"\x81\x8b\0\0\0\0{\"ping\":{}}";

/// Reads until something has come that holds these letters.
async fn until_it_reads(stream: &mut TcpStream, letters: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(letters) {
        read.push(stream.read_u8().await.expect("an answer"));
    }
}
