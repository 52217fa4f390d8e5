//! Counts, times and traces every request by its route, never by its contents.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::packed::TRACEPARENT;
use crate::telemetry::{self, Parent};

/// The route label for requests that match no route.
const NO_ROUTE: &str = "none";

/// Counts, times and traces a request.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let (route, method) = (route(&request), method(&request));
    let span = telemetry::request_span(route.as_str(), method, Parent::Client(traceparent(&request)));
    let began = Instant::now();
    let response = answer(request, next, span).await;
    telemetry::request(route.as_str(), method, response.status().as_u16(), began.elapsed());
    response
}

/// Traces a request that a gateway has forwarded. The gateway counts and times it.
pub(super) async fn follow(request: Request, next: Next) -> Response {
    let parent = Parent::Gateway(traceparent(&request));
    let span = telemetry::request_span(route(&request).as_str(), method(&request), parent);
    answer(request, next, span).await
}

async fn answer(request: Request, next: Next, span: Span) -> Response {
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", i64::from(response.status().as_u16()));
    response
}

/// A template, or that there is none.
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or(NO_ROUTE, MatchedPath::as_str)
    }
}

fn route(request: &Request) -> Route {
    Route(request.extensions().get::<MatchedPath>().cloned())
}

fn method(request: &Request) -> &'static str {
    match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        // Clients choose the method: an unknown one must not create a new series.
        _ => "other",
    }
}

fn traceparent(request: &Request) -> Option<&str> {
    request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok())
}
