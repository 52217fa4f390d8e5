//! CORS for the listed origins.
//!
//! tower-http 0.7.1 answers every OPTIONS request itself, with 200. Here only a preflight of a listed origin is
//! answered, with 204; any other OPTIONS request is 405.

use castellan_game::Game;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::context::Context;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, if-match, if-none-match, traceparent");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("etag, location, retry-after, www-authenticate, castellan-durable, castellan-duplicate");

/// How long a browser may cache a preflight's answer, in seconds.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// Returns true if the configuration lists this `Origin`.
pub(super) fn is_listed<G: Game>(context: &Context<G>, origin: &HeaderValue) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    context.settings.origins.iter().any(|listed| listed.as_str().eq_ignore_ascii_case(origin))
}

/// Answers preflights, and lets listed origins read all other answers.
pub(super) async fn allow_listed<G: Game>(
    State(context): State<Arc<Context<G>>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| is_listed(&context, origin)).cloned();
    let Some(origin) = origin else {
        let mut response = next.run(request).await;
        if !context.settings.origins.is_empty() {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        }
        return response;
    };
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    mark(response.headers_mut(), origin, preflight);
    response
}

fn mark(headers: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    } else {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}
