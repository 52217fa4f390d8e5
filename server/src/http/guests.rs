//! Guests: an account without a name of its own, which its user may claim later.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::http::{ClaimAccount, Guest, Login};

use super::bearer::Caller;
use super::body::Decoded;
use super::client_address::ClientAddress;
use super::context::Context;
use super::logins::{note, outcome_of};
use super::problem::Problem;
use crate::audit::Target;
use crate::auth::{AccountName, Grant, Password};

/// A login that makes a guest.
pub(super) async fn enter<G: Game>(
    context: &Context<G>,
    client: ClientAddress,
    wanted: &Login,
) -> Result<(Grant, Option<Guest>), Problem> {
    if wanted.username.is_some() || wanted.password.is_some() || wanted.create {
        return Err(Problem::malformed("guest: leave out username, password and create, or leave out guest"));
    }
    context.rates.guest(client)?;
    let result = context.auth.login_guest(client.ip()).await;
    if result.is_err() {
        context.rates.no_guest(client);
    }
    let (result, guest) = match result {
        Ok((grant, guest)) => (Ok(grant), Some(Guest { name: guest.name, secret: guest.secret })),
        Err(error) => (Err(error), None),
    };
    Ok((note(context, "guest login", None, client, result).await?, guest))
}

/// `POST /account/claim`.
pub(super) async fn claim<G: Game>(
    State(context): State<Arc<Context<G>>>,
    client: ClientAddress,
    caller: Caller,
    Decoded(wanted): Decoded<ClaimAccount>,
) -> Result<Response, Problem> {
    let name = AccountName::in_field("name", &wanted.name)?;
    let password = Password::new(wanted.password)?;
    let result = context.auth.claim(caller.session, &name, password, client.ip()).await;
    let outcome = outcome_of(&result);
    caller.record(&context.audit, Target::Account(caller.session.user), "claim", outcome);
    result?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
