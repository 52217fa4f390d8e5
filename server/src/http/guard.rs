//! What every request must say, and what every answer says to browsers and caches.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use castellan_protocol::RejectionCode;

use super::problem::Problem;
use super::reached::Reached;

/// Longest header fields of a request together, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1_024;

/// What every answer says, unless its route says otherwise.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Only TLS from now on, for a year. Browsers heed it only if they know the server by a name, and only under TLS.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Refuses requests that this server would understand in another way than a proxy might, and marks every answer.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let is_tls = request.extensions().get::<Reached>().is_some_and(|reached| reached.tls.is_some());
    let mut response = match check(request.headers(), request.version()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    response
}

/// Checks how many hosts a request names, how long its head is, and that nothing but chunks encodes its body.
fn check(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let hosts = headers.get_all(header::HOST).iter().count();
    // Source: RFC 9112, section 3.2. HTTP/1.0 does not need one.
    if hosts != 1 && (hosts != 0 || version >= Version::HTTP_11) {
        return Err(Problem::malformed("Host: send exactly one"));
    }
    // hyper bounds its buffer, not the head: one read more may fit.
    let head_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head_bytes > HEAD_BYTES_MAX {
        return Err(Problem::malformed("the header fields together are too long; send at most 32,768 bytes")
            .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let is_only = |name: HeaderName, coding: &str| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| value.as_bytes().eq_ignore_ascii_case(coding.as_bytes()))
    };
    if !is_only(header::CONTENT_ENCODING, "identity") {
        return Err(Problem::new(
            RejectionCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: bodies must not be compressed; leave it out",
        ));
    }
    // Source: RFC 9112, section 6.1: 501 for a coding that the server does not understand.
    if !is_only(header::TRANSFER_ENCODING, "chunked") {
        return Err(Problem::malformed("Transfer-Encoding: only chunked is understood")
            .with_status(StatusCode::NOT_IMPLEMENTED));
    }
    Ok(())
}
