//! What is counted and recorded of every login.

use castellan_game::Game;

use super::client_address::ClientAddress;
use super::context::Context;
use crate::audit::{Actor, Event, Outcome, Target};
use crate::auth::{AccountName, AuthError, Grant};
use crate::telemetry::{self, Limit, LoginOutcome, Who};

/// Counts a login, records it, and hands back its result. A name that nobody has is not recorded: people type passwords
/// there by mistake.
pub(super) async fn note<G: Game>(
    context: &Context<G>,
    action: &'static str,
    name: Option<&AccountName>,
    client: ClientAddress,
    result: Result<Grant, AuthError>,
) -> Result<Grant, AuthError> {
    count(client, &result);
    let (actor, target) = match (&result, name) {
        (Ok(grant), _) => (Actor::Account(grant.session.user), Target::Session(grant.session.id)),
        (Err(_), None) => (Actor::Stranger, Target::Nothing),
        (Err(_), Some(name)) => {
            let account = context.auth.user_named(name).await.ok().flatten();
            (Actor::Stranger, account.map_or(Target::Nothing, Target::Account))
        }
    };
    let (address, outcome) = (Some(client.ip()), outcome_of(&result));
    context.audit.record(Event { actor, address, target, action, outcome });
    result
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
fn count(client: ClientAddress, result: &Result<Grant, AuthError>) {
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
