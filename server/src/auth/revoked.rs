//! Ended sessions whose access tokens have not expired yet.

use std::collections::HashMap;

use castellan_protocol::{SessionId, UserId};
use parking_lot::RwLock;
use tokio::sync::broadcast;

/// Most ended sessions that a listener may lag behind. One that lags further is told so and checks all its sessions.
const NEWS_MAX: usize = 4_096;

/// Ended sessions.
///
/// Bounded by the number of sessions that the hashing pool can start within an access token's lifetime.
pub(super) struct Revoked {
    /// Time until which each is remembered, in milliseconds since the epoch.
    until_ms: RwLock<HashMap<SessionId, i64>>,
    news: broadcast::Sender<(SessionId, UserId)>,
    /// How long a session is remembered: at least the lifetime of its access tokens.
    keep_ms: i64,
}

/// Largest clock difference between two servers, in milliseconds.
const SKEW_MS: i64 = 60_000;

impl Revoked {
    pub(super) fn new(access_ttl_ms: i64) -> Self {
        let (news, _) = broadcast::channel(NEWS_MAX);
        Self { until_ms: RwLock::default(), news, keep_ms: access_ttl_ms + SKEW_MS }
    }

    /// The database is asked for sessions that ended after this time.
    pub(super) fn since_ms(&self, now_ms: i64) -> i64 {
        now_ms - self.keep_ms
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.until_ms.read().contains_key(&session)
    }

    /// Remembers an ended session and tells the listeners.
    pub(super) fn add(&self, session: SessionId, user: UserId, now_ms: i64) {
        if self.until_ms.write().insert(session, now_ms + self.keep_ms + SKEW_MS).is_none() {
            // An error means that nobody listens.
            let _ = self.news.send((session, user));
        }
    }

    /// Adds the sessions from the database and forgets those whose time is over.
    pub(super) fn update(&self, sessions: &[(SessionId, UserId)], now_ms: i64) {
        for (session, user) in sessions {
            self.add(*session, *user, now_ms);
        }
        self.until_ms.write().retain(|_, until_ms| *until_ms > now_ms);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<(SessionId, UserId)> {
        self.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_announced_once_and_remembered_until_its_tokens_expire() {
        let revoked = Revoked::new(900_000);
        let mut news = revoked.subscribe();
        let session: SessionId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id");
        let user: UserId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf7".parse().expect("an id");
        revoked.add(session, user, 0);
        revoked.update(&[(session, user)], 1_000);
        assert_eq!(news.try_recv().ok(), Some((session, user)));
        assert!(news.try_recv().is_err());
        revoked.update(&[], 900_000 + SKEW_MS);
        assert!(revoked.contains(session));
        assert!(revoked.since_ms(900_000 + SKEW_MS) >= 0, "the database still returns it");
        revoked.update(&[], 902_000 + 2 * SKEW_MS);
        assert!(!revoked.contains(session));
    }
}
