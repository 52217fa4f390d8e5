//! Rejection codes: the reasons why an intent or a request is refused.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest code, in bytes.
const CODE_BYTES_MAX: usize = 31;

/// The reason why an intent or a request was refused, as a stable code. A sentence for a person stands beside it.
///
/// The constants are the codes of the service; a game adds its own with [`rejection_codes!`](crate::rejection_codes).
/// A program that gets an unknown code acts on `retry_after_ms` alone.
///
#[doc = include_str!("../REJECTIONS.md")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RejectionCode {
    text: [u8; CODE_BYTES_MAX],
    bytes: u8,
}

impl RejectionCode {
    /// A code: 1 to 31 lower-case ASCII letters, digits and underscores.
    ///
    /// # Panics
    ///
    /// If it is anything else. In a constant that is a compile error.
    pub const fn new(code: &str) -> Self {
        match Self::checked(code) {
            Some(code) => code,
            None => panic!("a code is 1 to 31 lower-case ASCII letters, digits and underscores"),
        }
    }

    const fn checked(code: &str) -> Option<Self> {
        let bytes = code.as_bytes();
        if bytes.is_empty() || bytes.len() > CODE_BYTES_MAX {
            return None;
        }
        let mut text = [0; CODE_BYTES_MAX];
        let mut index = 0;
        while index < bytes.len() {
            if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'_') {
                return None;
            }
            text[index] = bytes[index];
            index += 1;
        }
        Some(Self { text, bytes: bytes.len() as u8 })
    }

    /// The code on the wire.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.bytes)]).expect("a code is ASCII")
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RejectionCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RejectionCode {
    /// A text that cannot be a code is read as `unknown`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = RejectionCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code")
            }

            fn visit_str<E>(self, text: &str) -> Result<RejectionCode, E> {
                Ok(RejectionCode::checked(text).unwrap_or(RejectionCode::UNKNOWN))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Declares the rejection codes of a game, as constants and as the list `ALL`.
#[macro_export]
macro_rules! rejection_codes {
    ($( $(#[$doc:meta])* $text:literal => $name:ident ),* $(,)?) => {
        $( $(#[$doc])* pub const $name: $crate::RejectionCode = $crate::RejectionCode::new($text); )*

        /// All codes.
        pub const ALL: &[$crate::RejectionCode] = &[$($name),*];
    };
}

macro_rules! service_codes {
    ($( $(#[$doc:meta])* $text:literal => $name:ident ),* $(,)?) => {
        impl RejectionCode {
            $( $(#[$doc])* pub const $name: Self = Self::new($text); )*

            /// All codes of the service.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// A code that this program cannot read.
            pub const UNKNOWN: Self = Self::new("unknown");
        }
    };
}

service_codes! {
    /// A field is missing, unknown, of a wrong type or out of bounds. The message names it.
    "malformed" => MALFORMED,
    /// No such action.
    "unknown_action" => UNKNOWN_ACTION,
    /// The session's role may not send this action.
    "not_permitted" => NOT_PERMITTED,
    /// No such character, or somebody else's.
    "no_such_character" => NO_SUCH_CHARACTER,
    /// The intent does not say which state it is based on.
    "version_required" => VERSION_REQUIRED,
    /// Too many frames or requests in too short a time.
    "rate_limited" => RATE_LIMITED,
    /// The server has reached one of its limits. Work that it has accepted is not affected.
    "overloaded" => OVERLOADED,
    /// The character, its shard or the database cannot be used right now.
    "unavailable" => UNAVAILABLE,
    /// An error in the server.
    "internal" => INTERNAL,
    /// A number would pass its limit.
    "limit_exceeded" => LIMIT_EXCEEDED,
    /// The character that should get goods does not exist, or was deleted.
    "no_such_receiver" => NO_SUCH_RECEIVER,
    /// The character has no such open offer.
    "no_such_offer" => NO_SUCH_OFFER,
    /// On the socket: there is no such kind of frame.
    "unknown_frame" => UNKNOWN_FRAME,
    /// On the socket: too many unanswered intents.
    "too_many_in_flight" => TOO_MANY_IN_FLIGHT,
    /// On the socket: the token belongs to another session.
    "wrong_session" => WRONG_SESSION,
    /// No valid token.
    "unauthenticated" => UNAUTHENTICATED,
    /// Over HTTP: wrong name or password.
    "bad_credentials" => BAD_CREDENTIALS,
    /// Over HTTP: the server does not let this caller create an account.
    "registration_closed" => REGISTRATION_CLOSED,
    /// Over HTTP: the right password of an account that an operator has disabled.
    "account_disabled" => ACCOUNT_DISABLED,
    /// Over HTTP: the name for an account is taken.
    "name_taken" => NAME_TAKEN,
    /// Over HTTP: the account is not a guest's, or not any more.
    "already_claimed" => ALREADY_CLAIMED,
    /// Over HTTP: too many failed logins.
    "too_many_attempts" => TOO_MANY_ATTEMPTS,
    /// Over HTTP: the session was ended.
    "session_revoked" => SESSION_REVOKED,
    /// Over HTTP: no such session, or somebody else's.
    "no_such_session" => NO_SUCH_SESSION,
    /// Over HTTP: the state has changed since. The answer carries the latest one.
    "version_conflict" => VERSION_CONFLICT,
    /// Over HTTP: the path does not exist.
    "no_such_route" => NO_SUCH_ROUTE,
    /// Over HTTP: the path has no such method.
    "method_not_allowed" => METHOD_NOT_ALLOWED,
    /// Over HTTP: the body is not JSON by its `Content-Type`.
    "unsupported_media_type" => UNSUPPORTED_MEDIA_TYPE,
    /// Over HTTP: the body is above 64 KiB.
    "body_too_large" => BODY_TOO_LARGE,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_code() {
        let table = include_str!("../REJECTIONS.md");
        let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        for code in RejectionCode::ALL {
            assert!(rows.contains(&code.as_str()), "the table has no {code}");
        }
        for row in &rows {
            assert!(RejectionCode::ALL.iter().any(|code| code.as_str() == *row), "there is no code {row}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_code_is_read_as_unknown() {
        let read = |text: &str| serde_json::from_str::<RejectionCode>(text).expect("a text");
        assert_eq!(read(r#""of_a_newer_game""#).as_str(), "of_a_newer_game");
        for none in [r#""""#, r#""Not A Code""#, r#""a_code_of_more_than_thirty_one_bytes""#] {
            assert_eq!(read(none), RejectionCode::UNKNOWN);
        }
    }
}
