//! Answers a request that a gateway has forwarded to this node.

use std::panic::AssertUnwindSafe;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::packed::{pack_response, unpack_request};
use super::problem::{Problem, ShardLost};
use super::routes::Routes;

/// Longest body of an answer, in bytes: it must fit into a message of a link, with its head.
const ANSWER_BYTES_MAX: usize = 15 * 1_024 * 1_024;

/// Answers a packed request of a gateway with `routes`, which come from [`for_gateways`](super::for_gateways). `None`:
/// the shard is not here, the request did nothing, and the next owner must get it.
pub fn answer_forwarded(routes: &Routes, request: &[u8]) -> BoxFuture<'static, Option<Vec<u8>>> {
    let request = match unpack_request(request) {
        Ok(request) => request,
        Err(error) => return pack(Problem::fault(&error).into_response()).map(Some).boxed(),
    };
    let answered = TowerToHyperService::new(routes.0.clone()).call(request);
    async move {
        // One request must not cost the link, and with it the sockets of others.
        let response = match AssertUnwindSafe(answered).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Problem::fault(&"the answer to a forwarded request panicked").into_response(),
        };
        if response.extensions().get::<ShardLost>().is_some() {
            return None;
        }
        Some(pack(response).await)
    }
    .boxed()
}

async fn pack(response: Response) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => pack_response(parts.status, &parts.headers, &body.to_bytes()),
        Err(error) => {
            let (parts, _) = Problem::fault(&error).into_response().into_parts();
            pack_response(parts.status, &parts.headers, b"")
        }
    }
}
