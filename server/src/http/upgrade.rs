//! The upgrade to WebSocket: checks the handshake, then hands over the bare connection.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use castellan_game::Game;
use castellan_protocol::limits::SUBPROTOCOL_BEARER_PREFIX;
use castellan_protocol::{CloseCode, Codec, RejectionCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use uuid::Uuid;

use super::bearer;
use super::client_address::ClientAddress;
use super::connection::Connection;
use super::context::Context;
use super::cors;
use super::problem::Problem;
use crate::auth::{Standing, Ticket};
use crate::shard::CloseOrder;
use crate::socket::{Accepted, NoSeat, Opener, Replies, Seat, accept_key};

/// Time before a client at its limit of sockets may retry, in milliseconds.
const RETRY_SEAT_MS: u64 = 1_000;

#[derive(Deserialize)]
struct Asked {
    client: Option<String>,
    reply: Option<String>,
}

/// `GET /socket`.
pub(super) async fn upgrade<G: Game>(
    State(context): State<Arc<Context<G>>>,
    client_address: ClientAddress,
    mut request: Request,
) -> Result<Response, Problem> {
    context.rates.handshake(client_address)?;
    let headers = request.headers();
    let offered = offered(headers);
    let ticket = ticket(&context, headers, request.extensions(), &offered).await?;
    if headers.get(header::ORIGIN).is_some_and(|origin| !cors::is_listed(&context, origin)) {
        return Err(Problem::new(
            RejectionCode::NOT_PERMITTED,
            "this server accepts no sockets from pages of this origin; an operator can add it to the setting `origins`",
        ));
    }
    let key = match handshake_key(headers) {
        Ok(key) => key,
        Err(problem) => return Ok(upgrade_required(problem)),
    };
    let codec = agree(&offered)?;
    let (client, replies) = asked(&request)?;
    let echo = (!offered.is_empty()).then(|| codec.subprotocol());
    let ticket = admit(&context, ticket, client_address, client)?;
    let address = client_address.ip();
    let on_upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(hand_over(context, on_upgrade, address, codec, replies, ticket));
    Ok(switching(&key, echo))
}

/// The subprotocols that a client offers, in the client's order.
fn offered(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Authenticates the socket by the header or, for browsers, by an entry among the subprotocols.
async fn ticket<G: Game>(
    context: &Context<G>,
    headers: &HeaderMap,
    extensions: &Extensions,
    offered: &[String],
) -> Result<Ticket, Problem> {
    let token =
        bearer::token(headers).or_else(|| offered.iter().find_map(|name| name.strip_prefix(SUBPROTOCOL_BEARER_PREFIX)));
    let Some(token) = token else {
        let message = "token missing: send Authorization: Bearer <token>, or the subprotocol bearer.<token>";
        return Err(Problem::unauthenticated(message));
    };
    bearer::identify(context, token, extensions).await
}

/// The codec of the first known subprotocol.
fn agree(offered: &[String]) -> Result<Codec, Problem> {
    if offered.is_empty() {
        return Ok(Codec::MessagePack);
    }
    offered.iter().find_map(|name| Codec::from_subprotocol(name)).ok_or_else(|| {
        Problem::malformed("Sec-WebSocket-Protocol: must name castellan.v1.msgpack or castellan.v1.json")
    })
}

/// The client's id and the form of replies, from the query.
fn asked(request: &Request) -> Result<(Option<Uuid>, Replies), Problem> {
    let Query(Asked { client, reply }) = Query::try_from_uri(request.uri())
        .map_err(|_| Problem::malformed("client and reply: give each at most once in the query"))?;
    // The wire spells UUIDs the same way for all kinds of ids.
    let client = client.map(|text| text.parse::<castellan_protocol::SessionId>()).transpose();
    let client = client.map_err(|_| Problem::malformed("client: must be a lower-case hyphenated UUID"))?;
    let replies = Replies::from_query(reply.as_deref())
        .ok_or_else(|| Problem::malformed("reply: must be changes, or left out"))?;
    Ok((client.map(|id| id.uuid()), replies))
}

/// Checks the headers that RFC 6455 requires and returns the key.
fn handshake_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let names = |name: header::HeaderName, wanted: &str| {
        let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(wanted))
    };
    if !names(header::UPGRADE, "websocket") || !names(header::CONNECTION, "upgrade") {
        return Err(Problem::malformed(
            "this path accepts only WebSocket; send Upgrade: websocket and Connection: Upgrade",
        )
        .with_status(StatusCode::UPGRADE_REQUIRED));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let problem = Problem::malformed("Sec-WebSocket-Version: must be 13");
        return Err(problem.with_status(StatusCode::UPGRADE_REQUIRED));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    key.filter(|key| STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16))
        .cloned()
        .ok_or_else(|| Problem::malformed("Sec-WebSocket-Key: must be 16 bytes in Base64"))
}

fn upgrade_required(problem: Problem) -> Response {
    let wants_upgrade = problem.status == StatusCode::UPGRADE_REQUIRED;
    let mut response = problem.into_response();
    if wants_upgrade {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// Finds a seat for a live session. Accepts an ended one only to close it with a reason: a browser cannot see why an
/// upgrade was refused.
fn admit<G: Game>(
    context: &Context<G>,
    ticket: Ticket,
    address: ClientAddress,
    client: Option<Uuid>,
) -> Result<Result<(crate::auth::Session, Seat), CloseOrder>, Problem> {
    let order = |code, reason| Ok(Err(CloseOrder::new(code, reason)));
    match ticket.standing {
        Standing::Expired => {
            return order(CloseCode::TokenExpired, "the token has expired; refresh the session, then reconnect");
        }
        Standing::Revoked => return order(CloseCode::SessionRevoked, "the session was ended"),
        Standing::Live => {}
    }
    let session = ticket.session;
    let opener = Opener::of(&session, address.ip());
    match context.registry.take_seat(&opener, client) {
        // Revoked since the token was verified: its sockets may have been closed before this one took its seat.
        Ok(_) if context.auth.is_revoked(session.id) => order(CloseCode::SessionRevoked, "the session was ended"),
        Ok(seat) => Ok(Ok((session, seat))),
        Err(error @ NoSeat::Full) => Err(Problem::new(RejectionCode::OVERLOADED, error.to_string())),
        Err(error) => Err(Problem::new(RejectionCode::RATE_LIMITED, error.to_string()).retry_after_ms(RETRY_SEAT_MS)),
    }
}

fn switching(key: &HeaderValue, subprotocol: Option<&'static str>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(accept_key(key.as_bytes())).expect("Base64 is ASCII");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

/// Takes the bare connection out of HTTP and hands it over to a socket thread.
async fn hand_over<G: Game>(
    context: Arc<Context<G>>,
    on_upgrade: OnUpgrade,
    address: IpAddr,
    codec: Codec,
    replies: Replies,
    ticket: Result<(crate::auth::Session, Seat), CloseOrder>,
) {
    // An error means that the client has gone before it got its answer.
    let Ok(upgraded) = on_upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
        tracing::error!("an upgraded connection does not belong to this listener; dropped it");
        return;
    };
    match parts.io.into_inner().into_line() {
        Ok(line) => {
            // Copied, so that the bytes do not keep the whole read buffer alive.
            let leftover = parts.read_buf.to_vec();
            if !(context.hand_over)(Accepted { line, address, leftover, codec, replies, ticket }) {
                tracing::warn!("dropped an upgraded connection: too many wait for the socket threads");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot hand over an upgraded connection"),
    }
}
