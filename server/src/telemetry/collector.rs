//! Delivers traces to a collector over plain HTTP, on the exporter's own thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// Largest answer that is read, in bytes. Collectors answer briefly.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// An HTTP client that blocks, which is fine on the exporter's own thread.
#[derive(Debug)]
pub(super) struct Collector {
    agent: Agent,
    /// The last delivery failed.
    is_away: AtomicBool,
}

impl Collector {
    /// `timeout` bounds a whole delivery, from the look-up of the host's name to the end of the answer.
    pub(super) fn new(timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // The exporter judges the status itself.
            .http_status_as_error(false)
            .max_redirects(0)
            // By default the agent reads a proxy from the environment; settings come from `config` alone.
            .proxy(None);
        Self { agent: config.build().new_agent(), is_away: AtomicBool::new(false) }
    }

    fn deliver(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let (head, mut body) = self.agent.run(Request::from_parts(head, body.as_ref()))?.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

impl Collector {
    /// Says once that traces are lost.
    fn failed(&self, error: &dyn std::fmt::Display) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the collector takes no traces; until it does, they are dropped");
        }
    }

    fn succeeded(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the collector takes traces again");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let delivered = self.deliver(request);
        match &delivered {
            Ok(answer) if answer.status().is_success() => self.succeeded(),
            Ok(answer) => self.failed(&format_args!("it answers {}", answer.status())),
            Err(error) => self.failed(error),
        }
        Ok(delivered?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_delivery_is_one_request_with_its_body() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its number");
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a delivery");
            let mut request = [0; 1_024];
            let mut read = 0;
            while !request[..read].ends_with(b"spans") {
                let more = stream.read(&mut request[read..]).expect("more");
                assert_ne!(more, 0, "the delivery ended early");
                read += more;
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
        let answer = Collector::new(Duration::from_secs(5)).deliver(request).expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (202, b"ok".as_slice()));
        let sent = collector.join().expect("what was sent");
        assert!(sent.starts_with("POST /v1/traces HTTP/1.1\r\n") && sent.ends_with("\r\n\r\nspans"), "{sent}");
        for field in [&format!("host: {address}"), "content-type: x", "content-length: 5"] {
            assert!(sent.contains(&format!("\r\n{field}\r\n")), "{field} is not in {sent}");
        }
    }

    #[test]
    fn an_unreachable_collector_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let request = Request::builder().uri(format!("http://{address}/")).body(Bytes::new()).expect("a request");
        assert!(Collector::new(Duration::from_secs(5)).deliver(request).is_err());
    }
}
