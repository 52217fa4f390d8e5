//! Reads one entry of a catalogue file and records every mistake instead of stopping at the first.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use crate::request::Ability;
use toml::{Table, Value};

use super::mistakes::Mistakes;
use crate::symbol::Symbol;

/// Longest id of an entry, in bytes. Bounds the size of an inventory on the wire.
pub(super) const ID_BYTES_MAX: usize = 40;

/// A table of a catalogue file, with the fields read so far.
pub(super) struct TableReader<'t> {
    file: &'t str,
    label: String,
    prefix: String,
    table: &'t Table,
    asked: RefCell<Vec<&'static str>>,
    mistakes: &'t Mistakes,
}

impl<'t> TableReader<'t> {
    /// An entry of a kind such as `item`. Messages name it by its id, or by its position if it has none.
    pub(super) fn new(file: &'t str, kind: &str, position: usize, table: &'t Table, mistakes: &'t Mistakes) -> Self {
        let label = match table.get("id").and_then(Value::as_str) {
            Some(id) => format!("{kind} `{id}`"),
            None => format!("{kind} {}", position + 1),
        };
        Self { file, label, prefix: String::new(), table, asked: RefCell::default(), mistakes }
    }

    /// Records a mistake in a field.
    pub(super) fn complain(&self, field: &str, message: impl Into<String>) {
        self.mistakes.add(self.file, &self.label, &format!("{}{field}", self.prefix), message);
    }

    /// The entry's place, for mistakes found after all entries are read.
    pub(super) fn place(&self) -> Place {
        Place { file: self.file.to_owned(), label: self.label.clone() }
    }

    fn value(&self, field: &'static str) -> Option<&'t Value> {
        self.asked.borrow_mut().push(field);
        self.table.get(field)
    }

    /// Reads a required field; records a mistake if it is missing or has the wrong type.
    fn expect<T>(&self, field: &'static str, what: &str, read: impl FnOnce(&'t Value) -> Option<T>) -> Option<T> {
        let Some(value) = self.value(field) else {
            self.complain(field, format!("missing; must be {what}"));
            return None;
        };
        let read = read(value);
        if read.is_none() {
            self.complain(field, format!("must be {what}"));
        }
        read
    }

