//! Names and passwords of accounts, validated.

use std::fmt;

use castellan_protocol::limits::{PASSWORD_BYTES_MAX, PASSWORD_SCALARS_MIN, USERNAME_SCALARS_MAX};
use precis_profiles::precis_core::Error;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use unicode_normalization::UnicodeNormalization;
use unicode_security::MixedScript;

use super::error::AuthError;

/// The name of an account as somebody typed it: trimmed, NFC, without control characters.
///
/// Older versions took every such name, so a login takes it too. The name of a new account follows stricter rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountName(String);

/// A name that a new account may have: one by PRECIS UsernameCaseMapped (RFC 8265, section 3.3), in one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewName {
    /// As people see it: letters keep their case.
    pub(super) shown: String,
    /// As it is compared.
    pub(super) folded: String,
}

impl AccountName {
    /// Checks and normalises a name.
    ///
    /// # Errors
    ///
    /// `Malformed` if the name is empty, longer than 64 Unicode scalar values, or contains control characters.
    pub fn new(text: &str) -> Result<Self, AuthError> {
        Self::in_field("username", text)
    }

    /// Like [`AccountName::new`]; the error names this field.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn in_field(field: &str, text: &str) -> Result<Self, AuthError> {
        // Refuses hopelessly long texts before normalising them: a scalar has at most four bytes.
        let refused = || {
            let why = format!("{field}: must have 1 to {USERNAME_SCALARS_MAX} characters and no control characters");
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

    /// The folded names under which the account may be stored, the one to prefer first.
    ///
    /// Older versions only made the name lower case. PRECIS also maps wide and narrow letters to their usual forms. The
    /// two differ for few names, and then an account that has the older form keeps it.
    pub(super) fn folded(&self) -> Vec<String> {
        let (older, present) = (self.0.to_lowercase(), self.key());
        if older == present { vec![present] } else { vec![older, present] }
    }

    /// One text for all spellings of the name.
    pub(super) fn key(&self) -> String {
        fold(&UsernameCaseMapped::prepare(&self.0).unwrap_or_else(|_| (&self.0).into()))
    }

    /// The name for a new account.
    ///
    /// # Errors
    ///
    /// `Malformed` with the name of the field if PRECIS does not allow the name, or if it mixes scripts.
    pub(super) fn for_new_account(&self, field: &str) -> Result<NewName, AuthError> {
        let refused = |why: &str| AuthError::Malformed(format!("{field}: {why}"));
        UsernameCaseMapped::enforce(&self.0).map_err(|error| match error {
            Error::BadCodepoint(found) => refused(&not_allowed(&self.0, found.position)),
            _ => refused("its right-to-left letters and the others do not go together; use one direction"),
        })?;
        let shown: String = UsernameCaseMapped::prepare(&self.0).map_err(|_| refused("not allowed"))?.nfc().collect();
        let folded = fold(&shown);
        if !folded.is_single_script() {
            return Err(refused("its letters belong to several scripts; use letters of one script"));
        }
        Ok(NewName { shown, folded })
    }
}

/// Lower case, by Unicode's `toLowerCase`, and composed.
fn fold(name: &str) -> String {
    name.to_lowercase().nfc().collect()
}

/// Says which character PRECIS does not allow. `position` counts scalars from 0.
fn not_allowed(text: &str, position: usize) -> String {
    let shown = text.chars().nth(position).map(|scalar| scalar.escape_unicode().to_string()).unwrap_or_default();
    format!("character {} ({shown}) is not allowed", position + 1)
}

/// A password as typed: 1 to 1,024 bytes. `{:?}` does not show it.
///
/// It is hashed as PRECIS OpaqueString (RFC 8265, section 4.2) prepares it, so that a letter is the same however a
/// keyboard composes it. Older versions hashed what was typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    typed: String,
    /// As prepared by PRECIS; `None` if it does not allow the password.
    prepared: Option<String>,
}

