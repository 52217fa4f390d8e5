//! One setting: its names, default and bounds, and the source of its value.

use std::collections::BTreeMap;

use castellan_game::RuleOption;

use super::text::FromText;

/// A setting, declared once with the `settings!` macro.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Its key, such as `flush.interval`. The names of the flag, the variable and the TOML key derive from it.
    pub(super) key: &'static str,
    /// Its text in `--help`.
    pub(super) doc: &'static str,
    /// The kind of its value, such as `DURATION`.
    pub(super) kind: &'static str,
    /// Its default value; empty if it has none.
    pub(super) default: &'static str,
    /// Smallest and largest value, if it has bounds.
    pub(super) bounds: Option<(&'static str, &'static str)>,
    /// Its heading in `--help`.
    pub(super) heading: &'static str,
}

impl Setting {
    /// The common form of its flag, variable and TOML key: `flush_interval`.
    pub(super) fn name(&self) -> String {
        self.key.replace('.', "_")
    }

    /// The flag, without its two hyphens: `flush-interval`.
    pub(super) fn flag(&self) -> String {
        self.name().replace('_', "-")
    }

    /// The environment variable: `CASTELLAN_FLUSH_INTERVAL`.
    pub(super) fn variable(&self) -> String {
        format!("CASTELLAN_{}", self.name().to_uppercase())
    }
}

/// A given value and its source.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The value.
    pub(super) text: String,
    /// The source, as messages name it: `--flush-interval`, for example.
    pub(super) origin: String,
}

/// All given values by the settings' names, and all problems so far.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// The options of the game that is served.
    pub(super) options: &'static [RuleOption],
    pub(super) given: BTreeMap<String, Given>,
    pub(super) problems: Vec<String>,
}

impl Values {
    /// Returns a setting's value, or records the problem and returns `None`.
    pub(super) fn read<T: FromText>(&mut self, setting: &Setting) -> Option<T> {
        let Some(given) = self.given.get(&setting.name()) else {
            return T::from_default(setting.default).map_err(|why| self.note(setting.key, &why)).ok();
        };
        let origin = given.origin.clone();
        match T::from_text(&given.text).and_then(|value| within(value, setting.bounds)) {
            Ok(value) => Some(value),
            Err(why) if T::SECRET => {
                self.note(&origin, &why);
                None
            }
            Err(why) => {
                let shown = format!("{origin}: {}", shorten(&given.text));
                self.note(&shown, &why);
                None
            }
        }
    }

    /// Records a problem.
    pub(super) fn note(&mut self, place: &str, why: &str) {
        self.problems.push(format!("{place}: {why}"));
    }
}

/// Longest part of a bad value that a message quotes, in bytes.
const QUOTE_BYTES_MAX: usize = 80;

/// A bad value, shortened for a message.
pub(super) fn shorten(text: &str) -> String {
    format!("`{}`", text[..text.floor_char_boundary(QUOTE_BYTES_MAX)].escape_debug())
}

fn within<T: FromText>(value: T, bounds: Option<(&str, &str)>) -> Result<T, String> {
    let Some((low, high)) = bounds else { return Ok(value) };
    let bound = |text| T::from_text(text).expect("declared bounds are values of their setting");
    if value.not_below(&bound(low)) && bound(high).not_below(&value) {
        Ok(value)
    } else {
        Err(format!("must be from {low} to {high}"))
    }
}

/// Declares a group of settings: a struct with plain fields, and the table behind flags, variables, TOML keys and help.
///
/// `"flush.interval" interval: Duration = "1s", "1ms" to "1m";` is a setting with a default and bounds; both are
/// optional.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $name:ident under $heading:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:literal $field:ident : $type:ty $(= $default:literal)? $(, $low:literal to $high:literal)? ;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            pub(super) const SETTINGS: &'static [$crate::config::setting::Setting] = &[
                $( $crate::config::setting::Setting {
                    key: $key,
                    doc: concat!($($doc),+),
                    kind: <$type as $crate::config::text::FromText>::KIND,
                    default: concat!($($default)?),
                    bounds: $crate::config::setting::settings!(@bounds $($low to $high)?),
                    heading: $heading,
                }, )+
            ];

            /// Reads every setting of the group, so that every problem is recorded.
            pub(super) fn read(values: &mut $crate::config::setting::Values) -> Option<Self> {
                let mut settings = Self::SETTINGS.iter();
                $( let $field = values.read::<$type>(settings.next().expect("one entry per field")); )+
                Some(Self { $( $field: $field?, )+ })
            }
        }
    };
    (@bounds $low:literal to $high:literal) => { Some(($low, $high)) };
    (@bounds) => { None };
}
pub(super) use settings;
