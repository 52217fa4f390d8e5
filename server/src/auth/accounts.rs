//! Names and passwords of accounts, validated.

use std::fmt;

use castellan_protocol::limits::{PASSWORD_BYTES_MAX, USERNAME_SCALARS_MAX};
use unicode_normalization::UnicodeNormalization;

use super::error::AuthError;

/// The name of an account: trimmed, NFC, without control characters. Unique without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// Checks and normalises a name.
    ///
    /// # Errors
    ///
    /// `Malformed` if the name is empty, longer than 64 Unicode scalar values, or contains control characters.
    pub fn new(text: &str) -> Result<Self, AuthError> {
        // Refuses hopelessly long texts before normalising them: a scalar has at most four bytes.
        let refused = || {
            let why = format!("username: must have 1 to {USERNAME_SCALARS_MAX} characters and no control characters");
            AuthError::Malformed(why)
        };
        if text.len() > 16 * USERNAME_SCALARS_MAX {
            return Err(refused());
        }
        let name: String = text.trim().nfc().collect();
        if name.is_empty() || name.chars().count() > USERNAME_SCALARS_MAX || name.chars().any(char::is_control) {
            return Err(refused());
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case, for comparisons.
    pub(super) fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

/// A password as typed: 1 to 1,024 bytes. `{:?}` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Checks a password's length.
    ///
    /// # Errors
    ///
    /// `Malformed` if the password is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, AuthError> {
        let text = text.into();
        if text.is_empty() || text.len() > PASSWORD_BYTES_MAX {
            return Err(AuthError::Malformed(format!("password: must be 1 to {PASSWORD_BYTES_MAX} bytes")));
        }
        Ok(Self(text))
    }

    /// The bytes to hash.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_composed_and_bounded() {
        let name = |text: &str| AccountName::new(text).ok().map(|name| name.as_str().to_owned());
        assert_eq!(name("  Ada "), Some("Ada".to_owned()));
        assert_eq!(name("Zoe\u{308}"), Some("Zo\u{eb}".to_owned()));
        assert_eq!(name(&"x".repeat(64)).map(|name| name.len()), Some(64));
        assert_eq!(name(&"x".repeat(65)), None);
        assert_eq!(name(" "), None);
        assert_eq!(name("a\u{0}b"), None);
        assert_eq!(name("a\nb"), None);
    }

    #[test]
    fn a_password_is_bounded_and_never_shown() {
        assert_eq!(format!("{:?}", Password::new("hush").expect("a password")), "Password(…)");
        assert!(Password::new("").is_err());
        assert!(Password::new("x".repeat(1024)).is_ok());
        assert!(Password::new("x".repeat(1025)).is_err());
    }
}
