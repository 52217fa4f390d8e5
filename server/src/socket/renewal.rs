//! A session goes on with a newer token.

use std::time::Duration;

use castellan_protocol::RejectionCode;

use crate::auth::{Auth, Session, Standing, Ticket};
use crate::shard::Refusal;

/// Checks a newer token of a session, and returns the session as that token describes it.
///
/// # Errors
///
/// The token is not valid any more, or belongs to another session.
pub(crate) async fn renewed(auth: &Auth, session: &Session, token: &str) -> Result<Session, Refusal> {
    let message = match auth.identify(token).await {
        Some(Ticket { session: other, .. }) if other.id != session.id => {
            return Err(Refusal::new(RejectionCode::WRONG_SESSION, "the token belongs to another session"));
        }
        Some(Ticket { session, standing: Standing::Live }) => return Ok(session),
        Some(Ticket { standing: Standing::Expired, .. }) => "the token has expired",
        Some(Ticket { standing: Standing::Revoked, .. }) => "the session was ended",
        None => "the token is not valid",
    };
    Err(Refusal::new(RejectionCode::UNAUTHENTICATED, message))
}

/// Whole seconds from `now_ms` until then; 0 if the time has passed.
pub(crate) fn seconds_until(then_ms: i64, now_ms: i64) -> u64 {
    then_ms.saturating_sub(now_ms).max(0).unsigned_abs() / 1_000
}

/// The time from `now_ms` until then.
pub(crate) fn until(then_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(then_ms.saturating_sub(now_ms).max(0).unsigned_abs())
}
