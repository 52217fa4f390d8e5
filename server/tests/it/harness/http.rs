//! A plain HTTP client.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one server, with or without a token. Its calls block.
#[derive(Clone)]
pub(crate) struct Http {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body where it is JSON, else null.
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    /// A header's value; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are ASCII"))
    }

    /// The stable code of an error.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

impl Http {
    /// A client without a token.
    pub(crate) fn new(server: SocketAddr) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Self { agent: config.into(), base: format!("http://{server}"), token: None }
    }

    /// The same client with a token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Calls `GET path`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    /// Calls `GET path`; `None` if nobody answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<u16> {
        Some(self.agent.get(format!("{}{path}", self.base)).call().ok()?.status().as_u16())
    }

    /// Calls `POST path` with a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("Content-Type", "application/json")], Some(&body.to_string()))
    }

    /// Calls `PATCH path` with a JSON body.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, &[("Content-Type", "application/json")], Some(&body.to_string()))
    }

    /// Calls anything.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = response.body_mut().read_to_string().expect("the body is text");
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// Logs in, making the account, and returns the client that has the token, and the whole answer.
    pub(crate) fn login(&self, username: &str, password: &str) -> (Self, Value) {
        let body = serde_json::json!({"username": username, "password": password, "create": true});
        let answer = self.post("/session/login", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json["token"].as_str().expect("a token");
        (self.with_token(token), answer.json.clone())
    }
}
