//! What wakes the flusher before its interval is over, and what others may know of it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Shared by the flusher and those who wait for it.
#[derive(Debug, Default)]
pub struct Signals {
    pub(super) full: Notify,
    pub(super) waiting: Notify,
    away: AtomicBool,
}

impl Signals {
    /// A full batch has gathered.
    pub fn full(&self) {
        self.full.notify_one();
    }

    /// Somebody began to wait for a commit: the flusher starts after the gathering time.
    pub fn waiting(&self) {
        self.waiting.notify_one();
    }

    /// Whether the last write failed because the database was not to be had.
    pub fn is_database_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(super) fn set_database_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}
