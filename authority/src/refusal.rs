//! Why a shard refuses a command.

use std::borrow::Cow;
use std::time::Duration;

use castellan_protocol::RejectionCode;

use castellan_game::Violation;

/// A refused command: the stable code, a sentence for a person, and when to try the same again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RejectionCode,
    /// The reason, for a person.
    pub message: Cow<'static, str>,
    /// Try the same again after this many milliseconds; if it is missing, do not try again.
    pub retry_after_ms: Option<u64>,
}

/// When to try again after a limit was reached, in milliseconds: about one flush later.
const RETRY_BOUND_MS: u64 = 1_000;

/// The sentence of [`Refusal::shard_lost`], which no other refusal has.
const SHARD_LOST: &str = "another server has taken over this character";

impl Refusal {
    /// A permanent refusal.
    pub fn new(code: RejectionCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// A temporary refusal.
    pub fn retry(code: RejectionCode, message: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Self {
        Self { code, message: message.into(), retry_after_ms: Some(retry_after_ms) }
    }

    /// The database cannot be reached, and the character is not in memory.
    pub fn database_away() -> Self {
        Self::retry(RejectionCode::UNAVAILABLE, "the database cannot be reached right now", RETRY_BOUND_MS)
    }

    /// A row of the user's characters cannot be decoded.
    pub fn unreadable() -> Self {
        Self::new(RejectionCode::INTERNAL, "a stored character cannot be read")
    }

    /// Memory is full, and nothing can be evicted.
    pub fn memory_full() -> Self {
        Self::retry(
            RejectionCode::OVERLOADED,
            "the server has no room for more characters in memory right now",
            RETRY_BOUND_MS,
        )
    }

    /// Another server holds the shard.
    pub fn shard_lost() -> Self {
        Self::retry(RejectionCode::UNAVAILABLE, SHARD_LOST, RETRY_BOUND_MS)
    }

    /// Returns true for [`Refusal::shard_lost`].
    pub fn is_shard_lost(&self) -> bool {
        self.code == RejectionCode::UNAVAILABLE && self.message == SHARD_LOST
    }

    /// The character does not exist, or belongs to another user.
    pub fn no_such_character() -> Self {
        Self::new(RejectionCode::NO_SUCH_CHARACTER, "you have no such character")
    }

    /// A field is out of bounds.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::MALFORMED, message)
    }

    /// A number would pass its limit.
    pub fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::LIMIT_EXCEEDED, message)
    }

    /// The receiver of goods does not exist, or was deleted.
    pub fn no_such_receiver() -> Self {
        Self::new(RejectionCode::NO_SUCH_RECEIVER, "there is no such character to deal with")
    }

    /// The sender must wait this long before its next request.
    pub fn rate_limited(wait: Duration) -> Self {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::retry(RejectionCode::RATE_LIMITED, "you are sending too fast", retry_after_ms)
    }

    /// The character must wait this long before the next gift, offer or acceptance.
    pub fn too_many_deals(wait: Duration) -> Self {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::retry(RejectionCode::RATE_LIMITED, "this character has traded too much in this minute", retry_after_ms)
    }

    /// The owner must wait this long before the next creation.
    pub fn too_many_creations(wait: Duration) -> Self {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::retry(RejectionCode::RATE_LIMITED, "you have created too many characters today", retry_after_ms)
    }

    /// The policy forbids the action to the session's role.
    pub fn not_permitted() -> Self {
        Self::new(RejectionCode::NOT_PERMITTED, "your role may not send this action")
    }

    /// The character waits for an operator.
    pub fn dead_letter() -> Self {
        Self::retry(
            RejectionCode::UNAVAILABLE,
            "this character could not be stored; it is locked until an operator decides what to do with it",
            30 * RETRY_BOUND_MS,
        )
    }

    /// The character's versions contradicted each other; the database's state replaces it.
    pub fn out_of_play() -> Self {
        Self::retry(RejectionCode::UNAVAILABLE, "this character is being reloaded", RETRY_BOUND_MS)
    }

    /// Too many changes wait for the database.
    pub fn flush_behind() -> Self {
        Self::retry(RejectionCode::OVERLOADED, "too many changes are waiting to be stored", RETRY_BOUND_MS)
    }

    /// Servers of the release before could not read the state that this would lead to.
    pub fn update_unfinished() -> Self {
        Self::retry(
            RejectionCode::UNAVAILABLE,
            "this is possible once the update of the servers is finished",
            30 * RETRY_BOUND_MS,
        )
    }

    /// The user has as many characters as a user may have.
    pub fn too_many_characters() -> Self {
        Self::new(RejectionCode::LIMIT_EXCEEDED, "a user may have at most 32 characters")
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::new(violation.code, violation.message)
    }
}
