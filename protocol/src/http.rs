//! Bodies of the HTTP interface.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};
use crate::rejection::RejectionCode;
use crate::wire_map;

/// Largest request body, in bytes. A larger one is answered with 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

wire_map! {
    /// Body of `POST /session/login`: a name and a password, or a new guest.
    action Login {
        /// The account's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// Its password.
        #[serde(skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        /// Make the account if it does not exist.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        create: bool,
        /// Make an account for a guest; then nothing else may be given.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        guest: bool,
    }
}

wire_map! {
    /// Body of `POST /session/exchange`.
    action ExchangeToken {
        /// A token of an outside issuer.
        token: String,
    }
}

wire_map! {
    /// Body of `POST /session/refresh`.
    action RefreshSession {
        /// The refresh token from the last login or refresh.
        refresh_token: String,
    }
}

wire_map! {
    /// Body of `POST /account/password`.
    action ChangePassword {
        /// The present password.
        password: String,
        /// The new one.
        new_password: String,
    }
}

wire_map! {
    /// Body of `POST /account/claim`.
    action ClaimAccount {
        /// The name for the guest's account.
        name: String,
        /// Its password.
        password: String,
    }
}

/// What a guest logs in with later.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The account's name.
    pub name: String,
    /// Its password. The server does not tell it again.
    pub secret: String,
}

/// Hides the secret.
impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Answer of `POST /session/login` and `POST /session/refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// The access token.
    pub token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// The refresh token, good for one refresh.
    pub refresh_token: String,
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The address of the WebSocket.
    pub socket_url: String,
    /// Only for a new guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
}

/// Answer of `GET /session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The account's name.
    pub username: String,
    /// Roles of the session: `player`, `game`, `operator`.
    pub roles: Vec<String>,
    /// When the token expires: RFC 3339, UTC.
    pub expires_at: String,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// True for a guest, whose account can be claimed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guest: bool,
}

/// A session in the answer of `GET /session/list`. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session.
    pub session_id: SessionId,
    /// The login; absent if an older server started the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// The last refresh, or the login.
    pub refreshed_at: String,
    /// When the session ends unless it is refreshed.
    pub expires_at: String,
    /// True for the session that asks.
    pub current: bool,
}

/// Answer of `GET /session/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionList {
    /// The user's sessions, the last refreshed one first.
    pub sessions: Vec<SessionSummary>,
}

/// Answer of `GET /characters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CharacterList<C> {
    /// All characters of the user.
    pub characters: Vec<C>,
}

/// Body of every error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody<C> {
    /// One sentence for a person.
    pub error: String,
    /// The stable code.
    pub code: RejectionCode,
    /// Try the same again after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The latest state, after a version conflict.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub character: Option<C>,
}

/// A default that puts no bound on `C`.
fn none<C>() -> Option<C> {
    None
}
