//! The limits of a connection, and how it ends.

use tokio::time::timeout;

use super::super::connection::{Connection, Stream, Times};
use super::super::places::Places;
use super::*;
use crate::network::Network;

/// Longer than any test needs; reaching it is a failure.
const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_client_that_sends_no_request_is_disconnected() {
    let house = house(&["--http-header-timeout=100ms"]).await;
    for begun in ["", "GET /health/live HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(house.address).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("to send");
        let mut rest = Vec::new();
        timeout(LONG, stream.read_to_end(&mut rest)).await.expect("an end in time").expect("an end");
    }
}

#[tokio::test]
async fn a_missing_body_times_out() {
    let house = house(&["--http-body-timeout=100ms"]).await;
    let head = "POST /session/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Content-Length: 100\r\n\r\n{{");
    let answer = timeout(LONG, house.raw(request.as_bytes())).await.expect("an answer in time");
    assert_eq!(answer.problem(), (408, "malformed".to_owned()));
}

#[tokio::test]
async fn a_session_above_its_rate_is_refused_and_told_when_to_retry() {
    let house = house(&["--http-rate-per-second=1", "--http-rate-burst=3"]).await;
    let (ada, bea) = (house.token("ada").await, house.token("bea").await);
    let mut granted = 0;
    // Each second allows one more: without a refusal by then there is no rate limit.
    let refused = loop {
        let answer = house.get("/session", &ada, &[]).await;
        if answer.status != 200 {
            break answer;
        }
        granted += 1;
        assert!(granted < 100, "this session has no rate limit");
    };
    assert!(granted >= 3, "{granted} at once");
    assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.json()["retry_after_ms"].as_u64().is_some_and(|ms| (1..=1_000).contains(&ms)), "{refused:?}");
    assert_eq!(house.get("/session", &bea, &[]).await.status, 200, "another session has its own rate");
}

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

impl House {
    /// Connects from one of the addresses of loopback: 127.0.0.`last`.
    pub(super) async fn connect_from(&self, last: u8) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, last], 0).into()).expect("an address of loopback");
        socket.connect(self.address).await.expect("a connection")
    }
}

/// Asks on a connection that stays open; returns the answer's status.
async fn ask(stream: &mut TcpStream) -> u16 {
    stream.write_all(REQUEST).await.expect("to send");
    let mut head = Vec::new();
    while !head.ends_with(b"}") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8_lossy(&head[9..12]).parse().expect("a status")
}

