//! Smaller answers: the changes, instead of the whole state.
//!
//! A client asks for them with `GET /socket?reply=changes`. `docs/protocol.md#patches` has
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
/// Source: RFC 7396, section 2. The crate `json-patch` does the same, and the tests use it; for these few lines it would
/// bring two more crates into every client.
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

/// The changes in a character: a JSON Merge Patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub Map<String, Value>);

/// A character in an answer: whole, or the changes since the last state that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told<C> {
    /// The whole state.
    Character(Box<C>),
    /// The changes.
    Changes(Changes),
}

impl<C: Serialize + DeserializeOwned> Told<C> {
    /// The whole state. `last` is the last one that this connection got for the same character.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if there are changes but no last state, or if the result is not a character. A server that keeps
    /// the contract sends neither.
    pub fn state(self, last: Option<&C>) -> Result<C, DecodeError> {
        match self {
            Self::Character(character) => Ok(*character),
            Self::Changes(Changes(changes)) => {
                let last =
                    last.ok_or_else(|| DecodeError::new("changes: there is no earlier state to apply them to"))?;
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
    /// True if the id was applied before.
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
    /// Like [`ServerFrame::Welcome`].
    Welcome(Welcome),
    /// An intent was applied.
    Applied(AppliedReply<C>),
    /// Like [`ServerFrame::Conflict`]: always whole.
    Conflict(Box<Conflict<C>>),
    /// Like [`ServerFrame::Rejected`].
    Rejected(Rejected),
    /// A character's present state.
    State(StateReply<C>),
    /// Like [`ServerFrame::Durable`].
    Durable(Durable),
    /// Like [`ServerFrame::Accepted`].
    Accepted(Accepted),
    /// Like [`ServerFrame::Pong`].
    Pong(Pong),
    /// Like [`ServerFrame::Closing`].
    Closing(Closing),
}

impl<C> ReplyFrame<C> {
    /// The kinds, as they are spelled on the wire.
    pub const KINDS: &'static [&'static str] = ServerFrame::<C>::KINDS;
}
