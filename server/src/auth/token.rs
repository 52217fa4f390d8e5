//! Access tokens: JWS with ES256, checked without the database.

use castellan_protocol::{SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::error::AuthError;
use super::keys::{Keys, SigningKey};
use crate::config::Role;

/// Longest token that is looked at, in bytes. Ours have some 500.
const TOKEN_BYTES_MAX: usize = 2_048;

/// Who somebody is, by a genuine token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The login.
    pub id: SessionId,
    /// Who logged in.
    pub user: UserId,
    /// What the account is for.
    pub role: Role,
    /// When the token ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// How a genuine token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is good.
    Live,
    /// Its time is over.
    Expired,
    /// Its session was ended.
    Revoked,
}

/// A genuine token's session, and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Whose it is.
    pub session: Session,
    /// Whether it is good.
    pub standing: Standing,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    /// The session's generation: no two tokens of a session are the same, and each can be made again.
    #[serde(rename = "gen")]
    generation: i64,
    roles: Vec<String>,
    /// Seconds since the epoch, as RFC 7519 has it.
    iat: i64,
    exp: i64,
}

/// What a token is made for.
pub(super) struct Subject {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) generation: i64,
    pub(super) issued_at_ms: i64,
}

/// Makes and reads access tokens.
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
        let newest = keys.access.last().ok_or_else(|| AuthError::Fault("there is no signing key".to_owned()))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The time is checked here, against the clock that was handed in.
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

    /// Makes a token. The same subject gives the same token: ES256 is signed as RFC 6979 says, without chance.
    pub(super) fn sign(&self, subject: &Subject) -> Result<(String, Session), AuthError> {
        let iat = subject.issued_at_ms.div_euclid(1_000);
        // The wire counts in whole seconds: the one that has begun is given to the client.
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

    /// The session of a genuine token, whatever the time; `None` for any other text.
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
