//! Why somebody was not let in.

use crate::storage::StorageError;

/// Why somebody was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A name or password that no account can have; the sentence names the field.
    #[error("{0}")]
    Malformed(String),
    /// Wrong name or password, the same for both.
    #[error("wrong name or password")]
    BadCredentials,
    /// Nobody has that name and password, and this server makes no accounts for who asks.
    #[error("no account has this name and password, and this server is not open for registration")]
    RegistrationClosed,
    /// The name is taken.
    #[error("this name is taken")]
    NameTaken,
    /// Too many failed logins of this name or from this address.
    #[error("too many failed logins; wait before the next one")]
    TooManyAttempts {
        /// When the next one is let through, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// Too many logins wait already.
    #[error("too many logins at once")]
    Overloaded {
        /// When to try again, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The token is none of ours, or its session has ended of itself.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The session was ended.
    #[error("this session was ended; log in again")]
    SessionRevoked,
    /// The database did not do its part.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A fault of the server.
    #[error("{0}")]
    Fault(String),
}
