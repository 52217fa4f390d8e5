//! Mistakes in a catalogue.

use std::cell::RefCell;
use std::fmt;

/// One mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// The entry, such as ``item `club` ``; empty if the mistake concerns the whole file.
    pub entry: String,
    /// The field, such as `weapon.damage`; empty if the mistake concerns the whole entry.
    pub field: String,
    /// The mistake.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.file, &self.entry, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// All mistakes of a catalogue, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueErrors(Vec<Mistake>);

impl CatalogueErrors {
    pub(super) const fn new(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes)
    }

    /// The mistakes, in the order of the files.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for CatalogueErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogueErrors {}

/// Collects mistakes while a catalogue is read, so that all are reported at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(super) fn add(&self, file: &str, entry: &str, field: &str, message: impl Into<String>) {
        self.0.borrow_mut().push(Mistake {
            file: file.to_owned(),
            entry: entry.to_owned(),
            field: field.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn into_inner(self) -> Vec<Mistake> {
        self.0.into_inner()
    }
}
