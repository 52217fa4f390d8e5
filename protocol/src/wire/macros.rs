//! The readers of the wire's own types: maps, choices and names.

/// Declares a map of the wire: a struct with a reader that takes maps only, counts nil as absent, refuses a key given
/// twice, and ignores (`frame`) or refuses (`action`) unknown keys.
///
/// The crate that uses it must depend on `serde`. A map may have one type parameter, the game's actions.
#[macro_export]
macro_rules! wire_map {
    (
        $(#[$meta:meta])*
        $policy:ident $name:ident $(<$game:ident>)? {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name $(<$game>)? {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $(<$game: $crate::Action>)? $name $(<$game>)? {
            /// The fields, as they are spelled on the wire; true if the field is required.
            pub fn fields() -> Vec<(&'static str, bool)> {
                vec![$( (stringify!($field), <$type as $crate::wire::Wire>::absent().is_none()) ),*]
            }
        }

        impl<'de $(, $game: $crate::Action)?> $crate::wire::Wire<'de> for $name $(<$game>)? {
            fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Map $(<$game>)? (std::marker::PhantomData<($($game,)?)>);
                impl<'de $(, $game: $crate::Action)?> serde::de::Visitor<'de> for Map $(<$game>)? {
                    type Value = $name $(<$game>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a map")
                    }

                    #[allow(unused_mut, reason = "a map without fields fills none")]
                    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                        $( let mut $field: Option<$type> = None; )*
                        while let Some(key) = map.next_key::<$crate::wire::Key<'de>>()? {
                            match key.0.as_ref() {
                                $( stringify!($field) => {
                                    let value = map.next_value::<Option<$crate::wire::Field<$type>>>()?;
                                    if let Some(value) = value && $field.replace(value.0).is_some() {
                                        return Err(serde::de::Error::duplicate_field(stringify!($field)));
                                    }
                                } )*
                                other => $crate::wire_map!(@unknown $policy map other [$($field),*]),
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
                deserializer.deserialize_map(Map(std::marker::PhantomData))
            }

            #[allow(unused_mut, unused_variables, reason = "a map without fields fills none")]
            fn quick(cursor: &mut $crate::wire::Cursor<'de>) -> Option<Self> {
                $( let mut $field: Option<$type> = None; )*
                cursor.entries(|cursor, key| {
                    $( if key == stringify!($field).as_bytes() {
                        return cursor.fill(&mut $field);
                    } )*
                    None
                })?;
                Some($name { $( $field: $field.or_else(<$type as $crate::wire::Wire>::absent)?, )* })
            }
        }

        impl<'de $(, $game: $crate::Action)?> serde::Deserialize<'de> for $name $(<$game>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Self as $crate::wire::Wire>::read(deserializer)
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

/// Declares a choice of the wire: an enum read from a map with exactly one entry that is not nil.
///
/// The crate that uses it must depend on `serde`. A choice may have one type parameter, the game's actions.
#[macro_export]
macro_rules! wire_choice {
    (
        $(#[$meta:meta])*
        $name:ident $(<$game:ident>)? ($what:literal) {
            $( $(#[$variant_meta:meta])* $key:literal => $variant:ident($type:ty) ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub enum $name $(<$game>)? {
            $( $(#[$variant_meta])* #[serde(rename = $key)] $variant($type), )*
        }

        impl $(<$game: $crate::Action>)? $name $(<$game>)? {
            /// The kinds, as they are spelled on the wire.
            pub const KINDS: &'static [&'static str] = &[$($key),*];

            /// The kinds with their fields; true if the field is required.
            pub fn fields() -> Vec<(&'static str, Vec<(&'static str, bool)>)> {
                vec![$( ($key, <$type>::fields()) ),*]
            }

            /// This value's kind, as it is spelled on the wire.
            pub fn kind(&self) -> &'static str {
                Self::KINDS[self.index()]
            }

            /// The place of this value's kind in [`Self::KINDS`].
            #[inline]
            pub fn index(&self) -> usize {
                enum Index { $($variant),* }
                match self { $( Self::$variant(_) => Index::$variant as usize, )* }
            }
        }

        impl<'de $(, $game: $crate::Action)?> $crate::wire::Wire<'de> for $name $(<$game>)? {
            fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Choice $(<$game>)? (std::marker::PhantomData<($($game,)?)>);
                impl<'de $(, $game: $crate::Action)?> serde::de::Visitor<'de> for Choice $(<$game>)? {
                    type Value = $name $(<$game>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a map with one entry, whose key names the ", $what))
                    }

                    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                        let mut chosen = None;
                        while let Some(key) = map.next_key::<$crate::wire::Key<'de>>()? {
                            let value = match key.0.as_ref() {
                                $( $key => map
                                    .next_value::<Option<$crate::wire::Field<$type>>>()?
                                    .map(|field| $name::$variant(field.0)), )*
                                other => match map.next_value::<Option<serde::de::IgnoredAny>>()? {
                                    Some(_) => return Err(serde::de::Error::unknown_variant(other, <Self::Value>::KINDS)),
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
                deserializer.deserialize_map(Choice(std::marker::PhantomData))
            }

            fn quick(cursor: &mut $crate::wire::Cursor<'de>) -> Option<Self> {
                if cursor.map()? != 1 {
                    return None;
                }
                let key = cursor.text()?;
                $( if key == $key.as_bytes() {
                    return <$type as $crate::wire::Wire>::quick(cursor).map(Self::$variant);
                } )*
                None
            }
        }

        impl<'de $(, $game: $crate::Action)?> serde::Deserialize<'de> for $name $(<$game>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Self as $crate::wire::Wire>::read(deserializer)
            }
        }
    };
}

/// Declares a game's actions: a choice of the wire ([`wire_choice!`](crate::wire_choice)) that is an
/// [`Action`](crate::Action).
#[macro_export]
macro_rules! actions {
    ( $(#[$meta:meta])* $name:ident $($rest:tt)* ) => {
        $crate::wire_choice! { $(#[$meta])* $name ("action") $($rest)* }

        impl $crate::Action for $name {
            const KINDS: &'static [&'static str] = Self::KINDS;

            fn kinds() -> $crate::KindFields {
                Self::fields()
            }

            fn index(&self) -> usize {
                self.index()
            }
        }
    };
}

/// Declares a set of names: an enum that is a text on the wire.
///
/// The crate that uses it must depend on `serde`.
#[macro_export]
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
            /// All names, in the order of `docs/protocol.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// The value with this name.
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

            fn quick(cursor: &mut $crate::wire::Cursor<'de>) -> Option<Self> {
                let name = cursor.text()?;
                $( if name == $text.as_bytes() {
                    return Some(Self::$variant);
                } )*
                None
            }
        }
    };
}
