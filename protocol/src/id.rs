//! Identifiers: UUIDs of characters, users and sessions; request ids; versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::wire::{BoundedInt, Cursor, Wire};

/// A string that is not a lower-case hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case hyphenated UUID")]
pub struct ParseIdError;

/// What each byte is worth as a lower-case hexadecimal digit; [`NO_DIGIT`] for all others.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0xff;

/// Where the two digits of each byte begin in a hyphenated UUID, and where its hyphens are.
const DIGIT_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const HYPHEN_PLACES: [usize; 4] = [8, 13, 18, 23];

/// Reads the one spelling that the wire allows: 36 characters, lower case, hyphens.
fn parse_uuid(text: &[u8]) -> Option<Uuid> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let hyphens = HYPHEN_PLACES.iter().all(|place| text[*place] == b'-');
    let (mut bytes, mut seen) = ([0; 16], 0);
    for (byte, place) in bytes.iter_mut().zip(DIGIT_PLACES) {
        let (high, low) = (DIGITS[usize::from(text[place])], DIGITS[usize::from(text[place + 1])]);
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (hyphens && seen != NO_DIGIT).then(|| Uuid::from_bytes(bytes))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_uuid(text.as_bytes()).map(Self).ok_or(ParseIdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a lower-case hyphenated UUID")
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl<'de> Wire<'de> for $name {
            fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }

            #[inline]
            fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
                parse_uuid(cursor.text()?).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A character.
    CharacterId
}
uuid_id! {
    /// An account's owner: the user decides the shard.
    UserId
}
uuid_id! {
    /// One login, until it is revoked or its refresh token expires.
    SessionId
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $min:literal) => {
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a number; the wire's bounds are checked where it is decoded.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = BoundedInt::<$min>::read(deserializer)?;
                Ok(Self(number.0.unsigned_abs()))
            }
        }

        impl<'de> Wire<'de> for $name {
            fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }

            #[inline]
            fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
                BoundedInt::<$min>::quick(cursor).map(|number| Self(number.0.unsigned_abs()))
            }
        }
    };
}

number_id! {
    /// The id that a client gives an intent, 1 to 2^53 - 1; 0 stands for "none yet" in `last` and `after`.
    RequestId, 0
}
number_id! {
    /// A character's version: starts at 1, grows by 1 with each applied intent, never names two states. 0 means any.
    Version, 0
}
