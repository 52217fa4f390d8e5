//! Notices a proxy on this machine. It brings strangers to a server that listens on loopback.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::RejectionCode;

use super::context::Context;
use super::problem::Problem;

/// Headers that proxies add.
const FORWARDING: [header::HeaderName; 4] = [
    header::FORWARDED,
    header::VIA,
    header::HeaderName::from_static("x-forwarded-for"),
    header::HeaderName::from_static("x-real-ip"),
];

/// From the first request with a forwarding header on, strangers count as able to reach this server.
///
/// The peer's address needs no look: a server that is not exposed listens only on loopback.
pub(super) async fn notice<G: Game>(State(context): State<Arc<Context<G>>>, request: Request, next: Next) -> Response {
    if !context.exposure.is_exposed() && is_forwarded(request.headers()) && context.exposure.expose() {
        tracing::warn!(
            "a proxy brings requests to this server, so strangers may reach it: from now on registration and \
             guests are closed, the policy is strict and this address serves no metrics, unless a setting opens them \
             (--registration, --guests, --policy, --admin-listen); set --public-url so that this holds from the start"
        );
    }
    next.run(request).await
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(name))
}

/// Hides a route while strangers can reach this server.
pub(super) async fn hide<G: Game>(State(context): State<Arc<Context<G>>>, request: Request, next: Next) -> Response {
    if context.exposure.is_exposed() {
        return Problem::new(RejectionCode::NO_SUCH_ROUTE, "no such path on this server").into_response();
    }
    next.run(request).await
}
