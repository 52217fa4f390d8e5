//! Tokens of outside issuers: who they say that somebody is.
//!
//! A token counts only if its issuer is listed, its key is one of that issuer's, its algorithm is allowed for the issuer
//! and is the one that the key is for. Keys that a token brings along are never looked at.

mod key_set;
mod source;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use self::source::{NoKey, Source};
use super::error::AuthError;
use crate::config;
use crate::config::TokenAlgorithm;

/// Longest token that is parsed, in bytes. Some issuers list groups and rights in theirs.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Longest subject, in bytes. Source: OpenID Connect Core 1.0, section 2.
const SUBJECT_BYTES_MAX: usize = 255;

/// Longest id of a key, in bytes.
const KID_BYTES_MAX: usize = 256;

/// How far the clocks of an issuer and of this server may differ, in milliseconds.
const LEEWAY_MS: f64 = 30_000.0;

/// All outside issuers.
#[derive(Default)]
pub struct Issuers(Vec<Issuer>);

struct Issuer {
    settings: config::Issuer,
    source: Source,
}

/// Somebody whom an outside issuer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) issuer: String,
    /// Names the user to the issuer, for ever.
    pub(super) subject: String,
    /// A name that the user may like.
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    iss: String,
}

/// The claims of a token. jsonwebtoken has checked `iss` and `aud`.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch; fractions are allowed (RFC 7519, section 2).
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Issuers {
    /// Reads the keys that are in files.
    ///
    /// # Errors
    ///
    /// Names the issuer and the file.
    pub fn open(settings: &config::Issuers) -> Result<Self, String> {
        let open = |settings: &config::Issuer| {
            let source = Source::open(&settings.keys).map_err(|why| of(settings, &why))?;
            Ok(Issuer { settings: settings.clone(), source })
        };
        let (mut issuers, mut problems) = (Vec::new(), Vec::<String>::new());
        for settings in &settings.0 {
            match open(settings) {
                Ok(issuer) => issuers.push(issuer),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self(issuers)) } else { Err(problems.join("\n")) }
    }

    /// Reads the files again. An issuer whose file cannot be used keeps its keys.
    ///
    /// # Errors
    ///
    /// All problems, one per line.
    pub fn reload(&self) -> Result<(), String> {
        let reload = |issuer: &Issuer| issuer.source.reload().err().map(|why| of(&issuer.settings, &why));
        let problems: Vec<String> = self.0.iter().filter_map(reload).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// The one whom a token is about.
    ///
    /// # Errors
    ///
    /// `TokenRefused`, or `IssuerAway` if the issuer's keys cannot be fetched now.
    pub(super) async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::TokenRefused("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::TokenRefused(NO_TOKEN))?;
        if header.crit.is_some() {
            return Err(AuthError::TokenRefused("it demands something that this server does not know (crit)"));
        }
        let named: Named = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| AuthError::TokenRefused("it names no issuer (iss)"))?;
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == named.iss);
        let issuer = issuer.ok_or(AuthError::TokenRefused("this server does not accept its issuer (iss)"))?;
        let is_allowed = issuer.settings.algorithms.iter().any(|allowed| library_name(*allowed) == header.alg);
        if !is_allowed {
            return Err(AuthError::TokenRefused("this server does not accept its algorithm (alg) from its issuer"));
        }
        let kid = header.kid.filter(|kid| kid.len() <= KID_BYTES_MAX);
        let kid = kid.ok_or(AuthError::TokenRefused("it names no key (kid)"))?;
        let key = issuer.source.key(&kid, header.alg).await.map_err(|why| match why {
            NoKey::Unknown => AuthError::TokenRefused("its issuer has no such key (kid) for its algorithm"),
            NoKey::Away { retry_after } => AuthError::IssuerAway {
                retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1_000),
            },
        })?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &issuer.validation(header.alg));
        let claims = claims.map_err(|error| AuthError::TokenRefused(reason(error.kind())))?.claims;
        claims.check_times(now_ms)?;
        let subject = claims.sub;
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
            return Err(AuthError::TokenRefused("its subject (sub) must be 1 to 255 bytes without control characters"));
        }
        let name = match issuer.settings.name_claim.as_str() {
            "sub" => Some(subject.clone()),
            claim => claims.others.get(claim).and_then(Value::as_str).map(str::to_owned),
        };
        Ok(Identity { issuer: named.iss, subject, name })
    }
}

impl Issuer {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The times are checked against the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }
}

impl Claims {
    fn check_times(&self, now_ms: i64) -> Result<(), AuthError> {
        let now_ms = now_ms as f64;
        if self.exp * 1_000.0 + LEEWAY_MS <= now_ms {
            return Err(AuthError::TokenRefused("it has expired (exp)"));
        }
        if self.nbf.is_some_and(|nbf| nbf * 1_000.0 - LEEWAY_MS > now_ms) {
            return Err(AuthError::TokenRefused("it is not valid yet (nbf)"));
        }
        Ok(())
    }
}

const NO_TOKEN: &str = "it is not a signed JSON Web Token";

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "its signature does not match",
        ErrorKind::InvalidAudience => "it is for somebody else (aud)",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => "it needs the claims iss, aud, sub and exp",
        _ => NO_TOKEN,
    }
}

fn of(settings: &config::Issuer, why: &str) -> String {
    format!("auth.issuers, {}: {why}", settings.issuer)
}

fn library_name(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
