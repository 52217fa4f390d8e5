//! The secrets in a database: created by its first server, read by all.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::AuthError;
use crate::clock::Entropy;
use crate::storage::{KeyRow, Storage};

/// Length of a symmetric secret, in bytes.
const SECRET_BYTES: usize = 32;

/// The purpose of the keys that sign access tokens.
const ACCESS: &str = "es256";

/// The purpose of the secret that seals refresh tokens.
const REFRESH: &str = "refresh";

/// A key that signs access tokens.
pub(super) struct SigningKey {
    /// `kid` in tokens: the thumbprint by RFC 7638.
    pub(super) id: String,
    /// PKCS #8, DER.
    pub(super) private_der: Vec<u8>,
    /// Uncompressed point, SEC 1.
    pub(super) public_point: Vec<u8>,
    jwk: serde_json::Value,
}

/// All keys of this room.
pub(super) struct Keys {
    /// At least one key, oldest first. The newest signs, all verify.
    pub(super) access: Vec<SigningKey>,
    /// Seals refresh tokens.
    pub(super) refresh: Vec<u8>,
}

impl Keys {
    /// Reads the keys and creates the missing ones.
    pub(super) async fn open(storage: &Arc<dyn Storage>, entropy: &Entropy, now_ms: i64) -> Result<Self, AuthError> {
        let refresh = secret(storage, REFRESH, entropy, now_ms).await?;
        if !storage.keys().await?.iter().any(|row| row.purpose == ACCESS) {
            let key = new_signing_key(entropy)?;
            let row = KeyRow { id: key.id, purpose: ACCESS.to_owned(), secret: key.private_der, created_at_ms: now_ms };
            storage.add_first_key(&row).await?;
        }
        let rows = storage.keys().await?;
        let access = rows
            .iter()
            .filter(|row| row.purpose == ACCESS)
            .map(|row| signing_key(&row.secret))
            .collect::<Result<Vec<_>, _>>()?;
        if access.is_empty() {
            return Err(AuthError::Fault("the database accepted a signing key but does not return it".to_owned()));
        }
        Ok(Self { access, refresh })
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub(super) fn jwks(&self) -> String {
        let keys: Vec<_> = self.access.iter().map(|key| &key.jwk).collect();
        json!({ "keys": keys }).to_string()
    }
}

/// The secret of 32 bytes for `purpose`, shared by all servers of a database. The first caller creates it.
///
/// # Errors
///
/// Any error of the database.
pub async fn secret(
    storage: &Arc<dyn Storage>,
    purpose: &str,
    entropy: &Entropy,
    now_ms: i64,
) -> Result<Vec<u8>, AuthError> {
    let stored = |rows: Vec<KeyRow>| rows.into_iter().find(|row| row.purpose == purpose).map(|row| row.secret);
    if let Some(secret) = stored(storage.keys().await?) {
        return Ok(secret);
    }
    let mut bytes = vec![0; SECRET_BYTES];
    entropy(&mut bytes);
    let mut tag = [0; 6];
    entropy(&mut tag);
    let id = format!("{purpose}-{}", URL_SAFE_NO_PAD.encode(tag));
    let row = KeyRow { id, purpose: purpose.to_owned(), secret: bytes, created_at_ms: now_ms };
    storage.add_first_key(&row).await?;
    stored(storage.keys().await?)
        .ok_or_else(|| AuthError::Fault(format!("the database accepted the secret `{purpose}` but does not return it")))
}

fn new_signing_key(entropy: &Entropy) -> Result<SigningKey, AuthError> {
    loop {
        let mut bytes = [0; SECRET_BYTES];
        entropy(&mut bytes);
        // Fails for 0 and for numbers above the curve's order: about once in 2^32.
        let Ok(key) = p256::SecretKey::from_slice(&bytes) else { continue };
        let der = key.to_pkcs8_der().map_err(|error| AuthError::Fault(format!("encoding a key failed: {error}")))?;
        return signing_key(der.as_bytes());
    }
}

fn signing_key(der: &[u8]) -> Result<SigningKey, AuthError> {
    let key = p256::SecretKey::from_pkcs8_der(der)
        .map_err(|error| AuthError::Fault(format!("a stored signing key cannot be read: {error}")))?;
    let point = key.public_key().to_encoded_point(false);
    // SEC 1, uncompressed: a tag byte, then both coordinates of 32 bytes.
    let (x, y) = point.as_bytes()[1..].split_at(SECRET_BYTES);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    // RFC 7638: the required members in lexicographic order, without spaces.
    let thumbprint = Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
    let id = URL_SAFE_NO_PAD.encode(thumbprint);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256"});
    Ok(SigningKey { id, private_der: der.to_vec(), public_point: point.as_bytes().to_vec(), jwk })
}
