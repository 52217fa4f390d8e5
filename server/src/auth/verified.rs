//! Tokens with a verified signature, so that each is verified once and not with every request.

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::token::Session;

/// Most tokens remembered, at about 150 bytes each.
const TOKENS_MAX: usize = 32_768;

/// Remembers recently used tokens.
pub(super) struct Verified(Cache<[u8; 32], Session>);

impl Default for Verified {
    fn default() -> Self {
        Self(Cache::new(TOKENS_MAX))
    }
}

impl Verified {
    /// The session of a token. Calls `read` if the token is not remembered; invalid tokens are never remembered.
    pub(super) fn get(&self, token: &str, read: impl FnOnce(&str) -> Option<Session>) -> Option<Session> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(session) = self.0.get(&digest) {
            return Some(session);
        }
        let session = read(token)?;
        self.0.insert(digest, session);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_token_is_read_once_and_an_invalid_one_each_time() {
        let session = Session {
            id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id"),
            user: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id"),
            role: crate::config::Role::Player,
            expires_at_ms: 1,
        };
        let verified = Verified::default();
        assert_eq!(verified.get("good", |_| Some(session)), Some(session));
        assert_eq!(verified.get("good", |_| panic!("read again")), Some(session));
        assert_eq!(verified.get("bad", |_| None), None);
        assert_eq!(verified.get("bad", |_| Some(session)), Some(session));
        for number in 0..TOKENS_MAX * 2 {
            verified.get(&number.to_string(), |_| Some(session));
            verified.get("good", |_| panic!("a token in use stays remembered"));
        }
        assert!(verified.0.len() <= TOKENS_MAX, "{}", verified.0.len());
    }
}
