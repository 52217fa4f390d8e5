//! Why a login or a token was refused.

use crate::storage::StorageError;

/// Why a login or a token was refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A name or password that no account can have; the message names the field.
    #[error("{0}")]
    Malformed(String),
    /// Wrong name or password: one message for both, so that it does not reveal which names exist.
    #[error("wrong name or password")]
    BadCredentials,
    /// Wrong name or password, and registration is closed.
    #[error("wrong name or password; this server does not create accounts at login, so ask an operator for one")]
    RegistrationClosed,
    /// This server takes no guests.
    #[error("this server takes no guests; log in with a name and a password")]
    GuestsClosed,
    /// The account is not a guest's, or not any more.
    #[error("this account has a name and a password of its own already; POST /account/password changes the password")]
    AlreadyClaimed,
    /// The right password of an account that an operator has disabled.
    #[error("this account is disabled; ask an operator")]
    AccountDisabled,
    /// A token of an outside issuer that does not count; says why.
    #[error("this token is not accepted: {0}")]
    TokenRefused(&'static str),
    /// The keys of an outside issuer cannot be fetched.
    #[error("the issuer of this token does not answer, so the token cannot be checked; try again")]
    IssuerAway {
        /// Time until the next try, in milliseconds.
        retry_after_ms: u64,
    },
    /// The account of a user of an outside issuer was deleted.
    #[error("this account was deleted; ask an operator")]
    AccountDeleted,
    /// The name is taken.
    #[error("this name is taken; choose another one")]
    NameTaken,
    /// Too many failed logins of this name, from this address, or both.
    #[error(
        "too many failed logins for this name or from this address; try again in {} s",
        .retry_after_ms.div_ceil(1_000)
    )]
    TooManyAttempts {
        /// Time until the next login is allowed, in milliseconds.
        retry_after_ms: u64,
    },
    /// Too many logins of this name, or from this address, are under way.
    #[error("too many logins at once with this name or from this address; wait for their answers")]
    TooManyAtOnce {
        /// Of one name from one address; otherwise from one address.
        of_one_name: bool,
    },
    /// Too many logins are already waiting.
    #[error("too many logins at once; try again in {} s", .retry_after_ms.div_ceil(1_000))]
    Overloaded {
        /// Time until a retry makes sense, in milliseconds.
        retry_after_ms: u64,
    },
    /// This server did not issue the token, or its session has expired.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The session was ended.
    #[error("the session was ended; log in again")]
    SessionRevoked,
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A fault of the server.
    #[error("{0}")]
    Fault(String),
}
