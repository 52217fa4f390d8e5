//! The fields of a character, declared once.

use serde_json::Value;

use crate::{Kept, Runs};

/// Writes a state into answers and into its row. [`fields!`](crate::fields) implements it.
///
/// Fields are grouped in blocks. *Kept* fields are packed once and copied into answers until an action touches them.
/// *Fresh* fields are written each time. *Shown* fields are derived from the state; they are kept, but not stored.
/// *Stored* fields are only in the row.
pub trait Fields {
    /// The values that the rules compute from the state.
    type Derived;
    /// The shown state, as clients have it.
    type Sheet;

    /// Runs of bytes that [`Fields::keep`] keeps.
    const RUNS: usize;

    /// Number of this state's fields in an answer.
    fn shown(&self) -> usize;

    /// Packs the kept blocks.
    fn keep(&self, derived: &Self::Derived, kept: &mut Kept);

    /// Appends all fields of an answer, as the entries of a map. Copies the kept ones and writes the rest.
    fn write(&self, runs: &mut Runs<'_>, out: &mut Vec<u8>);

    /// Number of this state's fields in its row.
    fn stored(&self) -> usize;

    /// Appends all fields of the row, as the entries of a map.
    fn store(&self, out: &mut Vec<u8>);

    /// The JSON Schema of the fields of an answer.
    fn schema() -> Value;
}

/// Declares the fields of a character.
///
/// This one table generates the type that clients read ([`Fields::Sheet`]) with its serde forms, the packing of kept
/// fields, the stored form with its reader, and the JSON Schema.
///
/// ```text
/// castellan_game::fields! {
///     /// A duellist, as clients see it.
///     pub struct Sheet, of State, derived ();
///     struct Row, restored into State;
///     kept {
///         /// 1 to 40 characters.
///         name: String = name,
///     }
///     fresh {
///         /// Points of life.
///         life: i64 = life [0..=20],
///     }
///     shown {}
///     stored {
///         /// Dice rolled so far.
///         dice_rolled: u64 = dice_rolled,
///     }
/// }
/// ```
///
/// A field is `name: Type = path` and may have bounds in brackets. The bounds are checked when a row is read, and they
/// are in the schema. The path leads from the state to the field. It must also lead to the field from the type that
/// rows are restored into, which must have a `Default`. The type implements [`Field`](crate::Field), and
/// [`Restore`](crate::Restore) if it is stored. A field that may be absent is an `Option` in a kept block, with serde's
/// `#[serde(default, skip_serializing_if = "Option::is_none")]`. The crate that uses this must depend on `serde`.
#[macro_export]
macro_rules! fields {
    (
        $(#[doc = $sheet_doc:literal])*
        $vis:vis struct $sheet:ident, of $state:ty, derived $derived:ty;
        $row_vis:vis struct $row:ident, restored into $restored:ty;
        $( $keep:ident {
            $(
                $(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])?
                $field:ident : $type:ty = $($path:ident).+ $([$bounds:expr])?
            ),* $(,)?
        } )*
        ;
        shown {
            $(
                $(#[doc = $shown_doc:literal])+
                $shown:ident : $shown_type:ty = $derive:expr
            ),* $(,)?
        }
        stored {
            $(
                $(#[doc = $stored_doc:literal])+
                $stored:ident : $stored_type:ty = $($stored_path:ident).+ $([$stored_bounds:expr])?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $sheet_doc])*
        #[derive(Debug, Default, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        $vis struct $sheet {
            $($(
                $(#[doc = $doc])+ $(#[serde($($serde)*)])?
                pub $field: <$type as $crate::Field>::Wire,
            )*)*
            $( $(#[doc = $shown_doc])+ pub $shown: <$shown_type as $crate::Field>::Wire, )*
        }

        impl $crate::Fields for $state {
            type Derived = $derived;
            type Sheet = $sheet;

            const RUNS: usize = 0 $( + $crate::fields!(@runs $keep) )* $( + { let _ = stringify!($shown); 1 } )*;

            fn shown(&self) -> usize {
                0 $($( + usize::from(!$crate::Field::is_absent(&self.$($path).+)) )*)*
                    $( + { let _ = stringify!($shown); 1 } )*
            }

            #[allow(unused_variables, reason = "not every game derives anything")]
            fn keep(&self, derived: &$derived, kept: &mut $crate::Kept) {
                $( $crate::fields!(@keep $keep self kept [$( $field = $($path).+ ),*]); )*
                $( kept.keep(|out| {
                    $crate::protocol::pack_key!(out, stringify!($shown));
                    let derive: fn(&$derived) -> &$shown_type = $derive;
                    $crate::Field::pack(derive(derived), out);
                }); )*
            }

            fn write(&self, runs: &mut $crate::Runs<'_>, out: &mut Vec<u8>) {
                $( $crate::fields!(@write $keep self runs out [$( $field = $($path).+ ),*]); )*
                $( { let _ = stringify!($shown); runs.copy(out); } )*
            }

            fn stored(&self) -> usize {
                0 $($( + usize::from(!$crate::Field::is_absent(&self.$($path).+)) )*)*
                    $( + usize::from(!$crate::Field::is_absent(&self.$($stored_path).+)) )*
            }

            fn store(&self, out: &mut Vec<u8>) {
                $($( $crate::fields!(@one out $field self.$($path).+); )*)*
                $( $crate::fields!(@one out $stored self.$($stored_path).+); )*
            }

            fn schema() -> serde_json::Value {
                let mut schema = $crate::schema::Schema::default();
                $($(
                    schema.field(stringify!($field), concat!($($doc),+), <$type as $crate::Field>::schema())
                        $( .bounds(i64::from(*($bounds).start()), i64::from(*($bounds).end())) )?
                        .required(!stringify!($($($serde)*)?).contains("default"));
                )*)*
                $( schema.field(stringify!($shown), concat!($($shown_doc),+), <$shown_type as $crate::Field>::schema())
                    .required(true); )*
                schema.into_value(concat!($($sheet_doc),*))
            }
        }

        /// The fields of a row, before they are checked one by one.
        #[derive(Debug, serde::Deserialize)]
        $row_vis struct $row {
            $($( $(#[serde($($serde)*)])? $field: <$type as $crate::Field>::Wire, )*)*
            $( $stored: <$stored_type as $crate::Field>::Wire, )*
        }

        impl $row {
            /// Checks each field on its own.
            fn restore(self) -> Result<$restored, $crate::Corrupt> {
                let mut restored = <$restored>::default();
                $($( $crate::fields!(@restore self restored $field: $type = $($path).+ $([$bounds])?); )*)*
                $( $crate::fields!(@restore self restored $stored: $stored_type = $($stored_path).+ $([$stored_bounds])?); )*
                Ok(restored)
            }
        }
    };

    (@runs kept) => { 1 };
    (@runs fresh) => { 0 };

    (@keep kept $self:ident $kept:ident [$( $field:ident = $($path:ident).+ ),*]) => {
        $kept.keep(|out| { $( $crate::fields!(@one out $field $self.$($path).+); )* });
    };
    (@keep fresh $($rest:tt)*) => {};

    (@write kept $self:ident $runs:ident $out:ident [$($fields:tt)*]) => { $runs.copy($out); };
    (@write fresh $self:ident $runs:ident $out:ident [$( $field:ident = $($path:ident).+ ),*]) => {
        $( $crate::fields!(@one $out $field $self.$($path).+); )*
    };

    (@one $out:ident $field:ident $value:expr) => {
        if !$crate::Field::is_absent(&$value) {
            $crate::protocol::pack_key!($out, stringify!($field));
            $crate::Field::pack(&$value, $out);
        }
    };

    (@restore $self:ident $restored:ident $field:ident : $type:ty = $($path:ident).+ $([$bounds:expr])?) => {
        let value = <$type as $crate::Restore>::restore($self.$field)
            .map_err(|message| $crate::Corrupt::Impossible { field: stringify!($field), message })?;
        $( if !($bounds).contains(&value) {
            return Err($crate::Corrupt::Impossible { field: stringify!($field), message: "out of bounds" });
        } )?
        $restored.$($path).+ = value;
    };
}

/// Declares a part of a character with fields of its own: the type that clients read, and the packing of the part.
///
/// A field is `name: Type = getter`. Clients read the type. The getter follows `self.` and returns a value that is
/// packed like that type.
#[macro_export]
macro_rules! record {
    (
        $(#[doc = $record_doc:literal])*
        $vis:vis struct $wire:ident, of $part:ty {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty = $($get:ident $(($($argument:tt)*))?).+
            ),* $(,)?
        }
    ) => {
        $(#[doc = $record_doc])*
        #[derive(Debug, Default, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        $vis struct $wire {
            $( $(#[doc = $doc])+ pub $field: <$type as $crate::Field>::Wire, )*
        }

        impl $crate::Field for $part {
            type Wire = $wire;

            fn pack(&self, out: &mut Vec<u8>) {
                const FIELDS: usize = [$(stringify!($field)),*].len();
                $crate::protocol::pack::entries(out, FIELDS);
                $(
                    $crate::protocol::pack_key!(out, stringify!($field));
                    (self.$($get $(($($argument)*))?).+).pack(out);
                )*
            }

            fn schema() -> serde_json::Value {
                let mut schema = $crate::schema::Schema::default();
                $( schema.field(stringify!($field), concat!($($doc),+), <$type as $crate::Field>::schema()).required(true); )*
                schema.into_value(concat!($($record_doc),*))
            }
        }
    };
}
