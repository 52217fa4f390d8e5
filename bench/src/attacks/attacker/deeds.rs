//! What the attackers did, and what the server made of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Deeds(RefCell<BTreeMap<String, u64>>);

impl Deeds {
    pub(super) fn count(&self, what: &str) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: &str, count: u64) {
        let mut deeds = self.0.borrow_mut();
        match deeds.get_mut(what) {
            Some(sum) => *sum += count,
            None => drop(deeds.insert(what.to_owned(), count)),
        }
    }

    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        self.0.borrow().clone()
    }
}
