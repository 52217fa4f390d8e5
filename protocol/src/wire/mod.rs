//! Readers for maps, choices and numbers, as lenient and as strict as the wire asks, for both encodings.
//!
//! Serde's derived readers accept lists for structs, refuse `6.0` for an integer and treat nil as a value; the wire
//! does the opposite. The macros here write readers that follow the wire, each with a quick one for plain MessagePack.

mod key;
mod macros;
mod quick;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, de};

use crate::limits::INTEGER_MAX;

pub use key::Key;
pub use quick::Cursor;

/// A value that can be in a field of the wire.
pub trait Wire<'de>: Sized {
    /// Reads the value, which is never nil.
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Reads the value from plain MessagePack; `None` leaves the message to [`Wire::read`].
    ///
    /// If this reads a value, [`Wire::read`] must read the same one.
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self>;

    /// The field's value if it is missing or nil; `None` if it is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// Lets serde containers read a [`Wire`] value.
pub struct Field<T>(pub T);

impl<'de, T: Wire<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Field)
    }
}

impl<'de, T: Wire<'de>> Wire<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Some)
    }

    #[inline]
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        T::quick(cursor).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<'de> Wire<'de> for bool {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    #[inline]
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        cursor.flag()
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

/// Serde's own reader would accept MessagePack's binary as a string too.
impl<'de> Wire<'de> for String {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
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

    #[inline]
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        str::from_utf8(cursor.text()?).ok().map(str::to_owned)
    }
}

impl<'de> Wire<'de> for i64 {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BoundedInt::<{ -INTEGER_MAX }>::read(deserializer).map(|number| number.0)
    }

    #[inline]
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        cursor.integer(-INTEGER_MAX, INTEGER_MAX)
    }
}

impl<'de, T: Wire<'de>> Wire<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Field<T>>::deserialize(deserializer).map(|list| list.into_iter().map(|field| field.0).collect())
    }

    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        (0..cursor.list()?).map(|_| T::quick(cursor)).collect()
    }
}

impl<'de, K: Deserialize<'de> + Wire<'de> + Ord, T: Wire<'de>> Wire<'de> for BTreeMap<K, T> {
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
                        return Err(de::Error::custom("the same key is given twice"));
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }

    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        let mut entries = BTreeMap::new();
        for _ in 0..cursor.map()? {
            let (key, value) = (K::quick(cursor)?, T::quick(cursor)?);
            if entries.insert(key, value).is_some() {
                return None;
            }
        }
        Some(entries)
    }
}

/// An integer from `MIN` to 2^53 - 1, which may arrive as `6.0`.
pub struct BoundedInt<const MIN: i64>(pub i64);

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

    #[inline]
    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        cursor.integer(MIN, INTEGER_MAX).map(Self)
    }
}
