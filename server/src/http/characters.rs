//! Characters over HTTP: create, read, change, delete.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::{CharacterId, RejectionCode};
use serde_json::{Map, Value, json};

use super::base::Envelope;
use super::bearer::Caller;
use super::context::Context;
use super::problem::Problem;
use super::{body, etag, problem, write};
use crate::shard::{Change, Reader, Refusal, Shape};

/// The character that a path names.
pub(super) struct Named(CharacterId);

impl<G: Game> FromRequestParts<Arc<Context<G>>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context<G>>) -> Result<Self, Problem> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, context).await;
        path.ok().and_then(|Path(id)| id.parse().ok()).map(Self).ok_or_else(|| Refusal::no_such_character().into())
    }
}

/// `POST /characters`.
pub(super) async fn create<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let owner = caller.permitted_owner()?;
    let (headers, mut fields) = object(&context, request).await?;
    let envelope = Envelope::take(&headers, &mut fields)?;
    let wanted: G::Creation = body::decode(fields)?;
    if owner != caller.session.user && context.auth.account_of(owner).await?.is_none() {
        return Err(Problem::malformed("user: no such user; give the id of an existing account"));
    }
    write::create(&context, &caller, owner, &envelope, &wanted).await
}

/// `GET /characters`.
pub(super) async fn list<G: Game>(State(context): State<Arc<Context<G>>>, caller: Caller) -> Result<Response, Problem> {
    let owner = caller.permitted_owner()?;
    let mut body = br#"{"characters":"#.to_vec();
    context.shards.list(owner, &mut body).await?;
    body.push(b'}');
    Ok(problem::json(StatusCode::OK, body))
}

/// `GET /characters/{id}`.
pub(super) async fn show<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
    Named(character): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let owner = caller.owner.ok_or_else(Refusal::no_such_character)?;
    let mut body = Vec::new();
    let shown = context.shards.show(owner, character, Reader::Passing, None, Shape::Body, &mut body).await?;
    let mut response = write::answer(&context, StatusCode::OK, shown, false, body);
    if is_known(&headers, &response) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(response)
}

/// `DELETE /characters/{id}`.
pub(super) async fn delete<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
    Named(character): Named,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut fields = body::optional_object(&parts.headers, body, context.settings.body_timeout).await?;
    let envelope = Envelope::take(&parts.headers, &mut fields)?.required()?;
    no_more(&fields)?;
    let owner = caller.owner.ok_or_else(Refusal::no_such_character)?;
    write::change(&context, &caller, owner, character, &envelope, Change::Delete, true).await
}

/// `POST /characters/{id}/intents`: any action.
pub(super) async fn intent<G: Game>(
    State(context): State<Arc<Context<G>>>,
    caller: Caller,
    Named(character): Named,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, mut fields) = object(&context, request).await?;
    let action = fields.remove("action").filter(|action| !action.is_null());
    let envelope = Envelope::take(&headers, &mut fields)?;
    no_more(&fields)?;
    let action = action.ok_or_else(|| Problem::malformed("action: missing"))?;
    act(&context, caller, character, envelope.required()?, &action).await
}

/// A route for one kind of action: the body holds the action's fields.
pub(super) async fn action<G: Game>(
    kind: &'static str,
    context: Arc<Context<G>>,
    caller: Caller,
    Named(character): Named,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, mut fields) = object(&context, request).await?;
    let envelope = Envelope::take(&headers, &mut fields)?;
    let action = json!({ kind: fields });
    act(&context, caller, character, envelope.required()?, &action).await
}

async fn act<G: Game>(
    context: &Context<G>,
    caller: Caller,
    character: CharacterId,
    envelope: Envelope,
    action: &Value,
) -> Result<Response, Problem> {
    let action: G::Action =
        castellan_protocol::decode_action(action).map_err(|(code, message)| Problem::new(code, message))?;
    let owner = caller.owner.ok_or_else(Refusal::no_such_character)?;
    let permitted = context.policy.permits(caller.session.role, G::right(&action));
    write::change(context, &caller, owner, character, &envelope, Change::Action(&action), permitted).await
}

async fn object<G: Game>(context: &Context<G>, request: Request) -> Result<(HeaderMap, Map<String, Value>), Problem> {
    let (parts, body) = request.into_parts();
    let fields = body::object(&parts.headers, body, context.settings.body_timeout).await?;
    Ok((parts.headers, fields))
}

/// Refuses fields that nobody has taken.
fn no_more(fields: &Map<String, Value>) -> Result<(), Problem> {
    match fields.iter().find(|(_, value)| !value.is_null()) {
        None => Ok(()),
        Some((field, _)) => Err(Problem::malformed(format!("unknown field `{}`", body::shorten(field)))),
    }
}

/// Whether the client has this answer already.
pub(super) fn is_known(headers: &HeaderMap, response: &Response) -> bool {
    let tag = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
    let Some(tag) = tag else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| etag::names(list, tag))
}

/// Answers every unknown path.
pub(super) async fn no_such_route() -> Response {
    Problem::new(RejectionCode::NO_SUCH_ROUTE, "this server has no such path").into_response()
}

/// Answers a known path with the wrong method; axum adds the `Allow` header.
pub(super) async fn method_not_allowed() -> Response {
    Problem::new(RejectionCode::METHOD_NOT_ALLOWED, "this path does not support the method; see the Allow header")
        .into_response()
}
