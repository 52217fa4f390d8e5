//! What every request must say, and what every answer says to browsers and caches.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::reached::Reached;

/// What every answer says, unless its route says otherwise.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Only TLS from now on, for a year. Browsers heed it only if they know the server by a name, and only under TLS.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Refuses requests that do not name exactly one host, and marks every answer.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // Source: RFC 9112, section 3.2. HTTP/1.0 does not need one.
    let names_a_host = hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11);
    let is_tls = request.extensions().get::<Reached>().is_some_and(|reached| reached.is_tls);
    let mut response = if names_a_host {
        next.run(request).await
    } else {
        Problem::malformed("Host: send exactly one").into_response()
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
