//! Tokens with a verified signature, so that each is verified once and not with every request.

use std::collections::HashMap;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::token::Session;

/// Most tokens in each of the two halves, at about 100 bytes each.
const HALF_MAX: usize = 16_384;

type Half = HashMap<[u8; 32], Session>;

/// Remembers recently used tokens. When the young half is full it replaces the old half.
#[derive(Default)]
pub(super) struct Verified {
    halves: Mutex<(Half, Half)>,
}

impl Verified {
    /// The session of a token. Calls `read` if the token is not remembered; invalid tokens are never remembered.
    pub(super) fn get(&self, token: &str, read: impl FnOnce(&str) -> Option<Session>) -> Option<Session> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        {
            let mut halves = self.halves.lock();
            let (young, old) = &mut *halves;
            if let Some(session) = young.get(&digest) {
                return Some(*session);
            }
            if let Some(session) = old.remove(&digest) {
                young.insert(digest, session);
                return Some(session);
            }
        }
        let session = read(token)?;
        let mut halves = self.halves.lock();
        let (young, old) = &mut *halves;
        if young.len() >= HALF_MAX {
            *old = std::mem::take(young);
        }
        young.insert(digest, session);
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
        for number in 0..HALF_MAX * 3 {
            verified.get(&number.to_string(), |_| Some(session));
            verified.get("good", |_| panic!("a token in use stays remembered"));
        }
        let halves = verified.halves.lock();
        assert!(halves.0.len() <= HALF_MAX + 1 && halves.1.len() <= HALF_MAX + 1);
    }
}
