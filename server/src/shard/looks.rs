//! Rows that should be read, because the books in them have changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use castellan_protocol::CharacterId;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::storage::Look;

/// Most rows that are looked at in one round.
const LOOKS_MAX: usize = 500;

/// The looks that have not been taken, and who asked for them.
pub(super) struct Looks {
    /// True if others should hear of it if the character is not served here.
    waiting: Mutex<HashMap<Look, bool>>,
    pub(super) news: Notify,
    pub(super) searches: Notify,
    /// One permit for each load of users who are not in memory.
    pub(super) loads: Arc<Semaphore>,
}

/// Most users that are loaded at the same time for looks: with little memory they would drive each other out.
const LOADS_MAX: usize = 64;

impl Default for Looks {
    fn default() -> Self {
        let loads = Arc::new(Semaphore::new(LOADS_MAX));
        Self { waiting: Mutex::default(), news: Notify::new(), searches: Notify::new(), loads }
    }
}

impl Looks {
    /// These characters should look at the row of `character`.
    pub(super) fn put(&self, others: BTreeSet<CharacterId>, character: CharacterId) {
        self.waiting.lock().extend(others.into_iter().map(|other| ((other, character), true)));
        self.news.notify_one();
    }

    /// Searches the database soon: there are new shards.
    pub(super) fn search(&self) {
        self.searches.notify_one();
    }

    pub(super) fn put_all(&self, looks: impl IntoIterator<Item = (Look, bool)>) {
        let mut waiting = self.waiting.lock();
        for (look, is_told) in looks {
            *waiting.entry(look).or_default() |= is_told;
        }
        drop(waiting);
        self.news.notify_one();
    }

    pub(super) fn take(&self) -> Vec<(Look, bool)> {
        let mut waiting = self.waiting.lock();
        if waiting.len() <= LOOKS_MAX {
            return waiting.drain().collect();
        }
        let some: Vec<Look> = waiting.keys().take(LOOKS_MAX).copied().collect();
        some.into_iter().filter_map(|look| waiting.remove_entry(&look)).collect()
    }
}
