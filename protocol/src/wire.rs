//! How maps, choices and numbers are read: the wire's own leniency and strictness, once for both encodings.
//!
//! Serde's derived readers accept lists for structs, refuse `6.0` for an integer and treat nil as a value; the wire
//! says otherwise. The two macros here write readers that follow it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, de};

use crate::limits::INTEGER_MAX;

/// A value that can stand in a field of the wire.
pub(crate) trait Wire<'de>: Sized {
    /// Reads the value; nil never gets here.
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// What the field is when it is missing or nil; `None` where it is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// Lets serde containers read a [`Wire`] value.
pub(crate) struct Field<T>(pub(crate) T);

impl<'de, T: Wire<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Field)
    }
}

impl<'de, T: Wire<'de>> Wire<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<'de> Wire<'de> for bool {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

/// Serde's own reader would take MessagePack's binary for text as well.
impl<'de> Wire<'de> for String {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<String, E> {
                Ok(text)
            }
        }
        deserializer.deserialize_string(Text)
    }
}

impl<'de> Wire<'de> for i64 {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BoundedInt::<{ -INTEGER_MAX }>::read(deserializer).map(|number| number.0)
    }
}

impl<'de, T: Wire<'de>> Wire<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Field<T>>::deserialize(deserializer).map(|list| list.into_iter().map(|field| field.0).collect())
    }
}

impl<'de, K: Deserialize<'de> + Ord, T: Wire<'de>> Wire<'de> for BTreeMap<K, T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, T>(PhantomData<(K, T)>);
        impl<'de, K: Deserialize<'de> + Ord, T: Wire<'de>> de::Visitor<'de> for Entries<K, T> {
            type Value = BTreeMap<K, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key()? {
                    if let Some(Field(value)) = map.next_value::<Option<Field<T>>>()?
                        && entries.insert(key, value).is_some()
                    {
                        return Err(de::Error::custom("the same key twice"));
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// An integer from `MIN` to 2^53 - 1, which may arrive as `6.0`.
pub(crate) struct BoundedInt<const MIN: i64>(pub(crate) i64);

impl<'de, const MIN: i64> Wire<'de> for BoundedInt<MIN> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MIN: i64>;
        impl<const MIN: i64> de::Visitor<'_> for Number<MIN> {
            type Value = i64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an integer from {MIN} to {INTEGER_MAX}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
                if (MIN..=INTEGER_MAX).contains(&number) {
                    Ok(number)
                } else {
                    Err(E::invalid_value(de::Unexpected::Signed(number), &self))
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
                match i64::try_from(number) {
                    Ok(number) => self.visit_i64(number),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<i64, E> {
                // Exact: every integer in the wire's range is a double.
                if number.fract() == 0.0 && number.abs() <= INTEGER_MAX as f64 {
                    self.visit_i64(number as i64)
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(number), &self))
                }
            }
        }
        deserializer.deserialize_any(Number::<MIN>).map(Self)
    }
}

/// The key that stands for all keys that are neither text nor number, which MessagePack allows.
const NOT_A_TEXT: Key<'static> = Key(Cow::Borrowed("(not a text)"));

