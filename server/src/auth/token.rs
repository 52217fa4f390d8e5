//! Access tokens: JWS with ES256, verified without the database.

use castellan_protocol::{SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::error::AuthError;
use super::keys::{Keys, SigningKey};
use crate::config::Role;

/// Longest token that is parsed, in bytes. Ours have about 500.
const TOKEN_BYTES_MAX: usize = 2_048;

/// Length of a key's id: the Base64 of 32 bytes.
const KID_BYTES: usize = 43;

/// A session, read from a genuine token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// The user who logged in.
    pub user: UserId,
    /// The account's role.
    pub role: Role,
    /// Time at which the token expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// The standing of a genuine token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Valid.
    Live,
    /// Expired.
    Expired,
    /// Its session was ended.
    Revoked,
}

/// A genuine token's session and standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The session.
    pub session: Session,
    /// The token's standing.
    pub standing: Standing,
}

/// The claims of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    /// The session's generation: makes each token of a session different, and reproducible.
    #[serde(rename = "gen")]
    generation: i64,
    roles: Vec<String>,
    /// Seconds since the epoch (RFC 7519).
    iat: i64,
    exp: i64,
}

/// The subject of a new token.
pub(super) struct Subject {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) generation: i64,
    pub(super) issued_at_ms: i64,
}

/// Signs and reads access tokens.
pub(super) struct Tokens {
    header: Header,
    signing: EncodingKey,
    verifying: Vec<(String, DecodingKey)>,
    validation: Validation,
    issuer: String,
    audience: String,
    ttl_s: i64,
}

impl Tokens {
    pub(super) fn new(keys: &Keys, issuer: &str, audience: &str, ttl: std::time::Duration) -> Result<Self, AuthError> {
        let newest =
            keys.access.last().ok_or_else(|| AuthError::Fault("the database holds no signing key".to_owned()))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The caller checks the time against the injected clock.
        validation.validate_exp = false;
        let verifying = |key: &SigningKey| (key.id.clone(), DecodingKey::from_ec_der(&key.public_point));
        Ok(Self {
            header: Header { kid: Some(newest.id.clone()), ..Header::new(Algorithm::ES256) },
            signing: EncodingKey::from_ec_der(&newest.private_der),
            verifying: keys.access.iter().map(verifying).collect(),
            validation,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            ttl_s: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1),
        })
    }

    /// Signs a token. The same subject gives the same token, because RFC 6979 makes ES256 deterministic.
    pub(super) fn sign(&self, subject: &Subject) -> Result<(String, Session), AuthError> {
        let iat = subject.issued_at_ms.div_euclid(1_000);
        // The wire counts whole seconds; round up in the client's favour.
        let exp = -(-subject.issued_at_ms).div_euclid(1_000) + self.ttl_s;
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.user.to_string(),
            sid: subject.session.to_string(),
            generation: subject.generation,
            roles: vec![subject.role.as_str().to_owned()],
            iat,
            exp,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing)
            .map_err(|error| AuthError::Fault(format!("signing a token failed: {error}")))?;
        let expires_at_ms = claims.exp * 1_000;
        Ok((token, Session { id: subject.session, user: subject.user, role: subject.role, expires_at_ms }))
    }

    /// Returns true if a text looks like a token of ours, but names a key that is not among these.
    pub(super) fn names_unknown_key(&self, token: &str) -> bool {
        if token.len() > TOKEN_BYTES_MAX {
            return false;
        }
        let Ok(Header { alg: Algorithm::ES256, kid: Some(kid), .. }) = jsonwebtoken::decode_header(token) else {
            return false;
        };
        kid.len() == KID_BYTES && self.verifying.iter().all(|(id, _)| *id != kid)
    }

    /// The session of a genuine token, even an expired one; `None` for any other text.
    pub(super) fn read(&self, token: &str) -> Option<Session> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let (_, key) = self.verifying.iter().find(|(id, _)| *id == kid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?.claims;
        Some(Session {
            id: claims.sid.parse().ok()?,
            user: claims.sub.parse().ok()?,
            role: claims.roles.iter().filter_map(|name| Role::from_name(name)).next()?,
            expires_at_ms: claims.exp.checked_mul(1_000)?,
        })
    }
}
