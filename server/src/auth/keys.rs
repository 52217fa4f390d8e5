//! The secrets in a database: created by its first server, read by all, encrypted if there is a master key.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::AuthError;
use super::master::{MasterKey, sealed_by};
use crate::clock::Entropy;
use crate::config;
use crate::storage::{KeyRow, Storage};

/// Length of a symmetric secret, in bytes.
const SECRET_BYTES: usize = 32;

/// The purpose of the keys that sign access tokens.
const ACCESS: &str = "es256";

/// The purpose of the secret that seals refresh tokens.
const REFRESH: &str = "refresh";

/// Most keys for access tokens at a time: the one that signs, and the one before it.
const ACCESS_KEYS_MAX: usize = 2;

/// How long tokens of a replaced key may be signed on, in milliseconds: until every server has noticed the new key, with
/// clocks that differ.
const NOTICED_MS: i64 = 60_000;

/// Most tries of a change: other servers may change the keys at the same time.
const TRIES: usize = 5;

/// The secrets in a database. Every read and write of them goes through here.
pub struct Vault {
    storage: Arc<dyn Storage>,
    master: Option<MasterKey>,
    entropy: Entropy,
    access_ttl_ms: i64,
}

/// A stored secret, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its id: `kid` in tokens.
    pub id: String,
    /// Its purpose: `es256`, `refresh` or `dice`.
    pub purpose: String,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// The id of the master key that encrypts it; `None` if it is stored in plain.
    pub sealed_by: Option<String>,
    /// Until when tokens of this key may be valid although a newer key signs, in milliseconds since the Unix epoch.
    pub replaced_until_ms: Option<i64>,
}

impl Vault {
    /// Reads the master key, if the settings name one.
    ///
    /// # Errors
    ///
    /// The master key's file cannot be read or holds something else.
    pub fn new(storage: Arc<dyn Storage>, settings: &config::Auth, entropy: Entropy) -> Result<Self, AuthError> {
        let master = settings.master_key_file.as_deref().map(MasterKey::read).transpose()?;
        Ok(Self { storage, master, entropy, access_ttl_ms: milliseconds(settings.access_ttl) })
    }

    /// Checks that the stored secrets can be read with the master key that the settings name, or without one.
    ///
    /// # Errors
    ///
    /// Says which setting is missing, or which command moves the database over.
    pub async fn check(&self) -> Result<(), AuthError> {
        self.storage.keys().await?.iter().try_for_each(|row| self.open(row).map(drop))
    }

    /// The secret of 32 bytes for `purpose`, shared by all servers of a database. The first caller creates it.
    ///
    /// # Errors
    ///
    /// Any error of the database, and those of [`Vault::check`].
    pub async fn secret(&self, purpose: &str, now_ms: i64) -> Result<Vec<u8>, AuthError> {
        let create = || {
            let mut secret = vec![0; SECRET_BYTES];
            (self.entropy)(&mut secret);
            let mut tag = [0; 6];
            (self.entropy)(&mut tag);
            let id = format!("{purpose}-{}", URL_SAFE_NO_PAD.encode(tag));
            Ok(KeyRow { id, purpose: purpose.to_owned(), secret, created_at_ms: now_ms })
        };
        Ok(self.of_purpose(purpose, create).await?.swap_remove(0).secret)
    }

