//! A minimal HTTP client for logins: one connection, one request at a time, JSON in and out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A persistent connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Http {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// Sends a request and returns the status and the body; the token may be empty.
    ///
    /// # Errors
    ///
    /// A broken connection or an invalid answer.
    pub fn request(&mut self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !token.is_empty() {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += &body;
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer().with_context(|| format!("{method} {path}"))
    }

    /// A figure of the server's metrics by its name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the metrics cannot be read.
    pub fn metric(&mut self, name: &str) -> Result<Option<f64>> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, body) = self.body().context("GET /metrics")?;
        ensure!(status == 200, "the server refused its metrics with status {status}");
        let text = String::from_utf8(body)?;
        Ok(text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()))
    }

    fn answer(&mut self) -> Result<(u16, Value)> {
        let (status, body) = self.body()?;
        Ok((status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? }))
    }

    fn body(&mut self) -> Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no HTTP status in {line:?}"))?;
        let mut length = 0;
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
