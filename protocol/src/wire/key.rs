//! The keys of maps, in any form that a peer may send.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Stands for any key that is neither a string nor a number; MessagePack allows such keys.
const NOT_A_STRING: Key<'static> = Key(Cow::Borrowed("(not a string)"));

/// A map's key. A key that is not a string is read as an unknown key.
pub struct Key<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> de::Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(number.to_string())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(number.to_string())))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Key<'de>, E> {
                Ok(NOT_A_STRING)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Key<'de>, E> {
                Ok(NOT_A_STRING)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Key<'de>, E> {
                Ok(NOT_A_STRING)
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Key<'de>, E> {
                Ok(NOT_A_STRING)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
                de::IgnoredAny::deserialize(deserializer).map(|_| NOT_A_STRING)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Key<'de>, A::Error> {
                while list.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(NOT_A_STRING)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Key<'de>, A::Error> {
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(NOT_A_STRING)
            }
        }
        deserializer.deserialize_any(Text)
    }
}
