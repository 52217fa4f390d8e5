//! Errors in the wire's format.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castellan_protocol::RejectionCode;
use castellan_protocol::http::ErrorBody;

use crate::auth::AuthError;
use crate::shard::Refusal;
use crate::storage::StorageError;

/// Default time before a retry, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: RejectionCode,
    message: Cow<'static, str>,
    retry_after_ms: Option<u64>,
    is_shard_lost: bool,
}

/// Marks the answer to a request that did nothing, because its shard is not here.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShardLost;

impl Problem {
    /// A problem with the status of its code.
    pub(super) fn new(code: RejectionCode, message: impl Into<Cow<'static, str>>) -> Self {
        let status = status_of(code);
        let retry_after_ms = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_MS);
        Self { status, code, message: message.into(), retry_after_ms, is_shard_lost: false }
    }

    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::MALFORMED, message)
    }

    pub(super) fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RejectionCode::UNAUTHENTICATED, message)
    }

    /// Replaces the status of the code.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Tells the client to retry after `retry_after_ms`.
    pub(super) fn retry_after_ms(self, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..self }
    }

    /// A fault of the server: logged once here, opaque to the client.
    pub(super) fn fault(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed because of an error in the server");
        Self::new(RejectionCode::INTERNAL, "an error occurred in the server; its log has the cause")
    }
}

/// The status of a code. A code that is not listed comes from the rules: 422.
pub const fn status_of(code: RejectionCode) -> StatusCode {
    use RejectionCode as C;
    match code {
        C::MALFORMED | C::UNKNOWN_ACTION | C::UNKNOWN_FRAME => StatusCode::BAD_REQUEST,
        C::UNAUTHENTICATED | C::BAD_CREDENTIALS | C::SESSION_REVOKED => StatusCode::UNAUTHORIZED,
        C::NOT_PERMITTED | C::REGISTRATION_CLOSED | C::ACCOUNT_DISABLED => StatusCode::FORBIDDEN,
        C::NO_SUCH_CHARACTER | C::NO_SUCH_SESSION | C::NO_SUCH_ROUTE => StatusCode::NOT_FOUND,
        C::METHOD_NOT_ALLOWED => StatusCode::METHOD_NOT_ALLOWED,
        C::VERSION_CONFLICT | C::NAME_TAKEN | C::ALREADY_CLAIMED => StatusCode::CONFLICT,
        C::BODY_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        C::UNSUPPORTED_MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        C::VERSION_REQUIRED => StatusCode::PRECONDITION_REQUIRED,
        C::RATE_LIMITED | C::TOO_MANY_ATTEMPTS => StatusCode::TOO_MANY_REQUESTS,
        C::OVERLOADED | C::UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        C::INTERNAL | C::UNKNOWN => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ErrorBody::<()> {
            error: self.message.into_owned(),
            code: self.code,
            retry_after_ms: self.retry_after_ms,
            character: None,
        };
        let mut response = json(self.status, serde_json::to_vec(&body).expect("plain data fits JSON"));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        if self.is_shard_lost {
            response.extensions_mut().insert(ShardLost);
        }
        response
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let is_shard_lost = refusal == Refusal::shard_lost();
        let problem = Self::new(refusal.code, refusal.message);
        Self { is_shard_lost, retry_after_ms: refusal.retry_after_ms.or(problem.retry_after_ms), ..problem }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        use RejectionCode as C;
        let (code, retry_after_ms) = match &error {
            AuthError::Malformed(_) => (C::MALFORMED, None),
            AuthError::NameTaken => (C::NAME_TAKEN, None),
            AuthError::AlreadyClaimed => (C::ALREADY_CLAIMED, None),
            AuthError::BadCredentials => (C::BAD_CREDENTIALS, None),
            AuthError::AccountDisabled | AuthError::AccountDeleted => (C::ACCOUNT_DISABLED, None),
            AuthError::TokenRefused(_) => (C::UNAUTHENTICATED, None),
            AuthError::IssuerAway { retry_after_ms } => (C::UNAVAILABLE, Some(*retry_after_ms)),
            AuthError::RegistrationClosed | AuthError::GuestsClosed => (C::REGISTRATION_CLOSED, None),
            AuthError::TooManyAttempts { retry_after_ms } => (C::TOO_MANY_ATTEMPTS, Some(*retry_after_ms)),
            AuthError::TooManyAtOnce { .. } => (C::RATE_LIMITED, Some(RETRY_MS)),
            AuthError::Overloaded { retry_after_ms } => (C::OVERLOADED, Some(*retry_after_ms)),
            AuthError::Unauthenticated(_) => (C::UNAUTHENTICATED, None),
            AuthError::SessionRevoked => (C::SESSION_REVOKED, None),
            AuthError::Storage(StorageError::Transient(_)) => {
                return Self::new(C::UNAVAILABLE, "the database cannot be reached right now; try again");
            }
            AuthError::Storage(_) | AuthError::Fault(_) => return Self::fault(&error),
        };
        let problem = Self::new(code, error.to_string());
        Self { retry_after_ms: retry_after_ms.or(problem.retry_after_ms), ..problem }
    }
}