    /// Every stored secret, without the secrets.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn list(&self) -> Result<Vec<StoredKey>, AuthError> {
        let rows = self.storage.keys().await?;
        let listed = rows.iter().map(|row| StoredKey {
            id: row.id.clone(),
            purpose: row.purpose.clone(),
            created_at_ms: row.created_at_ms,
            sealed_by: sealed_by(&row.secret),
            replaced_until_ms: self.row_replaced_until_ms(row, &rows),
        });
        Ok(listed.collect())
    }

    /// Adds a key that signs access tokens from now on; the one before it still verifies. Returns the new key's id.
    ///
    /// # Errors
    ///
    /// There are two keys already; any error of the database; those of [`Vault::check`].
    pub async fn rotate(&self, now_ms: i64) -> Result<String, AuthError> {
        let mut rows = self.storage.keys().await?;
        rows.iter().try_for_each(|row| self.open(row).map(drop))?;
        let before = rows.clone();
        let access: Vec<&KeyRow> = rows.iter().filter(|row| row.purpose == ACCESS).collect();
        if access.len() >= ACCESS_KEYS_MAX {
            return Err(AuthError::Fault(format!(
                "there are {ACCESS_KEYS_MAX} keys already; `castellan keys retire` removes the older one, {}",
                access[0].id
            )));
        }
        // The newest signs, even if this clock is behind the one that made the key before.
        let created_at_ms = access.last().map_or(now_ms, |newest| now_ms.max(newest.created_at_ms + 1));
        let key = self.new_access_key(created_at_ms)?;
        let id = key.id.clone();
        rows.push(self.seal(key));
        self.replace(&before, &rows).await?;
        Ok(id)
    }

    /// Removes the older of two keys, so that its tokens are refused. Returns its id.
    ///
    /// # Errors
    ///
    /// There is only one key; its tokens may still be valid, unless `at_once`; any error of the database.
    pub async fn retire(&self, now_ms: i64, at_once: bool) -> Result<String, AuthError> {
        let rows = self.storage.keys().await?;
        let oldest = rows.iter().find(|row| row.purpose == ACCESS);
        let replaced = oldest.and_then(|row| Some((row, self.row_replaced_until_ms(row, &rows)?)));
        let Some((oldest, until_ms)) = replaced else {
            let why = "no key was replaced: there is only one; `castellan keys rotate` adds a new one first";
            return Err(AuthError::Fault(why.to_owned()));
        };
        if now_ms < until_ms && !at_once {
            let seconds = (until_ms - now_ms).div_euclid(1_000) + 1;
            return Err(AuthError::Fault(format!(
                "tokens of the key {} may be valid for another {seconds} s; wait, or end them with --now",
                oldest.id
            )));
        }
        let kept: Vec<KeyRow> = rows.iter().filter(|row| row.id != oldest.id).cloned().collect();
        self.replace(&rows, &kept).await?;
        Ok(oldest.id.clone())
    }

    /// Encrypts every stored secret with the master key. `old` is the file of the master key before it, if there was
    /// one. Returns how many secrets were changed.
    ///
    /// # Errors
    ///
    /// There is no master key; a secret is encrypted with yet another one; any error of the database.
    pub async fn encrypt(&self, old: Option<&Path>) -> Result<usize, AuthError> {
        let Some(master) = &self.master else {
            let why = "name the file of the master key with --master-key-file; `openssl rand -base64 32` makes one";
            return Err(AuthError::Fault(why.to_owned()));
        };
        let old = old.map(MasterKey::read).transpose()?;
        self.rewrite(|row| match sealed_by(&row.secret) {
            None => Ok(self.seal(row.clone())),
            Some(id) if id == master.id() => self.open(row).map(|_| row.clone()),
            Some(id) => {
                let old = old.as_ref().filter(|old| old.id() == id).ok_or_else(|| {
                    AuthError::Fault(format!(
                        "the key {} is encrypted with master key {id}; name that one's file with --old-master-key-file",
                        row.id
                    ))
                })?;
                let secret = old.open(&row.purpose, &row.id, &row.secret).ok_or_else(|| changed(row))?;
                Ok(self.seal(KeyRow { secret, ..row.clone() }))
            }
        })
        .await
    }

    /// Stores every secret in plain. Returns how many were changed.
    ///
    /// # Errors
    ///
    /// A secret is encrypted with another master key; any error of the database.
    pub async fn decrypt(&self) -> Result<usize, AuthError> {
        self.rewrite(|row| match sealed_by(&row.secret) {
            None => Ok(row.clone()),
            Some(_) => self.open(row),
        })
        .await
    }

    async fn rewrite(&self, change: impl Fn(&KeyRow) -> Result<KeyRow, AuthError>) -> Result<usize, AuthError> {
        let rows = self.storage.keys().await?;
        let after = rows.iter().map(change).collect::<Result<Vec<_>, _>>()?;
        self.replace(&rows, &after).await?;
        Ok(rows.iter().zip(&after).filter(|(before, after)| before != after).count())
    }

    async fn replace(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<(), AuthError> {
        if self.storage.replace_keys(before, after).await? {
            return Ok(());
        }
        let why = "somebody else changed the keys at the same time; look at `castellan keys list` and try again";
        Err(AuthError::Fault(why.to_owned()))
    }

    /// The secrets of a purpose, oldest first, readable; at least one, because a missing one is created.
    async fn of_purpose(
        &self,
        purpose: &str,
        create: impl Fn() -> Result<KeyRow, AuthError>,
    ) -> Result<Vec<KeyRow>, AuthError> {
        for _ in 0..TRIES {
            let rows = self.storage.keys().await?;
            let open = rows.iter().map(|row| self.open(row)).collect::<Result<Vec<_>, _>>()?;
            let found: Vec<KeyRow> = open.into_iter().filter(|row| row.purpose == purpose).collect();
            if !found.is_empty() {
                return Ok(found);
            }
            let after = [&rows[..], &[self.seal(create()?)]].concat();
            // If another server was quicker, the next look finds its key.
            self.storage.replace_keys(&rows, &after).await?;
        }
        Err(AuthError::Fault(format!("the database accepted the secret `{purpose}` but does not return it")))
    }

    /// Until when tokens of a key may be valid, in milliseconds since the epoch. `next_ms`: when the key after it was
    /// created.
    pub(super) fn replaced_until_ms(&self, next_ms: i64) -> i64 {
        next_ms + self.access_ttl_ms + NOTICED_MS
    }

    /// The same for a stored key; `None` if no key came after it.
    fn row_replaced_until_ms(&self, row: &KeyRow, rows: &[KeyRow]) -> Option<i64> {
        let next = rows.iter().skip_while(|other| other.id != row.id).skip(1).find(|next| next.purpose == ACCESS)?;
        (row.purpose == ACCESS).then(|| self.replaced_until_ms(next.created_at_ms))
    }

    fn seal(&self, row: KeyRow) -> KeyRow {
        match &self.master {
            None => row,
            Some(master) => {
                let secret = master.seal(&row.purpose, &row.id, &row.secret, &self.entropy);
                KeyRow { secret, ..row }
            }
        }
    }

    /// A stored row with its secret in plain.
    fn open(&self, row: &KeyRow) -> Result<KeyRow, AuthError> {
        let refused = |why: String| Err(AuthError::Fault(why));
        match (&self.master, sealed_by(&row.secret)) {
            (None, None) => Ok(row.clone()),
            (None, Some(id)) => refused(format!(
                "the keys in this database are encrypted with master key {id}; name its file with --master-key-file"
            )),
            (Some(_), None) => refused(
                "a master key is set, but the keys in this database are not encrypted; `castellan keys encrypt` \
                 encrypts them (docs/operate.md)"
                    .to_owned(),
            ),
            (Some(master), Some(id)) if id != master.id() => refused(format!(
                "the keys in this database are encrypted with master key {id}, but --master-key-file holds {}",
                master.id()
            )),
            (Some(master), Some(_)) => {
                let secret = master.open(&row.purpose, &row.id, &row.secret).ok_or_else(|| changed(row))?;
                Ok(KeyRow { secret, ..row.clone() })
            }
        }
    }

    fn new_access_key(&self, created_at_ms: i64) -> Result<KeyRow, AuthError> {
        let key = new_signing_key(&self.entropy, created_at_ms)?;
        Ok(KeyRow { id: key.id, purpose: ACCESS.to_owned(), secret: key.private_der, created_at_ms })
    }
}

