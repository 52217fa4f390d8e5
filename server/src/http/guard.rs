//! What every request must say, and what every answer says to browsers and caches.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// What every answer says, unless its route says otherwise.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Refuses requests that do not name exactly one host, and marks every answer.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // Source: RFC 9112, section 3.2. HTTP/1.0 does not need one.
    let names_a_host = hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11);
    let mut response = if names_a_host {
        next.run(request).await
    } else {
        Problem::malformed("Host: send exactly one").into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    response
}
