//! The few HTTP calls of a client: one request per connection, JSON in and out.

use std::str::FromStr;
use std::time::Duration;

use castellan_protocol::RejectionCode;
use castellan_protocol::http::ErrorBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::stream::{Stream, Trust};

/// Time limit for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is read, in bytes. Leaves ample room for all characters of a user.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The address of a server: `https://host:port`, or `http://host:port` without encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    is_secure: bool,
    /// `host:port`.
    authority: String,
    /// Prefix of every path, without a trailing slash.
    prefix: String,
}

impl BaseUrl {
    /// True for the encrypted scheme.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// `host:port`. The port defaults to that of the scheme.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without the port.
    pub(crate) fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(&self.authority, |(host, _)| host)
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Parses a URL with one of two schemes.
    pub(crate) fn parse(text: &str, plain: &str, secure: &str) -> Result<Self, HttpError> {
        let bad = |why: &str| HttpError::BadUrl(format!("{text}: {why}"));
        let (is_secure, rest) = match (text.strip_prefix(secure), text.strip_prefix(plain)) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad(&format!("must begin with {secure} or {plain}"))),
        };
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let default_port = if is_secure { 443 } else { 80 };
        let authority = if port.is_some() { authority.to_owned() } else { format!("{authority}:{default_port}") };
        if authority.starts_with(':') || authority.contains(['@', '?', '#', ' ']) {
            return Err(bad("the host is missing or invalid"));
        }
        Ok(Self { is_secure, authority, prefix: prefix.trim_end_matches('/').to_owned() })
    }
}

impl FromStr for BaseUrl {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        Self::parse(text, "http://", "https://")
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is invalid.
    #[error("{0}")]
    BadUrl(String),
    /// The certificates to trust cannot be read.
    #[error("{0}")]
    BadCertificates(String),
    /// The server could not be reached, or the connection broke.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The server refused.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The wire's code.
        code: RejectionCode,
        /// The message for people.
        message: String,
        /// Time before a retry.
        retry_after: Option<Duration>,
    },
    /// The answer does not follow the wire's contract.
    #[error("cannot read the server's answer: {0}")]
    Unreadable(String),
}

/// An answer with any status.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// Calls one server.
#[derive(Debug, Clone)]
pub struct HttpClient {
    base: BaseUrl,
    trust: Trust,
}

impl HttpClient {
    /// A client for the server at `base`.
    pub fn new(base: BaseUrl, trust: Trust) -> Self {
        Self { base, trust }
    }

    /// What it trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The server's address.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Sends a request and decodes the answer.
    ///
    /// # Errors
    ///
    /// [`HttpError::Refused`] for every status other than 200 to 299.
    pub async fn call<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&B>,
    ) -> Result<A, HttpError> {
        let response = self.send(method, path, token, body).await?;
        // An empty body counts as `null`.
        let body = if response.body.is_empty() { b"null" } else { response.body.as_slice() };
        serde_json::from_slice(body).map_err(|error| HttpError::Unreadable(error.to_string()))
    }

    async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&B>,
    ) -> Result<HttpResponse, HttpError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| HttpError::Unreadable(error.to_string()))?,
            None => Vec::new(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base.prefix))
            .header(HOST, &self.base.authority)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| HttpError::BadUrl(error.to_string()))?;
        let response = tokio::time::timeout(CALL_TIMEOUT, self.exchange(request))
            .await
            .map_err(|_| HttpError::Unreachable("no answer within 30 s".to_owned()))??;
        if (200..300).contains(&response.status) { Ok(response) } else { Err(refusal(&response)) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<HttpResponse, HttpError> {
        let unreachable = |error: &dyn std::fmt::Display| HttpError::Unreachable(error.to_string());
        let stream = Stream::connect(&self.base, &self.trust).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status().as_u16();
            let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| unreachable(&error))?.to_bytes().to_vec();
            Ok(HttpResponse { status, retry_after: seconds.map(Duration::from_secs), body })
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection may end before the answer was taken.
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(unreachable(&error)),
            },
        }
    }
}

fn refusal(response: &HttpResponse) -> HttpError {
    let (code, message, wait_ms) = match serde_json::from_slice::<ErrorBody<IgnoredAny>>(&response.body) {
        Ok(error) => (error.code, error.error, error.retry_after_ms),
        Err(_) => (RejectionCode::UNKNOWN, format!("the server answered with status {}", response.status), None),
    };
    let retry_after = wait_ms.map(Duration::from_millis).or(response.retry_after);
    HttpError::Refused { status: response.status, code, message, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_begins_with_its_scheme() {
        let read = |text: &str| text.parse::<BaseUrl>().map(|base| (base.is_secure, base.authority, base.prefix)).ok();
        let base = |authority: &str, prefix: &str| Some((false, authority.to_owned(), prefix.to_owned()));
        assert_eq!(read("http://127.0.0.1:8080"), base("127.0.0.1:8080", ""));
        assert_eq!(read("http://[::1]:8080/"), base("[::1]:8080", ""));
        assert_eq!(read("http://game.example/castellan/"), base("game.example:80", "/castellan"));
        let secure = |authority: &str, prefix: &str| Some((true, authority.to_owned(), prefix.to_owned()));
        assert_eq!(read("https://game.example"), secure("game.example:443", ""));
        assert_eq!(read("https://[::1]:8443/castellan/"), secure("[::1]:8443", "/castellan"));
        for bad in ["HTTPS://game.example", "ws://game.example", "game.example", "http://", "http://a@b", "http://:80"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
