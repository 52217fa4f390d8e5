//! Changes characters: from an envelope and an action to the answer, after the commit if the client asks for it.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castellan_game::Game;
use castellan_protocol::{Ack, Action, CharacterId, RejectionCode, RequestId, UserId, Version};
use tokio::time::Instant;
use tracing::Span;

use super::base::Envelope;
use super::bearer::Caller;
use super::context::Context;
use super::etag;
use super::problem::{Problem, json};
use crate::shard::{
    Answered, Base, Change, Command, Creation, Reader, Refusal, Shape, Shown, Wait, Waiter, count_intent, trace_outcome,
};
use crate::telemetry::{self, IntentOutcome, Limit, Who};

/// Buffer for a typical character, in bytes.
const BODY_BYTES: usize = 2_048;

const DURABLE: HeaderName = HeaderName::from_static("castellan-durable");
const DUPLICATE: HeaderName = HeaderName::from_static("castellan-duplicate");

/// Changes a character and answers with its new state.
pub(super) async fn change<G: Game>(
    context: &Context<G>,
    caller: &Caller,
    owner: UserId,
    character: CharacterId,
    envelope: &Envelope,
    change: Change<'_, G::Action>,
    permitted: bool,
) -> Result<Response, Problem> {
    let id = envelope.id.unwrap_or_else(|| own_request_id(context));
    let deletes = matches!(change, Change::Delete);
    let action = match &change {
        Change::Action(action) => G::Action::KINDS[action.index()],
        Change::Delete => "delete",
    };
    let is_limited = !caller.session.is_game_server();
    let command = Command { owner, character, id, base: envelope.base, change, permitted, is_limited };
    let waiter = (envelope.ack == Some(Ack::Durable)).then(Waiter::default);
    let mut body = Vec::with_capacity(BODY_BYTES);
    let sender = waiter.as_ref().map(Waiter::mailbox);
    let now_ms = (context.clock)();
    let outcome = context.shards.change(&command, sender, Shape::Body, now_ms, &mut body).await;
    if !goes_back(caller, &outcome) {
        count_intent(&outcome);
        trace_outcome(&Span::current(), &outcome);
        caller.record_write(&context.audit, owner, Some(character), action, &outcome);
    }
    match outcome {
        Answered::Applied { mut shown, duplicate, .. } => {
            if let Some(waiter) = &waiter {
                shown.durable = until_durable(context, waiter, owner, character, shown).await?;
            }
            if deletes {
                let mut response = StatusCode::NO_CONTENT.into_response();
                mark(&mut response, shown, duplicate);
                return Ok(response);
            }
            Ok(answer(context, StatusCode::OK, shown, duplicate, body))
        }
        Answered::Conflict(shown) => Ok(conflict(context, envelope.conditional, shown, &body)),
        Answered::Refused(refusal) => Err(refusal.into()),
        Answered::Closing => {
            telemetry::intent(IntentOutcome::Rejected(RejectionCode::UNAVAILABLE));
            Err(fallen_back())
        }
    }
}

/// Creates a character and answers after the commit, unless `ack` is `applied`. Counts against the
/// owner's creations, unless a game server asks.
pub(super) async fn create<G: Game>(
    context: &Context<G>,
    caller: &Caller,
    owner: UserId,
    envelope: &Envelope,
    wanted: &G::Creation,
) -> Result<Response, Problem> {
    let any = Base { after: envelope.base.after.filter(|id| id.get() > 0), expect: envelope.base.expect };
    if any.after.is_some() || any.expect.is_some_and(|version| version.get() > 0) {
        let message = "a new character has no version yet; leave out `version`, `after` and the header If-Match";
        return Err(Problem::malformed(message));
    }
    let mut body = Vec::with_capacity(BODY_BYTES);
    let is_limited = !caller.session.is_game_server();
    let wait = if is_limited { context.rates.creation(owner).err() } else { None };
    let creation = Creation { owner, character: new_character_id(context), id: envelope.id, wanted, wait };
    let outcome = context.shards.create(&creation, &mut body).await;
    let made = match &outcome {
        Answered::Applied { character, .. } => Some(*character),
        _ => None,
    };
    if !goes_back(caller, &outcome) {
        trace_outcome(&Span::current(), &outcome);
        caller.record_write(&context.audit, owner, made, "create", &outcome);
    }
    let is_new = matches!(outcome, Answered::Applied { duplicate: false, .. });
    match (&outcome, wait) {
        (Answered::Refused(_), Some(_)) => telemetry::refused(Limit::Creations, Who::User(owner)),
        (_, None) if is_limited && !is_new => context.rates.not_created(owner),
        _ => {}
    }
    match outcome {
        Answered::Applied { character, mut shown, duplicate } => {
            if envelope.ack != Some(Ack::Applied) && shown.durable < shown.version {
                let waiter = Waiter::default();
                let reader = Reader::Watches(waiter.mailbox());
                let now = context.shards.show(owner, character, reader, None, Shape::Body, &mut Vec::new()).await;
                // The refusal must not say that nothing was done: a gateway would send the request again.
                let now = now.map_err(|_| fallen_back())?;
                shown.durable =
                    until_durable(context, &waiter, owner, character, Shown { durable: now.durable, ..shown }).await?;
            }
            let mut response = answer(context, StatusCode::CREATED, shown, duplicate, body);
            let location = HeaderValue::try_from(format!("/characters/{character}")).expect("a path of ASCII");
            response.headers_mut().insert(header::LOCATION, location);
            Ok(response)
        }
        Answered::Conflict(shown) => Ok(conflict(context, false, shown, &body)),
        Answered::Refused(refusal) => Err(refusal.into()),
        Answered::Closing => Err(fallen_back()),
    }
}

