//! The values of a character's fields.

use std::fmt::Debug;

use castellan_protocol::pack;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A value in a field of a character, or in a part of one.
pub trait Field {
    /// The value as clients have it. Serde must write it exactly as [`Field::pack`] writes the field.
    type Wire: Serialize + DeserializeOwned + Debug + Default + Clone + PartialEq + Send + Sync + 'static;

    /// Appends the value in MessagePack.
    fn pack(&self, out: &mut Vec<u8>);

    /// Returns true if the field is left out. Only kept fields may be left out.
    fn is_absent(&self) -> bool {
        false
    }

    /// The JSON Schema of the value.
    fn schema() -> Value;
}

/// A value that a row keeps.
pub trait Restore: Field + Sized {
    /// Restores the value from a row.
    ///
    /// # Errors
    ///
    /// The problem with the value.
    fn restore(wire: Self::Wire) -> Result<Self, &'static str>;
}

macro_rules! numbers {
    ($( $type:ty => $wire:ty, $pack:ident, $schema:literal; )*) => {$(
        impl Field for $type {
            type Wire = $wire;

            #[inline]
            fn pack(&self, out: &mut Vec<u8>) {
                pack::$pack(out, (*self).into());
            }

            fn schema() -> Value {
                json!({"type": $schema})
            }
        }

        impl Restore for $type {
            fn restore(wire: $wire) -> Result<Self, &'static str> {
                wire.try_into().map_err(|_| "out of bounds")
            }
        }
    )*};
}

numbers! {
    bool => bool, flag, "boolean";
    u8 => u8, unsigned, "integer";
    i32 => i64, signed, "integer";
    i64 => i64, signed, "integer";
    u64 => u64, unsigned, "integer";
    f64 => f64, float, "number";
}

impl Field for str {
    type Wire = String;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::text(out, self);
    }

    fn schema() -> Value {
        json!({"type": "string"})
    }
}

impl Field for String {
    type Wire = Self;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::text(out, self);
    }

    fn schema() -> Value {
        str::schema()
    }
}

impl Restore for String {
    fn restore(wire: Self) -> Result<Self, &'static str> {
        Ok(wire)
    }
}

impl<T: Field> Field for [T] {
    type Wire = Vec<T::Wire>;

    fn pack(&self, out: &mut Vec<u8>) {
        pack::elements(out, self.len());
        self.iter().for_each(|element| element.pack(out));
    }

    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
}

impl<T: Field> Field for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn pack(&self, out: &mut Vec<u8>) {
        self.as_slice().pack(out);
    }

    fn schema() -> Value {
        <[T]>::schema()
    }
}

impl<T: Restore> Restore for Vec<T> {
    fn restore(wire: Self::Wire) -> Result<Self, &'static str> {
        wire.into_iter().map(T::restore).collect()
    }
}

impl<T: Field> Field for Option<T> {
    type Wire = Option<T::Wire>;

    fn pack(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.pack(out);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Restore> Restore for Option<T> {
    fn restore(wire: Self::Wire) -> Result<Self, &'static str> {
        wire.map(T::restore).transpose()
    }
}

/// For games that derive nothing.
impl Field for () {
    type Wire = ();

    fn pack(&self, _: &mut Vec<u8>) {}

    fn schema() -> Value {
        json!({"type": "null"})
    }
}
