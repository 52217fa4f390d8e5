//! Delivers traces to a collector: one plain HTTP request per delivery, on the exporter's own thread.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// Largest answer that is read, in bytes. Collectors answer briefly.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Speaks plain HTTP/1.1 to a collector. It blocks, which is fine on the exporter's own thread.
#[derive(Debug)]
pub(super) struct Collector {
    timeout: Duration,
}

impl Collector {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    fn deliver(&self, request: &Request<Bytes>) -> io::Result<Response<Bytes>> {
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
        let uri = request.uri();
        let host = uri.host().ok_or_else(|| invalid("the collector's address has no host"))?;
        let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let address =
            address.to_socket_addrs()?.next().ok_or_else(|| invalid("the collector's host has no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.write_all(&head(request))?;
        stream.write_all(request.body())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| invalid("the collector's answer is not HTTP; check otlp_endpoint"))?;
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |start| start + 4);
        let body = Bytes::copy_from_slice(&answer[body..]);
        Response::builder()
            .status(status)
            .body(body)
            .map_err(|_| invalid("the collector answered with an invalid status"))
    }
}

fn head(request: &Request<Bytes>) -> Vec<u8> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut head =
        format!("{} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", request.method()).into_bytes();
    for (name, value) in
        request.headers().iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length"))
    {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body().len()).as_bytes());
    head
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.deliver(&request)?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_delivery_is_one_request_with_its_body() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its number");
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a delivery");
            let mut request = [0; 128];
            let mut read = 0;
            while !request[..read].ends_with(b"spans") {
                read += stream.read(&mut request[read..]).expect("more");
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok").expect("an answer");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let request = Request::builder()
            .method("POST")
            .uri(format!("http://{address}/v1/traces"))
            .header("content-type", "x")
            .body(Bytes::from_static(b"spans"))
            .expect("a request");
        let answer = Collector::new(Duration::from_secs(5)).deliver(&request).expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (202, b"ok".as_slice()));
        let sent = collector.join().expect("what was sent");
        let head = format!("POST /v1/traces HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        assert!(
            sent.starts_with(&head) && sent.contains("content-type: x\r\ncontent-length: 5\r\n\r\nspans"),
            "{sent}"
        );
    }

    #[test]
    fn an_unreachable_collector_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let request = Request::builder().uri(format!("http://{address}/")).body(Bytes::new()).expect("a request");
        assert!(Collector::new(Duration::from_secs(5)).deliver(&request).is_err());
    }
}
