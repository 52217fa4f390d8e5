//! Login, refresh and logout; a user's own sessions and password.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::RejectionCode;
use castellan_protocol::http::{
    ChangePassword, ExchangeToken, Guest, Login, RefreshSession, SessionInfo, SessionList, SessionSummary, Tokens,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bearer::Caller;
use super::body::Decoded;
use super::client_address::ClientAddress;
use super::context::Context;
use super::guests;
use super::logins::{self, outcome_of};
use super::problem::{Problem, json};
use super::reached::Reached;
use crate::audit::{Actor, Event, Outcome, Target};
use crate::auth::{AccountName, AuthError, Grant, Password};
use crate::storage::SessionRow;

/// A client without a session. Its request was counted.
pub(super) struct Stranger {
    client: ClientAddress,
    /// The WebSocket's URL, as this client can reach it.
    socket_url: String,
}

impl<G: Game> FromRequestParts<Arc<Context<G>>> for Stranger {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context<G>>) -> Result<Self, Problem> {
        let client = ClientAddress::from_request_parts(parts, context).await?;
        context.rates.anonymous(client)?;
        let reached = parts.extensions.get();
        let reached = reached.ok_or_else(|| Problem::fault(&"the listener did not say how the client reached us"))?;
        Ok(Self { client, socket_url: socket_url(context, reached, &parts.headers) })
    }
}

/// `POST /session/login`.
pub(super) async fn login<G: Game>(
    State(context): State<Arc<Context<G>>>,
    Stranger { client, socket_url }: Stranger,
    Decoded(wanted): Decoded<Login>,
) -> Result<Response, Problem> {
    if wanted.guest {
        let (grant, guest) = guests::enter(&context, client, &wanted).await?;
        return Ok(granted(socket_url, grant, guest));
    }
    let missing = |field: &str| Problem::malformed(format!("missing field `{field}`"));
    let name = AccountName::new(&wanted.username.ok_or_else(|| missing("username"))?)?;
    let password = Password::new(wanted.password.ok_or_else(|| missing("password"))?)?;
    let result = context.auth.login(&name, password, wanted.create, client.ip()).await;
    Ok(granted(socket_url, logins::note(&context, "login", Some(&name), client, result).await?, None))
}

/// `POST /session/exchange`.
pub(super) async fn exchange<G: Game>(
    State(context): State<Arc<Context<G>>>,
    Stranger { client, socket_url }: Stranger,
    Decoded(wanted): Decoded<ExchangeToken>,
) -> Result<Response, Problem> {
    let result = context.auth.exchange(&context.issuers, &wanted.token, client.ip()).await;
    Ok(granted(socket_url, logins::note(&context, "exchange", None, client, result).await?, None))
}

/// `POST /session/refresh`.
pub(super) async fn refresh<G: Game>(
    State(context): State<Arc<Context<G>>>,
    Stranger { client, socket_url }: Stranger,
    Decoded(wanted): Decoded<RefreshSession>,
) -> Result<Response, Problem> {
    let result = context.auth.refresh(&wanted.refresh_token).await;
    if matches!(result, Err(AuthError::SessionRevoked)) {
        // The token is genuine, so it names the session. Somebody uses it a second time, or after the end.
        let session = wanted.refresh_token.split('.').next().and_then(|id| id.parse().ok());
        context.audit.record(Event {
            actor: Actor::Stranger,
            address: Some(client.ip()),
            target: session.map_or(Target::Nothing, Target::Session),
            action: "refresh",
            outcome: Outcome::Refused,
        });
    }
    Ok(granted(socket_url, result?, None))
}

