//! The shape of an unreadable message, so that the answer can say precisely what is wrong.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// The parts of a value that a good answer to a bad frame needs.
#[derive(Debug, PartialEq)]
pub(crate) enum Outline {
    Nil,
    Integer(i64),
    Map(Vec<(String, Outline)>),
    Other,
}

impl Outline {
    /// The entries that are not nil; `None` if this is not a map.
    pub(crate) fn entries(&self) -> Option<impl Iterator<Item = (&str, &Outline)>> {
        match self {
            Self::Map(entries) => {
                Some(entries.iter().filter(|(_, value)| *value != Self::Nil).map(|(key, value)| (key.as_str(), value)))
            }
            _ => None,
        }
    }

    /// The only entry that is not nil; `None` unless this is a map with exactly one.
    pub(crate) fn only_entry(&self) -> Option<(&str, &Outline)> {
        let mut entries = self.entries()?;
        let entry = entries.next()?;
        entries.next().is_none().then_some(entry)
    }

    /// The value of a key; `None` if the key is missing or its value is nil.
    pub(crate) fn get(&self, key: &str) -> Option<&Outline> {
        self.entries()?.find_map(|(name, value)| (name == key).then_some(value))
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Outline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Outline, E> {
                Ok(Outline::Nil)
            }

            fn visit_none<E>(self) -> Result<Outline, E> {
                Ok(Outline::Nil)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Outline, E> {
                Ok(Outline::Integer(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Outline, E> {
                Ok(i64::try_from(number).map_or(Outline::Other, Outline::Integer))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Outline, E> {
                // Integers up to 2^53 are exact in a double; larger ones are not valid ids.
                let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
                Ok(if exact { Outline::Integer(number as i64) } else { Outline::Other })
            }

            fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_bytes<E>(self, _: &[u8]) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outline, D::Error> {
                de::IgnoredAny::deserialize(deserializer)?;
                Ok(Outline::Other)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Outline, A::Error> {
                while list.next_element::<Outline>()?.is_some() {}
                Ok(Outline::Other)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<crate::wire::Key<'de>>()? {
                    entries.push((key.0.into_owned(), map.next_value()?));
                }
                Ok(Outline::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