#[tokio::test]
async fn idle_connections_of_one_address_lock_nobody_out_of_a_full_server() {
    let house = house(&["--http-connections-max=4", "--http-connections-per-address=4"]).await;
    let [mut half_open, mut idle, mut busy, mut other] = [
        house.connect_from(1).await,
        house.connect_from(1).await,
        house.connect_from(1).await,
        house.connect_from(2).await,
    ];
    half_open.write_all(b"GET /health/live HT").await.expect("to send");
    busy.write_all(b"POST /session/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        .await
        .expect("to send");
    busy.write_all(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n").await.expect("to send");
    busy.read_exact(&mut [0; 25]).await.expect("the request has begun");
    assert_eq!((ask(&mut other).await, ask(&mut idle).await), (200, 200));

    let mut newcomer = house.connect_from(3).await;
    assert_eq!(timeout(LONG, ask(&mut newcomer)).await.expect("an answer in time"), 200);
    timeout(LONG, half_open.read_to_end(&mut Vec::new()))
        .await
        .expect("an end in time")
        .expect("the longest idle ends");
    let mut another = house.connect_from(4).await;
    assert_eq!(timeout(LONG, ask(&mut another)).await.expect("an answer in time"), 200);
    timeout(LONG, idle.read_to_end(&mut Vec::new())).await.expect("an end in time").expect("the next one ends");

    // Nobody has more than one now.
    let refused = timeout(LONG, read(&mut house.connect_from(1).await)).await.expect("an answer at once");
    assert_eq!((refused.problem(), refused.header("retry-after")), ((503, "overloaded".to_owned()), Some("1")));
    busy.write_all(b"{}").await.expect("to send");
    assert_eq!(timeout(LONG, ask(&mut busy)).await.expect("an answer in time"), 400, "a request is left alone");
    assert_eq!((ask(&mut other).await, ask(&mut newcomer).await, ask(&mut another).await), (200, 200, 200));
}

#[tokio::test]
async fn an_address_has_a_limit_of_open_connections() {
    let house = house(&["--http-connections-per-address=2"]).await;
    let mut held = [house.connect_from(1).await, house.connect_from(1).await];
    assert_eq!((ask(&mut held[0]).await, ask(&mut held[1]).await), (200, 200));
    let refused = timeout(LONG, read(&mut house.connect_from(1).await)).await.expect("an answer at once");
    assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
    assert_eq!(ask(&mut house.connect_from(2).await).await, 200, "another address has its own");
    drop(held);
    // Its places are free as soon as the server has seen the ends.
    let until_served = async {
        loop {
            let mut stream = house.connect_from(1).await;
            // A refusal may end the connection before the request is sent.
            if stream.write_all(REQUEST).await.is_ok() && stream.read_u8().await.is_ok() {
                let mut rest = [0; 11];
                if stream.read_exact(&mut rest).await.is_ok() && rest.ends_with(b"200") {
                    return;
                }
            }
        }
    };
    timeout(LONG, until_served).await.expect("a place in time");
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let house = house(&[]).await;
    let long = format!("GET /health/live HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(256 * 1024));
    let mut stream = TcpStream::connect(house.address).await.expect("a connection");
    // The server may close before all is sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = vec![0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(answer, b"HTTP/1.1 431");
    }
    let fields: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = format!("GET /health/live HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(house.raw(many.as_bytes()).await.status, 431);
    let head = |bytes| {
        format!("GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(bytes))
    };
    assert_eq!(house.raw(head(32_000).as_bytes()).await.status, 200);
    let refused = house.raw(head(40_000).as_bytes()).await;
    assert_eq!(refused.problem(), (431, "malformed".to_owned()), "hyper's buffer has room for it");
}

#[tokio::test]
async fn a_body_is_encoded_in_no_way_but_chunks() {
    let house = house(&[]).await;
    let send = async |encodings: &str| {
        let body = "2\r\n{}\r\n0\r\n\r\n";
        let head = "POST /session/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json";
        house.raw(format!("{head}\r\n{encodings}\r\n\r\n{body}").as_bytes()).await
    };
    let understood = send("Transfer-Encoding: Chunked\r\nContent-Encoding: identity").await;
    assert_eq!(understood.problem(), (400, "malformed".to_owned()));
    assert!(understood.text.contains("username"), "{understood:?}");
    let compressed = send("Transfer-Encoding: chunked\r\nContent-Encoding: gzip").await;
    assert_eq!(compressed.problem(), (415, "unsupported_media_type".to_owned()));
    for encodings in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"] {
        assert_eq!(send(encodings).await.problem(), (501, "malformed".to_owned()), "{encodings}");
    }
}

#[tokio::test]
async fn a_stop_finishes_running_requests_and_closes_idle_connections() {
    let house = house(&[]).await;
    let mut idle = TcpStream::connect(house.address).await.expect("a connection");
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("to send");
    assert_eq!(idle.read_u8().await.expect("an answer"), b'H');
    let body = json!({"username": "ada", "password": "open sesame", "create": true}).to_string();
    let (begun, rest) = body.split_at(5);
    let mut busy = TcpStream::connect(house.address).await.expect("a connection");
    let head =
        format!("Host: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue", body.len());
    busy.write_all(format!("POST /session/login HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).await.expect("to send");
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.expect("the request has begun");
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    busy.write_all(begun.as_bytes()).await.expect("to send");

    house.stop.send_replace(true);
    let mut answers = Vec::new();
    timeout(LONG, idle.read_to_end(&mut answers)).await.expect("an end in time").expect("an end");
    assert!(!house.served.is_finished(), "a request is still running");
    busy.write_all(rest.as_bytes()).await.expect("to send");
    assert_eq!(timeout(LONG, read(&mut busy)).await.expect("an answer in time").status, 200);
    timeout(LONG, house.served).await.expect("an end in time").expect("an end");
    assert!(TcpStream::connect(house.address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_disconnected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let peer = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (stream, _) = listener.accept().await.expect("a connection");
    let place = Arc::new(Places::new(1, 1)).enter(Network::of([127, 0, 0, 1].into()), false).expect("a place");
    let times = Times { head: LONG, write: Duration::from_millis(100) };
    let mut connection = Connection::new(Stream::Plain(stream), times, Arc::clone(&place), Arc::default());
    let write = async {
        let bytes = vec![0; 1 << 20];
        loop {
            if let Err(error) = connection.write_all(&bytes).await {
                return error;
            }
        }
    };
    tokio::pin!(write);
    assert!(futures_util::poll!(&mut write).is_pending());
    assert!(place.is_busy(), "an answer that is not read yet is not cut off to make room");
    let error = timeout(LONG, write).await.expect("an end in time");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(peer);
}

impl House {
    /// A login from 127.0.0.`last`, with a wrong password unless the name is `ada`.
    async fn login_from(&self, last: u8, name: &str) -> Answer {
        let password = if name == "ada" { "open sesame" } else { "wrong" };
        let body = json!({"username": name, "password": password}).to_string();
        let head = "POST /session/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = self.connect_from(last).await;
        stream.write_all(request.as_bytes()).await.expect("to send");
        read(&mut stream).await
    }
}

#[tokio::test]
async fn an_address_may_send_so_many_requests_without_a_session() {
    let house = house(&["--http-anonymous-per-second=1", "--http-anonymous-burst=3"]).await;
    let token = house.token("ada").await;
    // Each second allows one more: without a refusal by then there is no limit.
    let mut answered = 0;
    let refused = loop {
        let answer = house.login_from(1, "nobody").await;
        if answer.status != 401 {
            break answer;
        }
        answered += 1;
        assert!(answered < 100, "there is no limit");
    };
    assert!(answered >= 3, "{answered} at once");
    assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/catalogue", "/.well-known/jwks.json", "/session"] {
        let mut tries = 0;
        while house.get(path, "no.such.token", &[]).await.status != 429 {
            tries += 1;
            assert!(tries < 100, "{path} has no limit");
        }
    }
    assert_eq!(house.get("/session", &token, &[]).await.status, 200, "a session has its own rate");
    assert_eq!(house.login_from(2, "ada").await.status, 200, "another address has its own");
}

#[tokio::test]
async fn a_user_creates_so_many_characters_a_day_and_deleting_them_does_not_help() {
    let house = house(&["--http-creations-per-day=2"]).await;
    let token = house.token("ada").await;
    let create = |token, id: u64| {
        let mut wanted = brannor();
        wanted["id"] = json!(id);
        house.post("/characters", token, wanted)
    };
    let mut wrong = brannor();
    wrong["skills"] = json!(["athletics"]);
    assert_eq!(house.post("/characters", &token, wrong).await.status, 422, "nothing is made, nothing counts");
    for id in [1, 2] {
        let made = create(&token, id).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("DELETE /characters/{}", made.json()["id"].as_str().expect("an id"));
        if id == 1 {
            assert_eq!(house.write(&path, &token, &["If-Match: *"], json!({})).await.status, 204);
        }
    }
    let refused = create(&token, 3).await;
    assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
    assert!(refused.json()["retry_after_ms"].as_u64().is_some_and(|ms| (1_000..=43_200_000).contains(&ms)));
    let again = create(&token, 2).await;
    assert_eq!((again.status, again.header("castellan-duplicate")), (201, Some("true")), "a lost answer is repeated");
    let bea = house.token("bea").await;
    assert_eq!(create(&bea, 1).await.status, 201, "another user has her own limit");
    let game = house.session("engine", Role::Game).await.token;
    for id in 10..13 {
        assert_eq!(create(&game, id).await.status, 201, "a game server has none");
    }
}

#[tokio::test]
async fn a_login_ends_the_oldest_session_of_a_user_who_has_too_many() {
    let house = house(&["--auth-sessions-per-user=2"]).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(house.token("ada").await);
        AHEAD_MS.set(AHEAD_MS.get() + 1);
    }
    let mut statuses = Vec::new();
    for token in &tokens {
        statuses.push(house.get("/session", token, &[]).await.status);
    }
    assert_eq!(statuses, [401, 401, 200, 200]);
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(house.session("engine", Role::Game).await.token);
    }
    assert_eq!(house.get("/session", &servers[0], &[]).await.status, 200, "game servers may share an account");
}
