//! The limits of a connection, and how it ends.

use tokio::time::timeout;

use super::super::connection::{Connection, Stream};
use super::*;

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
    assert_eq!(house.upgrade("/socket", &ada, &[]).await.status, 429, "sockets count as well");
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_free_place() {
    let house = house(&["--http-connections-max=1"]).await;
    let mut first = TcpStream::connect(house.address).await.expect("a connection");
    let request = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    first.write_all(request).await.expect("to send");
    assert_eq!(first.read_u8().await.expect("an answer"), b'H', "the first one is served");
    let second = house.send("GET /health/live", &[], "");
    tokio::pin!(second);
    // An accepted connection is answered within this many turns of the loop, as the first one was.
    for _ in 0..1_000 {
        assert!(futures_util::poll!(&mut second).is_pending(), "no place for a second connection");
        tokio::task::yield_now().await;
    }
    drop(first);
    assert_eq!(timeout(LONG, second).await.expect("a place in time").status, 200);
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
    let mut connection = Connection::new(Stream::Plain(stream), Duration::from_millis(100));
    let write = async {
        let bytes = vec![0; 1 << 20];
        loop {
            if let Err(error) = connection.write_all(&bytes).await {
                return error;
            }
        }
    };
    let error = timeout(LONG, write).await.expect("an end in time");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(peer);
}
