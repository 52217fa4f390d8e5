//! Authentication: the session behind a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use castellan_game::Game;
use castellan_protocol::{CharacterId, RejectionCode, UserId};
use ipnet::IpNet;
use serde::Deserialize;

use super::client_address::{self, ClientAddress};
use super::context::Context;
use super::packed::Forwarded;
use super::problem::Problem;
use crate::audit::{Actor, Audit, Event, Outcome, Target};
use crate::auth::{Session, Standing, Ticket};
use crate::shard::{Answered, outcome_of};

/// The session of a request with a valid token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) session: Session,
    /// The address of the client.
    pub(super) address: IpAddr,
    /// The owner of the requested characters; `None` if the session may not act for the user that the request names.
    pub(super) owner: Option<UserId>,
    /// A gateway has forwarded the request, and has counted it.
    pub(super) is_forwarded: bool,
}

#[derive(Deserialize)]
struct Named {
    user: Option<String>,
}

impl Caller {
    /// Records what the caller did.
    pub(super) fn record(&self, audit: &Audit, target: Target, action: &'static str, outcome: Outcome) {
        let actor = Actor::Account(self.session.user);
        audit.record(Event { actor, address: Some(self.address), target, action, outcome });
    }

    /// Records a write to a character, if the caller has the role `game`.
    pub(super) fn record_write(
        &self,
        audit: &Audit,
        owner: UserId,
        character: Option<CharacterId>,
        action: &'static str,
        answered: &Answered,
    ) {
        if self.session.is_game_server()
            && let Some(outcome) = outcome_of(answered)
        {
            self.record(audit, Target::Character(owner, character), action, Outcome::Intent(outcome));
        }
    }

    /// The owner, for requests about a user instead of one character.
    pub(super) fn permitted_owner(&self) -> Result<UserId, Problem> {
        self.owner.ok_or_else(|| {
            Problem::new(
                RejectionCode::NOT_PERMITTED,
                "only an account with the role game may name another user; leave out `user`",
            )
        })
    }
}

/// The token in `Authorization: Bearer <token>`. Of two such headers neither counts: a proxy on the way may have checked
/// the other one.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl<G: Game> FromRequestParts<Arc<Context<G>>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context<G>>) -> Result<Self, Problem> {
        let is_forwarded = parts.extensions.get::<Forwarded>().is_some();
        let session = match live_session(parts, context).await {
            Ok(session) => session,
            Err(problem) if is_forwarded => return Err(problem),
            Err(problem) => {
                let client = ClientAddress::from_request_parts(parts, context).await?;
                context.rates.anonymous(client)?;
                return Err(problem);
            }
        };
        if !is_forwarded {
            context.rates.request(&session)?;
        }
        let Query(named) = Query::<Named>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::malformed("the query cannot be read; give `user` at most once"))?;
        let named = match named.user.map(|user| user.parse()) {
            None => None,
            Some(Ok(user)) => Some(user),
            Some(Err(error)) => return Err(Problem::malformed(format!("user: {error}"))),
        };
        let address = client_address::of_request(&parts.extensions);
        Ok(Self { session, address, owner: session.acts_for(named), is_forwarded })
    }
}

/// The session of a request, if its token is valid now.
async fn live_session<G: Game>(parts: &Parts, context: &Context<G>) -> Result<Session, Problem> {
    let token = token(&parts.headers)
        .ok_or_else(|| Problem::unauthenticated("token missing: send Authorization: Bearer <token>"))?;
    let ticket = identify(context, token, &parts.extensions).await?;
    match ticket.standing {
        Standing::Live => Ok(ticket.session),
        Standing::Expired => Err(Problem::unauthenticated("the token has expired; refresh the session")),
        Standing::Revoked => Err(Problem::unauthenticated("the session was ended; log in again")),
    }
}

/// Verifies a token and the address that it comes from.
pub(super) async fn identify<G: Game>(
    context: &Context<G>,
    token: &str,
    extensions: &Extensions,
) -> Result<Ticket, Problem> {
    let ticket = context.auth.identify(token).await.ok_or_else(|| Problem::unauthenticated(FORGED))?;
    let client = extensions.get::<ClientAddress>().map(|client| client.ip());
    if ticket.session.is_game_server() && !may_hold_game(&context.settings.game_addresses, client) {
        return Err(Problem::new(
            RejectionCode::NOT_PERMITTED,
            "tokens of the role game are not accepted from this address; its operator can add it to game_addresses",
        ));
    }
    Ok(ticket)
}

/// Returns true if a client at this address may use a token of the role `game`.
fn may_hold_game(addresses: &[IpNet], client: Option<IpAddr>) -> bool {
    let client = client.map(|client| client.to_canonical());
    addresses.is_empty() || client.is_some_and(|client| addresses.iter().any(|net| net.contains(&client)))
}

/// The refusal for a token that this server did not issue.
const FORGED: &str = "this server did not issue this token; log in";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_keeps_others_out() {
        let may = |list: &[&str], client: &str| {
            let list: Vec<IpNet> = list.iter().map(|net| net.parse().expect("a prefix")).collect();
            may_hold_game(&list, client.parse().ok())
        };
        assert!(may(&[], "203.0.113.9"), "without a list it is not bound");
        assert!(may(&["10.0.0.0/8", "2001:db8::/32"], "10.1.2.3"));
        assert!(may(&["10.0.0.0/8", "2001:db8::/32"], "::ffff:10.1.2.3"));
        assert!(may(&["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1"));
        assert!(!may(&["10.0.0.0/8", "2001:db8::/32"], "203.0.113.9"));
        assert!(!may(&["10.0.0.0/8"], "not known"));
    }
}