impl Password {
    /// Checks a password's length.
    ///
    /// # Errors
    ///
    /// `Malformed` if the password is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, AuthError> {
        let typed = text.into();
        if typed.is_empty() || typed.len() > PASSWORD_BYTES_MAX {
            return Err(AuthError::Malformed(format!("password: must be 1 to {PASSWORD_BYTES_MAX} bytes")));
        }
        let prepared = OpaqueString::enforce(&typed).ok().map(Into::into);
        Ok(Self { typed, prepared })
    }

    /// The password for a new account, or a new one for an old account.
    ///
    /// # Errors
    ///
    /// `Malformed` with the name of the field if PRECIS does not allow the password, or if it is too short.
    pub(super) fn for_storing(self, field: &str) -> Result<NewPassword, AuthError> {
        let refused = |why: &str| AuthError::Malformed(format!("{field}: {why}"));
        let prepared = OpaqueString::enforce(&self.typed).map_err(|error| match error {
            Error::BadCodepoint(found) => refused(&format!(
                "character {} is not allowed; use letters, digits, signs and spaces of Unicode 6.3",
                found.position + 1
            )),
            _ => refused("not allowed; use letters, digits, signs and spaces"),
        })?;
        if prepared.chars().count() < PASSWORD_SCALARS_MIN {
            return Err(refused(&format!("must have at least {PASSWORD_SCALARS_MIN} characters")));
        }
        Ok(NewPassword(prepared.into_owned()))
    }

    /// The bytes that a stored hash may have been made of: the prepared ones, then the typed ones if they differ.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &[u8]> {
        let typed = (self.prepared.as_ref() != Some(&self.typed)).then_some(&self.typed);
        self.prepared.iter().chain(typed).map(String::as_bytes)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A prepared password that is good enough to be stored. It has no `{:?}`.
pub(super) struct NewPassword(String);

impl NewPassword {
    /// The bytes to hash.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::new(text).expect("a name")
    }

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
    fn a_new_name_is_one_by_precis_in_one_script() {
        for (given, shown, folded) in [
            ("Ada", "Ada", "ada"),
            ("player-7", "player-7", "player-7"),
            ("Zoe\u{308}", "Zo\u{eb}", "zo\u{eb}"),
            // Wide letters are the usual ones.
            ("\u{ff21}da", "Ada", "ada"),
            ("ΟΔΥΣΣΕΥΣ", "ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("שלום", "שלום", "שלום"),
            ("ひ漢カ", "ひ漢カ", "ひ漢カ"),
        ] {
            let made = name(given).for_new_account("username").expect(given);
            assert_eq!((made.shown.as_str(), made.folded.as_str()), (shown, folded), "{given}");
        }
        for (given, names) in [
            ("ada lovelace", "character 4"),
            ("a\u{200b}da", "character 2"),
            ("ad\u{202e}a", "character 3"),
            ("\u{3164}", "character 1"),
            ("\u{2800}", "character 1"),
            ("\u{115f}", "character 1"),
            ("שa", "right-to-left"),
            // A Cyrillic first letter.
            ("\u{430}da", "scripts"),
        ] {
            let refused = name(given).for_new_account("username").expect_err(given).to_string();
            assert!(refused.starts_with("username: ") && refused.contains(names), "{given}: {refused}");
        }
    }

    #[test]
    fn all_spellings_of_a_name_have_one_key_and_an_older_form_is_found_first() {
        for spelling in ["Ada", "aDA", "\u{ff21}da", "a\u{ff44}\u{ff41}"] {
            assert_eq!(name(spelling).key(), "ada", "{spelling}");
        }
        assert_eq!(name("ADA").folded(), ["ada"]);
        assert_eq!(name("\u{ff21}da").folded(), ["\u{ff41}da", "ada"]);
        assert_eq!(name("Ada Lovelace").folded(), ["ada lovelace"], "no new name, but an old account may have it");
    }

    #[test]
    fn a_password_is_bounded_and_never_shown() {
        assert_eq!(format!("{:?}", Password::new("hush").expect("a password")), "Password(…)");
        assert!(Password::new("").is_err());
        assert!(Password::new("x".repeat(1024)).is_ok());
        assert!(Password::new("x".repeat(1025)).is_err());
    }

    #[test]
    fn a_new_password_has_eight_characters_and_one_spelling() {
        let stored = |text: &str| {
            let made = Password::new(text).expect("a password").for_storing("new_password");
            made.map(|password| password.0).map_err(|error| error.to_string())
        };
        assert_eq!(stored("caf\u{e9} au lait"), stored("cafe\u{301} au lait"));
        assert_eq!(stored("12345678").as_deref(), Ok("12345678"));
        // Seven characters, eight scalars before they are composed.
        assert_eq!(stored("123456e\u{301}"), Err("new_password: must have at least 8 characters".to_owned()));
        let refused = stored("tab\tinside").expect_err("a tab");
        assert!(refused.starts_with("new_password: character 4 "), "{refused}");
    }

    #[test]
    fn a_typed_password_also_matches_what_older_versions_hashed() {
        let candidates = |text: &str| {
            let password = Password::new(text).expect("a password");
            password.candidates().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(candidates("sesame"), ["sesame"]);
        assert_eq!(candidates("e\u{301}"), ["\u{e9}", "e\u{301}"]);
        assert_eq!(candidates("a\tb"), ["a\tb"], "not allowed now, but an old account may have it");
    }
}
