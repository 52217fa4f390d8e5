//! A place for everybody: one address or one user cannot shut the others out, and the operator sees who tries.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Http, Kind, Socket};
use crate::play::{House, enter, id};

/// How long an answer may take that must not wait.
const AT_ONCE: Duration = Duration::from_secs(3);

/// How long the server may take to write a line in its log.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects from 127.0.0.`last`.
fn connect_from(last: u8, server: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, last], 0).into()).expect("an address of loopback");
        socket.connect(server).await.expect("a connection").into_std().expect("a stream")
    });
    stream.set_nonblocking(false).expect("an option");
    stream.set_read_timeout(Some(AT_ONCE)).expect("an option");
    stream
}

/// The status of `GET path`, asked from 127.0.0.`last` with this header line; `None` if the server ends the connection.
fn get_from(last: u8, server: SocketAddr, path: &str, line: &str) -> Option<u16> {
    let mut stream = connect_from(last, server);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{line}\r\n").as_bytes()).expect("to send");
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

/// The refusals by limit, those that are not 0.
fn refused(http: &Http) -> BTreeMap<String, u64> {
    let text = http.get("/metrics").text;
    let lines =
        text.lines().filter_map(|line| line.strip_prefix("castellan_refused_total{limit=\"")?.split_once("\"} "));
    lines.map(|(limit, count)| (limit.to_owned(), count.parse().expect("a number"))).filter(|(_, n)| *n > 0).collect()
}

#[test]
fn idle_connections_of_one_address_neither_fill_the_server_nor_slow_it_down() {
    let house = House::new(Kind::Sqlite);
    let arguments =
        ["--http-connections-per-address", "100", "--http-connections-max", "150", "--http-header-timeout", "10m"];
    let server = house.server(&arguments);
    let (address, began) = (server.address(), Instant::now());
    let idle: Vec<_> = (0..300).map(|_| connect_from(9, address)).collect();
    let more: Vec<_> = (0..300).map(|_| connect_from(8, address)).collect();
    for last in 20..60 {
        let asked = Instant::now();
        assert_eq!(get_from(last, address, "/health/live", ""), Some(200), "from 127.0.0.{last}");
        assert!(asked.elapsed() < AT_ONCE);
    }
    let http = Http::new(address);
    let refused = refused(&http);
    // The first one takes 100 places, the second one the rest, and those that the first gives up: 75 each.
    assert!(refused["connections_per_address"] >= 200, "{refused:?}");
    assert!(refused["connections"] >= 225, "{refused:?}");

    let lines = || -> Vec<String> {
        let log = house.log();
        log.lines().filter(|line| line.contains("a limit has refused clients")).map(str::to_owned).collect()
    };
    while lines().len() < 2 {
        assert!(began.elapsed() < PATIENCE, "{}", house.log());
        std::thread::yield_now();
    }
    let lines = lines();
    assert!(
        lines.iter().any(|line| line.contains("connections_per_address") && line.contains("127.0.0.9")),
        "{lines:?}"
    );
    if began.elapsed() < Duration::from_secs(60) {
        assert_eq!(lines.len(), 2, "a line a minute for each limit: {lines:?}");
    }
    drop((idle, more));
}

#[test]
fn one_user_takes_neither_all_sessions_nor_all_sockets() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--socket-connections-max", "12", "--socket-connections-per-user", "10"]);
    let (http, token, made) = enter(&server, "ada");
    let login = |name: &str| Http::new(server.address()).login(name, "open sesame").1;
    let token_of = |session: &serde_json::Value| session["token"].as_str().expect("a token").to_owned();
    let hers: Vec<_> = (0..40).map(|_| token_of(&login("bea"))).collect();
    let statuses: Vec<_> = hers.iter().map(|token| http.with_token(token).get("/session").status).collect();
    assert_eq!(statuses, [vec![401; 8], vec![200; 32]].concat(), "the oldest sessions have ended");

    let open = |token: &str| Socket::bare(server.address(), &format!("Bearer {token}"), "castellan.v1.json", "");
    let sockets: Vec<_> = hers[8..].iter().filter_map(|token| open(token).ok()).collect();
    assert_eq!(sockets.len(), 10);
    let mut players: Vec<_> =
        (0..4).map(|number| open(&token_of(&login(&format!("player{number}")))).expect("a place")).collect();
    players.push(open(&token).expect("a place"));
    for player in &mut players {
        assert_eq!(player.next().0, "welcome");
    }
    let (kind, state) = players[4].call("fetch", json!({"character": id(&made)}));
    assert_eq!((kind.as_str(), &state["character"]["id"]), ("state", &json!(id(&made))));
    // Three of hers have made room.
    let (began, closed) = (Instant::now(), r#"castellan_socket_closes_total{code="4400"} 3"#);
    while !http.get("/metrics").text.contains(closed) {
        assert!(began.elapsed() < PATIENCE, "{}", http.get("/metrics").text);
    }
    let refused = refused(&http);
    assert_eq!([refused["sessions"], refused["sockets_per_user"], refused["sockets"]], [8, 22, 3], "{refused:?}");
}

#[test]
fn a_trusted_proxy_says_who_the_client_is() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[
        "--trusted-proxies",
        "127.0.0.5",
        "--admin-listen",
        "players",
        "--http-anonymous-burst",
        "1",
        "--http-anonymous-per-second",
        "1",
    ]);
    let ask = |last, client: u8| {
        let line = format!("X-Forwarded-For: 198.51.100.{client}\r\n");
        get_from(last, server.address(), "/catalogue", &line)
    };
    let until_refused = |last, client| (0..1_000).find(|_| ask(last, client) == Some(429)).expect("a limit");
    until_refused(5, 1);
    assert_eq!(ask(5, 2), Some(200), "another client of the proxy");
    until_refused(6, 3);
    // Nobody else can pretend to be another client; each second allows one more.
    let answers: Vec<_> = (10..60).map(|client| ask(6, client)).collect();
    assert!(answers.iter().filter(|answer| **answer == Some(429)).count() > 25, "{answers:?}");
}