    fn expect_if_present<T>(
        &self,
        field: &'static str,
        what: &str,
        read: impl FnOnce(&'t Value) -> Option<T>,
    ) -> Option<T> {
        if self.table.contains_key(field) { self.expect(field, what, read) } else { self.asked(field) }
    }

    fn asked<T>(&self, field: &'static str) -> Option<T> {
        self.asked.borrow_mut().push(field);
        None
    }

    /// The entry's id: kebab-case, at most 40 bytes.
    pub(super) fn id(&self) -> Symbol {
        let id = self.text("id");
        if !id.is_empty() && !is_id(id) {
            self.complain("id", format!("must be kebab-case, at most {ID_BYTES_MAX} bytes"));
        }
        Symbol::new(id)
    }

    /// A required string.
    pub(super) fn text(&self, field: &'static str) -> &'t str {
        let read = |value: &'t Value| value.as_str().filter(|text| !text.is_empty());
        self.expect(field, "a string", read).unwrap_or_default()
    }

    /// An optional string.
    pub(super) fn text_if_present(&self, field: &'static str) -> Option<&'t str> {
        self.expect_if_present(field, "a string", Value::as_str)
    }

    /// A required choice of several names.
    pub(super) fn choice<T>(
        &self,
        field: &'static str,
        what: &str,
        choose: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.expect(field, what, |value| value.as_str().and_then(choose))
    }

    /// An optional ability.
    pub(super) fn ability_if_present(&self, field: &'static str) -> Option<Ability> {
        self.expect_if_present(field, "an ability", |value| value.as_str().and_then(Ability::from_name))
    }

    /// A required integer; the smallest allowed one if it is missing.
    pub(super) fn integer(&self, field: &'static str, range: RangeInclusive<i64>) -> i64 {
        let what = format!("an integer from {} to {}", range.start(), range.end());
        let read = |value: &Value| value.as_integer().filter(|number| range.contains(number));
        self.expect(field, &what, read).unwrap_or(*range.start())
    }

    /// An optional integer.
    pub(super) fn integer_if_present(&self, field: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.table.contains_key(field).then(|| self.integer(field, range)).or_else(|| self.asked(field))
    }

    /// A required small integer.
    pub(super) fn small(&self, field: &'static str, range: RangeInclusive<i32>) -> i32 {
        let number = self.integer(field, i64::from(*range.start())..=i64::from(*range.end()));
        i32::try_from(number).unwrap_or(*range.start())
    }

    /// An optional small integer.
    pub(super) fn small_if_present(&self, field: &'static str, range: RangeInclusive<i32>) -> Option<i32> {
        self.table.contains_key(field).then(|| self.small(field, range)).or_else(|| self.asked(field))
    }

    /// An optional number, with or without a fraction.
    pub(super) fn number_if_present(&self, field: &'static str) -> Option<f64> {
        self.expect_if_present(field, "a number", |value| match value {
            // Catalogue numbers are far below 2^53.
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        })
    }

    /// An optional flag, false by default.
    pub(super) fn flag(&self, field: &'static str) -> bool {
        self.expect_if_present(field, "true or false", Value::as_bool).unwrap_or(false)
    }

    /// A required list of strings.
    pub(super) fn texts(&self, field: &'static str) -> Vec<&'t str> {
        self.expect(field, "a list of strings", texts).unwrap_or_default()
    }

    /// An optional list of strings, empty by default.
    pub(super) fn texts_if_present(&self, field: &'static str) -> Vec<&'t str> {
        self.expect_if_present(field, "a list of strings", texts).unwrap_or_default()
    }

    /// An optional list of abilities, empty by default.
    pub(super) fn abilities_if_present(&self, field: &'static str) -> Vec<Ability> {
        let read = |value| texts(value)?.into_iter().map(Ability::from_name).collect::<Option<Vec<_>>>();
        self.expect_if_present(field, "a list of abilities", read).unwrap_or_default()
    }

    /// An optional list of integers within a range, empty by default.
    pub(super) fn integers_if_present(&self, field: &'static str, range: RangeInclusive<i32>) -> Vec<i32> {
        let what = format!("a list of integers from {} to {}", range.start(), range.end());
        self.expect_if_present(field, &what, |value| integers(value, &range)).unwrap_or_default()
    }

    /// The raw value of an optional field.
    pub(super) fn raw(&self, field: &'static str) -> Option<&'t Value> {
        self.value(field)
    }

    /// An optional table.
    pub(super) fn table_if_present(&self, field: &'static str) -> Option<Self> {
        let table = self.expect_if_present(field, "a table", Value::as_table)?;
        Some(self.child(format!("{}{field}.", self.prefix), table))
    }

    /// An optional list of tables, empty by default.
    pub(super) fn tables(&self, field: &'static str) -> Vec<Self> {
        let read = |value: &'t Value| value.as_array()?.iter().map(Value::as_table).collect::<Option<Vec<_>>>();
        let tables = self.expect_if_present(field, "a list of tables", read).unwrap_or_default();
        let child = |(index, table)| self.child(format!("{}{field}[{index}].", self.prefix), table);
        tables.into_iter().enumerate().map(child).collect()
    }

    fn child(&self, prefix: String, table: &'t Table) -> Self {
        Self {
            file: self.file,
            label: self.label.clone(),
            prefix,
            table,
            asked: RefCell::default(),
            mistakes: self.mistakes,
        }
    }

    /// Records a mistake for every field that was not read. Call it last.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for field in self.table.keys().filter(|field| !asked.contains(&field.as_str())) {
            self.complain(field, "unknown field; remove it or correct its name");
        }
    }
}

/// The place of an entry, for mistakes found after it was read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: String,
    label: String,
}

impl Place {
    /// Records a mistake in a field of that entry.
    pub(super) fn complain(&self, mistakes: &Mistakes, field: &str, message: impl Into<String>) {
        mistakes.add(&self.file, &self.label, field, message);
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// A list of integers within a range.
pub(super) fn integers(value: &Value, range: &RangeInclusive<i32>) -> Option<Vec<i32>> {
    let number = |value: &Value| i32::try_from(value.as_integer()?).ok().filter(|number| range.contains(number));
    value.as_array()?.iter().map(number).collect()
}

/// Lower-case words and numbers with hyphens between them.
fn is_id(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.len() <= ID_BYTES_MAX && text.split('-').all(word)
}
