//! The few HTTP calls of a client: one request per connection, JSON in and out.

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

use crate::base_url::{BadUrl, BaseUrl};
use crate::stream::{Stream, Trust};

/// Time limit for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is read, in bytes. Leaves ample room for all characters of a user.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is invalid.
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
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
            .uri(format!("{}{path}", self.base.prefix()))
            .header(HOST, self.base.authority())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| HttpError::BadUrl(BadUrl(error.to_string())))?;
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
