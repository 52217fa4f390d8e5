//! Login, refresh and logout.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::http::{Login, RefreshSession, SessionInfo, Tokens};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bearer::Caller;
use super::body;
use super::context::Context;
use super::problem::{Problem, json};
use crate::auth::{AccountName, AuthError, Grant, Password};
use crate::telemetry::{self, LoginOutcome};

/// The address of the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// `POST /session/login`.
pub(super) async fn login<G: Game>(
    State(context): State<Arc<Context<G>>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let fields = body::object(&parts.headers, body, context.settings.body_timeout).await?;
    let wanted: Login = body::decode(fields)?;
    let name = AccountName::new(&wanted.username)?;
    let password = Password::new(wanted.password)?;
    let result = context.auth.login(&name, password, wanted.create, peer.ip()).await;
    telemetry::login(match &result {
        Ok(_) => LoginOutcome::Granted,
        Err(AuthError::BadCredentials | AuthError::RegistrationClosed) => LoginOutcome::Refused,
        Err(AuthError::TooManyAttempts { .. }) => LoginOutcome::Limited,
        Err(AuthError::Overloaded { .. }) => LoginOutcome::Overloaded,
        Err(_) => LoginOutcome::Failed,
    });
    Ok(granted(&context, &parts.headers, result?))
}

/// `POST /session/refresh`.
pub(super) async fn refresh<G: Game>(
    State(context): State<Arc<Context<G>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let fields = body::object(&parts.headers, body, context.settings.body_timeout).await?;
    let wanted: RefreshSession = body::decode(fields)?;
    let grant = context.auth.refresh(&wanted.refresh_token).await?;
    Ok(granted(&context, &parts.headers, grant))
}

/// `POST /session/logout`.
pub(super) async fn logout<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
) -> Result<Response, Problem> {
    context.auth.revoke(caller.session.id).await?;
    context.shards.leave(caller.session.user);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /session`.
pub(super) async fn show<G: Game>(State(context): State<Arc<Context<G>>>, caller: Caller) -> Result<Response, Problem> {
    let session = caller.session;
    let username = context.auth.name_of(session.user).await?;
    let expires_at = OffsetDateTime::from_unix_timestamp(session.expires_at_ms.div_euclid(1_000))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .ok_or_else(|| Problem::fault(&"a token's expiry is not a valid time"))?;
    let left_ms = session.expires_at_ms - (context.clock)();
    let info = SessionInfo {
        user_id: session.user,
        session_id: session.id,
        username: username.unwrap_or_default(),
        roles: vec![session.role.as_str().to_owned()],
        expires_at,
        expires_in: u64::try_from(left_ms / 1_000).unwrap_or(0),
    };
    Ok(secret(&info))
}

fn granted<G: Game>(context: &Context<G>, headers: &HeaderMap, grant: Grant) -> Response {
    secret(&Tokens {
        token: grant.token,
        token_type: "Bearer".to_owned(),
        expires_in: grant.expires_in,
        refresh_token: grant.refresh_token,
        user_id: grant.session.user,
        session_id: grant.session.id,
        socket_url: socket_url(context, headers),
    })
}

/// The WebSocket's URL, as this client can reach it.
fn socket_url<G: Game>(context: &Context<G>, headers: &HeaderMap) -> String {
    if let Some(url) = &context.settings.public_url {
        return url.socket_url();
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).filter(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    });
    match host {
        Some(host) => format!("ws://{host}/socket"),
        None => format!("ws://{}/socket", context.local),
    }
}

/// An answer that no cache may store.
fn secret<T: Serialize>(body: &T) -> Response {
    let mut response = json(StatusCode::OK, serde_json::to_vec(body).expect("plain data fits JSON"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
