//! Smaller answers: what has changed, instead of the whole state.
//!
//! A client asks for them with `GET /socket?reply=changes`. `docs/protocol.md#changes-instead-of-whole-states` has
//! the rules for both sides. Such a connection gets [`ReplyFrame`]s; [`merge`] applies a patch.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{RequestId, Version};
use crate::server_frame::{Accepted, Closing, Conflict, Durable, Pong, Rejected, ServerFrame, Welcome, is_false};
use crate::value::{DecodeError, decode_value};

/// The value of the query parameter `reply` that asks for changes.
pub const REPLY_CHANGES: &str = "changes";

/// Applies a JSON Merge Patch.
///
/// Source: RFC 7396, section 2.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { unreachable!("made a map just now") };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// What changed in a character: a JSON Merge Patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub Map<String, Value>);

/// A character in an answer: whole, or what changed since the state that came last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told<C> {
    /// The whole state.
    Character(Box<C>),
    /// What changed.
    Changes(Changes),
}

impl<C: Serialize + DeserializeOwned> Told<C> {
    /// The state that is told, given the one that this connection was told of last for the same character.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for changes without a state that they are against, or that make no character of it. A server
    /// that keeps the contract sends neither.
    pub fn state(self, last: Option<&C>) -> Result<C, DecodeError> {
        match self {
            Self::Character(character) => Ok(*character),
            Self::Changes(Changes(changes)) => {
                let last = last.ok_or_else(|| DecodeError::new("changes: there is no state that they are against"))?;
                let mut state = serde_json::to_value(last).map_err(|error| DecodeError::new(error.to_string()))?;
                merge(&mut state, &Value::Object(changes));
                decode_value(&state)
            }
        }
    }
}

/// Fields of `applied` on a connection that asked for changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedReply<C> {
    /// The intent's request id.
    pub id: RequestId,
    /// The state, at or after the intent's version.
    #[serde(flatten)]
    pub told: Told<C>,
    /// The newest version of the character known to be in the database.
    pub durable: Version,
    /// The id had been applied before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// Fields of `state` on a connection that asked for changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateReply<C> {
    /// The state.
    #[serde(flatten)]
    pub told: Told<C>,
    /// The newest version of the character known to be in the database.
    pub durable: Version,
    /// The `watch` or `fetch` that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// One server message on a connection that asked for changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyFrame<C> {
    /// As [`ServerFrame::Welcome`].
    Welcome(Welcome),
    /// An intent was applied.
    Applied(AppliedReply<C>),
    /// As [`ServerFrame::Conflict`]: always whole.
    Conflict(Box<Conflict<C>>),
    /// As [`ServerFrame::Rejected`].
    Rejected(Rejected),
    /// A character's present state.
    State(StateReply<C>),
    /// As [`ServerFrame::Durable`].
    Durable(Durable),
    /// As [`ServerFrame::Accepted`].
    Accepted(Accepted),
    /// As [`ServerFrame::Pong`].
    Pong(Pong),
    /// As [`ServerFrame::Closing`].
    Closing(Closing),
}

impl<C> ReplyFrame<C> {
    /// The kinds, as they are spelled on the wire.
    pub const KINDS: &'static [&'static str] = ServerFrame::<C>::KINDS;
}
