//! Parsing of values: durations, sizes, addresses, lists, choices.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;

/// A value parsed from the text of a flag, a variable or a TOML key.
pub(super) trait FromText: Sized {
    /// Its name in `--help`.
    const KIND: &'static str;
    /// True if messages must never quote the value.
    const SECRET: bool = false;

    /// Parses it.
    ///
    /// # Errors
    ///
    /// Says what is expected instead, as the rest of a sentence.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Parses the declared default; an empty one means that a value is required.
    fn from_default(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must be set; it has no default".to_owned()) } else { Self::from_text(text) }
    }

    /// Returns true if the value is at or above `bound`.
    fn not_below(&self, _bound: &Self) -> bool {
        true
    }
}

macro_rules! numbers {
    ($($type:ty),+) => { $(
        impl FromText for $type {
            const KIND: &'static str = "NUMBER";

            fn from_text(text: &str) -> Result<Self, String> {
                text.replace('_', "").parse().map_err(|_| format!("must be a whole number up to {}", Self::MAX))
            }

            fn not_below(&self, bound: &Self) -> bool {
                self >= bound
            }
        }
    )+ };
}
numbers!(u32, u64, usize);

impl FromText for ByteSize {
    const KIND: &'static str = "SIZE";

    /// A number too large for 64 bits becomes the largest one, which the setting's bounds refuse.
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a size such as 64KiB, 19MiB or 1GiB".to_owned())
    }

    fn not_below(&self, bound: &Self) -> bool {
        self >= bound
    }
}

impl FromText for Duration {
    const KIND: &'static str = "DURATION";

    fn from_text(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| "must be a duration such as 250ms, 1s, 2m, 1h30m or 30d".to_owned())
    }

    fn not_below(&self, bound: &Self) -> bool {
        self >= bound
    }
}

impl FromText for SocketAddr {
    const KIND: &'static str = "ADDRESS";

    fn from_text(text: &str) -> Result<Self, String> {
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = numeric.as_deref().unwrap_or(text);
        address.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:0".to_owned())
    }
}

/// Addresses by their common prefix; a single address stands for itself.
impl FromText for IpNet {
    const KIND: &'static str = "CIDR";

    fn from_text(text: &str) -> Result<Self, String> {
        let single = || text.parse::<IpAddr>().map(Self::from);
        text.parse().or_else(|_| single()).map_err(|_| {
            "must be an IP address, or a prefix and its length, such as 10.0.0.0/8 or 2001:db8::/32".to_owned()
        })
    }
}

impl FromText for PathBuf {
    const KIND: &'static str = "PATH";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must be a path".to_owned()) } else { Ok(Self::from(text)) }
    }
}

impl FromText for String {
    const KIND: &'static str = "TEXT";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl<T: FromText> FromText for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;

    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }

    fn from_default(_: &str) -> Result<Self, String> {
        Ok(None)
    }

    fn not_below(&self, bound: &Self) -> bool {
        match (self, bound) {
            (Some(value), Some(bound)) => value.not_below(bound),
            _ => true,
        }
    }
}

/// A list: separated by commas in flags and variables, an array in TOML.
impl<T: FromText> FromText for Vec<T> {
    const KIND: &'static str = "LIST";

    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::from_text).collect()
    }

    fn from_default(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }
}

/// Declares a setting's choices: an enum with a word for each variant.
macro_rules! choices {
    ($(#[$meta:meta])* $name:ident { $( $(#[$doc:meta])* $text:literal => $variant:ident ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $crate::config::text::FromText for $name {
            const KIND: &'static str = $crate::config::text::choices!(@kind $($text)+);

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err(format!("must be one of {}", Self::KIND)),
                }
            }
        }
    };
    (@kind $first:literal $($rest:literal)*) => { concat!($first $(, "|", $rest)*) };
}
pub(super) use choices;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let read = |text| Duration::from_text(text).ok().map(|duration| duration.as_millis());
        let table = [
            ("250ms", Some(250)),
            ("1s", Some(1_000)),
            ("2m", Some(120_000)),
            ("15min", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1 s", Some(1_000)),
            ("1.5s", Some(1_500)),
            ("-1s", None),
            ("1s,", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_binary_or_decimal_units() {
        let read = |text| ByteSize::from_text(text).ok().map(|size| size.0);
        let table = [
            ("0", Some(0)),
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("19MiB", Some(19_922_944)),
            ("1GiB", Some(1_073_741_824)),
            ("1.5KiB", Some(1_536)),
            ("1MB", Some(1_000_000)),
            ("MiB", None),
            ("1MiB1", None),
            ("-1MiB", None),
            ("99999999999999GiB", Some(u64::MAX)),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas_and_may_be_empty() {
        assert_eq!(Vec::<String>::from_text("a, b,,c"), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(Vec::<String>::from_default(""), Ok(Vec::new()));
    }

    #[test]
    fn a_prefix_stands_for_many_addresses_and_an_address_for_itself() {
        let has = |text: &str, address: &str| {
            let prefix = IpNet::from_text(text).expect("a prefix");
            prefix.contains(&address.parse::<IpAddr>().expect("an address"))
        };
        assert!(has("10.0.0.0/8", "10.9.8.7") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("2001:db8::/32", "2001:db8::1") && !has("2001:db8::/32", "10.0.0.1"));
        assert!(IpNet::from_text("10.0.0.0/33").is_err() && IpNet::from_text("localhost").is_err());
    }

    #[test]
    fn an_address_is_numeric_or_localhost() {
        assert_eq!(SocketAddr::from_text("localhost:0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert!(SocketAddr::from_text("[::1]:8080").is_ok());
        assert!(SocketAddr::from_text("8080").is_err());
        assert!(SocketAddr::from_text("localhost:70000").is_err());
    }
}
