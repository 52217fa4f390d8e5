//! Clients behind proxies.

use super::*;

/// A header of the PROXY protocol, version 2, that names 198.51.100.`last` (RFC 5737).
fn proxy_header(last: u8) -> Vec<u8> {
    let addresses = [198, 51, 100, last, 192, 0, 2, 1, 0x10, 0, 0x1f, 0x90];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

/// A login, its answer the last one on its connection.
fn login(password: &str, line: &str) -> Vec<u8> {
    let body = json!({"username": "ada", "password": password, "create": true}).to_string();
    let head = "POST /session/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n";
    format!("{head}{line}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl House {
    /// Logs in through a proxy that names 198.51.100.`client` by a header.
    async fn login_by_header(&self, header: &str, client: u8, password: &str) -> u16 {
        let (name, value) = header.split_once(": ").expect("a name and a value");
        let value = value.replace('N', &client.to_string());
        self.raw(&login(password, &format!("{name}: {value}\r\n"))).await.status
    }

    /// Logs in through a proxy that names 198.51.100.`client` by the PROXY protocol.
    async fn login_by_protocol(&self, client: u8, password: &str) -> Option<u16> {
        self.login_after(&proxy_header(client), password).await
    }

    /// Logs in after these bytes. `None` if the connection ends without an answer.
    async fn login_after(&self, begin: &[u8], password: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // The server may close before all is sent.
        let _ = stream.write_all(&[begin, &login(password, "")].concat()).await;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        std::str::from_utf8(&head[9..]).ok()?.parse().ok()
    }
}

const HEADERS: [&str; 3] = [
    "X-Forwarded-For: 6.6.6.6, 198.51.100.N, 127.0.0.1",
    "Forwarded: for=6.6.6.6, for=198.51.100.N;proto=https",
    "Forwarded: for=\"198.51.100.N:4711\"",
];

#[tokio::test]
async fn wrong_logins_of_one_client_behind_a_trusted_proxy_do_not_lock_out_the_others() {
    let flags = ["--trusted-proxies=10.0.0.0/8,127.0.0.1", "--auth-failures-per-address=2", "--registration=open"];
    for header in HEADERS {
        let house = house(&flags).await;
        assert_eq!(house.login_by_header(header, 9, "open sesame").await, 200);
        for expected in [401, 401, 429] {
            assert_eq!(house.login_by_header(header, 1, "wrong").await, expected, "{header}");
        }
        assert_eq!(house.login_by_header(header, 2, "open sesame").await, 200, "{header}");
        assert_eq!(house.login_by_header(header, 1, "open sesame").await, 429, "{header}");
    }
    let house = house(&flags).await;
    assert_eq!(house.login_by_protocol(9, "open sesame").await, Some(200));
    for expected in [401, 401, 429] {
        assert_eq!(house.login_by_protocol(1, "wrong").await, Some(expected));
    }
    assert_eq!(house.login_by_protocol(2, "open sesame").await, Some(200));
    assert_eq!(house.raw(&login("open sesame", "")).await.status, 200, "the proxy itself is another client");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let house =
        house(&["--trusted-proxies=10.0.0.0/8", "--auth-failures-per-name-and-address=2", "--registration=open"]).await;
    assert_eq!(house.login_by_header(HEADERS[0], 1, "open sesame").await, 200);
    for (client, expected) in [(1, 401), (2, 401), (3, 429)] {
        assert_eq!(house.login_by_header(HEADERS[0], client, "wrong").await, expected);
    }
    // Not HTTP: closed without an answer, or with one that says so.
    assert!([None, Some(400)].contains(&house.login_by_protocol(9, "open sesame").await));
}

#[tokio::test]
async fn a_client_behind_the_proxy_protocol_has_its_own_limit_of_connections() {
    let house =
        house(&["--trusted-proxies=127.0.0.1", "--http-connections-per-address=1", "--registration=open"]).await;
    let mut held = TcpStream::connect(house.address).await.expect("a connection");
    held.write_all(&[&proxy_header(1), &b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat())
        .await
        .expect("to send");
    assert_eq!(held.read_u8().await.expect("an answer"), b'H');
    // The answer is lost if the login arrived before the refusal.
    assert!([None, Some(503)].contains(&house.login_by_protocol(1, "open sesame").await));
    assert_eq!(house.login_by_protocol(2, "open sesame").await, Some(200));
}

#[tokio::test]
async fn a_broken_header_of_a_proxy_ends_the_connection() {
    let house = house(&["--trusted-proxies=127.0.0.1"]).await;
    let mut broken = proxy_header(1);
    broken[12] = 0x31;
    assert_eq!(house.login_after(&broken, "open sesame").await, None);
}
