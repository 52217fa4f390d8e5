//! The frames that the server sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CharacterId, RequestId, SessionId, UserId, Version};
use crate::rejection::RejectionCode;

/// One server message: a map with one entry, its kind and that kind's fields.
///
/// `C` is the form of a character: whole ([`Character`](crate::Character)) on the client's side, already packed on the
/// server's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerFrame<C> {
    /// The first frame of a connection.
    Welcome(Welcome),
    /// An intent was applied.
    Applied(Applied<C>),
    /// An intent was based on a state other than the present one; nothing changed.
    Conflict(Conflict<C>),
    /// A frame was refused; nothing changed.
    Rejected(Rejected),
    /// A character's present state.
    State(State<C>),
    /// Characters with their newest durable versions.
    Durable(Durable),
    /// An `unwatch` or `refresh` was carried out.
    Accepted(Accepted),
    /// Answers a `ping`.
    Pong(Pong),
    /// The server closes the socket next.
    Closing(Closing),
}

impl<C> ServerFrame<C> {
    /// The kinds, as they are spelled on the wire.
    pub const KINDS: &'static [&'static str] =
        &["welcome", "applied", "conflict", "rejected", "state", "durable", "accepted", "pong", "closing"];

    /// This one's kind, as it is spelled on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Applied(_) => "applied",
            Self::Conflict(_) => "conflict",
            Self::Rejected(_) => "rejected",
            Self::State(_) => "state",
            Self::Durable(_) => "durable",
            Self::Accepted(_) => "accepted",
            Self::Pong(_) => "pong",
            Self::Closing(_) => "closing",
        }
    }
}

/// Fields of `welcome`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The wire version, 1.
    pub protocol: u32,
    /// The server's name and version.
    pub server: String,
    /// This session.
    pub session: SessionId,
    /// Its user.
    pub user: UserId,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// Seconds between the server's pings.
    pub ping_seconds: u64,
    /// Intents that may be unanswered at the same time.
    pub in_flight_max: u64,
    /// Characters that one connection may watch.
    pub watch_max: u64,
    /// Largest client message accepted, in bytes.
    pub frame_bytes_max: u64,
    /// The user's characters.
    pub characters: Vec<CharacterSummary>,
}

/// One of the user's characters, in `welcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharacterSummary {
    /// Its id.
    pub id: CharacterId,
    /// Its name.
    pub name: String,
    /// Its present version.
    pub version: Version,
}

/// Fields of `applied`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied<C> {
    /// The intent's request id.
    pub id: RequestId,
    /// The whole state, at or after the intent's version.
    pub character: C,
    /// The newest version of the character known to be in the database.
    pub durable: Version,
    /// True if the id was applied before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// Fields of `conflict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict<C> {
    /// The intent's request id.
    pub id: RequestId,
    /// The whole state, the latest.
    pub character: C,
    /// The newest version of the character known to be in the database.
    pub durable: Version,
}

/// Fields of `rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The frame's request id, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The reason, as a code.
    pub code: RejectionCode,
    /// The reason, for a person.
    pub message: String,
    /// Send the same again after this many milliseconds; if it is missing, do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Fields of `state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State<C> {
    /// The whole state.
    pub character: C,
    /// The newest version of the character known to be in the database.
    pub durable: Version,
    /// The `watch` or `fetch` that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// Fields of `durable`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// For each character, the newest version known to be in the database.
    pub versions: BTreeMap<CharacterId, Version>,
}

/// Fields of `accepted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The frame's request id.
    pub id: RequestId,
    /// Seconds until the newer token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// Fields of `pong`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The request id of the `ping`, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// Fields of `closing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The close code that follows.
    pub code: u16,
    /// The reason, for a person.
    pub reason: String,
    /// When to come back, in milliseconds. Spread at random, so that clients do not all come back at once.
    pub retry_after_ms: u64,
}

pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
