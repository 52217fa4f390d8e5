//! Passes a request for characters on to a node.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, uri};
use axum::response::Response;
use bytes::Bytes;
use castellan_game::Game;
use tracing::Span;

use super::bearer::Caller;
use super::body;
use super::context::Context;
use super::packed::{TRACEPARENT, pack_request};
use super::problem::Problem;
use crate::shard::shard_of;
use crate::telemetry;

/// Passes a request on to the node that has the owner's characters. The caller and its rate are checked already.
pub(super) async fn pass_on<G: Game>(
    context: Arc<Context<G>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let forward = context.forward.as_ref().ok_or_else(|| Problem::fault(&"this process forwards no requests"))?;
    let (mut parts, body) = request.into_parts();
    let body = match parts.method {
        // As at the node: nobody reads the bodies of these.
        Method::GET | Method::HEAD => Bytes::new(),
        _ => body::read(&parts.headers, body, context.settings.body_timeout).await?,
    };
    // In place of the client's own.
    parts.headers.remove(TRACEPARENT);
    if let Some(traceparent) = telemetry::traceparent(&Span::current()) {
        parts.headers.insert(TRACEPARENT, HeaderValue::try_from(traceparent).expect("digits and hyphens"));
    }
    let target = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    let packed = pack_request(&parts.method, target, &parts.headers, caller.address, &body);
    drop(body);
    // Somebody who may not act for the named user is refused by the caller's own node.
    forward.ask(shard_of(caller.owner.unwrap_or(caller.session.user)), packed).await
}
