//! The public keys of an issuer: a JSON Web Key Set (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Most keys of a set that are used.
const KEYS_MAX: usize = 100;

/// Length of an RSA modulus, in bytes: 2,048 to 4,096 bits. Shorter ones are too weak; the library takes no longer ones.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Longest RSA exponent, in bytes.
const EXPONENT_BYTES_MAX: usize = 8;

/// Length of a coordinate of P-256 and of a point of Ed25519, in bytes.
const COORDINATE_BYTES: usize = 32;

/// The keys of an issuer that can verify tokens.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: String,
    /// The one algorithm that the key is for.
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Skips keys that are of no use here: of other types, for encryption, without an id.
    ///
    /// # Errors
    ///
    /// Says why if it is no set, or has no useful key.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(bytes).map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(useful).take(KEYS_MAX).collect();
        if keys.is_empty() {
            return Err("has no key with a kid that verifies RS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    /// The key with this id, if it is for this algorithm.
    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> Option<&DecodingKey> {
        self.0.iter().find(|key| key.id == id && key.algorithm == algorithm).map(|key| &key.key)
    }
}

fn useful(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len());
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(key)
            if MODULUS_BYTES.contains(&bytes(&key.n)?) && bytes(&key.e)? <= EXPONENT_BYTES_MAX =>
        {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key)
            if key.curve == EllipticCurve::P256
                && [&key.x, &key.y].map(|x| bytes(x)) == [Some(COORDINATE_BYTES); 2] =>
        {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        // Of a shorter one the library would take bytes that are not there.
        AlgorithmParameters::OctetKeyPair(key)
            if key.curve == EllipticCurve::Ed25519 && bytes(&key.x)? == COORDINATE_BYTES =>
        {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|wanted| *wanted == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|can| can.contains(&KeyOperations::Verify));
    let is_for_it = common.key_algorithm.is_none_or(|wanted| wanted == name);
    if !(is_for_signatures && verifies && is_for_it) {
        return None;
    }
    Some(Key { id: common.key_id.clone()?, algorithm, key: DecodingKey::from_jwk(&jwk).ok()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(keys: Value) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn base64(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0x8f; bytes])
    }

    #[test]
    fn only_keys_that_verify_signatures_count() {
        let rsa = |n: usize| json!({"kty": "RSA", "kid": "r", "n": base64(n), "e": "AQAB"});
        let ec = json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": base64(32), "y": base64(32)});
        let ed = |x: usize| json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": base64(x)});
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        for (key, algorithm) in [
            (rsa(256), Algorithm::RS256),
            (rsa(512), Algorithm::RS256),
            (ec.clone(), Algorithm::ES256),
            (ed(32), Algorithm::EdDSA),
            (with(&ec, "use", json!("sig")), Algorithm::ES256),
            (with(&ec, "alg", json!("ES256")), Algorithm::ES256),
            (with(&ec, "key_ops", json!(["verify"])), Algorithm::ES256),
        ] {
            let id = key["kid"].as_str().expect("an id").to_owned();
            let set = parse(json!([{"kty": "strange"}, key])).unwrap_or_else(|why| panic!("{key}: {why}"));
            for other in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256, Algorithm::RS512] {
                assert_eq!(set.find(&id, other).is_some(), other == algorithm, "{key}");
            }
            assert!(set.find("x", algorithm).is_none());
        }
        for key in [
            json!({"kty": "oct", "kid": "k", "k": base64(32)}),
            json!({"kty": "EC", "kid": "e", "crv": "P-384", "x": base64(48), "y": base64(48)}),
            rsa(128),
            rsa(1_024),
            ed(31),
            ed(33),
            with(&ec, "y", json!(base64(31))),
            with(&ec, "use", json!("enc")),
            with(&ec, "alg", json!("ES384")),
            with(&rsa(256), "alg", json!("PS256")),
            with(&ec, "key_ops", json!(["sign"])),
            with(&ec, "kid", Value::Null),
            json!("text"),
        ] {
            assert!(parse(json!([key])).is_err(), "{key}");
        }
        for text in ["", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
