//! What is counted and recorded of every login.

use std::net::IpAddr;

use castellan_game::Game;

use super::client_address::ClientAddress;
use super::context::Context;
use crate::audit::{Actor, Event, Outcome, Target};
use crate::auth::{AccountName, AuthError, Grant};
use crate::telemetry::{self, Limit, LoginOutcome, Who};

/// Records a login. A name that nobody has is left out: people type passwords there by mistake.
pub(super) async fn record<G: Game>(
    context: &Context<G>,
    name: &AccountName,
    address: IpAddr,
    result: &Result<Grant, AuthError>,
) {
    let (actor, target, outcome) = match result {
        Ok(grant) => (Actor::Account(grant.session.user), Target::Session(grant.session.id), outcome_of(result)),
        Err(_) => {
            let account = context.auth.user_named(name).await.ok().flatten();
            (Actor::Stranger, account.map_or(Target::Nothing, Target::Account), outcome_of(result))
        }
    };
    context.audit.record(Event { actor, address: Some(address), target, action: "login", outcome });
}

pub(super) fn outcome_of<T>(result: &Result<T, AuthError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(AuthError::TooManyAttempts { .. }) => Outcome::LockedOut,
        Err(
            AuthError::Overloaded { .. } | AuthError::IssuerAway { .. } | AuthError::Storage(_) | AuthError::Fault(_),
        ) => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

/// Counts a login, and what the limits on logins and sessions refused.
pub(super) fn count(client: ClientAddress, result: &Result<Grant, AuthError>) {
    telemetry::login(match result {
        Ok(_) => LoginOutcome::Granted,
        Err(AuthError::TooManyAttempts { .. } | AuthError::TooManyAtOnce { .. }) => LoginOutcome::Limited,
        Err(AuthError::Overloaded { .. }) => LoginOutcome::Overloaded,
        Err(AuthError::IssuerAway { .. } | AuthError::Storage(_) | AuthError::Fault(_)) => LoginOutcome::Failed,
        Err(_) => LoginOutcome::Refused,
    });
    match result {
        Ok(grant) => {
            (0..grant.ended).for_each(|_| telemetry::refused(Limit::Sessions, Who::User(grant.session.user)));
        }
        Err(AuthError::TooManyAtOnce { of_one_name }) => {
            let limit = if *of_one_name { Limit::LoginsPerName } else { Limit::LoginsPerAddress };
            telemetry::refused(limit, Who::Network(client.network()));
        }
        Err(_) => {}
    }
}

/// Records a login of somebody who named no account.
pub(super) fn record_stranger<G: Game>(
    context: &Context<G>,
    action: &'static str,
    address: IpAddr,
    result: &Result<Grant, AuthError>,
) {
    let (actor, target) = match result {
        Ok(grant) => (Actor::Account(grant.session.user), Target::Session(grant.session.id)),
        Err(_) => (Actor::Stranger, Target::Nothing),
    };
    context.audit.record(Event { actor, address: Some(address), target, action, outcome: outcome_of(result) });
}
