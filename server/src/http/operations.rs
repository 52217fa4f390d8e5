//! Endpoints for operation: health, metrics, keys, the catalogue.

use castellan_game::Game;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::characters::is_known;
use super::client_address::ClientAddress;
use super::context::{Context, Standing};
use super::problem::{Problem, json};

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    json(StatusCode::OK, br#"{"status":"live"}"#.to_vec())
}

/// `GET /health/ready`: tells a load balancer if it may send players here.
pub(super) async fn ready<G: Game>(State(context): State<Arc<Context<G>>>) -> Response {
    let health = (context.health)();
    let status = match health.status {
        Standing::Ready => StatusCode::OK,
        Standing::Degraded | Standing::Unready => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, serde_json::to_vec(&health).expect("plain data fits JSON"))
}

/// `GET /metrics`.
pub(super) async fn metrics<G: Game>(State(context): State<Arc<Context<G>>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], (context.metrics)()).into_response()
}

/// `GET /.well-known/jwks.json`.
pub(super) async fn keys<G: Game>(
    State(context): State<Arc<Context<G>>>,
    client: ClientAddress,
) -> Result<Response, Problem> {
    context.rates.anonymous(client)?;
    let mut response = json(StatusCode::OK, context.auth.jwks().into_bytes());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

/// `GET /catalogue`.
pub(super) async fn catalogue<G: Game>(
    State(context): State<Arc<Context<G>>>,
    client: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    context.rates.anonymous(client)?;
    let published = (context.catalogue)();
    let tag = HeaderValue::try_from(format!("\"{}\"", published.revision)).expect("a revision of ASCII");
    let kind = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], published.body.clone()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    if is_known(&headers, &response) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(response)
}
