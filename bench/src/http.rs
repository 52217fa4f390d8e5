//! Calls to the server over HTTP: logins, characters and metrics, JSON in and out.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::Agent;

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one server. It keeps its connection and sends one request at a time.
pub struct Http {
    agent: Agent,
    base: String,
}

impl Http {
    /// A client for the server at `address`. Connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { agent: config.into(), base: format!("http://{address}") }
    }

    /// Posts JSON and returns the status and the answer; the token may be empty.
    ///
    /// # Errors
    ///
    /// A broken connection or an invalid answer.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> Result<(u16, Value)> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.send(body.to_string()).with_context(|| format!("POST {path}"))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("POST {path}"))?;
        let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
        Ok((answer.status().as_u16(), value))
    }

    /// A figure of the server's metrics by its name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the metrics cannot be read.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        let mut answer = self.agent.get(format!("{}/metrics", self.base)).call().context("GET /metrics")?;
        anyhow::ensure!(answer.status() == 200, "the server refused its metrics with status {}", answer.status());
        let text = answer.body_mut().read_to_string()?;
        Ok(text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()))
    }
}
