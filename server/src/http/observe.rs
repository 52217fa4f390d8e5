//! Counts, times and traces every request by its route, never by its contents.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument;

use crate::telemetry;

/// The route label for requests that match no route.
const NO_ROUTE: &str = "none";

/// Counts, times and traces a request.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        // Clients choose the method: an unknown one must not create a new series.
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let span = telemetry::request_span(route, method, traceparent);
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    telemetry::request(route, method, status, began.elapsed());
    response
}
