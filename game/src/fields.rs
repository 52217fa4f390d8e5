//! The fields of a character, declared once.

use serde_json::Value;

use crate::{Kept, Runs};

/// How a state is written: into answers, and into its row. [`fields!`](crate::fields) implements it.
///
/// Fields stand in blocks. What is *kept* is packed once and copied into answers until an action touches it; what is
/// *fresh* is written each time. *Shown* fields follow from the state and are kept, but not stored. *Stored* fields are
/// the row's alone.
pub trait Fields {
    /// What follows from the state.
    type Derived;
    /// The fields that are shown, as clients have them.
    type Sheet;

    /// Runs of bytes that [`Fields::keep`] keeps.
    const RUNS: usize;

    /// Number of fields that are shown of this state.
    fn shown(&self) -> usize;

    /// Packs the blocks that are kept.
    fn keep(&self, derived: &Self::Derived, kept: &mut Kept);

    /// Appends all fields that are shown, as the entries of a map: copies what is kept, writes the rest.
    fn write(&self, runs: &mut Runs<'_>, out: &mut Vec<u8>);

    /// Number of fields that the row has of this state.
    fn stored(&self) -> usize;

    /// Appends all fields that the row has, as the entries of a map.
    fn store(&self, out: &mut Vec<u8>);

    /// The JSON Schema of the fields that are shown.
    fn schema() -> Value;
}

/// Declares the fields of a character. From this one table come: the type that clients read ([`Fields::Sheet`]) with its
/// serde forms, what answers keep packed, the stored form with its reader, and the JSON Schema.
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
/// A field is `name: Type = path` and may have bounds in brackets, which hold when a row is read and stand in the schema.
/// The path leads from the state to the field, and in the same way from the type that rows are restored into, which must
/// have a `Default`. The type implements [`Field`](crate::Field), and [`Restore`](crate::Restore) if it is stored. A
/// field that may be absent is an `Option` in a kept block, with serde's
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

        /// The fields of a row, checked one by one.
        #[derive(Debug, serde::Deserialize)]
        $row_vis struct $row {
            $($( $(#[serde($($serde)*)])? $field: <$type as $crate::Field>::Wire, )*)*
            $( $stored: <$stored_type as $crate::Field>::Wire, )*
        }

        impl $row {
            /// Checks every field by itself.
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

/// Declares a part of a character with fields of its own: the type that clients read, and how the part is packed.
///
/// A field is `name: Type = getter`; the type says what clients read, the getter follows `self.` and gives something that
/// is packed as that type is.
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