fn changed(row: &KeyRow) -> AuthError {
    AuthError::Fault(format!("the encrypted key {} was changed, or belongs in another place", row.id))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A key that signs access tokens.
pub(super) struct SigningKey {
    /// `kid` in tokens: the thumbprint by RFC 7638.
    pub(super) id: String,
    /// Milliseconds since the Unix epoch.
    pub(super) created_at_ms: i64,
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
    pub(super) async fn open(vault: &Vault, now_ms: i64) -> Result<Self, AuthError> {
        let refresh = vault.secret(REFRESH, now_ms).await?;
        let rows = vault.of_purpose(ACCESS, || vault.new_access_key(now_ms)).await?;
        let access = rows.iter().map(|row| signing_key(&row.secret, row.created_at_ms)).collect::<Result<_, _>>()?;
        Ok(Self { access, refresh })
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub(super) fn jwks(&self) -> String {
        let keys: Vec<_> = self.access.iter().map(|key| &key.jwk).collect();
        json!({ "keys": keys }).to_string()
    }
}

fn new_signing_key(entropy: &Entropy, created_at_ms: i64) -> Result<SigningKey, AuthError> {
    loop {
        let mut bytes = [0; SECRET_BYTES];
        entropy(&mut bytes);
        // Fails for 0 and for numbers above the curve's order: about once in 2^32.
        let Ok(key) = p256::SecretKey::from_slice(&bytes) else { continue };
        let der = key.to_pkcs8_der().map_err(|error| AuthError::Fault(format!("encoding a key failed: {error}")))?;
        return signing_key(der.as_bytes(), created_at_ms);
    }
}

fn signing_key(der: &[u8], created_at_ms: i64) -> Result<SigningKey, AuthError> {
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
    Ok(SigningKey { id, created_at_ms, private_der: der.to_vec(), public_point: point.as_bytes().to_vec(), jwk })
}