/// A map's key; what is no text is a key that nobody knows.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

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
                Ok(NOT_A_TEXT)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Key<'de>, E> {
                Ok(NOT_A_TEXT)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Key<'de>, E> {
                Ok(NOT_A_TEXT)
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Key<'de>, E> {
                Ok(NOT_A_TEXT)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
                de::IgnoredAny::deserialize(deserializer).map(|_| NOT_A_TEXT)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Key<'de>, A::Error> {
                while list.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(NOT_A_TEXT)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Key<'de>, A::Error> {
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(NOT_A_TEXT)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Declares a map of the wire: a struct with a reader that takes maps only, counts nil as absent, refuses a key given
/// twice, and ignores (`frame`) or refuses (`action`) keys that it does not know.
macro_rules! wire_map {
    (
        $(#[$meta:meta])*
        $policy:ident $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl<'de> $crate::wire::Wire<'de> for $name {
            fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Map;
                impl<'de> serde::de::Visitor<'de> for Map {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a map")
                    }

                    #[allow(unused_mut, reason = "a map without fields fills none")]
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $( let mut $field: Option<$type> = None; )*
                        while let Some(key) = map.next_key::<$crate::wire::Key<'de>>()? {
                            match key.0.as_ref() {
                                $( stringify!($field) => {
                                    let value = map.next_value::<Option<$crate::wire::Field<$type>>>()?;
                                    if let Some(value) = value && $field.replace(value.0).is_some() {
                                        return Err(serde::de::Error::duplicate_field(stringify!($field)));
                                    }
                                } )*
                                other => $crate::wire::wire_map!(@unknown $policy map other [$($field),*]),
                            }
                        }
                        Ok($name { $(
                            $field: match $field.or_else(<$type as $crate::wire::Wire>::absent) {
                                Some(value) => value,
                                None => return Err(serde::de::Error::missing_field(stringify!($field))),
                            },
                        )* })
                    }
                }
                deserializer.deserialize_map(Map)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$name as $crate::wire::Wire>::read(deserializer)
            }
        }
    };
    (@unknown frame $map:ident $key:ident [$($field:ident),*]) => {{
        let _ = $key;
        $map.next_value::<serde::de::IgnoredAny>()?;
    }};
    (@unknown action $map:ident $key:ident [$($field:ident),*]) => {
        if $map.next_value::<Option<serde::de::IgnoredAny>>()?.is_some() {
            return Err(serde::de::Error::unknown_field($key, &[$(stringify!($field)),*]));
        }
    };
}
pub(crate) use wire_map;

/// Declares a choice of the wire: an enum read from a map with exactly one entry that is not nil.
macro_rules! wire_choice {
    (
        $(#[$meta:meta])*
        $name:ident ($what:literal) {
            $( $(#[$variant_meta:meta])* $key:literal => $variant:ident($type:ty) ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $key)] $variant($type), )*
        }

        impl $name {
            /// The kinds, as they are spelled on the wire.
            pub const KINDS: &'static [&'static str] = &[$($key),*];

            /// This one's kind, as it is spelled on the wire.
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $key, )* }
            }
        }

        impl<'de> $crate::wire::Wire<'de> for $name {
            fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Choice;
                impl<'de> serde::de::Visitor<'de> for Choice {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a map with one entry, the ", $what))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut chosen = None;
                        while let Some(key) = map.next_key::<$crate::wire::Key<'de>>()? {
                            let value = match key.0.as_ref() {
                                $( $key => map
                                    .next_value::<Option<$crate::wire::Field<$type>>>()?
                                    .map(|field| $name::$variant(field.0)), )*
                                other => match map.next_value::<Option<serde::de::IgnoredAny>>()? {
                                    Some(_) => return Err(serde::de::Error::unknown_variant(other, $name::KINDS)),
                                    None => None,
                                },
                            };
                            if let Some(value) = value && chosen.replace(value).is_some() {
                                return Err(serde::de::Error::custom(concat!("more than one ", $what)));
                            }
                        }
                        chosen.ok_or_else(|| serde::de::Error::custom(concat!("no ", $what)))
                    }
                }
                deserializer.deserialize_map(Choice)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$name as $crate::wire::Wire>::read(deserializer)
            }
        }
    };
}
pub(crate) use wire_choice;

/// Declares a set of names: an enum that is a text on the wire.
macro_rules! wire_names {
    (
        $(#[$meta:meta])*
        $name:ident ($what:literal) { $( $(#[$variant_meta:meta])* $text:literal => $variant:ident ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $text)] $variant, )*
        }

        impl $name {
            /// All of them, in the order of the wire's documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// The one with this name.
            pub fn from_name(text: &str) -> Option<Self> {
                match text { $( $text => Some(Self::$variant), )* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;
                impl serde::de::Visitor<'_> for Name {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::from_name(text).ok_or_else(|| E::unknown_variant(text, $name::NAMES))
                    }
                }
                deserializer.deserialize_str(Name)
            }
        }

        impl<'de> $crate::wire::Wire<'de> for $name {
            fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use wire_names;
