//! Whose request it is.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use castellan_protocol::{RejectionCode, UserId};
use serde::Deserialize;

use super::context::Context;
use super::problem::Problem;
use crate::auth::{Session, Standing};
use crate::config::Role;

/// The session of a request whose token is good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) session: Session,
    /// Whose characters it is about, where it names one.
    named: Option<UserId>,
}

#[derive(Deserialize)]
struct Named {
    user: Option<String>,
}

impl Caller {
    /// Whose characters the request is about; `None` where the caller names somebody whom it may not act for.
    pub(super) fn owner(&self) -> Option<UserId> {
        match self.named {
            None => Some(self.session.user),
            Some(user) if user == self.session.user || self.session.role == Role::Game => Some(user),
            Some(_) => None,
        }
    }

    /// As [`Caller::owner`], for requests about a user rather than one character.
    pub(super) fn permitted_owner(&self) -> Result<UserId, Problem> {
        self.owner().ok_or_else(|| {
            Problem::new(RejectionCode::NotPermitted, "only game servers may name another user than their own")
        })
    }

    /// Whether the request is about somebody else's characters.
    pub(super) fn acts_for_another(&self) -> bool {
        self.named.is_some_and(|user| user != self.session.user)
    }
}

/// The token in `Authorization: Bearer <token>`.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl FromRequestParts<Arc<Context>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        let token = token(&parts.headers)
            .ok_or_else(|| Problem::unauthenticated("this needs a token: Authorization: Bearer <token>"))?;
        let ticket = context.auth.verify(token).ok_or_else(|| Problem::unauthenticated(FORGED))?;
        match ticket.standing {
            Standing::Live => {}
            Standing::Expired => return Err(Problem::unauthenticated("this token has expired; refresh the session")),
            Standing::Revoked => return Err(Problem::unauthenticated("this session was ended; log in again")),
        }
        context.rates.take(ticket.session.id)?;
        let Query(named) = Query::<Named>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::malformed("the query cannot be read; `user` may stand there once"))?;
        let named = match named.user.map(|user| user.parse()) {
            None => None,
            Some(Ok(user)) => Some(user),
            Some(Err(error)) => return Err(Problem::malformed(format!("user: {error}"))),
        };
        Ok(Self { session: ticket.session, named })
    }
}

/// What a text is told that is no token of ours.
pub(super) const FORGED: &str = "this is no token of this server";