/// `POST /session/logout`.
pub(super) async fn logout<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
) -> Result<Response, Problem> {
    context.auth.revoke(caller.session.id, caller.session.user).await?;
    caller.record(&context.audit, Target::Session(caller.session.id), "logout", Outcome::Done);
    context.shards.leave(caller.session.user);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /session`.
pub(super) async fn show<G: Game>(State(context): State<Arc<Context<G>>>, caller: Caller) -> Result<Response, Problem> {
    let session = caller.session;
    let account = context.auth.account_of(session.user).await?;
    let expires_at = time_of(session.expires_at_ms)?;
    let left_ms = session.expires_at_ms - (context.clock)();
    let info = SessionInfo {
        user_id: session.user,
        session_id: session.id,
        guest: account.as_ref().is_some_and(|account| account.guest_seen_at_ms.is_some()),
        username: account.map(|account| account.username).unwrap_or_default(),
        roles: vec![session.role.as_str().to_owned()],
        expires_at,
        expires_in: u64::try_from(left_ms / 1_000).unwrap_or(0),
    };
    Ok(answer(&info))
}

/// `GET /session/list`.
pub(super) async fn list<G: Game>(State(context): State<Arc<Context<G>>>, caller: Caller) -> Result<Response, Problem> {
    let rows = context.auth.sessions_of(caller.session.user).await?;
    let summary = |row: SessionRow| {
        Ok(SessionSummary {
            session_id: row.id,
            started_at: row.started_at_ms.map(time_of).transpose()?,
            refreshed_at: time_of(row.rotated_at_ms)?,
            expires_at: time_of(row.expires_at_ms)?,
            current: row.id == caller.session.id,
        })
    };
    let sessions = rows.into_iter().map(summary).collect::<Result<_, Problem>>()?;
    Ok(answer(&SessionList { sessions }))
}

/// `DELETE /session/{id}`.
pub(super) async fn end<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let user = caller.session.user;
    let named = path.ok().and_then(|Path(id)| id.parse().ok());
    let is_ended = match named {
        Some(session) => context.auth.end_session(user, session).await?,
        None => false,
    };
    if !is_ended {
        let message = "no such session; GET /session/list lists yours";
        return Err(Problem::new(RejectionCode::NO_SUCH_SESSION, message));
    }
    if let Some(session) = named {
        caller.record(&context.audit, Target::Session(session), "end session", Outcome::Done);
    }
    context.shards.leave(user);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /account/password`.
pub(super) async fn change_password<G: Game>(
    State(context): State<Arc<Context<G>>>,
    client: ClientAddress,
    caller: Caller,
    Decoded(wanted): Decoded<ChangePassword>,
) -> Result<Response, Problem> {
    let (present, new) = (Password::new(wanted.password)?, Password::new(wanted.new_password)?);
    let result = context.auth.change_password(caller.session, present, new, client.ip()).await;
    let outcome = outcome_of(&result);
    caller.record(&context.audit, Target::Account(caller.session.user), "change password", outcome);
    result?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A time as the wire writes it, in whole seconds.
fn time_of(ms: i64) -> Result<String, Problem> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .ok_or_else(|| Problem::fault(&"the time of a session is not a valid time"))
}

fn granted(socket_url: String, grant: Grant, guest: Option<Guest>) -> Response {
    answer(&Tokens {
        token: grant.token,
        token_type: "Bearer".to_owned(),
        expires_in: grant.expires_in,
        refresh_token: grant.refresh_token,
        user_id: grant.session.user,
        session_id: grant.session.id,
        socket_url,
        guest,
    })
}

/// The WebSocket's URL, as this client can reach it.
///
/// The client chooses `Host`, so it is believed only if it names this machine, such as `localhost:8080` at the end of
/// a tunnel, or if the client has found that name in the certificate. Otherwise the URL has the address that the
/// connection arrived at.
fn socket_url<G: Game>(context: &Context<G>, reached: &Reached, headers: &HeaderMap) -> String {
    if let Some(url) = &context.settings.public_url {
        return url.socket_url();
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let scheme = if reached.tls.is_some() { "wss" } else { "ws" };
    let is_certified = |host: &str| reached.server_name.as_ref().is_some_and(|name| is_name(host, name));
    match host.filter(|host| is_this_machine(host) || is_certified(host)) {
        Some(host) => format!("{scheme}://{host}/socket"),
        None => format!("{scheme}://{}/socket", reached.at()),
    }
}

/// Returns true for this name, with or without a port.
fn is_name(host: &str, name: &str) -> bool {
    let (found, port) = host.split_once(':').unwrap_or((host, "443"));
    found.eq_ignore_ascii_case(name) && port.parse::<u16>().is_ok()
}

/// Returns true for `localhost` and loopback addresses, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "80"),
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let names_it =
        name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    names_it && port.parse::<u16>().is_ok()
}

fn answer<T: Serialize>(body: &T) -> Response {
    json(StatusCode::OK, serde_json::to_vec(body).expect("plain data fits JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:8080"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil", "localhost.evil", "evil:80", "10.0.0.1:80", "[::2]:1", "::1:x", "localhost:", "[::1]x"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
