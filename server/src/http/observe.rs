//! Counts and times every request, by route and never by what stands in it.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use crate::telemetry;

/// What a request that matches no route is counted under.
const NO_ROUTE: &str = "none";

/// Counts and times a request.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        // A method is the client's to choose: others must not make series of their own.
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    telemetry::request(route, method, response.status().as_u16(), began.elapsed());
    response
}
