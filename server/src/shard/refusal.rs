//! Why a shard refuses a command.

use std::borrow::Cow;
use std::time::Duration;

use castellan_protocol::RejectionCode;

use castellan_srd::Violation;

/// A refused command: the stable code, the sentence for a person, and when the same may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RejectionCode,
    /// Why, for a person.
    pub message: Cow<'static, str>,
    /// Try the same again after this many milliseconds; without it: do not.
    pub retry_after_ms: Option<u64>,
}

/// When to come back where a bound was reached: about one flush later.
const RETRY_BOUND_MS: u64 = 1_000;

impl Refusal {
    /// A refusal for good.
    pub fn new(code: RejectionCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// A refusal that may be over after a while.
    pub fn retry(code: RejectionCode, message: impl Into<Cow<'static, str>>, retry_after_ms: u64) -> Self {
        Self { code, message: message.into(), retry_after_ms: Some(retry_after_ms) }
    }

    /// The database is not to be had, so what is not in memory cannot be told.
    pub fn database_away() -> Self {
        Self::retry(RejectionCode::Unavailable, "the database cannot be reached", RETRY_BOUND_MS)
    }

    /// What the database has of a user's characters cannot be understood.
    pub(super) fn unreadable() -> Self {
        Self::new(RejectionCode::Internal, "a stored character cannot be read")
    }

    /// Memory is full of what cannot leave it.
    pub(super) fn memory_full() -> Self {
        Self::retry(RejectionCode::Overloaded, "too many characters are in memory", RETRY_BOUND_MS)
    }

    /// Another server has the shard.
    pub(super) fn shard_lost() -> Self {
        Self::retry(RejectionCode::Unavailable, "another server has taken over this character", RETRY_BOUND_MS)
    }

    /// There is none, or it is somebody else's.
    pub fn no_such_character() -> Self {
        Self::new(RejectionCode::NoSuchCharacter, "you have no such character")
    }

    /// The sender has to wait this long before it is heard again.
    pub fn rate_limited(wait: Duration) -> Self {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::retry(RejectionCode::RateLimited, "you send above your rate", retry_after_ms)
    }

    pub(super) fn not_permitted() -> Self {
        Self::new(RejectionCode::NotPermitted, "your role may not send this action")
    }

    pub(super) fn dead_letter() -> Self {
        Self::retry(
            RejectionCode::Unavailable,
            "this character could not be stored and waits for an operator",
            30 * RETRY_BOUND_MS,
        )
    }

    /// The character's versions contradicted each other; it comes back as the database has it.
    pub(super) fn out_of_play() -> Self {
        Self::retry(RejectionCode::Unavailable, "this character is being loaded again", RETRY_BOUND_MS)
    }

    pub(super) fn flush_behind() -> Self {
        Self::retry(RejectionCode::Overloaded, "too much waits to be stored", RETRY_BOUND_MS)
    }

    pub(super) fn too_many_characters() -> Self {
        Self::new(RejectionCode::LimitExceeded, "a user may have 32 characters")
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::new(violation.code, violation.message)
    }
}
