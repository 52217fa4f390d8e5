//! Refresh tokens: `<session>.<generation>.<seal>`. Only the session's generation is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use castellan_protocol::SessionId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The token that continues `session` from `generation`.
pub(super) fn write(key: &[u8], session: SessionId, generation: i64) -> String {
    let seal = URL_SAFE_NO_PAD.encode(mac(key, session, generation).finalize().into_bytes());
    format!("{session}.{generation}.{seal}")
}

/// The session and generation of a genuine token; `None` for any other text.
pub(super) fn read(key: &[u8], token: &str) -> Option<(SessionId, i64)> {
    let mut parts = token.splitn(3, '.');
    let session = parts.next()?.parse().ok()?;
    let generation = parts.next()?.parse().ok()?;
    let seal = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    mac(key, session, generation).verify_slice(&seal).ok()?;
    // The seal covers the number, which has other spellings: `+7` and `07`.
    (write(key, session, generation) == token).then_some((session, generation))
}

/// An id for a name that only those can compute who have the key.
pub(super) fn pseudonym(key: &[u8], name: &str) -> uuid::Uuid {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"the pseudonym of a name: ");
    mac.update(name.as_bytes());
    let digest = mac.finalize().into_bytes();
    uuid::Builder::from_random_bytes(std::array::from_fn(|index| digest[index])).into_uuid()
}

fn mac(key: &[u8], session: SessionId, generation: i64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(session.uuid().as_bytes());
    mac.update(&generation.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_genuine_refresh_token_is_accepted() {
        let session: SessionId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id");
        let token = write(b"key", session, 7);
        assert_eq!(read(b"key", &token), Some((session, 7)));
        assert_eq!(read(b"other", &token), None);
        for generation in [".8.", ".+7.", ".07."] {
            assert_eq!(read(b"key", &token.replace(".7.", generation)), None, "{generation}");
        }
        assert_eq!(read(b"key", &token[..token.len() - 2]), None);
        assert_eq!(read(b"key", ""), None);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{token}");
    }
}