/// True if the request did nothing here, and its gateway sends it to the next owner of the shard: it decides.
fn goes_back(caller: &Caller, outcome: &Answered) -> bool {
    caller.is_forwarded && matches!(outcome, Answered::Refused(refusal) if *refusal == Refusal::shard_lost())
}

/// An answer with a character as its body, and the headers that belong to it.
pub(super) fn answer<G: Game>(
    context: &Context<G>,
    status: StatusCode,
    shown: Shown,
    duplicate: bool,
    body: Vec<u8>,
) -> Response {
    let mut response = json(status, body);
    let tag = etag::of(shown.version, &(context.catalogue)().revision);
    response.headers_mut().insert(header::ETAG, HeaderValue::try_from(tag).expect("a tag of ASCII"));
    mark(&mut response, shown, duplicate);
    response
}

fn mark(response: &mut Response, shown: Shown, duplicate: bool) {
    let headers = response.headers_mut();
    headers.insert(DURABLE, HeaderValue::from(shown.durable.get()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if duplicate {
        headers.insert(DUPLICATE, HeaderValue::from_static("true"));
    }
}

/// The answer to a stale base version: the latest state.
fn conflict<G: Game>(context: &Context<G>, conditional: bool, shown: Shown, character: &[u8]) -> Response {
    let status = if conditional { StatusCode::PRECONDITION_FAILED } else { StatusCode::CONFLICT };
    let code = RejectionCode::VERSION_CONFLICT;
    let mut body =
        format!(r#"{{"error":"Version mismatch. Please refresh.","code":"{code}","character":"#).into_bytes();
    body.extend_from_slice(character);
    body.push(b'}');
    answer(context, status, shown, false, body)
}

/// An id for a request without one, from the upper half of the wire's range: clients start in the lower half.
fn own_request_id<G: Game>(context: &Context<G>) -> RequestId {
    let mut bytes = [0; 8];
    (context.entropy)(&mut bytes);
    let half = 1_u64 << 52;
    RequestId::new(half | (u64::from_le_bytes(bytes) & (half - 1)))
}

/// A new character's id. UUIDs of version 7 grow with time, which keeps database indexes compact.
fn new_character_id<G: Game>(context: &Context<G>) -> CharacterId {
    let mut bytes = [0; 10];
    (context.entropy)(&mut bytes);
    let now_ms = u64::try_from((context.clock)()).unwrap_or(0);
    CharacterId::from_uuid(uuid::Builder::from_unix_timestamp_millis(now_ms, &bytes).into_uuid())
}

/// The shard moved, or memory fell back to the database, during the request. Only the database knows the outcome; the
/// client learns it by sending the same id again.
fn fallen_back() -> Problem {
    let message = "the character moved during the request; send the same id again to learn the outcome";
    Problem::new(RejectionCode::UNAVAILABLE, message)
}

/// Waits until the shown state is durable or the time is over. Returns the durable version.
async fn until_durable<G: Game>(
    context: &Context<G>,
    waiter: &Waiter,
    owner: UserId,
    character: CharacterId,
    shown: Shown,
) -> Result<Version, Problem> {
    if shown.durable >= shown.version {
        return Ok(shown.durable);
    }
    let deadline = Instant::now() + context.durable_timeout;
    let wait = Wait { owner, character, version: shown.version, deadline, sender: () };
    let durable = waiter.until_durable(&context.shards, wait).await.map_err(|_| fallen_back())?;
    Ok(durable.max(shown.durable))
}
