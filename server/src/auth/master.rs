//! The master key: encrypts the secrets that are stored in the database.
//!
//! XChaCha20-Poly1305 with a random nonce. A secret's id and purpose are authenticated with it, so that no secret can be
//! put in the place of another.

use std::path::Path;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use super::error::AuthError;
use crate::clock::Entropy;

/// Length of a master key, in bytes.
const KEY_BYTES: usize = 32;

/// Longest file that can hold a master key, in bytes.
const FILE_BYTES_MAX: u64 = 256;

/// The first bytes of every encrypted secret. A plain one begins with them once in 2^128.
const MARK: [u8; 16] = *b"castellan/sealed";

/// Length of a master key's id, in bytes.
const ID_BYTES: usize = 8;

/// Length of the nonce, in bytes.
const NONCE_BYTES: usize = 24;

/// A master key.
pub(super) struct MasterKey {
    id: [u8; ID_BYTES],
    cipher: XChaCha20Poly1305,
}

/// Checks that a file holds a master key.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_file(file: &Path) -> Result<(), AuthError> {
    MasterKey::read(file).map(|_| ())
}

impl MasterKey {
    /// Reads a key from a file: 32 bytes, or their Base64.
    pub(super) fn read(file: &Path) -> Result<Self, AuthError> {
        let refused = |why: &dyn std::fmt::Display| {
            AuthError::Fault(format!(
                "master key file {}: {why}; it must hold 32 random bytes or their Base64, as \
                 `openssl rand -base64 32` prints them",
                file.display()
            ))
        };
        let bytes = std::fs::metadata(file).map_err(|error| refused(&error))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(refused(&format!("it has {bytes} bytes")));
        }
        let text = std::fs::read(file).map_err(|error| refused(&error))?;
        let key = decode(&text).ok_or_else(|| refused(&"it holds something else"))?;
        Ok(Self::new(&key))
    }

    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"castellan master key id").chain_update(key).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self { id, cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// The key's id in hexadecimal: names the key and reveals nothing of it.
    pub(super) fn id(&self) -> String {
        hex(&self.id)
    }

    /// Encrypts a secret.
    pub(super) fn seal(&self, purpose: &str, id: &str, secret: &[u8], entropy: &Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        entropy(&mut nonce);
        let data = associated_data(purpose, id);
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &data })
            .expect("a secret is far shorter than 256 GiB");
        [&MARK[..], &self.id, &nonce, &sealed].concat()
    }

    /// Decrypts a secret. `None` if another key encrypted it, or if it was changed.
    pub(super) fn open(&self, purpose: &str, id: &str, stored: &[u8]) -> Option<Vec<u8>> {
        let rest = stored.strip_prefix(&MARK)?.strip_prefix(&self.id)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let data = associated_data(purpose, id);
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &data }).ok()
    }
}

/// The id of the master key that encrypted a stored secret; `None` if the secret is plain.
pub(super) fn sealed_by(stored: &[u8]) -> Option<String> {
    stored.strip_prefix(&MARK)?.first_chunk::<ID_BYTES>().map(|id| hex(id))
}

fn associated_data(purpose: &str, id: &str) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", id.as_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tells raw bytes from Base64 by their number: the Base64 of 32 bytes has 43 characters at least.
fn decode(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(key) = text.try_into() {
        return Some(key);
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim_ascii();
    [STANDARD, URL_SAFE].iter().find_map(|alphabet| {
        let bytes = GeneralPurpose::new(alphabet, lenient).decode(text).ok()?;
        bytes.try_into().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::system_entropy;

    #[test]
    fn a_secret_opens_only_in_its_place_and_with_its_key() {
        let key = MasterKey::new(&[7; KEY_BYTES]);
        let sealed = key.seal("dice", "dice-1", b"secret", &system_entropy());
        assert_eq!(key.open("dice", "dice-1", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(sealed_by(&sealed), Some(key.id()));
        assert_eq!(sealed_by(b"secret"), None);
        assert_eq!(key.open("refresh", "dice-1", &sealed), None);
        assert_eq!(key.open("dice", "dice-2", &sealed), None);
        assert_eq!(MasterKey::new(&[8; KEY_BYTES]).open("dice", "dice-1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open("dice", "dice-1", &changed), None, "{at}");
            assert_eq!(key.open("dice", "dice-1", &sealed[..at]), None, "{at}");
        }
        assert_ne!(key.seal("dice", "dice-1", b"secret", &system_entropy()), sealed, "a new nonce each time");
    }

    #[test]
    fn a_file_holds_32_bytes_or_their_base64() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        let id = |text: &[u8]| {
            std::fs::write(&file, text).expect("a file");
            MasterKey::read(&file).map(|key| key.id()).map_err(|error| error.to_string())
        };
        let key = [0xfb; KEY_BYTES];
        let expected = Ok(MasterKey::new(&key).id());
        assert_eq!(id(&key), expected);
        for text in [
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=\n",
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s",
            "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s\r\n",
        ] {
            assert_eq!(id(text.as_bytes()), expected, "{text}");
        }
        for bad in [&b""[..], &[7; 31], &[7; 33], b"+/v7", &[b'A'; 1_000]] {
            let error = id(bad).expect_err("no key");
            assert!(error.contains(&file.display().to_string()) && error.contains("openssl rand"), "{error}");
        }
        let missing = MasterKey::read(&folder.path().join("none")).map(|key| key.id());
        assert!(missing.expect_err("no file").to_string().contains("No such file"));
    }
}
