//! One HTTP request on a connection of its own, from any loopback address, timed by those who care.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::stream::{Stream, Trust};

/// A client that connects anew for each request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The server's address.
    pub address: SocketAddr,
    /// For a server under TLS.
    pub trust: Option<Trust>,
    /// The loopback address that it calls from.
    pub source: Ipv4Addr,
    /// Time limit for connecting, and for each read.
    pub patience: Duration,
}

impl Caller {
    /// The same client at another address.
    pub fn from(&self, source: Ipv4Addr) -> Self {
        Self { source, ..self.clone() }
    }

    /// Gets a path and returns the status and the text of the answer.
    ///
    /// # Errors
    ///
    /// A broken connection or an invalid answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address))
    }

    /// Posts JSON and returns the status and the answer; the token may be empty.
    ///
    /// # Errors
    ///
    /// A broken connection or an invalid answer.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> Result<(u16, Value)> {
        let (status, text) = self.ask(&post(self.address, path, token, &body.to_string(), "close"))?;
        Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
    }

    fn ask(&self, request: &str) -> Result<(u16, String)> {
        let mut stream = Stream::open(self.source, self.address, self.trust.as_ref(), self.patience)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer)
    }
}

/// A request that posts JSON.
pub(crate) fn post(host: SocketAddr, path: &str, token: &str, body: &str, connection: &str) -> String {
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The status and the body of a whole answer.
fn parse(answer: &[u8]) -> Result<(u16, String)> {
    let text = std::str::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").context("the server closed a connection within an answer")?;
    Ok((status(head).with_context(|| format!("not an answer: {head}"))?, body.to_owned()))
}

/// The status of an answer that begins with `head`.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(answer).expect("an answer"), (429, "{}".to_owned()));
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
