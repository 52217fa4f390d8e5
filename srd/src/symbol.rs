//! Ids of the catalogue as small values, cheap to copy and compare.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use parking_lot::RwLock;
use serde::{Serialize, Serializer};

/// An id from a catalogue or a stored character: an item, a class, a skill.
///
/// The same text is always the same symbol, in any catalogue, so characters survive a reload of the catalogue. Texts
/// live as long as the process. They come only from catalogues and the database, never from clients, so their number
/// stays close to the catalogue's size.
#[derive(Clone, Copy)]
pub struct Symbol(&'static Interned);

struct Interned {
    number: u32,
    text: Box<str>,
}

static TABLE: LazyLock<RwLock<HashMap<&'static str, Symbol>>> = LazyLock::new(RwLock::default);

impl Symbol {
    /// The symbol of a text; creates a missing one.
    pub(super) fn new(text: &str) -> Self {
        if let Some(known) = TABLE.read().get(text) {
            return *known;
        }
        let mut table = TABLE.write();
        if let Some(known) = table.get(text) {
            return *known;
        }
        let number = u32::try_from(table.len()).expect("memory ends long before four billion ids");
        let entry: &'static Interned = Box::leak(Box::new(Interned { number, text: text.into() }));
        table.insert(&entry.text, Self(entry));
        Self(entry)
    }

    /// The id's text.
    pub fn as_str(self) -> &'static str {
        &self.0.text
    }

    /// The symbol's number, counted from 0. Catalogues use it as an index.
    pub(super) fn number(self) -> usize {
        self.0.number as usize
    }
}

impl Default for Symbol {
    /// The empty text.
    fn default() -> Self {
        Self::new("")
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Symbol {}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_symbol() {
        let one = Symbol::new("symbol-test-one");
        assert_eq!(one, Symbol::new("symbol-test-one"));
        assert_ne!(one, Symbol::new("symbol-test-two"));
        assert_eq!(one.as_str(), "symbol-test-one");
    }
}
