//! Sessions that were ended while their access tokens would still be good.

use std::collections::HashMap;

use castellan_protocol::SessionId;
use parking_lot::RwLock;
use tokio::sync::broadcast;

/// News of ended sessions that one listener may be behind; one further behind is told so and looks at all its
/// sessions.
const NEWS_MAX: usize = 4_096;

/// Sessions that were ended.
///
/// Its size is bounded by the sessions that the hashing pool can begin within an access token's life.
pub(super) struct Revoked {
    /// Until when each must be remembered, in milliseconds since the epoch.
    until_ms: RwLock<HashMap<SessionId, i64>>,
    news: broadcast::Sender<SessionId>,
    /// For how long a session is remembered: at least as long as its access tokens are good.
    keep_ms: i64,
}

/// How far the clocks of two servers may be apart, in milliseconds.
const SKEW_MS: i64 = 60_000;

impl Revoked {
    pub(super) fn new(access_ttl_ms: i64) -> Self {
        let (news, _) = broadcast::channel(NEWS_MAX);
        Self { until_ms: RwLock::default(), news, keep_ms: access_ttl_ms + SKEW_MS }
    }

    /// From when on the database is asked for sessions that were ended.
    pub(super) fn since_ms(&self, now_ms: i64) -> i64 {
        now_ms - self.keep_ms
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.until_ms.read().contains_key(&session)
    }

    /// Remembers a session that was ended, and tells those who listen.
    pub(super) fn add(&self, session: SessionId, now_ms: i64) {
        if self.until_ms.write().insert(session, now_ms + self.keep_ms + SKEW_MS).is_none() {
            // Fails where nobody listens.
            let _ = self.news.send(session);
        }
    }

    /// Takes over what the database says, and forgets what has become pointless.
    pub(super) fn update(&self, sessions: &[SessionId], now_ms: i64) {
        for session in sessions {
            self.add(*session, now_ms);
        }
        self.until_ms.write().retain(|_, until_ms| *until_ms > now_ms);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<SessionId> {
        self.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_once_and_remembered_as_long_as_its_tokens_are_good() {
        let revoked = Revoked::new(900_000);
        let mut news = revoked.subscribe();
        let session: SessionId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id");
        revoked.add(session, 0);
        revoked.update(&[session], 1_000);
        assert_eq!(news.try_recv().ok(), Some(session));
        assert!(news.try_recv().is_err());
        revoked.update(&[], 900_000 + SKEW_MS);
        assert!(revoked.contains(session));
        assert!(revoked.since_ms(900_000 + SKEW_MS) >= 0, "the database gives it no longer");
        revoked.update(&[], 902_000 + 2 * SKEW_MS);
        assert!(!revoked.contains(session));
    }
}
